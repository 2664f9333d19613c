"""Rosters of several servers in virtual time: after any faults they agree, and soon enough."""

from __future__ import annotations

import pytest
from example_counts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.bus import Bus, Process, State
from sealframe.cluster.events import (
    ClusterServer as Server,
)
from sealframe.cluster.events import (
    GoneReason,
    LeaveReason,
    Left,
    Probe,
    ServerGone,
    ServerJoined,
    Superseded,
)
from sealframe.cluster.roster import NamePolicy

NAMES = [None, "ann", "bob", ""]


def check_agreed(bus: Bus) -> None:
    """All registries are equal, and equal to what the servers themselves have."""
    truth = {(id, name, process.id) for process in bus.alive for id, name in process.truth.items()}
    for process in bus.alive:
        clients = process.roster.clients
        assert {(c.id, c.name, c.server) for c in clients.values()} == truth
        assert process.told == clients
        assert clients == bus.alive[0].roster.clients
        for name in {name for _, name, _ in truth if name is not None}:
            named = process.roster.named(name)
            assert set(named) == {c for c in clients.values() if c.name == name}
            assert len(named) == 1 or bus.policy is NamePolicy.MANY
            assert process.roster.newest(name) == named[-1]
        servers = {server.id for server in process.roster.servers}
        assert servers == {other.id for other in bus.alive} - {process.id}
        for other in bus.alive:
            of_server = process.roster.of_server(other.id)
            assert set(of_server) == set(other.truth)
        assert process.roster.hears_itself


def agreed(bus: Bus) -> bool:
    try:
        check_agreed(bus)
    except AssertionError:
        return False
    return True


STEP = st.one_of(
    st.tuples(st.just("join"), st.integers(0, 3), st.sampled_from(NAMES)),
    st.tuples(st.just("leave"), st.integers(0, 3), st.integers(0, 9)),
    st.tuples(st.just("rename"), st.integers(0, 3), st.sampled_from(NAMES)),
    st.tuples(st.just("kill"), st.integers(0, 3), st.none()),
    st.tuples(st.just("stop"), st.integers(0, 3), st.none()),
    st.tuples(st.just("go on"), st.integers(0, 3), st.none()),
    st.tuples(st.just("bye"), st.integers(0, 3), st.none()),
    st.tuples(st.just("start"), st.integers(0, 2), st.floats(-3600, 3600)),
    st.tuples(st.just("cut"), st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.just("down"), st.integers(0, 2), st.none()),
    st.tuples(st.just("heal"), st.none(), st.none()),
    st.tuples(st.just("loss"), st.sampled_from([0.0, 0.1, 0.5]), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([0.01, 0.1, 0.5, 4.0]), st.none()),
)


def carry_out(bus: Bus, step: tuple[str, int, int]) -> None:
    kind, number, what = step
    some = bus.alive
    process: Process | None = None
    if kind in ("join", "leave", "rename", "kill", "stop", "go on", "bye") and some:
        process = some[number % len(some)]
    match kind, process:
        case "join", Process(state=State.RUNNING) as process:
            process.join(what)  # type: ignore[arg-type]
        case "leave", Process(state=State.RUNNING) as process if process.truth:
            process.leave(list(process.truth)[what % len(process.truth)])
        case "rename", Process(state=State.RUNNING) as process if process.truth:
            process.rename(next(iter(process.truth)), what)  # type: ignore[arg-type]
        case "kill", Process() as process:
            process.kill()
        case "stop", Process() as process:
            process.stop()
        case "go on", Process() as process:
            process.go_on()
        case "bye", Process(state=State.RUNNING) as process:
            process.say_bye()
        case "start", _ if len(some) < 4:
            bus.start(number, clock=what)
        case "cut", _:
            bus.cut.add(frozenset({number, what}) if number != what else frozenset({9}))
        case "down", _:
            bus.down.add(number)
        case "heal", _:
            heal(bus)
        case "loss", _:
            bus.loss = number
        case "wait", _:
            bus.run(number)


