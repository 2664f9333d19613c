"""``serve --metrics``: the server's figures over HTTP, for Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .. import Server
from ..dashboard.access import openable
from .address import TcpAddress, shown
from .errors import CommandError
from .pages import Page, note_on


def check_installed() -> None:
    """Fail early if what is needed is not there.

    :raises MissingExtraError: it is not
    """
    import sealframe.metrics  # noqa: F401


def url(host: str, port: int) -> str:
    """Return where the figures are."""
    return f"http://{shown((openable(host), port))}/metrics"


@asynccontextmanager
async def exporting(server: Server, address: TcpAddress) -> AsyncIterator[Page]:
    """Serve the figures meanwhile; give the URL, and what to say of it.

    :raises CommandError: the address cannot be used
    """
    from prometheus_client import REGISTRY, start_http_server

    from ..metrics import ServerCollector

    try:
        http, thread = start_http_server(address.port, address.host)
    except OSError as error:
        raise CommandError(f"cannot serve metrics on {address}: {error.strerror}") from error
    collector = ServerCollector(server)
    REGISTRY.register(collector)
    try:
        yield Page(url(address.host, http.server_port), note_on(address.host))
    finally:
        REGISTRY.unregister(collector)
        # It waits for the thread, which may wait for this event loop.
        await asyncio.to_thread(http.shutdown)
        http.server_close()
        await asyncio.to_thread(thread.join)
