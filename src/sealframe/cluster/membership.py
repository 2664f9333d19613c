"""Keeps a :class:`~.roster.Roster` running: its clock, what it publishes, and its probes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

from ..aio.log_throttle import LogThrottle
from ..aio.tasks import start_task
from ..errors import ClusterUnavailableError
from . import events
from .events import Event, ProbeOutcome
from .messages import MalformedFrameError, RosterPart
from .nats_link import NatsLink
from .numbers import HEARTBEAT_INTERVAL, PROBE_TIMEOUT
from .roster import Roster
from .subjects import Subjects

logger = logging.getLogger("sealframe.cluster")

_SHORTEST: Final = 0.001
"""Seconds between two looks at the clock."""
_WELCOME: Final = 2 * HEARTBEAT_INTERVAL
"""Seconds in which all servers that are there have said so."""
_ROSTERS: Final = 2.0
"""Seconds for the rosters of those."""


class Membership:
    """Runs a roster in this event loop.

    :param handle: called with each event, in order
    :param before_heartbeat: called before anything is published, at least every 125 ms
    """

    def __init__(
        self,
        roster: Roster,
        link: NatsLink,
        subjects: Subjects,
        handle: Callable[[Event], None],
        before_heartbeat: Callable[[], None],
    ) -> None:
        self.roster = roster
        self._link = link
        self._subjects = subjects
        self._handle = handle
        self._before_heartbeat = before_heartbeat
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._changed = False
        self._local: list[Event] = []
        self._probes: set[asyncio.Task[None]] = set()
        self._without_roster: set[str] = set()
        self._roster_came = asyncio.Event()
        self._malformed = LogThrottle()
        self._running = False

    # Beginning and end

    async def start(self) -> None:
        """Say that this server is there; return when the others are known, or in 2 s at most."""
        self._running = True
        self.announce()
        await asyncio.sleep(_WELCOME)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ROSTERS):
                while self._without_roster or self.roster.busy:
                    self._roster_came.clear()
                    await self._roster_came.wait()

    async def stop(self) -> None:
        """Say that this server leaves, if NATS is there."""
        self._tick()
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
        for probe in self._probes:
            probe.cancel()
        if self._probes:
            await asyncio.wait(self._probes)
        self._publish([self.roster.bye()])

    # This server's clients

    def changed(self, changes: list[Event]) -> None:
        """Publish what has changed of this server's clients, at the end of this turn.

        :param changes: what the roster has returned; handled then
        """
        self._local += changes
        if not self._changed:
            self._changed = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._changed = False
        if self._running:
            self._emit(())
            self._tick()

    # What comes

    def take_presence(self, data: bytes) -> None:
        """Take a message of the presence subject."""
        try:
            self._emit(self.roster.receive_presence(data, time.monotonic()))
        except MalformedFrameError as error:
            self.malformed(error)
        self._go_on()

    def take_roster(self, server: str, part: RosterPart) -> None:
        """Take a part of a server's roster."""
        self._emit(self.roster.receive_roster(server, part, time.monotonic()))
        self._go_on()
        if part.part + 1 == part.parts:
            self._without_roster.discard(server)
            self._roster_came.set()

    def heard(self, server: str) -> None:
        """Something came from that server."""
        self.roster.heard(server, time.monotonic())

    def announce(self) -> None:
        """NATS is there: say so to the others, who may have taken this server for gone."""
        if self._running:
            self.roster.announce(time.monotonic())
            self._tick()

    def malformed(self, error: MalformedFrameError) -> None:
        """Log what no server of this cluster can have sent."""
        more = self._malformed.count(time.monotonic())
        if more is not None:
            logger.warning("%s%s", error, more)

    def _emit(self, changes: Iterable[Event]) -> None:
        if self._local:
            changes, self._local = [*self._local, *changes], []
        for event in changes:
            match event:
                case events.Probe(server):
                    self._probe(server)
                    continue
                case events.AskRoster(server):
                    self._without_roster.add(server)
                case events.ServerGone(server=gone):
                    self._without_roster.discard(gone.id)
                    self._roster_came.set()
                case events.MalformedRoster(error):
                    self.malformed(error)
                    continue
            self._handle(event)

    # Time

    def _tick(self) -> None:
        """Do what is due, and set the timer for what is next."""
        if self._timer is not None:
            self._timer.cancel()
        now = time.monotonic()
        self._emit(self.roster.check(now))
        self._before_heartbeat()
        self._publish(self.roster.take_presence(now))
        if not self.roster.busy:
            self._roster_came.set()
        if self._running:
            wait = max(self.roster.next_time() - time.monotonic(), _SHORTEST)
            self._timer = self._loop.call_later(wait, self._tick)

    def _go_on(self) -> None:
        """Carry out in the next turns what is left to be."""
        if self._timer is None or not self._running or not self.roster.busy:
            return
        soon = self._loop.time() + _SHORTEST
        # Never put off what is due: something may come in every turn.
        if self._timer.when() > soon:
            self._timer.cancel()
            self._timer = self._loop.call_at(soon, self._tick)

    def _publish(self, messages: Iterable[bytes]) -> None:
        if not self._link.connected:
            return  # whoever misses them asks for the roster
        try:
            for message in messages:
                self._link.publish(self._subjects.presence, message)
        except ClusterUnavailableError:
            logger.debug("NATS went away, or takes too little: a presence message is dropped")

    def _probe(self, server: str) -> None:
        task = start_task(self._ask_whether_there, server, name="sealframe-cluster-probe")
        self._probes.add(task)
        task.add_done_callback(self._probes.discard)

    async def probe(self, server: str) -> ProbeOutcome:
        """Ask a server for a sign of life, also one that is not there any more."""
        return await self._link.probe(self._subjects.of(server), PROBE_TIMEOUT)

    async def _ask_whether_there(self, server: str) -> None:
        outcome = await self.probe(server)
        if self._running:
            now = time.monotonic()
            self._emit(self.roster.probe_result(server, outcome, now))
            self._tick()
