"""Frames in words, for the DEBUG log: which type and how large, never what is in them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from .. import wire
from ..wire import Control, Opcode


class Trace(Protocol):
    """Logs a line; ``text`` has a place for each argument, as :func:`logging.debug` takes it."""

    def __call__(self, text: str, *args: object) -> None: ...


def trace_received(trace: Trace, frames: Iterable[bytes | Control]) -> None:
    """Log the frames that came."""
    for frame in frames:
        if isinstance(frame, bytes):
            trace("< message, %d bytes", len(frame))
        else:
            trace("< %s", _control(frame.opcode, frame.body))


def trace_messages(trace: Trace, messages: Iterable[bytes], what: str = "message") -> None:
    """Log the messages that go.

    :param what: ``"frame"`` where they have their heads already
    """
    for message in messages:
        trace("> %s, %d bytes", what, len(message))


def trace_sent(trace: Trace, buffers: Iterable[bytes | memoryview]) -> None:
    """Log the control frames that go.

    :param buffers: whole frames in the native layout
    """
    data = b"".join(buffers)
    place = 0
    while place < len(data):
        head = int.from_bytes(data[place : place + wire.HEAD_SIZE], "little")
        body = place + wire.HEAD_SIZE
        place = body + (head & wire.LENGTH_MASK)
        trace("> %s", _control(data[body], data[body + 1 : place]))


def _control(opcode: int, body: bytes) -> str:
    try:
        name = Opcode(opcode).name
    except ValueError:
        name = f"opcode 0x{opcode:02x}"
    text = f"{name}, {len(body)} bytes"
    # The counted ones are those of streams and requests, whose number their body begins with.
    if opcode & wire.OPCODE_COUNTED and len(body) >= 8:
        text += f", number {int.from_bytes(body[:8], 'little')}"
    return text
