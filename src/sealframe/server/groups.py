"""Named groups of a server's connections."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Generic

from ..aio.connection import AnyConnection, Connection, Received, Sent
from .broadcasting import Broadcasts


class Groups(Mapping[str, "Group[Any, Any]"]):
    """The groups of one server that have members, by name; a live, read-only view.

    :param broadcasts: of the server
    :param check_loop: refuses calls from other threads and event loops
    """

    __slots__ = ("_broadcasts", "_check_loop", "_members")

    def __init__(self, broadcasts: Broadcasts, check_loop: Callable[[], None]) -> None:
        self._broadcasts = broadcasts
        self._check_loop = check_loop
        # Dicts, so that members come in the order in which they joined.
        self._members: dict[str, dict[AnyConnection, None]] = {}

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

    # For connections and their server

    def _join(self, conn: AnyConnection, name: str) -> None:
        self._members.setdefault(name, {})[conn] = None

    def _leave(self, conn: AnyConnection, name: str) -> None:
        members = self._members[name]
        del members[conn]
        if not members:
            del self._members[name]

    def _end(self, conn: AnyConnection) -> None:
        """Take a connection out of all its groups."""
        if isinstance(conn._joined, set):
            conn._joined = frozenset(conn._joined)
            for name in conn._joined:
                self._leave(conn, name)


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
        return len(self._groups._members.get(self.name, ()))

    def __contains__(self, conn: object) -> bool:
        return conn in self._groups._members.get(self.name, ())

    def __iter__(self) -> Iterator[Connection[Sent, Received]]:
        """Go through those who are members now, in the order in which they joined."""
        return iter(list(self._groups._members.get(self.name, ())))

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
        self._groups._check_loop()
        return self._groups._broadcasts.send(message, list(self), exclude)
