"""Who is where, over all servers: what this one says, what it hears, and what follows from that.

Theory of operation. Each server numbers the changes of its own clients and publishes them, with a
heartbeat every 125 ms (:mod:`.presence`). Who learns of a server, or misses a number, asks it for
its roster (:mod:`.remote`). A server that is silent is probed, and gone once that is sure
(:mod:`.liveness`); its clients are gone with it, and what is heard of it later makes it a new one.
Of two clients of one name the newer one stays, and each server kicks its own older ones
(:mod:`.directory`). All servers decide that by the same order, so they agree without asking.

Nothing here knows an event loop or NATS. Times are handed in: ``now`` is monotonic, ``wall`` is in
seconds of the Unix epoch. What is to be done or told comes back as :mod:`.events`. The owner calls
:meth:`Roster.take_presence` and publishes what it returns, after the changes of each turn of its
event loop and at :meth:`Roster.next_time`; there it calls :meth:`Roster.check` as well.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import UnknownClientError
from .announcing import Announcer
from .chunks import UnknownVersionError
from .directory import Directory, NamePolicy
from .events import (
    AskRoster,
    ClusterClient,
    ClusterServer,
    Event,
    GoneReason,
    LeaveReason,
    MalformedRoster,
    OwnHeartbeatSeen,
    Probe,
    ProbeOutcome,
    ServerGone,
    ServerJoined,
    UnknownVersion,
)
from .liveness import ListeningClock, Verdict
from .messages import MalformedFrameError, RosterPart, checked_text
from .numbers import CLIENT_SIZE, ECHO_TIMEOUT, MAX_CHUNK, SLICE
from .presence import Delta, Gone, Put, decode_presence, is_server_id
from .remote import RemoteServer

__all__ = ["ClusterClient", "ClusterServer", "NamePolicy", "ProbeOutcome", "Roster"]

_SMALLEST = 4096
_LONGEST_LABEL = 256
_VERSIONS = 16  # of which it is told that they are unknown


@dataclass(frozen=True, slots=True)
class _Departure:
    """What is left to be done for a server that is gone.

    :ivar clients: the ids of those that are to be taken out
    :ivar gone: what is told then
    """

    clients: deque[str]
    gone: ServerGone


class Roster:
    """The clients of all servers, seen from one of them.

    :param id: of this server, 16 hexadecimal digits, new for each process
    :param label: for people: host and process, at most 256 bytes of UTF-8
    :param wall: when this server started
    :param now: the time
    :param names: what becomes of clients of one name
    :param size: bytes of a presence message at most, at least 4096
    :ivar newest: returns the newest client of a name
    :raises ValueError: the id, the label or the size is out of range
    """

    def __init__(
        self,
        id: str,
        label: str,
        *,
        wall: float,
        now: float,
        names: NamePolicy = NamePolicy.NEWEST,
        size: int = MAX_CHUNK,
    ) -> None:
        if not is_server_id(id):
            raise ValueError(f"a server's id is 16 hexadecimal digits, not {id!r}")
        if len(checked_text(label)) > _LONGEST_LABEL:
            raise ValueError(f"a server's label has at most {_LONGEST_LABEL} bytes: {label!r}")
        if size < _SMALLEST:
            raise ValueError(f"NATS must carry messages of at least {_SMALLEST} bytes, not {size}")
        self.id = id
        self._clock = ListeningClock(now)
        self._announcer = Announcer(id, label, max(wall, 0.0), now, size)
        self._directory = Directory(id, names)
        self.newest: Callable[[str], ClusterClient | None] = self._directory.names.newest
        self._remotes: dict[str, RemoteServer] = {}
        self._departing: dict[str, _Departure] = {}
        self._left = SLICE
        self._echo = -math.inf
        self._versions: set[int] = set()

    # Look-ups

    @property
    def clients(self) -> Mapping[str, ClusterClient]:
        """The clients of all servers by id, live."""
        return self._directory.clients

    @property
    def servers(self) -> Iterator[ClusterServer]:
        """All other servers."""
        return (remote.info for remote in self._remotes.values())

    def server(self, id: str) -> ClusterServer | None:
        """Return another server, None if it is not there."""
        remote = self._remotes.get(id)
        return None if remote is None else remote.info

    def of_server(self, id: str) -> Mapping[str, ClusterClient]:
        """Return the clients of a server by id, live until the last of them leaves."""
        return self._directory.of_server(id)

    def named(self, name: str) -> tuple[ClusterClient, ...]:
        """Return all clients of a name, the newest last."""
        return self._directory.names.all(name)

    # This server's own clients

    def join(self, id: str, name: str | None, wall: float) -> list[Event]:
        """Enter a client of this server.

        :raises ValueError: id or name is over 64 KiB or has a lone surrogate
        """
        checked_text(id)
        since = max(wall, 0.0)
        known = self.clients.get(id)
        if known is not None:
            since = max(since, math.nextafter(known.since, math.inf))
        if name is not None:
            checked_text(name)
            newest = self.newest(name)
            if newest is not None:
                since = max(since, math.nextafter(newest.since, math.inf))
        self._announcer.add(Put(id, name, since))
        return self._directory.put(ClusterClient(id, name, self.id, since))

    def rename(self, id: str, name: str | None, wall: float) -> list[Event]:
        """Give a client of this server another name; it is the newest of that name by that.

        :raises UnknownClientError: this server has no client of that id
        :raises ValueError: the name is over 64 KiB or has a lone surrogate
        """
        client = self.of_server(self.id).get(id)
        if client is None:
            raise UnknownClientError(id)
        return [] if client.name == name else self.join(id, name, wall)

    def leave(self, id: str) -> list[Event]:
        """Take out a client of this server; one that is not there is no fault."""
        if id not in self.of_server(self.id):
            return []
        self._announcer.add(Gone(id))
        return self._directory.discard(self.id, id)

    # What this server publishes

    def announce(self, now: float) -> None:
        """Make a heartbeat due at once: NATS is there, or there again."""
        self._announcer.next_time = now

    def set_figures(self, figures: Mapping[str, float]) -> None:
        """Set what the heartbeats carry for the status table: a few numbers."""
        self._announcer.figures = figures

    def take_presence(self, now: float) -> list[bytes]:
        """Return what is to be published on the presence subject now, in this order.

        While NATS is away it is called all the same and the messages are dropped: whoever misses
        them asks for the roster.
        """
        return self._announcer.take(now)

    def bye(self) -> bytes:
        """Return the last message that this server publishes."""
        return self._announcer.bye()

    def roster_parts(self) -> list[RosterPart]:
        """Return the answer to a :class:`~.messages.RosterRequest`."""
        return self._announcer.roster()

    # What comes from the others

    def receive_presence(self, data: bytes, now: float) -> list[Event]:
        """Take a message of the presence subject.

        :raises MalformedFrameError: it is none
        """
        time = self._clock.advance(now)
        try:
            presence = decode_presence(data)
        except UnknownVersionError as error:
            if error.version in self._versions or len(self._versions) == _VERSIONS:
                return []
            self._versions.add(error.version)
            return [UnknownVersion(error.version)]
        if presence.server == self.id:
            self._echo = time
            return [OwnHeartbeatSeen()]
        if presence.server in self._departing:
            # Once that is over, the next heartbeat makes it a new one.
            return []
        events: list[Event] = []
        remote = self._remotes.get(presence.server)
        if presence.bye:
            return [] if remote is None else self._gone(remote, GoneReason.BYE)
        info = ClusterServer(presence.server, presence.label, presence.started, presence.figures)
        if remote is None:
            remote = self._remotes[info.id] = RemoteServer(info, time)
            events.append(ServerJoined(info))
        remote.info = info
        remote.liveness.heard(time)
        events += self._carry_out(remote, remote.take(presence.number, presence.deltas))
        return events + self._ask(remote, time)

    def receive_roster(self, server: str, part: RosterPart, now: float) -> list[Event]:
        """Take a part of the roster of a server, which came in its stream."""
        time = self._clock.advance(now)
        remote = self._remotes.get(server)
        if remote is None:
            return []
        remote.liveness.heard(time)
        remote.parts.append(part)
        return self._carry_out(remote) + self._ask(remote, time)

    def heard(self, server: str, now: float) -> None:
        """Something came in that server's stream. One that is not known has to announce itself."""
        time = self._clock.advance(now)
        remote = self._remotes.get(server)
        if remote is not None:
            remote.liveness.heard(time)

    def probe_result(self, server: str, outcome: ProbeOutcome, now: float) -> list[Event]:
        """Take what came of a :class:`~.events.Probe`."""
        time = self._clock.advance(now)
        remote = self._remotes.get(server)
        if remote is None or not remote.liveness.probed(outcome, time):
            return []
        return self._gone(remote, GoneReason.NO_RESPONDERS)

    # Time

    def check(self, now: float) -> list[Event]:
        """Look who was silent for too long."""
        time = self._clock.advance(now)
        self._left = SLICE
        events: list[Event] = []
        for server in list(self._departing):
            events += self._depart(server)
        for remote in list(self._remotes.values()):
            events += self._carry_out(remote)
            match remote.liveness.check(time):
                case Verdict.SILENT:
                    events += self._gone(remote, GoneReason.SILENT)
                case Verdict.PROBE:
                    events.append(Probe(remote.info.id))
        return events

    def next_time(self) -> float:
        """Return when :meth:`check` and :meth:`take_presence` are to be called, at the latest.

        That is sooner after :meth:`probe_result`, and now after a change of the own clients.
        """
        if self._announcer.waiting or self.busy:
            return self._clock.now
        times = [remote.liveness.next_time for remote in self._remotes.values()]
        moment = self._clock.moment(min(times, default=math.inf))
        return min(self._announcer.next_time, moment)

    @property
    def busy(self) -> bool:
        """Whether there are changes of other servers that are still to be carried out."""
        return bool(self._departing) or any(remote.busy for remote in self._remotes.values())

    @property
    def hears_itself(self) -> bool:
        """Whether one of this server's own heartbeats came back within the last second."""
        return self._clock.time - self._echo < ECHO_TIMEOUT

    def _carry_out(self, remote: RemoteServer, deltas: Sequence[Delta] = ()) -> list[Event]:
        """Carry out what was taken, as long as this slice lasts; :meth:`check` begins another one,
        and goes on with the rest."""
        remote.backlog.extend(deltas)
        events: list[Event] = []
        while remote.busy and self._left > 0:
            if remote.backlog:
                self._left -= 1
                events += self._change(remote.info.id, remote.backlog.popleft())
            else:
                events += self._take_part(remote, remote.parts.popleft())
        return events

    def _change(self, server: str, delta: Delta) -> list[Event]:
        match delta:
            case Put(id, name, since):
                return self._directory.put(ClusterClient(id, name, server, since))
            case Gone(id):
                return self._directory.discard(server, id)

    def _take_part(self, remote: RemoteServer, part: RosterPart) -> list[Event]:
        self._left -= 1 + len(part.clients) // CLIENT_SIZE
        try:
            result = remote.take_roster(part, self._clock.time)
        except MalformedFrameError as error:
            return [MalformedRoster(error)]
        if result is not None:
            clients, deltas = result
            ids = {put.id for put in clients}
            gone = [Gone(id) for id in self.of_server(remote.info.id) if id not in ids]
            remote.backlog = deque([*gone, *clients])
            remote.backlog.extend(deltas)
        return []

    def _ask(self, remote: RemoteServer, time: float) -> list[Event]:
        if remote.next_ask is None or time < remote.next_ask:
            return []
        remote.asked(time)
        return [AskRoster(remote.info.id)]

    def _gone(self, remote: RemoteServer, reason: GoneReason) -> list[Event]:
        server = remote.info.id
        del self._remotes[server]
        self._departing[server] = _Departure(
            deque(self.of_server(server)), ServerGone(remote.info, reason)
        )
        return self._depart(server)

    def _depart(self, server: str) -> list[Event]:
        """Take out clients of a server that is gone, as long as this slice lasts; then that is
        told."""
        departure = self._departing[server]
        events: list[Event] = []
        while departure.clients and self._left > 0:
            self._left -= 1
            id = departure.clients.popleft()
            events += self._directory.discard(server, id, LeaveReason.SERVER_GONE)
        if not departure.clients:
            del self._departing[server]
            events.append(departure.gone)
        return events
