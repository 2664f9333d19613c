"""The DEBUG log of one connection: frames, states, credit, pauses, keepalive, handshake steps.

A connection looks once, when it is made, whether anybody reads at DEBUG; where nobody does it has
no :class:`TraceLog`, and each place that would log costs one comparison with None per read or
write, not per message.
"""

from __future__ import annotations

import logging
from typing import Final

from ..core.protocol import ProtocolMachine

logger: Final = logging.getLogger("sealframe.connection")


class TraceLog:
    """Logs lines at DEBUG, each with the connection's id before it.

    It implements :class:`~sealframe.core.trace.Trace`.
    """

    __slots__ = ("id",)

    def __init__(self, id: str) -> None:
        self.id = id

    def __call__(self, text: str, *args: object) -> None:
        """Log a line; what is in frames is never among ``args``."""
        logger.debug(f"%s: {text}", self.id, *args)


def trace_log(id: str) -> TraceLog | None:
    """Return the log of a connection, None where nobody reads it."""
    return TraceLog(id) if logger.isEnabledFor(logging.DEBUG) else None


def seal_name(machine: ProtocolMachine) -> str:
    """Return what the log calls a connection: plain, or how its keys were agreed on."""
    if not machine.sealed:
        return "plain"
    return "sealed, post-quantum" if machine.post_quantum else "sealed, without post-quantum"
