"""Groups of a blocking server's connections."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Generic

from ..aio.connection import AnyConnection as AsyncConnection
from ..aio.connection import Received, Sent
from ..server.groups import Group as AsyncGroup
from .connection import AnyConnection, Connection, unwrap
from .wrappers import Wrappers


class Group(Generic[Sent, Received]):
    """A named group of a server's connections, also while it has none: the blocking wrapper of
    :class:`sealframe.Group`.

    A connection is in it from :meth:`Connection.join` until it leaves, its handler has
    ended or its socket is gone. ``len(group)``, ``conn in group`` and ``for conn in group``
    say who is in it now.
    """

    def __init__(self, group: AsyncGroup[Any, Any], wrappers: Wrappers) -> None:
        self._group = group
        self._wrappers = wrappers

    def __repr__(self) -> str:
        return repr(self._group).replace("<", "<sync.", 1)

    @property
    def name(self) -> str:
        """Its name."""
        return self._group.name

    def __len__(self) -> int:
        return self._wrappers.thread.call(lambda: len(self._group))

    def __contains__(self, conn: object) -> bool:
        if not isinstance(conn, Connection):
            return False
        return self._wrappers.thread.call(lambda: unwrap(conn) in self._group)

    def __iter__(self) -> Iterator[Connection[Sent, Received]]:
        """Go through those who are members now, in the order in which they joined."""
        members = self._wrappers.thread.call(lambda: list(self._group))
        return iter([self._wrappers.wrap(conn) for conn in members])

    def broadcast(
        self,
        message: Sent,
        *,
        exclude: AnyConnection | Collection[AnyConnection] | None = None,
    ) -> int:
        """Send one message to every member, without waiting for any.

        Parameters and errors are those of :meth:`sealframe.sync.Server.broadcast`.

        :return: how many members it was queued for
        """
        left_out = asynchronous(exclude)
        return self._wrappers.thread.call(lambda: self._group.broadcast(message, exclude=left_out))


def asynchronous(
    exclude: AnyConnection | Collection[AnyConnection] | None,
) -> list[AsyncConnection]:
    """Return the connections that these wrap.

    :raises TypeError: it holds something else
    """
    left_out = [exclude] if isinstance(exclude, Connection) else list(exclude or ())
    if not all(isinstance(conn, Connection) for conn in left_out):
        raise TypeError("exclude takes connections, for example server.clients[id]")
    return [unwrap(conn) for conn in left_out]
