"""The servers of a cluster, for a dashboard."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..dashboard.source import Source, SourceError
from ..dashboard.views import View
from ..version import __version__
from .cluster_rates import Looks, Rates

if TYPE_CHECKING:
    from ..cluster.observer import Observer, SeenServer

_COUNTERS = ("messages_received", "bytes_received", "messages_sent", "bytes_sent")
_RATES = ("messages_in", "bytes_in", "messages_out", "bytes_out")
"""What goes through to clients, of :class:`.Rates`."""


def nobody(observer: Observer, name: str) -> str:
    """Say that a cluster has no server, and why that may be."""
    text = f"nobody is in the cluster {name!r}; is there a server with that URL?"
    if observer.versions:
        text += " There are servers of another version of sealframe, which are not understood"
    return text


class ClusterSource(Source):
    """Looks at a cluster from outside. Clients are known to their servers alone, and not shown.

    :param observer: entered
    """

    def __init__(self, observer: Observer, name: str) -> None:
        self.title = f"sealframe cluster {name}"
        self._name = name
        self._observer = observer
        self._looks = Looks()

    async def look(self, views: Sequence[View]) -> dict[str, Any]:
        """Ask all servers at once; what is not known of one is None.

        :raises SourceError: NATS is away, or nobody is in the cluster
        """
        seen = await self._observer.look()
        # What was heard before says nothing of now.
        if not self._observer.connected:
            raise SourceError("NATS is away: nothing is known of the cluster until it is back")
        if not seen:
            raise SourceError(nobody(self._observer, self._name))
        rates = self._looks.rates(seen)
        servers = {server.id: _plain_data(server, rates[server.id]) for server in seen}
        known = [server.status for server in seen if server.status is not None]
        lost = sum(int(server.figures.get("lost", 0)) for server in seen)
        summary = {
            "version": __version__,
            "time": time.time(),
            "clients": sum(server["clients"] for server in servers.values()),
            "sessions_detached": sum(status.detached for status in known),
            "rates": {name: _sum(server[name] for server in servers.values()) for name in _RATES},
            "outbox_cost": sum(status.waiting_bytes for status in known),
            "inbox_cost": None,
            "round_trip": None,
            "refused": None,
            "dropped": None,
            "refusals": {},
            "totals": {name: sum(getattr(status, name) for status in known) for name in _COUNTERS},
            "cluster": {
                "connected": True,
                "server_id": "",
                "clients": sum(server["clients"] for server in servers.values()),
                "messages_lost": lost,
                "waiting_bytes": None,
                "servers": servers,
            },
        }
        return {"summary": summary, "tables": [None for _ in views]}

    def rest(self) -> None:
        """Forget what rates are worked out from."""
        self._looks.forget()


def _plain_data(server: SeenServer, rates: Rates) -> dict[str, Any]:
    status = server.status
    state = server.state.value
    # What is left of a server that is gone is no client.
    clients = 0 if state == "gone" else int(server.figures.get("clients", 0))
    return {
        "label": server.label,
        "started": server.started,
        "clients": clients,
        "sessions": None if status is None else status.sessions,
        "detached": None if status is None else status.detached,
        **rates._asdict(),
        "queued": None if status is None else status.waiting_bytes,
        # 0 where no client has been asked.
        "latency": None if status is None else status.latency or None,
        "lost": int(server.figures.get("lost", 0)),
        "answer": server.round_trip,
        "state": state,
        "silent_for": server.silent_for,
    }


def _sum(rates: Any) -> float | None:
    known = [rate for rate in rates if rate is not None]
    return sum(known) if known else None
