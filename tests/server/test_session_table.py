"""Which sessions a server knows: for how long, and whose goes when there is no room for all."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import TestCase

import pytest
from example_counts import examples
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sealframe.options import Sessions
from sealframe.server import fair_shares, session_table
from sealframe.server.session_table import (
    EndedSession,
    Known,
    Over,
    Presence,
    SessionTable,
    session_key,
)
from sealframe.wire import CloseCode

TOKEN = bytes(range(1, 17))
START = 1000.0
"""Where the clock stands at first; nothing may depend on it."""
NUMBERINGS = 5, 4


@dataclass(eq=False)
class Session:
    name: str
    client: Hashable
    cost: int = 0
    used: bool = True

    @property
    def key(self) -> bytes:
        return self.name.encode()


class Server:
    """A table, and a timer that calls it as its owner does."""

    def __init__(
        self,
        *,
        keep: float = 120.0,
        memory: int = 10**6,
        max_detached: int = 10_000,
        max_over: int = 100,
    ) -> None:
        self.now = START
        self.asked = 0
        self.table: SessionTable[Session] = SessionTable(
            Sessions(keep=keep, memory=memory, max_detached=max_detached),
            cost=self.cost,
            used=lambda session: session.used,
            max_over=max_over,
        )

    def cost(self, session: Session) -> int:
        self.asked += 1
        return session.cost

    def add(self, name: str, client: Hashable = None, *, cost: int = 0, used: bool = True) -> None:
        session = Session(name, name[0] if client is None else client, cost, used)
        self.table.add(session.key, session, (1, 1), session.client)

    def session(self, name: str) -> Session:
        known = self.table.find(name.encode())
        assert isinstance(known, Known)
        return known.session

    def detach(self, *names: str) -> list[str]:
        """Detach sessions; return which of all have to go."""
        gone = []
        for name in names:
            self.table.detach(name.encode(), self.now)
            gone += self.end(self.table.make_room())
        return gone

    def detached(self, name: str, client: Hashable = None, **more: Any) -> list[str]:
        self.add(name, client, **more)
        return self.detach(name)

    def end(self, sessions: list[Session]) -> list[str]:
        for session in sessions:
            self.table.end(
                session.key,
                EndedSession(CloseCode.SESSION_LOST, 0),
                self.now,
                numberings=NUMBERINGS,
            )
        return [session.name for session in sessions]

    def presence(self, name: str) -> Presence | int | None:
        """Return it, or the code of a session that is over."""
        found = self.table.find(name.encode())
        if isinstance(found, Over):
            return found.ended.code
        return None if found is None else found.presence

    def run(self, seconds: float) -> list[str]:
        """Let time go on while the loop runs; return which sessions have to go."""
        until, gone = self.now + seconds, []
        while (interval := self.table.interval) is not None and self.now + interval <= until:
            self.now += interval
            gone += self.end(self.table.expire(self.now))
        self.now = until
        return gone

    def stand_still(self, seconds: float) -> list[str]:
        """Let time go on while the loop does not run; then the timer fires once."""
        self.now += seconds
        return self.end(self.table.expire(self.now))


class TestNames:
    def test_a_key_is_the_hash_of_its_parts_with_their_lengths(self) -> None:
        parts = [TOKEN, b"k" * 32, b"\x01", b"name"]
        text = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
        key = session_key(TOKEN, client_key=b"k" * 32, sealed=True, context=b"name")
        assert key == hashlib.sha256(text).digest()

    def test_another_part_makes_another_session(self) -> None:
        """Also if the parts, one behind the other, are the same bytes."""
        keys = [
            session_key(token, client_key=client_key, sealed=sealed, context=context)
            for token, client_key, sealed, context in [
                (TOKEN, b"", False, b""),
                (TOKEN[::-1], b"", False, b""),
                (TOKEN, b"", True, b""),
                (TOKEN, b"\x01", False, b""),
                (TOKEN, b"", False, b"\x01"),
                (TOKEN[:15], TOKEN[15:], False, b""),
            ]
        ]
        assert len(set(keys)) == len(keys)

    def test_what_is_shown_of_a_session_is_no_secret(self) -> None:
        """The hash is no secret of much use, and yet it is not shown."""
        server = Server()
        key = session_key(TOKEN, client_key=b"", sealed=False, context=b"")
        server.table.add(key, Session("a", "a"), (1, 1), b"laptop")
        shown = repr(server.table.find(key)) + repr(server.table)
        server.table.end(key, EndedSession(0, 3), server.now, numberings=NUMBERINGS)
        shown += repr(server.table.find(key))
        assert f"Over(ended={EndedSession(0, 3)})" in shown
        for secret in (TOKEN, key, b"laptop"):
            assert secret.hex() not in shown
            assert repr(secret)[2:-1] not in shown


class TestAttempts:
    def test_a_session_is_known_from_its_start(self) -> None:
        server = Server()
        assert server.presence("a") is None
        server.add("a")
        known = server.table.find(b"a")
        assert isinstance(known, Known)
        assert (known.attempt, known.presence) == ((1, 1), Presence.ATTACHED)
        assert (len(server.table), server.table.detached, server.table.interval) == (1, 0, None)

    @pytest.mark.parametrize("attempt", [(1, 1), (1, 0), (0, 2)])
    def test_a_late_attempt_changes_nothing(self, attempt: tuple[int, int]) -> None:
        server = Server(keep=10)
        server.detached("a")
        server.run(5)
        assert not server.table.attach(b"a", attempt)
        assert server.presence("a") is Presence.DETACHED
        assert server.run(6) == ["a"]
        server = Server()
        server.add("a")
        assert not server.table.attach(b"a", attempt)
        assert server.presence("a") is Presence.ATTACHED

    def test_a_later_link_and_a_later_start_go_on(self) -> None:
        """Attached, as it is while the old link is not cut, or detached."""
        server = Server(keep=10)
        server.add("a", cost=7)
        assert server.table.attach(b"a", (1, 3))
        server.detach("a")
        assert (server.table.detached, server.table.memory) == (1, 7)
        assert not server.table.attach(b"a", (1, 2))
        assert server.table.attach(b"a", (2, 1))
        assert (server.table.detached, server.table.memory) == (0, 0)
        assert not server.table.attach(b"a", (1, 9))
        assert server.run(100) == []
        assert server.presence("a") is Presence.ATTACHED

    def test_what_has_to_go_does_not_go_on(self) -> None:
        server = Server(max_detached=0)
        server.add("a")
        server.table.detach(b"a", server.now)
        assert server.table.make_room() == [server.session("a")]
        assert server.presence("a") is Presence.ENDING
        assert not server.table.attach(b"a", (1, 2))
        server.table.detach(b"a", server.now)
        assert server.table.make_room() == []
        assert server.table.detached == 0


class TestKeep:
    @pytest.mark.parametrize("keep", [0.001, 0.4, 5.0, 120.0, 100_000.0])
    def test_a_session_waits_for_keep_and_goes_soon_after(self, keep: float) -> None:
        server = Server(keep=keep)
        server.detached("a")
        interval = server.table.interval
        assert interval == max(0.05, min(keep / 20, 1.0))
        assert server.run(keep - 0.001) == []
        assert server.run(2 * interval + 0.002) == ["a"]

    def test_each_waits_from_its_own_cut(self) -> None:
        server = Server(keep=10)
        server.detached("a")
        server.run(4.3)
        server.detached("b")
        assert server.run(7) == ["a"]
        assert server.presence("b") is Presence.DETACHED
        assert server.run(4) == ["b"]

    def test_one_that_came_back_waits_from_its_next_cut(self) -> None:
        server = Server(keep=10)
        server.detached("a")
        server.detached("b")
        server.run(9)
        assert server.table.attach(b"a", (1, 2))
        server.detach("a")
        # That it is told once more changes nothing.
        server.detach("b")
        assert server.run(2.5) == ["b"]
        assert server.run(6.5) == []
        assert server.run(2.5) == ["a"]

    def test_time_for_which_the_loop_stood_still_does_not_count(self) -> None:
        server = Server(keep=10)
        server.detached("a")
        server.run(5)
        assert server.stand_still(3600) == []
        assert server.run(3.5) == []
        assert server.run(2.5) == ["a"]

    def test_a_cut_that_is_seen_after_a_standstill(self) -> None:
        """The first turn after it sees the loss of sockets before the timer fires, or after."""
        server = Server(keep=10)
        server.detached("a")
        server.run(5)
        server.now += 3600
        server.detached("b")
        server.end(server.table.expire(server.now))
        server.detached("c")
        assert server.run(5.5) == ["a"]
        assert server.run(3.5) == []
        assert server.run(3) == ["b", "c"]

    def test_a_long_turn_counts_once_however_often_it_asks(self) -> None:
        """A turn of many callbacks, in which sessions are cut, polls no listener meanwhile."""
        server = Server(keep=10)
        server.detached("a")
        for number in range(100):
            server.now += 0.5
            server.detached(f"b{number}")
        assert server.stand_still(0.5) == []
        assert server.run(8.5) == []
        assert server.presence("a") is Presence.DETACHED

    def test_the_listener_is_served_before_what_was_nearly_over(self) -> None:
        """However late the timer fires, an interval is left to those that came meanwhile."""
        server = Server(keep=10)
        server.detached("a")
        assert server.run(9.9) == []
        assert server.stand_still(3600) == []
        assert server.table.attach(b"a", (1, 2))

    def test_the_time_in_which_nothing_waits_does_not_count(self) -> None:
        """Nor is there a timer then."""
        server = Server(keep=10)
        server.detached("a")
        server.run(3)
        assert server.table.attach(b"a", (1, 2))
        assert server.table.interval is None
        server.run(1000.7)
        server.detach("a")
        assert server.run(9.9) == []
        assert server.run(1.2) == ["a"]


class TestOver:
    def test_how_a_session_ended_is_remembered_for_keep(self) -> None:
        server = Server(keep=10)
        server.add("a")
        server.table.end(
            b"a", EndedSession(CloseCode.NORMAL, 2**40), server.now, numberings=NUMBERINGS
        )
        over = server.table.find(b"a")
        assert isinstance(over, Over)
        assert (over.ended.code, over.ended.received, len(server.table)) == (0, 2**40, 0)
        server.run(9.9)
        assert server.table.find(b"a") is over
        server.run(1.2)
        assert server.table.find(b"a") is None
        assert server.table.interval is None

    def test_the_first_end_counts(self) -> None:
        server = Server(keep=10)
        server.detached("a", cost=5)
        server.table.end(
            b"a", EndedSession(CloseCode.PROTOCOL, 3), server.now, numberings=NUMBERINGS
        )
        assert (server.table.detached, server.table.memory) == (0, 0)
        server.run(5)
        server.table.end(b"a", EndedSession(CloseCode.NORMAL, 4), server.now, numberings=NUMBERINGS)
        server.table.end(
            b"unknown", EndedSession(CloseCode.NORMAL, 4), server.now, numberings=NUMBERINGS
        )
        assert server.table.find(b"unknown") is None
        over = server.table.find(b"a")
        assert isinstance(over, Over)
        assert (over.ended.code, over.ended.received) == (CloseCode.PROTOCOL, 3)
        server.table.detach(b"a", server.now)
        server.table.update_cost(b"a")
        assert server.run(6) == []
        assert server.table.find(b"a") is None

    def test_what_is_forgotten_leaves_nothing(self) -> None:
        server = Server()
        server.add("a")
        server.detached("b", cost=5)
        server.add("c")
        server.table.end(b"c", EndedSession(CloseCode.NORMAL, 0), server.now, numberings=NUMBERINGS)
        for name in ("a", "b", "c", "unknown"):
            server.table.forget(name.encode())
            assert server.presence(name) is None
        assert (len(server.table), server.table.detached, server.table.memory) == (0, 0, 0)
        assert server.table.interval is None
        server.add("a")

    def test_a_crowd_of_one_client_does_not_make_forget_another_ones(self) -> None:
        server = Server(max_over=100)
        for name in ("a0", "b0", "b1", *(f"m{number}" for number in range(1000))):
            server.add(name)
            server.table.end(
                name.encode(), EndedSession(CloseCode.NORMAL, 0), server.now, numberings=NUMBERINGS
            )
        left = [f"m{number}" for number in range(1000) if server.presence(f"m{number}") is not None]
        assert left == [f"m{number}" for number in range(903, 1000)]
        for name in ("a0", "b0", "b1"):
            assert server.presence(name) == CloseCode.NORMAL

    def test_their_number_is_bounded_by_default(self) -> None:
        table: SessionTable[str] = SessionTable(Sessions(), cost=len, used=bool)
        keys = [number.to_bytes(4, "little") for number in range(20_000)]
        for key in keys:
            table.add(key, "", (1, 1), key)
            table.end(key, EndedSession(0, 0), START, numberings=NUMBERINGS)
        assert [table.find(key) is not None for key in keys].count(True) == 16_384


class TestRoom:
    def test_there_is_room_up_to_the_bounds(self) -> None:
        server = Server(max_detached=2, memory=10)
        assert server.detached("a0", cost=4) == []
        assert server.detached("b0", cost=6) == []
        server.add("c0", cost=100)
        assert server.table.make_room() == []
        assert server.detached("d0") == ["a0"]

    def test_the_client_that_has_most_gives_way(self) -> None:
        """Its oldest goes, though another one's is older."""
        server = Server(max_detached=4)
        for name in ("a0", "b0", "b1", "c0"):
            assert server.detached(name) == []
        assert server.detached("d0") == ["b0"]
        assert server.detached("d1") == ["d0"]
        # Where two have the same, the oldest of both.
        assert server.detached("c1") == ["c0"]

    def test_the_client_that_holds_most_gives_way_where_memory_is_short(self) -> None:
        """Though it has fewer sessions; and its oldest goes first, be it small."""
        server = Server(memory=100)
        for name, cost in [("a0", 10), ("a1", 10), ("a2", 10), ("b0", 1), ("b1", 60)]:
            assert server.detached(name, cost=cost) == []
        assert server.detached("c0", cost=30) == ["b0", "b1"]
        assert server.table.memory == 60

    def test_sessions_that_were_never_used_go_first(self) -> None:
        """Of one client, and among clients that have the same."""
        server = Server(max_detached=4)
        for name, used in [("a0", True), ("a1", False), ("a2", False), ("b0", True)]:
            assert server.detached(name, used=used) == []
        assert server.detached("c0") == ["a1"]
        assert server.detached("d0") == ["a2"]
        assert server.detached("e0", used=False) == ["e0"]
        assert server.detached("f0") == ["a0"]

    def test_use_is_asked_for_at_each_cut(self) -> None:
        server = Server(max_detached=2)
        server.detached("a0", used=False)
        assert server.table.attach(b"a0", (1, 2))
        server.session("a0").used = True
        assert server.detach("a0") == []
        server.detached("b0", used=False)
        assert server.detached("c0") == ["b0"]

    def test_one_alone_that_holds_too_much_goes(self) -> None:
        server = Server(memory=0)
        assert server.detached("a0", cost=0) == []
        assert server.detached("a1", cost=1) == ["a0", "a1"]
        assert Server(max_detached=0).detached("b0") == ["b0"]

    def test_what_a_session_holds_may_change(self) -> None:
        server = Server(memory=100)
        server.detached("a0", cost=40)
        server.detached("b0", cost=50)
        server.session("a0").cost = 60
        assert server.table.make_room() == []
        server.table.update_cost(b"a0")
        assert server.table.memory == 110
        assert server.end(server.table.make_room()) == ["a0"]
        server.session("b0").cost = 0
        server.table.update_cost(b"b0")
        assert server.table.memory == 0
        # One that is attached is asked at its next cut.
        server.add("c0", cost=7)
        server.table.update_cost(b"c0")
        assert server.table.memory == 0

    def test_a_flood_of_one_client_pushes_out_nobody_elses(self) -> None:
        """By number and by memory, of clients of any kind."""
        server = Server(max_detached=1000, memory=100_000)
        clients: list[Hashable] = [b"k" * 32, b"\xc0\x00\x02\x07", b"2001:db8", 1000, 7, b""]
        for number, client in enumerate(clients):
            for again in range(2):
                assert server.detached(f"honest {number} {again}", client, cost=500) == []
        server.run(30)
        flood = [f"flood {number}" for number in range(5000)]
        gone = [one for name in flood for one in server.detached(name, None, cost=50)]
        assert gone == flood[: len(gone)]
        large = [f"large {number}" for number in range(50)]
        gone = [one for name in large for one in server.detached(name, None, cost=9000)]
        assert {name.split()[0] for name in gone} == {"flood", "large"}
        for number in range(len(clients)):
            for again in range(2):
                assert server.presence(f"honest {number} {again}") is Presence.DETACHED
        assert server.table.memory <= 100_000


