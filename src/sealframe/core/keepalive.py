"""Decides from the clock it is handed when to probe a peer and when to give it up."""

from __future__ import annotations

import math
from enum import Enum
from typing import Final

from ..options import Options

_GRAINS: Final = 32


class Verdict(Enum):
    """What :meth:`Keepalive.check` found."""

    ALIVE = "alive"
    PROBE = "probe"
    DEAD = "dead"
    IDLE = "idle"


class Keepalive:
    """The timers of one connection. Times are seconds of one monotonic clock.

    ``probing`` says whether the peer answers PING; on a plain server that is
    known only once a client has said HELLO.
    """

    __slots__ = (
        "_options",
        "frames",
        "last_message",
        "last_received",
        "probed_at",
    )

    def __init__(self, options: Options, *, now: float) -> None:
        self._options = options
        self.probed_at: float | None = None
        self.last_received = now
        """When bytes last came."""
        self.last_message = now
        """When a message last came or went, or something of a stream or request came."""
        self.frames = 0
        """How many of them had come by then."""

    @property
    def asked(self) -> bool:
        """Whether a probe is out and nothing came since."""
        # The clock may stand still from the probe to the answer: uvloop's ticks are 1 ms.
        return self.probed_at is not None and self.last_received < self.probed_at

    def hold(self, now: float) -> None:
        """Restart the peer's time: it cannot show life while we do not read."""
        self.last_received = now
        self.last_message = now
        self.probed_at = None

    def check(self, now: float, *, probing: bool) -> Verdict:
        """Return what is due now. A probe counts as sent once it was returned."""
        options = self._options
        if options.idle_timeout is not None and now - self.last_message >= options.idle_timeout:
            return Verdict.IDLE
        if options.keepalive_interval is None or not probing:
            return Verdict.ALIVE
        if self.probed_at is not None and self.asked:
            dead = now - self.probed_at >= options.keepalive_timeout
            return Verdict.DEAD if dead else Verdict.ALIVE
        if now - self.last_received >= options.keepalive_interval:
            self.probed_at = now
            return Verdict.PROBE
        return Verdict.ALIVE

    def next_check(self, *, probing: bool) -> float:
        """Return when to check again, infinity if never."""
        options, due = self._options, math.inf
        if options.idle_timeout is not None:
            due = self.last_message + options.idle_timeout
        if options.keepalive_interval is not None and probing:
            if self.probed_at is not None and self.asked:
                due = min(due, self.probed_at + options.keepalive_timeout)
            else:
                due = min(due, self.last_received + options.keepalive_interval)
        return due


def is_watched(options: Options, *, probing: bool) -> bool:
    """Return whether any time is kept at all."""
    return options.idle_timeout is not None or (probing and options.keepalive_interval is not None)


def resolution_of(options: Options) -> float:
    """Return by how many seconds a check may be late: little, beside any of the times."""
    times = (options.keepalive_interval, options.keepalive_timeout, options.idle_timeout)
    return min(time for time in times if time is not None) / _GRAINS
