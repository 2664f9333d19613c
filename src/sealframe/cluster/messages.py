"""The frames between servers: dataclasses to bytes and back.

A frame is its opcode, one byte, then the fields of the table. Numbers are little-endian, a text is
its size in bytes (u32) and that many bytes of UTF-8, at most 64 KiB; ``texts`` is a count (u32) and
so many texts. The payload is the rest of the frame, as the codec of the sender made it.

=== ============== ============================================================================
 1  MESSAGE        target: text, payload
 2  BROADCAST      excluded: texts, payload
 3  GROUP          name: text, excluded: texts, payload
 4  REQUEST        number: u64, timeout: f64 in seconds (infinity: none), target: text, payload
 5  REPLY          number: u64, payload
 6  FAILURE        number: u64, kind: u8, type: text, text: text
 7  CANCEL         number: u64
 8  KICK           target: text, reason: text
 9  ROSTER_REQUEST nothing
10  ROSTER         number: u64, part: u32, parts: u32, clients: the rest, JSON (``presence.py``)
11  SESSION        number: u64, body: the rest (``session_messages.py``)
12  WAITING        numbers: u64 each, the rest
=== ============== ============================================================================

``target`` and ``excluded`` are ids of clients. The number of a request is the asking server's own.
A frame with another opcode is skipped: a later version may have more of them.
"""

from __future__ import annotations

import functools
import math
import struct
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final, TypeAlias

from .numbers import MAX_TEXT, Opcode

__all__ = [
    "Broadcast",
    "Cancel",
    "Failure",
    "FailureKind",
    "Frame",
    "Group",
    "Kick",
    "MalformedFrameError",
    "Message",
    "Reply",
    "Request",
    "RosterPart",
    "RosterRequest",
    "Session",
    "Waiting",
    "checked_text",
    "decode",
    "decode_message",
    "encode",
    "encode_message",
]

_HEAD: Final = Struct("<BI")
_SIZE: Final = Struct("<I")
_DOUBLE: Final = Struct("<d")
_NUMBER: Final = Struct("<BQ")
_REQUEST: Final = Struct("<BQd")
_FAILURE: Final = Struct("<BQB")
_ROSTER: Final = Struct("<BQII")

_LONGEST_HEAD: Final = _HEAD.size + MAX_TEXT
_MESSAGE: Final = int(Opcode.MESSAGE)


class MalformedFrameError(ValueError):
    """What another server sent is not what the protocol between servers allows."""


class FailureKind(IntEnum):
    """Why a request has no reply."""

    OTHER = 0
    """None of those below, or one that a later version has added."""
    REMOTE = 1
    """The client's handler raised an exception: ``type`` is its class there, ``text`` its text."""
    UNKNOWN_CLIENT = 2
    """No client of that id is at that server."""
    TIMEOUT = 3
    """The client did not answer in time."""
    CANCELLED = 4
    """The client gave the request up, and its connection goes on."""
    CLOSED = 5
    """The client's connection ended before it answered."""
    TOO_LARGE = 6
    """The request or its reply is over a limit."""
    NOT_SUPPORTED = 7
    """The client's connection knows no requests."""
    LOST = 8
    """The request did not come, or its answer was sent before: one of them is lost."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message for one client."""

    target: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A message for all clients of the receiving server but those excluded."""

    excluded: tuple[str, ...]
    payload: bytes


@dataclass(frozen=True, slots=True)
class Group:
    """A message for the members of a group at the receiving server but those excluded."""

    name: str
    excluded: tuple[str, ...]
    payload: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """A request to one client.

    :ivar number: of the request, the asking server's own
    :ivar timeout: seconds in which the client is to answer, None for no limit
    """

    number: int
    timeout: float | None
    target: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of a client."""

    number: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """There will be no answer."""

    number: int
    kind: FailureKind
    type: str
    text: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """The asker no longer waits."""

    number: int


@dataclass(frozen=True, slots=True)
class Kick:
    """Disconnect a client and tell it why."""

    target: str
    reason: str


@dataclass(frozen=True, slots=True)
class RosterRequest:
    """Send your roster."""


