"""Where a connection stands, and what happens on it beside messages."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from .control import Close, Hello
from .errors import ConnectionClosedError


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
class Failed:
    """The connection cannot go on."""

    error: ConnectionClosedError


Event = Established | Ponged | GoingAway | Ended | Failed
