"""A dashboard that listens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Collection
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from ..errors import ConfigurationError, ListenError, MissingExtraError
from ..server.server import Server
from .access import LOCALHOST, Access, openable
from .hub import Hub
from .source import ServerSource, Source

if TYPE_CHECKING:
    from aiohttp import web

_MAX_CONNECTIONS: Final = 64
"""Connections of browsers at most. Each page has one that stays; some have others for a moment."""

_LONGEST_CLOSE: Final = 1.0
"""Seconds that requests have to end once the dashboard closes."""


def check_installed() -> None:
    """Fail early if what a dashboard needs is not there.

    :raises MissingExtraError: it is not; the text says what to install
    """
    try:
        import aiohttp  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            'the dashboard needs the aiohttp package: run: pip install "sealframe[dashboard]"'
        ) from error


class Dashboard:
    """A web page that shows what a server is doing, within ``async with``; see :func:`serve`.

    :ivar url: what to open in a browser, once it is entered: where it listens at all addresses of
        this machine, the one of loopback. It has the token in it, if there is one: show it to those
        alone who may look
    """

    def __init__(self, source: Source, host: str, port: int, access: Access) -> None:
        self.url = ""
        self._source = source
        self._host = host
        self._port = port
        self._access = access
        self._stack = contextlib.AsyncExitStack()

    def __repr__(self) -> str:
        # Without the token.
        return f"<Dashboard {self.url.partition('#')[0] or 'not listening'}>"

    async def __aenter__(self) -> Self:
        """Listen.

        :raises ListenError: the address is in use, forbidden or unknown
        """
        from aiohttp import web

        from .web import application

        hub = Hub(self._source)
        # Its log of requests would be noise, and tell nothing.
        runner = web.AppRunner(
            application(hub, self._access),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=_LONGEST_CLOSE,
        )
        async with contextlib.AsyncExitStack() as stack:
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            port = await self._listen(runner, stack)
            looking = asyncio.create_task(hub.run(), name="sealframe dashboard")
            stack.push_async_callback(_end, looking)
            stack.callback(hub.close)
            self._stack = stack.pop_all()
        host = openable(self._host)
        host = f"[{host}]" if ":" in host else host
        self.url = f"http://{host}:{port}/"
        if self._access.token is not None:
            # What stands behind # stays in the browser.
            self.url += f"#token={self._access.token}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close every page's connection, and listen no more."""
        await self._stack.aclose()

    async def _listen(self, runner: web.AppRunner, stack: contextlib.AsyncExitStack) -> int:
        serving = runner.server
        assert serving is not None

        def protocol() -> asyncio.BaseProtocol:
            return _Refused() if len(serving.connections) >= _MAX_CONNECTIONS else serving()

        # One socket, so that there is one port and no other address than the one that was judged.
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # Names may go elsewhere tomorrow; this one does not.
        host = "127.0.0.1" if self._host == LOCALHOST else self._host
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_server(protocol, host, self._port, family=family)
        except (OSError, OverflowError) as error:
            number = getattr(error, "errno", None) or 0
            why = os.strerror(number) if number > 0 else str(error)
            text = f"the dashboard cannot listen on {self._host}:{self._port}: {why}"
            raise ListenError(number, text) from error
        stack.callback(listener.close)
        port: int = listener.sockets[0].getsockname()[1]
        return port


class _Refused(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def serve(
    server: Server[Any, Any],
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    token: str | None = None,
    hosts: Collection[str] = (),
) -> Dashboard:
    """Show what a server is doing as a web page, within ``async with``::

        async with sealframe.serve(...) as server, dashboard.serve(server) as page:
            print(page.url)

    It runs in the server's event loop, and looks at the server once a second while somebody
    watches. It changes nothing, and sends clients nothing. There is no TLS: reach it over
    ``ssh -L``, or through a proxy that has TLS.

    :param server: of this event loop
    :param host: the address to listen at. At loopback everybody on this machine may look, and
        whoever reaches a proxy before it, unless there is a token; anywhere else those alone who
        have the token
    :param port: the port, 0 for a free one
    :param token: at least 20 letters, digits, ``-`` and ``_``, which browsers show to be let in, at
        loopback too. None makes one for other addresses than loopback, and where there are
        ``hosts``
    :param hosts: names beside ``localhost`` and addresses by which browsers reach it, such as that
        of a proxy, without a port; requests by other names are refused
    :raises MissingExtraError: aiohttp is not installed
    :raises ConfigurationError: the token is too short, ``hosts`` has no names, or this is no server
    :raises WrongLoopError: the server belongs to another event loop
    """
    check_installed()
    if not isinstance(server, Server):
        raise ConfigurationError(
            "the dashboard is of a server, as sealframe.serve() gives it, "
            f"not {type(server).__name__}"
        )
    return show(ServerSource(server), host, port, Access(host, token, hosts))


def show(source: Source, host: str, port: int, access: Access) -> Dashboard:
    """Show what any source sees, within ``async with``. Internal.

    :raises MissingExtraError: aiohttp is not installed
    """
    check_installed()
    return Dashboard(source, host, port, access)
