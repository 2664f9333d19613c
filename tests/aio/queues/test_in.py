"""The queue of what has arrived: order, cost, and when somebody is to be told."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING

import pytest

from .fake_connection import OVERHEAD, FakeConnection, finish

if TYPE_CHECKING:
    from types import ModuleType


def test_a_new_one_is_empty(backend: ModuleType) -> None:
    queue = backend.InQueue()
    assert (len(queue), queue.queued_bytes, queue.low_water) == (0, 0, -1)
    assert queue.pop_many(None) == []
    assert queue.pop_many(3) == []
    with pytest.raises(IndexError, match=r"^pop from an empty queue$"):
        queue.pop()
    with pytest.raises(IndexError, match=r"^peek into an empty queue$"):
        queue.peek()


def test_who_only_looks_takes_nothing(conn: FakeConnection) -> None:
    conn.arrive(b"one", b"two")
    for message in (b"one", b"two"):
        before = len(conn.receive_queue), conn.receive_queue.queued_bytes
        assert conn.receive_queue.peek() == conn.receive_queue.peek() == message
        assert (len(conn.receive_queue), conn.receive_queue.queued_bytes) == before
        assert conn.receive_queue.pop() == message
    with pytest.raises(IndexError, match=r"^peek into an empty queue$"):
        conn.receive_queue.peek()


def test_first_in_first_out(conn: FakeConnection) -> None:
    conn.arrive(b"one", b"two", b"three")
    conn.arrive(b"four", b"five", b"six")
    assert len(conn.receive_queue) == 6
    assert conn.receive_queue.pop() == b"one"
    assert finish(conn.recv()) == b"two"
    assert conn.receive_queue.pop_many(2) == [b"three", b"four"]
    assert finish(anext(aiter(conn))) == b"five"
    assert conn.receive_queue.pop_many(None) == [b"six"]
    assert len(conn.receive_queue) == 0


def test_a_message_costs_its_length_and_64(conn: FakeConnection) -> None:
    conn.arrive(b"", b"abc", b"ab", b"a", b"abcd", b"abcde")
    conn.arrive()
    assert conn.receive_queue.queued_bytes == 64 + 67 + 66 + 65 + 68 + 69
    conn.receive_queue.pop()
    assert conn.receive_queue.queued_bytes == 67 + 66 + 65 + 68 + 69
    finish(conn.recv())
    assert conn.receive_queue.queued_bytes == 66 + 65 + 68 + 69
    finish(anext(aiter(conn)))
    assert conn.receive_queue.queued_bytes == 65 + 68 + 69
    conn.receive_queue.pop_many(2)
    assert conn.receive_queue.queued_bytes == 69
    conn.receive_queue.pop_many(None)
    assert conn.receive_queue.queued_bytes == 0


def test_nothing_arrives_and_nothing_is_there(conn: FakeConnection) -> None:
    """Neither in a new queue nor in one that was emptied."""
    for _ in range(2):
        conn.arrive()
        assert len(conn.receive_queue) == 0
        with pytest.raises(IndexError, match=r"^pop from an empty queue$"):
            conn.receive_queue.pop()
        conn.ended = True
        with pytest.raises(EOFError):
            conn.recv().send(None)
        with pytest.raises(StopAsyncIteration):
            anext(aiter(conn)).send(None)
        conn.arrive(b"x")
        assert conn.receive_queue.pop() == b"x"


@pytest.mark.parametrize(("limit", "count"), [(0, 0), (1, 1), (4, 4), (5, 5), (6, 5), (None, 5)])
@pytest.mark.parametrize("popped", [0, 2])
def test_many_at_once(conn: FakeConnection, limit: int | None, count: int, popped: int) -> None:
    messages = [bytes([n]) * n for n in range(5)]
    conn.arrive(*[b"before"] * popped, *messages)
    for _ in range(popped):
        conn.receive_queue.pop()
    assert conn.receive_queue.pop_many(limit) == messages[:count]
    assert len(conn.receive_queue) == 5 - count
    assert conn.receive_queue.queued_bytes == sum(map(len, messages[count:])) + OVERHEAD * (
        5 - count
    )
    assert conn.receive_queue.pop_many(None) == messages[count:]


@pytest.mark.parametrize("seed", range(5))
def test_thousands_in_and_out(conn: FakeConnection, seed: int) -> None:
    """Nothing is lost or turned round when the room of what was taken is used again."""
    choice = random.Random(seed)
    messages = (number.to_bytes(4, "big") * choice.randrange(4) for number in range(1 << 30))
    expected: deque[bytes] = deque()
    seen = waiting = 0
    for _ in range(150):
        arrived = [next(messages) for _ in range(choice.choice([0, 1, 5, 900, 2500]))]
        expected += arrived
        waiting += sum(map(len, arrived))
        conn.receive_queue.extend(arrived)
        for _ in range(choice.choice([0, 1, 7, 1023, 1024, 1025, 3000])):
            if not expected:
                break
            message = expected.popleft()
            waiting -= len(message)
            assert conn.receive_queue.pop() == message
            seen += 1
        limit = choice.choice([0, 1, 2, 1500, None])
        count = min(len(expected), len(expected) if limit is None else limit)
        if choice.random() < 0.3:
            taken = [expected.popleft() for _ in range(count)]
            waiting -= sum(map(len, taken))
            assert conn.receive_queue.pop_many(limit) == taken
        assert len(conn.receive_queue) == len(expected)
        assert conn.receive_queue.queued_bytes == waiting + OVERHEAD * len(expected)
    assert seen > 10_000


@pytest.mark.parametrize(
    ("low_water", "at_once"), [(-1, True), (0, True), (199, True), (200, False), (201, False)]
)
def test_the_low_water_mark_is_compared_with_what_is_left(
    conn: FakeConnection, low_water: int, at_once: bool
) -> None:
    """The cost that counts is that after the message was taken."""
    left = bytes(200 - OVERHEAD)
    for take in (conn.recv, lambda: anext(aiter(conn))):
        conn.receive_queue.low_water = -1
        conn.receive_queue.pop_many(None)
        conn.asked.clear()
        conn.arrive(bytes(1000), left)
        conn.receive_queue.low_water = low_water
        assert finish(take()) == bytes(1000)
        assert (conn.asked == []) == at_once


def test_the_last_message_passes_every_low_water_mark(conn: FakeConnection) -> None:
    conn.arrive(bytes(1000))
    conn.receive_queue.low_water = 0
    finish(conn.recv())
    assert conn.asked == ["recv"]


def test_where_tasks_wait_somebody_is_always_told(conn: FakeConnection) -> None:
    conn.arrive(*[bytes(1000)] * 5)
    conn.receive_queue.low_water = conn.always_wake
    finish(conn.recv())
    conn.receive_queue.low_water = conn.always_wake
    finish(anext(aiter(conn)))
    assert conn.asked == ["recv", "next"]


def test_what_arrives_wakes_where_tasks_wait_and_nowhere_else(backend: ModuleType) -> None:
    woken = []

    class Queue(backend.InQueue):  # type: ignore[misc, name-defined]  # either backend's
        __slots__ = ()

        def wake(self) -> None:
            woken.append(len(self))

    queue = Queue()
    for mark in (-1, 0, 1000, backend.ALWAYS_WAKE - 1):
        queue.low_water = mark
        queue.extend([b"x"])
    assert woken == []
    queue.low_water = backend.ALWAYS_WAKE
    queue.extend([b"x"])
    queue.extend([])
    assert woken == [5, 5]


async def test_a_wake_up_goes_to_the_waiter_that_is_not_done(backend: ModuleType) -> None:
    queue = backend.InQueue()
    loop = asyncio.get_running_loop()
    first, second, third = (loop.create_future() for _ in range(3))
    for waiter in (first, second, third):
        queue.add_waiter(waiter)
    first.cancel()
    queue.extend([b"x"])
    assert (second.done(), third.done(), queue.low_water) == (True, False, backend.ALWAYS_WAKE)
    queue.set_low_water(7)
    queue.discard_waiter(second)  # its task was cancelled: the wake-up goes on
    assert (third.done(), queue.waiters, queue.low_water) == (True, None, 7)


class ComparedFuture(asyncio.Future[None]):
    """One that cannot be told from another by comparing them, as looking through a queue does."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("futures are compared")

    __hash__ = asyncio.Future.__hash__


