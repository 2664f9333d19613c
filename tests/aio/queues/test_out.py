"""The queue of what is to be written: order, cost, and who is let in."""

from __future__ import annotations

import gc
import random
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sealframe.aio import _queues_py

from .fake_connection import OVERHEAD, FakeConnection, finish

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

FLUSH_BYTES = _queues_py.FLUSH_BYTES


def test_a_new_one_is_empty_and_lets_nobody_in(backend: ModuleType) -> None:
    queue = backend.OutQueue()
    assert (len(queue), queue.queued_bytes, queue.high_water) == (0, 0, 0)
    assert (queue.smallest, queue.largest, queue.scheduled) == (0, 0, False)
    assert queue.take(100) == []
    assert queue.clear() == 0
    assert not queue.offer([])


def test_first_in_first_out(conn: FakeConnection) -> None:
    finish(conn.send(b"one"))
    conn.send_queue.append(b"two")
    conn.send_queue.extend([b"three", b"four"])
    assert conn.send_queue.offer([b"five", b"six"])
    finish(conn.send(b"seven"))
    assert len(conn.send_queue) == 7
    assert conn.written() == [b"one", b"two", b"three", b"four", b"five", b"six", b"seven"]
    assert len(conn.send_queue) == 0


def test_a_message_costs_its_length_and_64(conn: FakeConnection) -> None:
    finish(conn.send(b""))
    assert conn.send_queue.queued_bytes == 64
    finish(conn.send(b"abc"))
    assert conn.send_queue.queued_bytes == 64 + 67
    conn.send_queue.append(b"ab")
    assert conn.send_queue.queued_bytes == 64 + 67 + 66
    conn.send_queue.extend([b"a", b""])
    assert conn.send_queue.queued_bytes == 64 + 67 + 66 + 65 + 64
    conn.send_queue.offer([b"abcd"])
    assert conn.send_queue.queued_bytes == 64 + 67 + 66 + 65 + 64 + 68
    conn.send_queue.take(100)
    assert conn.send_queue.queued_bytes == 66 + 65 + 64 + 68
    assert conn.send_queue.clear() == 4
    assert conn.send_queue.queued_bytes == 0


def test_the_message_is_kept_and_not_copied(conn: FakeConnection) -> None:
    message = bytes(range(200))
    finish(conn.send(message))
    conn.send_queue.append(message)
    assert [taken is message for taken in conn.written()] == [True, True]


@pytest.mark.parametrize(("cost", "at_once"), [(999, True), (1000, False), (1001, False)])
def test_the_high_water_mark_is_the_size_from_which_nobody_is_let_in(
    conn: FakeConnection, cost: int, at_once: bool
) -> None:
    conn.send_queue.high_water = 1000
    conn.send_queue.append(bytes(cost - OVERHEAD))
    assert conn.send_queue.offer([b"x"]) == at_once
    conn.send_queue.clear()
    conn.send_queue.append(bytes(cost - OVERHEAD))
    finish(conn.send(b"x"))
    assert conn.asked == (["flush"] if at_once else ["send"])


def test_one_may_pass_the_high_water_mark(conn: FakeConnection) -> None:
    conn.send_queue.high_water = 1
    finish(conn.send(bytes(500)))
    assert conn.asked == ["flush"]
    conn.send_queue.clear()
    assert conn.send_queue.offer([bytes(500)] * 20)
    assert not conn.send_queue.offer([])


@pytest.mark.parametrize(
    ("size", "at_once"), [(2, False), (3, True), (5, True), (6, False)], ids=str
)
def test_the_sizes_that_are_let_in(conn: FakeConnection, size: int, at_once: bool) -> None:
    conn.send_queue.smallest, conn.send_queue.largest = 3, 5
    assert conn.send_queue.offer([bytes(4), bytes(size)]) == at_once
    assert len(conn.send_queue) == 2 * at_once
    finish(conn.send(bytes(size)))
    assert conn.asked == (["flush"] if at_once else ["send"])


class Message(bytes):
    """Not exactly bytes, but bytes-like."""


@pytest.mark.parametrize("other", [bytearray(b"x"), memoryview(b"x"), Message(b"x")], ids=type)
def test_only_bytes_are_let_in_at_once(conn: FakeConnection, other: Any) -> None:
    finish(conn.send(other))
    assert conn.asked == ["send"]
    assert not conn.send_queue.offer([b"first", other])
    assert [type(message) for message in conn.written()] == [bytes]


