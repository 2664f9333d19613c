"""What goes wrong with a server's clients: all of it counted, a few lines of it logged."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from ..aio.addresses import Address, show
from ..aio.log_throttle import LogThrottle, others
from ..aio.stats import ServerStats
from ..errors import ConnectionClosedError, DecodeError, HandshakeError
from ..wire import CloseCode

logger = logging.getLogger("sealframe.server")

_MAX_FAILURE_LINES: Final = 20
"""Connections of one kind a minute that failed and get a line each in the log."""


class ConnectionLog:
    """Counts and logs who was refused, dropped and lost, whatever a crowd does.

    :param counters: the server's
    """

    def __init__(self, counters: ServerStats) -> None:
        self._loop = asyncio.get_running_loop()
        self._counters = counters
        # Who knocks must not fill the log.
        self._throttles = {kind: LogThrottle() for kind in ("full", "too fast", "dropped")}
        # Apart, so that those who knock with anything do not hide those with a key.
        for kind in ("failed", "unauthorized", "broken"):
            self._throttles[kind] = LogThrottle(_MAX_FAILURE_LINES)

    def came_too_fast(self, who: Address) -> None:
        """Note one that `connection_rate` keeps out."""
        self._counters.too_fast += 1
        self._log_arrival("too fast", who, "came faster than connection_rate allows")

    def turned_away(self, who: Address, limit: int) -> None:
        """Note one that `max_connections`, the limit, keeps out."""
        self._counters.turned_away += 1
        self._log_arrival("full", who, f"was turned away: max_connections, {limit}, is reached")

    def dropped_handshake(self, newcomer: Address, pending: int) -> None:
        """Note that an unfinished handshake, one of those pending, makes room for a newcomer."""
        self._counters.dropped_handshakes += 1
        text = "made a random unfinished handshake end: too many are pending"
        self._log_arrival("dropped", newcomer, f"{text} ({pending})")

    def failed(
        self, client_id: str, who: Address, error: ConnectionClosedError | DecodeError
    ) -> None:
        """Note a connection that ends in an error, or in a message that is none."""
        kind = "broken"
        if isinstance(error, HandshakeError):
            kind = "failed"
            self._counters.failed_handshakes += 1
            if error.code == CloseCode.UNAUTHORIZED:
                kind = "unauthorized"
                self._counters.unauthorized += 1
        self._log(kind, f"client {client_id} at", who, f": {error}")

    def _log_arrival(self, kind: str, who: Address, text: str) -> None:
        self._log(kind, "a client at", who, f" {text}")

    def _log(self, kind: str, what: str, who: Address, text: str) -> None:
        count = self._throttles[kind].count(self._loop.time())
        if count:
            more = others(count)
            logger.warning("%s %s%s%s", what, show(who), text, more)
