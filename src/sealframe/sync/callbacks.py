"""The program's own functions, which may block: each call has a thread of its own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from ..aio.connection import AnyConnection as AsyncConnection
from ..aio.disconnect import Disconnect
from ..aio.link_change import LinkChange
from ..aio.stream import Stream as AsyncStream
from ..aio.stream import endpoint_of
from ..errors import ConfigurationError
from ..files.inbox import Inbox
from .stream import Stream
from .workers import Workers
from .wrappers import Wrappers

OnRequest: TypeAlias = Callable[[Any, Any], Any]
"""``def on_request(conn, payload)``: returns what answers the request."""
OnStream: TypeAlias = Callable[[Stream], object]
"""``def on_stream(stream)``."""
OnConnect: TypeAlias = Callable[[Any], object]
OnDisconnect: TypeAlias = Callable[[Any, Disconnect], object]
OnLink: TypeAlias = Callable[[Any, LinkChange], object]


class Callbacks:
    """Makes coroutine functions of blocking ones, which get the blocking wrappers.

    Requests, streams and hooks have threads of their own each, so that none of them waits
    for a thread that a handler, or one of the others, has while that waits for it.

    :param requests: threads at a time that answer requests
    :param streams: threads at a time that serve streams
    :param hooks: threads at a time that run hooks
    :raises ConfigurationError: a function cannot be called, or is async
    """

    def __init__(
        self,
        wrappers: Wrappers,
        *,
        on_request: OnRequest | None,
        on_stream: OnStream | None,
        on_connect: OnConnect | None,
        on_disconnect: OnDisconnect | None,
        on_link: OnLink | None,
        requests: int,
        streams: int,
        hooks: int,
    ) -> None:
        functions = {
            "on_request": on_request,
            "on_stream": on_stream,
            "on_connect": on_connect,
            "on_disconnect": on_disconnect,
            "on_link": on_link,
        }
        for name, function in functions.items():
            if function is not None:
                check_blocking(name, function)
        self._wrappers = wrappers
        self._on_request = on_request
        self._on_stream = on_stream
        self._on_connect = on_connect
        self._on_disconnect = on_disconnect
        self._on_link = on_link
        self._requests = Workers(requests)
        self._streams = Workers(streams)
        self._hooks = Workers(hooks)
        self._greeting: dict[AsyncConnection, asyncio.Event] = {}

    @property
    def asynchronous(self) -> dict[str, Any]:
        """What goes to :func:`sealframe.connect` and :func:`sealframe.serve` in their place."""
        return {
            "on_request": None if self._on_request is None else self._answer,
            "on_stream": None if self._on_stream is None else self._serve,
            "on_connect": None if self._on_connect is None else self._connected,
            "on_disconnect": None if self._on_disconnect is None else self._disconnected,
            "on_link": None if self._on_link is None else self._link_changed,
        }

    async def greeted(self, conn: AsyncConnection) -> None:
        """Wait until ``on_connect`` is over, as one that is no coroutine always is."""
        greeting = self._greeting.get(conn)
        if greeting is not None:
            await greeting.wait()

    async def _answer(self, conn: AsyncConnection, payload: object) -> object:
        name = f"sealframe request of {conn.id}"
        assert self._on_request is not None
        return await self._requests.run(name, self._on_request, self._wrappers.wrap(conn), payload)

    async def _serve(self, stream: AsyncStream) -> None:
        assert self._on_stream is not None
        conn = self._wrappers.wrap(stream.connection)
        blocking = Stream(self._wrappers.thread, stream, conn)
        await self._streams.run(
            f"sealframe stream of {conn.id}",
            self._on_stream,
            blocking,
            check=endpoint_of(stream).check_put_out,
        )

    def _connected(self, conn: AsyncConnection) -> Coroutine[Any, Any, None]:
        self._greeting[conn] = asyncio.Event()
        return self._greet(conn)

    async def _greet(self, conn: AsyncConnection) -> None:
        assert self._on_connect is not None
        name = f"sealframe on_connect of {conn.id}"
        try:
            await self._hooks.run(name, self._on_connect, self._wrappers.wrap(conn))
        finally:
            self._greeting.pop(conn).set()

    async def _disconnected(self, conn: AsyncConnection, reason: Disconnect) -> None:
        assert self._on_disconnect is not None
        name = f"sealframe on_disconnect of {conn.id}"
        await self._hooks.run(name, self._on_disconnect, self._wrappers.wrap(conn), reason)

    async def _link_changed(self, conn: AsyncConnection, change: LinkChange) -> None:
        assert self._on_link is not None
        name = f"sealframe on_link of {conn.id}"
        await self._hooks.run(name, self._on_link, self._wrappers.wrap(conn), change)


def check_blocking(name: str, function: object) -> None:
    """Refuse what is no function, and an async one, which would need an event loop.

    :raises ConfigurationError: it is
    """
    if inspect.iscoroutinefunction(function) or not callable(function):
        raise ConfigurationError(
            f"{name} is a function that is not async; for async ones there are "
            "sealframe.serve() and sealframe.connect()"
        )


def inbox(files: Inbox | None) -> Inbox | None:
    """Return what receives files; a function would need a blocking wrapper of what it gets.

    :raises ConfigurationError: it is something else
    """
    if files is not None and not isinstance(files, Inbox):
        raise ConfigurationError(
            "files is an Inbox here; for a function there is sealframe.serve()"
        )
    return files
