"""What a session without a link holds in memory."""

from __future__ import annotations

from typing import Final

from ..aio.session_protocol import SessionProtocol

# What sessions without a link were measured to hold, as growth of the process for each of some
# hundred: 5 KiB, sealed ones 6.5; once a request was made, 9 and 12.
_EMPTY: Final = 5 * 1024
"""Bytes of an idle session, its handler's task included, about."""
_SEALED: Final = 1536
"""The same of its keys."""
_CHANNELS: Final = 5 * 1024
"""The same of what streams and requests need, once there were any."""


def was_used(protocol: SessionProtocol) -> bool:
    """Return whether anything of the client came after its HELLO."""
    session = protocol.session
    acknowledged = session is not None and session.retention.acknowledged > 0
    return acknowledged or protocol.machine.frames_received > 0


def cost(protocol: SessionProtocol) -> int:
    """Return what a session holds in memory, in bytes."""
    session = protocol.session
    held = _EMPTY + (0 if session is None else session.retention.cost)
    held += protocol.sender.queue.queued_bytes + protocol.receiver.queue.queued_bytes
    if protocol.machine.sealed:
        held += _SEALED
    if protocol.channels is not None:
        held += _CHANNELS + protocol.channels.queued_bytes
    return held
