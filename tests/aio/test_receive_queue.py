"""The queue of received messages: no message and no wake-up is ever lost."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import wait

from sealframe.aio.receive_queue import ReceiveQueue
from sealframe.core.budget import Budget

# A wake-up that is lost shows as a test that never ends.
pytestmark = pytest.mark.timeout(30)

OVERHEAD = 64


def inbox_of(limit: int) -> ReceiveQueue:
    """Return an inbox that shares with no other."""
    return ReceiveQueue(Budget(limit, limit))


async def settle() -> None:
    """Let every task that can run do so, a few times over."""
    for _ in range(10):
        await asyncio.sleep(0)


async def take(inbox: ReceiveQueue, taken: list[tuple[str, bytes]], name: str) -> None:
    """Take one message, as a receiver does."""
    while not len(inbox):
        await wait(inbox)
    taken.append((name, inbox.pop()))
    if len(inbox):
        inbox.wake()


@given(
    st.lists(
        st.one_of(
            st.lists(st.binary(max_size=50), max_size=5),
            st.none() | st.integers(1, 4),
        )
    )
)
def test_the_cost_is_always_that_of_what_is_inside(
    steps: list[list[bytes] | int | None],
) -> None:
    """Cost = sum of length + 64, empty messages included; messages leave in order."""
    inbox = inbox_of(500)
    expected: list[bytes] = []
    for step in steps:
        if isinstance(step, list):
            inbox.extend(list(step))
            expected += step
        else:
            count = len(expected) if step is None else min(step, len(expected))
            assert inbox.pop_many(step) == expected[:count]
            del expected[:count]
        assert len(inbox) == len(expected)
        assert inbox.queued_bytes == sum(map(len, expected)) + OVERHEAD * len(expected)
        assert inbox.full == (inbox.queued_bytes >= 500)
        assert inbox.drained == (inbox.queued_bytes <= 250)


def test_empty_messages_fill_an_inbox() -> None:
    inbox = inbox_of(10 * OVERHEAD)
    filling = []
    for _ in range(10):
        inbox.extend([b""])
        filling.append(inbox.full)
    assert filling == [False] * 9 + [True]
    draining = []
    for _ in range(6):
        inbox.pop()
        draining.append(inbox.drained)
    assert draining == [False] * 4 + [True] * 2


class TestBudget:
    def test_it_is_shared_out_evenly_up_to_the_limit(self) -> None:
        budget = Budget(limit=400, total=1000)
        quotas = [budget.quota]
        for _ in range(4):
            budget.join()
            quotas.append(budget.quota)
        assert quotas == [400, 400, 400, 333, 250]
        budget.leave()
        assert budget.quota == 333

    def test_who_leaves_gives_back_what_it_borrowed(self) -> None:
        budget = Budget(limit=1000, total=1000, first=100)
        budget.join()
        lent = budget.lend(300)
        assert (lent, budget.lent, budget.free, budget.quota) == (300, 300, 600, 700)
        budget.leave(lent)
        assert (budget.lent, budget.free, budget.quota) == (0, 900, 1000)

    def test_a_queue_follows_its_quota(self) -> None:
        budget = Budget(limit=1000, total=1000)
        inbox = ReceiveQueue(budget)
        inbox.extend([bytes(600 - OVERHEAD)])
        seen = []
        for change in (budget.join, budget.join, budget.leave):
            change()
            seen.append((inbox.full, inbox.drained))
        assert seen == [(False, False), (True, False), (False, False)]

    def test_a_quota_is_never_nothing(self) -> None:
        """With more clients than budget one message still fits, and is all that fits."""
        budget = Budget(limit=1000, total=2)
        for _ in range(5):
            budget.join()
        inbox = ReceiveQueue(budget)
        assert (budget.quota, inbox.full, inbox.drained) == (1, False, True)
        inbox.extend([b""])
        assert (inbox.full, inbox.drained) == (True, False)
        inbox.pop()
        assert (inbox.full, inbox.drained) == (False, True)

    @given(
        st.integers(1, 5000),
        st.integers(1, 5000),
        st.lists(st.booleans(), max_size=100),
    )
    def test_quotas_never_sum_to_more_than_the_total(
        self, limit: int, total: int, steps: list[bool]
    ) -> None:
        budget, members = Budget(limit, total), 0
        for join in steps:
            if join:
                budget.join()
                members += 1
            elif members:
                budget.leave()
                members -= 1
            assert 1 <= budget.quota <= limit
            assert budget.quota * members <= max(total, members)


async def test_one_message_wakes_the_task_that_waits_longest() -> None:
    inbox, taken = inbox_of(1000), list[tuple[str, bytes]]()
    tasks = [asyncio.create_task(take(inbox, taken, name)) for name in "abc"]
    await settle()
    for body in (b"1", b"2", b"3"):
        inbox.extend([body])
        await settle()
    await asyncio.gather(*tasks)
    assert taken == [("a", b"1"), ("b", b"2"), ("c", b"3")]


async def test_a_batch_wakes_as_many_as_it_has_messages_for() -> None:
    inbox, taken = inbox_of(1000), list[tuple[str, bytes]]()
    tasks = [asyncio.create_task(take(inbox, taken, name)) for name in "abcd"]
    await settle()
    inbox.extend([b"1", b"2", b"3"])
    await settle()
    assert taken == [("a", b"1"), ("b", b"2"), ("c", b"3")]
    assert not tasks[3].done()
    inbox.extend([b"4"])
    await asyncio.gather(*tasks)


async def test_a_waiter_cancelled_after_it_was_woken_passes_the_wake_up_on() -> None:
    """The message stays in the queue, and the next in line gets it."""
    inbox, taken = inbox_of(1000), list[tuple[str, bytes]]()
    first = asyncio.create_task(take(inbox, taken, "first"))
    second = asyncio.create_task(take(inbox, taken, "second"))
    await settle()
    inbox.extend([b"1"])
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    assert taken == [("second", b"1")]


async def test_a_waiter_cancelled_before_the_message_came_is_passed_over() -> None:
    """Cancelled and not yet run: the wake-up must skip it, and it must end as cancelled."""
    inbox, taken = inbox_of(1000), list[tuple[str, bytes]]()
    first = asyncio.create_task(take(inbox, taken, "first"))
    second = asyncio.create_task(take(inbox, taken, "second"))
    await settle()
    first.cancel()
    inbox.extend([b"1"])
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    assert taken == [("second", b"1")]


async def test_a_waiter_cancelled_in_peace_leaves_the_queue() -> None:
    inbox, taken = inbox_of(1000), list[tuple[str, bytes]]()
    first = asyncio.create_task(take(inbox, taken, "first"))
    second = asyncio.create_task(take(inbox, taken, "second"))
    await settle()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    inbox.extend([b"1"])
    await second
    assert taken == [("second", b"1")]


async def test_the_end_wakes_everyone() -> None:
    inbox = inbox_of(1000)
    tasks = [asyncio.create_task(wait(inbox)) for _ in range(3)]
    await settle()
    tasks[1].cancel()
    inbox.wake_all()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [
        type(None),
        asyncio.CancelledError,
        type(None),
    ]


async def test_a_wake_up_without_waiters_is_harmless() -> None:
    inbox = inbox_of(1000)
    inbox.wake()
    inbox.wake_all()
    inbox.extend([b"1"])
    assert inbox.pop() == b"1"


@given(st.lists(st.tuples(st.sampled_from("eecs"), st.integers(0, 7)), max_size=40))
def test_no_order_of_arrivals_and_cancellations_loses_a_message(
    steps: list[tuple[str, int]],
) -> None:
    """Every message that came is either taken, once and in order, or still inside; and
    while one is inside, no task that was not cancelled goes on waiting."""

    async def run() -> None:
        inbox, taken = inbox_of(10_000), list[tuple[str, bytes]]()
        tasks = [asyncio.create_task(take(inbox, taken, str(n))) for n in range(8)]
        await settle()
        sent: list[bytes] = []
        for kind, number in steps:
            if kind == "e":
                body = str(len(sent)).encode()
                sent.append(body)
                inbox.extend([body])
            elif kind == "c":
                tasks[number].cancel()
            else:
                await settle()
        await settle()
        waiting = [task for task in tasks if not task.done()]
        assert not (len(inbox) and waiting)
        assert [body for _, body in taken] + inbox.pop_many(None) == sent
        for task in waiting:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert result is None or isinstance(result, asyncio.CancelledError)

    asyncio.run(run())
