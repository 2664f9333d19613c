"""Who waits for whom, in the event loop: so many at a time, first come first served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from ..aio.stream import Stream, endpoint_of
from ..errors import FileRefusedError
from ..wire import FileRefusal
from .messages import MalformedError


class Turns:
    """Lets so many at a time go on for each key.

    Those of different event loops do not wait for each other.

    :param at_a_time: who may go on together
    """

    __slots__ = ("_at_a_time", "_of_key", "waiting")

    def __init__(self, at_a_time: int = 1) -> None:
        self._at_a_time: Final = at_a_time
        # Each lives as long as somebody waits or goes on.
        self._of_key: WeakValueDictionary[
            tuple[asyncio.AbstractEventLoop, Hashable], asyncio.Semaphore
        ] = WeakValueDictionary()
        self.waiting = 0
        """How many wait."""

    @asynccontextmanager
    async def taken(
        self, key: Hashable, stream: Stream, timeout: float | None = None
    ) -> AsyncIterator[None]:
        """Wait for a turn; it ends with the block.

        :param stream: of the offer that waits: what ends it ends the waiting
        :param timeout: in seconds
        :raises FileRefusedError: code ``BUSY``: it took longer
        :raises MalformedError: the sender speaks before it was answered
        :raises StreamResetError, ConnectionClosed: as :meth:`.Stream.read`
        """
        full = asyncio.get_running_loop(), key
        turn = self._of_key.get(full)
        if turn is None:
            turn = self._of_key[full] = asyncio.Semaphore(self._at_a_time)
        if turn.locked():
            self.waiting += 1
            try:
                await _acquire(turn, stream, timeout)
            finally:
                self.waiting -= 1
        else:
            await turn.acquire()
        try:
            yield
        finally:
            turn.release()


async def _acquire(turn: asyncio.Semaphore, stream: Stream, timeout: float | None) -> None:
    acquiring = asyncio.ensure_future(turn.acquire())
    # An honest sender says nothing until it is answered: whatever comes ends this.
    ending = asyncio.ensure_future(endpoint_of(stream).wait_readable())
    both = [acquiring, ending]
    try:
        await asyncio.wait(both, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            ending.result()
            raise MalformedError("something came before the offer was answered")
        if not acquiring.done():
            raise FileRefusedError(FileRefusal.BUSY, "this file is being received already")
    except BaseException:
        if not acquiring.cancel():
            turn.release()
        raise
    finally:
        if not ending.cancel():
            ending.exception()  # else asyncio logs that nobody asked
