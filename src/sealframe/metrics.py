"""A server's figures for Prometheus; needs ``pip install "sealframe[metrics]"``::

    from prometheus_client import REGISTRY, start_http_server
    from sealframe.metrics import ServerCollector

    async with sealframe.serve(...) as server:
        REGISTRY.register(ServerCollector(server))
        start_http_server(9100)

The server is looked at when a registry asks, and at no other time.
"""

from __future__ import annotations

import concurrent.futures
from asyncio import _get_running_loop
from collections.abc import Iterator
from typing import Any, Final

from .errors import ConfigurationError, MetricsError, MissingExtraError
from .server.server import Server, registry_of

try:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    raise MissingExtraError(
        'metrics need the prometheus_client package: run: pip install "sealframe[metrics]"'
    ) from error

__all__ = ["ServerCollector"]

_COUNTERS: Final = {
    # Of a server: its counters, and what they are called here.
    "accepted": ("connections_accepted", "Connections taken in, before any handshake."),
    "turned_away": ("connections_turned_away", "Connections refused by max_connections."),
    "too_fast": ("connections_too_fast", "Connections refused by connection_rate."),
    "failed_handshakes": ("handshakes_failed", "Connections that ended before the welcome."),
    "unauthorized": ("handshakes_unauthorized", "Of these, keys that are not let in."),
    "dropped_handshakes": ("handshakes_dropped", "Handshakes dropped for a newcomer."),
    "probes": ("probes", "Connections that clients ended before a byte was sent: health checks."),
    "proxy_refused": ("connections_proxy_refused", "Connections refused by proxy_protocol."),
    "dropped": ("broadcast_messages_dropped", "Broadcast messages not queued for a client."),
    "sessions_resumed": ("sessions_resumed", "Sessions that went on over another link."),
    "sessions_lost": ("sessions_lost", "Sessions that ended while they could have gone on."),
    # Of all its connections together.
    "messages_received": ("messages_received", "Messages received."),
    "messages_sent": ("messages_sent", "Messages handed to the transport."),
    "bytes_received": ("received_bytes", "Bytes received, heads and seals included."),
    "bytes_sent": ("sent_bytes", "Bytes sent, heads and seals included."),
    "discarded": ("messages_discarded", "Messages that came after the close, not kept."),
    "unsent": ("messages_unsent", "Accepted messages that a connection's end left unsent."),
}

_CLUSTER_GAUGES: Final = {
    "connected": "1 while other servers of the cluster can be reached, else 0.",
    "servers": "Servers of the cluster, this one included.",
    "clients": "Clients of all servers of the cluster.",
    "requests": "Requests to clients of other servers that have no answer yet.",
    "waiting_bytes": "Bytes that wait for NATS.",
}
_CLUSTER_COUNTERS: Final = {
    "messages_sent": "Frames to other servers of the cluster, for each server one.",
    "messages_received": "Frames from other servers of the cluster.",
    "messages_lost": "NATS messages between servers that were lost.",
    "nats_connections": "Connections to NATS that came about.",
}


class ServerCollector(Collector):
    """Hands a server's figures to a registry of ``prometheus_client``.

    They are sums over all clients: none has labels of its own. Totals keep what those
    counted that left. Those of a cluster are there where the server is in one. It may be asked
    in any thread, as by ``start_http_server()``, and looks at the server in its event loop.

    :param server: a server, listening or closed
    :param namespace: what all names begin with; give each server in a registry its own
    :param timeout: seconds to wait for the server's event loop, from another thread
    :raises ConfigurationError: the time is not positive
    """

    def __init__(
        self, server: Server, *, namespace: str = "sealframe", timeout: float = 5.0
    ) -> None:
        seconds: object = timeout
        if not isinstance(seconds, int | float) or not seconds > 0:
            raise ConfigurationError(f"timeout is {timeout!r}; use a positive number of seconds")
        self._server = server
        self._namespace = namespace
        self._timeout = timeout

    def describe(self) -> Iterator[Metric]:
        """Name the metrics, without asking the server."""
        gauges = ("connections", "sessions_detached", "sessions_adopting")
        zeros = dict.fromkeys((*_COUNTERS, *gauges), 0)
        cluster: dict[str, Any] = dict.fromkeys((*_CLUSTER_GAUGES, *_CLUSTER_COUNTERS), 0)
        cluster["servers"] = {}
        return self._metrics({"clients": {}, "groups": {}, "cluster": cluster, **zeros})

    def collect(self) -> Iterator[Metric]:
        """Return the metrics as they are now.

        :raises MetricsError: the server's event loop did not answer in time, or is closed
        """
        return self._metrics(self._ask())

    def _metrics(self, stats: dict[str, Any]) -> Iterator[Metric]:
        clients = stats["clients"].values()
        gauges = (
            ("clients", "Clients that are there.", len(clients)),
            ("connections", "Open connections, handshakes included.", stats["connections"]),
            ("sessions_detached", "Sessions without a link.", stats["sessions_detached"]),
            (
                "sessions_adopting",
                "Sessions that wait for their position, and are no clients yet.",
                stats["sessions_adopting"],
            ),
            ("groups", "Groups that have members.", len(stats["groups"])),
            ("inbox_cost", "Cost of unread messages.", sum(c["inbox_cost"] for c in clients)),
            ("outbox_cost", "Cost of unwritten messages.", sum(c["outbox_cost"] for c in clients)),
        )
        for name, text, value in gauges:
            yield GaugeMetricFamily(f"{self._namespace}_{name}", text, value)
        for key, (name, text) in _COUNTERS.items():
            yield CounterMetricFamily(f"{self._namespace}_{name}", text, stats[key])
        if "cluster" in stats:
            yield from self._cluster_metrics(stats["cluster"])

    def _cluster_metrics(self, stats: dict[str, Any]) -> Iterator[Metric]:
        stats = {**stats, "servers": len(stats["servers"])}
        for name, text in _CLUSTER_GAUGES.items():
            yield GaugeMetricFamily(f"{self._namespace}_cluster_{name}", text, int(stats[name]))
        for name, text in _CLUSTER_COUNTERS.items():
            yield CounterMetricFamily(f"{self._namespace}_cluster_{name}", text, stats[name])

    def _ask(self) -> dict[str, Any]:
        loop = registry_of(self._server).loop
        if _get_running_loop() is loop:
            return self._server.stats()
        answer: concurrent.futures.Future[dict[str, Any]] = concurrent.futures.Future()

        def look() -> None:
            if not answer.set_running_or_notify_cancel():
                return
            try:
                answer.set_result(self._server.stats())
            except Exception as error:  # noqa: BLE001 - it belongs to who asked
                answer.set_exception(error)

        try:
            loop.call_soon_threadsafe(look)
        except RuntimeError as error:
            raise MetricsError("the server's event loop is closed: unregister its collector") from (
                error
            )
        try:
            return answer.result(self._timeout)
        except concurrent.futures.TimeoutError as error:
            answer.cancel()
            raise MetricsError(
                f"the server's event loop did not answer within {self._timeout:g} s: something "
                "blocks it, or it does not run"
            ) from error