def heal(bus: Bus) -> None:
    bus.cut.clear()
    bus.down.clear()
    bus.loss = 0.0


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(STEP, max_size=40),
    st.integers(0, 2**32),
    st.sampled_from(NamePolicy),
    st.sampled_from([0.001, 0.02, 0.2]),
)
def test_after_quiet_all_agree(
    steps: list[tuple[str, int, int]], seed: int, policy: NamePolicy, delay: float
) -> None:
    bus = Bus(seed, policy=policy)
    bus.delay = delay
    for node in range(3):
        bus.start(node)
    for step in steps:
        carry_out(bus, step)
        if bus.random.random() < 0.5:
            bus.run(bus.random.uniform(0, 0.05))
    heal(bus)
    for process in bus.alive:
        process.go_on()
    bus.run(6)
    check_agreed(bus)
    quiet = [len(process.events) for process in bus.alive]
    bus.run(2)
    assert [len(process.events) for process in bus.alive] == quiet or delay > 0.1


@pytest.fixture
def three() -> tuple[Bus, list[Process]]:
    """Three servers that know one another, with three clients each."""
    bus = Bus(17)
    processes = [bus.start(node) for node in range(3)]
    for process in processes:
        for _ in range(3):
            process.join()
    bus.run(1)
    check_agreed(bus)
    return bus, processes


def gone(process: Process, server: Process) -> bool:
    return server.id not in {other.id for other in process.roster.servers}


@pytest.mark.parametrize("phase", range(10))
def test_a_killed_server_is_gone_within_half_a_second(
    phase: int, three: tuple[Bus, list[Process]]
) -> None:
    bus, [one, two, killed] = three
    bus.delay = 0.01
    bus.run(0.1 + phase * 0.0125)
    killed.kill()
    took = bus.run_until(lambda: gone(one, killed) and gone(two, killed), 1)
    assert 0.3 < took < 0.5
    check_agreed(bus)
    left = [event for _, event in one.events if isinstance(event, Left)]
    assert {(left.client.server, left.reason) for left in left} == {
        (killed.id, LeaveReason.SERVER_GONE)
    }
    assert isinstance(one.events[-1][1], ServerGone)
    assert one.events[-1][1].reason is GoneReason.NO_RESPONDERS


def test_a_stopped_server_is_gone_within_four_seconds_and_comes_back(
    three: tuple[Bus, list[Process]],
) -> None:
    bus, [one, two, stopped] = three
    stopped.stop()
    took = bus.run_until(lambda: gone(one, stopped) and gone(two, stopped), 5)
    assert 2.8 < took < 4
    assert [event.reason for _, event in one.events if isinstance(event, ServerGone)] == [
        GoneReason.SILENT
    ]
    one.join()
    bus.run(10)
    stopped.go_on()
    took = bus.run_until(lambda: agreed(bus), 2)
    assert took < 1


def test_one_that_was_stopped_takes_nobody_for_gone(three: tuple[Bus, list[Process]]) -> None:
    """What the others said meanwhile is read after its timers have run."""
    bus, [_, _, stopped] = three
    stopped.stop()
    bus.run(10)
    seen = len(stopped.events)
    stopped.go_on()
    bus.run(0.3)
    assert not [event for _, event in stopped.events[seen:] if isinstance(event, ServerGone)]
    check_agreed(bus)


def test_a_server_that_dies_while_it_is_stopped_is_gone_sooner(
    three: tuple[Bus, list[Process]],
) -> None:
    bus, [one, _, process] = three
    process.stop()
    bus.run(1)
    process.kill()
    assert bus.run_until(lambda: gone(one, process), 2) < 0.5


def test_a_server_that_says_bye_is_gone_at_once(three: tuple[Bus, list[Process]]) -> None:
    bus, [one, two, leaving] = three
    leaving.say_bye()
    assert bus.run_until(lambda: gone(one, leaving) and gone(two, leaving), 1) < 0.03
    check_agreed(bus)
    assert [event.reason for _, event in two.events if isinstance(event, ServerGone)] == [
        GoneReason.BYE
    ]


def test_without_nats_the_others_are_gone_and_on_its_return_all_agree(
    three: tuple[Bus, list[Process]],
) -> None:
    bus, processes = three
    one = processes[0]
    bus.down = {0, 1, 2}
    bus.run(1.2)
    assert not one.roster.hears_itself
    assert len(one.roster.clients) == 9
    bus.run(3)
    assert list(one.roster.servers) == []
    assert {client.server for client in one.roster.clients.values()} == {one.id}
    for process in processes:
        process.join("same name")
    heal(bus)
    assert bus.run_until(lambda: agreed(bus), 3) < 1


