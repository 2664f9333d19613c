"""The phases of a connection, and the events that the protocol machine returns beside messages.

docs/PROTOCOL.md section 11 has the phases as a table; :mod:`sealframe.core.rules` says what
the peer may send in each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from ..errors import ConnectionClosedError
from ..wire.control import Close, Hello


class Phase(Enum):
    """What the peer may send now."""

    # Tables are looked up at each frame, and Enum's own hash is that of the name, in Python.
    __hash__ = object.__hash__

    SEALING = auto()
    """Sealed, either end: the Noise handshake is under way (section 6)."""
    SEALED_HELLO = auto()
    """Sealed server, first record: only HELLO may come."""
    SEALED_WELCOME = auto()
    """Sealed client, first record: only WELCOME may come."""
    WELCOME = auto()
    """Extended client: WELCOME must come, messages may come before it."""
    JOINING = auto()
    """Either end: HELLO or WELCOME names a session, and it is not decided yet what becomes of it
    (section 12). What comes is held until then."""
    FIRST = auto()
    """Plain server: the first frame tells packets from extended (section 2)."""
    PACKETS = auto()
    """Messages only."""
    EXTENDED = auto()
    """Messages and control frames, plain or inside records."""
    ENDED = auto()
    """The peer's CLOSE or FIN came: it sends no more."""
    FAILED = auto()
    """Over; whatever comes is discarded."""


ESTABLISHED: Final = frozenset({Phase.FIRST, Phase.PACKETS, Phase.EXTENDED, Phase.ENDED})
"""Phases in which messages may flow, or could until now."""


@dataclass(frozen=True, slots=True)
class Established:
    """Messages may flow. On a plain server it comes twice if the client says HELLO."""

    hello: Hello
    """What the peer said of itself; the defaults where only packets flow."""


UNANNOUNCED: Final = Established(Hello())
"""Packets may flow, and the peer has said nothing of itself."""


@dataclass(frozen=True, slots=True)
class Joining:
    """The peer's HELLO or WELCOME names a session: the owner decides which one goes on."""

    hello: Hello


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The peer has acknowledged frames of this session (section 12)."""


@dataclass(frozen=True, slots=True)
class Ponged:
    """PONG came (section 3)."""

    body: bytes


@dataclass(frozen=True, slots=True)
class GoingAway:
    """GOAWAY came: the peer will close soon and asks us to come back later."""

    close: Close


@dataclass(frozen=True, slots=True)
class Ended:
    """The peer sends no more (section 5)."""

    close: Close | None
    """What its CLOSE says; None where FIN came alone."""
    unanswered: bool = False
    """Whether FIN came in place of WELCOME, after messages."""


@dataclass(frozen=True, slots=True)
class Credited:
    """CREDIT came: the peer takes more messages (section 7)."""

    increment: int
    """In cost: each message's length plus :data:`~sealframe.wire.MESSAGE_OVERHEAD`."""


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """STREAM_OPEN came (section 8)."""

    stream: int
    kind: int
    metadata: bytes


@dataclass(slots=True)
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
    """STREAM_RESET came: the peer ended a stream in both directions."""

    stream: int
    code: int
    reason: str


@dataclass(slots=True)
class Requested:
    """REQUEST came; exactly one answer is due (section 9)."""

    request: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class RequestCancelled:
    """CANCEL came: the peer no longer wants the answer, which is due all the same."""

    request: int


@dataclass(slots=True)
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
Event = (
    Established
    | Joining
    | Acknowledged
    | Ponged
    | GoingAway
    | Credited
    | Ended
    | Failed
    | MultiplexerEvent
)
