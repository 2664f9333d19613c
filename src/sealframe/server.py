"""The server: listens, keeps the registry of clients, runs a handler for each."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import logging
import os
import secrets
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator, Mapping
from types import MappingProxyType
from typing import Any, Final, Self, TypeAlias, cast

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
from .link import Link, timetable_for
from .listening import Listener, listen
from .log_throttle import LogThrottle
from .mode import Mode
from .options import ServerOptions
from .origin import origin
from .seal import BUSY_REPLY
from .services import OnRequest, OnStream, Services
from .stats import ServerStats
from .turnaway import TurnedAway
from .wire import CloseCode
from .withdrawal import Withdrawal

Handler: TypeAlias = Callable[[Connection], Awaitable[None]]
_AsyncHandler: TypeAlias = Callable[[Connection], Coroutine[Any, Any, None]]

logger = logging.getLogger("sealframe.server")

_MAX_TURNED_AWAY: Final = 64
"""Clients turned away in good order at a time; a further one is dropped at once,
or ``max_connections`` would not bound how many sockets are open."""

_MAX_FAILURE_LINES: Final = 20
"""Connections of one kind a minute that failed and get a line each in the log."""

_WRITES: Final = 32
"""Clients to whom a broadcast is written in a turn of the event loop."""

_FLUSH_COST: Final = 64 * 1024
"""Cost of what waits for a client from which a broadcast is written to it at once."""

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
    on_request: OnRequest | None = None,
    on_stream: OnStream | None = None,
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
    :param on_request: ``async def on_request(conn, payload)`` returns the answer to a request
        of a client (:meth:`Connection.request`), bytes-like, or None for an empty one. Each
        runs in a task of its own, beside the handler. What it raises reaches the client as
        :exc:`~sealframe.RemoteError` with the name of the type and the text, and is logged;
        a ``RemoteError`` raised on purpose keeps its own type and is not. The task is
        cancelled when the client gives the request up or is gone.
    :param on_stream: ``async def on_stream(stream)`` serves a stream that a client opens
        (:meth:`Connection.open_stream`), in a task of its own. When it returns, the stream
        is over; when it raises, the client's end is reset, and the error logged.
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
        options=options,
        services=Services(on_request=on_request, on_stream=on_stream),
    )
    return Serving(handler, Endpoint.of(host, port, path), mode, options)


class Serving:
    """What :func:`sealframe.serve` returns: await it, or use it in ``async with``."""

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
    """A listening server, made by :func:`sealframe.serve`.

    It belongs to the event loop that made it.
    """

    def __init__(self, handler: Handler, mode: Mode, options: ServerOptions) -> None:
        self._loop = asyncio.get_running_loop()
        self._handler = handler
        self._is_async = _is_async(handler)
        self._mode = mode
        self._options = options
        self._listener: Listener | None = None
        self._clients: dict[str, Connection] = {}
        # Also those that are gone or closing, as long as somebody can read from them:
        # the key of any of them may be withdrawn.
        self._known: weakref.WeakSet[Connection] | None = None
        self._links: dict[Link, Connection] = {}
        self._timetable = timetable_for(options)
        self._admission: Admission[Link] = Admission(options, handshakes=mode.security is not None)
        self._budget = Budget(options.inbox_limit, options.inbox_budget)
        self._turned_away: set[TurnedAway] = set()
        # Who knocks must not fill the log.
        self._throttles = {kind: LogThrottle() for kind in ("full", "too fast", "dropped")}
        # Apart, so that those who knock with anything do not hide those with a key.
        for kind in ("failed", "unauthorized", "broken"):
            self._throttles[kind] = LogThrottle(_MAX_FAILURE_LINES)
        # Those to whom something was broadcast, until it is written.
        self._unwritten: deque[Link] = deque()
        self._writing = False
        self._tasks: dict[asyncio.Task[None], Connection] = {}
        # Of these, those that close the server.
        self._closers: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        # One for all: each would take 64 bytes, and so would the context that asyncio
        # copies for it.
        self._on_handled = self._handled
        self._context = contextvars.copy_context()
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
        queued = 0
        batch: list[object] = [data]
        for conn in list(self._clients.values()):
            if left_out and conn in left_out:
                continue
            outbox, link = conn._outbox, conn._link
            if outbox.cost < _FLUSH_COST and outbox.offer(batch):
                queued += 1
                if not link.unwritten:
                    link.unwritten = True
                    self._unwritten.append(link)
            else:
                queued += self._offer(conn, data)
        if self._unwritten and not self._writing:
            self._writing = True
            self._loop.call_soon(self._write)
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
            self._look_whether_idle()
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
                self.stats.too_fast += 1
                self._log_arrival("too fast", transport, "came faster than connection_rate allows")
                return None
            case Verdict.FULL:
                return self._turn_away(transport)
        self.stats.accepted += 1
        self._count += 1
        client_id = f"{self._prefix}-{self._count}"
        link = Link(
            self._mode.protocol(client_id=client_id),
            self._options,
            self,
            services=self._mode.services,
            budget=self._budget,
            timetable=self._timetable,
        )
        self._links[link] = Connection(link, client_id)
        dropped = self._admission.enter(link, address)
        if dropped is not None:
            self._drop(dropped, transport)
        return link

    def _on_established(self, link: Link, hello: Hello) -> None:
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
        start = cast("_AsyncHandler", self._handler) if self._is_async else self._call_handler
        task = self._loop.create_task(start(conn), name=conn.id)
        link.task = task
        self._tasks[task] = conn
        self._idle.clear()
        task.add_done_callback(self._on_handled, context=self._context)

    def _on_failed(self, link: Link, error: ConnectionClosedError) -> None:
        # Those whom a closing server drops in their handshake are no news.
        if link.task is not None or self._closed is None:
            self._log_failure(self._links[link].id, link, error)

    def _on_finished(self, link: Link) -> None:
        conn = self._links.pop(link)
        self._clients.pop(conn.id, None)
        self._admission.leave(link)
        if link.task is not None and link.task not in self._tasks:
            self._budget.leave()
            link.task = None

    def _connection(self, link: Link) -> Connection:
        return self._links[link]

    async def _call_handler(self, conn: Connection) -> None:
        running = self._handler(conn)
        if not inspect.isawaitable(running):
            raise TypeError(f"the handler is not async: it returned {running!r}")
        await running

    def _handled(self, task: asyncio.Task[None]) -> None:
        conn = self._tasks.pop(task)
        link = conn._link
        self._closers.discard(task)
        self._look_whether_idle()
        close = Close()
        error = None if task.cancelled() else task.exception()
        if task.cancelled():
            close = Close(CloseCode.GOING_AWAY)
        elif isinstance(error, Exception):
            # This client's leaving is no fault of the handler, and is logged
            # already; that of another connection the handler uses is news.
            gone = link.receive_error is not None or link.send_error is not None
            if not (isinstance(error, ConnectionClosed) and gone):
                logger.error("the handler of client %s failed", conn.id, exc_info=error)
                close = Close(CloseCode.HANDLER, "the handler failed")
        if link.finished:
            # What the handler has not read yet took its share until now.
            self._budget.leave()
            link.task = None
        else:
            self._clients.pop(conn.id, None)
            link.start_close(close)

    def _offer(self, conn: Connection, message: bytes) -> bool:
        # What fills its outbox may be no more than earlier broadcasts of this turn.
        conn._link._flush()
        dropped = conn.stats.dropped
        queued = conn._offer(message, disconnect=self._options.slow_client == "disconnect")
        self.stats.dropped += conn.stats.dropped - dropped
        return queued

    def _write(self) -> None:
        """Write what was broadcast, to some of the clients.

        To write to all of them takes long, and others would have to wait; what is
        broadcast meanwhile goes out in the same writes.
        """
        try:
            for _ in range(min(len(self._unwritten), _WRITES)):
                link = self._unwritten.popleft()
                link.unwritten = False
                if link.outbox.cost:
                    link._flush()
        finally:
            self._writing = bool(self._unwritten)
            if self._writing:
                self._loop.call_soon(self._write)

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

    def _look_whether_idle(self) -> None:
        if len(self._tasks) == len(self._closers):
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
        left = self._tasks.keys() - self._closers
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for link in list(self._links):
            await link.wait_closed()
        await self._listener.wait_closed()
        if not self._ended.done():
            self._ended.set_result(None)


def _is_async(handler: Handler) -> bool:
    """Return whether to call it runs nothing of it yet, and cannot fail.

    Then its coroutine is the task, and no other around it takes memory.
    """
    if not inspect.iscoroutinefunction(handler):
        return False
    try:
        inspect.signature(handler, follow_wrapped=False).bind(None)
    except (TypeError, ValueError):
        return False
    return True


def _others(count: int) -> str:
    return f" (and {count - 1} more since the last such line)" if count > 1 else ""
