"""What goes through the queues is freed, and nothing stays behind."""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from .fake_connection import FakeConnection, finish
from .test_calls import calls, let_go, make_wait, next_one, recv_one, send_one

if TYPE_CHECKING:
    from types import ModuleType

pytestmark = pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="only CPython counts references"
)

MESSAGES = [bytes([n]) * 300 for n in range(10)]


def references() -> list[int]:
    gc.collect()
    return [sys.getrefcount(message) for message in MESSAGES]


def sent_and_taken(conn: FakeConnection) -> None:
    for message in MESSAGES:
        finish(conn.send(message))
    assert conn.send_queue.take(1000) == MESSAGES[:3]
    assert conn.written() == MESSAGES[3:]


def sent_and_cleared(conn: FakeConnection) -> None:
    for message in MESSAGES:
        finish(conn.send(message))
    conn.send_queue.clear()


def appended(conn: FakeConnection) -> None:
    for message in MESSAGES:
        conn.send_queue.append(message)
    conn.send_queue.extend(MESSAGES)
    assert conn.send_queue.offer(MESSAGES)
    conn.written()


def refused(conn: FakeConnection) -> None:
    conn.send_queue.offer([*MESSAGES, 5])
    conn.send_queue.high_water = 0
    conn.send_queue.offer(MESSAGES)


def sent_slowly(conn: FakeConnection) -> None:
    conn.send_queue.high_water = 0
    for message in MESSAGES:
        finish(conn.send(message))
    conn.written()


def never_begun(conn: FakeConnection) -> None:
    for message in MESSAGES:
        conn.send(message).close()
        with pytest.raises(KeyError):
            conn.send(message).throw(KeyError())


def popped(conn: FakeConnection) -> None:
    conn.arrive(*MESSAGES)
    for message in MESSAGES:
        assert conn.receive_queue.pop() is message


def popped_and_forgotten(conn: FakeConnection) -> None:
    conn.arrive(*MESSAGES)
    for _ in MESSAGES:
        conn.receive_queue.pop()


def received(conn: FakeConnection) -> None:
    conn.arrive(*MESSAGES)
    for message in MESSAGES:
        assert finish(conn.recv()) is message


def iterated(conn: FakeConnection) -> None:
    conn.arrive(*MESSAGES)
    iterator = aiter(conn)
    for message in MESSAGES:
        assert finish(anext(iterator)) is message


def taken_together(conn: FakeConnection) -> None:
    for _ in range(2):
        conn.arrive(*MESSAGES)
        conn.receive_queue.pop()
        assert conn.receive_queue.pop_many(3) == MESSAGES[1:4]
        assert conn.receive_queue.pop_many(None) == MESSAGES[4:]


def moved_up(conn: FakeConnection) -> None:
    for _ in range(300):
        conn.arrive(*MESSAGES)
    for _ in range(2000):
        conn.receive_queue.pop()
    conn.arrive(*MESSAGES)
    assert conn.receive_queue.pop_many(1001) == MESSAGES * 100 + MESSAGES[:1]
    conn.receive_queue.pop_many(None)


@pytest.mark.parametrize(
    "use",
    [
        *(sent_and_taken, sent_and_cleared, appended, refused, sent_slowly, never_begun),
        *(popped, popped_and_forgotten, received, iterated, taken_together, moved_up),
    ],
)
def test_every_reference_is_given_back(
    conn: FakeConnection, use: Callable[[FakeConnection], None]
) -> None:
    before = references()
    for _ in range(3):
        use(conn)
        assert references() == before


def test_a_queue_that_is_dropped_drops_what_is_in_it(backend: ModuleType) -> None:
    before = references()
    conn = FakeConnection(backend)
    sent_half_and_received_half(conn)
    assert references() != before
    del conn
    assert references() == before


def sent_half_and_received_half(conn: FakeConnection) -> None:
    for message in MESSAGES:
        finish(conn.send(message))
    conn.arrive(*MESSAGES)
    for _ in MESSAGES[:5]:
        finish(conn.recv())


def test_each_waiting_message_is_referred_to_once(conn: FakeConnection) -> None:
    before = references()
    sent = [finish(conn.send(message)) for message in MESSAGES]
    conn.arrive(*MESSAGES)
    assert sent == [None] * len(MESSAGES)
    assert references() == [count + 2 for count in before]


