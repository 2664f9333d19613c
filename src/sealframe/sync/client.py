"""The blocking client: connects, and connects again."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import cast

from ..client import Connecting
from ..client import connect as async_connect
from ..connection import Connection as AsyncConnection
from ..framing import Framing
from ..identity import ClientIdentity
from ..keys import SharedKey
from ..options import ClientOptions
from .connection import Connection
from .loop_thread import shared


def connect(
    host: str | None = None,
    port: int | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    security: SharedKey | ClientIdentity | None = None,
    context: bytes | str = b"",
    framing: Framing | None = None,
    extended: bool = False,
    options: ClientOptions | None = None,
    timeout: float | None = None,
) -> Connection:
    """Connect to a server, once, and return the connection.

    ``with connect(...) as conn`` closes it at the end of the block. One that is forgotten
    instead is closed when Python frees it. To connect again when
    it drops, use :func:`reconnect`. The arguments and what is raised are those of
    :func:`sealframe.connect`.

    :param timeout: seconds for all of it; ``connect_timeout`` and ``handshake_timeout`` of
        the options hold besides
    :raises WaitTimeoutError: it was not done in time, and given up
    :raises WrongLoopError: an event loop runs in this thread
    """
    connecting = async_connect(
        host,
        port,
        path=path,
        security=security,
        context=context,
        framing=framing,
        extended=extended,
        options=options,
    )
    thread = shared()

    def drop(conn: AsyncConnection) -> None:
        thread.spawn(conn.close())

    conn = thread.run(lambda: connecting, timeout=timeout, undo=drop)
    thread.close_at_exit(conn)
    twin = Connection(thread, conn)
    # As with a socket: what nobody can use any more is not left open.
    weakref.finalize(twin, thread.start, conn.close).atexit = False
    return twin


def reconnect(
    host: str | None = None,
    port: int | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    security: SharedKey | ClientIdentity | None = None,
    context: bytes | str = b"",
    framing: Framing | None = None,
    extended: bool = False,
    options: ClientOptions | None = None,
    is_fatal: Callable[[Exception], bool] | None = None,
) -> Reconnecting:
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
    return Reconnecting(
        async_connect(
            host,
            port,
            path=path,
            security=security,
            context=context,
            framing=framing,
            extended=extended,
            options=options,
            is_fatal=is_fatal,
        )
    )


class Reconnecting:
    """What :func:`reconnect` returns: use it in ``for``."""

    def __init__(self, connecting: Connecting) -> None:
        self._connecting = connecting

    def __iter__(self) -> Iterator[Connection]:
        thread = shared()
        rounds = cast("AsyncGenerator[AsyncConnection, None]", aiter(self._connecting))
        # What an interrupt cancelled may take some turns of the loop to end.
        turn = asyncio.Lock()

        async def advance() -> AsyncConnection:
            async with turn:
                return await anext(rounds)

        async def leave() -> None:
            async with turn:
                await rounds.aclose()

        try:
            while True:
                conn = thread.run(advance)
                thread.close_at_exit(conn)
                yield Connection(thread, conn)
        finally:
            thread.finish(leave)
