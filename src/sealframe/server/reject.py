"""What a client gets that comes when the server is full."""

from __future__ import annotations

import asyncio
from typing import cast

from ..aio.writing import end_writing


class RejectedClient(asyncio.Protocol):
    """Say so, then discard input until the client leaves or time is up.

    Closing at once would make the kernel answer the client's first bytes with
    RST, and that destroys the reply.

    :param reply: what to send, perhaps nothing
    :param timeout: seconds until the connection is dropped
    :param registry: the set that holds this object while its socket is open
    """

    def __init__(self, reply: bytes, timeout: float, registry: set[RejectedClient]) -> None:
        self._reply = reply
        self._timeout = timeout
        self._registry = registry
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        registry.add(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the reply and FIN."""
        # uvloop's transports do not inherit from asyncio's.
        self._transport = transport = cast("asyncio.Transport", transport)
        self._timer = asyncio.get_running_loop().call_later(self._timeout, transport.abort)
        if self._reply:
            transport.write(self._reply)
        end_writing(transport)

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
