"""Groups with members at any server of a cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from .clients import Exclude


class ClusterGroup:
    """A named group of clients at any server, made by :meth:`Cluster.group`.

    Its members are those of the group of that name at each server, by
    :meth:`~sealframe.Connection.join`.

    :ivar name: its name
    """

    __slots__ = ("_broadcast", "name")

    def __init__(
        self, name: str, broadcast: Callable[[str, Any, Exclude], Awaitable[None]]
    ) -> None:
        self.name = name
        self._broadcast = broadcast

    def __repr__(self) -> str:
        return f"<ClusterGroup {self.name!r}>"

    async def broadcast(self, message: Any, *, exclude: Exclude = None) -> None:
        """Send one message to every member, at whatever server; as :meth:`Cluster.broadcast`.

        :param message: any bytes-like object; with a codec, what that encodes
        :param exclude: an id or a connection, or several, that do not get it
        :raises ClusterUnavailableError: NATS is away. The members at this server got it, and
            nobody else
        :raises TypeError: the message is not bytes-like, or ``exclude`` holds something else
        :raises EncodeError: the codec cannot encode it; nobody gets it
        :raises MessageTooLargeError: it is over the server's ``max_message_size``; nobody gets it
        :raises WrongLoopError: called from another thread or event loop
        """
        await self._broadcast(self.name, message, exclude)
