"""The queues of a connection: the pure-Python backend, equal to ``sealframe.aio._queues``.

They hold messages and count their bytes. A message counts as its length and 64 bytes more
(:data:`~sealframe.wire.MESSAGE_OVERHEAD`), so that empty messages are not free.

A call has a fast path and a slow path. The fast path is here: it needs neither a wait nor a
check that can fail. All else is the slow path, a method of the subclass:
:mod:`sealframe.aio.receive_queue` and :mod:`sealframe.aio.send_queue`. Each call names the
queue's owner, for the queue holds no reference to it: that would take 8 bytes of each
connection and make a reference cycle.

Both queues share one file, longer than most, because the extension is one file too: they are read
side by side.
"""

from __future__ import annotations

import gc
import sys
from asyncio import AbstractEventLoop, Future, _get_running_loop
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable
from threading import get_ident
from typing import Final, Protocol, Self

from ..errors import ConnectionClosed
from ..wire import MESSAGE_OVERHEAD

__all__ = ["ALWAYS_WAKE", "InQueue", "OutQueue"]

ALWAYS_WAKE: Final = sys.maxsize
"""A low-water mark above any size: tasks wait, so each arrival calls :meth:`InQueue.wake`
and each pop takes the slow path."""
_COMPACT: Final = 1024
"""Messages taken from the front of a list from which on it is cut."""
FLUSH_BYTES: Final = 128 * 1024
"""Queued bytes from which a flush does not wait for the end of the tick."""


class SendQueueOwner(Protocol):
    """What a send queue asks of the sending half; the fast path calls :meth:`write_now` and
    :meth:`flush_soon` alone."""

    error: ConnectionClosed | None

    def check_loop(self) -> None:
        """Raise if the call comes from another thread or event loop."""

    def check_size(self, size: int) -> None:
        """Raise if a message of that size cannot be sent."""

    def write_now(self, message: bytes) -> bool:
        """Write a message past the send queue, in which nothing waits and which nothing holds
        back; return False, and do nothing, if it has to wait."""

    def flush_soon(self) -> None:
        """Write what is in the send queue: now, or at the end of this tick."""


class ReceiveQueueOwner(Protocol):
    """What a receive queue asks of the receiving half, in the slow path."""

    error: ConnectionClosed | None

    @property
    def loop(self) -> AbstractEventLoop:
        """The event loop that the connection belongs to."""

    def check_loop(self) -> None:
        """Raise if the call comes from another thread or event loop."""

    def after_pop(self) -> None:
        """Resume reading, send credit, and wake the next task, as far as each is due."""


