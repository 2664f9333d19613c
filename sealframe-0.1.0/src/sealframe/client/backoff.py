"""How long a client waits before it tries again."""

from __future__ import annotations

import random

from ..options import ClientOptions


class Backoff:
    """Delays that grow from attempt to attempt, each with jitter.

    Jitter spreads each delay evenly over 50% to 150% of its mean, so that many
    clients of a restarted server do not come back in step.
    """

    def __init__(self, options: ClientOptions) -> None:
        self._options = options
        self._mean = options.backoff_initial

    def next_delay(self) -> float:
        """Return the seconds to wait now, never more than ``backoff_maximum``."""
        maximum = self._options.backoff_maximum
        delay = min(self._mean * random.uniform(0.5, 1.5), maximum)
        self._mean = min(self._mean * self._options.backoff_factor, maximum)
        return delay

    def reset(self) -> None:
        """Start from the initial delay again."""
        self._mean = self._options.backoff_initial
