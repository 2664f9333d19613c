"""A connection as the queues know it, with nothing behind it, and ways to await by hand."""

from __future__ import annotations

import asyncio
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import ModuleType

OVERHEAD = 64
"""What a message costs besides its length."""


# A class for each backend, and none for each connection: once a thread was started, CPython 3.13
# without the GIL frees no class, nor what its methods close over.


@cache
def in_queue(backend: ModuleType) -> Any:
    """Return a receive queue's class, with the slow path that a connection gives it."""

    class Queue(backend.InQueue):  # type: ignore[misc, name-defined]  # either backend's
        __slots__ = ("connection",)

        def wake(self) -> None:
            self.connection.wake()

        def recv_slow_path(self, owner: Any, iterating: bool) -> Any:
            return owner.recv_slow_path(iterating)

    return Queue


@cache
def out_queue(backend: ModuleType) -> Any:
    """Return a send queue's class, likewise."""

    class Queue(backend.OutQueue):  # type: ignore[misc, name-defined]  # either backend's
        __slots__ = ()

        def send_slow_path(self, owner: Any, message: object) -> Any:
            return owner.send_slow_path(message)

    return Queue


class FakeConnection:
    """It owns the queues: it has the slow path of each call, and notes who took it.

    A waiter carries a wake-up only. Whoever sends a number is told that it is none of the
    bytes-like objects; whoever receives after :meth:`end` is told so.

    :ivar asked: what came to it, oldest first
    """

    def __init__(self, backend: ModuleType, limit: int = 10_000) -> None:
        self._backend = backend
        self.always_wake: int = backend.ALWAYS_WAKE
        self.limit = limit
        self.asked: list[str] = []
        self.ended = False
        self._readers: list[asyncio.Future[None]] = []
        self._writers: list[asyncio.Future[None]] = []

    # Either belongs to the loop that runs when it is made, so to the first that uses it.

    @cached_property
    def receive_queue(self) -> Any:
        """What has arrived."""
        queue = in_queue(self._backend)()
        queue.connection = self
        return queue

    @cached_property
    def send_queue(self) -> Any:
        """What waits to be written."""
        queue = out_queue(self._backend)()
        queue.high_water = self.limit
        queue.largest = 5000
        return queue

    # What programs call

    def send(self, message: object) -> Coroutine[Any, Any, None]:
        return self.send_queue.send(self, message)  # type: ignore[no-any-return]

    def recv(self) -> Coroutine[Any, Any, bytes]:
        return self.receive_queue.recv(self)  # type: ignore[no-any-return]

    def __aiter__(self) -> Any:
        return self.receive_queue.iterate(self)

    # What the network does

    def arrive(self, *messages: bytes) -> None:
        self.receive_queue.extend(list(messages))

    def end(self) -> None:
        self.ended = True
        self.wake()

    def wake(self) -> None:
        for reader in self._readers:
            if not reader.done():
                reader.set_result(None)

    def written(self) -> list[bytes]:
        messages: list[bytes] = self.send_queue.take(1 << 40)
        for writer in self._writers:
            if not writer.done():
                writer.set_result(None)
        return messages

    # What the queues call

    def write_now(self, message: bytes) -> bool:
        return False

    def flush_soon(self) -> None:
        self.asked.append("flush")

    async def send_slow_path(self, message: object) -> None:
        self.asked.append("send")
        if isinstance(message, int):
            raise TypeError("a message is a bytes-like object, not int")
        await self._until(self._writers, lambda: self.send_queue.queued_bytes < self.limit)
        self.send_queue.append(bytes(message))  # type: ignore[call-overload]  # as the caller has it

    async def recv_slow_path(self, iterating: bool) -> bytes:
        self.asked.append("next" if iterating else "recv")
        self.receive_queue.low_water = self.always_wake
        try:
            await self._until(self._readers, lambda: self.ended or len(self.receive_queue) > 0)
        finally:
            self.receive_queue.low_water = self.always_wake if self._readers else -1
        if not len(self.receive_queue):
            raise StopAsyncIteration if iterating else EOFError
        return self.receive_queue.pop()  # type: ignore[no-any-return]

    async def _until(
        self, waiters: list[asyncio.Future[None]], condition: Callable[[], bool]
    ) -> None:
        while not condition():
            waiter = asyncio.get_running_loop().create_future()
            waiters.append(waiter)
            try:
                await waiter
            finally:
                waiters.remove(waiter)


def finish(call: Any) -> Any:
    """Await by hand what need not wait; return the result."""
    try:
        call.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


async def settle() -> None:
    """Let every task that can run do so, a few times over."""
    for _ in range(5):
        await asyncio.sleep(0)
