"""The queues of a connection in pure Python, twin of ``sealframe.aio._queues``.

They hold messages and count what these cost. Who waits for a message or for room, and
what is to happen then, is their subclasses' part: :mod:`sealframe.aio.receive_queue` and
:mod:`sealframe.aio.send_queue`.
"""

from __future__ import annotations

import sys
from asyncio import _get_running_loop
from collections import deque
from collections.abc import AsyncIterator
from threading import get_ident
from typing import Final, Protocol, Self

from ..wire import MESSAGE_OVERHEAD

__all__ = ["ANYHOW", "InQueue", "OutQueue"]

ANYHOW: Final = sys.maxsize
"""A low mark that is over any cost."""
_FLUSH_COST: Final = 128 * 1024
"""Cost at which what one tick sent is written without waiting for its end."""


class Connection(Protocol):
    """What carries on where a queue cannot do it at once."""

    def _sent(self) -> None: ...
    async def _send_slowly(self, message: object) -> None: ...
    async def _recv_slowly(self, iterating: bool) -> bytes: ...


class OutQueue:
    """Messages that wait to be written.

    It belongs to the event loop that runs when it is made.

    :ivar cost: what the messages cost together
    :ivar mark: cost from which a message is not accepted at once; 0 while others wait
        and when nothing more is accepted
    :ivar smallest: the smallest message that may be sent, in bytes
    :ivar largest: the largest one
    :ivar scheduled: whether there is a flush at the end of this tick
    :ivar held: whether nothing can be written before somebody else makes it possible, so
        that no flush is due however much waits
    """

    __slots__ = (
        "_loop",
        "_messages",
        "_thread",
        "cost",
        "held",
        "largest",
        "mark",
        "scheduled",
        "smallest",
    )

    def __init__(self, *_: object) -> None:
        self._loop = _get_running_loop()
        self._thread = get_ident()
        self._messages: list[bytes] = []
        self.cost = 0
        self.mark = 0
        self.smallest = 0
        self.largest = 0
        self.scheduled = False
        self.held = False

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def due(self) -> bool:
        """Whether a flush is due: none is scheduled, or messages worth 128 KiB wait that
        can be written."""
        return not self.scheduled or (self.cost >= _FLUSH_COST and not self.held)

    async def send(self, connection: Connection, message: object) -> None:
        """Send one message: at once, if it is ``bytes`` and nothing is in its way, and by
        ``connection._send_slowly(message)`` otherwise.

        ``connection._sent()`` is called where a flush is :attr:`due`.
        """
        if (
            type(message) is bytes
            and self.cost < self.mark
            and self.smallest <= len(message) <= self.largest
            and get_ident() == self._thread
            # Within a tick of the loop, in its own thread, no other runs (unless it was
            # stopped in that very tick).
            and (self.scheduled or _get_running_loop() is self._loop)
        ):
            self._messages.append(message)
            self.cost += len(message) + MESSAGE_OVERHEAD
            if self.due:
                connection._sent()
        else:
            await connection._send_slowly(message)

    def offer(self, messages: list[object]) -> bool:
        """Accept all messages, or none; return whether they were accepted."""
        if self.cost >= self.mark:
            return False
        cost = 0
        for message in messages:
            if type(message) is not bytes or not self.smallest <= len(message) <= self.largest:
                return False
            cost += len(message) + MESSAGE_OVERHEAD
        self._messages += messages  # type: ignore[arg-type]  # bytes, as was just seen
        self.cost += cost
        return True

    def append(self, message: bytes) -> None:
        """Accept a message, whatever the cost."""
        self._messages.append(message)
        self.cost += len(message) + MESSAGE_OVERHEAD

    def extend(self, messages: list[bytes]) -> None:
        """Accept messages, whatever the cost."""
        self._messages += messages
        self.cost += sum(map(len, messages)) + MESSAGE_OVERHEAD * len(messages)

    def take(self, size: int) -> list[bytes]:
        """Take the oldest messages, until their cost reaches ``size``."""
        if self.cost <= size:
            taken, self._messages, self.cost = self._messages, [], 0
            return taken
        count = cost = 0
        while cost < size and count < len(self._messages):
            cost += len(self._messages[count]) + MESSAGE_OVERHEAD
            count += 1
        taken = self._messages[:count]
        del self._messages[:count]
        self.cost -= cost
        return taken

    def clear(self) -> int:
        """Drop everything; return how many messages that were."""
        count = len(self._messages)
        self._messages = []
        self.cost = 0
        return count


