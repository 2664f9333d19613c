"""Accepted messages that wait to be framed, sealed and written."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ..buffers import as_bytes
from ..errors import MessageTooLargeError, SendQueueFullError
from .queues import OutQueue

if TYPE_CHECKING:
    from ._queues_py import SendQueueOwner


class SendQueue(OutQueue):
    """The send queue of a connection, and the tasks that wait for room in it.

    Tasks are let in first come, first served: the first waiter keeps its place until it has
    run, and whoever comes later queues behind it. One that is cancelled leaves in constant time.

    :param limit: queued bytes from which senders wait
    """

    __slots__ = ("_closed", "_limit", "_waiters")

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._closed = False
        self._waiters: OrderedDict[asyncio.Future[None], None] | None = None

    @property
    def over_limit(self) -> bool:
        """Whether it holds ``limit`` bytes or more."""
        return self.queued_bytes >= self._limit

    @property
    def full(self) -> bool:
        """Whether a new sender has to wait: for room, or for its turn."""
        return self.over_limit or bool(self._waiters)

    @property
    def holds_back(self) -> bool:
        """Whether who wants to send has to wait, as nobody has once it is closed."""
        return self.full and not self._closed

    def open(self, smallest: int, largest: int) -> None:
        """Let senders in whose messages have these sizes, in bytes."""
        self.smallest = smallest
        self.largest = largest
        self._set_high_water()

    def close(self) -> None:
        """Accept nothing more, and wake every waiter."""
        self._closed = True
        self._set_high_water()
        for waiter in self._waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    async def send_slow_path(self, owner: SendQueueOwner, message: object) -> None:
        """Send one message: check it, and wait for room.

        :raises TypeError: the message is not bytes-like
        :raises MessageTooLargeError: it is over the limit
        :raises MessageTooSmallError: it is below the minimum of the framing
        :raises ConnectionClosed: nothing more can be sent
        :raises WrongLoopError: called from another thread or event loop
        """
        data = checked(owner, message)
        if self.full:
            await self._wait_for_room(owner, len(data))
            try:
                self.append(data)
            finally:
                # Where it is refused for what is in it, the next in line still gets its turn.
                self.wake()
        else:
            self.append(data)
        owner.flush_soon()

    def send_nowait_slow_path(self, owner: SendQueueOwner, message: object) -> None:
        """Send one message: check it, and accept it or not.

        :raises SendQueueFullError: there is no room, or others wait for it
        :raises TypeError: the message is not bytes-like, and so on as in :meth:`send_slow_path`
        """
        data = checked(owner, message)
        if self.full:
            raise SendQueueFullError(self._limit)
        self.append(data)
        owner.flush_soon()

    async def send_many_slow_path(self, owner: SendQueueOwner, messages: list[bytes]) -> None:
        """Send messages, all or none: check them, and wait once for room.

        :raises ConnectionClosed: nothing more can be sent
        """
        if owner.error is not None:
            raise owner.error.fresh()
        if not messages:
            return
        largest = max(map(len, messages))
        owner.check_size(largest)
        owner.check_size(min(map(len, messages)))
        if self.full:
            await self._wait_for_room(owner, largest)
            try:
                self.extend(messages)
            finally:
                self.wake()
        else:
            self.extend(messages)
        owner.flush_soon()

    async def _wait_for_room(self, owner: SendQueueOwner, largest: int) -> None:
        await self.wait()
        if owner.error is not None:
            raise owner.error.fresh()
        try:
            # A client of a plain server may have announced its limit meanwhile.
            owner.check_size(largest)
        except MessageTooLargeError:
            self.wake()
            raise

    async def wait(self) -> None:
        """Wait for room, or for :meth:`close`.

        After the return the caller appends without an await in between, then calls
        :meth:`wake`, so that the next in line gets its turn.
        """
        if self._waiters is None:
            self._waiters = OrderedDict()
        waiters = self._waiters
        waiter = asyncio.get_running_loop().create_future()
        waiters[waiter] = None
        self._set_high_water()
        try:
            await waiter
        except asyncio.CancelledError:
            self._remove(waiter)
            self.wake()
            raise
        self._remove(waiter)

    def wait_for_turn(self, proceed: Callable[[], None]) -> None:
        """Have ``proceed`` called in a turn of its own, once there is room or after
        :meth:`close`. It queues as a sender does; while it runs, nobody is before it."""
        if self._waiters is None:
            self._waiters = OrderedDict()
        waiter = asyncio.get_running_loop().create_future()
        waiter.add_done_callback(partial(self._take_turn, proceed))
        self._waiters[waiter] = None
        self._set_high_water()
        self.wake()

    def _take_turn(self, proceed: Callable[[], None], waiter: asyncio.Future[None]) -> None:
        others = self._waiters or OrderedDict()
        del others[waiter]
        self._waiters = OrderedDict()
        self._set_high_water()
        try:
            proceed()
        finally:
            # Whoever began to wait meanwhile stands behind those who waited before.
            others.update(self._waiters)
            self._waiters = others
            self._set_high_water()
            self.wake()

    def wake(self) -> None:
        """Wake the first waiter, if there is room for it."""
        if self._waiters and not self.over_limit:
            first = next(iter(self._waiters))
            if not first.done():
                first.set_result(None)

    def _remove(self, waiter: asyncio.Future[None]) -> None:
        assert self._waiters is not None
        del self._waiters[waiter]
        self._set_high_water()

    def _set_high_water(self) -> None:
        self.high_water = 0 if self._closed or self._waiters else self._limit


def checked(owner: SendQueueOwner, message: object) -> bytes:
    """Return the bytes of a message that may be sent."""
    data = message if type(message) is bytes else as_bytes(message)
    owner.check_loop()
    if owner.error is not None:
        raise owner.error.fresh()
    owner.check_size(len(data))
    return data
