"""Who comes in, and who has to go for it: the caps hold whatever comes in whatever order."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealframe.options import ServerOptions
from sealframe.server.admission import Admission, Decision, TokenBuckets


def first(_: int) -> int:
    return 0


def last(count: int) -> int:
    return count - 1


def admission(
    *,
    total: int = 1000,
    pending: int | None = None,
    per_address: int = 1000,
    handshakes: bool = True,
    choose: Callable[[int], int] = first,
) -> Admission[str]:
    """Return one with these caps."""
    options = ServerOptions(
        max_connections=total, max_pending=pending, max_pending_per_address=per_address
    )
    return Admission(options, handshakes=handshakes, choose=choose)


class TestCaps:
    @pytest.mark.parametrize(("choose", "expected"), [(first, "a0"), (last, "a1")])
    def test_per_address(self, choose: Callable[[int], int], expected: str) -> None:
        """One of the crowded address goes, not one of another."""
        connections = admission(per_address=2, choose=choose)
        for name in ("b0", "a0", "a1", "b1"):
            assert connections.add(name, name[0]) is None
        assert connections.add("a2", "a") == expected
        assert connections.pending == len(connections) == 4

    @pytest.mark.parametrize(("choose", "expected"), [(first, "b0"), (last, "a1")])
    def test_in_total(self, choose: Callable[[int], int], expected: str) -> None:
        connections = admission(pending=3, choose=choose)
        for name in ("b0", "a0", "a1"):
            assert connections.add(name, name[0]) is None
        assert connections.check("c", 0) is Decision.ACCEPT
        assert connections.add("c0", "c") == expected
        assert connections.pending == len(connections) == 3

    def test_without_a_cap_of_its_own_max_connections_is_the_cap(self) -> None:
        connections = admission(total=2)
        assert [connections.add(name, name) for name in "abc"] == [None, None, "a"]

    def test_a_full_server_drops_a_pending_one(self) -> None:
        connections = admission(total=3)
        for name in "abc":
            connections.add(name, name)
        assert connections.establish("a")
        assert connections.establish("c")
        assert connections.check("d", 0) is Decision.ACCEPT
        assert connections.add("d", "d") == "b"
        assert len(connections) == 3

    def test_a_server_full_of_established_ones_turns_away(self) -> None:
        connections = admission(total=2)
        for name in "ab":
            connections.add(name, name)
            connections.establish(name)
        assert connections.check("c", 0) is Decision.FULL
        connections.discard("a")
        assert connections.check("c", 0) is Decision.ACCEPT
        assert connections.add("c", "c") is None

    def test_the_established_are_no_longer_dropped(self) -> None:
        connections = admission(pending=1, per_address=1)
        connections.add("a0", "a")
        connections.establish("a0")
        assert connections.add("a1", "a") is None
        assert connections.add("a2", "a") == "a1"
        assert (connections.pending, len(connections)) == (1, 2)

    def test_where_nobody_shakes_hands_nobody_is_dropped(self) -> None:
        connections = admission(total=2, pending=1, per_address=1, handshakes=False)
        assert [connections.add(name, "a") for name in ("a0", "a1")] == [None, None]
        assert connections.pending == 0
        assert connections.establish("a0")
        assert connections.check("a", 0) is Decision.FULL


class TestEnds:
    def test_who_was_dropped_is_not_established_after_all(self) -> None:
        connections = admission(pending=1)
        connections.add("a", "a")
        assert connections.add("b", "b") == "a"
        assert not connections.establish("a")
        assert connections.establish("b")

    def test_leaving_twice_and_leaving_unknown_are_harmless(self) -> None:
        connections = admission()
        connections.add("a", "x")
        connections.add("b", "x")
        connections.discard("a")
        connections.discard("a")
        connections.discard("nobody")
        assert (connections.pending, len(connections)) == (1, 1)

    def test_nothing_is_kept_of_those_who_left(self) -> None:
        connections = admission()
        for number in range(100):
            connections.add(str(number), number)
            if number % 2:
                connections.establish(str(number))
        for number in range(100):
            connections.discard(str(number))
        assert len(connections) == connections.pending == len(connections.pending_by_key) == 0


ADDRESSES = 3
STEPS = st.lists(
    st.tuples(st.sampled_from("nnnel"), st.integers(0, 30), st.integers(0, 2**16)), max_size=60
)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), STEPS)
def test_the_caps_hold_and_the_counts_are_right(
    total: int, most_pending: int, per_address: int, steps: list[tuple[str, int, int]]
) -> None:
    """n: a newcomer arrives; e: one that is there, or is not, is established; l: it leaves."""
    rolls = iter(range(10**6))
    connections = admission(
        total=total,
        pending=most_pending,
        per_address=per_address,
        choose=lambda count: next(rolls) % count,
    )
    pending: dict[str, int] = {}
    settled: set[str] = set()
    for count, (kind, which, where) in enumerate(steps):
        name = str(which)
        if kind == "n":
            name, address = f"new {count}", where % ADDRESSES
            decision = connections.check(address, 0)
            assert (decision is Decision.FULL) == (len(settled) == total)
            if decision is Decision.FULL:
                continue
            crowded = Counter(pending.values())[address] == per_address
            dropped = connections.add(name, address)
            full = len(pending) == most_pending or len(pending) + len(settled) == total
            assert (dropped is not None) == (crowded or full)
            if dropped is not None:
                assert pending.pop(dropped) == address or not crowded
            pending[name] = address
        else:
            present = [*pending, *sorted(settled)]
            if present:
                name = present[which % len(present)]
            if kind == "e":
                assert connections.establish(name) == bool(present)
                if name in pending:
                    settled.add(name)
                    del pending[name]
            else:
                connections.discard(name)
                pending.pop(name, None)
                settled.discard(name)
        assert (connections.pending, len(connections)) == (
            len(pending),
            len(pending) + len(settled),
        )
        assert len(pending) <= most_pending
        assert len(connections) <= total
        assert all(n <= per_address for n in Counter(pending.values()).values())


class TestAnHonestPeerInAFlood:
    def survivals(self, *, per_address: int = 1000, addresses: int = 1) -> int:
        """Return in how many of 1,000 floods of 50 a peer is there at the end."""
        dice, survived = random.Random(1), 0
        for _ in range(1000):
            connections = admission(pending=100, per_address=per_address, choose=dice.randrange)
            for number in range(150):
                if number == 100:
                    connections.add("honest", "home")
                connections.add(f"flood {number}", f"attacker {number % addresses}")
            survived += connections.establish("honest")
        return survived

    def test_whoever_has_an_address_for_each_leaves_it_good_chances(self) -> None:
        """0.99 to the power of 50 is 0.605; who came last or first has no worse chances."""
        assert 550 < self.survivals(addresses=150) < 660

    @pytest.mark.parametrize("per_address", [99, 1000])
    def test_it_is_safe_from_one_other_address(self, per_address: int) -> None:
        assert self.survivals(per_address=per_address) == 1000


class TestTokenBuckets:
    def test_a_burst_then_the_rate(self) -> None:
        buckets = TokenBuckets(rate=2, burst=3)
        assert [buckets.take("a", 100.0) for _ in range(5)] == [True] * 3 + [False] * 2
        assert [buckets.take("a", 100.5) for _ in range(2)] == [True, False]
        assert [buckets.take("a", 101.5) for _ in range(3)] == [True, True, False]

    def test_each_address_has_its_own(self) -> None:
        buckets = TokenBuckets(rate=1, burst=1)
        assert [buckets.take(name, 0) for name in "abab"] == [True, True, False, False]

    @pytest.mark.parametrize("start", [0.0, 1e9], ids=["young", "old"])
    @pytest.mark.parametrize("rate", [0.001, 0.3, 7, 1e6])
    def test_who_keeps_to_the_rate_is_never_held_back(self, rate: float, start: float) -> None:
        """Not even by rounding, on a machine that was started long ago."""
        buckets = TokenBuckets(rate, burst=1)
        allowed = [buckets.take("a", start + count * 1.001 / rate) for count in range(1000)]
        # At 1 MHz a clock of 30 years cannot tell two ticks apart.
        assert all(allowed) or (rate == 1e6 and start == 1e9)

    @pytest.mark.parametrize("rate", [3, 10, 49, 1000])
    def test_a_burst_is_whole_whatever_the_rate(self, rate: float) -> None:
        """The parts of a second that its tokens take add up to a little more than their sum."""
        for burst in range(1, 200):
            buckets = TokenBuckets(rate, burst)
            assert [buckets.take("a", 0.0) for _ in range(burst + 1)] == [True] * burst + [False]

    def test_refusals_cost_nothing(self) -> None:
        """Whoever connects all the time gets in at the rate as well."""
        buckets = TokenBuckets(rate=1, burst=1)
        taken = [buckets.take("a", tick / 10) for tick in range(100)]
        assert sum(taken) == 10

    @given(
        st.floats(0.1, 50),
        st.integers(1, 20),
        st.lists(st.floats(0, 0.5), min_size=1, max_size=200),
    )
    def test_never_more_than_burst_and_rate_allow(
        self, rate: float, burst: int, gaps: list[float]
    ) -> None:
        buckets, now, granted = TokenBuckets(rate, burst), 1000.0, 0
        for gap in gaps:
            now += gap
            granted += buckets.take("a", now)
            assert granted <= burst + rate * (now - 1000.0) + 0.01

    def test_full_buckets_are_forgotten(self) -> None:
        buckets = TokenBuckets(rate=1, burst=5)
        for number in range(1000):
            assert buckets.take(number, 0.0)
        assert len(buckets) == 1000
        for number in range(600):
            buckets.take("late", 100.0 + 2 * number)
        assert len(buckets) == 1

    def test_many_addresses_fill_the_table_to_its_limit_and_no_further(self) -> None:
        buckets = TokenBuckets(rate=0.001, burst=5, max_addresses=100)
        for number in range(10_000):
            assert buckets.take(number, number / 1000)
            assert len(buckets) <= 100

    def test_and_who_comes_again_and_again_stays_known(self) -> None:
        buckets = TokenBuckets(rate=0.001, burst=20, max_addresses=100)
        allowed = 0
        for number in range(5000):
            buckets.take(number, 0.0)
            if number % 50 == 0:
                allowed += buckets.take("greedy", 0.0)
            if allowed == 20:
                break
        assert not buckets.take("greedy", 0.0)

    def test_the_verdict(self) -> None:
        options = ServerOptions(connection_rate=1, connection_burst=2, max_connections=1)
        connections: Admission[str] = Admission(options, handshakes=False)
        assert connections.check("a", 0.0) is Decision.ACCEPT
        connections.add("a0", "a")
        assert connections.check("a", 0.0) is Decision.FULL
        assert connections.check("a", 0.0) is Decision.TOO_FAST
        assert connections.check("b", 0.0) is Decision.FULL


def test_peers_whose_address_nobody_knows_have_none_in_common() -> None:
    options = ServerOptions(connection_rate=1, connection_burst=1, max_pending_per_address=1)
    connections: Admission[str] = Admission(options, handshakes=True)
    for name in ("a", "b", "c"):
        assert connections.check(None, 0.0) is Decision.ACCEPT
        assert connections.add(name, None) is None
    assert connections.pending == 3