def steps_of(act: Callable[[], object]) -> int:
    """Return how many lines of the table are run."""
    files = {str(Path(str(module.__file__))) for module in (fair_shares, session_table)}
    steps = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal steps
        if frame.f_code.co_filename not in files:
            return None
        steps += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return steps


@pytest.mark.parametrize("clients", [3, 10_000])
def test_the_work_for_one_session_does_not_grow_with_their_number(clients: int) -> None:
    """All that can happen to a session, with few and with 10,000 that are detached."""
    lives, steps = 200, {}
    for count in (100, 10_000):
        server = Server(max_detached=count, memory=count * 10)

        def live(count: int = count, server: Server = server) -> None:
            for number in range(count, count + lives):
                name = f"new {number}"
                # One is too many, or all hold too much: one of them goes.
                server.detached(name, number % clients, cost=10)
                server.table.update_cost(name.encode())
                if server.table.attach(name.encode(), (1, 2)):
                    server.session(name).cost += 5
                    server.detach(name)
                server.run(0.01)

        for number in range(count):
            server.detached(f"old {number}", number % clients, cost=10)
        assert server.table.detached == count
        # The work for those above is done at the latest when it is asked for the first time.
        server.detached("one more", 0, cost=10)
        server.asked = 0
        steps[count] = steps_of(live)
        assert server.asked <= 3 * lives
        assert server.table.detached <= count
    assert steps[10_000] < 2 * steps[100] < 2000 * lives


