"""What goes out through one connection to NATS: to its socket at once, or once that takes more."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from ..errors import ClusterUnavailableError

if TYPE_CHECKING:
    from .nats_client import NatsClient

HIGH_WATER: Final = 8 * 1024 * 1024
"""Queued bytes above which :meth:`NatsWriter.room` waits until half of them are written."""
QUEUE_LIMIT: Final = 64 * 1024 * 1024
"""Queued bytes that nobody may go beyond, also without waiting for room."""


class NatsWriter:
    """Publishes in the order of the calls. While the socket takes what it is given nothing is
    queued, no task runs, and no turn of the event loop is waited for.

    :ivar queued: bytes that wait for the socket
    """

    __slots__ = ("_client", "_queue", "_room", "_task", "queued")

    def __init__(self, client: NatsClient) -> None:
        self._client = client
        self._queue: deque[tuple[str, bytes]] = deque()
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.queued = 0

    def publish(self, subject: str, data: bytes) -> None:
        """Publish without waiting.

        :raises ClusterUnavailableError: NATS takes so little that 64 MiB wait
        """
        if not self._queue and self._client.writable:
            self._client.write(subject, data)
            return
        if self.queued + len(data) > QUEUE_LIMIT:
            raise ClusterUnavailableError(
                f"NATS takes too little: {self.queued} bytes wait to be written"
            )
        self._queue.append((subject, data))
        self.queued += len(data)
        self._write_later()

    def answer(self, subject: str, data: bytes) -> None:
        """Publish a small message before all that waits."""
        if self._client.writable:
            self._client.write(subject, data)
        else:
            self._queue.appendleft((subject, data))
            self.queued += len(data)
            self._write_later()

    async def room(self) -> None:
        """Wait until at most 8 MiB are queued, or nothing is any more since it was dropped."""
        while self.queued > HIGH_WATER:
            self._room.clear()
            await self._room.wait()

    async def idle(self) -> None:
        """Wait until nothing is queued."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """Drop what is queued; afterwards nothing is written."""
        self.drop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def drop(self) -> int:
        """Drop what is queued; return how many messages that were."""
        dropped = len(self._queue)
        self._queue.clear()
        self.queued = 0
        self._room.set()
        return dropped

    def _write_later(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write(), name="sealframe-nats-writer")

    async def _write(self) -> None:
        # Once the socket is gone the link drops what is left.
        while await self._client.drained() and self._queue:
            subject, data = self._queue.popleft()
            self.queued -= len(data)
            self._client.write(subject, data)
            if self.queued <= HIGH_WATER // 2:
                self._room.set()
