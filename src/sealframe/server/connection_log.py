"""What goes wrong with a server's clients: all of it counted, a few lines of it logged."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from ..aio.addresses import Address, show
from ..aio.log_throttle import LogThrottle
from ..aio.stats import ServerStats
from ..errors import ConnectionClosedError, DecodeError, HandshakeError
from ..wire import CloseCode

logger = logging.getLogger("sealframe.server")

_MAX_FAILURE_LINES: Final = 20
"""Connections of one kind a minute that failed and get a warning each."""

_CROWDS: Final = ("full", "too fast", "dropped", "untrusted", "no header")
"""Kinds of which one line a minute is enough."""


class ConnectionLog:
    """Counts and logs who was rejected, dropped and lost.

    Each kind of event has a limit of warnings a minute, so that a crowd cannot fill the log;
    at DEBUG there is a line for each.

    :param counters: the server's
    """

    def __init__(self, counters: ServerStats) -> None:
        self._loop = asyncio.get_running_loop()
        self._counters = counters
        self._throttles = {kind: LogThrottle() for kind in _CROWDS}
        # Separate, so that peers without a key do not hide the failures of those with one.
        for kind in ("failed", "unauthorized", "broken"):
            self._throttles[kind] = LogThrottle(_MAX_FAILURE_LINES)

    def rejected_too_fast(self, who: Address) -> None:
        """Count and log a client that ``connection_rate`` rejects."""
        self._counters.too_fast += 1
        self._log_arrival("too fast", who, "came faster than connection_rate allows")

    def rejected_full(self, who: Address, limit: int) -> None:
        """Count and log a client that ``max_connections``, the limit, rejects."""
        self._counters.turned_away += 1
        self._log_arrival("full", who, f"was turned away: max_connections, {limit}, is reached")

    def dropped_handshake(self, newcomer: Address, pending: int) -> None:
        """Count and log that a newcomer replaces one of the pending handshakes."""
        self._counters.dropped_handshakes += 1
        text = "made a random unfinished handshake end: too many are pending"
        self._log_arrival("dropped", newcomer, f"{text} ({pending})")

    def failed(
        self, client_id: str, who: Address, error: ConnectionClosedError | DecodeError
    ) -> None:
        """Count and log a connection that ends in an error, or in a message that cannot be
        decoded."""
        kind = "broken"
        if isinstance(error, HandshakeError):
            kind = "failed"
            self._counters.failed_handshakes += 1
            if error.code == CloseCode.UNAUTHORIZED:
                kind = "unauthorized"
                self._counters.unauthorized += 1
        self._log(kind, f"client {client_id} at", who, f": {error}")

    def moved(self, client_id: str, error: ConnectionClosedError) -> None:
        """Log, for those who want to see each, that a session is here no more, and not lost."""
        logger.info("client %s: %s", client_id, error)

    def probed(self, client_id: str, who: Address) -> None:
        """Count a client that went before it said anything; a balancer sends many a minute."""
        self._counters.probes += 1
        logger.debug("client %s at %s went before it sent a byte", client_id, show(who))

    def refused_untrusted(self, who: Address, trusted: object) -> None:
        """Count and log a peer that is not among those that ``proxy_protocol`` trusts."""
        self._counters.proxy_refused += 1
        self._log_arrival("untrusted", who, f"was refused: proxy_protocol trusts {trusted} alone")

    def refused_header(self, who: Address, why: str) -> None:
        """Count and log a trusted peer without a right PROXY header."""
        self._counters.proxy_refused += 1
        self._log("no header", "the balancer at", who, f" was refused: {why}")

    def probed_balancer(self, who: Address) -> None:
        """Count a trusted peer that went before it sent its header."""
        self._counters.probes += 1
        logger.debug("the balancer at %s went before it sent a byte", show(who))

    def _log_arrival(self, kind: str, who: Address, text: str) -> None:
        self._log(kind, "a client at", who, f" {text}")

    def _log(self, kind: str, what: str, who: Address, text: str) -> None:
        more = self._throttles[kind].count(self._loop.time())
        if more is not None:
            logger.warning("%s %s%s%s", what, show(who), text, more)
        elif logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s %s%s", what, show(who), text)