@dataclass(frozen=True, slots=True)
class RosterPart:
    """A part of a server's roster.

    :ivar number: of the last delta that the roster has in it
    :ivar part: which of the parts this is, from 0
    :ivar parts: how many there are
    :ivar clients: those in this part, as JSON
    """

    number: int
    part: int
    parts: int
    clients: bytes


@dataclass(frozen=True, slots=True)
class Session:
    """Something about sessions, see ``session_messages.py``.

    :ivar number: of the question, the asking server's own
    """

    number: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Waiting:
    """Answers that the sender waits for, after all that it has sent before this.

    Whoever knows nothing of one of them answers with a :class:`Failure`: it is lost, or its answer.

    :ivar numbers: of its requests
    """

    numbers: tuple[int, ...]


Frame: TypeAlias = (
    Message
    | Broadcast
    | Group
    | Request
    | Reply
    | Failure
    | Cancel
    | Kick
    | RosterRequest
    | RosterPart
    | Session
    | Waiting
)


def checked_text(text: str) -> bytes:
    """Return an id, name or reason in UTF-8.

    :raises ValueError: it is over 64 KiB, or has a lone surrogate, which UTF-8 cannot express
    """
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"an id or name between servers is Unicode text; character {error.start} is the lone "
            f"surrogate U+{ord(text[error.start]):04X}, half a character: leave it out"
        ) from None
    if len(data) > MAX_TEXT:
        raise ValueError(
            f"an id or name between servers has at most {MAX_TEXT} bytes of UTF-8, not {len(data)}"
        )
    return data


def encode_message(target: str, payload: bytes) -> bytes:
    """Return the bytes of a :class:`Message` that need not be made for it: the frequent frame.

    :raises ValueError: as :func:`checked_text` does
    """
    return _message_head(target) + payload


@functools.lru_cache(maxsize=1024)
def _message_head(target: str) -> bytes:
    data = checked_text(target)
    return _HEAD.pack(_MESSAGE, len(data)) + data


def encode(frame: Frame) -> bytes:
    """Return the bytes of a frame.

    :raises ValueError: a text is too large or has a lone surrogate
    """
    match frame:
        case Message(target, payload):
            return encode_message(target, payload)
        case Broadcast(excluded, payload):
            return b"%c%b%b" % (Opcode.BROADCAST, _texts(excluded), payload)
        case Group(name, excluded, payload):
            return b"%c%b%b%b" % (Opcode.GROUP, _text(name), _texts(excluded), payload)
        case Request(number, timeout, target, payload):
            seconds = math.inf if timeout is None else timeout
            return _REQUEST.pack(Opcode.REQUEST, number, seconds) + _text(target) + payload
        case Reply(number, payload):
            return _NUMBER.pack(Opcode.REPLY, number) + payload
        case Failure(number, kind, type, text):
            return _FAILURE.pack(Opcode.FAILURE, number, kind) + _text(type) + _text(text)
        case Cancel(number):
            return _NUMBER.pack(Opcode.CANCEL, number)
        case Kick(target, reason):
            return b"%c%b%b" % (Opcode.KICK, _text(target), _text(reason))
        case RosterRequest():
            return b"%c" % Opcode.ROSTER_REQUEST
        case RosterPart(number, part, parts, clients):
            return _ROSTER.pack(Opcode.ROSTER, number, part, parts) + clients
        case Session(number, body):
            return _NUMBER.pack(Opcode.SESSION, number) + body
        case Waiting(numbers):
            return struct.pack(f"<B{len(numbers)}Q", Opcode.WAITING, *numbers)


def decode(data: bytes) -> Frame | None:
    """Return the frame that these bytes are, None if its opcode is unknown.

    :raises MalformedFrameError: they are no frame
    """
    if not data:
        raise MalformedFrameError("a frame between servers has no opcode: it is empty")
    if data[0] == _MESSAGE:
        return Message(*decode_message(data))
    return _decode_any(_Reader(data, 1), data[0])


