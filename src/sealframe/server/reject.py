"""Clients that come when the server is full."""

from __future__ import annotations

import asyncio
from typing import Final, cast

from ..aio.time_limit import Expiry
from ..aio.writing import end_writing

MAX_REJECTED: Final = 64
"""Clients that are rejected in good order at a time. A further one is dropped at once, or
``max_connections`` would not bound how many sockets are open."""

_DISCARDED: Final = bytearray(4096)


class RejectedClients:
    """Those whose sockets are still open.

    :param reply: what to send them, perhaps nothing
    :param timeout: seconds until a connection is dropped
    """

    def __init__(self, reply: bytes, timeout: float) -> None:
        self._reply = reply
        self._timeout = timeout
        self._clients: set[RejectedClient] = set()

    def __len__(self) -> int:
        return len(self._clients)

    def add(self) -> RejectedClient | None:
        """Return the protocol for one more, None if it is to be dropped at once."""
        if len(self._clients) >= MAX_REJECTED:
            return None
        client = RejectedClient(self._reply, self._timeout, self._clients)
        self._clients.add(client)
        return client

    def abort(self) -> None:
        """Drop all of them at once."""
        for client in list(self._clients):
            client.abort()


class RejectedClient(asyncio.BufferedProtocol):
    """Send the reply, then discard input until the client leaves or time is up.

    To close at once would make the kernel answer the client's first bytes with RST, and
    that destroys the reply (RFC 9293, section 3.6.1).

    :param reply: what to send, perhaps nothing
    :param timeout: seconds until the connection is dropped
    :param registry: the set that holds this object while its socket is open
    """

    def __init__(self, reply: bytes, timeout: float, registry: set[RejectedClient]) -> None:
        self._reply = reply
        self._timeout = timeout
        self._registry = registry
        self._transport: asyncio.Transport | None = None
        self._timer: Expiry | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the reply and FIN."""
        # uvloop's transports do not inherit from asyncio's.
        self._transport = transport = cast("asyncio.Transport", transport)
        self._timer = Expiry(asyncio.get_running_loop(), self._timeout, transport.abort)
        if self._reply:
            transport.write(self._reply)
        end_writing(transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return where all of them put what is discarded."""
        return _DISCARDED

    def buffer_updated(self, nbytes: int) -> None:
        """Discard it."""

    def eof_received(self) -> bool:
        """Let the event loop close: both directions have ended."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget this client."""
        if self._timer is not None:
            self._timer.cancel()
        self._registry.discard(self)

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()
