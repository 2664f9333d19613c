"""Where a connection stands, and what happens on it beside messages."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from ..errors import ConnectionClosedError
from ..wire.control import Close, Hello


class Phase(Enum):
    """Where a connection is, as far as what the peer may send is concerned."""

    SEALING = auto()
    """Sealed, either end: the handshake is under way."""
    SEALED_HELLO = auto()
    """Sealed server: only HELLO may come."""
    SEALED_WELCOME = auto()
    """Sealed client: only WELCOME may come."""
    WELCOME = auto()
    """Extended client: WELCOME must come, messages may come before it."""
    FIRST = auto()
    """Plain server: the first frame tells packets from extended."""
    PACKETS = auto()
    """Messages only."""
    EXTENDED = auto()
    """Messages and control frames, plain or inside records."""
    ENDED = auto()
    """The peer said that it sends no more."""
    FAILED = auto()
    """Over; whatever comes is discarded."""


@dataclass(frozen=True, slots=True)
class Established:
    """Messages may flow. On a plain server it comes twice if the client says HELLO."""

    hello: Hello
    """What the peer said of itself; the defaults where only packets flow."""


@dataclass(frozen=True, slots=True)
class Ponged:
    """PONG came."""

    body: bytes


@dataclass(frozen=True, slots=True)
class GoingAway:
    """The peer will close soon and asks us to come back later."""

    close: Close


@dataclass(frozen=True, slots=True)
class Ended:
    """The peer sends no more; ``close`` is None where only FIN said so."""

    close: Close | None


@dataclass(frozen=True, slots=True)
class Credited:
    """The peer takes more messages."""

    increment: int
    """Cost, of length and :data:`~sealframe.wire.MESSAGE_OVERHEAD` each."""


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer opened a stream."""

    stream: int
    kind: int
    metadata: bytes


@dataclass(frozen=True, slots=True)
class StreamData:
    """Bytes came on a stream."""

    stream: int
    data: memoryview


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The peer sends no more on a stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class StreamWasReset:
    """The peer ended a stream in both directions."""

    stream: int
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Requested:
    """The peer asks for something; exactly one answer is due."""

    request: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class RequestCancelled:
    """The peer no longer wants what it asked for; the answer is due all the same."""

    request: int


@dataclass(frozen=True, slots=True)
class Replied:
    """The answer to a request of ours."""

    request: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """A request of ours failed at the other end."""

    request: int
    code: int
    """A :class:`~sealframe.wire.FailureCode`, or one of a later version."""
    kind: str
    """The name of the exception's type."""
    text: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The connection cannot go on."""

    error: ConnectionClosedError


MultiplexerEvent = (
    StreamOpened
    | StreamData
    | StreamEnded
    | StreamWasReset
    | Requested
    | RequestCancelled
    | Replied
    | RequestFailed
)
Event = Established | Ponged | GoingAway | Credited | Ended | Failed | MultiplexerEvent