class InQueue:
    """Messages that wait to be taken.

    :ivar cost: what the messages cost together
    :ivar low_mark: cost from which downwards somebody is to be told when a message was
        taken, which is the connection's part; -1 while there is no such cost, and
        ``ANYHOW`` while tasks wait
    """

    __slots__ = ("_loop", "_messages", "_thread", "cost", "low_mark")

    def __init__(self, *_: object) -> None:
        self._messages: deque[bytes] | None = None
        self._loop = _get_running_loop()
        self._thread = get_ident()
        self.cost = 0
        self.low_mark = -1

    def __len__(self) -> int:
        return 0 if self._messages is None else len(self._messages)

    def extend(self, messages: list[bytes]) -> None:
        """Add messages; the list is the queue's from now on."""
        if self._messages is not None:
            self._messages += messages
        elif messages:
            self._messages = deque(messages)
        self.cost += sum(map(len, messages)) + MESSAGE_OVERHEAD * len(messages)
        if self.low_mark == ANYHOW:
            self.wake()

    def wake(self) -> None:
        """Do what is to be done when messages came and tasks wait; for the subclass."""
        raise NotImplementedError

    def pop(self) -> bytes:
        """Take the oldest message.

        :raises IndexError: there is none
        """
        if self._messages is None:
            raise IndexError("pop from an empty queue")
        message = self._messages.popleft()
        self.cost -= len(message) + MESSAGE_OVERHEAD
        if not self._messages:
            # Even an empty one has 600 bytes, and most connections are idle.
            self._messages = None
        return message

    def peek(self) -> bytes:
        """Return the oldest message and leave it there.

        :raises IndexError: there is none
        """
        if self._messages is None:
            raise IndexError("peek into an empty queue")
        return self._messages[0]

    def pop_many(self, limit: int | None) -> list[bytes]:
        """Take all messages, or the oldest ``limit`` of them."""
        if limit is None or limit >= len(self):
            taken = list(self._messages or ())
            self._messages = None
            self.cost = 0
            return taken
        return [self.pop() for _ in range(limit)]

    async def recv(self, connection: Connection) -> bytes:
        """Take the oldest message: at once, if one is there and nobody is to be told, and
        by ``connection._recv_slowly(False)`` otherwise."""
        # An iteration began in the right loop; to look for each message costs too much.
        if self._ready and _get_running_loop() is self._loop:
            return self.pop()
        return await connection._recv_slowly(False)

    def iterate(self, connection: Connection) -> AsyncIterator[bytes]:
        """Take message by message, those that are not there at once by
        ``connection._recv_slowly(True)``, until that raises :exc:`StopAsyncIteration`."""
        return _Messages(self, connection)

    @property
    def _ready(self) -> bool:
        """Whether the oldest message can be taken and nobody is to be told."""
        if self._messages is None or get_ident() != self._thread:
            return False
        after = self.cost - len(self._messages[0]) - MESSAGE_OVERHEAD
        return self.low_mark < 0 or after > self.low_mark


class _Messages:
    """``async for`` over what arrives. No generator: that would be over for good once a task
    was cancelled in it, and look like a connection that was closed properly."""

    __slots__ = ("_connection", "_queue")

    def __init__(self, queue: InQueue, connection: Connection) -> None:
        self._queue = queue
        self._connection = connection

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._queue._ready:
            return self._queue.pop()
        return await self._connection._recv_slowly(True)


# Warnings and the names of tasks show what the user called.
OutQueue.send.__qualname__ = "Connection.send"
InQueue.recv.__qualname__ = "Connection.recv"
