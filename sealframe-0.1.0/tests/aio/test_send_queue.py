"""The queue of accepted messages: first come, first served, and nothing half accepted."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealframe.aio.send_queue import SendQueue

# A wake-up that is lost shows as a test that never ends.
pytestmark = pytest.mark.timeout(30)

OVERHEAD = 64
ONE = OVERHEAD + 1
"""The cost of a message of one byte."""


async def settle() -> None:
    """Let every task that can run do so, a few times over."""
    for _ in range(10):
        await asyncio.sleep(0)


async def send(queue: SendQueue, *messages: bytes) -> None:
    """Send as a connection does: wait for room, append, wake the next."""
    if queue.full:
        await queue.wait()
        queue.extend(list(messages))
        queue.wake()
    else:
        queue.extend(list(messages))


def drain(queue: SendQueue, size: int) -> list[bytes]:
    """Take as a flush does."""
    taken = queue.take(size)
    queue.wake()
    return taken


@given(st.lists(st.binary(max_size=200), max_size=20), st.integers(1, 1000))
def test_taking_keeps_order_and_cost(messages: list[bytes], size: int) -> None:
    """Each take gives the oldest messages until their cost reaches the size: at least
    one, and never one more than was needed."""
    queue = SendQueue(10_000)
    for message in messages:
        queue.append(message)
    seen: list[bytes] = []
    while len(queue):
        before = queue.queued_bytes
        taken = queue.take(size)
        cost = sum(map(len, taken)) + OVERHEAD * len(taken)
        assert queue.queued_bytes == before - cost
        assert taken
        assert cost - len(taken[-1]) - OVERHEAD < size
        assert cost >= size or not len(queue)
        seen += taken
    assert seen == messages
    assert queue.queued_bytes == 0
    assert queue.take(size) == []


def test_one_append_may_overshoot_the_mark() -> None:
    """A message larger than the whole limit is accepted while there is any room."""
    queue = SendQueue(100)
    fullness = [queue.full]
    queue.append(bytes(5000))
    fullness.append(queue.full)
    assert queue.take(1) == [bytes(5000)]
    fullness.append(queue.full)
    assert fullness == [False, True, False]


def test_clearing_says_how_many_were_lost() -> None:
    queue = SendQueue(100)
    queue.extend([b"1", b"2", b"3"])
    assert queue.clear() == 3
    assert (len(queue), queue.queued_bytes, queue.clear()) == (0, 0, 0)


async def test_waiters_are_served_in_order() -> None:
    """Each has its turn only when there is room, and appends before the next is woken."""
    queue = SendQueue(2 * ONE)
    queue.extend([b"0", b"0"])
    tasks = [asyncio.create_task(send(queue, body)) for body in (b"1", b"2", b"3")]
    await settle()
    assert not any(task.done() for task in tasks)
    assert drain(queue, 1) == [b"0"]
    await settle()
    assert [task.done() for task in tasks] == [True, False, False]
    assert drain(queue, 2 * ONE) == [b"0", b"1"]
    await asyncio.gather(*tasks)
    assert queue.take(10_000) == [b"2", b"3"]


async def test_a_late_comer_does_not_overtake() -> None:
    """Room that was made for a waiter is not taken by who comes between."""
    queue = SendQueue(ONE)
    queue.append(b"0")
    waiter = asyncio.create_task(send(queue, b"1"))
    await settle()
    drain(queue, ONE)
    assert queue.full
    late = asyncio.create_task(send(queue, b"2"))
    await waiter
    await settle()
    assert not late.done()
    assert drain(queue, ONE) == [b"1"]
    await late
    assert queue.take(ONE) == [b"2"]


async def test_a_waiter_cancelled_after_it_was_woken_passes_the_room_on() -> None:
    queue = SendQueue(ONE)
    queue.append(b"0")
    first = asyncio.create_task(send(queue, b"1"))
    second = asyncio.create_task(send(queue, b"2"))
    await settle()
    drain(queue, ONE)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    assert queue.take(ONE) == [b"2"]


async def test_a_waiter_cancelled_before_there_was_room_is_passed_over() -> None:
    queue = SendQueue(ONE)
    queue.append(b"0")
    first = asyncio.create_task(send(queue, b"1"))
    second = asyncio.create_task(send(queue, b"2"))
    await settle()
    first.cancel()
    drain(queue, ONE)
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    assert queue.take(ONE) == [b"2"]


async def test_no_one_is_woken_without_room() -> None:
    queue = SendQueue(ONE)
    queue.extend([b"0", b"0"])
    waiter = asyncio.create_task(send(queue, b"1"))
    await settle()
    drain(queue, 1)
    await settle()
    assert not waiter.done()
    drain(queue, 1)
    await waiter


async def test_the_end_wakes_everyone() -> None:
    queue = SendQueue(1)
    queue.append(b"0")
    tasks = [asyncio.create_task(queue.wait()) for _ in range(3)]
    await settle()
    queue.close()
    await asyncio.gather(*tasks)
    assert queue.full == (queue.queued_bytes >= 1)


@given(st.lists(st.tuples(st.sampled_from("sdct"), st.integers(0, 9)), max_size=60))
def test_no_order_of_sends_and_cancellations_loses_or_doubles_a_message(
    steps: list[tuple[str, int]],
) -> None:
    """A send that returned is accepted, in the order of the calls; one that was cancelled
    is not; and while there is room, no one waits."""

    async def run() -> None:
        queue = SendQueue(2 * ONE)
        tasks: list[asyncio.Task[None]] = []
        seen: list[bytes] = []
        for kind, number in steps:
            if kind == "s":
                tasks.append(asyncio.create_task(send(queue, bytes([len(tasks)]))))
            elif kind == "d":
                seen += drain(queue, number * ONE + 1)
            elif kind == "c" and tasks:
                tasks[number % len(tasks)].cancel()
            elif kind == "t":
                await settle()
        while True:
            await settle()
            if not len(queue):
                break
            seen += drain(queue, 10_000)
        assert all(task.done() for task in tasks)
        accepted = [bytes([n]) for n, task in enumerate(tasks) if not task.cancelled()]
        assert seen == accepted
        for task in tasks:
            if not task.cancelled():
                await task

    asyncio.run(run())
