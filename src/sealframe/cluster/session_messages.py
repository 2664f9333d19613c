"""What servers say to each other of sessions: the body of SESSION frames, to bytes and back.

The first byte is the kind. Numbers are little-endian. A *question* is the key (32 bytes), start and
link of HELLO (u32 each), its numbering and its count of received frames (u64 each), and the value
of its field 14, if there is one. A *writer* is 8 bytes (:mod:`sealframe.wire.writers`).

=== ======== ======================================================================================
 1  FIND     question: what have you of this session?
 2  STATUS   state: u8 (``State``); then by state: start, link: u32 each; or code: u32, received and
             discarded: u64 each, writer
 3  RELEASE  question: give it up to me
 4  MESSAGE  unread: u8 (1: of the client, not taken by the program; 0: for the client), then the
             message: one of those that belong to the FOUND that follows
 5  FOUND    result: u8 (``Result``); then by result: taken: u64, unread and unsent: u32 each, how
             many MESSAGE went before, writer; or as in STATUS; or the text of an error in UTF-8
 6  CONFIRM  question: I have what you released for it
=== ======== ======================================================================================
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final, TypeAlias

from ..server.moving import (
    HeldSession,
    LaterLink,
    SessionQuestion,
    SessionStatus,
)
from ..server.session_table import EndedSession
from ..wire.writers import Writers
from .messages import MalformedFrameError

_QUESTION: Final = Struct("<32sIIQQ")
_ATTEMPT: Final = Struct("<II")
_ENDED: Final = Struct("<IQQ8s")
_MOVED: Final = Struct("<QII8s")
_MAX_ERROR: Final = 1024


class Kind(IntEnum):
    """The first byte."""

    FIND = 1
    STATUS = 2
    RELEASE = 3
    MESSAGE = 4
    FOUND = 5
    CONFIRM = 6


class State(IntEnum):
    """What a server has of a session."""

    UNKNOWN = 0
    HELD = 1
    PARKED = 2
    ENDED = 3


class Result(IntEnum):
    """What became of RELEASE."""

    UNKNOWN = 0
    MOVED = 1
    ENDED = 2
    LATER = 3
    FAILED = 4


@dataclass(frozen=True, slots=True)
class Find:
    """What have you of this session?"""

    question: SessionQuestion


@dataclass(frozen=True, slots=True)
class Status:
    """That is what I have."""

    status: SessionStatus


@dataclass(frozen=True, slots=True)
class Release:
    """Give it up to me."""

    question: SessionQuestion


@dataclass(frozen=True, slots=True)
class MovedMessage:
    """A message of the session, which goes before :class:`Moved`."""

    unread: bool
    message: bytes


@dataclass(frozen=True, slots=True)
class Moved:
    """The session is yours.

    :ivar taken: how many messages of its client have come
    :ivar unread: how many messages of its client went before
    :ivar unsent: how many messages for it did
    :ivar writer: which start of its client's program the last of the former is from
    """

    taken: int
    unread: int
    unsent: int
    writer: bytes


@dataclass(frozen=True, slots=True)
class NotMoved:
    """The session is not yours."""

    why: EndedSession | LaterLink | None


@dataclass(frozen=True, slots=True)
class Failed:
    """It cannot be said now."""

    text: str


@dataclass(frozen=True, slots=True)
class Confirm:
    """I have what you released."""

    question: SessionQuestion


Body: TypeAlias = Find | Status | Release | MovedMessage | Moved | NotMoved | Failed | Confirm


def encode(body: Body) -> bytes:
    """Return the bytes of a body."""
    match body:
        case Find(question):
            return bytes([Kind.FIND]) + _question(question)
        case Release(question):
            return bytes([Kind.RELEASE]) + _question(question)
        case Confirm(question):
            return bytes([Kind.CONFIRM]) + _question(question)
        case Status(status):
            return bytes([Kind.STATUS]) + _status(status)
        case MovedMessage(unread, message):
            return bytes([Kind.MESSAGE, unread]) + message
        case Moved(taken, unread, unsent, writer):
            return bytes([Kind.FOUND, Result.MOVED]) + _MOVED.pack(taken, unread, unsent, writer)
        case NotMoved(None):
            return bytes([Kind.FOUND, Result.UNKNOWN])
        case NotMoved(EndedSession() as ended):
            return bytes([Kind.FOUND, Result.ENDED]) + _ended(ended)
        case NotMoved(LaterLink(attempt)):
            return bytes([Kind.FOUND, Result.LATER]) + _ATTEMPT.pack(*attempt)
        case Failed(text):
            return bytes([Kind.FOUND, Result.FAILED]) + text[:_MAX_ERROR].encode(errors="replace")
    raise AssertionError(body)


def decode(data: bytes) -> Body | None:
    """Return the body that these bytes are, None if its kind is unknown.

    :raises MalformedFrameError: they are none
    """
    try:
        return _decode(data)
    except (struct.error, IndexError, ValueError) as error:
        raise MalformedFrameError(f"a frame of a session, between servers: {error}") from None


def _decode(data: bytes) -> Body | None:
    kind, rest = data[0], data[1:]
    match kind:
        case Kind.FIND:
            return Find(_read_question(rest))
        case Kind.RELEASE:
            return Release(_read_question(rest))
        case Kind.CONFIRM:
            return Confirm(_read_question(rest))
        case Kind.STATUS:
            return Status(_read_status(rest))
        case Kind.MESSAGE:
            return MovedMessage(bool(rest[0]), rest[1:])
        case Kind.FOUND:
            return _read_found(rest)
    return None


def _question(question: SessionQuestion) -> bytes:
    start, link = question.attempt
    writers = b"" if question.writers is None else question.writers.encode()
    numbers = question.numbering, question.received
    return _QUESTION.pack(question.key, start, link, *numbers) + writers


def _read_question(data: bytes) -> SessionQuestion:
    key, start, link, numbering, received = _QUESTION.unpack_from(data)
    rest = data[_QUESTION.size :]
    writers = Writers.decode(rest) if rest else None
    return SessionQuestion(key, (start, link), numbering, received, writers)


def _ended(ended: EndedSession) -> bytes:
    return _ENDED.pack(ended.code, ended.received, ended.discarded, ended.writer)


def _status(status: SessionStatus) -> bytes:
    match status:
        case HeldSession(attempt, parked):
            state = State.PARKED if parked else State.HELD
            return bytes([state]) + _ATTEMPT.pack(*attempt)
        case EndedSession():
            return bytes([State.ENDED]) + _ended(status)
    return bytes([State.UNKNOWN])


def _read_status(data: bytes) -> SessionStatus:
    match data[0]:
        case State.HELD | State.PARKED as state:
            return HeldSession(_ATTEMPT.unpack(data[1:]), parked=state == State.PARKED)
        case State.ENDED:
            return EndedSession(*_ENDED.unpack(data[1:]))
        case State.UNKNOWN:
            return None
    raise MalformedFrameError(f"a session in state {data[0]}")


def _read_found(data: bytes) -> Moved | NotMoved | Failed:
    rest = data[1:]
    match data[0]:
        case Result.MOVED:
            return Moved(*_MOVED.unpack(rest))
        case Result.ENDED:
            return NotMoved(EndedSession(*_ENDED.unpack(rest)))
        case Result.LATER:
            return NotMoved(LaterLink(_ATTEMPT.unpack(rest)))
        case Result.UNKNOWN:
            return NotMoved(None)
        case Result.FAILED:
            return Failed(rest.decode(errors="replace"))
    raise MalformedFrameError(f"a session was released with result {data[0]}")
