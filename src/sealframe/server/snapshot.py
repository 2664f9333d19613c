"""What a server is doing, as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from dataclasses import asdict
from typing import Any

from ..aio.connection import Connection
from ..aio.stats import ServerStats, Stats


def described(
    clients: Mapping[str, Connection], groups: Mapping[str, Sized], now: float
) -> dict[str, Any]:
    """Return what there is to say of the clients, and how many are in which group.

    :param now: by the event loop's clock
    """
    return {
        "clients": {id: _describe(conn, now) for id, conn in clients.items()},
        "groups": {name: len(group) for name, group in groups.items()},
    }


def totals(counters: ServerStats, gone: Stats, connections: Iterable[Connection]) -> dict[str, int]:
    """Return the counters of a server, and those of all its connections together.

    :param gone: those of the connections that are gone
    :param connections: the others
    """
    total = Stats()
    total.add(gone)
    for conn in connections:
        total.add(conn.stats)
    # What was dropped is in both: the server counts it itself, over all connections.
    return {**asdict(total), **asdict(counters)}


def _describe(conn: Connection, now: float) -> dict[str, Any]:
    return {
        "name": None if conn.peer is None else conn.peer.name,
        "address": conn.remote_address,
        "sealed": conn.sealed,
        "connected_for": now - conn._since,
        **asdict(conn.stats),
        "inbox_cost": conn._inbox.queued_bytes,
        "outbox_cost": conn._outbox.queued_bytes,
        "latency": conn.latency,
        "groups": sorted(conn.groups),
    }
