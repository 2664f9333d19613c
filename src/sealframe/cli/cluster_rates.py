"""What goes through the servers of a cluster, from one look at them to the next."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..cluster.observer import SeenServer


class Rates(NamedTuple):
    """Of one server, per second; None where that is not known."""

    messages_in: float | None = None
    bytes_in: float | None = None
    messages_out: float | None = None
    bytes_out: float | None = None
    between: float | None = None
    """Messages from and to other servers."""


class Looks:
    """Remembers the last look, and works out rates since then."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, SeenServer]] = {}

    def rates(self, servers: Iterable[SeenServer]) -> dict[str, Rates]:
        """Take a look that was made just now; return the rates of each server by its id."""
        now = time.monotonic()
        before = self._before
        self._before = {server.id: (now, server) for server in servers}
        return {
            id: _rates(server, *before[id], now) if id in before else Rates()
            for id, (_, server) in self._before.items()
        }

    def forget(self) -> None:
        """Let the last look go: the next one has no rates."""
        self._before = {}


def _rates(server: SeenServer, when: float, before: SeenServer, now: float) -> Rates:
    seconds = now - when
    if seconds <= 0:
        return Rates()
    between = (_between(server) - _between(before)) / seconds
    status, past = server.status, before.status
    if status is None or past is None:
        return Rates(between=between)
    return Rates(
        (status.messages_received - past.messages_received) / seconds,
        (status.bytes_received - past.bytes_received) / seconds,
        (status.messages_sent - past.messages_sent) / seconds,
        (status.bytes_sent - past.bytes_sent) / seconds,
        between,
    )


def _between(server: SeenServer) -> float:
    return float(server.figures.get("sent", 0) + server.figures.get("received", 0))
