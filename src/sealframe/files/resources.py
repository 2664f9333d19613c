"""What the transfers into one inbox share: threads, turns, hashes, counters."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Any, Final

from ..aio.stream import Stream
from ..trust.peer import Peer
from .memory import HashMemory
from .turns import Turns
from .worker import Pool

THREADS: Final = 8
"""Threads that wait for the disk, however many files are received."""
_DIGESTS: Final = 4
"""Files on the disk that are hashed at a time: the other threads write what comes."""


class Resources:
    """What all transfers into one inbox share, so that offers cost no more than it has.

    :ivar pool: the threads that wait for the disk
    :ivar memory: hashes of what is on the disk
    :ivar same: turns of transfers that write to the same partial file
    """

    __slots__ = ("_clients", "_counts", "_hashing", "_lock", "memory", "pool", "same")

    def __init__(self) -> None:
        self.pool = Pool(THREADS)
        self.memory = HashMemory()
        self.same = Turns()
        self._clients = Turns()
        self._hashing = Turns(_DIGESTS)
        self._lock = threading.Lock()
        self._counts = {"receiving": 0, "received": 0, "refused": 0, "broken_off": 0}

    @asynccontextmanager
    async def hashing(self, stream: Stream) -> AsyncIterator[None]:
        """Wait until a file on the disk may be hashed for an offer: one at a time for each client.

        :raises MalformedError, StreamResetError, ConnectionClosed: as :meth:`.Turns.taken`
        """
        async with (
            self._clients.taken(_client(stream.connection), stream),
            self._hashing.taken(None, stream),
        ):
            yield

    def count(self, name: str, by: int = 1) -> None:
        """Change a counter."""
        with self._lock:
            self._counts[name] += by

    def stats(self) -> dict[str, int]:
        """Return the counters, as they are now."""
        return {
            **self._counts,
            "waiting": self.same.waiting + self._clients.waiting + self._hashing.waiting,
            "hashed_bytes": self.memory.hashed,
            "max_threads": THREADS,
        }


def _client(connection: Any) -> Hashable:
    """Return what a client has the same on all of its connections."""
    peer: Peer | None = connection.peer
    if peer is not None:
        return bytes(peer.key)
    address: Hashable = connection.remote_address
    # A port is another one each time.
    return address[0] if isinstance(address, tuple) else address
