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

from .post import Post, finish
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


def sent_and_taken(post: Post) -> None:
    for message in MESSAGES:
        finish(post.send(message))
    assert post.outbox.take(1000) == MESSAGES[:3]
    assert post.written() == MESSAGES[3:]


def sent_and_cleared(post: Post) -> None:
    for message in MESSAGES:
        finish(post.send(message))
    post.outbox.clear()


def appended(post: Post) -> None:
    for message in MESSAGES:
        post.outbox.append(message)
    post.outbox.extend(MESSAGES)
    assert post.outbox.offer(MESSAGES)
    post.written()


def refused(post: Post) -> None:
    post.outbox.offer([*MESSAGES, 5])
    post.outbox.mark = 0
    post.outbox.offer(MESSAGES)


def sent_slowly(post: Post) -> None:
    post.outbox.mark = 0
    for message in MESSAGES:
        finish(post.send(message))
    post.written()


def never_begun(post: Post) -> None:
    for message in MESSAGES:
        post.send(message).close()
        with pytest.raises(KeyError):
            post.send(message).throw(KeyError())


def popped(post: Post) -> None:
    post.arrive(*MESSAGES)
    for message in MESSAGES:
        assert post.inbox.pop() is message


def popped_and_forgotten(post: Post) -> None:
    post.arrive(*MESSAGES)
    for _ in MESSAGES:
        post.inbox.pop()


def received(post: Post) -> None:
    post.arrive(*MESSAGES)
    for message in MESSAGES:
        assert finish(post.recv()) is message


def iterated(post: Post) -> None:
    post.arrive(*MESSAGES)
    iterator = aiter(post)
    for message in MESSAGES:
        assert finish(anext(iterator)) is message


def taken_together(post: Post) -> None:
    for _ in range(2):
        post.arrive(*MESSAGES)
        post.inbox.pop()
        assert post.inbox.pop_many(3) == MESSAGES[1:4]
        assert post.inbox.pop_many(None) == MESSAGES[4:]


def moved_up(post: Post) -> None:
    for _ in range(300):
        post.arrive(*MESSAGES)
    for _ in range(2000):
        post.inbox.pop()
    post.arrive(*MESSAGES)
    assert post.inbox.pop_many(1001) == MESSAGES * 100 + MESSAGES[:1]
    post.inbox.pop_many(None)


@pytest.mark.parametrize(
    "use",
    [
        *(sent_and_taken, sent_and_cleared, appended, refused, sent_slowly, never_begun),
        *(popped, popped_and_forgotten, received, iterated, taken_together, moved_up),
    ],
)
def test_every_reference_is_given_back(post: Post, use: Callable[[Post], None]) -> None:
    before = references()
    for _ in range(3):
        use(post)
        assert references() == before


def test_a_queue_that_is_dropped_drops_what_is_in_it(twin: ModuleType) -> None:
    before = references()
    post = Post(twin)
    sent_half_and_received_half(post)
    assert references() != before
    del post
    assert references() == before


def sent_half_and_received_half(post: Post) -> None:
    for message in MESSAGES:
        finish(post.send(message))
    post.arrive(*MESSAGES)
    for _ in MESSAGES[:5]:
        finish(post.recv())


def test_each_waiting_message_is_referred_to_once(post: Post) -> None:
    before = references()
    sent = [finish(post.send(message)) for message in MESSAGES]
    post.arrive(*MESSAGES)
    assert sent == [None] * len(MESSAGES)
    assert references() == [count + 2 for count in before]


def test_what_came_out_is_the_callers(post: Post) -> None:
    """Whatever became of the queue and of the call."""
    for make in (post.recv, lambda: anext(aiter(post))):
        post.arrive(bytes(range(100)), b"next")
        call = make()
        message = finish(call)
        before = sys.getrefcount(message)
        del call
        post.inbox.pop_many(None)
        assert sys.getrefcount(message) == before
        assert message == bytes(range(100))


async def test_a_waiting_call_that_is_cancelled_gives_its_message_back(post: Post) -> None:
    before = references()
    make_wait(post)
    tasks = [asyncio.create_task(post.send(message)) for message in MESSAGES]
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


def test_ten_thousand_sends_leave_nothing_behind(post: Post) -> None:
    def use(count: int) -> None:
        for number in range(count):
            finish(post.send(number.to_bytes(4, "big")))
            if number % 10 == 9:
                post.written()
                post.asked.clear()
        post.written()

    assert grown(use, 10_000) < 5000


@pytest.mark.parametrize("make", [recv_one, next_one])
def test_ten_thousand_messages_leave_nothing_behind(
    post: Post, make: Callable[[Post], Any]
) -> None:
    """Nor does a queue that never runs empty keep room for all that went through it."""
    post.arrive(b"never empty")

    def use(count: int) -> None:
        for number in range(0, count, 10):
            post.arrive(*[(number + n).to_bytes(4, "big") for n in range(10)])
            for _ in range(10):
                finish(make(post))
        assert len(post.inbox) == 1

    assert grown(use, 10_000) < 40_000


@calls
async def test_tasks_that_wait_leave_nothing_behind(
    post: Post, make: Callable[[Post], Any]
) -> None:
    async def use(count: int) -> None:
        for number in range(count):
            make_wait(post)
            task = asyncio.ensure_future(make(post))
            await asyncio.sleep(0)
            if number % 2:
                task.cancel()
            let_go(post)
            await asyncio.wait([task])
            post.written()
            post.inbox.pop_many(None)
            post.asked.clear()

    await use(200)
    gc.collect()
    tracemalloc.start()
    try:
        await use(100)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        await use(2000)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()


@calls
async def test_a_cycle_through_a_waiting_call_is_collected(
    twin: ModuleType, make: Callable[[Post], Any]
) -> None:
    post: Any = Post(twin)
    make_wait(post)
    post.call = make(post)
    post.waits_for = post.call.send(None)
    gone = weakref.ref(post)
    del post
    gc.collect()
    assert gone() is None


@calls
def test_a_cycle_through_a_call_that_is_over_is_collected(
    twin: ModuleType, make: Callable[[Post], Any]
) -> None:
    post: Any = Post(twin)
    post.arrive(b"one", b"two")
    post.call = make(post)
    post.iterator = aiter(post)
    finish(post.call)
    gone = weakref.ref(post)
    del post
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(("make", "name"), [(send_one, "send"), (recv_one, "recv")])
def test_a_cycle_through_a_call_that_never_began_is_collected(
    twin: ModuleType, make: Callable[[Post], Any], name: str
) -> None:
    post: Any = Post(twin)
    post.call = make(post)
    gone = weakref.ref(post)
    del post
    with pytest.warns(RuntimeWarning, match=f"^coroutine 'Connection.{name}' was never awaited$"):
        gc.collect()
    assert gone() is None


def test_an_idle_queue_is_small(twin: ModuleType) -> None:
    """Most connections are idle: what held a thousand messages keeps nothing of it."""
    queue = twin.InQueue()
    tracemalloc.start()
    try:
        for _ in range(20):
            queue.extend([b"x"] * 1000)
            for _ in range(1000):
                queue.pop()
        assert tracemalloc.get_traced_memory()[0] < 2000
    finally:
        tracemalloc.stop()
