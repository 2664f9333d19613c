"""Counters of connections and of servers."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True)
class Stats:
    """Counters of one connection, from its start."""

    messages_received: int = 0
    """Messages decoded from the stream, those in the receive queue included."""
    messages_sent: int = 0
    """Messages handed to the transport."""
    bytes_received: int = 0
    """Bytes from the socket, heads and authentication tags included."""
    bytes_sent: int = 0
    """Bytes handed to the transport, heads and authentication tags included."""
    dropped: int = 0
    """Broadcast messages not queued: the peer was too slow, or accepts less."""
    discarded: int = 0
    """Messages that came after the local close and were not kept."""
    unsent: int = 0
    """Accepted messages that the end of the connection left unsent."""

    def add(self, other: Stats) -> None:
        """Add the counters of another connection."""
        for field in fields(self):
            name = field.name
            setattr(self, name, getattr(self, name) + getattr(other, name))


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
    dropped: int = 0
    """Broadcast messages not queued for a client: too slow, or it accepts less."""
