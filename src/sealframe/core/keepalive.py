"""When to probe a quiet peer and when to give it up: a machine on a clock that is handed in.

A connection is ``quiet`` or ``probed``. Whatever is received makes it quiet again; a PING is due
after ``keepalive_interval`` of silence, and CLOSE(TIMEOUT) ``keepalive_timeout`` after the PING.
Beside that, ``idle_timeout`` counts from the last message, and PING and PONG do not put it off.
docs/PROTOCOL.md, section 5, has what other ends have to do.
"""

from __future__ import annotations

import math
from enum import Enum, auto
from typing import Final

from ..options import Options

_CHECKS: Final = 32


class KeepaliveAction(Enum):
    """What is due, as :meth:`Keepalive.check` found."""

    WAIT = auto()
    SEND_PING = auto()
    """Nothing was received for ``keepalive_interval``."""
    GIVE_UP = auto()
    """Nothing was received for ``keepalive_timeout`` after the PING."""
    DISCONNECT = auto()
    """No message came or went for ``idle_timeout``."""


class Keepalive:
    """The clocks of one connection. Times are seconds of one monotonic clock.

    ``probing`` says whether the peer answers PING; on a plain server that is
    known only once a client has said HELLO.

    :ivar last_received: when bytes last came
    :ivar probed_at: when PING was sent, None in the state quiet
    :ivar last_message: when a message last came or went, or a frame of a stream or request came
    """

    __slots__ = ("_frames", "_options", "last_message", "last_received", "probed_at")

    def __init__(self, options: Options, *, now: float) -> None:
        self._options = options
        self.probed_at: float | None = None
        self.last_received = now
        self.last_message = now
        # How many messages, and frames of streams and requests, had come by last_message.
        self._frames = 0

    def received(self, now: float, frames: int) -> bool:
        """Count bytes that came.

        :param frames: how many messages, and frames of streams and requests, came so far
        :return: whether a PING was out, so that the next check is due at another time
        """
        answered = self.probed_at is not None
        self.probed_at = None
        self.last_received = now
        if self._frames != frames:
            self._frames = frames
            self.last_message = now
        return answered

    def sent(self, now: float) -> None:
        """Count messages that went."""
        self.last_message = now

    def restart(self, now: float) -> None:
        """Restart all clocks: a peer cannot show life while this end does not read."""
        self.last_received = now
        self.last_message = now
        self.probed_at = None

    def probe(self, now: float) -> bool:
        """Return whether PING is to be sent now, whatever came until now: none is out, and what
        is at the other end may have gone. It then counts as sent."""
        due = self.probed_at is None and self._options.keepalive_interval is not None
        if due:
            self.probed_at = now
        return due

    def check(self, now: float, *, probing: bool) -> KeepaliveAction:
        """Return what is due now. A PING counts as sent once it was asked for."""
        options = self._options
        if options.idle_timeout is not None and now - self.last_message >= options.idle_timeout:
            return KeepaliveAction.DISCONNECT
        if options.keepalive_interval is None or not probing:
            return KeepaliveAction.WAIT
        if self.probed_at is not None:
            silent = now - self.probed_at >= options.keepalive_timeout
            return KeepaliveAction.GIVE_UP if silent else KeepaliveAction.WAIT
        if now - self.last_received >= options.keepalive_interval:
            self.probed_at = now
            return KeepaliveAction.SEND_PING
        return KeepaliveAction.WAIT

    def next_check(self, *, probing: bool) -> float:
        """Return when to check again, infinity if never."""
        options, due = self._options, math.inf
        if options.idle_timeout is not None:
            due = self.last_message + options.idle_timeout
        if options.keepalive_interval is not None and probing:
            if self.probed_at is not None:
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
    return min(time for time in times if time is not None) / _CHECKS
