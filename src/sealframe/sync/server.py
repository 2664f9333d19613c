"""The blocking server: a thread for each client."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeAlias

from ..aio.addresses import Address
from ..aio.caller import acting_for
from ..aio.connection import Connection as AsyncConnection
from ..aio.connection import Received, Sent
from ..aio.stats import ServerStats
from ..codecs import Codec
from ..errors import ConfigurationError, DecodeError
from ..files.inbox import Inbox
from ..framing import FrameLayout
from ..options import ServerOptions, Sessions
from ..server.server import Server as AsyncServer
from ..server.serving import serve as async_serve
from ..server.shutdown import ShutdownReport
from ..trust.identity import ServerIdentity
from ..trust.keys import SharedKey
from .callbacks import (
    Callbacks,
    OnConnect,
    OnDisconnect,
    OnLink,
    OnRequest,
    OnStream,
    check_blocking,
    inbox,
)
from .connection import AnyConnection, Connection
from .group import Group, asynchronous
from .loop_thread import shared
from .workers import Workers, task_of_thread
from .wrappers import Wrappers

Handler: TypeAlias = Callable[[Connection[Sent, Received]], object]


def serve(
    handler: Handler[Sent, Received] | None = None,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    sock: socket.socket | Sequence[socket.socket] | None = None,
    reuse_port: bool = False,
    proxy_protocol: bool | str | Sequence[str] = False,
    security: SharedKey | ServerIdentity | None = None,
    context: bytes | str = b"",
    sessions: Sessions | None = None,
    framing: FrameLayout | None = None,
    codec: Codec[Sent, Received] | None = None,
    on_request: OnRequest | None = None,
    on_stream: OnStream | None = None,
    files: Inbox | None = None,
    options: ServerOptions | None = None,
    on_connect: OnConnect | None = None,
    on_disconnect: OnDisconnect | None = None,
    on_link: OnLink | None = None,
) -> Server[Sent, Received]:
    """Listen, and run ``handler`` in a thread of its own for each client.

    ``with serve(...) as server`` closes it at the end of the block. The arguments and what
    is raised are those of :func:`sealframe.serve`, and so is what happens when the handler
    returns or raises.

    All functions that are given are no async ones: each call runs in a thread of its own and
    gets the blocking wrappers. Handlers, requests, streams and hooks have at most
    ``options.max_connections`` threads each, so that none of them waits for a thread that
    another kind has. Requests that make requests of a server that waits for them can use up
    all threads of one kind; give them a ``timeout``. The threads are daemons: one that does
    not return holds up nobody's exit. No thread can be stopped, either. Where an async
    function is cancelled, as when a request is given up, when its client is gone, or at the
    end of :meth:`Server.close`, a thread runs on, and what it returns then is forgotten.

    :param handler: ``def handler(conn)``, which gets a blocking :class:`Connection`. It
        starts once ``on_connect`` has returned.
    :param on_request: ``def on_request(conn, payload)`` returns the answer to a request, or
        raises what reaches the client as :exc:`~sealframe.RemoteError`
    :param on_stream: ``def on_stream(stream)`` serves a :class:`sealframe.sync.Stream`
    :param files: a :class:`sealframe.Inbox`; no function that decides about each file
    :raises WrongLoopError: an event loop runs in this thread
    """
    if handler is not None:
        check_blocking("handler", handler)
    options = ServerOptions() if options is None else options
    if not isinstance(options, ServerOptions):
        raise ConfigurationError("options for a server are ServerOptions(...)")
    limit = options.max_connections
    thread = shared()
    wrappers = Wrappers(thread)
    workers = Workers(limit)
    callbacks = Callbacks(
        wrappers,
        on_request=on_request,
        on_stream=on_stream,
        on_connect=on_connect,
        on_disconnect=on_disconnect,
        on_link=on_link,
        requests=limit,
        streams=limit,
        hooks=limit,
    )

    async def handle(conn: AsyncConnection[Sent, Received]) -> None:
        await callbacks.greeted(conn)
        wrapper = wrappers.wrap(conn)
        try:
            assert handler is not None
            await workers.run(f"sealframe {conn.id}", handler, wrapper)
        except DecodeError as error:
            if error.connection is wrapper:
                error.connection = conn
            raise

    serving = async_serve(
        handle if handler is not None else None,
        host,
        port,
        path=path,
        sock=sock,
        reuse_port=reuse_port,
        proxy_protocol=proxy_protocol,
        security=security,
        context=context,
        sessions=sessions,
        framing=framing,
        codec=codec,
        options=options,
        files=inbox(files),
        **callbacks.asynchronous,
    )

    def drop(server: AsyncServer[Sent, Received]) -> None:
        thread.spawn(server.close())

    server = thread.run(lambda: serving, undo=drop)
    thread.close_at_exit(server)
    return Server(server, wrappers)


class Server(Generic[Sent, Received]):
    """A listening server, made by :func:`serve`: the blocking wrapper of
    :class:`sealframe.Server`. Any thread of the process that made it may use it."""

    def __init__(self, server: AsyncServer[Sent, Received], wrappers: Wrappers) -> None:
        self._thread = wrappers.thread
        self._server = server
        self._wrappers = wrappers

    def __repr__(self) -> str:
        return repr(self._server).replace("<", "<sync.", 1)

    @property
    def clients(self) -> Mapping[str, Connection[Sent, Received]]:
        """The clients that are there now, by id. It is a copy, which stays as it is while
        clients come and go.

        :raises WrongLoopError: an event loop runs in this thread
        """
        listed = self._thread.call(lambda: dict(self._server.clients))
        return {name: self._wrappers.wrap(conn) for name, conn in listed.items()}

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

    def stats(self) -> dict[str, Any]:
        """Return what the server is doing, as plain data: see :meth:`sealframe.Server.stats`.

        :raises WrongLoopError: an event loop runs in this thread
        """
        return self._thread.call(self._server.stats)

    @property
    def groups(self) -> Mapping[str, Group[Sent, Received]]:
        """The groups that have members, by name. It is a copy, as :attr:`clients` is.

        :raises WrongLoopError: an event loop runs in this thread
        """
        listed = self._thread.call(lambda: dict(self._server.groups))
        return {name: Group(group, self._wrappers) for name, group in listed.items()}

    def group(self, name: str) -> Group[Sent, Received]:
        """Return the group of that name, which may have no members.

        :param name: as in :meth:`Connection.join`
        """
        return Group(self._server.group(name), self._wrappers)

    def kick(self, id: str, reason: str = "") -> None:
        """Put a client out, as :meth:`sealframe.Server.kick` does, without waiting.

        :param id: as in :attr:`clients`
        :param reason: text for the client, cut to 255 bytes of UTF-8
        :raises UnknownClientError: no client of that id is there
        :raises TypeError: the reason is not text
        :raises WrongLoopError: an event loop runs in this thread
        """
        self._thread.call(lambda: self._server.kick(id, reason))

    def broadcast(
        self,
        message: Sent,
        *,
        exclude: AnyConnection | Collection[AnyConnection] | None = None,
    ) -> int:
        """Send one message to every client, without waiting for any.

        See :meth:`sealframe.Server.broadcast` for what happens to slow ones.

        :param message: any bytes-like object; with a codec, what that encodes
        :param exclude: a connection, or several, that do not get it
        :return: how many clients it was queued for
        :raises TypeError: the message is not bytes-like, or ``exclude`` holds
            something other than blocking connections
        :raises EncodeError: the codec cannot encode it; nobody gets it
        :raises MessageTooLargeError: it is over this server's ``max_message_size``
        :raises WrongLoopError: an event loop runs in this thread
        """
        left_out = asynchronous(exclude)
        return self._thread.call(lambda: self._server.broadcast(message, exclude=left_out))

    def serve_forever(self) -> None:
        """Wait until the server is closed.

        If this call is interrupted, by Ctrl-C for example, the server begins to close;
        the end of the ``with`` block, or :meth:`close`, waits for that.
        """
        self._thread.run(self._server.serve_forever)

    def close(
        self, reason: str = "", *, timeout: float | None = None, retry_after: float | None = None
    ) -> ShutdownReport:
        """Stop listening, let handlers finish, close every connection; return when all is over.

        Clients are told that the server goes away, with ``reason``, and may come back.
        From then on no message of theirs is taken in: once a handler has read what came
        before, its loop ends as it does when a client closes. It can still send, and so can
        what answers requests, serves streams or takes files; new ones are refused.

        Threads that still run after ``timeout`` are left to themselves with a closed
        connection, so that whatever of it they wait for raises
        :exc:`~sealframe.ConnectionClosed`. Whoever closes the server from a handler or
        another function of its own is not waited for. The close goes on even if this call
        is interrupted; calling it again only waits.

        :param reason: text for the clients, cut to 255 bytes of UTF-8
        :param timeout: seconds that handlers have; None for ``options.close_timeout``
        :param retry_after: seconds before which clients with a session are not to come back
        :return: what was there, and what was not finished or sent
        :raises TypeError: the reason is not text
        :raises ValueError: the time-out is negative, or ``retry_after`` is out of range
        :raises WrongLoopError: an event loop runs in this thread
        """
        caller = task_of_thread()

        async def close() -> ShutdownReport:
            with acting_for(caller):
                return await self._server.close(reason, timeout=timeout, retry_after=retry_after)

        return self._thread.run(close)

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
