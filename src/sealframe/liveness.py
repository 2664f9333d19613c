"""Decides from the clock it is handed when to probe a peer and when to give it up."""

from __future__ import annotations

import math
from enum import Enum

from .options import Options


class Verdict(Enum):
    """What :meth:`Liveness.check` found."""

    ALIVE = "alive"
    PROBE = "probe"
    DEAD = "dead"
    IDLE = "idle"


class Liveness:
    """The timers of one connection. Times are seconds of one monotonic clock.

    ``probing`` says whether the peer answers PING; on a plain server that is
    known only once a client has said HELLO.
    """

    __slots__ = (
        "_idle_timeout",
        "_interval",
        "_probed_at",
        "_timeout",
        "last_message",
        "last_received",
    )

    def __init__(self, options: Options, *, now: float) -> None:
        self._idle_timeout = options.idle_timeout
        self._interval = options.keepalive_interval
        self._timeout = options.keepalive_timeout
        self._probed_at: float | None = None
        self.last_received = now
        """When bytes last came."""
        self.last_message = now
        """When a message last came or went."""

    @property
    def asked(self) -> bool:
        """Whether a probe is out and nothing came since."""
        # The clock may stand still from the probe to the answer: uvloop's ticks are 1 ms.
        return self._probed_at is not None and self.last_received < self._probed_at

    def hold(self, now: float) -> None:
        """Restart the peer's time: it cannot show life while we do not read."""
        self.last_received = now
        self.last_message = now
        self._probed_at = None

    def check(self, now: float, *, probing: bool) -> Verdict:
        """Return what is due now. A probe counts as sent once it was returned."""
        if self._idle_timeout is not None and now - self.last_message >= self._idle_timeout:
            return Verdict.IDLE
        if self._interval is None or not probing:
            return Verdict.ALIVE
        if self._probed_at is not None and self.asked:
            return Verdict.DEAD if now - self._probed_at >= self._timeout else Verdict.ALIVE
        if now - self.last_received >= self._interval:
            self._probed_at = now
            return Verdict.PROBE
        return Verdict.ALIVE

    def next_check(self, *, probing: bool) -> float:
        """Return when to check again, infinity if never."""
        times = [math.inf]
        if self._idle_timeout is not None:
            times.append(self.last_message + self._idle_timeout)
        if self._interval is not None and probing:
            if self._probed_at is not None and self.asked:
                times.append(self._probed_at + self._timeout)
            else:
                times.append(self.last_received + self._interval)
        return min(times)