@pytest.mark.parametrize("order", [1, -1])
async def test_a_waiter_leaves_without_a_search(backend: ModuleType, order: int) -> None:
    queue = backend.InQueue()
    waiters = [ComparedFuture() for _ in range(5)]
    for waiter in waiters:
        queue.add_waiter(waiter)
    for waiter in waiters[1:4][::order]:
        waiter.cancel()
        queue.discard_waiter(waiter)
    queue.discard_waiter(waiters[2])  # one that is gone already
    assert queue.low_water == backend.ALWAYS_WAKE
    queue.wake()
    assert [waiter.done() for waiter in waiters] == [True, True, True, True, False]
    waiters[4].cancel()
    queue.discard_waiter(waiters[4])
    assert (queue.waiters, queue.low_water) == (None, -1)
    queue.add_waiter(alone := ComparedFuture())
    queue.discard_waiter(waiters[4])
    assert queue.waiters is not None
    alone.cancel()
    queue.discard_waiter(alone)
    assert (queue.waiters, queue.low_water) == (None, -1)


def test_taking_by_hand_asks_nobody(conn: FakeConnection) -> None:
    """Who calls these tells the connection itself."""
    conn.arrive(b"one", b"two", b"three")
    conn.receive_queue.low_water = conn.always_wake
    conn.receive_queue.pop()
    conn.receive_queue.pop_many(1)
    conn.receive_queue.pop_many(None)
    assert conn.asked == []
