"""One timer for all whose time is close."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sealframe import Connection
from sealframe.timetable import Timetable

from .ends import Mode, dial, start
from .scripted import until


class Clock:
    """Stands in for an event loop: it keeps the timers, and the time is what the test says."""

    def __init__(self) -> None:
        self.timers: list[tuple[float, Callable[..., None], tuple[Any, ...]]] = []

    def call_at(self, when: float, call: Callable[..., None], *args: Any) -> None:
        self.timers.append((when, call, args))

    def run_until(self, now: float) -> None:
        due = [timer for timer in self.timers if timer[0] <= now]
        self.timers = [timer for timer in self.timers if timer[0] > now]
        for _, call, args in due:
            call(*args)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)
    return clock


def test_nobody_is_called_early_nor_later_than_by_a_grain(clock: Clock) -> None:
    called: list[float] = []
    table: Timetable[float] = Timetable(called.append, 0.5)
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
    table: Timetable[str] = Timetable(called.append, 1.0)
    table.add("stays", 3.0)
    table.add("leaves", 3.0).discard("leaves")
    clock.run_until(3.0)
    assert called == ["stays"]


def test_who_is_called_may_ask_again_and_make_another_leave(clock: Clock) -> None:
    called: list[str] = []

    def call(member: str) -> None:
        called.append(member)
        members.discard("b" if member == "a" else "a")
        table.add(member, 3.0 if len(called) == 1 else 5.0)

    table: Timetable[str] = Timetable(call, 1.0)
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
        watches = [link._watch for link in server._links]
        assert all(watches)
        # They came within moments of each other, and the interval is 20 seconds.
        assert len({id(watch) for watch in watches}) <= 2
        for conn in conns:
            await conn.close()
        await until(lambda: not server._links)
        assert not any(watches)
