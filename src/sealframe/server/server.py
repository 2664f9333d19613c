"""The server as programs see it; its connections are in :mod:`sealframe.server.registry`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final, Generic, Self

from ..aio.addresses import Address, show
from ..aio.caller import current_caller
from ..aio.config import ConnectionConfig
from ..aio.connection import AnyConnection, Connection, Received, Sent
from ..aio.endpoint import Binding
from ..aio.hooks import Hooks
from ..aio.listening import Decide, Listener, listen
from ..aio.peer_handlers import PeerHandlers
from ..aio.stats import ServerStats
from ..aio.tasks import start_task
from ..errors import ConfigurationError, UnknownClientError, WrongLoopError
from ..options import ServerOptions
from ..wire import CloseCode
from ..wire.control import Close
from .balancers import HeaderReading, TrustedPeers
from .broadcasting import Broadcasts
from .cluster_member import ClusterMember, LocalServer
from .groups import Group, Groups
from .handlers import Handler
from .registry import ConnectionRegistry
from .shutdown import ShutdownReport
from .snapshot import snapshot

_MAX_RETRY_AFTER: Final = 4_294_967
"""Seconds: GOAWAY has a u32 of milliseconds for it."""


class Server(Generic[Sent, Received]):
    """A listening server, made by :func:`sealframe.serve`.

    It belongs to the event loop that made it.
    """

    def __init__(
        self,
        handler: Handler[Sent, Received] | None,
        config: ConnectionConfig,
        options: ServerOptions,
        hooks: Hooks,
        peer_handlers: PeerHandlers,
        cluster: ClusterMember | None = None,
    ) -> None:
        self.counters = ServerStats()
        """Counters of this server; they go on counting."""
        self._loop = asyncio.get_running_loop()
        self._options = options
        self._listener: Listener | None = None
        self._headers: HeaderReading | None = None
        self._registry = ConnectionRegistry(
            handler, config, options, hooks, peer_handlers, self.counters, cluster
        )
        self._broadcasts = Broadcasts(
            options, peer_handlers.codec.encode, self.counters, config.framing
        )
        self._groups = Groups(
            self._registry.clients.memberships, self._broadcasts, self._check_loop
        )
        self._cluster = cluster
        self._closing: asyncio.Task[ShutdownReport] | None = None
        self._ended: asyncio.Future[None] = self._loop.create_future()

    def __repr__(self) -> str:
        shown = ", ".join(map(show, self.addresses)) or "not listening"
        return f"<Server {shown}, {len(self._registry.clients.by_id)} clients>"

    @property
    def clients(self) -> Mapping[str, Connection[Sent, Received]]:
        """The clients that are there now, by id; a live, read-only view."""
        return MappingProxyType(self._registry.clients.by_id)

    @property
    def addresses(self) -> list[Address]:
        """Where the server listens: ``(host, port)`` each, or the Unix socket's path."""
        return [] if self._listener is None else list(self._listener.addresses)

    @property
    def port(self) -> int:
        """The TCP port it listens on. It is the same at every address: where port 0 takes a free
        one, it is free at all of them. Of given sockets (``sock=``) it is the first one's.

        :raises ConfigurationError: it listens on a Unix socket
        """
        for address in self.addresses:
            if isinstance(address, tuple):
                return address[1]
        raise ConfigurationError("this server listens on a Unix socket, which has no port")

    def broadcast(
        self,
        message: Sent,
        *,
        exclude: AnyConnection | Collection[AnyConnection] | None = None,
    ) -> int:
        """Send one message to every client, without waiting for any.

        A client that announced a lower limit than the message's size misses it.
        A client whose outbox is full is treated by ``options.slow_client``: it
        misses the message or is disconnected. Both are counted, in its ``stats``
        and in the server's ``counters``. The others do not notice.

        :param message: any bytes-like object; with a codec, what that encodes
        :param exclude: a connection, or several, that do not get it
        :return: how many clients it was queued for
        :raises TypeError: the message is not bytes-like, or ``exclude`` holds
            something other than connections
        :raises EncodeError: the codec cannot encode it; nobody gets it
        :raises MessageTooLargeError: it is over this server's ``max_message_size``
        :raises SealframeError: with ``framing=``, the layout refuses it, as in
            :meth:`Connection.send`; nobody gets it
        :raises WrongLoopError: called from another thread or event loop
        """
        self._check_loop()
        return self._broadcasts.send(message, self._registry.clients.by_id.values(), exclude)

    @property
    def groups(self) -> Mapping[str, Group[Sent, Received]]:
        """The groups that have members, by name; a live, read-only view."""
        return self._groups

    def group(self, name: str) -> Group[Sent, Received]:
        """Return the group of that name, which may have no members.

        :param name: as in :meth:`Connection.join`
        """
        return Group(self._groups, name)

    def stats(self) -> dict[str, Any]:
        """Return what the server is doing, as plain data that ``json.dumps()`` takes.

        ``clients`` has for each id: name (of its key, or None), address, sealed,
        post_quantum, connected (as :attr:`Connection.connected`), links (how many it has had,
        1 without a session), connected_for (seconds, those without a link included), the
        counters of :class:`Stats`, inbox_cost and outbox_cost (length plus 64 for each message
        that waits), latency (seconds, or None) and groups. ``groups`` has the number of
        members by name, ``connections`` how many sockets are open, unfinished handshakes included,
        ``sessions_detached`` how many sessions have none, ``sessions_adopting`` how many wait
        for the answer of ``Sessions.position``, and are no clients yet. Beside them stand the
        server's :attr:`counters`, and sums of the other counters of :class:`Stats` over all
        connections, those that are gone included. With ``cluster=`` what the cluster says of itself
        is under ``cluster``.

        :raises WrongLoopError: called from another thread or event loop
        """
        self._check_loop()
        stats = snapshot(self._registry, self._groups)
        if self._cluster is not None:
            stats["cluster"] = self._cluster.stats()
        return stats

    def kick(self, id: str, reason: str = "") -> None:
        """Put a client out: its connection ends here at once, and it is told why.

        Returns without waiting. What was accepted for it is still sent. Nothing more of it
        reaches the program, not even what came before: its handler gets
        :exc:`~sealframe.ConnectionClosedError` at its next ``recv()``, and so does what reads
        its streams; streams and requests that have not begun never do, those requests that
        have are cancelled, and no file of it is put in its place any more.
        A client that speaks packets alone sees no more than the end of the stream.

        :param id: as in :attr:`clients`
        :param reason: text for the client, cut to 255 bytes of UTF-8
        :raises UnknownClientError: no client of that id is there
        :raises TypeError: the reason is not text
        :raises WrongLoopError: called from another thread or event loop
        """
        self._check_loop()
        if not isinstance(reason, str):
            raise TypeError(f"reason is text, not {type(reason).__name__}")
        if not self._registry.clients.kick(id, reason):
            raise UnknownClientError(id)

    async def serve_forever(self) -> None:
        """Wait until the server is closed.

        If this call is cancelled, the server is closed first, as :meth:`close` does.

        :raises WrongLoopError: called from another thread or event loop
        """
        self._check_loop()
        try:
            await asyncio.shield(self._ended)
        except asyncio.CancelledError:
            await self.close()
            raise

    async def close(
        self, reason: str = "", *, timeout: float | None = None, retry_after: float | None = None
    ) -> ShutdownReport:
        """Stop listening, let handlers finish, close every connection; return when all is over.

        Clients are told that the server goes away, with ``reason``, and may come back. From
        then on no message of theirs is taken in: once a handler has read what came before,
        its loop ends as it does when a client closes. It can still send, and so can what
        answers requests, serves streams or takes files; new ones are refused. Each connection
        is closed when its handler is done, or only waits for that in ``conn.wait_closed()``,
        and so is what answers and serves its client; it then waits up to ``close_timeout``
        for the client. Whatever of all this, and of the hooks, still runs after ``timeout`` is
        cancelled.

        The close goes on even if this call is cancelled; calling it again only waits.

        :param reason: text for the clients, cut to 255 bytes of UTF-8
        :param timeout: seconds that handlers have; None for ``options.close_timeout``, 0 to
            cancel them at once
        :param retry_after: seconds before which clients with a session are not to come back, up
            to 4,294,967; each waits up to half as long again, so that not all come at once. None
            does not say
        :return: what was there, and what was not finished or sent
        :raises TypeError: the reason is not text
        :raises ValueError: the time-out is negative, or ``retry_after`` is out of range
        :raises WrongLoopError: called from another thread or event loop
        """
        self._check_loop()
        if not isinstance(reason, str):
            raise TypeError(f"reason is text, not {type(reason).__name__}")
        if timeout is None:
            timeout = self._options.close_timeout
        elif timeout < 0:
            raise ValueError(f"timeout is {timeout}; use seconds from 0 up, or None")
        if retry_after is not None and not 0 <= retry_after <= _MAX_RETRY_AFTER:
            raise ValueError(
                f"retry_after is {retry_after}; use seconds from 0 to {_MAX_RETRY_AFTER}, or None"
            )
        self._registry.exclude(current_caller())
        if self._closing is None:
            self._registry.stop_accepting()
            if self._cluster is not None:
                self._cluster.leaving()
            milliseconds = None if retry_after is None else math.ceil(retry_after * 1000)
            close = Close(CloseCode.GOING_AWAY, reason, retry_after=milliseconds)
            self._closing = start_task(self._close, close, timeout)
        return await asyncio.shield(self._closing)

    async def wait_closed(self) -> None:
        """Wait until the server is closed, whoever closes it.

        :raises WrongLoopError: called from another thread or event loop
        """
        self._check_loop()
        await asyncio.shield(self._ended)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Inside

    def _check_loop(self) -> None:
        if asyncio._get_running_loop() is not self._loop:
            raise WrongLoopError(
                "a server belongs to the event loop that made it; from another thread use "
                "loop.call_soon_threadsafe(), for example with server.broadcast"
            )

    async def _start(self, binding: Binding, balancers: TrustedPeers | None) -> None:
        if self._cluster is None:
            await self._listen(binding, balancers)
            return
        # Joined before the first client is served: its handler may use the cluster at once.
        await self._cluster.start(LocalServer(self._registry, self._broadcasts))
        try:
            await self._listen(binding, balancers)
        except BaseException:
            await self._cluster.stop()
            raise

    async def _listen(self, binding: Binding, balancers: TrustedPeers | None) -> None:
        registry = self._registry
        revocation = registry.clients.revocation
        if revocation is not None:
            await revocation.refresh()
        accept: Decide = registry.accept
        if balancers is not None:
            self._headers = HeaderReading(
                balancers, self._options, registry.log, registry.admission, registry.accept
            )
            accept = self._headers.begin
        self._listener = await listen(
            accept, binding, self._options, keepalive=registry.takes_packets
        )
        if revocation is not None:
            revocation.start()
        if any(isinstance(address, tuple) for address in self.addresses):
            self._registry.user_timeouts.start()

    async def _close(self, close: Close, timeout: float) -> ShutdownReport:
        assert self._listener is not None
        registry = self._registry
        self._listener.close()
        if self._headers is not None:
            self._headers.close()
        clients, (unsent, discarded) = len(registry.clients.by_id), registry.lost()
        cancelled = await registry.close(close, self._loop.time() + timeout)
        if self._cluster is not None:
            await self._cluster.stop()
        await self._listener.wait_closed()
        if not self._ended.done():
            self._ended.set_result(None)
        unsent_now, discarded_now = registry.lost()
        return ShutdownReport(
            clients=clients,
            cancelled=cancelled,
            unsent=unsent_now - unsent,
            discarded=discarded_now - discarded,
        )


def registry_of(server: Server[Any, Any]) -> ConnectionRegistry:
    """Return the connections of a server. Internal: programs have :attr:`Server.clients`."""
    return server._registry


def cluster_of(server: Server[Any, Any]) -> ClusterMember | None:
    """Return the cluster that a server is in, None for none. Internal."""
    return server._cluster


async def listen_at(
    server: Server[Any, Any], binding: Binding, balancers: TrustedPeers | None
) -> None:
    """Begin to serve there. Internal.

    :param balancers: who has to send a PROXY header, None for nobody
    :raises ListenError: the address is in use, forbidden or unknown
    """
    await server._start(binding, balancers)