def test_a_short_loss_of_nats_is_made_up_for_by_the_roster(
    three: tuple[Bus, list[Process]],
) -> None:
    """Nobody is taken for gone, and what was missed is known within a second."""
    bus, [one, two, three_] = three
    bus.cut = {frozenset({0, 1})}
    one.join()
    two.leave(next(iter(two.truth)))
    bus.run(0.05)
    assert len(two.roster.of_server(one.id)) == 3
    heal(bus)
    assert bus.run_until(lambda: agreed(bus), 1) < 0.2
    assert not any(isinstance(event, ServerGone) for p in (one, two) for _, event in p.events)
    assert all(process is not three_ or len(process.roster.clients) == 9 for process in [three_])


def test_a_partition_ends_with_one_client_of_each_name(three: tuple[Bus, list[Process]]) -> None:
    bus, [one, two, _] = three
    bus.cut = {frozenset({0, 1}), frozenset({0, 2})}
    bus.run(4)
    assert gone(one, two)
    assert gone(two, one)
    older = one.join("ann")
    bus.run(0.1)
    newer = two.join("ann")
    heal(bus)
    bus.run(1)
    check_agreed(bus)
    assert older not in one.truth
    assert newer in two.truth


@pytest.mark.parametrize("clocks", [(0, 0), (3600, 0), (0, 3600), (1e6, -1e6), (-2e9, 0)])
def test_whoever_comes_later_is_newer_whatever_the_clocks_say(clocks: tuple[float, float]) -> None:
    bus = Bus(3)
    one, two = (bus.start(0, clock=clock) for clock in clocks)
    bus.run(1)
    for number in range(10):
        process, other = (one, two) if number % 2 else (two, one)
        newest = process.join("ann") if number % 3 else process.join()
        process.rename(newest, "ann")
        bus.run(0.2)
        check_agreed(bus)
        assert list(process.truth) == [newest]
        assert other.truth == {}


def test_a_client_that_joins_twice_at_once_is_there_once() -> None:
    """Both servers know of one only; the older is told who has its name now."""
    bus = Bus(5)
    one, two = bus.start(0), bus.start(1)
    bus.run(1)
    ids = {one.join("ann"), two.join("ann")}
    bus.run(0.2)
    check_agreed(bus)
    [client] = one.roster.clients.values()
    [superseded] = {
        (event.id, event.by)
        for process in (one, two)
        for _, event in process.events
        if isinstance(event, Superseded)
    }
    assert superseded == ((ids - {client.id}).pop(), client)


def test_many_clients_may_have_one_name_where_that_is_wanted() -> None:
    bus = Bus(5, policy=NamePolicy.MANY)
    one, two = bus.start(0), bus.start(1)
    bus.run(1)
    ids = []
    for process in (one, two, two, one):
        ids.append(process.join("ann"))
        bus.run(0.1)
    check_agreed(bus)
    assert [client.id for client in two.roster.named("ann")] == ids


def test_no_heartbeat_is_missed_where_nothing_happens(three: tuple[Bus, list[Process]]) -> None:
    """No probes, no rosters, for an hour."""
    bus, processes = three
    seen = [len(process.events) for process in processes]
    bus.run(60)
    assert [len(process.events) for process in processes] == seen
    check_agreed(bus)


def test_a_server_joins_once_and_is_known_by_its_label() -> None:
    bus = Bus(1)
    one, two = bus.start(0), bus.start(0)
    bus.run(1)
    joined = [event for _, event in one.events if isinstance(event, ServerJoined)]
    assert [event.server.label for event in joined] == ["host:1"]
    server = one.roster.server(two.id)
    assert isinstance(server, Server)
    assert server.started == two.wall - 1
    assert one.roster.server(one.id) is None


def test_a_busy_loop_takes_nobody_for_gone(three: tuple[Bus, list[Process]]) -> None:
    """Each turn of its loop takes two seconds, for a minute."""
    bus, [busy, _, _] = three
    seen = len(busy.events)
    for _ in range(30):
        busy.stop()
        bus.run(2)
        busy.go_on()
    events = [event for _, event in busy.events[seen:]]
    assert not [event for event in events if not isinstance(event, Probe)]
