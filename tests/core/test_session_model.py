"""Sessions over links that cut anywhere, stall and deliver old bytes late: nothing is lost, doubled
or out of order, and once links are whole again all arrives."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from example_counts import examples
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sealframe.wire import CloseCode

from .session_world import End, World

choices = st.integers(0, 1000)
sizes = st.integers(0, 120)
pieces = st.one_of(st.just(10**6), st.integers(0, 400))


class Sessions(RuleBasedStateMachine):
    """Two clients of one server, on plain links."""

    seal = False

    def __init__(self) -> None:
        super().__init__()
        self.world = World(seal=self.seal)
        self.closed = False
        """Whether both ends close at last."""

    @rule(which=choices)
    def connect(self, which: int) -> None:
        self.world.clients[which % 2].connect()

    @rule(choice=choices, count=pieces)
    def deliver(self, choice: int, count: int) -> None:
        self.world.deliver(choice, count)

    @rule(choice=choices, to_client=pieces, to_server=pieces)
    def cut(self, choice: int, to_client: int, to_server: int) -> None:
        self.world.cut(choice, to_client, to_server)

    @rule()
    def everything_arrives(self) -> None:
        for link in list(self.world.links):
            for at_client in (False, True):
                link.deliver(at_client, 10**6)
        self.world.settle_links()

    @rule(choice=choices, size=sizes, count=st.integers(1, 5))
    def send(self, choice: int, size: int, count: int) -> None:
        for _ in range(count):
            self._at(choice, lambda end: end.send(size))

    @rule(choice=choices, size=sizes)
    def write(self, choice: int, size: int) -> None:
        self._at(choice, lambda end: end.write(size))

    @rule(choice=choices, size=sizes)
    def ask(self, choice: int, size: int) -> None:
        self._at(choice, lambda end: end.request(size))

    @rule(choice=choices)
    def answer(self, choice: int) -> None:
        self._at(choice, End.answer)

    @rule(choice=choices, count=st.integers(1, 20))
    def take(self, choice: int, count: int) -> None:
        self._at(choice, lambda end: end.take(count))

    @rule(choice=choices)
    def acknowledge(self, choice: int) -> None:
        self._at(choice, End.acknowledge)

    @rule()
    def close_at_last(self) -> None:
        self.closed = True

    @rule(which=choices, sure=st.integers(0, 9))
    def kick(self, which: int, sure: int) -> None:
        if sure == 9:
            token = self.world.clients[which % 2].token
            self.world.server.kick(token, CloseCode.KICKED)

    def _at(self, choice: int, operation: Callable[[End], None]) -> None:
        end = self.world.end(choice)
        if end is not None:
            operation(end)

    @invariant()
    def books_agree(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        self.world.finish(close=self.closed)


class SealedSessions(Sessions):
    """The same over sealed links."""

    seal = True


TestSessions = Sessions.TestCase
TestSessions.settings = settings(
    max_examples=examples(60), stateful_step_count=50, suppress_health_check=[HealthCheck.too_slow]
)
TestSealedSessions = SealedSessions.TestCase
TestSealedSessions.settings = settings(
    max_examples=examples(8), stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow]
)


def play(seed: int, steps: int, *, close: bool, cuts: float = 0.02, closes: float = 0.0) -> World:
    """Play one long schedule, in which links live long enough for much to happen.

    :param cuts: how likely each step is one
    :param closes: how likely each step of the second half is the close of an end
    """
    rng = random.Random(seed)
    world = World()

    def at(operation: Callable[[End], None]) -> None:
        end = world.end(rng.randrange(1000))
        if end is not None:
            operation(end)

    def connect() -> None:
        client = rng.choice(world.clients)
        if not client.attached or rng.random() < 0.02:
            client.connect()

    common: list[Callable[[], None]] = [
        *[lambda: world.deliver(rng.randrange(1000), rng.choice((10**6, rng.randrange(300))))] * 12,
        *[lambda: at(lambda end: end.send(rng.randrange(100)))] * 4,
        lambda: at(lambda end: end.write(rng.randrange(120))),
        lambda: at(lambda end: end.request(rng.randrange(100))),
        *[lambda: at(End.answer)] * 2,
        *[lambda: at(lambda end: end.take(rng.randrange(10)))] * 3,
        *[lambda: at(End.acknowledge)] * 2,
        *[connect] * 2,
    ]
    for step in range(steps):
        if rng.random() < cuts:
            world.cut(rng.randrange(10), rng.randrange(600), rng.randrange(600))
        elif closes and step > steps // 2 and rng.random() < closes:
            at(End.close)
        else:
            rng.choice(common)()
        world.check()
    world.finish(close=close)
    return world


@pytest.mark.parametrize("seed", range(6))
def test_long_schedules(seed: int) -> None:
    world = play(seed, 1500, close=seed % 2 == 0)
    # Else it tests nothing.
    assert all(client.attempt > 5 for client in world.clients)
    assert all(end.made > 30 for end in world.ends())


@pytest.mark.parametrize("seed", range(8))
def test_ends_that_close_in_the_midst(seed: int) -> None:
    """What is sent again goes before CLOSE, and what comes behind it takes no effect."""
    for number in range(8):
        play(8 * seed + number, 150, close=True, cuts=0.1, closes=0.1)
