"""What goes to the other servers: collected during a turn of the event loop, published at its end.

Theory of operation. A frame is added to the stream of its server. At the end of the turn each
stream with frames becomes chunks of up to 256 KiB, which are published: what one turn sends to one
server is one NATS message, or a few. Senders wait in three places:

- for the next turn, first come first served, once this one has taken 256 KiB, so that no loop of
  ``send`` holds up the event loop;
- for a server that takes in less than it is sent (:mod:`.destination`), and for that one alone;
- for NATS, while more than 8 MiB are not with its socket.

What nobody waits for, such as replies, waits behind them in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Collection
from typing import Final

from ..errors import ClusterUnavailableError, SealframeError
from .destination import Destination
from .nats_link import NatsLink
from .nats_writer import HIGH_WATER
from .numbers import MAX_CHUNK
from .subjects import Subjects

logger = logging.getLogger("sealframe.cluster")

TURN_LIMIT: Final = 256 * 1024
"""Bytes after which senders wait for the next turn of the event loop: one NATS message, some 1,500
small messages, 5 ms."""
_FAREWELL: Final = 1.0
"""Seconds for what is left when this server leaves."""


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
        self._destinations: dict[str, Destination] = {}
        self._filled: set[str] = set()
        self._full: set[str] = set()
        self._chunk_size = 0
        self._taken = 0
        self._waiters: deque[tuple[asyncio.Future[None], int]] = deque()
        # How many were let through, and have not run since: nobody else comes before them.
        self._admitted = 0
        self._scheduled = False
        self._drainer: asyncio.Task[None] | None = None
        self._drained = asyncio.Event()
        self._progress = asyncio.Event()
        self.sent = 0
        self.lost = 0

    # Senders

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait for other servers, and for NATS."""
        waiting = sum(one.waiting_bytes for one in self._destinations.values())
        return waiting + self._link.queued

    @property
    def crowded(self) -> bool:
        """Whether a sender is to call :meth:`room` first."""
        return (
            self._taken >= TURN_LIMIT
            or bool(self._waiters)
            or self._admitted > 0
            or bool(self._full)
            or self._drainer is not None
        )

    async def room(self, size: int, servers: Collection[str]) -> None:
        """Wait for this sender's turn; NATS may have gone away meanwhile.

        :param size: bytes that it is going to send
        :param servers: to which others
        """
        if self._taken >= TURN_LIMIT or self._waiters or self._admitted:
            await self._next_turn(size)
        # Whoever has had its turn does not queue for it again, behind those that came later.
        while True:
            if self._drainer is not None and servers:
                await self._drained.wait()
                continue
            full = [one for one in servers if one in self._full]
            if not full:
                return
            await self._destinations[full[0]].free.wait()

    async def _next_turn(self, size: int) -> None:
        waiter: asyncio.Future[None] = self._loop.create_future()
        # One that is cancelled is passed over in its turn.
        self._waiters.append((waiter, size))
        self._schedule()
        try:
            await waiter
        finally:
            if not waiter.cancelled():
                self._admitted -= 1

    def count(self, size: int) -> None:
        """Count bytes that this turn has sent, to whomever."""
        self._taken += size
        self._schedule()

    def add(self, server: str, frame: bytes) -> None:
        """Send a frame to another server."""
        self._taken += len(frame)
        if not self._scheduled:
            self._schedule()
        destination = self._destinations.get(server)
        if destination is None:
            destination = self._make(server)
        self._filled.add(server)
        destination.stream.add(frame)
        self.sent += 1

    def add_to_all(self, servers: Collection[str], frame: bytes) -> None:
        """Send one frame to each of several servers."""
        self.count(len(frame) * len(servers))
        for server in servers:
            destination = self._destinations.get(server) or self._make(server)
            self._filled.add(server)
            destination.stream.add(frame)
        self.sent += len(servers)

    # What happens

    def acknowledge(self, server: str, number: int, sequence: int) -> None:
        """Another server has taken in what it was sent before that chunk."""
        destination = self._destinations.get(server)
        if destination is not None:
            destination.acknowledge(number, sequence, time.monotonic())
            if destination.waiting_bytes:
                self._filled.add(server)
                self._schedule()

    def look(self) -> None:
        """Look, once in a while, who has not acknowledged anything for too long."""
        waiting = {id for id, one in self._destinations.items() if one.waiting_bytes}
        if waiting:
            self._filled |= waiting
            self._schedule()

    def forget(self, server: str) -> None:
        """Drop what waits for a server that is gone."""
        destination = self._destinations.pop(server, None)
        if destination is not None:
            destination.drop()
            self._filled.discard(server)
            self._full.discard(server)

    def connected(self) -> None:
        """NATS is there, perhaps at a node that takes messages of another size."""
        size = min(MAX_CHUNK, self._link.max_payload)
        if size != self._chunk_size:
            self._chunk_size = size
            self.reset()
            self._destinations.clear()

    def reset(self) -> None:
        """NATS is away: drop what waits for it, and let senders find out."""
        self._progress.set()
        for destination in self._destinations.values():
            self.lost += destination.drop()
        self._filled.clear()
        self._full.clear()
        while self._waiters:
            self._admit_next()

    async def close(self) -> None:
        """Publish what was accepted, as far as other servers and NATS take it within a second."""
        self._flush()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                while any(one.waiting_bytes for one in self._destinations.values()):
                    self._progress.clear()
                    await self._progress.wait()
        self.reset()
        if self._drainer is not None:
            self._drainer.cancel()
            await asyncio.wait([self._drainer])

    # Publishing

    def _make(self, server: str) -> Destination:
        size = min(MAX_CHUNK, self._link.max_payload)
        destination = self._destinations[server] = Destination(self._id, size)
        return destination

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._scheduled = False
        self._taken = 0
        if self._filled:
            self._flush()
        self._let_in()

    def _flush(self) -> None:
        """Publish what was added, as far as there is room for it."""
        try:
            for server in self._filled:
                self._publish(server)
            self._filled.clear()
            self._progress.set()
        except ClusterUnavailableError:
            self.reset()
        except SealframeError:
            logger.exception("NATS does not take a message")
            self.reset()
        if self._link.queued > HIGH_WATER and self._drainer is None:
            self._drained.clear()
            self._drainer = self._loop.create_task(self._drain(), name="sealframe-cluster-drain")

    def _publish(self, server: str) -> None:
        destination = self._destinations[server]
        destination.collect()
        now = time.monotonic()
        while self._link.queued <= HIGH_WATER and (chunk := destination.pop(now)) is not None:
            self._link.publish(self._subjects.of(server), chunk)
        if destination.free.is_set():
            self._full.discard(server)
        else:
            self._full.add(server)

    async def _drain(self) -> None:
        """Go on once NATS has taken more."""
        try:
            await self._link.room()
        except ClusterUnavailableError:
            self.reset()
        finally:
            self._drainer = None
            self._drained.set()
        self.look()
        self._let_in()

    def _let_in(self) -> None:
        """Let as many waiting senders through as this turn has room for."""
        granted = self._taken
        while self._waiters and granted < TURN_LIMIT:
            granted += self._admit_next()
        if self._waiters:
            self._schedule()

    def _admit_next(self) -> int:
        """Let the first sender through that waits; return how much it sends."""
        waiter, size = self._waiters.popleft()
        if waiter.done():
            return 0
        waiter.set_result(None)
        self._admitted += 1
        return size
