"""The queue of what has arrived: order, cost, and when somebody is to be told."""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING

import pytest

from .post import OVERHEAD, Post, finish

if TYPE_CHECKING:
    from types import ModuleType


def test_a_new_one_is_empty(twin: ModuleType) -> None:
    queue = twin.InQueue()
    assert (len(queue), queue.cost, queue.low_mark) == (0, 0, -1)
    assert queue.pop_many(None) == []
    assert queue.pop_many(3) == []
    with pytest.raises(IndexError, match=r"^pop from an empty queue$"):
        queue.pop()
    with pytest.raises(IndexError, match=r"^peek into an empty queue$"):
        queue.peek()


def test_who_only_looks_takes_nothing(post: Post) -> None:
    post.arrive(b"one", b"two")
    for message in (b"one", b"two"):
        before = len(post.inbox), post.inbox.cost
        assert post.inbox.peek() == post.inbox.peek() == message
        assert (len(post.inbox), post.inbox.cost) == before
        assert post.inbox.pop() == message
    with pytest.raises(IndexError, match=r"^peek into an empty queue$"):
        post.inbox.peek()


def test_first_in_first_out(post: Post) -> None:
    post.arrive(b"one", b"two", b"three")
    post.arrive(b"four", b"five", b"six")
    assert len(post.inbox) == 6
    assert post.inbox.pop() == b"one"
    assert finish(post.recv()) == b"two"
    assert post.inbox.pop_many(2) == [b"three", b"four"]
    assert finish(anext(aiter(post))) == b"five"
    assert post.inbox.pop_many(None) == [b"six"]
    assert len(post.inbox) == 0


def test_a_message_costs_its_length_and_64(post: Post) -> None:
    post.arrive(b"", b"abc", b"ab", b"a", b"abcd", b"abcde")
    post.arrive()
    assert post.inbox.cost == 64 + 67 + 66 + 65 + 68 + 69
    post.inbox.pop()
    assert post.inbox.cost == 67 + 66 + 65 + 68 + 69
    finish(post.recv())
    assert post.inbox.cost == 66 + 65 + 68 + 69
    finish(anext(aiter(post)))
    assert post.inbox.cost == 65 + 68 + 69
    post.inbox.pop_many(2)
    assert post.inbox.cost == 69
    post.inbox.pop_many(None)
    assert post.inbox.cost == 0


def test_nothing_arrives_and_nothing_is_there(post: Post) -> None:
    """Neither in a new queue nor in one that was emptied."""
    for _ in range(2):
        post.arrive()
        assert len(post.inbox) == 0
        with pytest.raises(IndexError, match=r"^pop from an empty queue$"):
            post.inbox.pop()
        post.ended = True
        with pytest.raises(EOFError):
            post.recv().send(None)
        with pytest.raises(StopAsyncIteration):
            anext(aiter(post)).send(None)
        post.arrive(b"x")
        assert post.inbox.pop() == b"x"


@pytest.mark.parametrize(("limit", "count"), [(0, 0), (1, 1), (4, 4), (5, 5), (6, 5), (None, 5)])
@pytest.mark.parametrize("popped", [0, 2])
def test_many_at_once(post: Post, limit: int | None, count: int, popped: int) -> None:
    messages = [bytes([n]) * n for n in range(5)]
    post.arrive(*[b"before"] * popped, *messages)
    for _ in range(popped):
        post.inbox.pop()
    assert post.inbox.pop_many(limit) == messages[:count]
    assert len(post.inbox) == 5 - count
    assert post.inbox.cost == sum(map(len, messages[count:])) + OVERHEAD * (5 - count)
    assert post.inbox.pop_many(None) == messages[count:]


@pytest.mark.parametrize("seed", range(5))
def test_thousands_in_and_out(post: Post, seed: int) -> None:
    """Nothing is lost or turned round when the room of what was taken is used again."""
    choice = random.Random(seed)
    messages = (number.to_bytes(4, "big") * choice.randrange(4) for number in range(1 << 30))
    expected: deque[bytes] = deque()
    seen = 0
    for _ in range(300):
        arrived = [next(messages) for _ in range(choice.choice([0, 1, 5, 900, 2500]))]
        expected += arrived
        post.inbox.extend(arrived)
        for _ in range(choice.choice([0, 1, 7, 1023, 1024, 1025, 3000])):
            if not expected:
                break
            assert post.inbox.pop() == expected.popleft()
            seen += 1
        limit = choice.choice([0, 1, 2, 1500, None])
        count = min(len(expected), len(expected) if limit is None else limit)
        if choice.random() < 0.3:
            assert post.inbox.pop_many(limit) == [expected.popleft() for _ in range(count)]
        assert len(post.inbox) == len(expected)
        assert post.inbox.cost == sum(map(len, expected)) + OVERHEAD * len(expected)
    assert seen > 10_000


@pytest.mark.parametrize(
    ("low_mark", "at_once"), [(-1, True), (0, True), (199, True), (200, False), (201, False)]
)
def test_the_low_mark_is_compared_with_what_is_left(
    post: Post, low_mark: int, at_once: bool
) -> None:
    """The cost that counts is that after the message was taken."""
    left = bytes(200 - OVERHEAD)
    for take in (post.recv, lambda: anext(aiter(post))):
        post.inbox.low_mark = -1
        post.inbox.pop_many(None)
        post.asked.clear()
        post.arrive(bytes(1000), left)
        post.inbox.low_mark = low_mark
        assert finish(take()) == bytes(1000)
        assert (post.asked == []) == at_once


def test_the_last_message_passes_every_low_mark(post: Post) -> None:
    post.arrive(bytes(1000))
    post.inbox.low_mark = 0
    finish(post.recv())
    assert post.asked == ["recv"]


def test_where_tasks_wait_somebody_is_always_told(post: Post) -> None:
    post.arrive(*[bytes(1000)] * 5)
    post.inbox.low_mark = post.anyhow
    finish(post.recv())
    post.inbox.low_mark = post.anyhow
    finish(anext(aiter(post)))
    assert post.asked == ["recv", "next"]


def test_what_arrives_wakes_where_tasks_wait_and_nowhere_else(twin: ModuleType) -> None:
    woken = []

    class Queue(twin.InQueue):  # type: ignore[misc, name-defined]  # either twin's
        __slots__ = ()

        def wake(self) -> None:
            woken.append(len(self))

    queue = Queue()
    for mark in (-1, 0, 1000, twin.ANYHOW - 1):
        queue.low_mark = mark
        queue.extend([b"x"])
    assert woken == []
    queue.low_mark = twin.ANYHOW
    queue.extend([b"x"])
    queue.extend([])
    assert woken == [5, 5]


def test_the_wake_up_is_the_subclass_own(twin: ModuleType) -> None:
    queue = twin.InQueue()
    queue.low_mark = twin.ANYHOW
    with pytest.raises(NotImplementedError):
        queue.extend([b"x"])


def test_taking_by_hand_asks_nobody(post: Post) -> None:
    """Who calls these tells the connection itself."""
    post.arrive(b"one", b"two", b"three")
    post.inbox.low_mark = post.anyhow
    post.inbox.pop()
    post.inbox.pop_many(1)
    post.inbox.pop_many(None)
    assert post.asked == []
