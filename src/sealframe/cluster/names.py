"""Clients by name: who has it, and who of them is the newest."""

from __future__ import annotations

from bisect import bisect_left, insort
from operator import attrgetter
from typing import Final

from .events import ClusterClient

__all__ = ["Names", "age"]

age: Final = attrgetter("since", "id", "server")
"""The key by which clients of one name are told apart: all servers come to the same newest one."""


class Names:
    """An index of clients by name. Those of one name are sorted, so that the newest is the last.

    A join mostly comes last, so it costs the same however many there are.
    """

    __slots__ = ("_named",)

    def __init__(self) -> None:
        self._named: dict[str, list[ClusterClient]] = {}

    def add(self, client: ClusterClient) -> tuple[ClusterClient | None, ClusterClient]:
        """Add a client; return who is not the newest of its name by that, and who is.

        The first is the one who was the newest, or the client itself; None if it is the only one.
        """
        if client.name is None:
            return None, client
        clients = self._named.setdefault(client.name, [])
        insort(clients, client, key=age)
        newest = clients[-1]
        if newest is not client:
            return client, newest
        return (clients[-2] if len(clients) > 1 else None), newest

    def discard(self, client: ClusterClient) -> None:
        """Take a client out that was added."""
        if client.name is None:
            return
        clients = self._named[client.name]
        del clients[bisect_left(clients, age(client), key=age)]
        if not clients:
            del self._named[client.name]

    def newest(self, name: str) -> ClusterClient | None:
        """Return the newest client of that name."""
        clients = self._named.get(name)
        return clients[-1] if clients else None

    def all(self, name: str) -> tuple[ClusterClient, ...]:
        """Return all clients of that name, the newest last."""
        return tuple(self._named.get(name, ()))
