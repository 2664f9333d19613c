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


class Inbox(_queues.InQueue):
    """One that wakes nobody: whoever waits here looks again by itself."""

    __slots__ = ()

    def wake(self) -> None:
        self.low_mark = -1


class Connection:
    """Carries on where a queue cannot, and may fail at it."""

    def __init__(self) -> None:
        self.inbox = Inbox()
        self.outbox = _queues.OutQueue()
        self.outbox.largest = 1000
        self.call: Any = None

    def _sent(self) -> None:
        if len(self.outbox) == 50:
            raise OSError

    async def _send_slowly(self, message: object) -> None:
        if isinstance(message, int):
            raise TypeError
        await asyncio.sleep(0)
        self.outbox.append(bytes(message))  # type: ignore[call-overload]  # as the caller has it

    async def _recv_slowly(self, iterating: bool) -> bytes:
        self.inbox.low_mark = _queues.ANYHOW
        await asyncio.sleep(0)
        if not len(self.inbox):
            raise StopAsyncIteration if iterating else EOFError
        return self.inbox.pop()


def change(conn: Connection, choice: random.Random) -> None:
    """Do something to the queues themselves."""
    some = [choice.randbytes(choice.randrange(200)) for _ in range(choice.randrange(8))]
    changes: tuple[Callable[[], object], ...] = (
        lambda: conn.inbox.extend(some),
        lambda: conn.inbox.extend(some * 200),
        conn.inbox.pop,
        lambda: conn.inbox.pop_many(choice.randrange(1500)),
        lambda: conn.inbox.pop_many(None),
        lambda: setattr(conn.inbox, "low_mark", choice.choice([-1, 0, 500])),
        lambda: conn.outbox.offer([*some]),
        lambda: conn.outbox.offer([*some, "text"]),
        lambda: conn.outbox.extend(some),
        lambda: conn.outbox.append("text"),  # type: ignore[arg-type]
        lambda: conn.outbox.take(choice.randrange(2000)),
        conn.outbox.clear,
        lambda: setattr(conn.outbox, "mark", choice.choice([0, 500, 100_000])),
        lambda: setattr(conn.outbox, "scheduled", choice.random() < 0.5),
    )
    with suppress(IndexError, TypeError):
        choice.choice(changes)()


def make(conn: Connection, choice: random.Random) -> Any:
    """Return one of the calls."""
    message = choice.choice([b"", bytes(100), bytes(2000), bytearray(5), 5])
    calls: tuple[Callable[[], object], ...] = (
        lambda: conn.outbox.send(conn, message),
        lambda: conn.inbox.recv(conn),
        lambda: anext(conn.inbox.iterate(conn)),
    )
    return choice.choice(calls)()


async def use(conn: Connection, choice: random.Random) -> None:
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
        conn.inbox.recv(conn)  # type: ignore[unused-coroutine]  # dropped on purpose


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
