"""Servers of a cluster in virtual time, on a bus that behaves as NATS core does.

A publisher's messages to one subject reach each subscriber in order, each at most once, after a
delay; between two subjects there is no order. Whoever is attached to another node than the
publisher gets nothing while the two nodes are cut off from each other, and nothing goes through a
node that is down. A probe of a server that nobody reaches is told "no responders".
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import defaultdict
from collections.abc import Callable
from enum import Enum, auto

from sealframe.cluster.chunks import IncomingStreams, OutgoingStream
from sealframe.cluster.events import (
    AskRoster,
    Event,
    Joined,
    Left,
    Moved,
    OwnHeartbeatSeen,
    Probe,
    ProbeOutcome,
    Renamed,
    ServerGone,
    ServerJoined,
    Superseded,
)
from sealframe.cluster.events import (
    ClusterClient as Client,
)
from sealframe.cluster.messages import RosterPart, RosterRequest, decode, encode
from sealframe.cluster.numbers import PROBE_TIMEOUT
from sealframe.cluster.roster import NamePolicy, Roster

EPOCH = 1_764_460_800.0
KICK_DELAY = 0.02


class State(Enum):
    RUNNING = auto()
    STOPPED = auto()
    """By SIGSTOP: it does nothing, and what comes waits."""
    DEAD = auto()


class Bus:
    """The clock, the NATS nodes and all servers.

    :ivar loss: the share of messages that are lost
    :ivar delay: the longest time that a message takes
    """

    def __init__(self, seed: int, *, policy: NamePolicy = NamePolicy.NEWEST) -> None:
        self.random = random.Random(seed)
        self.policy = policy
        self.now = 1000.0
        self.loss = 0.0
        self.delay = 0.02
        self.down: set[int] = set()
        self.cut: set[frozenset[int]] = set()
        self.processes: list[Process] = []
        self._schedule: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._last: dict[tuple[str, str, str], float] = defaultdict(float)

    def start(self, node: int, *, clock: float = 0.0) -> Process:
        """Start a server process at a node, whose wall clock is wrong by so many seconds."""
        process = Process(self, len(self.processes), node, clock)
        self.processes.append(process)
        return process

    @property
    def alive(self) -> list[Process]:
        return [process for process in self.processes if process.state is not State.DEAD]

    def at(self, moment: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._schedule, (moment, next(self._order), action))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._schedule and self._schedule[0][0] <= end:
            moment, _, action = heapq.heappop(self._schedule)
            self.now = max(self.now, moment)
            action()
        self.now = end

    def run_until(self, done: Callable[[], bool], limit: float) -> float:
        """Run until something holds; return how long it took."""
        start = self.now
        while not done():
            assert self.now - start < limit, "it did not come about in time"
            self.run(0.005)
        return self.now - start

    def reaches(self, sender: Process, receiver: Process) -> bool:
        nodes = frozenset({sender.node, receiver.node})
        return not nodes & self.down and nodes not in self.cut

    def send(self, sender: Process, receiver: Process, subject: str, data: bytes) -> None:
        """Carry one message, in order with those before it."""
        if receiver.state is State.DEAD or not self.reaches(sender, receiver):
            return
        if self.random.random() < self.loss:
            return
        way = (sender.id, receiver.id, subject)
        moment = max(self.now + self.random.uniform(0.0001, self.delay), self._last[way])
        self._last[way] = moment
        handle = receiver.on_presence if subject == "presence" else receiver.on_chunk
        self.at(moment, lambda: receiver.take(lambda: handle(data)))

    def probe(self, prober: Process, target: str) -> None:
        [process] = [process for process in self.processes if process.id == target]
        after, outcome = self.random.uniform(0.0002, self.delay), ProbeOutcome.ANSWERED
        if prober.node in self.down:
            after, outcome = PROBE_TIMEOUT, ProbeOutcome.SILENCE
        elif process.state is State.DEAD or not self.reaches(prober, process):
            outcome = ProbeOutcome.NO_RESPONDERS
        elif process.state is State.STOPPED or self.random.random() < self.loss:
            after, outcome = PROBE_TIMEOUT, ProbeOutcome.SILENCE
        self.at(
            self.now + after, lambda: prober.take(lambda: prober.on_probe_result(target, outcome))
        )


class Process:
    """One server: its roster and streams, its clients, and the events that it was told.

    :ivar truth: its own clients and their names, by id
    :ivar told: the clients of all servers, as the events say
    """

    def __init__(self, bus: Bus, number: int, node: int, clock: float) -> None:
        self.bus = bus
        self.node = node
        self.state = State.RUNNING
        self.id = f"{number:016x}"
        self.truth: dict[str, str | None] = {}
        self.told: dict[str, Client] = {}
        self.events: list[tuple[float, Event]] = []
        self._clock = clock
        self._waiting: list[Callable[[], None]] = []
        self._streams: dict[str, OutgoingStream] = {}
        self.incoming = IncomingStreams(1 << 24)
        self._ids = itertools.count(1)
        self.roster = Roster(
            self.id, f"host:{number}", wall=self.wall, now=bus.now, names=bus.policy
        )
        self._turn()

    @property
    def wall(self) -> float:
        return EPOCH + self.bus.now + self._clock

    # What happens to it

    def take(self, action: Callable[[], None]) -> None:
        """Do it now, or once this process goes on."""
        if self.state is State.RUNNING:
            action()
        elif self.state is State.STOPPED:
            self._waiting.append(action)

    def kill(self) -> None:
        self.state = State.DEAD

    def stop(self) -> None:
        if self.state is State.RUNNING:
            self.state = State.STOPPED

    def go_on(self) -> None:
        if self.state is State.STOPPED:
            self.state = State.RUNNING
            waiting, self._waiting = self._waiting, []
            for action in waiting:
                action()

    def say_bye(self) -> None:
        for process in self.bus.alive:
            self.bus.send(self, process, "presence", self.roster.bye())
        self.state = State.DEAD

    def join(self, name: str | None = None) -> str:
        id = f"{self.id[-2:]}-{next(self._ids)}"
        self.truth[id] = name
        self.tell(self.roster.join(id, name, self.wall))
        self.publish()
        return id

    def leave(self, id: str) -> None:
        if self.truth.pop(id, self) is not self:
            self.tell(self.roster.leave(id))
            self.publish()

    def rename(self, id: str, name: str | None) -> None:
        if id in self.truth:
            self.truth[id] = name
            self.tell(self.roster.rename(id, name, self.wall))
            self.publish()

    # What it does by itself

    def publish(self) -> None:
        for data in self.roster.take_presence(self.bus.now):
            for process in self.bus.alive:
                self.bus.send(self, process, "presence", data)

    def _turn(self) -> None:
        self.tell(self.roster.check(self.bus.now))
        self.publish()
        assert self.roster.next_time() > self.bus.now
        self._set_timer()

    def _set_timer(self) -> None:
        """Have the timer ring a little late, as timers do, and no longer when it was to before."""
        moment = max(self.roster.next_time(), self.bus.now)
        self._timer = timer = object()
        self.bus.at(moment + 0.001, lambda: self.take(lambda: self._ring(timer)))

    def _ring(self, timer: object) -> None:
        if timer is self._timer:
            self._turn()

    def on_presence(self, data: bytes) -> None:
        self.tell(self.roster.receive_presence(data, self.bus.now))

    def on_chunk(self, data: bytes) -> None:
        sender, frames = self.incoming.feed(data)
        self.roster.heard(sender.hex(), self.bus.now)
        for frame in map(decode, frames):
            match frame:
                case RosterRequest():
                    for part in self.roster.roster_parts():
                        self._send(sender.hex(), encode(part))
                case RosterPart():
                    self.tell(self.roster.receive_roster(sender.hex(), frame, self.bus.now))

    def on_probe_result(self, server: str, outcome: ProbeOutcome) -> None:
        self.tell(self.roster.probe_result(server, outcome, self.bus.now))
        self._set_timer()

    def _send(self, server: str, frame: bytes) -> None:
        stream = self._streams.get(server)
        if stream is None:
            stream = self._streams[server] = OutgoingStream(bytes.fromhex(self.id), 4096)
        stream.add(frame)
        [process] = [process for process in self.bus.processes if process.id == server]
        for chunk in stream.take():
            self.bus.send(self, process, "stream", chunk)

    def tell(self, events: list[Event]) -> None:
        for event in events:
            if not isinstance(event, OwnHeartbeatSeen):
                self.events.append((self.bus.now, event))
            match event:
                case Joined(client):
                    assert client.id not in self.told
                    self.told[client.id] = client
                case Left(client):
                    assert self.told.pop(client.id) == client
                case Renamed(client, before) | Moved(client, before):
                    assert self.told[client.id] == before
                    self.told[client.id] = client
                case Superseded(id):
                    self.bus.at(
                        self.bus.now + KICK_DELAY,
                        lambda id=id: self.take(lambda: self.leave(id)),  # type: ignore[misc]
                    )
                case AskRoster(server):
                    self._send(server, encode(RosterRequest()))
                case Probe(server):
                    self.bus.probe(self, server)
                case ServerGone(server):
                    self._streams.pop(server.id, None)
                    self.incoming.forget(bytes.fromhex(server.id))
                case ServerJoined():
                    pass