@pytest.mark.parametrize("other", [Message(b"x"), bytearray(b"x"), None, 5, bytes(5001)], ids=type)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_offer_is_accepted_as_a_whole_or_not_at_all(
    conn: FakeConnection, other: Any, place: int
) -> None:
    messages: list[Any] = [b"one", b"two"]
    messages.insert(place, other)
    assert not conn.send_queue.offer(messages)
    assert (len(conn.send_queue), conn.send_queue.queued_bytes) == (0, 0)


def test_an_offer_leaves_the_callers_list_alone(conn: FakeConnection) -> None:
    messages = [b"one", b"two"]
    conn.send_queue.offer(messages)
    conn.send_queue.extend(messages)
    assert messages == [b"one", b"two"]
    messages.clear()
    assert conn.written() == [b"one", b"two"] * 2


@pytest.mark.parametrize(
    ("size", "count"), [(0, 0), (1, 1), (164, 1), (165, 2), (328, 2), (329, 3), (10_000, 5)]
)
def test_taken_are_the_oldest_until_they_cost_enough(
    conn: FakeConnection, size: int, count: int
) -> None:
    messages = [bytes([n]) * 100 for n in range(5)]
    conn.send_queue.extend(messages)
    assert conn.send_queue.take(size) == messages[:count]
    assert len(conn.send_queue) == 5 - count
    assert conn.send_queue.queued_bytes == (5 - count) * 164
    assert conn.send_queue.take(10_000) == messages[count:]


def test_peek_leaves_everything_where_it_is(conn: FakeConnection) -> None:
    queue = conn.send_queue
    assert queue.peek(0, 3) == []
    messages = [bytes([n]) for n in range(5)]
    queue.extend(messages)
    assert queue.peek(1, 3) == messages[1:4]
    assert queue.peek(3, 9) == messages[3:]
    queue.peek(0, 5).clear()
    assert (len(queue), queue.queued_bytes) == (5, 5 * 65)
    assert queue.take(10_000) == messages


@pytest.mark.parametrize("seed", range(4))
def test_a_long_one_is_taken_part_by_part(conn: FakeConnection, seed: int) -> None:
    """Whatever is put behind it meanwhile, and what was taken is referred to no more."""
    choice = random.Random(seed)
    queue, waiting = conn.send_queue, list[bytes]()
    for number in range(60):
        count = choice.choice([0, 1, 300, 1023, 1025])
        more = [number.to_bytes(2, "big") + n.to_bytes(2, "big") for n in range(count)]
        queue.extend(more)
        waiting += more
        count = choice.choice([1, 7, 320, 321, 1500])
        parts = waiting[:count], waiting[count:]
        before = [sys.getrefcount(message) for message in parts[0]]
        taken = queue.take(68 * count)
        assert taken == parts[0]
        del taken
        # One less: the queue's.
        assert [sys.getrefcount(message) + 1 for message in parts[0]] == before
        waiting = parts[1]
        assert (len(queue), queue.queued_bytes) == (len(waiting), 68 * len(waiting))
        assert queue.peek(2, 5) == waiting[2:7]
    assert queue.clear() == len(waiting)
    queue.append(b"next")
    assert (len(queue), queue.peek(0, 2), queue.take(1)) == (1, [b"next"], [b"next"])


def test_what_was_taken_is_the_callers(conn: FakeConnection) -> None:
    conn.send_queue.append(b"one")
    taken = conn.send_queue.take(1000)
    conn.send_queue.append(b"two")
    assert taken == [b"one"]
    taken.append(b"three")
    assert conn.send_queue.take(1000) == [b"two"]


def test_a_flush_is_due_once_a_tick_and_when_much_waits(conn: FakeConnection) -> None:
    queue = conn.send_queue
    queue.high_water = queue.largest = FLUSH_BYTES * 2
    assert queue.due
    finish(conn.send(b"first"))
    assert conn.asked == ["flush"]
    queue.scheduled = True
    assert not queue.due
    finish(conn.send(b"second"))
    assert conn.asked == ["flush"]
    queue.clear()
    finish(conn.send(bytes(FLUSH_BYTES - OVERHEAD - 1)))
    assert not queue.due
    assert conn.asked == ["flush"]
    queue.clear()
    finish(conn.send(bytes(FLUSH_BYTES - OVERHEAD)))
    assert queue.due
    assert conn.asked == ["flush", "flush"]
    # To try where nothing can be written would take time for each message.
    queue.paused = True
    assert not queue.due
    finish(conn.send(b"held"))
    assert conn.asked == ["flush", "flush"]
    queue.scheduled = False
    queue.clear()
    assert queue.due


