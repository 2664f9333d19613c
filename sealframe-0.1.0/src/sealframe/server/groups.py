"""Named groups of a server's connections."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Generic

from ..aio.connection import AnyConnection, Connection, Received, Sent, end_memberships
from .broadcasting import Broadcasts


class Memberships:
    """Which connections are in which group; a group exists as long as it has members.

    It implements :class:`~sealframe.aio.connection.Memberships`.
    """

    __slots__ = ("members",)

    def __init__(self) -> None:
        # Dicts, so that members come in the order in which they joined.
        self.members: dict[str, dict[AnyConnection, None]] = {}
        """By the name of the group."""

    def join(self, conn: AnyConnection, name: str) -> None:
        """Add a connection to a group, in which it is not yet."""
        self.members.setdefault(name, {})[conn] = None

    def leave(self, conn: AnyConnection, name: str) -> None:
        """Remove a connection from a group, in which it is."""
        members = self.members[name]
        del members[conn]
        if not members:
            del self.members[name]

    def end(self, conn: AnyConnection) -> None:
        """Remove a connection from all groups; it can join none any more."""
        for name in end_memberships(conn):
            self.leave(conn, name)


class Groups(Mapping[str, "Group[Any, Any]"]):
    """The groups of one server that have members, by name; a live, read-only view.

    :param check_loop: refuses calls from other threads and event loops
    """

    __slots__ = ("_members", "broadcasts", "check_loop")

    def __init__(
        self, memberships: Memberships, broadcasts: Broadcasts, check_loop: Callable[[], None]
    ) -> None:
        self._members = memberships.members
        self.broadcasts = broadcasts
        self.check_loop = check_loop

    def __repr__(self) -> str:
        return f"<Groups {', '.join(map(repr, self._members)) or 'none'}>"

    def __getitem__(self, name: str) -> Group[Any, Any]:
        if name not in self._members:
            raise KeyError(name)
        return Group(self, name)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def members(self, name: str) -> Collection[AnyConnection]:
        """Return who is in that group now, a live view."""
        return self._members.get(name, {}).keys()


class Group(Generic[Sent, Received]):
    """A named group of a server's connections, also while it has none.

    A connection is in it from :meth:`Connection.join` until it leaves, its handler has
    ended or its socket is gone. ``len(group)``, ``conn in group`` and ``for conn in group``
    say who is in it now.

    :ivar name: its name
    """

    __slots__ = ("_groups", "name")

    def __init__(self, groups: Groups, name: str) -> None:
        self._groups = groups
        self.name = name

    def __repr__(self) -> str:
        return f"<Group {self.name!r}, {len(self)} members>"

    def __len__(self) -> int:
        return len(self._groups.members(self.name))

    def __contains__(self, conn: object) -> bool:
        return conn in self._groups.members(self.name)

    def __iter__(self) -> Iterator[Connection[Sent, Received]]:
        """Go through those who are members now, in the order in which they joined."""
        return iter(list(self._groups.members(self.name)))

    def broadcast(
        self,
        message: Sent,
        *,
        exclude: AnyConnection | Collection[AnyConnection] | None = None,
    ) -> int:
        """Send one message to every member, without waiting for any.

        It is treated as one of :meth:`Server.broadcast` is.

        :param message: any bytes-like object; with a codec, what that encodes
        :param exclude: a connection, or several, that do not get it
        :return: how many members it was queued for
        :raises TypeError: the message is not bytes-like, or ``exclude`` holds
            something other than connections
        :raises EncodeError: the codec cannot encode it; nobody gets it
        :raises MessageTooLargeError: it is over the server's ``max_message_size``
        :raises WrongLoopError: called from another thread or event loop
        """
        self._groups.check_loop()
        return self._groups.broadcasts.send(message, self._groups.members(self.name), exclude)
