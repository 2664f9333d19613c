"""What the log says of a session that has no link: each round of attempts, and rarely a warning."""

from __future__ import annotations

import logging
import math
import time
from typing import Final

logger = logging.getLogger("sealframe.client")

_LONG: Final = 60.0
"""Seconds without a link that are worth a warning."""
_RARELY: Final = 3600.0
"""Seconds between two warnings."""


class SearchLog:
    """Of one session.

    :param id: of its connection
    """

    __slots__ = ("_began", "_id", "_patience", "_quiet_until", "_since")

    def __init__(self, id: str) -> None:
        self._id = id
        self._patience = _LONG
        self._began = 0.0
        self._since = ""
        self._quiet_until = -math.inf

    def begin(self, keep: float, now: float) -> None:
        """The link was lost.

        :param keep: seconds for which the server keeps the session: the warning comes no later
        :param now: by the event loop's clock
        """
        self._patience = min(keep, _LONG)
        self._began = now
        self._since = time.strftime("%Y-%m-%d %H:%M:%S")

    def failed(self, error: Exception, delay: float, now: float, *, grave: bool) -> None:
        """Every address was tried, and the next round comes.

        :param error: why none of them helped
        :param delay: seconds until then
        :param now: by the event loop's clock
        :param grave: whether time alone does not cure it: then a warning comes at once
        """
        text = "connection %s has no link: %s; next attempt in %.1f s"
        without = now - self._began
        if now < self._quiet_until or not (grave or without >= self._patience):
            logger.info(text, self._id, error, delay)
            return
        self._quiet_until = now + _RARELY
        text += "; it has had none since %s, for %.0f s, and goes on looking"
        logger.warning(text, self._id, error, delay, self._since, without)
