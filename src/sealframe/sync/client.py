"""The blocking client: connects, and connects again."""

from __future__ import annotations

import asyncio
import os
import socket
import weakref
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Generic, cast

from ..aio.connection import Connection as AsyncConnection
from ..aio.connection import Received, Sent
from ..aio.endpoint import OpenSocket
from ..client.client import connect as async_connect
from ..client.connecting import Connecting
from ..codecs import Codec
from ..errors import ConfigurationError
from ..files.inbox import Inbox
from ..framing import FrameLayout
from ..options import ClientOptions
from ..outbox import Outbox
from ..trust.identity import ClientIdentity
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
from .connection import Connection
from .loop_thread import shared
from .workers import Workers
from .wrappers import Wrappers


def connect(
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    sock: socket.socket | Callable[[], socket.socket] | None = None,
    local_address: tuple[str, int] | None = None,
    security: SharedKey | ClientIdentity | None = None,
    context: bytes | str = b"",
    framing: FrameLayout | None = None,
    pipelining: bool = True,
    extended: bool = False,
    session: bool | Outbox = False,
    codec: Codec[Sent, Received] | None = None,
    on_request: OnRequest | None = None,
    on_stream: OnStream | None = None,
    files: Inbox | None = None,
    options: ClientOptions | None = None,
    on_connect: OnConnect | None = None,
    on_disconnect: OnDisconnect | None = None,
    on_link: OnLink | None = None,
    timeout: float | None = None,
) -> Connection[Sent, Received]:
    """Connect to a server, once, and return the connection.

    ``with connect(...) as conn`` closes it at the end of the block. One that is forgotten
    instead is closed when Python frees it. To connect again when
    it drops, use :func:`reconnect`. The arguments and what is raised are those of
    :func:`sealframe.connect`.

    Functions that are given are no async ones: each call runs in a daemon thread of its own,
    and gets the blocking wrappers. ``on_connect`` has returned before the program gets the
    connection. At most ``max_requests`` of the options run at a time to answer requests, as
    many for hooks, and ``max_streams`` to serve streams. No thread can be stopped: one whose
    request was given up, or whose connection is gone, runs on, and what it returns then is
    forgotten.

    :param sock: a connected socket, or a function that returns one, which runs in a thread
    :param on_request: ``def on_request(conn, payload)`` returns the answer to a request
    :param on_stream: ``def on_stream(stream)`` serves a :class:`sealframe.sync.Stream`
    :param files: a :class:`sealframe.Inbox`; no function that decides about each file
    :param timeout: seconds for all of it; ``connect_timeout`` and ``handshake_timeout`` of
        the options hold besides
    :raises WaitTimeoutError: it was not done in time, and given up
    :raises WrongLoopError: an event loop runs in this thread
    """
    thread = shared()
    wrappers = Wrappers(thread)
    options = ClientOptions() if options is None else options
    callbacks = _callbacks(
        wrappers, options, on_request, on_stream, on_connect, on_disconnect, on_link
    )
    connecting = async_connect(
        host,
        port,
        path=path,
        sock=_opener(sock),
        local_address=local_address,
        security=security,
        context=context,
        framing=framing,
        pipelining=pipelining,
        extended=extended,
        session=session,
        codec=codec,
        options=options,
        files=inbox(files),
        **callbacks.asynchronous,
    )

    def drop(conn: AsyncConnection[Sent, Received]) -> None:
        thread.spawn(conn.close())

    async def open_one() -> AsyncConnection[Sent, Received]:
        conn = await connecting
        try:
            await callbacks.greeted(conn)
        except BaseException:
            drop(conn)
            raise
        return conn

    conn = thread.run(open_one, timeout=timeout, undo=drop)
    thread.close_at_exit(conn)
    wrapper = wrappers.wrap(conn)
    # As with a socket: what nobody can use any more is not left open.
    weakref.finalize(wrapper, thread.start, conn.close).atexit = False
    return wrapper


