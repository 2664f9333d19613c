"""Windows grow with what a round trip carries, and all of them within what the budget lends."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealframe.core.budget import FIRST_WINDOW, Budget
from sealframe.core.growth import Growth
from sealframe.core.window import Window

KIB = 1024
MIB = 1024 * KIB


class End:
    """A receiver, and what its peer would do: without a network, in round trips."""

    def __init__(self, budget: Budget, limit: int) -> None:
        self.budget = budget
        self.window = Window(budget.window)
        self.growth = Growth(budget, limit - budget.window)
        self.queued = 0
        self.credit = budget.window
        self.pinged = False
        """Whether a PING is out."""
        self.news = 0
        """Credit that is on its way to the peer."""

    @property
    def taken(self) -> int:
        return self.window.received - self.queued

    def update_window(self) -> None:
        due = self.window.update(self.budget.window + self.window.borrowed, self.queued)
        if due:
            self.news += due
            self.pinged |= self.growth.begin(self, due)

    def receive(self, cost: int) -> None:
        assert self.window.charge(cost, cost)
        self.credit -= cost
        self.queued += cost

    def take(self, cost: int) -> None:
        self.queued -= cost
        if self.taken >= self.window.next_grant:
            self.update_window()

    def turn_round(self) -> None:
        """Let credit and PING arrive, and PONG come back."""
        self.credit += self.news
        self.news = 0
        if self.pinged:
            self.pinged = False
            self.growth.end()


def run(end: End, rounds: int, *, carries: int, takes: float = 1.0, size: int = 1000) -> int:
    """Send for some round trips as much as there is credit for and the link carries; return how
    much was taken in the last of them."""
    taken = 0
    for _ in range(rounds):
        sent, news, before = 0, end.credit, end.taken
        while news > 0 and sent < carries:
            end.receive(size)
            sent, news = sent + size, news - size
            end.take(min(end.queued, int(size * takes)))
        end.turn_round()
        taken = end.taken - before
    return taken


@pytest.mark.parametrize("size", [1000, 64 * KIB + 64, MIB])
def test_a_window_grows_until_it_no_longer_limits(size: int) -> None:
    """Quicker than a congestion window, which doubles in a round trip; and no further."""
    end = End(Budget(MIB, 64 * MIB), 16 * MIB)
    run(end, 6, carries=3 * MIB, size=size)
    assert 3 * MIB < end.window.size <= 16 * MIB
    assert run(end, 1, carries=3 * MIB, size=size) >= 3 * MIB


def test_it_grows_to_the_limit_and_no_further() -> None:
    end = End(Budget(MIB, 64 * MIB), 16 * MIB)
    run(end, 20, carries=100 * MIB)
    assert end.window.size == 16 * MIB
    assert end.growth.borrowed == end.budget.lent == 16 * MIB - FIRST_WINDOW


def test_it_does_not_grow_for_what_a_round_trip_carries_easily() -> None:
    end = End(Budget(MIB, 64 * MIB), 16 * MIB)
    run(end, 100, carries=10_000)
    assert end.window.size == FIRST_WINDOW
    assert end.budget.lent == 0


def test_it_does_not_grow_while_nothing_is_taken() -> None:
    end = End(Budget(MIB, 64 * MIB), 16 * MIB)
    run(end, 20, carries=MIB, takes=0)
    assert end.queued < FIRST_WINDOW + 1000
    assert end.window.size == FIRST_WINDOW


def test_it_does_not_grow_where_all_comes_before_the_answer_and_nothing_is_taken() -> None:
    """So a stream begins: the peer sends what it may while the first grant is under way."""
    budget = Budget(MIB, 64 * MIB, MIB)
    end = End(budget, 16 * MIB)
    end.window = Window(FIRST_WINDOW)
    end.update_window()
    assert end.pinged
    end.receive(FIRST_WINDOW)
    end.turn_round()
    assert end.window.size == MIB
    assert budget.lent == 0


def test_it_does_not_grow_for_one_that_takes_slowly_what_waits() -> None:
    """The peer has no credit left then, and it is not the link that is long."""
    end = End(Budget(MIB, 64 * MIB), 16 * MIB)
    run(end, 3, carries=MIB, takes=0)
    for _ in range(500):
        end.take(200)
        end.turn_round()
        run(end, 1, carries=MIB, takes=0)
        assert end.window.size == FIRST_WINDOW


def test_it_shrinks_for_one_that_has_become_slow() -> None:
    end = End(Budget(MIB, 64 * MIB), 16 * MIB)
    run(end, 20, carries=100 * MIB)
    run(end, 50_000, carries=2000)
    assert end.window.size < MIB
    assert end.budget.lent == end.growth.borrowed == end.window.borrowed


def test_pings_become_rare_once_it_is_large_enough() -> None:
    end, pings = End(Budget(MIB, 64 * MIB), 16 * MIB), 0
    for _ in range(2000):
        end.receive(4000)
        end.take(4000)
        pings += end.pinged
        end.turn_round()
    # 8 MB were taken: one for each window, about.
    assert 0 < pings <= 8_000_000 // FIRST_WINDOW


def test_what_is_used_no_more_is_given_back() -> None:
    budget = Budget(MIB, 64 * MIB)
    end = End(budget, 16 * MIB)
    run(end, 2, carries=100 * MIB)
    end.receive(end.credit)
    end.take(end.queued)
    assert end.pinged
    assert budget.lent > 0
    end.growth.release(end)
    end.turn_round()
    assert budget.lent == end.growth.borrowed == end.window.borrowed == 0


def test_who_comes_late_can_still_borrow() -> None:
    """No connection borrows more than half of what is free."""
    budget = Budget(MIB, 20 * MIB)
    ends = [End(budget, 16 * MIB) for _ in range(4)]
    for _ in ends:
        budget.join()
    for end in ends:
        run(end, 3, carries=100 * MIB)
        assert end.window.size > 4 * FIRST_WINDOW
    assert budget.lent <= 20 * MIB - 4 * FIRST_WINDOW


def test_windows_shrink_when_more_clients_come_than_there_is_room_for() -> None:
    budget = Budget(MIB, 17 * MIB)
    budget.join()
    end = End(budget, 16 * MIB)
    run(end, 20, carries=100 * MIB)
    for _ in range(100):
        budget.join()
    assert budget.free < 0
    run(end, 20, carries=100 * MIB)
    assert budget.free >= 0


@given(
    st.integers(1, 300 * KIB),
    st.integers(1, 4 * MIB),
    st.integers(1, 4),
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from(["send", "send", "take", "take", "turn", "leave"]),
            st.integers(1, 200 * KIB),
        ),
        max_size=120,
    ),
)
def test_the_sum_stays_within_the_total_and_nothing_stalls(
    limit: int, total: int, count: int, steps: list[tuple[int, str, int]]
) -> None:
    """Whatever the peers send and the programs take; a message each may pass its window."""
    budget = Budget(limit, total)
    for _ in range(count):
        budget.join()
    ends = [End(budget, limit) for _ in range(count)]
    largest = deque([0], maxlen=1)
    for place, what, cost in steps:
        end = ends[place % count]
        match what:
            case "send" if end.credit > 0:
                largest.append(max(largest[0], cost))
                end.receive(cost)
            case "take":
                end.take(min(cost, end.queued))
            case "turn":
                end.turn_round()
            case "leave" if count > 1:
                budget.leave(end.growth.borrowed)
                budget.join()
                ends[place % count] = End(budget, limit)
        assert 0 <= budget.lent == sum(e.growth.borrowed for e in ends)
        assert sum(e.window.size for e in ends) <= max(total, count)
        for e in ends:
            assert e.window.size <= limit
            assert e.growth.borrowed == e.window.borrowed
    for end in ends:
        end.take(end.queued)
        end.turn_round()
        assert end.credit > 0
