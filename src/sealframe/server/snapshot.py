"""What a server is doing, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import asdict
from typing import Any

from ..aio.connection import AnyConnection, protocol_of
from ..aio.stats import Stats
from .registry import ConnectionRegistry


def snapshot(registry: ConnectionRegistry, groups: Mapping[str, Sized]) -> dict[str, Any]:
    """Return what :meth:`Server.stats` does."""
    now = registry.loop.time()
    total = Stats()
    total.add(registry.gone)
    detached = 0
    for protocol in registry.connections:
        total.add(protocol.stats)
        detached += protocol.detached
    return {
        "clients": {id: _describe(conn, now) for id, conn in registry.clients.by_id.items()},
        "groups": {name: len(group) for name, group in groups.items()},
        "connections": len(registry.connections) - detached,
        "sessions_detached": detached,
        "sessions_adopting": 0 if registry.sessions is None else registry.sessions.adopting,
        # `dropped` is in both: the server counts it itself, over all connections.
        **total.as_dict(),
        **asdict(registry.counters),
    }


def _describe(conn: AnyConnection, now: float) -> dict[str, Any]:
    protocol = protocol_of(conn)
    return {
        "name": None if conn.peer is None else conn.peer.name,
        "address": conn.remote_address,
        "sealed": conn.sealed,
        "post_quantum": conn.post_quantum,
        "connected": conn.connected,
        "links": protocol.links,
        "connected_for": now - protocol.since,
        **conn.stats.as_dict(),
        "inbox_cost": protocol.receiver.queue.queued_bytes,
        "outbox_cost": protocol.sender.queue.queued_bytes,
        "latency": conn.latency,
        "groups": sorted(conn.groups),
    }