def reconnect(
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    sock: socket.socket | Callable[[], socket.socket] | None = None,
    local_address: tuple[str, int] | None = None,
    security: SharedKey | ClientIdentity | None = None,
    context: bytes | str = b"",
    framing: FrameLayout | None = None,
    pipelining: bool = True,
    extended: bool = False,
    session: bool | Outbox = False,
    codec: Codec[Sent, Received] | None = None,
    on_request: OnRequest | None = None,
    on_stream: OnStream | None = None,
    files: Inbox | None = None,
    options: ClientOptions | None = None,
    is_fatal: Callable[[Exception], bool] | None = None,
    on_connect: OnConnect | None = None,
    on_disconnect: OnDisconnect | None = None,
    on_link: OnLink | None = None,
) -> Reconnecting[Sent, Received]:
    """Connect to a server, and again whenever the loop goes on to its next round::

        for conn in reconnect(host, port):
            try:
                for message in conn:
                    ...
            except ConnectionClosed:
                continue

    It keeps trying until it is connected, and waits between attempts, as ``async for conn
    in sealframe.connect(...)`` does; the arguments and what is raised are the same. Use the
    connection inside the loop only: whoever leaves the loop, by ``break`` too, leaves it
    closed.

    It is a function apart from :func:`connect` since a connection can be iterated over too,
    and yields messages.

    :param is_fatal: says of an error whether to give up and raise it, see
        :func:`sealframe.connect`; it is called in another thread and must not block
    :raises WrongLoopError: in the loop: an event loop runs in this thread
    """
    wrappers = Wrappers(shared())
    options = ClientOptions() if options is None else options
    callbacks = _callbacks(
        wrappers, options, on_request, on_stream, on_connect, on_disconnect, on_link
    )
    return Reconnecting(
        async_connect(
            host,
            port,
            path=path,
            sock=_opener(sock),
            local_address=local_address,
            security=security,
            context=context,
            framing=framing,
            pipelining=pipelining,
            extended=extended,
            session=session,
            codec=codec,
            options=options,
            is_fatal=is_fatal,
            files=inbox(files),
            **callbacks.asynchronous,
        ),
        wrappers,
        callbacks,
    )


class Reconnecting(Generic[Sent, Received]):
    """What :func:`reconnect` returns: use it in ``for``."""

    def __init__(
        self, connecting: Connecting[Sent, Received], wrappers: Wrappers, callbacks: Callbacks
    ) -> None:
        self._connecting = connecting
        self._wrappers = wrappers
        self._callbacks = callbacks

    def __iter__(self) -> Iterator[Connection[Sent, Received]]:
        thread = self._wrappers.thread
        rounds = cast(
            "AsyncGenerator[AsyncConnection[Sent, Received], None]", aiter(self._connecting)
        )
        # What an interrupt cancelled may take some turns of the loop to end.
        turn = asyncio.Lock()

        async def advance() -> AsyncConnection[Sent, Received]:
            async with turn:
                conn = await anext(rounds)
                await self._callbacks.greeted(conn)
                return conn

        async def leave() -> None:
            async with turn:
                await rounds.aclose()

        try:
            while True:
                conn = thread.run(advance)
                thread.close_at_exit(conn)
                yield self._wrappers.wrap(conn)
        finally:
            thread.finish(leave)


def _callbacks(
    wrappers: Wrappers,
    options: ClientOptions,
    on_request: OnRequest | None,
    on_stream: OnStream | None,
    on_connect: OnConnect | None,
    on_disconnect: OnDisconnect | None,
    on_link: OnLink | None,
) -> Callbacks:
    if not isinstance(options, ClientOptions):
        raise ConfigurationError("options for a client are ClientOptions(...)")
    return Callbacks(
        wrappers,
        on_request=on_request,
        on_stream=on_stream,
        on_connect=on_connect,
        on_disconnect=on_disconnect,
        on_link=on_link,
        requests=options.max_requests,
        streams=options.max_streams,
        hooks=options.max_requests,
    )


def _opener(
    sock: socket.socket | Callable[[], socket.socket] | None,
) -> socket.socket | OpenSocket | None:
    if sock is None or isinstance(sock, socket.socket) or not callable(sock):
        return sock
    check_blocking("sock", sock)
    connect = sock
    # One that hangs keeps the next attempts from having threads too.
    workers = Workers(1)

    async def open_socket() -> socket.socket:
        opening = asyncio.ensure_future(workers.run("sealframe sock", connect))
        try:
            # Whatever is no socket is refused where it is used.
            return cast("socket.socket", await asyncio.shield(opening))
        except asyncio.CancelledError:
            # The thread goes on, and what it returns is of no use any more.
            opening.add_done_callback(_close_late)
            raise

    return open_socket


def _close_late(opening: asyncio.Future[socket.socket | None]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        sock = opening.result()
        if sock is not None:
            sock.close()