def test_what_a_flush_raises_comes_at_the_await(
    conn: FakeConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise OSError("no flush")

    monkeypatch.setattr(conn, "flush_soon", broken)
    call = conn.send(b"x")
    with pytest.raises(OSError, match="no flush"):
        call.send(None)
    assert len(conn.send_queue) == 1


class Garbage:
    """In a cycle: a collection finalizes it."""

    def __init__(self, finalizer: Callable[[], object]) -> None:
        self.myself, self.finalizer = self, finalizer

    def __del__(self) -> None:
        self.finalizer()


def take_amid_garbage(
    conn: FakeConnection, finalizer: Callable[[], object], size: int, *, made: int = 0
) -> list[bytes]:
    """Take ``size`` bytes, and have garbage collected where one object more than that is made."""
    take = conn.send_queue.take
    gc.collect()
    gc.disable()
    thresholds = gc.get_threshold()
    try:
        # Lists that are at hand are no new objects.
        kept = [list[bytes]() for _ in range(200)]
        Garbage(finalizer)
        gc.set_threshold(gc.get_count()[0] + made, 1000, 1000)
        gc.enable()
        taken: list[bytes] = take(size)
        gc.set_threshold(*thresholds)
        del kept
        return taken
    finally:
        gc.set_threshold(*thresholds)
        gc.enable()
        gc.collect()


@pytest.mark.parametrize("count", [3, 20])
@pytest.mark.parametrize("before", [0, 1])
def test_what_a_finalizer_sends_in_the_middle_of_a_take_is_the_last(
    conn: FakeConnection, before: int, count: int
) -> None:
    messages = [b"%03d" % number for number in range(20 + before)]
    queue = conn.send_queue
    queue.extend(messages)
    queue.take(67 * before)
    taken = take_amid_garbage(conn, lambda: queue.append(b"end"), 67 * count)
    assert taken[:count] == messages[before : before + count]
    assert queue.queued_bytes == 67 * len(queue)
    assert taken + queue.take(10_000) == [*messages[before:], b"end"]
    assert queue.queued_bytes == 0


@pytest.mark.parametrize("count", [3, 20])
def test_what_a_finalizer_drops_in_the_middle_of_a_take_is_not_taken_too(
    conn: FakeConnection, count: int
) -> None:
    queue, dropped = conn.send_queue, list[int]()
    queue.extend([b"%03d" % number for number in range(20)])
    taken = take_amid_garbage(conn, lambda: dropped.append(queue.clear()), 67 * count)
    assert len(taken) + sum(dropped) == 20
    assert (len(queue), queue.queued_bytes) == (0, 0)
    queue.extend([b"next", b"more"])
    assert (len(queue), queue.queued_bytes) == (2, 2 * 68)
    assert queue.take(10_000) == [b"next", b"more"]


@pytest.mark.parametrize("made", range(4))
def test_what_a_finalizer_takes_in_the_middle_of_a_take_is_not_taken_twice(
    conn: FakeConnection, made: int
) -> None:
    messages, others = [b"%03d" % number + bytes(number) for number in range(20)], list[bytes]()
    queue = conn.send_queue
    queue.extend(messages)
    taken = take_amid_garbage(conn, lambda: others.extend(queue.take(67 * 5)), 67 * 8, made=made)
    assert others
    left, rest = queue.queued_bytes, queue.take(10_000)
    assert left == sum(map(len, rest)) + OVERHEAD * len(rest)
    assert messages in (taken + others + rest, others + taken + rest)


def test_what_a_finalizer_sends_in_the_middle_of_an_extend_is_counted(
    conn: FakeConnection,
) -> None:
    queue = conn.send_queue
    gc.collect()
    Garbage(lambda: queue.append(b"end"))
    thresholds = gc.get_threshold()
    messages = [b"%03d" % number for number in range(20)]
    gc.set_threshold(1, 1000, 1000)
    try:
        queue.extend(messages)
    finally:
        gc.set_threshold(*thresholds)
        gc.collect()
    assert queue.queued_bytes == 67 * len(queue) == 67 * 21
