"""The server: listens, keeps the registry of clients, runs a handler for each."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import secrets
import weakref
from collections.abc import Awaitable, Callable, Collection, Generator, Mapping
from types import MappingProxyType
from typing import Any, Final, Self, TypeAlias

from .addresses import Address, address_of, show
from .admission import Admission, Verdict
from .connection import BytesLike, Connection, as_bytes
from .control import Close, Hello
from .endpoint import Endpoint
from .errors import (
    ConfigurationError,
    ConnectionClosed,
    ConnectionClosedError,
    HandshakeError,
    MessageTooLargeError,
    WrongLoopError,
)
from .framing import Framing
from .identity import ServerIdentity
from .inbox import Budget
from .keys import SharedKey
from .link import Link
from .listening import Listener, listen
from .log_throttle import LogThrottle
from .mode import Mode
from .options import ServerOptions
from .origin import origin
from .seal import BUSY_REPLY
from .stats import ServerStats
from .turnaway import TurnedAway
from .wire import CloseCode
from .withdrawal import Withdrawal

Handler: TypeAlias = Callable[[Connection], Awaitable[None]]

logger = logging.getLogger("sealframe.server")

_MAX_TURNED_AWAY: Final = 64
"""Clients turned away in good order at a time; a further one is dropped at once,
or ``max_connections`` would not bound how many sockets are open."""

_MAX_FAILURE_LINES: Final = 20
"""Connections of one kind a minute that failed and get a line each in the log."""

_DROPPED: Final = ConnectionClosedError("the handshake was dropped to make room for a newcomer")
_CLOSED: Final = ConnectionClosedError("the server closed meanwhile")


def serve(
    handler: Handler,
    host: str | None = None,
    port: int | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    security: SharedKey | ServerIdentity | None = None,
    context: bytes | str = b"",
    framing: Framing | None = None,
    options: ServerOptions | None = None,
) -> Serving:
    """Listen, and run ``handler`` in a task of its own for each client.

    Use ``async with serve(...) as server``, which closes it at the end, or
    ``server = await serve(...)``.

    A client is listed, and its handler started, when it can receive: at once
    where packets flow, after the handshake on a sealed server. When the handler
    returns, the connection is closed; when it raises, that is logged with the
    client's id, and that client alone is closed with a reason. A handler may
    let :exc:`~sealframe.ConnectionClosed` pass: it only ends the handler.

    :param handler: ``async def handler(conn)``
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
    :param options: limits and time-outs
    :raises ConfigurationError: the arguments cannot work together
    :raises ListenError: when awaited: the address is in use, forbidden or unknown
    """
    if not callable(handler):
        raise ConfigurationError("handler is an async function that takes the connection")
    options = ServerOptions() if options is None else options
    if not isinstance(options, ServerOptions):
        raise ConfigurationError("options for a server are ServerOptions(...)")
    mode = Mode(
        client=False,
        security=security,
        context=context,
        framing=framing,
        max_message_size=options.max_message_size,
    )
    return Serving(handler, Endpoint.of(host, port, path), mode, options)


class Serving:
    """What :func:`serve` returns: await it, or use it in ``async with``."""

    def __init__(
        self, handler: Handler, endpoint: Endpoint, mode: Mode, options: ServerOptions
    ) -> None:
        self._handler = handler
        self._endpoint = endpoint
        self._mode = mode
        self._options = options
        self._server: Server | None = None

    async def _start(self) -> Server:
        server = Server(self._handler, self._mode, self._options)
        await server._listen(self._endpoint)
        return server

    def __await__(self) -> Generator[Any, None, Server]:
        return self._start().__await__()

    async def __aenter__(self) -> Server:
        self._server = await self._start()
        return self._server

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        await self._server.close()


class Server:
    """A listening server, made by :func:`serve`.

    It belongs to the event loop that made it.
    """

    def __init__(self, handler: Handler, mode: Mode, options: ServerOptions) -> None:
        self._loop = asyncio.get_running_loop()
        self._handler = handler
        self._mode = mode
        self._options = options
        self._listener: Listener | None = None
        self._clients: dict[str, Connection] = {}
        # Also those that are gone or closing, as long as somebody can read from them.
        self._known: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._links: set[Link] = set()
        self._admission: Admission[Link] = Admission(options, handshakes=mode.security is not None)
        self._budget = Budget(options.inbox_limit, options.inbox_budget)
        self._turned_away: set[TurnedAway] = set()
        # Who knocks must not fill the log.
        self._throttles = {kind: LogThrottle() for kind in ("full", "too fast", "dropped")}
        # Apart, so that those who knock with anything do not hide those with a key.
        for kind in ("failed", "unauthorized", "broken"):
            self._throttles[kind] = LogThrottle(_MAX_FAILURE_LINES)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closers: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed: asyncio.Task[None] | None = None
        self._withdrawal: Withdrawal | None = None
        self._ended: asyncio.Future[None] = self._loop.create_future()
        # Ids are a counter behind a random prefix, so that they stay unique
        # over restarts and over several servers.
        self._prefix = secrets.token_hex(3)
        self._count = 0
        self.stats = ServerStats()
        """Counters of this server; they go on counting."""

    def __repr__(self) -> str:
        shown = ", ".join(map(show, self.addresses)) or "not listening"
        return f"<Server {shown}, {len(self._clients)} clients>"

    @property
    def clients(self) -> Mapping[str, Connection]:
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
        self, message: BytesLike, *, exclude: Connection | Collection[Connection] | None = None
    ) -> int:
        """Send one message to every client, without waiting for any.

        A client that announced a lower limit than the message's size misses it.
        A client whose outbox is full is treated by ``options.slow_client``: it
        misses the message or is disconnected. Both are counted, in its ``stats``
        and in the server's. The others do not notice.

        :param message: any bytes-like object
        :param exclude: a connection, or several, that do not get it
        :return: how many clients it was queued for
        :raises TypeError: the message is not bytes-like, or ``exclude`` holds
            something other than connections
        :raises MessageTooLargeError: it is over this server's ``max_message_size``
        :raises WrongLoopError: called from another thread or event loop
        """
        self._check_loop()
        data = as_bytes(message)
        if len(data) > self._options.max_message_size:
            raise MessageTooLargeError(len(data), self._options.max_message_size)
        left_out = {exclude} if isinstance(exclude, Connection) else set(exclude or ())
        if not all(isinstance(conn, Connection) for conn in left_out):
            raise TypeError("exclude takes connections, for example server.clients[id]")
        disconnect = self._options.slow_client == "disconnect"
        queued = 0
        for conn in list(self._clients.values()):
            if conn in left_out:
                continue
            dropped = conn.stats.dropped
            if conn._offer(data, disconnect=disconnect):
                queued += 1
            elif conn.stats.dropped > dropped:
                self.stats.dropped += 1
        return queued

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

    async def close(self, reason: str = "") -> None:
        """Stop listening and close every connection; return when all is over.

        Clients are told that the server goes away, with ``reason``, and may come
        back. What was accepted for them is still sent, for ``close_timeout`` at
        most; handlers that still run then are cancelled. The close goes on even
        if this call is cancelled, and calling it again only waits.

        :param reason: text for the clients, cut to 255 bytes of UTF-8
        :raises WrongLoopError: called from another thread or event loop
        """
        self._check_loop()
        if not isinstance(reason, str):
            raise TypeError(f"reason is text, not {type(reason).__name__}")
        # A handler that closes the server is not waited for: it waits itself.
        caller = asyncio.current_task()
        if caller in self._tasks:
            self._closers.add(caller)
            self._forget(caller)
        if self._closed is None:
            self._closed = self._loop.create_task(self._close(reason))
        await asyncio.shield(self._closed)

    async def wait_closed(self) -> None:
        """Wait until the server is closed, whoever closes it."""
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
        self._listener = await listen(self._arrive, endpoint)
        if clients is not None:
            self._withdrawal = Withdrawal(clients, self._known)

    def _arrive(self, transport: asyncio.Transport) -> asyncio.BaseProtocol | None:
        if self._closed is not None:
            return None
        address = origin(transport)
        match self._admission.knock(address, self._loop.time()):
            case Verdict.TOO_FAST:
                self.stats.too_fast += 1
                self._log_arrival("too fast", transport, "came faster than connection_rate allows")
                return None
            case Verdict.FULL:
                return self._turn_away(transport)
        self.stats.accepted += 1
        self._count += 1
        client_id = f"{self._prefix}-{self._count}"
        protocol = self._mode.protocol(client_id=client_id)
        link = Link(protocol, self._options, self._budget)
        self._register(link, Connection(link, client_id))
        dropped = self._admission.enter(link, address)
        if dropped is not None:
            self._drop(dropped, transport)
        return link

    def _register(self, link: Link, conn: Connection) -> None:
        task: asyncio.Task[None] | None = None

        def on_established(hello: Hello) -> None:
            nonlocal task
            if self._closed is not None or not self._admission.establish(link):
                link.abort(_CLOSED)
                return
            self._clients[conn.id] = conn
            self._known.add(conn)
            if self._withdrawal is not None:
                self._withdrawal.came()
            self._budget.join()
            task = self._loop.create_task(self._run(conn), name=f"sealframe client {conn.id}")
            self._tasks.add(task)
            self._idle.clear()
            task.add_done_callback(self._forget)
            task.add_done_callback(self._closers.discard)

        def on_failed(error: ConnectionClosedError) -> None:
            # Those whom a closing server drops in their handshake are no news.
            if task is not None or self._closed is None:
                self._log_failure(conn.id, link, error)

        def on_finished() -> None:
            self._links.discard(link)
            self._clients.pop(conn.id, None)
            self._admission.leave(link)
            if task is not None:
                # What the handler has not read yet takes its share until it ends.
                task.add_done_callback(lambda _: self._budget.leave())

        link.on_established = on_established
        link.on_failed = on_failed
        link.on_finished = on_finished
        self._links.add(link)

    def _turn_away(self, transport: asyncio.Transport) -> TurnedAway | None:
        self.stats.turned_away += 1
        limit = self._options.max_connections
        self._log_arrival(
            "full", transport, f"was turned away: max_connections, {limit}, is reached"
        )
        if len(self._turned_away) >= _MAX_TURNED_AWAY:
            return None
        reply = BUSY_REPLY if self._mode.security is not None else b""
        return TurnedAway(reply, self._options.handshake_timeout, self._turned_away)

    def _drop(self, link: Link, newcomer: asyncio.Transport) -> None:
        if link.receive_error is None:
            self.stats.dropped_handshakes += 1
            self._log_arrival(
                "dropped",
                newcomer,
                "made a random unfinished handshake end: too many are pending "
                f"({self._admission.pending})",
            )
        link.abort(_DROPPED)

    def _log_arrival(self, kind: str, transport: asyncio.Transport, text: str) -> None:
        count = self._throttles[kind].count(self._loop.time())
        if count:
            who = show(address_of(transport, "peername"))
            logger.warning("a client at %s %s%s", who, text, _others(count))

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._tasks:
            self._idle.set()

    def _log_failure(self, client_id: str, link: Link, error: ConnectionClosedError) -> None:
        if error is _DROPPED:
            return
        kind = "broken"
        if isinstance(error, HandshakeError):
            kind = "failed"
            self.stats.failed_handshakes += 1
            if error.code == CloseCode.UNAUTHORIZED:
                kind = "unauthorized"
                self.stats.unauthorized += 1
        count = self._throttles[kind].count(self._loop.time())
        if count:
            who = f"client {client_id} at {show(link.remote_address)}"
            logger.warning("%s: %s%s", who, error, _others(count))

    async def _run(self, conn: Connection) -> None:
        close = Close()
        try:
            running = self._handler(conn)
            if not inspect.isawaitable(running):
                raise TypeError(f"the handler is not async: it returned {running!r}")
            await running
        except asyncio.CancelledError:
            close = Close(CloseCode.GOING_AWAY)
            raise
        except Exception as error:
            # This client's leaving is no fault of the handler, and is logged
            # already; that of another connection the handler uses is news.
            link = conn._link
            gone = link.receive_error is not None or link.send_error is not None
            if not (isinstance(error, ConnectionClosed) and gone):
                logger.exception("the handler of client %s failed", conn.id)
                close = Close(CloseCode.HANDLER, "the handler failed")
        finally:
            self._clients.pop(conn.id, None)
            conn._link.start_close(close)

    async def _close(self, reason: str) -> None:
        assert self._listener is not None
        self._listener.close()
        if self._withdrawal is not None:
            await self._withdrawal.stop()
        close = Close(CloseCode.GOING_AWAY, reason)
        for link in list(self._links):
            link.go_away(close)
        for turned_away in list(self._turned_away):
            turned_away.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.close_timeout):
                await self._idle.wait()
        left = set(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for link in list(self._links):
            await link.wait_closed()
        await self._listener.wait_closed()
        if not self._ended.done():
            self._ended.set_result(None)


def _others(count: int) -> str:
    return f" (and {count - 1} more since the last such line)" if count > 1 else ""
