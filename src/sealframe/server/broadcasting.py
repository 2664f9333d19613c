"""Broadcasts: one message for many connections, a few of which are flushed in each turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Final

from ..aio.connection import AnyConnection, Connection, protocol_of
from ..aio.connection_protocol import ConnectionProtocol
from ..aio.sender import Sender
from ..aio.stats import ServerStats
from ..errors import MessageTooLargeError, SealframeError, SlowPeerError
from ..framing import FrameLayout
from ..options import ServerOptions

_FLUSHES_PER_TURN: Final = 32
"""Connections that are flushed in one turn of the event loop."""

_MAX_UNFLUSHED: Final = 64 * 1024
"""Cost of a send queue from which it is flushed at once, and not in a later turn."""


class Broadcasts:
    """Puts messages into many send queues, and flushes these a few at a time.

    :param encode: makes bytes of a message
    :param framing: the foreign layout of all connections, None for sealframe's own
    :param counters: where messages are counted that a client does not get
    """

    def __init__(
        self,
        options: ServerOptions,
        encode: Callable[[object], bytes],
        counters: ServerStats,
        framing: FrameLayout | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._options = options
        self._encode = encode
        self._counters = counters
        self._framing = framing
        self._unflushed: deque[Sender] = deque()
        self._scheduled = False

    @property
    def max_message_size(self) -> int:
        """The largest message that is sent, in bytes."""
        return self._options.max_message_size

    def send(
        self,
        message: object,
        connections: Iterable[AnyConnection],
        exclude: AnyConnection | Collection[AnyConnection] | None,
    ) -> int:
        """Queue one message for every connection, without waiting for any.

        :return: for how many it was queued
        :raises TypeError: the message is not bytes-like, or ``exclude`` holds
            something other than connections
        :raises EncodeError: the codec cannot encode it; nobody gets it
        :raises MessageTooLargeError: it is over ``max_message_size``
        :raises SealframeError: the foreign layout refuses it
        """
        data = self.encode(message)
        left_out = {exclude} if isinstance(exclude, Connection) else set(exclude or ())
        if not all(isinstance(conn, Connection) for conn in left_out):
            raise TypeError("exclude takes connections, for example server.clients[id]")
        return self.send_encoded(data, connections, left_out)

    def encode(self, message: object) -> bytes:
        """Return the bytes of a message.

        :raises TypeError: the message is not bytes-like
        :raises EncodeError: the codec cannot encode it
        :raises MessageTooLargeError: it is over ``max_message_size``
        :raises SealframeError: the foreign layout refuses it
        """
        data = self._encode(message)
        if len(data) > self._options.max_message_size:
            raise MessageTooLargeError(len(data), self._options.max_message_size)
        if self._framing is not None:
            self._framing.encode(data)
        return data

    def send_encoded(
        self,
        data: bytes,
        connections: Iterable[AnyConnection],
        left_out: Collection[AnyConnection],
    ) -> int:
        """Queue what :meth:`encode` has returned for every connection, without waiting for any.

        :return: for how many it was queued
        """
        excluded = set(map(protocol_of, left_out))
        queued = 0
        batch: list[object] = [data]
        unflushed = self._unflushed
        # A list: a slow client that is disconnected here leaves the clients and its groups.
        for protocol in list(map(protocol_of, connections)):
            if excluded and protocol in excluded:
                continue
            sender = protocol.sender
            queue = sender.queue
            if queue.queued_bytes < _MAX_UNFLUSHED and queue.offer(batch):
                queued += 1
                if not sender.broadcast_pending:
                    sender.broadcast_pending = True
                    unflushed.append(sender)
            else:
                queued += self._offer(protocol, data)
        if unflushed and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush_some)
        return queued

    def send_one(self, data: bytes, conn: AnyConnection) -> bool:
        """Queue what :meth:`encode` has returned for one connection; return whether it was."""
        protocol = protocol_of(conn)
        sender = protocol.sender
        if not sender.queue.offer([data]):
            return self._offer(protocol, data)
        sender.flush_soon()
        return True

    def _offer(self, protocol: ConnectionProtocol, message: bytes) -> bool:
        """Queue the message for a connection that cannot simply take it; return whether it was."""
        # Earlier broadcasts of this turn alone may have filled the queue.
        sender, machine = protocol.sender, protocol.machine
        sender.flush()
        if sender.error is not None:
            return False
        queue = sender.queue
        fits = machine.send_minimum <= len(message) <= machine.send_limit
        # Tasks that wait for room do not count: they may only not have run yet.
        if queue.over_limit or not fits:
            protocol.stats.dropped += 1
            self._counters.dropped += 1
            if queue.over_limit and self._options.slow_client == "disconnect":
                error = SlowPeerError("the peer reads too slowly: its outbox is full")
                protocol.put_out_slow(error)
            return False
        try:
            queue.append(message)
        except SealframeError:
            # The first message of this connection would have to be of another layout.
            protocol.stats.dropped += 1
            self._counters.dropped += 1
            return False
        sender.flush_soon()
        return True

    def _flush_some(self) -> None:
        """Flush some of the connections; the others follow in later turns of the event loop.

        All in one turn would hold up everything else. A message that is broadcast meanwhile
        goes out in the same writes.
        """
        try:
            for _ in range(min(len(self._unflushed), _FLUSHES_PER_TURN)):
                sender = self._unflushed.popleft()
                sender.broadcast_pending = False
                if sender.queue.queued_bytes:
                    sender.flush()
        finally:
            self._scheduled = bool(self._unflushed)
            if self._scheduled:
                self._loop.call_soon(self._flush_some)
