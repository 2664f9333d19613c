"""Counters of connections and of servers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .fast_path import Counters


class Stats(Counters):
    """Counters of one connection, from its start.

    :ivar messages_received: messages decoded from the stream, those in the receive queue included
    :ivar messages_sent: messages handed to the transport
    :ivar bytes_received: bytes from the socket, heads and authentication tags included
    :ivar bytes_sent: bytes handed to the transport, heads and authentication tags included
    :ivar dropped: broadcast messages not queued: the peer was too slow, or accepts less
    :ivar discarded: messages that came after the local close and were not kept: its code was not
        0, or nobody took messages any more and there was no room
    :ivar unsent: accepted messages that the end of the connection left unsent
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Stats({', '.join(f'{name}={value}' for name, value in self.as_dict().items())})"

    def as_dict(self) -> dict[str, int]:
        """Return the counters by name, as they are now."""
        return {name: getattr(self, name) for name in NAMES}

    def add(self, other: Stats) -> None:
        """Add the counters of another connection."""
        for name in NAMES:
            setattr(self, name, getattr(self, name) + getattr(other, name))


NAMES: Final = (
    "messages_received",
    "messages_sent",
    "bytes_received",
    "bytes_sent",
    "dropped",
    "discarded",
    "unsent",
)
"""Of the counters of a connection."""


@dataclass(slots=True)
class ServerStats:
    """Counters of one server, from its start."""

    accepted: int = 0
    """Connections taken in, sealed ones that then failed the handshake included."""
    turned_away: int = 0
    """Connections refused because ``max_connections`` was reached."""
    too_fast: int = 0
    """Connections closed at once because of ``connection_rate``."""
    failed_handshakes: int = 0
    """Connections that ended before they were established."""
    unauthorized: int = 0
    """Of these, clients that proved a key which is not authorised."""
    dropped_handshakes: int = 0
    """Unfinished handshakes dropped to make room for a newcomer; not among the failed."""
    probes: int = 0
    """Connections that the client cut, or on a sealed server closed, before a byte was sent: health
    checks of balancers. They are not among the failed handshakes."""
    proxy_refused: int = 0
    """Connections that ``proxy_protocol`` refuses: their peers are not trusted, or have sent no
    right header. They are not among the accepted."""
    dropped: int = 0
    """Broadcast messages not queued for a client: too slow, or it accepts less."""
    sessions_resumed: int = 0
    """How often a client came back, and its session went on."""
    sessions_lost: int = 0
    """Sessions that ended because their client did not come back within ``keep``, for want of
    room, or because it came back with counts that cannot be."""
