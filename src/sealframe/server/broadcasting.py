"""Broadcasts: one message offered to many connections, and written to some of them a turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Final

from ..aio.connection import AnyConnection, Connection
from ..aio.connection_protocol import ConnectionProtocol
from ..aio.stats import ServerStats
from ..errors import MessageTooLargeError, SlowPeerError
from ..options import ServerOptions

_WRITES: Final = 32
"""Connections to which is written in a turn of the event loop."""

_AT_ONCE: Final = 64 * 1024
"""Cost of what waits for a connection from which it is written to at once."""


class Broadcasts:
    """What is broadcast on one server, until it is written.

    :param encode: makes bytes of a message
    :param counters: where messages are counted that a client does not get
    """

    def __init__(
        self, options: ServerOptions, encode: Callable[[object], bytes], counters: ServerStats
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._options = options
        self._encode = encode
        self._counters = counters
        self._unwritten: deque[ConnectionProtocol] = deque()
        self._writing = False

    def send(
        self,
        message: object,
        connections: Iterable[AnyConnection],
        exclude: AnyConnection | Collection[AnyConnection] | None,
    ) -> int:
        """Queue one message for every connection, without waiting for any.

        :param connections: must not change meanwhile
        :return: for how many it was queued
        :raises TypeError: the message is not bytes-like, or ``exclude`` holds
            something other than connections
        :raises EncodeError: the codec cannot encode it; nobody gets it
        :raises MessageTooLargeError: it is over ``max_message_size``
        """
        data = self._encode(message)
        if len(data) > self._options.max_message_size:
            raise MessageTooLargeError(len(data), self._options.max_message_size)
        left_out = {exclude} if isinstance(exclude, Connection) else set(exclude or ())
        if not all(isinstance(conn, Connection) for conn in left_out):
            raise TypeError("exclude takes connections, for example server.clients[id]")
        queued = 0
        batch: list[object] = [data]
        unwritten = self._unwritten
        for conn in connections:
            if left_out and conn in left_out:
                continue
            outbox, link = conn._outbox, conn._link
            if outbox.queued_bytes < _AT_ONCE and outbox.offer(batch):
                queued += 1
                if not link.unwritten:
                    link.unwritten = True
                    unwritten.append(link)
            else:
                queued += self._offer(link, data)
        if unwritten and not self._writing:
            self._writing = True
            self._loop.call_soon(self._write)
        return queued

    def _offer(self, link: ConnectionProtocol, message: bytes) -> bool:
        # What fills its outbox may be no more than earlier broadcasts of this turn.
        link._flush()
        if link.send_error is not None:
            return False
        outbox, protocol = link.outbox, link.protocol
        fits = protocol.send_minimum <= len(message) <= protocol.send_limit
        # Those who wait for room are no sign of a slow peer: they may just not have run yet.
        if outbox.over_limit or not fits:
            link.stats.dropped += 1
            self._counters.dropped += 1
            if outbox.over_limit and self._options.slow_client == "disconnect":
                link.abort(SlowPeerError("the peer reads too slowly: its outbox is full"))
            return False
        outbox.append(message)
        link.flush_soon()
        return True

    def _write(self) -> None:
        """Write what was broadcast, to some of the connections.

        To write to all of them takes long, and others would have to wait; what is
        broadcast meanwhile goes out in the same writes.
        """
        try:
            for _ in range(min(len(self._unwritten), _WRITES)):
                link = self._unwritten.popleft()
                link.unwritten = False
                if link.outbox.queued_bytes:
                    link._flush()
        finally:
            self._writing = bool(self._unwritten)
            if self._writing:
                self._loop.call_soon(self._write)