class Model(RuleBasedStateMachine):
    """The table against one that looks through everything each time."""

    KEEP = 3.0
    MEMORY = 60
    MAX_DETACHED = 5
    MAX_OVER = 4

    def __init__(self) -> None:
        super().__init__()
        self.server = Server(
            keep=self.KEEP,
            memory=self.MEMORY,
            max_detached=self.MAX_DETACHED,
            max_over=self.MAX_OVER,
        )
        self.table = self.server.table
        self.sessions: dict[str, Session] = {}
        self.attempts: dict[str, tuple[int, int]] = {}
        self.cuts: dict[str, float] = {}
        """Of the detached ones, from the oldest: when, in the time for which the loop ran."""
        self.costs: dict[str, int] = {}
        """Of the detached ones, as told at last."""
        self.over: dict[str, tuple[float, int, Hashable]] = {}
        """From the oldest: when, a number, and whose."""
        self.ran = 0.0
        """For how long the loop ran, at the last call of the timer."""
        self.called = START
        self.number = 0

    names = st.sampled_from([f"{client}{number}" for client in "abc" for number in range(4)])
    costs_ = st.integers(0, 30)

    def time(self) -> float:
        if not self.cuts and not self.over:
            self.called = self.server.now
        return self.ran + min(self.server.now - self.called, 2 * 0.15)

    def first(self, weight: Callable[[str], int]) -> str:
        """Return which detached session has to go."""
        cuts = list(self.cuts)

        def order(name: str) -> tuple[int, bool, int]:
            mine = sum(weight(other) for other in cuts if other[0] == name[0])
            return -mine, self.sessions[name].used, cuts.index(name)

        return min(cuts, key=order)

    def drop(self, name: str, *, over: bool) -> None:
        time = self.time()
        self.cuts.pop(name, None)
        self.costs.pop(name, None)
        self.attempts.pop(name, None)
        if self.sessions.pop(name, None) and over:
            self.number += 1
            self.over[name] = time, self.number, name[0]
            if len(self.over) > self.MAX_OVER:
                left = list(self.over)
                counts = {client: [n[0] for n in left].count(client) for client in "abc"}
                most = [n for n in left if counts[n[0]] == max(counts.values())]
                del self.over[most[0]]

    def make_room(self) -> None:
        gone = []
        while len(self.cuts) > self.MAX_DETACHED or sum(self.costs.values()) > self.MEMORY:
            many = len(self.cuts) > self.MAX_DETACHED
            name = self.first((lambda _: 1) if many else self.costs.__getitem__)
            gone.append(name)
            del self.cuts[name], self.costs[name]
        # The owner ends them, each with another count.
        sessions = self.table.make_room()
        assert [session.name for session in sessions] == gone
        for name in gone:
            assert self.server.presence(name) is Presence.ENDING
        for name in gone:
            self.end_both(name)

    def end_both(self, name: str) -> None:
        self.drop(name, over=True)
        self.table.end(
            name.encode(),
            EndedSession(CloseCode.SESSION_LOST, self.number),
            self.server.now,
            numberings=NUMBERINGS,
        )

    @rule(name=names, cost=costs_, used=st.booleans())
    def add(self, name: str, cost: int, used: bool) -> None:
        if name not in self.sessions and name not in self.over:
            self.server.add(name, cost=cost, used=used)
            self.sessions[name] = self.server.session(name)
            self.attempts[name] = 1, 1

    @rule(name=names, attempt=st.tuples(st.integers(1, 3), st.integers(1, 3)), cost=costs_)
    def attach(self, name: str, attempt: tuple[int, int], cost: int) -> None:
        if name in self.sessions:
            greater = attempt > self.attempts[name]
            assert self.table.attach(name.encode(), attempt) is greater
            if greater:
                self.attempts[name] = attempt
                self.cuts.pop(name, None)
                self.costs.pop(name, None)
                self.sessions[name].cost = cost
                self.sessions[name].used = True

    @rule(name=names)
    def detach(self, name: str) -> None:
        if name in self.sessions and name not in self.cuts:
            self.cuts[name] = self.time()
            self.costs[name] = self.sessions[name].cost
        self.table.detach(name.encode(), self.server.now)
        self.make_room()

    @rule(name=names, cost=costs_)
    def update_cost(self, name: str, cost: int) -> None:
        if name in self.sessions:
            self.sessions[name].cost = cost
            if name in self.cuts:
                self.costs[name] = cost
        self.table.update_cost(name.encode())
        self.make_room()

    @rule(name=names)
    def end(self, name: str) -> None:
        self.end_both(name)

    @rule(name=names)
    def forget(self, name: str) -> None:
        self.drop(name, over=False)
        self.over.pop(name, None)
        self.table.forget(name.encode())

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.15, 0.2, 1.0, 100.0]))
    def wait(self, seconds: float) -> None:
        """Less than an interval, about one, a standstill."""
        self.server.now += seconds

    @rule(times=st.integers(1, 25))
    def tick(self, times: int) -> None:
        for _ in range(times):
            self.server.now += 0.15
            gone = [name for name, cut in self.cuts.items() if cut + self.KEEP <= self.ran]
            for name, (when, _, _) in list(self.over.items()):
                if when + self.KEEP <= self.ran:
                    del self.over[name]
            sessions = self.table.expire(self.server.now)
            assert [session.name for session in sessions] == gone
            self.ran += min(self.server.now - self.called, 2 * 0.15)
            self.called = self.server.now
            for name in gone:
                self.end_both(name)

    @invariant()
    def they_agree(self) -> None:
        assert len(self.table) == len(self.sessions)
        assert self.table.detached == len(self.cuts)
        assert self.table.memory == sum(self.costs.values())
        assert (self.table.interval is None) == (not self.cuts and not self.over)
        for name in [f"{client}{number}" for client in "abc" for number in range(4)]:
            found = self.table.find(name.encode())
            if isinstance(found, Over):
                assert found.ended.received == self.over[name][1]
            elif found is None:
                assert name not in self.sessions
                assert name not in self.over
            else:
                assert found.session is self.sessions[name]
                assert found.attempt == self.attempts[name]
                assert (found.presence is Presence.DETACHED) == (name in self.cuts)


TestModel: type[TestCase] = Model.TestCase
TestModel.settings = settings(max_examples=examples(50))  # type: ignore[attr-defined]
