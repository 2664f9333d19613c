"""Which servers have asked not to be asked again before a time (docs/PROTOCOL.md, section 12).

Where one name has several servers, as a service in DNS, that holds for the one that has said it:
the others are asked at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Final

from ..aio.endpoint import Endpoint

_LATER: Final = 0.5
"""By how much, of the time that a server asks for, a client may come later: all at once would be
too many."""
_ONLY: Final = ("",)
"""The servers of an address that has one."""


class Pauses:
    """Those of one client's session.

    :param clock: returns the present time, in seconds
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[tuple[Endpoint, str], float] = {}
        # Of an address with several: those that there were when it was tried last.
        self._servers: dict[Endpoint, Collection[str]] = {}

    def note(self, endpoint: Endpoint, milliseconds: int | None) -> None:
        """An attempt, or a link, has ended there.

        :param milliseconds: for how long its server has asked not to be asked; None: it has not
        """
        now = self._clock()
        # The servers of a service may have other names each time.
        self._until = {server: until for server, until in self._until.items() if until > now}
        self._servers[endpoint] = endpoint.servers or _ONLY
        if milliseconds is not None:
            pause = milliseconds / 1000 * random.uniform(1.0, 1.0 + _LATER)
            self._until[endpoint, endpoint.server] = now + pause

    def time_left(self, endpoint: Endpoint) -> float:
        """Return after how many seconds one of its servers may be asked; 0: now."""
        return min(self._left(endpoint, one) for one in self._servers.get(endpoint, _ONLY))

    def waits(self, endpoint: Endpoint, server: str) -> bool:
        """Return whether this one of its servers is not to be asked now."""
        return self._left(endpoint, server) > 0

    def _left(self, endpoint: Endpoint, server: str) -> float:
        return max(0.0, self._until.get((endpoint, server), 0.0) - self._clock())
