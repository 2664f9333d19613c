"""The frames of streams and requests as a peer would write them, good or bad; no code of ours."""

from __future__ import annotations

from sealframe.core.multiplexer import Buffer, Multiplexer
from sealframe.framing import Framing
from sealframe.wire import MAX_LENGTH, Control, Opcode


def u64(number: int) -> bytes:
    return number.to_bytes(8, "little")


def u32(number: int) -> bytes:
    return number.to_bytes(4, "little")


def opened(
    number: int, *, kind: int = 0, window: int = 1000, metadata: bytes | int = b""
) -> Control:
    """Return STREAM_OPEN; metadata that is a number is a request's."""
    told = u64(metadata) if isinstance(metadata, int) else metadata
    return Control(Opcode.STREAM_OPEN, u64(number) + bytes((kind,)) + u32(window) + told)


def data(number: int, content: bytes = b"data") -> Control:
    return Control(Opcode.STREAM_DATA, u64(number) + content)


def credit(number: int, increment: int = 1) -> Control:
    return Control(Opcode.STREAM_CREDIT, u64(number) + u32(increment))


def end(number: int) -> Control:
    return Control(Opcode.STREAM_END, u64(number))


def reset(number: int, code: int = 0, reason: bytes = b"") -> Control:
    return Control(Opcode.STREAM_RESET, u64(number) + code.to_bytes(2, "little") + reason)


def request(number: int, payload: bytes = b"?") -> Control:
    return Control(Opcode.REQUEST, u64(number) + payload)


def reply(number: int, payload: bytes = b"!") -> Control:
    return Control(Opcode.REPLY, u64(number) + payload)


def failure(number: int, code: int = 0, kind: bytes = b"Oops", text: bytes = b"") -> Control:
    return Control(Opcode.FAILURE, u64(number) + bytes((code, len(kind))) + kind + text)


def cancel(number: int) -> Control:
    return Control(Opcode.CANCEL, u64(number))


def controls(buffers: list[Buffer]) -> list[Control]:
    """Return the frames in what a multiplexer gave out to be written."""
    decoder = Framing(control=True, maximum=MAX_LENGTH).decoder()
    found = decoder.feed(b"".join(buffers))
    assert decoder.pending == 0, "a frame was cut short"
    return [frame for frame in found if isinstance(frame, Control)]


def taken(multiplexer: Multiplexer, size: int = 1 << 30) -> list[Control]:
    """Return the frames that it writes now."""
    return controls([*multiplexer.take_all_urgent(), *multiplexer.take(size)])
