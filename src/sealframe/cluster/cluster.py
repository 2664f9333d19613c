"""Many servers as one, as programs see them; one server's part in it is in :mod:`.node`."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from ..aio.connection import AnyConnection
from ..aio.time_limit import check_timeout
from ..errors import ClusterError, ClusterUnavailableError, ConfigurationError
from ..server.cluster_member import ClusterMember, LocalServer
from ..server.moving import FoundSession, SessionQuestion
from ..server.session_store import StoredSession
from .clients import ClusterClient, ClusterServer, Exclude, excluded_ids
from .groups import ClusterGroup
from .hooks import ClusterHooks, OnClient, OnName
from .incoming import ToMany, deliver
from .messages import Broadcast, Group, Kick, checked_text, encode
from .nats_servers import NatsServers
from .node import Node
from .roster import NamePolicy
from .subjects import Subjects

_POLICIES: Final = {policy.value: policy for policy in NamePolicy}


class Cluster(ClusterMember):
    """Joins a server to others: each knows the clients of all, and sends to them, over NATS.

    .. code-block:: python

        cluster = Cluster("nats://127.0.0.1:4222")
        async with sealframe.serve(handler, "0.0.0.0", 1234, cluster=cluster) as server:
            ...

    Every server has a ``Cluster`` of its own with the same ``name``, and the same ``codec=``. One
    serves one server, once. It belongs to the event loop of its server.

    What is promised of :meth:`send`, :meth:`broadcast` and :meth:`ClusterGroup.broadcast`:

    - Delivery to a client of another server is *at most once*, as NATS core is: a message is lost
      when a connection to NATS, or the server, is lost while it is on its way. Such losses are
      counted (``messages_lost`` in :meth:`stats`), at the receiving server where it sees the gap.
    - What one sender sends to one client arrives in order, whichever of the three it used. A
      request may overtake messages.
    - A call returns when the message is handed on: queued for the client where it is this
      server's, on its way to NATS where not. No call waits for a slow client: at that client's
      server ``options.slow_client`` applies. A client that announced a lower limit than the
      message's size misses it. Calls wait for the next turn of the event loop, first come first
      served, once one has sent a quarter MiB; for a server that takes in less than it is sent,
      while 1 MiB waits beside the 4 MiB that are on their way to it (one that hangs is taken for
      gone after 3 s); and while 8 MiB wait for NATS.

    When NATS is away, this server's own clients are served on, :attr:`connected` is False, and
    what needs other servers raises :exc:`~sealframe.ClusterUnavailableError` at once. Their clients
    are taken for gone after 3 s, and are back once NATS is.

    :param urls: nodes of NATS, ``"nats://host:4222"`` or ``"tls://host:4222"``, one or several
    :param name: of the cluster, any text up to 256 bytes of UTF-8. Servers of other names on one
        NATS do not see each other
    :param names: what becomes of a client whose name another one has already: with "newest" the
        older one is kicked and told why, with "many" all of them stay
    :param replicas: with ``Sessions(store="cluster")``, how many nodes of NATS have a copy of the
        log: 1, 3 or 5. With 3 it survives the loss of one of them. Of servers that say different
        things the one with the most has it; the log never gets fewer
    :param user: for NATS, with ``password``; both may stand in the URLs instead
    :param password: for NATS
    :param token: for NATS
    :param nkey_file: the file with the seed of an nkey, for NATS
    :param credentials_file: the file with a JWT and its nkey, for NATS
    :param tls: certificates for NATS
    :param on_join: ``def on_join(client)``, or an ``async def``: a client is there that was not, at
        whatever server; at the start also for each that is there already. Of all hooks one runs at
        a time, in the order of what they tell; what a hook raises is logged, and ends nothing
    :param on_leave: ``on_leave(client)``: a client is there no more, also since its server is gone
    :param on_name: ``on_name(client, before)``: a client has another name than ``before``, which
        may be None, as its new one may
    :raises ConfigurationError: the arguments cannot work together
    :raises KeyFileError: a file cannot be read
    """

    def __init__(
        self,
        urls: str | Iterable[str],
        *,
        name: str = "default",
        names: Literal["newest", "many"] = "newest",
        replicas: int = 3,
        user: str | None = None,
        password: str | None = None,
        token: str | None = None,
        nkey_file: str | Path | None = None,
        credentials_file: str | Path | None = None,
        tls: ssl.SSLContext | None = None,
        on_join: OnClient | None = None,
        on_leave: OnClient | None = None,
        on_name: OnName | None = None,
    ) -> None:
        self._servers = NatsServers(
            urls,
            user=user,
            password=password,
            token=token,
            nkey_file=nkey_file,
            credentials_file=credentials_file,
            tls=tls,
        )
        self._subjects = Subjects(name)
        if names not in _POLICIES:
            raise ConfigurationError(f"names is 'newest' or 'many', not {names!r}")
        if replicas not in (1, 3, 5):
            raise ConfigurationError(f"replicas is 1, 3 or 5, not {replicas!r}")
        self._replicas = replicas
        self._policy = _POLICIES[names]
        self._hooks = ClusterHooks(on_join, on_leave, on_name)
        self._name = name
        self._node: Node | None = None
        self._over = False

    def __repr__(self) -> str:
        return f"<Cluster {self._name!r} at {', '.join(self._servers.urls)}>"

    # Who is there

    @property
    def clients(self) -> Mapping[str, ClusterClient]:
        """The clients of all servers that are there now, by id; a live, read-only view."""
        return self._running().roster.clients

    @property
    def servers(self) -> Mapping[str, ClusterServer]:
        """The servers that are there now, by id, this one first."""
        return self._running().servers

    @property
    def server_id(self) -> str:
        """The id of this server in the cluster, new each time a server is started."""
        return self._running().id

    @property
    def connected(self) -> bool:
        """Whether other servers can be reached: NATS is there, and carries what is published.
        False before the server has started, and once it has left."""
        return self._node is not None and not self._over and self._node.connected

    def set_name(self, conn: AnyConnection, name: str | None) -> None:
        """Give a client of this server a name, by which all servers can reach it. At first it is
        the name of the client's key, if it has proved one (``conn.peer.name``).

        With ``names="newest"`` whoever had the name until now is kicked, at whatever server.

        :param conn: a connection of this server
        :param name: any text but ``""``, up to 64 KiB of UTF-8; None for no name
        :raises UnknownClientError: the client is not there any more, or is no client of this server
        :raises TypeError: the name is not text
        :raises ValueError: the name is empty, too long or has a lone surrogate
        :raises WrongLoopError: called from another thread or event loop
        """
        node = self._checked()
        if name is not None:
            if not isinstance(name, str):
                raise TypeError(f"name is text or None, not {type(name).__name__}")
            if not name:
                raise ValueError("name is any text but ''; None is no name")
        node.rename(conn, name)

    # Sending

    async def send(self, target: str, message: Any) -> None:
        """Send a message to one client, at whatever server. What is promised: see :class:`Cluster`.

        :param target: an id, or a name: the newest client of that name, or with ``names="many"``
            all of them. An id counts before a name of the same text
        :param message: any bytes-like object; with a codec, what that encodes
        :raises UnknownClientError: nobody of that id or name is there
        :raises ClusterUnavailableError: the client is not at this server, and NATS is away;
            nothing was sent
        :raises TypeError: the message is not bytes-like
        :raises EncodeError: the codec cannot encode it; nothing was sent
        :raises MessageTooLargeError: it is over the server's ``max_message_size``; nothing was sent
        :raises WrongLoopError: called from another thread or event loop
        """
        node = self._checked()
        data = node.local.encode(message)
        if node.outgoing.crowded:
            # Nobody waits for who is not there.
            servers = {client.server for client in node.find(target)}
            await node.outgoing.room(len(data), servers - {node.id})
        node.send(target, data)

    async def broadcast(self, message: Any, *, exclude: Exclude = None) -> None:
        """Send one message to every client of every server. What is promised: see
        :class:`Cluster`.

        :param message: any bytes-like object; with a codec, what that encodes
        :param exclude: an id or a connection, or several, that do not get it
        :raises ClusterUnavailableError: NATS is away. The clients of this server got it, and
            nobody else
        :raises TypeError: the message is not bytes-like, or ``exclude`` holds something else
        :raises EncodeError: the codec cannot encode it; nobody gets it
        :raises MessageTooLargeError: it is over the server's ``max_message_size``; nobody gets it
        :raises WrongLoopError: called from another thread or event loop
        """
        await self._send_to_all(message, exclude, Broadcast)

    def group(self, name: str) -> ClusterGroup:
        """Return the group of that name: its members are at any server, by
        :meth:`~sealframe.Connection.join`.

        :param name: as in :meth:`~sealframe.Connection.join`, up to 64 KiB of UTF-8
        :raises TypeError: the name is not text
        :raises ValueError: the name is empty, too long or has a lone surrogate
        """
        if not isinstance(name, str):
            raise TypeError(f"the name of a group is text, not {type(name).__name__}")
        if not name:
            raise ValueError("the name of a group is any text but ''")
        checked_text(name)
        return ClusterGroup(name, self._broadcast_to_group)

    async def _broadcast_to_group(self, name: str, message: Any, exclude: Exclude) -> None:
        await self._send_to_all(message, exclude, partial(Group, name))

    async def _send_to_all(
        self, message: Any, exclude: Exclude, make: Callable[[tuple[str, ...], bytes], ToMany]
    ) -> None:
        node = self._checked()
        data, excluded = node.local.encode(message), excluded_ids(exclude)
        if node.outgoing.crowded:
            await node.outgoing.room(len(data), node.others)
        node.count_local(data)
        frame = make(excluded, data)
        deliver(node.local, frame)
        if not node.connected:
            raise ClusterUnavailableError(
                "NATS is away, and with it all other servers: this server's own clients got the "
                "message, and nobody else"
            )
        others = node.others
        if others:
            node.outgoing.add_to_all(others, encode(frame))

    async def request(self, target: str, payload: Any, *, timeout: float | None = None) -> Any:
        """Ask one client, at whatever server; return what its ``on_request`` answers.

        As :meth:`~sealframe.Connection.request`. The client may get the request and its answer be
        lost. One that waits ends with an error as soon as that may be so; None as time-out is safe.

        :param target: an id, or a name: the newest client of that name
        :param payload: any bytes-like object; with a codec, what that encodes
        :param timeout: seconds until the whole answer is here; None waits as long as the client
            and both servers are there
        :return: the answer; with a codec, decoded
        :raises UnknownClientError: nobody of that id or name is there
        :raises ClusterUnavailableError: the client is not at this server, and NATS is away, or
            went away, here or there, before the answer came
        :raises TypeError: the payload is not bytes-like
        :raises ValueError: ``timeout`` is not a number above 0
        :raises EncodeError: the codec cannot encode it; nothing was sent
        :raises DecodeError: the codec cannot decode the answer
        :raises MessageTooLargeError: it is over the limit
        :raises NotSupportedError: the client's connection carries packets only, or it has no
            ``on_request``
        :raises RequestTimeoutError: no answer in time
        :raises RemoteError: the client's ``on_request`` raised an exception
        :raises RequestCancelledError: the client gave it up, and its connection goes on
        :raises ConnectionClosed: the client's connection ended before the answer came, or its
            server did
        :raises WrongLoopError: called from another thread or event loop
        """
        node = self._checked()
        check_timeout(timeout)
        data = node.local.encode(payload)
        client = node.find(target)[-1]
        if client.server == node.id:
            conn = node.local.clients.get(client.id)
            answer = await node.local.request(client.id, data, timeout)
        else:
            conn = None
            node.check_connected()
            answer = await node.requests.ask(client.server, client.id, data, timeout)
        return node.local.codec.decode(answer, conn)

    async def kick(self, target: str, reason: str = "") -> None:
        """Put a client out, at whatever server, as :meth:`~sealframe.Server.kick` does. Returns
        when that is handed on.

        :param target: an id, or a name: the newest client of that name, or with ``names="many"``
            all of them
        :param reason: text for the client, cut to 255 bytes of UTF-8
        :raises UnknownClientError: nobody of that id or name is there
        :raises ClusterUnavailableError: the client is not at this server, and NATS is away
        :raises TypeError: the reason is not text
        :raises WrongLoopError: called from another thread or event loop
        """
        node = self._checked()
        if not isinstance(reason, str):
            raise TypeError(f"reason is text, not {type(reason).__name__}")
        clients = node.find(target)
        if any(client.server != node.id for client in clients):
            node.check_connected()
        for client in clients:
            if client.server == node.id:
                node.local.kick(client.id, reason)
            else:
                text = reason[:255].encode(errors="replace").decode()
                node.outgoing.add(client.server, encode(Kick(client.id, text)))

    # What the server calls

    async def start(self, server: LocalServer) -> None:
        """Join the cluster; :func:`sealframe.serve` does that.

        :raises ClusterUnavailableError: NATS cannot be reached
        :raises ClusterError: NATS does not let this server in, or this object was used before
        :raises MissingExtraError: nats-py is not installed
        """
        if self._node is not None or self._over:
            raise ClusterError("a Cluster serves one server, once: make another one for this")
        self._node = Node(
            server, self._servers, self._subjects, self._policy, self._hooks, self._replicas
        )
        try:
            await self._node.start()
        except BaseException:
            self._over = True
            raise

    def client_joined(self, conn: AnyConnection) -> None:
        """A client was registered."""
        self._running().joined(conn)

    def client_left(self, conn: AnyConnection) -> None:
        """A client is registered no more."""
        if self._node is not None and not self._over:
            self._node.left(conn)

    async def find_session(self, question: SessionQuestion) -> FoundSession:
        """Ask the other servers for a session."""
        return await self._running().sessions.find(question)

    async def take_session_over(
        self, question: SessionQuestion, numbering: int, known: bool
    ) -> StoredSession:
        """Own a session from now on."""
        return await self._running().sessions.take_over(question, numbering, known)

    @property
    def others(self) -> bool:
        """Whether there are servers that sessions can move to."""
        node = self._node
        return (
            self.connected
            and node is not None
            and any(not server.figures.get("leaving") for server in node.roster.servers)
        )

    def leaving(self) -> None:
        """The server begins to close."""
        if self._node is not None:
            self._node.leaving = True

    async def stop(self) -> None:
        """Leave the cluster."""
        if self._node is not None and not self._over:
            self._over = True
            await self._node.stop()

    def stats(self) -> dict[str, Any]:
        """Return what the cluster is doing, as plain data: under ``cluster`` in
        :meth:`~sealframe.Server.stats`.

        ``connected``, ``server_id``, ``clients`` and ``servers`` as the properties say, with
        numbers of clients; ``requests`` to clients of other servers that have no answer yet;
        ``messages_sent`` to other servers and ``messages_received`` from them, requests and the
        like included, one for each server; ``messages_lost``: NATS messages that did not come, or
        were not taken by NATS, each with one or many messages of clients; ``waiting_bytes`` for
        NATS; ``nats_connections``, how many this server has had. Of each server there is its label
        (host and process), when it started, in seconds of the Unix epoch, its number of clients,
        and the figures of its last heartbeat.

        :raises WrongLoopError: called from another thread or event loop
        """
        return self._checked(over=True).stats()

    # Inside

    def _running(self, *, over: bool = False) -> Node:
        node = self._node
        if node is None:
            raise ClusterError(
                "this Cluster is not started: give it to sealframe.serve(cluster=...) first"
            )
        if self._over and not over:
            raise ClusterError("this server has left the cluster: it is closed")
        return node

    def _checked(self, *, over: bool = False) -> Node:
        node = self._node
        if node is None or self._over:
            node = self._running(over=over)
        node.check_loop()
        return node
