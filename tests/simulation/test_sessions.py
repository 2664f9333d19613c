"""Whole servers and clients, in memory and in virtual time, under schedules of every kind.

Nothing is lost, doubled or out of order, what a program is told is so, memory is bounded, and once
links hold all arrives and every session ends in order. Hypothesis draws short schedules, and makes
what it finds shorter; long ones are drawn from seeds.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from .network import EVERYTHING, Ending
from .steps import Steps

choices = st.integers(0, 1000)
sizes = st.integers(0, 300)
pieces = st.one_of(st.just(EVERYTHING), st.integers(0, 400))
seconds = st.sampled_from([0.01, 0.03, 0.3, 1.0, 6.0, 45.0])


class Simulation(RuleBasedStateMachine):
    """A server that has sessions in its memory alone."""

    positions = False

    def __init__(self) -> None:
        super().__init__()
        self.steps = Steps(positions=self.positions)
        # Else most of a short schedule is the first handshake.
        self.steps.everything()

    @rule(choice=choices, count=st.integers(1, 5), size=sizes)
    def send(self, choice: int, count: int, size: int) -> None:
        self.steps.send(choice, count, size)

    @rule(choice=choices, count=st.integers(1, 8))
    def take(self, choice: int, count: int) -> None:
        self.steps.take(choice, count)

    @rule(choice=choices)
    def ask(self, choice: int) -> None:
        self.steps.ask(choice)

    @rule(choice=choices, client=st.booleans(), count=pieces)
    def deliver(self, choice: int, client: bool, count: int) -> None:
        self.steps.deliver(choice, client, count)

    @rule()
    def everything(self) -> None:
        self.steps.everything()

    @rule(choice=choices, left=st.tuples(pieces, pieces), ending=st.sampled_from(Ending))
    def cut(self, choice: int, left: tuple[int, int], ending: Ending) -> None:
        self.steps.cut(choice, left, ending)

    @rule(time=seconds)
    def wait(self, time: float) -> None:
        self.steps.wait(time)

    @rule(choice=choices, back=st.integers(0, 3))
    def kill_client(self, choice: int, back: int) -> None:
        self.steps.kill_client(choice, back)

    @rule()
    def kill_server(self) -> None:
        self.steps.kill_server()

    @rule()
    def change_speed(self) -> None:
        self.steps.change_speed()

    @rule(choice=choices)
    def close(self, choice: int) -> None:
        self.steps.close(choice)

    @rule(choice=choices)
    def leave(self, choice: int) -> None:
        self.steps.leave(choice)

    @rule(choice=choices)
    def kick(self, choice: int) -> None:
        self.steps.kick(choice)

    @rule(choice=choices, withdraw=st.booleans(), detached=st.booleans())
    def put_out(self, choice: int, withdraw: bool, detached: bool) -> None:
        if detached:
            self.steps.put_out_detached(choice, withdraw)
        else:
            self.steps.put_out(choice, withdraw)

    @rule(choice=choices, rounds=st.integers(0, 4), client=st.booleans(), count=pieces)
    def close_over_restart(self, choice: int, rounds: int, client: bool, count: int) -> None:
        self.steps.close_over_restart(choice, rounds, client, count)

    @rule()
    def close_server(self) -> None:
        self.steps.close_server()

    @invariant()
    def books_agree(self) -> None:
        self.steps.world.settle()

    def teardown(self) -> None:
        try:
            self.steps.world.finish()
        finally:
            self.steps.close_all()


class SimulationOfPositions(Simulation):
    """A server whose program stores how far it is."""

    positions = True


SHORT = settings(
    derandomize=True,
    max_examples=10,
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow],
)
TestSimulation = Simulation.TestCase
TestSimulation.settings = SHORT
TestSimulationOfPositions = SimulationOfPositions.TestCase
TestSimulationOfPositions.settings = SHORT


def play(seed: int, length: int, *, positions: bool, ending: float = 0.005) -> Steps:
    """Play one long schedule, in which sessions live long enough for much to happen.

    :param ending: the share of steps that end a session, or try to
    """
    rng = random.Random(seed)
    # The back-off of clients draws from this one.
    random.seed(seed)
    steps = Steps(positions=positions)

    def piece() -> int:
        return rng.choice((EVERYTHING, rng.randrange(400)))

    def number() -> int:
        return rng.randrange(1000)

    common: list[Callable[[], None]] = [
        *[lambda: steps.deliver(number(), rng.random() < 0.5, piece())] * 6,
        *[steps.everything] * 4,
        *[lambda: steps.send(number(), rng.randint(1, 5), rng.choice((0, 10, 100, 300)))] * 4,
        *[lambda: steps.take(number(), rng.randint(1, 6))] * 4,
        *[lambda: steps.wait(rng.choice((0.01, 0.03, 0.3)))] * 3,
        lambda: steps.ask(number()),
    ]
    rare: list[Callable[[], None]] = [
        *[lambda: steps.cut(number(), (piece(), piece()), rng.choice(list(Ending)))] * 6,
        lambda: steps.kill_client(number(), rng.randrange(4)),
        steps.kill_server,
        lambda: steps.wait(rng.choice((1.0, 6.0, 45.0))),
        steps.change_speed,
    ]
    last: list[Callable[[], None]] = [
        lambda: steps.close(number()),
        lambda: steps.leave(number()),
        lambda: steps.kick(number()),
        lambda: steps.put_out(number(), rng.random() < 0.5),
        lambda: steps.put_out_detached(number(), rng.random() < 0.5),
        *[lambda: steps.close_over_restart(number(), rng.randrange(5), rng.random() < 0.5, piece())]
        * 2,
        steps.close_server,
    ]
    try:
        for _ in range(length):
            draw = rng.random()
            rng.choice(last if draw < ending else rare if draw < 0.06 else common)()
            steps.world.settle()
        steps.world.finish()
    finally:
        steps.close_all()
    return steps


@pytest.mark.parametrize("positions", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_long_schedules(seed: int, positions: bool) -> None:
    steps = play(seed, 300, positions=positions)
    # Else it tests nothing.
    assert len(steps.world.ends) >= 4
    assert sum(len(book.got) for book in steps.world.books.values()) >= 10


@pytest.mark.parametrize("power_fails", [False, True])
def test_what_was_given_to_a_link_is_known_unless_power_fails(power_fails: bool) -> None:
    """A message comes twice only if both ends have forgotten that it was given to a link: the
    server was killed, and the file went back to before it said so."""
    steps = Steps(positions=False)
    try:
        for _ in range(3):
            steps.everything()
        world = steps.world
        client = world.clients[1]
        assert client.end is not None
        book = client.end.sent
        for link in world.network.links:
            link.cut({True: 0, False: 0}, Ending.FIN)
        steps.everything()
        # The first is given as it is stored, the others once there is a link.
        client.end.send(3, 10)
        world.settle()
        stored = len(client.snapshots)
        for end in world.handlers:
            for _ in range(3):
                end.turns.release()
        world.network.flowing = True
        # Before the file has the acknowledgement, which says the same.
        for _ in range(200):
            steps.wait(0.01)
            if book.got:
                break
        assert book.got == [0, 1, 2]
        client.kill(len(client.snapshots) - stored if power_fails else 0)
        world.kill_server()
        world.finish()
        assert book.got == [0, 1, 2]
        assert book.doubled == ([1, 2] if power_fails else [])
    finally:
        steps.close_all()


def test_what_a_handler_finds_wrong_ends_the_schedule() -> None:
    """A server logs it and goes on."""
    steps = Steps(positions=False)
    try:
        for _ in range(3):
            steps.everything()
        world = steps.world
        client = world.clients[1]
        assert client.end is not None
        book = client.end.sent
        client.end.send(1, 10)
        world.settle()
        book.count = 0
        steps.everything()
        for end in world.handlers:
            end.turns.release()
        with pytest.raises(AssertionError, match=r"b\.1: 0 was never accepted"):
            world.settle()
    finally:
        steps.close_all()


def test_a_later_start_is_told_what_is_stored() -> None:
    """And not what has come: the handler that has a message and was not done with it has ended."""
    steps = Steps(positions=True)
    try:
        for _ in range(3):
            steps.everything()
        world = steps.world
        client = world.clients[1]
        assert client.end is not None
        client.end.send(3, 10)
        steps.wait(0.1)
        steps.everything()
        world.settle()
        [handler] = [end for end in world.handlers if end.peer is client.end]
        handler.turns.release()
        world.settle()
        client.kill(0)
        client.start()
        for _ in range(3):
            steps.everything()
        world.settle()
        world.kill_server()
        world.finish()
        assert len(handler.names) == 1
        assert client.end.sent.got == [0, 1, 2]
    finally:
        steps.close_all()
