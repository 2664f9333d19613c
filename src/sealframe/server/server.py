"""The server: listens, keeps the registry of clients, runs a handler for each."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import weakref
from collections.abc import Collection, Generator, Mapping
from types import MappingProxyType
from typing import Any, Final, Generic, Self

from ..aio.addresses import Address, address_of, show
from ..aio.caller import current_caller
from ..aio.codec_connection import connection_maker, encoder
from ..aio.config import ConnectionConfig
from ..aio.connection import AnyConnection, Connection, OnRequest, Received, Sent
from ..aio.connection_protocol import ConnectionProtocol, timer_wheel_for
from ..aio.endpoint import Endpoint
from ..aio.hooks import Hooks, OnConnect, OnDisconnect
from ..aio.listening import Listener, listen
from ..aio.peer_handlers import OnStream, PeerHandlers
from ..aio.receive_queue import Budget
from ..aio.stats import ServerStats, Stats
from ..codecs import Codec, check_codec
from ..errors import ConfigurationError, ConnectionClosedError, UnknownClientError, WrongLoopError
from ..files.receiving import OnOffer
from ..files.transfers import Transfers
from ..framing import Framing
from ..noise.records import BUSY_REPLY
from ..options import ServerOptions
from ..trust.identity import ServerIdentity
from ..trust.keys import SharedKey
from ..wire import CloseCode
from ..wire.control import Close, Hello
from .admission import Admission, Verdict
from .broadcasting import Broadcasts
from .connection_log import ConnectionLog
from .groups import Group, Groups
from .handlers import Handler, Handlers, drop_messages
from .rate_limit_key import origin
from .reject import RejectedClient
from .revocation import Withdrawal
from .shutdown import ShutdownReport
from .snapshot import described, totals

_MAX_TURNED_AWAY: Final = 64
"""Clients turned away in good order at a time; a further one is dropped at once,
or ``max_connections`` would not bound how many sockets are open."""

_DROPPED: Final = ConnectionClosedError("the handshake was dropped to make room for a newcomer")
_CLOSED: Final = ConnectionClosedError("the server closed meanwhile")


def serve(
    handler: Handler[Sent, Received] | None,
    host: str | None = None,
    port: int | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    security: SharedKey | ServerIdentity | None = None,
    context: bytes | str = b"",
    framing: Framing | None = None,
    codec: Codec[Sent, Received] | None = None,
    on_request: OnRequest[Sent, Received] | None = None,
    on_stream: OnStream | None = None,
    files: OnOffer | None = None,
    options: ServerOptions | None = None,
    on_connect: OnConnect | None = None,
    on_disconnect: OnDisconnect | None = None,
) -> Serving[Sent, Received]:
    """Listen, and run ``handler`` in a task of its own for each client.

    Use ``async with serve(...) as server``, which closes it at the end, or
    ``server = await serve(...)``.

    What a client may do beside sending messages is what the arguments provide for: requests
    need ``on_request``, streams ``on_stream``, files ``files``.

    A client is listed, and its handler started, when it can receive: at once
    where packets flow, after the handshake on a sealed server. When the handler
    returns, the connection is closed; when it raises, that is logged with the
    client's id, and that client alone is closed with a reason. A handler may
    let :exc:`~sealframe.ConnectionClosed` pass: it only ends the handler. It may let
    :exc:`~sealframe.DecodeError` pass too: the client is closed with
    ``CloseCode.MALFORMED``, and that gets a line in the log, as other faults of clients do.

    :param handler: ``async def handler(conn)``, which serves one client from beginning to
        end; most of them are one ``async for message in conn:``. None where
        ``on_request``, ``on_stream`` or ``files`` does all there is to do: messages are
        then read and dropped, and each connection lives until its client closes it
    :param host: address or name to listen on; ``"127.0.0.1"`` is reached from this
        machine alone, ``"0.0.0.0"`` from every IPv4 network it is on, ``"::"``
        from every IPv6 one
    :param port: TCP port; 0 takes a free one, see :attr:`Server.port`
    :param path: a Unix socket to listen on, instead of host and port
    :param security: a shared key, or an identity with the clients that it lets in,
        seals every connection; unsealed clients are refused
    :param context: name of this service, the same at both ends (sealed only). Give
        each service that shares a key its own.
    :param framing: a foreign frame layout, messages only
    :param codec: what makes messages of objects and objects of messages, see
        :mod:`sealframe.codecs`; None leaves them ``bytes``
    :param on_request: ``async def on_request(conn, payload)`` returns the answer to a request
        of a client (:meth:`Connection.request`), bytes-like, or None for an empty one. Each
        runs in a task of its own, beside the handler. What it raises reaches the client as
        :exc:`~sealframe.RemoteError` with the name of the type and the text, and is logged;
        a ``RemoteError`` raised on purpose keeps its own type and is not. The task is
        cancelled when the client gives the request up or is gone. With a codec, payload
        and answer are objects, None too; one whose payload cannot be decoded gets a
        ``RemoteError`` of type ``"DecodeError"``, and the program does not see it.
    :param on_stream: ``async def on_stream(stream)`` serves a stream that a client opens
        (:meth:`Connection.open_stream`), in a task of its own. When it returns, the stream
        is over; when it raises, the client's end is reset, and the error logged.
    :param files: an :class:`Inbox`, the directory that receives the files of clients
        (:meth:`Connection.send_file`), or ``async def on_offer(offer)``, which decides about
        each :class:`sealframe.files.Offer`, in a task of its own. Without it none are taken.
    :param options: limits and time-outs
    :param on_connect: called with each client's connection before its handler starts.
        A function, or a coroutine function, which runs in a task beside the handler.
        What a hook raises is logged, and ends nothing.
    :param on_disconnect: called with the connection and a :class:`Disconnect` once the
        socket of such a client is gone, after ``on_connect``. The server no longer
        lists the client then; its handler may still run. One that waits for what is
        not to come is cancelled at the end, see :meth:`Server.close`.
    :raises ConfigurationError: the arguments cannot work together
    :raises ListenError: when awaited: the address is in use, forbidden or unknown
    """
    services = PeerHandlers(on_request=on_request, on_stream=on_stream, files=Transfers(files))
    if handler is None:
        if not (services.takes_requests or services.takes_streams):
            raise ConfigurationError(
                "handler is None, and so nothing would be served: "
                "give a handler, on_request, on_stream or files"
            )
        handler = drop_messages
    elif not callable(handler):
        raise ConfigurationError("handler is an async function that takes the connection")
    options = ServerOptions() if options is None else options
    if not isinstance(options, ServerOptions):
        raise ConfigurationError("options for a server are ServerOptions(...)")
    check_codec(codec)
    mode = ConnectionConfig(
        client=False,
        security=security,
        context=context,
        framing=framing,
        options=options,
        takes_streams=services.takes_streams,
        takes_requests=services.takes_requests,
    )
    hooks = Hooks(on_connect, on_disconnect, timeout=options.close_timeout)
    return Serving(handler, Endpoint.of(host, port, path), mode, options, hooks, services, codec)


class Serving(Generic[Sent, Received]):
    """What :func:`sealframe.serve` returns: await it, or use it in ``async with``."""

    def __init__(
        self,
        handler: Handler[Sent, Received],
        endpoint: Endpoint,
        mode: ConnectionConfig,
        options: ServerOptions,
        hooks: Hooks,
        services: PeerHandlers,
        codec: Codec[Sent, Received] | None,
    ) -> None:
        self._handler = handler
        self._endpoint = endpoint
        self._mode = mode
        self._options = options
        self._hooks = hooks
        self._services = services
        self._codec = codec
        self._server: Server[Sent, Received] | None = None

    async def _start(self) -> Server[Sent, Received]:
        server = Server(
            self._handler,
            self._mode,
            self._options,
            self._hooks,
            self._services,
            self._codec,
        )
        await server._listen(self._endpoint)
        return server

    def __await__(self) -> Generator[Any, None, Server[Sent, Received]]:
        return self._start().__await__()

    async def __aenter__(self) -> Server[Sent, Received]:
        self._server = await self._start()
        return self._server

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        await self._server.close()


class Server(Generic[Sent, Received]):
    """A listening server, made by :func:`sealframe.serve`.

    It belongs to the event loop that made it.
    """

    def __init__(
        self,
        handler: Handler[Sent, Received],
        mode: ConnectionConfig,
        options: ServerOptions,
        hooks: Hooks,
        services: PeerHandlers,
        codec: Codec[Sent, Received] | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._mode = mode
        self._options = options
        self._listener: Listener | None = None
        self._clients: dict[str, AnyConnection] = {}
        # Also those that are gone or closing, as long as somebody can read from them:
        # the key of any of them may be withdrawn.
        self._known: weakref.WeakSet[AnyConnection] | None = None
        self._links: dict[ConnectionProtocol, AnyConnection] = {}
        self._make_connection = connection_maker(codec)
        self._timer_wheel = timer_wheel_for(options)
        self._admission: Admission[ConnectionProtocol] = Admission(
            options, handshakes=mode.security is not None
        )
        self._budget = Budget(options.inbox_limit, options.inbox_budget)
        self._turned_away: set[RejectedClient] = set()
        self._hooks = hooks
        self._services = services
        self._closed: asyncio.Task[ShutdownReport] | None = None
        self._withdrawal: Withdrawal | None = None
        self._ended: asyncio.Future[None] = self._loop.create_future()
        # Ids are a counter behind a random prefix, so that they stay unique
        # over restarts and over several servers.
        self._ids = map(f"{secrets.token_hex(3)}-{{}}".format, itertools.count(1))
        self.counters = ServerStats()
        """Counters of this server; they go on counting."""
        self._gone = Stats()
        self._incidents = ConnectionLog(self.counters)
        self._handlers = Handlers(handler, self._incidents, self._handled)
        self._broadcasts = Broadcasts(options, encoder(codec), self.counters)
        self._groups = Groups(self._broadcasts, self._check_loop)

    def __repr__(self) -> str:
        shown = ", ".join(map(show, self.addresses)) or "not listening"
        return f"<Server {shown}, {len(self._clients)} clients>"

    @property
    def clients(self) -> Mapping[str, Connection[Sent, Received]]:
        """The clients that are there now, by id; a live, read-only view."""
        return MappingProxyType(self._clients)

    @property
    def addresses(self) -> list[Address]:
        """Where the server listens: ``(host, port)`` each, or the Unix socket's path."""
        return [] if self._listener is None else list(self._listener.addresses)

    @property
    def port(self) -> int:
        """The TCP port it listens on, the first where there are several: a name
        such as ``"localhost"`` may have an IPv4 and an IPv6 address, and port 0
        then takes a free one for each.

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
        :raises WrongLoopError: called from another thread or event loop
        """
        self._check_loop()
        return self._broadcasts.send(message, list(self._clients.values()), exclude)

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
        connected_for (seconds), the counters of :class:`Stats`, inbox_cost and
        outbox_cost (length plus 64 for each message that waits), latency (seconds, or
        None) and groups. ``groups`` has the number of members by name, ``connections``
        how many sockets are open, unfinished handshakes included. Beside them stand the
        server's :attr:`counters`, and sums of the other counters of :class:`Stats` over
        all connections, those that are gone included.

        :raises WrongLoopError: called from another thread or event loop
        """
        self._check_loop()
        return {
            **described(self._clients, self._groups, self._loop.time()),
            "connections": len(self._links),
            **totals(self.counters, self._gone, self._links.values()),
        }

    def kick(self, id: str, reason: str = "") -> None:
        """Put a client out: its connection ends here at once, and it is told why.

        Returns without waiting. What was accepted for it is still sent. Its handler
        reads what came before and then gets :exc:`~sealframe.ConnectionClosedError`.
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
        conn = self._clients.get(id)
        if conn is None:
            raise UnknownClientError(id)
        text = "the client was kicked" + (f": {reason}" if reason else "")
        error = ConnectionClosedError(text, code=CloseCode.KICKED, reason=reason)
        conn._link.expel(error, Close(CloseCode.KICKED, reason))

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

    async def close(self, reason: str = "", *, timeout: float | None = None) -> ShutdownReport:
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
        :return: what was there, and what was not finished or sent
        :raises TypeError: the reason is not text
        :raises ValueError: the time-out is negative
        :raises WrongLoopError: called from another thread or event loop
        """
        self._check_loop()
        if not isinstance(reason, str):
            raise TypeError(f"reason is text, not {type(reason).__name__}")
        if timeout is None:
            timeout = self._options.close_timeout
        elif timeout < 0:
            raise ValueError(f"timeout is {timeout}; use seconds from 0 up, or None")
        self._exclude(current_caller())
        if self._closed is None:
            self._closed = self._loop.create_task(self._close(reason, timeout))
        return await asyncio.shield(self._closed)

    def _exclude(self, closer: asyncio.Task[Any] | None) -> None:
        # What closes the server is not waited for: it waits itself.
        for tasks in (self._handlers, self._hooks, self._services.tasks):
            tasks.excuse(closer)
        for link in list(self._links):
            link.close_if_idle()

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

    async def _listen(self, endpoint: Endpoint) -> None:
        clients = self._mode.clients_file
        if clients is not None:
            # It may have changed since the identity was made.
            seen = await asyncio.to_thread(clients.refresh)
            await asyncio.to_thread(clients.refresh, seen)
            self._known = weakref.WeakSet()
        self._listener = await listen(self._arrive, endpoint, self._options)
        if clients is not None and self._known is not None:
            self._withdrawal = Withdrawal(clients, self._known)

    def _arrive(self, transport: asyncio.Transport) -> asyncio.BaseProtocol | None:
        if self._closed is not None:
            return None
        address = origin(transport)
        match self._admission.knock(address, self._loop.time()):
            case Verdict.TOO_FAST:
                self._incidents.came_too_fast(address_of(transport, "peername"))
                return None
            case Verdict.FULL:
                return self._turn_away(transport)
        self.counters.accepted += 1
        client_id = next(self._ids)
        link = ConnectionProtocol(
            self._mode.protocol(client_id=client_id),
            self._options,
            self,
            services=self._services,
            budget=self._budget,
            timer_wheel=self._timer_wheel,
        )
        self._links[link] = self._make_connection(
            link, client_id, groups=self._groups, hooks=self._hooks
        )
        dropped = self._admission.enter(link, address)
        if dropped is not None:
            self._drop(dropped, transport)
        return link

    def _on_established(self, link: ConnectionProtocol, hello: Hello) -> None:
        if self._closed is not None or not self._admission.establish(link):
            link.abort(_CLOSED)
            return
        conn = self._links[link]
        self._clients[conn.id] = conn
        if self._known is not None:
            self._known.add(conn)
        if self._withdrawal is not None:
            self._withdrawal.came()
        self._budget.join()
        self._hooks.connected(conn)
        link.task = self._handlers.start(conn)

    def _on_failed(self, link: ConnectionProtocol, error: ConnectionClosedError) -> None:
        # Those whom a closing server drops in their handshake are no news.
        if error is not _DROPPED and (link.task is not None or self._closed is None):
            self._incidents.failed(self._links[link].id, link.remote_address, error)

    def _on_finished(self, link: ConnectionProtocol) -> None:
        conn = self._links.pop(link)
        self._gone.add(conn.stats)
        self._unlist(conn)
        self._admission.leave(link)
        if link.task is not None:
            self._hooks.disconnected(conn)
        if link.task is not None and link.task not in self._handlers:
            self._budget.leave()
            link.task = None

    def _connection(self, link: ConnectionProtocol) -> AnyConnection:
        return self._links[link]

    def _handled(self, conn: AnyConnection, close: Close) -> None:
        link = conn._link
        if link.finished:
            # What the handler has not read yet took its share until now.
            self._budget.leave()
            link.task = None
        else:
            self._unlist(conn)
            if link.retiring is None or not link.busy:
                link.start_close(close)

    def _unlist(self, conn: AnyConnection) -> None:
        self._clients.pop(conn.id, None)
        self._groups._end(conn)

    def _turn_away(self, transport: asyncio.Transport) -> RejectedClient | None:
        who = address_of(transport, "peername")
        self._incidents.turned_away(who, self._options.max_connections)
        if len(self._turned_away) >= _MAX_TURNED_AWAY:
            return None
        reply = BUSY_REPLY if self._mode.security is not None else b""
        return RejectedClient(reply, self._options.handshake_timeout, self._turned_away)

    def _drop(self, link: ConnectionProtocol, newcomer: asyncio.Transport) -> None:
        if link.receive_error is None:
            who = address_of(newcomer, "peername")
            self._incidents.dropped_handshake(who, self._admission.pending)
        link.abort(_DROPPED)

    async def _close(self, reason: str, timeout: float) -> ShutdownReport:
        assert self._listener is not None
        deadline = self._loop.time() + timeout
        self._listener.close()
        close = Close(CloseCode.GOING_AWAY, reason)
        before = self.stats()
        for link in list(self._links):
            link.retire(close)
        for turned_away in list(self._turned_away):
            turned_away.abort()
        cancelled = await self._services.tasks.finish(deadline)
        cancelled += await self._handlers.finish(deadline)
        for link in list(self._links):
            link.start_close(close)
        for link in list(self._links):
            await link.wait_closed()
        cancelled += await self._hooks.finish(deadline)
        if self._withdrawal is not None:
            await self._withdrawal.stop()
        await self._listener.wait_closed()
        if not self._ended.done():
            self._ended.set_result(None)
        after = self.stats()
        return ShutdownReport(
            clients=len(before["clients"]),
            cancelled=cancelled,
            unsent=after["unsent"] - before["unsent"],
            discarded=after["discarded"] - before["discarded"],
        )


def abort(server: Server[Any, Any], error: ConnectionClosedError) -> None:
    """Drop all sockets at once, for what has no time to :meth:`Server.close`.

    :param error: what those raise who send or receive
    """
    for link in list(server._links):
        link.abort(error)
