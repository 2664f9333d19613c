"""What a server and its cluster know of each other.

``serve(cluster=...)`` takes a :class:`ClusterMember`; :class:`sealframe.cluster.Cluster` is the one
that there is. The package above stays unknown here: without ``cluster=`` it is not imported.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from ..aio.connection import AnyConnection, request_bytes
from ..aio.payload_codec import PayloadCodec
from ..errors import ClusterError, UnknownClientError
from .broadcasting import Broadcasts
from .moving import FoundSession, SessionQuestion, SessionStatus
from .registry import ConnectionRegistry
from .session_store import StoredSession


class LocalServer:
    """What a server offers to its cluster: its own clients, and bytes to them.

    Messages are bytes here, as the codec made them: each server of a cluster has the same one.
    It belongs to the server's event loop, and nothing of it waits, a request excepted.
    """

    __slots__ = ("_broadcasts", "_registry")

    def __init__(self, registry: ConnectionRegistry, broadcasts: Broadcasts) -> None:
        self._registry = registry
        self._broadcasts = broadcasts

    @property
    def clients(self) -> Mapping[str, AnyConnection]:
        """The clients of this server, by id; a live, read-only view."""
        return MappingProxyType(self._registry.clients.by_id)

    @property
    def codec(self) -> PayloadCodec:
        """What makes bytes of the program's objects, and objects of bytes."""
        return self._registry.peer_handlers.codec

    @property
    def max_message_size(self) -> int:
        """The largest message that this server sends, in bytes."""
        return self._broadcasts.max_message_size

    def encode(self, message: Any) -> bytes:
        """Return the bytes of a message, as :meth:`Server.broadcast` would send it.

        :raises TypeError: it is not bytes-like
        :raises EncodeError: the codec cannot encode it
        :raises MessageTooLargeError: it is over ``max_message_size``
        :raises SealframeError: the foreign layout refuses it
        """
        return self._broadcasts.encode(message)

    def send(self, id: str, data: bytes) -> bool:
        """Queue one message for a client, without waiting; one whose outbox is full is treated
        by ``options.slow_client``.

        :return: whether it was queued; not for a client that is not there
        """
        conn = self._registry.clients.by_id.get(id)
        return conn is not None and self._broadcasts.send_one(data, conn)

    def broadcast(self, data: bytes, excluded: Collection[str] = ()) -> int:
        """Queue one message for every client.

        :param excluded: ids of clients that do not get it; others than this server's are ignored
        :return: for how many it was queued
        """
        return self._broadcasts.send_encoded(
            data, self._registry.clients.by_id.values(), self._connections(excluded)
        )

    def broadcast_to_group(self, name: str, data: bytes, excluded: Collection[str] = ()) -> int:
        """Queue one message for every member of a group."""
        members = self._registry.clients.memberships.members.get(name, {})
        return self._broadcasts.send_encoded(data, members, self._connections(excluded))

    def _connections(self, ids: Collection[str]) -> list[AnyConnection]:
        clients = self._registry.clients.by_id
        return [clients[id] for id in ids if id in clients]

    async def request(self, id: str, data: bytes, timeout: float | None) -> bytes:
        """Ask a client, and return its answer; see :meth:`Connection.request`.

        :raises UnknownClientError: it is not there
        """
        conn = self._registry.clients.by_id.get(id)
        if conn is None:
            raise UnknownClientError(id, "cluster")
        return await request_bytes(conn, data, timeout)

    @property
    def log_sessions_for(self) -> float | None:
        """Seconds for which sessions without a server are kept in the cluster's log; None where
        they are not."""
        sessions = self._registry.sessions
        return None if sessions is None else sessions.logged_for

    def session_status(self, key: bytes) -> SessionStatus:
        """Return what this server has of a session, and leave it as it is."""
        sessions = self._registry.sessions
        return None if sessions is None else sessions.moves.status(key)

    async def release_session(self, question: SessionQuestion) -> FoundSession:
        """Give a session up to the server that asks; the same answer again until it confirms.

        :raises ClusterError: it is closing, and is over soon
        """
        sessions = self._registry.sessions
        return None if sessions is None else await sessions.moves.release(question)

    def confirm_session(self, question: SessionQuestion) -> None:
        """The server that has asked has the answer."""
        if self._registry.sessions is not None:
            self._registry.sessions.moves.confirm(question.key, question.attempt)

    def kick(self, id: str, reason: str) -> bool:
        """Put a client out, as :meth:`Server.kick` does.

        :return: whether it was there
        """
        return self._registry.clients.kick(id, reason)


class ClusterMember(ABC):
    """What ``serve(cluster=...)`` takes. One object serves one server, once."""

    @abstractmethod
    async def start(self, server: LocalServer) -> None:
        """Join the cluster, before the server listens.

        :raises SealframeError: it cannot; the server is not started
        """

    @abstractmethod
    def client_joined(self, conn: AnyConnection) -> None:
        """A client was registered; its handler has not begun."""

    @abstractmethod
    def client_left(self, conn: AnyConnection) -> None:
        """A client is registered no more."""

    @abstractmethod
    async def find_session(self, question: SessionQuestion) -> FoundSession:
        """Ask the other servers for a session, which the one that has it gives up.

        :return: None where no server has it
        :raises HiddenSessionError: none has it that answers, and one that hangs may
        :raises SealframeError: it cannot be known now; the client is to come again
        """

    async def take_session_over(
        self, question: SessionQuestion, numbering: int, known: bool
    ) -> StoredSession:
        """Own a session from now on, which may be new: ``Sessions(store="cluster")``.

        :param numbering: the one that begins
        :param known: whether the client knows the session
        :raises SealframeError: it cannot be known now; the client is to come again
        """
        raise ClusterError("this cluster has no log of sessions")

    @property
    @abstractmethod
    def others(self) -> bool:
        """Whether there are other servers that sessions can move to."""

    @abstractmethod
    def leaving(self) -> None:
        """The server begins to close: it takes in nobody any more."""

    @abstractmethod
    async def stop(self) -> None:
        """Leave the cluster: the server is closed, or has not come to listen."""

    @abstractmethod
    def stats(self) -> dict[str, Any]:
        """Return what :meth:`Server.stats` has under ``cluster``, as plain data."""
