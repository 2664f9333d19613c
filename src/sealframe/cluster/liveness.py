"""Whether another server is still there: silence, probes and what comes of them.

==========  ===============  ==========  ===================  =================
state       anything heard   silence     "no responders"      3 s of silence
==========  ===============  ==========  ===================  =================
HEARD       HEARD            PROBED                           gone
PROBED      HEARD            PROBED      REFUSED              gone
REFUSED     HEARD            REFUSED     gone                 gone
==========  ===============  ==========  ===================  =================

Silence is 375 ms, or 60 ms in REFUSED, and leads to a probe each time. An answer is something
heard. A probe that nobody answers or refuses leads from REFUSED back to PROBED: somebody has
subscribed there.
"""

from __future__ import annotations

from enum import Enum, auto

from .events import ProbeOutcome
from .numbers import GONE_AFTER, LONGEST_TURN, PROBE_AFTER, PROBE_PAUSE

__all__ = ["ListeningClock", "Liveness", "Verdict"]


class ListeningClock:
    """Time in which this server has listened.

    It stands still where this server was held up itself, by a long turn of its event loop, or
    stopped: what the others said meanwhile is read afterwards, and they were not silent.

    :ivar now: the time that was handed in last
    :ivar time: the time in which this server has listened
    """

    __slots__ = ("now", "time")

    def __init__(self, now: float) -> None:
        self.now = now
        self.time = 0.0

    def advance(self, now: float) -> float:
        """Take the time of now; return how long this server has listened."""
        elapsed = now - self.now
        if elapsed > 0:
            self.time += min(elapsed, LONGEST_TURN)
            self.now = now
        return self.time

    def moment(self, time: float) -> float:
        """Return when it will be that time, in the time that is handed in."""
        return self.now + time - self.time


class Verdict(Enum):
    """What silence means by now."""

    ALIVE = auto()
    PROBE = auto()
    """Ask whether it is there."""
    SILENT = auto()
    """It is gone."""


class _State(Enum):
    HEARD = auto()
    PROBED = auto()
    REFUSED = auto()


class Liveness:
    """That of one server. All times are those of a :class:`ListeningClock`."""

    __slots__ = ("_heard", "_next_probe", "_state")

    def __init__(self, time: float) -> None:
        self.heard(time)

    def heard(self, time: float) -> None:
        """Something came from it."""
        self._state = _State.HEARD
        self._heard = time
        self._next_probe = time + PROBE_AFTER

    @property
    def next_time(self) -> float:
        """When :meth:`check` has something to say, unless something is heard before."""
        return min(self._next_probe, self._heard + GONE_AFTER)

    def check(self, time: float) -> Verdict:
        """Say what its silence means; a probe is asked for once when it is due."""
        if time >= self._heard + GONE_AFTER:
            return Verdict.SILENT
        if time < self._next_probe:
            return Verdict.ALIVE
        self._next_probe = time + PROBE_AFTER
        if self._state is _State.HEARD:
            self._state = _State.PROBED
        return Verdict.PROBE

    def probed(self, outcome: ProbeOutcome, time: float) -> bool:
        """Take what came of a probe; return whether the server is gone by that.

        Something heard since then counts more.
        """
        if self._state is _State.HEARD:
            return False
        match outcome:
            case ProbeOutcome.ANSWERED:
                self.heard(time)
            case ProbeOutcome.SILENCE:
                self._state = _State.PROBED
            case ProbeOutcome.NO_RESPONDERS:
                if self._state is _State.REFUSED:
                    return True
                self._state = _State.REFUSED
                self._next_probe = time + PROBE_PAUSE
        return False
