"""The blocking server: a thread for each client."""

from __future__ import annotations

import inspect
import os
import threading
import weakref
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import Self, TypeAlias

from ..addresses import Address
from ..connection import BytesLike
from ..connection import Connection as AsyncConnection
from ..errors import ConfigurationError
from ..framing import Framing
from ..identity import ServerIdentity
from ..keys import SharedKey
from ..options import ServerOptions
from ..server import Server as AsyncServer
from ..server import serve as async_serve
from ..stats import ServerStats
from .connection import Connection
from .loop_thread import LoopThread, shared
from .workers import Workers

Handler: TypeAlias = Callable[[Connection], object]


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
) -> Server:
    """Listen, and run ``handler`` in a thread of its own for each client.

    ``with serve(...) as server`` closes it at the end of the block. The arguments and what
    is raised are those of :func:`sealframe.serve`, and so is what happens when the handler
    returns or raises. There are never more threads than ``options.max_connections``; they
    are daemons, so that a handler which does not return holds up nobody's exit.

    :param handler: ``def handler(conn)``, which gets a blocking :class:`Connection`
    :raises WrongLoopError: an event loop runs in this thread
    """
    if inspect.iscoroutinefunction(handler) or not callable(handler):
        raise ConfigurationError(
            "handler is a function that takes the connection; for an async one there is "
            "sealframe.serve()"
        )
    clients = _Clients()

    async def handle(conn: AsyncConnection) -> None:
        await workers.run(f"sealframe {conn.id}", handler, clients.twin(conn))

    serving = async_serve(
        handle,
        host,
        port,
        path=path,
        security=security,
        context=context,
        framing=framing,
        options=options,
    )
    limit = ServerOptions().max_connections if options is None else options.max_connections
    workers = Workers(limit)
    clients.thread = thread = shared()

    def drop(server: AsyncServer) -> None:
        thread.spawn(server.close())

    server = thread.run(lambda: serving, undo=drop)
    thread.close_at_exit(server)
    return Server(thread, server, clients, workers)


class Server:
    """A listening server, made by :func:`serve`: the blocking twin of
    :class:`sealframe.Server`. Any thread of the process that made it may use it."""

    def __init__(
        self, thread: LoopThread, server: AsyncServer, clients: _Clients, workers: Workers
    ) -> None:
        self._thread = thread
        self._server = server
        self._clients = clients
        self._workers = workers

    def __repr__(self) -> str:
        return repr(self._server).replace("<", "<sync.", 1)

    @property
    def clients(self) -> Mapping[str, Connection]:
        """The clients that are there now, by id. It is a copy, which stays as it is while
        clients come and go.

        :raises WrongLoopError: an event loop runs in this thread
        """
        listed = self._thread.call(lambda: dict(self._server.clients))
        return {name: self._clients.twin(conn) for name, conn in listed.items()}

    @property
    def addresses(self) -> list[Address]:
        """Where the server listens: ``(host, port)`` each, or the Unix socket's path."""
        return self._server.addresses

    @property
    def port(self) -> int:
        """The TCP port it listens on, as :attr:`sealframe.Server.port`.

        :raises ConfigurationError: it listens on a Unix socket
        """
        return self._server.port

    @property
    def counters(self) -> ServerStats:
        """Counters of this server; they go on counting."""
        return self._server.counters

    def broadcast(
        self, message: BytesLike, *, exclude: Connection | Collection[Connection] | None = None
    ) -> int:
        """Send one message to every client, without waiting for any.

        See :meth:`sealframe.Server.broadcast` for what happens to slow ones.

        :param message: any bytes-like object
        :param exclude: a connection, or several, that do not get it
        :return: how many clients it was queued for
        :raises TypeError: the message is not bytes-like, or ``exclude`` holds
            something other than blocking connections
        :raises MessageTooLargeError: it is over this server's ``max_message_size``
        :raises WrongLoopError: an event loop runs in this thread
        """
        left_out = [exclude] if isinstance(exclude, Connection) else list(exclude or ())
        if not all(isinstance(conn, Connection) for conn in left_out):
            raise TypeError("exclude takes connections, for example server.clients[id]")
        conns = [conn._conn for conn in left_out]
        return self._thread.call(lambda: self._server.broadcast(message, exclude=conns))

    def serve_forever(self) -> None:
        """Wait until the server is closed.

        If this call is interrupted, by Ctrl-C for example, the server begins to close;
        the end of the ``with`` block, or :meth:`close`, waits for that.
        """
        self._thread.run(self._server.serve_forever)

    def close(self, reason: str = "") -> None:
        """Stop listening and close every connection; return when all is over.

        Clients are told that the server goes away, with ``reason``. What was accepted for
        them is still sent, for ``close_timeout`` at most, and so long handlers are waited
        for. One that still runs then is left to itself, with a closed connection; a
        handler may close the server, and is not waited for.

        :param reason: text for the clients, cut to 255 bytes of UTF-8
        :raises TypeError: the reason is not text
        :raises WrongLoopError: an event loop runs in this thread
        """
        caller = self._workers.task()

        async def close() -> None:
            self._server._excuse(caller)
            await self._server.close(reason)

        self._thread.run(close)

    def wait_closed(self, *, timeout: float | None = None) -> None:
        """Wait until the server is closed, whoever closes it.

        :param timeout: seconds to wait
        :raises WaitTimeoutError: it is still there
        """
        self._thread.run(self._server.wait_closed, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Clients:
    """The blocking twins of a server's connections: one for each, as long as it is used."""

    thread: LoopThread

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._twins: weakref.WeakValueDictionary[str, Connection] = weakref.WeakValueDictionary()

    def twin(self, conn: AsyncConnection) -> Connection:
        with self._lock:
            twin = self._twins.get(conn.id)
            if twin is None:
                twin = self._twins[conn.id] = Connection(self.thread, conn)
            return twin
