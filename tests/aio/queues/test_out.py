"""The queue of what is to be written: order, cost, and who is let in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sealframe.aio import _queues_py

from .post import OVERHEAD, Post, finish

if TYPE_CHECKING:
    from types import ModuleType

FLUSH_COST = _queues_py._FLUSH_COST


def test_a_new_one_is_empty_and_lets_nobody_in(twin: ModuleType) -> None:
    queue = twin.OutQueue()
    assert (len(queue), queue.cost, queue.mark) == (0, 0, 0)
    assert (queue.smallest, queue.largest, queue.scheduled) == (0, 0, False)
    assert queue.take(100) == []
    assert queue.clear() == 0
    assert not queue.offer([])


def test_first_in_first_out(post: Post) -> None:
    finish(post.send(b"one"))
    post.outbox.append(b"two")
    post.outbox.extend([b"three", b"four"])
    assert post.outbox.offer([b"five", b"six"])
    finish(post.send(b"seven"))
    assert len(post.outbox) == 7
    assert post.written() == [b"one", b"two", b"three", b"four", b"five", b"six", b"seven"]
    assert len(post.outbox) == 0


def test_a_message_costs_its_length_and_64(post: Post) -> None:
    finish(post.send(b""))
    assert post.outbox.cost == 64
    finish(post.send(b"abc"))
    assert post.outbox.cost == 64 + 67
    post.outbox.append(b"ab")
    assert post.outbox.cost == 64 + 67 + 66
    post.outbox.extend([b"a", b""])
    assert post.outbox.cost == 64 + 67 + 66 + 65 + 64
    post.outbox.offer([b"abcd"])
    assert post.outbox.cost == 64 + 67 + 66 + 65 + 64 + 68
    post.outbox.take(100)
    assert post.outbox.cost == 66 + 65 + 64 + 68
    assert post.outbox.clear() == 4
    assert post.outbox.cost == 0


def test_the_message_is_kept_and_not_copied(post: Post) -> None:
    message = bytes(range(200))
    finish(post.send(message))
    post.outbox.append(message)
    assert [taken is message for taken in post.written()] == [True, True]


@pytest.mark.parametrize(("cost", "at_once"), [(999, True), (1000, False), (1001, False)])
def test_the_mark_is_the_cost_from_which_nobody_is_let_in(
    post: Post, cost: int, at_once: bool
) -> None:
    post.outbox.mark = 1000
    post.outbox.append(bytes(cost - OVERHEAD))
    assert post.outbox.offer([b"x"]) == at_once
    post.outbox.clear()
    post.outbox.append(bytes(cost - OVERHEAD))
    finish(post.send(b"x"))
    assert post.asked == (["sent"] if at_once else ["send"])


def test_one_may_pass_the_mark(post: Post) -> None:
    post.outbox.mark = 1
    finish(post.send(bytes(500)))
    assert post.asked == ["sent"]
    post.outbox.clear()
    assert post.outbox.offer([bytes(500)] * 20)
    assert not post.outbox.offer([])


@pytest.mark.parametrize(
    ("size", "at_once"), [(2, False), (3, True), (5, True), (6, False)], ids=str
)
def test_the_sizes_that_are_let_in(post: Post, size: int, at_once: bool) -> None:
    post.outbox.smallest, post.outbox.largest = 3, 5
    assert post.outbox.offer([bytes(4), bytes(size)]) == at_once
    assert len(post.outbox) == 2 * at_once
    finish(post.send(bytes(size)))
    assert post.asked == (["sent"] if at_once else ["send"])


class Message(bytes):
    """Not exactly bytes, but bytes-like."""


@pytest.mark.parametrize("other", [bytearray(b"x"), memoryview(b"x"), Message(b"x")], ids=type)
def test_only_bytes_are_let_in_at_once(post: Post, other: Any) -> None:
    finish(post.send(other))
    assert post.asked == ["send"]
    assert not post.outbox.offer([b"first", other])
    assert [type(message) for message in post.written()] == [bytes]


@pytest.mark.parametrize("other", [Message(b"x"), bytearray(b"x"), None, 5, bytes(5001)], ids=type)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_offer_is_accepted_as_a_whole_or_not_at_all(post: Post, other: Any, place: int) -> None:
    messages: list[Any] = [b"one", b"two"]
    messages.insert(place, other)
    assert not post.outbox.offer(messages)
    assert (len(post.outbox), post.outbox.cost) == (0, 0)


def test_an_offer_leaves_the_callers_list_alone(post: Post) -> None:
    messages = [b"one", b"two"]
    post.outbox.offer(messages)
    post.outbox.extend(messages)
    assert messages == [b"one", b"two"]
    messages.clear()
    assert post.written() == [b"one", b"two"] * 2


@pytest.mark.parametrize(
    ("size", "count"), [(0, 0), (1, 1), (164, 1), (165, 2), (328, 2), (329, 3), (10_000, 5)]
)
def test_taken_are_the_oldest_until_they_cost_enough(post: Post, size: int, count: int) -> None:
    messages = [bytes([n]) * 100 for n in range(5)]
    post.outbox.extend(messages)
    assert post.outbox.take(size) == messages[:count]
    assert len(post.outbox) == 5 - count
    assert post.outbox.cost == (5 - count) * 164
    assert post.outbox.take(10_000) == messages[count:]


def test_what_was_taken_is_the_callers(post: Post) -> None:
    post.outbox.append(b"one")
    taken = post.outbox.take(1000)
    post.outbox.append(b"two")
    assert taken == [b"one"]
    taken.append(b"three")
    assert post.outbox.take(1000) == [b"two"]


def test_a_flush_is_due_once_a_tick_and_when_much_waits(post: Post) -> None:
    queue = post.outbox
    queue.mark = queue.largest = FLUSH_COST * 2
    assert queue.due
    finish(post.send(b"first"))
    assert post.asked == ["sent"]
    queue.scheduled = True
    assert not queue.due
    finish(post.send(b"second"))
    assert post.asked == ["sent"]
    queue.clear()
    finish(post.send(bytes(FLUSH_COST - OVERHEAD - 1)))
    assert not queue.due
    assert post.asked == ["sent"]
    queue.clear()
    finish(post.send(bytes(FLUSH_COST - OVERHEAD)))
    assert queue.due
    assert post.asked == ["sent", "sent"]
    # To try where nothing can be written would take time for each message.
    queue.held = True
    assert not queue.due
    finish(post.send(b"held"))
    assert post.asked == ["sent", "sent"]
    queue.scheduled = False
    queue.clear()
    assert queue.due


def test_what_a_flush_raises_comes_at_the_await(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise OSError("no flush")

    monkeypatch.setattr(post, "_sent", broken)
    call = post.send(b"x")
    with pytest.raises(OSError, match="no flush"):
        call.send(None)
    assert len(post.outbox) == 1