def test_what_came_out_is_the_callers(conn: FakeConnection) -> None:
    """Whatever became of the queue and of the call."""
    for make in (conn.recv, lambda: anext(aiter(conn))):
        conn.arrive(bytes(range(100)), b"next")
        call = make()
        message = finish(call)
        before = sys.getrefcount(message)
        del call
        conn.receive_queue.pop_many(None)
        assert sys.getrefcount(message) == before
        assert message == bytes(range(100))


async def test_a_waiting_call_that_is_cancelled_gives_its_message_back(
    conn: FakeConnection,
) -> None:
    before = references()
    make_wait(conn)
    tasks = [asyncio.create_task(conn.send(message)) for message in MESSAGES]
    await asyncio.sleep(0)
    assert references() != before
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    del task
    tasks.clear()
    await asyncio.sleep(0)
    assert references() == before


def grown(use: Callable[[int], None], count: int) -> int:
    """Return how many bytes more are held after ``use(count)``."""
    use(2000)
    gc.collect()
    tracemalloc.start()
    try:
        use(100)
        before = tracemalloc.get_traced_memory()[0]
        use(count)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_ten_thousand_sends_leave_nothing_behind(conn: FakeConnection) -> None:
    def use(count: int) -> None:
        for number in range(count):
            finish(conn.send(number.to_bytes(4, "big")))
            if number % 10 == 9:
                conn.written()
                conn.asked.clear()
        conn.written()

    assert grown(use, 10_000) < 5000


@pytest.mark.parametrize("make", [recv_one, next_one])
def test_ten_thousand_messages_leave_nothing_behind(
    conn: FakeConnection, make: Callable[[FakeConnection], Any]
) -> None:
    """Nor does a queue that never runs empty keep room for all that went through it."""
    conn.arrive(b"never empty")

    def use(count: int) -> None:
        for number in range(0, count, 10):
            conn.arrive(*[(number + n).to_bytes(4, "big") for n in range(10)])
            for _ in range(10):
                finish(make(conn))
        assert len(conn.receive_queue) == 1

    assert grown(use, 10_000) < 40_000


@calls
async def test_tasks_that_wait_leave_nothing_behind(
    conn: FakeConnection, make: Callable[[FakeConnection], Any]
) -> None:
    async def use(count: int) -> None:
        for number in range(count):
            make_wait(conn)
            task = asyncio.ensure_future(make(conn))
            await asyncio.sleep(0)
            if number % 2:
                task.cancel()
            let_go(conn)
            await asyncio.wait([task])
            conn.written()
            conn.receive_queue.pop_many(None)
            conn.asked.clear()

    await use(200)
    gc.collect()
    tracemalloc.start()
    try:
        await use(100)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        await use(1000)
        gc.collect()
        # 20 bytes for each call, less than any object takes.
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()


@calls
async def test_a_cycle_through_a_waiting_call_is_collected(
    backend: ModuleType, make: Callable[[FakeConnection], Any]
) -> None:
    conn: Any = FakeConnection(backend)
    make_wait(conn)
    conn.call = make(conn)
    conn.waits_for = conn.call.send(None)
    gone = weakref.ref(conn)
    del conn
    gc.collect()
    assert gone() is None


@calls
def test_a_cycle_through_a_call_that_is_over_is_collected(
    backend: ModuleType, make: Callable[[FakeConnection], Any]
) -> None:
    conn: Any = FakeConnection(backend)
    conn.arrive(b"one", b"two")
    conn.call = make(conn)
    conn.iterator = aiter(conn)
    finish(conn.call)
    gone = weakref.ref(conn)
    del conn
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(("make", "name"), [(send_one, "send"), (recv_one, "recv")])
def test_a_cycle_through_a_call_that_never_began_is_collected(
    backend: ModuleType, make: Callable[[FakeConnection], Any], name: str
) -> None:
    conn: Any = FakeConnection(backend)
    conn.call = make(conn)
    gone = weakref.ref(conn)
    del conn
    with pytest.warns(RuntimeWarning, match=f"^coroutine 'Connection.{name}' was never awaited$"):
        gc.collect()
    gc.collect()  # from Python 3.15 on, what a finalizer saw goes only with the next one
    assert gone() is None


def test_an_idle_queue_is_small(backend: ModuleType) -> None:
    """Most connections are idle: what held a thousand messages keeps nothing of it."""
    queue = backend.InQueue()
    tracemalloc.start()
    try:
        for _ in range(20):
            queue.extend([b"x"] * 1000)
            for _ in range(1000):
                queue.pop()
        assert tracemalloc.get_traced_memory()[0] < 2000
    finally:
        tracemalloc.stop()