class OutQueue:
    """Messages that wait to be written.

    It belongs to the event loop that runs when it is made.

    :ivar queued_bytes: what the messages in it count, together
    :ivar high_water: queued bytes from which :meth:`send` takes the slow path; 0 while
        senders wait and once the queue is closed
    :ivar smallest: the smallest message that may be sent, in bytes
    :ivar largest: the largest one
    :ivar scheduled: whether a flush is scheduled for the end of this tick
    :ivar paused: whether nothing can be written (the transport's buffer is full, or the
        peer's credit used up), so that no flush is due however much waits
    """

    __slots__ = (
        "_loop",
        "_messages",
        "_thread",
        "high_water",
        "largest",
        "paused",
        "queued_bytes",
        "scheduled",
        "smallest",
    )

    def __init__(self, *_: object) -> None:
        self._loop = _get_running_loop()
        self._thread = get_ident()
        self._messages: list[bytes] = []
        self.queued_bytes = 0
        self.high_water = 0
        self.smallest = 0
        self.largest = 0
        self.scheduled = False
        self.paused = False

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def due(self) -> bool:
        """Whether a flush is due: none is scheduled, or 128 KiB wait that can be written."""
        return not self.scheduled or (self.queued_bytes >= FLUSH_BYTES and not self.paused)

    async def send(self, owner: SendQueueOwner, message: object) -> None:
        """Send one message: by the fast path if it is ``bytes`` and nothing is in its way,
        else by :meth:`send_slow_path`.

        :param owner: its ``flush_soon()`` is called if a flush is :attr:`due`
        """
        if not self._accept(owner, message):
            await self.send_slow_path(owner, message)

    async def send_slow_path(self, owner: SendQueueOwner, message: object) -> None:
        """Check the message and the connection, and wait for room; for the subclass."""
        raise NotImplementedError

    def send_nowait(self, owner: SendQueueOwner, message: object) -> None:
        """Send one message, without waiting: by the fast path as :meth:`send`, else by
        :meth:`send_nowait_slow_path`."""
        if not self._accept(owner, message):
            self.send_nowait_slow_path(owner, message)

    def send_nowait_slow_path(self, owner: SendQueueOwner, message: object) -> None:
        """Check the message and the connection, and whether there is room; for the subclass."""
        raise NotImplementedError

    def _accept(self, owner: SendQueueOwner, message: object) -> bool:
        if (
            type(message) is not bytes
            or self.queued_bytes >= self.high_water
            or not self.smallest <= len(message) <= self.largest
            or get_ident() != self._thread
            # Within a tick of the loop, in its own thread, no other runs (unless it was
            # stopped in that very tick).
            or not (self.scheduled or _get_running_loop() is self._loop)
        ):
            return False
        if self._messages or self.scheduled or self.paused or not owner.write_now(message):
            self._messages.append(message)
            cost = len(message) + MESSAGE_OVERHEAD
            self.queued_bytes += cost
            if self.due:
                owner.flush_soon()
        return True

    def offer(self, messages: list[object]) -> bool:
        """Accept all messages, or none; return whether they were accepted."""
        if self.queued_bytes >= self.high_water:
            return False
        total = 0
        for message in messages:
            if type(message) is not bytes or not self.smallest <= len(message) <= self.largest:
                return False
            total += len(message) + MESSAGE_OVERHEAD
        self._messages += messages  # type: ignore[arg-type]  # bytes, as was just seen
        self.queued_bytes += total
        return True

    @property
    def above_high_water(self) -> bool:
        """Whether :meth:`send` takes the slow path."""
        return self.queued_bytes >= self.high_water

    def append(self, message: bytes) -> None:
        """Accept a message, even above the high-water mark."""
        self._messages.append(message)
        # First what a finalizer could interrupt, one that sends.
        cost = len(message) + MESSAGE_OVERHEAD
        self.queued_bytes += cost

    def extend(self, messages: list[bytes]) -> None:
        """Accept messages, even above the high-water mark."""
        self._messages += messages
        cost = sum(map(len, messages)) + MESSAGE_OVERHEAD * len(messages)
        self.queued_bytes += cost

    def take(self, size: int) -> list[bytes]:
        """Take the oldest messages, until they count ``size`` bytes or more."""
        fresh: list[bytes] = []
        if self.queued_bytes <= size:
            taken, self._messages, self.queued_bytes = self._messages, fresh, 0
            return taken
        # No finalizer that sends, takes or drops sees the queue half changed.
        collects = gc.isenabled()
        gc.disable()
        try:
            messages = self._messages
            count = total = 0
            while total < size and count < len(messages):
                total += len(messages[count]) + MESSAGE_OVERHEAD
                count += 1
            taken = messages[:count]
            self.queued_bytes -= total
            del messages[:count]
        finally:
            if collects:
                gc.enable()
        return taken

    def peek(self, first: int, count: int) -> list[bytes]:
        """Return some of the messages, and leave them where they are.

        :param first: how many stand before them
        """
        return self._messages[first : first + count]

    def clear(self) -> int:
        """Drop all messages; return how many there were."""
        count = len(self._messages)
        self._messages = []
        self.queued_bytes = 0
        return count