def decode_message(data: bytes) -> tuple[str, bytes]:
    """Return target and payload of bytes that begin with the opcode of a :class:`Message`.

    :raises MalformedFrameError: they are no frame
    """
    # As _Reader does it, in a third of the time.
    if len(data) >= _HEAD.size:
        after = _HEAD.size + _HEAD.unpack_from(data)[1]
        if after <= len(data) and after <= _LONGEST_HEAD:
            try:
                return data[_HEAD.size : after].decode(), data[after:]
            except UnicodeDecodeError as error:
                raise _not_utf8(error) from None
    fields = _Reader(data, 1)
    return fields.text(), fields.rest()


def _decode_any(fields: _Reader, opcode: int) -> Frame | None:
    frame: Frame
    match opcode:
        case Opcode.BROADCAST:
            return Broadcast(fields.texts(), fields.rest())
        case Opcode.GROUP:
            return Group(fields.text(), fields.texts(), fields.rest())
        case Opcode.REQUEST:
            return Request(fields.number(8), fields.timeout(), fields.text(), fields.rest())
        case Opcode.REPLY:
            return Reply(fields.number(8), fields.rest())
        case Opcode.FAILURE:
            frame = Failure(fields.number(8), fields.kind(), fields.text(), fields.text())
        case Opcode.CANCEL:
            frame = Cancel(fields.number(8))
        case Opcode.KICK:
            frame = Kick(fields.text(), fields.text())
        case Opcode.ROSTER_REQUEST:
            frame = RosterRequest()
        case Opcode.ROSTER:
            number, part, parts = fields.number(8), fields.number(4), fields.number(4)
            if part >= parts:
                raise MalformedFrameError(f"part {part} of a roster that has {parts} parts")
            return RosterPart(number, part, parts, fields.rest())
        case Opcode.SESSION:
            return Session(fields.number(8), fields.rest())
        case Opcode.WAITING:
            return Waiting(fields.numbers())
        case _:
            return None
    fields.check_end()
    return frame


def _text(text: str) -> bytes:
    data = checked_text(text)
    return _SIZE.pack(len(data)) + data


def _texts(texts: tuple[str, ...]) -> bytes:
    return _SIZE.pack(len(texts)) + b"".join(map(_text, texts))


def _not_utf8(error: UnicodeDecodeError) -> MalformedFrameError:
    return MalformedFrameError(f"a text in a frame between servers is not UTF-8: {error.reason}")


class _Reader:
    """Takes one field after the other from a frame."""

    __slots__ = ("_data", "_place")

    def __init__(self, data: bytes, place: int) -> None:
        self._data = data
        self._place = place

    def _take(self, size: int) -> bytes:
        taken = self._data[self._place : self._place + size]
        if len(taken) < size:
            raise MalformedFrameError(
                f"a frame between servers ends early: opcode {self._data[0]}, "
                f"{len(self._data)} bytes, and {size - len(taken)} more are needed"
            )
        self._place += size
        return taken

    def number(self, width: int) -> int:
        return int.from_bytes(self._take(width), "little")

    def timeout(self) -> float | None:
        seconds: float = _DOUBLE.unpack(self._take(8))[0]
        if not seconds >= 0:
            raise MalformedFrameError(f"a request with a time-out of {seconds} seconds")
        return None if seconds == math.inf else seconds

    def kind(self) -> FailureKind:
        number = self.number(1)
        try:
            return FailureKind(number)
        except ValueError:
            return FailureKind.OTHER

    def text(self) -> str:
        size = self.number(4)
        if size > MAX_TEXT:
            raise MalformedFrameError(f"a text of {size} bytes in a frame between servers")
        try:
            return self._take(size).decode()
        except UnicodeDecodeError as error:
            raise _not_utf8(error) from None

    def texts(self) -> tuple[str, ...]:
        # No memory is taken for the count alone: each text has at least the bytes of its size.
        return tuple(self.text() for _ in range(self.number(4)))

    def numbers(self) -> tuple[int, ...]:
        rest = self.rest()
        if len(rest) % 8:
            raise MalformedFrameError(f"{len(rest)} bytes of numbers with 8 bytes each")
        return struct.unpack(f"<{len(rest) // 8}Q", rest)

    def rest(self) -> bytes:
        return self._data[self._place :]

    def check_end(self) -> None:
        if self._place != len(self._data):
            raise MalformedFrameError(
                f"a frame between servers has {len(self._data) - self._place} bytes too many: "
                f"opcode {self._data[0]}"
            )
