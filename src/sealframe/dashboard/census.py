"""Goes through all clients of a server, a few at each turn of the event loop.

``Server.stats()`` does so in one turn, which with 10,000 clients is a tenth of a second. Here a
turn takes some milliseconds however many there are.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple, TypeVar

from ..aio.connection import AnyConnection, protocol_of
from ..aio.stats import Stats
from ..server.server import Server, cluster_of, registry_of
from ..version import __version__

MIN_INTERVAL: Final = 0.9
"""Seconds for which a census holds: whoever asks again before gets the same one."""

_OLD: Final = 5.0
"""Seconds after which what went before is no base for a rate."""

_SLICE: Final = 100
"""Clients at each turn of the event loop."""

_LONGEST: Final = 100
"""Characters of a name, an address or groups: what a peer chose has no say in how much is kept."""

_MOST_GROUPS: Final = 5
"""Groups of a client that are named."""

_REFUSED: Final = (
    *("turned_away", "too_fast", "failed_handshakes", "dropped_handshakes", "proxy_refused"),
)
"""Counters of connections that did not come about."""

_T = TypeVar("_T")


class Row(NamedTuple):
    """A client. Rates are per second, None where there was no look before; times are seconds."""

    id: str
    name: str
    address: str
    seal: str
    connected: bool
    connected_for: float
    messages_in: float | None
    bytes_in: float | None
    messages_out: float | None
    bytes_out: float | None
    inbox_cost: int
    outbox_cost: int
    latency: float | None
    dropped: int
    groups: str


class _Rates(NamedTuple):
    messages_in: float | None
    bytes_in: float | None
    messages_out: float | None
    bytes_out: float | None


_UNKNOWN: Final = _Rates(None, None, None, None)


class _Counted(NamedTuple):
    when: float
    messages_in: int
    bytes_in: int
    messages_out: int
    bytes_out: int

    def rates(self, before: _Counted | None) -> _Rates:
        """Return what went through per second since then."""
        seconds = 0.0 if before is None else self.when - before.when
        if before is None or not 0 < seconds < _OLD:
            return _UNKNOWN
        return _Rates(
            (self.messages_in - before.messages_in) / seconds,
            (self.bytes_in - before.bytes_in) / seconds,
            (self.messages_out - before.messages_out) / seconds,
            (self.bytes_out - before.bytes_out) / seconds,
        )


@dataclass(frozen=True, slots=True)
class Count:
    """What one census found.

    :ivar summary: of all clients together, as plain data
    :ivar rows: the clients, in the order in which they came
    """

    summary: dict[str, Any]
    rows: list[Row]


class _Memory:
    """What is kept from one count to the next.

    :ivar before: what each client had counted at the last count
    :ivar total_before: what all together had, None before the first
    """

    def __init__(self) -> None:
        self.before: dict[str, _Counted] = {}
        self.total_before: _Counted | None = None
        self.last: Count | None = None


class Census:
    """Counts the clients of one server, and what goes through since the last time.

    :param server: listening or closed
    """

    def __init__(self, server: Server[Any, Any]) -> None:
        self._server = server
        self._registry = registry_of(server)
        self._lock = asyncio.Lock()
        self._memory = _Memory()
        self._earliest = 0.0

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The server's."""
        return self._registry.loop

    async def take(self) -> Count:
        """Count, or return the last count if that is not older than :data:`MIN_INTERVAL`.

        Those that ask at the same time wait for one count. Where the last one was forgotten, the
        next waits until that is so old: a page that leaves and returns, again and again, costs no
        more than one that stays.
        """
        async with self._lock:
            wait = self._earliest - self.loop.time()
            if wait > 0 and self._memory.last is not None:
                return self._memory.last
            await asyncio.sleep(wait)
            self._earliest = self.loop.time() + MIN_INTERVAL
            # Its own throughout: what is forgotten while this counts stays so.
            memory = self._memory
            memory.last = await self._count(memory)
            return memory.last

    def forget(self) -> None:
        """Let the last count go, and one that is under way once it is made: nobody watches."""
        self._memory = _Memory()

    async def _count(self, memory: _Memory) -> Count:
        # In one turn, so that a connection that ends meanwhile is counted once: its counters
        # can still be read, and are not yet among the sums of those that are gone.
        registry = self._registry
        total = Stats()
        total.add(registry.gone)
        started = self.loop.time()
        connections = list(registry.connections)
        clients = list(registry.clients.by_id.items())
        cluster = cluster_of(self._server)
        summary = {
            "version": __version__,
            "time": time.time(),
            "clients": len(clients),
            "groups": len(self._server.groups),
            "sessions_adopting": 0 if registry.sessions is None else registry.sessions.adopting,
            "refusals": asdict(registry.counters),
            "cluster": None if cluster is None else cluster.stats(),
        }
        detached = 0
        for part in _slices(connections):
            for protocol in part:
                total.add(protocol.stats)
                detached += protocol.detached
            await asyncio.sleep(0)
        rows: list[Row] = []
        inbox = outbox = waiting = 0
        latencies: list[float] = []
        before, memory.before = memory.before, {}
        for named in _slices(clients):
            now = self.loop.time()
            for id, conn in named:
                counted = _counted(now, conn.stats)
                memory.before[id] = counted
                row = _row(id, conn, counted.rates(before.get(id)), now)
                rows.append(row)
                inbox += row.inbox_cost
                outbox += row.outbox_cost
                waiting += row.outbox_cost > 0
                if row.latency is not None:
                    latencies.append(row.latency)
            await asyncio.sleep(0)
        now_total = _counted(started, total)
        rates = now_total.rates(memory.total_before)
        memory.total_before = now_total
        summary |= {
            "connections": len(connections) - detached,
            "sessions_detached": detached,
            "rates": rates._asdict(),
            "totals": total.as_dict(),
            "refused": sum(getattr(registry.counters, name) for name in _REFUSED),
            "dropped": total.dropped + total.discarded + total.unsent,
            "inbox_cost": inbox,
            "outbox_cost": outbox,
            "waiting_clients": waiting,
            "round_trip": percentiles(latencies),
        }
        return Count(summary, rows)


