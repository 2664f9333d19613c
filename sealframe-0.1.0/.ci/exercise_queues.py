"""Leads the compiled queues through every kind of call, for a tool that watches their memory.

Usage: python .ci/exercise_queues.py

Calls are awaited, dropped, closed, thrown into, and left over when their queue is gone. The run
is the same each time.
"""

from __future__ import annotations

import asyncio
import gc
import random
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sealframe.aio import _queues

if TYPE_CHECKING:
    from collections.abc import Callable


class ReceiveQueue(_queues.InQueue):
    """One that wakes nobody: whoever waits here looks again by itself."""

    __slots__ = ()

    def wake(self) -> None:
        self.low_water = -1

    async def recv_slow_path(self, owner: object, iterating: bool) -> bytes:
        self.low_water = _queues.ALWAYS_WAKE
        await asyncio.sleep(0)
        if not len(self):
            raise StopAsyncIteration if iterating else EOFError
        return self.pop()


class SendQueue(_queues.OutQueue):
    """One whose slow path takes what can be made bytes."""

    __slots__ = ()

    async def send_slow_path(self, owner: object, message: object) -> None:
        if isinstance(message, int):
            raise TypeError
        await asyncio.sleep(0)
        self.append(bytes(message))  # type: ignore[call-overload]  # as the caller has it


class Connection:
    """Owns the queues, and may fail at a flush."""

    def __init__(self) -> None:
        self.receive_queue = ReceiveQueue()
        self.send_queue = SendQueue()
        self.send_queue.largest = 1000
        self.call: Any = None

    def write_now(self, message: bytes) -> bool:
        return len(message) == 100 and not len(self.send_queue)

    def flush_soon(self) -> None:
        if len(self.send_queue) == 50:
            raise OSError


def change(conn: Connection, choice: random.Random) -> None:
    """Do something to the queues themselves."""
    some = [choice.randbytes(choice.randrange(200)) for _ in range(choice.randrange(8))]
    changes: tuple[Callable[[], object], ...] = (
        lambda: conn.receive_queue.extend(some),
        lambda: conn.receive_queue.extend(some * 200),
        conn.receive_queue.pop,
        lambda: conn.receive_queue.pop_many(choice.randrange(1500)),
        lambda: conn.receive_queue.pop_many(None),
        lambda: setattr(conn.receive_queue, "low_water", choice.choice([-1, 0, 500])),
        lambda: conn.send_queue.offer([*some]),
        lambda: conn.send_queue.offer([*some, "text"]),
        lambda: conn.send_queue.extend(some),
        lambda: conn.send_queue.append("text"),  # type: ignore[arg-type]
        lambda: conn.send_queue.take(choice.randrange(2000)),
        conn.send_queue.clear,
        lambda: setattr(conn.send_queue, "high_water", choice.choice([0, 500, 100_000])),
        lambda: setattr(conn.send_queue, "scheduled", choice.random() < 0.5),
    )
    with suppress(IndexError, TypeError):
        choice.choice(changes)()


def make(conn: Any, choice: random.Random) -> Any:
    """Return one of the calls."""
    message = choice.choice([b"", bytes(100), bytes(2000), bytearray(5), 5])
    calls: tuple[Callable[[], object], ...] = (
        lambda: conn.send_queue.send(conn, message),
        lambda: conn.receive_queue.recv(conn),
        lambda: anext(conn.receive_queue.iterate(conn)),
    )
    return choice.choice(calls)()


async def use(conn: Any, choice: random.Random) -> None:
    """Make one call, and come to its end in one of the ways there are."""
    call = make(conn, choice)
    with suppress(TypeError, EOFError, OSError, StopAsyncIteration, KeyError, StopIteration):
        match choice.randrange(8):
            case 0:
                call.close()
            case 1:
                call.throw(KeyError("thrown"))
            case 2:
                call.send(None)
                call.throw(KeyError("thrown"))
            case 3:
                task = asyncio.ensure_future(call)
                if choice.random() < 0.5:
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
            case 4:
                # In a cycle, and never begun.
                conn.call = call
            case 5:
                call.send(5)
            case _:
                await call
                call.send(None)
    with suppress(RuntimeError):
        call.close() if choice.random() < 0.9 else call.throw(KeyError)
    if choice.random() < 0.1:
        conn.receive_queue.recv(conn)  # dropped on purpose


async def main() -> None:
    """Do everything, as often as a slow tool allows."""
    choice = random.Random(5)
    for _ in range(20):
        conn = Connection()
        for _ in range(60):
            change(conn, choice)
            with suppress(RuntimeError, KeyError):
                await use(conn, choice)
        del conn
        gc.collect()
    print("the queues went through every kind of call")


if __name__ == "__main__":
    warnings.simplefilter("ignore", RuntimeWarning)
    asyncio.run(main())
