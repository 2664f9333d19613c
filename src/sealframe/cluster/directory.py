"""Who is where: the clients of all servers, by id, by name and by server.

Two servers may have a client of one id, for a moment, when its session has moved: the newer of the
two is shown, the other one comes back should the newer leave. What changes of what is shown is told
as events.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from .events import ClusterClient, Event, Joined, LeaveReason, Left, Moved, Renamed, Superseded
from .names import Names, age

__all__ = ["Directory", "NamePolicy"]

_NOBODY: Final[Mapping[str, ClusterClient]] = MappingProxyType({})


class NamePolicy(Enum):
    """What becomes of clients of one name."""

    NEWEST = "newest"
    """The newest stays, the others are superseded."""
    MANY = "many"
    """All stay."""


class Directory:
    """The clients of all servers.

    :param own: the id of this server: of its clients alone it is said that they are superseded
    :ivar clients: those that are there, by id
    :ivar names: the same, by name
    """

    def __init__(self, own: str, policy: NamePolicy) -> None:
        self._own = own
        self._policy = policy
        self._shown: dict[str, ClusterClient] = {}
        self._hidden: dict[str, list[ClusterClient]] = {}
        self._servers: dict[str, dict[str, ClusterClient]] = {}
        self.clients: Mapping[str, ClusterClient] = MappingProxyType(self._shown)
        self.names = Names()

    def of_server(self, server: str) -> Mapping[str, ClusterClient]:
        """Return the clients of a server by id, also those that are newer elsewhere."""
        return self._servers.get(server, _NOBODY)

    def put(self, client: ClusterClient) -> list[Event]:
        """Enter a client, or what is new of it."""
        clients = self._servers.setdefault(client.server, {})
        if clients.get(client.id) == client:
            return []
        clients[client.id] = client
        return self._show(client.id, client.server, client, LeaveReason.LEFT)

    def discard(self, server: str, id: str, reason: LeaveReason = LeaveReason.LEFT) -> list[Event]:
        """Take a client out, if it is there."""
        clients = self._servers.get(server)
        if clients is None or clients.pop(id, None) is None:
            return []
        if not clients:
            del self._servers[server]
        return self._show(id, server, None, reason)

    def _show(
        self, id: str, server: str, client: ClusterClient | None, reason: LeaveReason
    ) -> list[Event]:
        """Settle who is shown under an id, when ``client`` is what that server has of it now."""
        before = self._shown.get(id)
        if id not in self._hidden and (before is None or before.server == server):
            return self._switch(before, client, reason)  # nearly always: no other server has it
        known = [*self._hidden.pop(id, ()), *([] if before is None else [before])]
        there = [other for other in known if other.server != server]
        if client is not None:
            there.append(client)
        there.sort(key=age)
        if len(there) > 1:
            self._hidden[id] = there[:-1]
        after = there[-1] if there else None
        events = self._switch(before, after, reason)
        if after is not None:
            events += [
                Superseded(id, after)
                for other in there[:-1]
                if other.server == self._own and other in (client, before)
            ]
        return events

    def _switch(
        self, before: ClusterClient | None, after: ClusterClient | None, reason: LeaveReason
    ) -> list[Event]:
        """Show ``after`` in place of ``before``."""
        if before == after:
            return []
        if before is not None:
            self.names.discard(before)
        if after is None:
            assert before is not None
            del self._shown[before.id]
            return [Left(before, reason)]
        self._shown[after.id] = after
        events = _change(before, after)
        older, newest = self.names.add(after)
        if older is not None and older.server == self._own and self._policy is NamePolicy.NEWEST:
            events.append(Superseded(older.id, newest))
        return events


def _change(before: ClusterClient | None, after: ClusterClient) -> list[Event]:
    if before is None:
        return [Joined(after)]
    if before.server != after.server:
        return [Moved(after, before)]
    if before.name != after.name:
        return [Renamed(after, before)]
    # It left and came back between two rosters.
    return [Left(before, LeaveReason.LEFT), Joined(after)]