class InQueue:
    """Messages that wait to be received, and the tasks that wait for them.

    A waiter is a future that carries a wake-up and never a message: the message stays in the
    queue until the woken task pops it, so that a task cancelled in between loses nothing.

    :ivar queued_bytes: what the messages in it count, together
    :ivar low_water: queued bytes at or below which a pop takes the slow path, since the
        connection is to resume reading or to send credit; -1 for never, and
        :data:`ALWAYS_WAKE` while tasks wait
    :ivar waiters: the future of the task that waits, None while there is none. Where more than
        one waits, which is rare, those of all, the first in front: any one is removed in
        constant time
    :ivar waits_here: whether a call may wait for its message without a coroutine of the slow
        path
    """

    __slots__ = (
        "_loop",
        "_mark",
        "_messages",
        "_place",
        "_thread",
        "low_water",
        "queued_bytes",
        "waiters",
        "waits_here",
    )

    def __init__(self, *_: object) -> None:
        self._messages: list[bytes] | None = None
        # Of the oldest message; before it stands nothing any more.
        self._place = 0
        self._loop = _get_running_loop()
        self._thread = get_ident()
        self.queued_bytes = 0
        self.low_water = -1
        # The low-water mark while no task waits; `low_water` is what the fast path reads.
        self._mark = -1
        self.waiters: Future[None] | OrderedDict[Future[None], None] | None = None
        self.waits_here = False

    def __len__(self) -> int:
        return 0 if self._messages is None else len(self._messages) - self._place

    def extend(self, messages: list[bytes]) -> None:
        """Add messages; the list is the queue's from now on."""
        if self._messages is not None:
            self._messages += messages
        elif messages:
            self._messages = messages
        count = len(messages)
        size = len(messages[0]) if count == 1 else sum(map(len, messages))
        self.queued_bytes += size + MESSAGE_OVERHEAD * count
        if self.low_water == ALWAYS_WAKE:
            self.wake()

    def set_low_water(self, mark: int) -> None:
        """Set the low-water mark for the time in which no task waits: a pop at or below it
        calls ``owner.after_pop()``.

        :param mark: in queued bytes; -1 for never
        """
        self._mark = mark
        if self.waiters is None:
            self.low_water = mark

    def add_waiter(self, waiter: Future[None]) -> None:
        """Have :meth:`wake` set the result of ``waiter``. The task that awaits it looks
        again whether there is a message."""
        waiters = self.waiters
        if waiters is None:
            self.waiters = waiter
        elif isinstance(waiters, OrderedDict):
            waiters[waiter] = None
        else:
            self.waiters = OrderedDict.fromkeys((waiters, waiter))
        # A woken task may be slow to run, so one that pops first wakes the next.
        self.low_water = ALWAYS_WAKE

    def discard_waiter(self, waiter: Future[None]) -> None:
        """Remove a waiter whose task was cancelled; a wake-up that it got goes to the next."""
        waiters = self.waiters
        if waiter.done() and not waiter.cancelled():
            self.wake()
        elif isinstance(waiters, OrderedDict):
            waiters.pop(waiter, None)  # a wake-up may have skipped it
            if not waiters:
                self._end_waiting()
        elif waiters is waiter:
            self._end_waiting()

    def wake(self) -> None:
        """Wake the task that waits longest; it wakes the next while there are messages."""
        waiters = self.waiters
        if isinstance(waiters, OrderedDict):
            while waiters:
                waiter, _ = waiters.popitem(last=False)
                if not waiter.done():
                    waiter.set_result(None)
                    break
            if waiters:
                return
        elif waiters is not None and not waiters.done():
            waiters.set_result(None)
        self._end_waiting()

    def wake_all(self) -> None:
        """Wake every task that waits: nothing more will come."""
        while self.waiters is not None:
            self.wake()

    def _end_waiting(self) -> None:
        self.waiters = None
        self.low_water = self._mark

    def pop(self) -> bytes:
        """Take the oldest message.

        :raises IndexError: there is none
        """
        messages, place = self._messages, self._place
        if messages is None:
            raise IndexError("pop from an empty queue")
        message = messages[place]
        self.queued_bytes -= len(message) + MESSAGE_OVERHEAD
        self._place = place = place + 1
        if place == len(messages):
            # Most connections are idle.
            self._messages = None
            self._place = 0
        elif place >= _COMPACT and 2 * place >= len(messages):
            del messages[:place]
            self._place = 0
        else:
            messages[place - 1] = b""
        return message

    def peek(self) -> bytes:
        """Return the oldest message and leave it there.

        :raises IndexError: there is none
        """
        if self._messages is None:
            raise IndexError("peek into an empty queue")
        return self._messages[self._place]

    def pop_many(self, limit: int | None) -> list[bytes]:
        """Take all messages, or the oldest ``limit`` of them."""
        taken = self._messages
        if taken is None:
            return []
        if limit is None or limit >= len(self):
            if self._place:
                taken = taken[self._place :]
            self._messages = None
            self._place = 0
            self.queued_bytes = 0
            return taken
        return [self.pop() for _ in range(limit)]

    async def recv(self, owner: ReceiveQueueOwner, iterating: bool = False) -> bytes:
        """Take the oldest message: by the fast path if there is one and the pop stays above
        the low-water mark, else by :meth:`recv_slow_path`.

        Where :attr:`waits_here` is set, the only task that waits does so here: one coroutine
        less to wake, and to keep while a connection is idle.

        :param owner: handed to the slow path
        :param iterating: likewise; an iteration began in the right loop
        """
        messages = self._messages
        # To look for the loop at each message of an iteration costs too much.
        if get_ident() == self._thread and (
            (iterating and messages is not None) or _get_running_loop() is self._loop
        ):
            if (
                messages is None
                and self.waits_here
                and self.waiters is None
                and owner.error is None
            ):
                assert self._loop is not None
                waiter = self._loop.create_future()
                self.waiters = waiter
                self.low_water = ALWAYS_WAKE
                try:
                    await waiter
                except BaseException:
                    self.discard_waiter(waiter)
                    raise
                messages = self._messages
            if messages is not None and (
                self.low_water < 0
                or self.queued_bytes - len(messages[self._place]) - MESSAGE_OVERHEAD
                > self.low_water
            ):
                return self.pop()
        return await self.recv_slow_path(owner, iterating)

    def iterate(self, owner: ReceiveQueueOwner) -> AsyncIterator[bytes]:
        """Return an iterator that takes message by message, as :meth:`recv` does, until the
        slow path raises :exc:`StopAsyncIteration`."""
        return _Messages(self, owner)

    async def recv_slow_path(self, owner: ReceiveQueueOwner, iterating: bool) -> bytes:
        """Wait for a message, take it, and do what is due at the low-water mark; for the
        subclass.

        :param iterating: whether to raise :exc:`StopAsyncIteration` at a proper end
        """
        raise NotImplementedError


class _Messages:
    """``async for`` over what arrives. No generator: that would be over for good once a task
    was cancelled in it, and look like a connection that was closed properly."""

    __slots__ = ("_owner", "_queue")

    def __init__(self, queue: InQueue, owner: ReceiveQueueOwner) -> None:
        self._queue = queue
        self._owner = owner

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[bytes]:
        return self._queue.recv(self._owner, True)


# Warnings and the names of tasks show what the user called.
OutQueue.send.__qualname__ = "Connection.send"
InQueue.recv.__qualname__ = "Connection.recv"
