"""What the parent tells a worker, and the worker the parent."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Final, Self

import click

from ..address import TcpAddress

READY: Final = b"r"
"""Of a worker: it listens."""
STOP: Final = b"s"
"""To a worker: all of them stop."""


@dataclass(frozen=True)
class Job:
    """What makes one worker another than the next, and what they share.

    :ivar number: from 1 on
    :ivar port: where all of them listen
    :ivar nats: the URL of NATS, maybe with what lets them in
    :ivar arguments: of ``sealframe``, from its options on
    """

    number: int
    port: int
    nats: str = field(repr=False)
    arguments: tuple[str, ...]

    def encode(self) -> bytes:
        """Return it as a line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Self:
        """Return what :meth:`encode` has made a line of."""
        fields = json.loads(line)
        return cls(**{**fields, "arguments": tuple(fields["arguments"])})


def metrics_of(number: int, first: TcpAddress | None) -> TcpAddress | None:
    """Return where a worker serves its figures: the first one there, the next at the next port.

    :param number: of the worker, from 1 on
    :raises click.UsageError: there is no such port
    """
    if first is None:
        return None
    port = first.port + number - 1
    if first.port == 0 or port > 65535:
        raise click.UsageError(
            "--metrics with --workers takes a port for each of them, from that one on: "
            f"{first.port} will not do"
        )
    return replace(first, port=port)
