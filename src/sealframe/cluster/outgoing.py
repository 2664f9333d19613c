"""What goes to the other servers: collected during a turn of the event loop, published at its end.

Theory of operation. A frame is added to the stream of its server. At the end of the turn each
stream with frames becomes chunks of up to 256 KiB, which are published: what one turn sends to one
server is one NATS message, or a few. A sender waits, first come first served, once a turn has taken
256 KiB, so that no loop of ``send`` holds up the event loop; and while more than 8 MiB wait for
NATS. What nobody waits for, such as replies, waits behind it in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from typing import Final

from ..errors import ClusterUnavailableError, SealframeError
from .chunks import OutgoingStream
from .nats_link import HIGH_WATER, NatsLink
from .numbers import MAX_CHUNK
from .subjects import Subjects

logger = logging.getLogger("sealframe.cluster")

TURN_LIMIT: Final = 256 * 1024
"""Bytes after which senders wait for the next turn of the event loop: one NATS message, some 1,500
small messages, 5 ms."""


class Outgoing:
    """The streams to all other servers.

    :param id: of this server
    :ivar sent: frames that were added, for each server one
    :ivar lost: chunks that NATS did not take: it went away meanwhile
    """

    def __init__(self, id: str, link: NatsLink, subjects: Subjects) -> None:
        self._id = bytes.fromhex(id)
        self._link = link
        self._subjects = subjects
        self._loop = asyncio.get_running_loop()
        self._streams: dict[str, OutgoingStream] = {}
        self._filled: set[str] = set()
        self._chunk_size = 0
        self._chunks: deque[tuple[str, bytes]] = deque()
        self._chunk_bytes = 0
        self._taken = 0
        self._waiters: deque[tuple[asyncio.Future[None], int]] = deque()
        self._scheduled = False
        self._drainer: asyncio.Task[None] | None = None
        self.sent = 0
        self.lost = 0

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait for NATS."""
        return self._chunk_bytes + self._link.queued

    @property
    def crowded(self) -> bool:
        """Whether a sender is to call :meth:`room` first."""
        return self._taken >= TURN_LIMIT or bool(self._waiters) or self._drainer is not None

    async def room(self, size: int) -> None:
        """Wait for this sender's turn.

        :param size: bytes that it is going to send
        :raises ClusterUnavailableError: NATS went away meanwhile
        """
        if self.crowded:
            waiter: asyncio.Future[None] = self._loop.create_future()
            # One that is cancelled is passed over in its turn.
            self._waiters.append((waiter, size))
            self._schedule()
            await waiter

    def count(self, size: int) -> None:
        """Count bytes that this turn has sent, to whomever."""
        self._taken += size
        self._schedule()

    def add(self, server: str, frame: bytes) -> None:
        """Send a frame to another server."""
        self._taken += len(frame)
        if not self._scheduled:
            self._schedule()
        stream = self._streams.get(server)
        if stream is None:
            stream = self._make_stream(server)
        self._filled.add(server)
        stream.add(frame)
        self.sent += 1

    def add_to_all(self, servers: Collection[str], frame: bytes) -> None:
        """Send one frame to each of several servers."""
        self.count(len(frame) * len(servers))
        framed = OutgoingStream.frame(frame)
        for server in servers:
            stream = self._streams.get(server) or self._make_stream(server)
            self._filled.add(server)
            stream.add_frame(framed)
        self.sent += len(servers)

    def forget(self, server: str) -> None:
        """Drop what waits for a server that is gone."""
        self._streams.pop(server, None)
        self._filled.discard(server)

    def reset(self) -> None:
        """NATS is away: drop what waits for it, and let senders raise that."""
        self.lost += len(self._chunks)
        self._chunks.clear()
        self._chunk_bytes = 0
        for server in self._filled:
            self.lost += len(self._streams[server].take())
        self._filled.clear()
        for waiter, _ in self._waiters:
            if not waiter.done():
                waiter.set_exception(ClusterUnavailableError("NATS went away: nothing was sent"))
        self._waiters.clear()

    def flush(self) -> None:
        """Publish what was added, as far as there is room for it."""
        for server in self._filled:
            subject = self._subjects.of(server)
            for chunk in self._streams[server].take():
                self._chunks.append((subject, chunk))
                self._chunk_bytes += len(chunk)
        self._filled.clear()
        self._publish()

    async def close(self) -> None:
        """Publish what there is room for; whoever waits is told that it is over."""
        self.flush()
        self.reset()
        if self._drainer is not None:
            self._drainer.cancel()
            with suppress(asyncio.CancelledError):
                await self._drainer

    def _make_stream(self, server: str) -> OutgoingStream:
        size = min(MAX_CHUNK, self._link.max_payload)
        stream = self._streams[server] = OutgoingStream(self._id, size)
        return stream

    def connected(self) -> None:
        """NATS is there, perhaps at a node that takes messages of another size."""
        size = min(MAX_CHUNK, self._link.max_payload)
        if size != self._chunk_size:
            self._chunk_size = size
            self._streams.clear()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._scheduled = False
        self._taken = 0
        if self._filled:
            self.flush()
        self._let_in()

    def _publish(self) -> None:
        link = self._link
        chunks = self._chunks
        try:
            while chunks and link.queued <= HIGH_WATER:
                subject, chunk = chunks[0]
                link.publish(subject, chunk)
                chunks.popleft()
                self._chunk_bytes -= len(chunk)
        except ClusterUnavailableError:
            self.reset()
        except SealframeError:
            logger.exception("NATS does not take a message")
            self.reset()
        if (chunks or link.queued > HIGH_WATER) and self._drainer is None:
            self._drainer = self._loop.create_task(self._drain(), name="sealframe-cluster-drain")

    async def _drain(self) -> None:
        """Publish the rest once NATS takes more; senders wait as long."""
        try:
            while self._chunks or self._link.queued > HIGH_WATER:
                await self._link.room()
                self._publish()
        except ClusterUnavailableError:
            self.reset()
        finally:
            self._drainer = None
            self._let_in()

    def _let_in(self) -> None:
        """Let as many waiting senders through as the next turn has room for."""
        if self._drainer is not None:
            return
        granted = self._taken
        while self._waiters and granted < TURN_LIMIT:
            waiter, size = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                granted += size
        if self._waiters:
            self._schedule()
