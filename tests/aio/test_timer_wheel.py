"""One timer for all whose time is close."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from sealframe import Connection
from sealframe.aio.timer_wheel import TimerWheel
from sealframe.server.server import registry_of

from .ends import Mode, dial, start
from .scripted import until


@dataclass(eq=False)
class Timer:
    clock: Clock
    when: float
    call: Callable[..., None]
    args: tuple[object, ...] = ()

    def cancel(self) -> None:
        if self in self.clock.timers:
            self.clock.timers.remove(self)


class Clock:
    """Stands in for an event loop: it keeps the timers, and the time is what the test says."""

    def __init__(self) -> None:
        self.timers: list[Timer] = []

    def time(self) -> float:
        return 0.0

    def call_later(self, delay: float, call: Callable[..., None], *args: object) -> Timer:
        self.timers.append(Timer(self, delay, call, args))
        return self.timers[-1]

    def call_soon(self, call: Callable[..., None], *args: object) -> Timer:
        return self.call_later(0.0, call, *args)

    def run_until(self, now: float) -> None:
        due = [timer for timer in self.timers if timer.when <= now]
        while due:
            self.timers = [timer for timer in self.timers if timer not in due]
            for timer in due:
                timer.call(*timer.args)
            # What an expired time-out waits for; not the timers that were set meanwhile.
            due = [timer for timer in self.timers if timer.args]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)
    return clock


def test_nobody_is_called_early_nor_later_than_by_a_grain(clock: Clock) -> None:
    called: list[float] = []
    table: TimerWheel[float] = TimerWheel(called.append, 0.5)
    times = [7 + number / 100 for number in range(200)]
    for when in times:
        table.add(when, when)
    assert len(clock.timers) <= 5
    for number in range(1000):
        now = number / 100
        before = len(called)
        clock.run_until(now)
        assert all(now - 0.52 <= when <= now for when in called[before:])
    assert sorted(called) == times
    assert not clock.timers


def test_who_leaves_is_not_called(clock: Clock) -> None:
    called: list[str] = []
    table: TimerWheel[str] = TimerWheel(called.append, 1.0)
    table.add("stays", 3.0)
    table.add("leaves", 3.0).leave("leaves")
    clock.run_until(3.0)
    assert called == ["stays"]


def test_when_all_have_left_no_timer_is_left(clock: Clock) -> None:
    called: list[str] = []
    table: TimerWheel[str] = TimerWheel(called.append, 1.0)
    first = table.add("a", 3.0)
    assert table.add("b", 3.0) is first
    first.leave("a")
    assert len(clock.timers) == 1
    first.leave("b")
    assert clock.timers == []
    table.add("a", 3.0)
    clock.run_until(3.0)
    assert called == ["a"]


def test_one_that_fails_does_not_keep_the_others_from_their_turn(clock: Clock) -> None:
    called: list[str] = []

    def call(member: str) -> None:
        called.append(member)
        if len(called) == 1:
            raise RuntimeError("one that fails")

    table: TimerWheel[str] = TimerWheel(call, 1.0)
    for member in "abc":
        table.add(member, 3.0)
    with pytest.raises(RuntimeError, match="one that fails"):
        clock.run_until(3.0)
    clock.run_until(3.0)
    assert sorted(called) == ["a", "b", "c"]
    assert clock.timers == []


def test_who_is_called_may_ask_again_and_make_another_leave(clock: Clock) -> None:
    called: list[str] = []

    def call(member: str) -> None:
        called.append(member)
        members.leave("b" if member == "a" else "a")
        table.add(member, 3.0 if len(called) == 1 else 5.0)

    table: TimerWheel[str] = TimerWheel(call, 1.0)
    members = table.add("a", 3.0)
    assert table.add("b", 3.0) is members
    clock.run_until(3.0)
    assert len(called) == 1
    clock.run_until(3.0)
    assert len(called) == 2
    assert called[0] == called[1]
    clock.run_until(5.0)
    assert len(called) == 3


@pytest.mark.usefixtures("no_leaks")
async def test_the_clients_of_a_server_share_their_timers(control_mode: Mode) -> None:
    async def handler(conn: Connection) -> None:
        async for _ in conn:
            pass

    async with start(handler, control_mode) as server:
        conns = await asyncio.gather(*(dial(server, control_mode) for _ in range(20)))
        await until(lambda: len(server.clients) == 20)
        keepalives = [part.keepalive for part in registry_of(server).connections]
        watches = [keepalive.bucket for keepalive in keepalives if keepalive is not None]
        assert len(watches) == 20
        assert all(watch is not None and watch.members for watch in watches)
        # They came within moments of each other, and the interval is 20 seconds.
        assert len({id(watch) for watch in watches}) <= 2
        for conn in conns:
            await conn.close()
        await until(lambda: not registry_of(server).connections)
        assert not any(watch is not None and watch.members for watch in watches)
