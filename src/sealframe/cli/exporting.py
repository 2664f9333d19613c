"""``serve --metrics``: the server's figures over HTTP, for Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .. import Server
from .address import Address, openable, shown
from .errors import CommandError


def check_installed() -> None:
    """Fail early if what is needed is not there.

    :raises MissingExtraError: it is not
    """
    import sealframe.metrics  # noqa: F401


def url(host: str, port: int) -> str:
    """Return where the figures are, as it is told to people."""
    opened, note = openable(host)
    return f"http://{shown((opened, port))}/metrics{note}"


@asynccontextmanager
async def exporting(server: Server, address: Address) -> AsyncIterator[str]:
    """Serve the figures meanwhile; give the URL, as it is told to people.

    :raises CommandError: the address cannot be used
    """
    from prometheus_client import REGISTRY, start_http_server

    from ..metrics import ServerCollector

    try:
        http, thread = start_http_server(address.port or 0, address.host or "")
    except OSError as error:
        raise CommandError(f"cannot serve metrics on {address}: {error.strerror}") from error
    collector = ServerCollector(server)
    REGISTRY.register(collector)
    try:
        yield url(address.host or "", http.server_port)
    finally:
        REGISTRY.unregister(collector)
        # It waits for the thread, which may wait for this event loop.
        await asyncio.to_thread(http.shutdown)
        http.server_close()
        await asyncio.to_thread(thread.join)
