"""The control frames of streams and requests, to bytes and back.

docs/PROTOCOL.md section 8 (streams) and section 9 (requests) have the layouts. All integers are
little-endian; the body of each frame begins with a number of 8 bytes. What writes a frame
returns all of it; what parses one takes its body.
"""

from __future__ import annotations

import struct
from typing import Final

from .. import wire
from ..wire import FailureCode, Opcode
from ..wire.control import frame, printable

NUMBER_SIZE: Final = 8
NUMBER: Final = struct.Struct("<Q")
_OPEN: Final = struct.Struct("<QBI")
_CREDIT: Final = struct.Struct("<QI")
_RESET: Final = struct.Struct("<QH")
_HEAD: Final = struct.Struct("<IBQ")


class ViolationError(ValueError):
    """The peer broke a rule; the text says which."""


def pack_number(number: int) -> bytes:
    """Return the number of a stream or request, as metadata carry it."""
    return NUMBER.pack(number)


def parse_metadata_number(metadata: bytes) -> int:
    """Return the number of the request whose body or reply a stream carries."""
    if len(metadata) != NUMBER_SIZE:
        raise ViolationError("its metadata is not the number of a request")
    number: int = NUMBER.unpack(metadata)[0]
    return number


def parse_number_alone(body: bytes) -> None:
    """Check a frame that has a number and nothing more."""
    if len(body) != NUMBER_SIZE:
        raise ViolationError(f"its body is not {NUMBER_SIZE} bytes")


def _numbered_head(opcode: int, number: int, size: int) -> bytes:
    """Return what stands before ``size`` bytes in a frame that has a number."""
    return _HEAD.pack((1 + NUMBER_SIZE + size) | wire.CONTROL_BIT, opcode, number)


# Streams, section 8


def stream_open(number: int, kind: int, window: int, metadata: bytes) -> bytes:
    """Return STREAM_OPEN."""
    return frame(Opcode.STREAM_OPEN, _OPEN.pack(number, kind, window) + metadata)


def parse_open(body: bytes) -> tuple[int, int, bytes]:
    """Return the kind, the window and the metadata of a stream."""
    if len(body) < _OPEN.size:
        raise ViolationError("it is cut short")
    _, kind, window = _OPEN.unpack_from(body)
    return kind, window, body[_OPEN.size :]


def stream_data_head(number: int, size: int) -> bytes:
    """Return what stands before ``size`` bytes of data in STREAM_DATA."""
    return _numbered_head(Opcode.STREAM_DATA, number, size)


def stream_credit(number: int, increment: int) -> bytes:
    """Return STREAM_CREDIT."""
    return frame(Opcode.STREAM_CREDIT, _CREDIT.pack(number, increment))


def parse_credit(body: bytes) -> int:
    """Return the increment."""
    if len(body) != _CREDIT.size:
        raise ViolationError(f"its body is not {_CREDIT.size} bytes")
    increment: int = _CREDIT.unpack(body)[1]
    return increment


def stream_end(number: int) -> bytes:
    """Return STREAM_END."""
    return frame(Opcode.STREAM_END, NUMBER.pack(number))


def stream_reset(number: int, code: int, reason: str) -> bytes:
    """Return STREAM_RESET; the reason is cut to 255 bytes."""
    body = _RESET.pack(number, code) + _cut(reason, wire.MAX_REASON)
    return frame(Opcode.STREAM_RESET, body)


def parse_reset(body: bytes) -> tuple[int, str]:
    """Return the code and the reason."""
    if not _RESET.size <= len(body) <= _RESET.size + wire.MAX_REASON:
        raise ViolationError("it is cut short, or its reason is too long")
    return _RESET.unpack_from(body)[1], printable(body[_RESET.size :])


# Requests, section 9


def request(number: int, payload: bytes) -> bytes:
    """Return REQUEST."""
    return _numbered_head(Opcode.REQUEST, number, len(payload)) + payload


def reply(number: int, payload: bytes) -> bytes:
    """Return REPLY."""
    return _numbered_head(Opcode.REPLY, number, len(payload)) + payload


def parse_payload(body: bytes) -> bytes:
    """Return the payload of REQUEST or REPLY."""
    if len(body) > NUMBER_SIZE + wire.MAX_CHUNK:
        raise ViolationError(f"its payload is over {wire.MAX_CHUNK} bytes")
    return body[NUMBER_SIZE:]


def failure(number: int, code: FailureCode, kind: str, text: str) -> bytes:
    """Return FAILURE; the type is cut to 100 bytes and the text to 1,000."""
    name = _cut(kind, wire.MAX_ERROR_TYPE)
    rest = bytes((code, len(name))) + name + _cut(text, wire.MAX_ERROR_TEXT)
    return frame(Opcode.FAILURE, NUMBER.pack(number) + rest)


def parse_failure(body: bytes) -> tuple[int, str, str]:
    """Return the code, the type and the text."""
    start = NUMBER_SIZE + 2
    after = start + body[start - 1] if len(body) >= start else start
    if not after <= len(body) <= after + wire.MAX_ERROR_TEXT:
        raise ViolationError("it is cut short, or its text is too long")
    return body[NUMBER_SIZE], printable(body[start:after]), printable(body[after:])


def cancel(number: int) -> bytes:
    """Return CANCEL."""
    return frame(Opcode.CANCEL, NUMBER.pack(number))


def _cut(text: str, size: int) -> bytes:
    """Encode text in at most ``size`` bytes, cut at a character."""
    return text.encode(errors="replace")[:size].decode(errors="ignore").encode()