def percentiles(times: list[float]) -> dict[str, float] | None:
    """Return the 50th, 90th and 99th percentile, the longest and the number; None of none."""
    if not times:
        return None
    times.sort()
    last = len(times) - 1
    of = {f"p{part}": times[round(last * part / 100)] for part in (50, 90, 99)}
    return {"known": len(times), **of, "max": times[-1]}


def _slices(whole: list[_T]) -> Iterator[list[_T]]:
    for start in range(0, len(whole), _SLICE):
        yield whole[start : start + _SLICE]


def _counted(when: float, stats: Stats) -> _Counted:
    return _Counted(
        when,
        stats.messages_received,
        stats.bytes_received,
        stats.messages_sent,
        stats.bytes_sent,
    )


def _row(id: str, conn: AnyConnection, rates: _Rates, now: float) -> Row:
    protocol = protocol_of(conn)
    return Row(
        id=id,
        name="" if conn.peer is None else (conn.peer.name or "")[:_LONGEST],
        address=_address(conn.remote_address),
        seal=("hybrid" if conn.post_quantum else "classic") if conn.sealed else "plain",
        connected=conn.connected,
        connected_for=now - protocol.since,
        messages_in=rates.messages_in,
        bytes_in=rates.bytes_in,
        messages_out=rates.messages_out,
        bytes_out=rates.bytes_out,
        inbox_cost=protocol.receiver.queue.queued_bytes,
        outbox_cost=protocol.sender.queue.queued_bytes,
        latency=conn.latency,
        dropped=conn.stats.dropped,
        groups=_groups(conn.groups),
    )


def _groups(groups: frozenset[str]) -> str:
    named = ", ".join(sorted(groups)[:_MOST_GROUPS])
    more = len(groups) - _MOST_GROUPS
    return named[:_LONGEST] + (f" and {more} more" if more > 0 else "")


def _address(address: tuple[str, int] | str | None) -> str:
    if isinstance(address, tuple):
        host, port = address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if address and address.startswith("\0"):
        address = f"@{address[1:]}"
    return (address or "a Unix socket")[:_LONGEST]
