"""One look serves all who watch; nobody's slowness costs memory."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any

import pytest

from sealframe.dashboard.hub import MAX_VIEWERS, Hub, TooManyViewersError, Viewer
from sealframe.dashboard.source import Source, SourceError
from sealframe.dashboard.views import View

SUMMARY: dict[str, Any] = {
    **dict.fromkeys(("clients", "sessions_detached", "inbox_cost", "outbox_cost"), 0),
    **dict.fromkeys(("refused", "dropped"), 0),
    "rates": {},
    "round_trip": None,
}


class Looks(Source):
    """Counts how often it is looked at."""

    title = "looks"

    def __init__(self) -> None:
        self.views: list[Sequence[View]] = []
        self.rested = 0
        self.error: Exception | None = None

    async def look(self, views: Sequence[View]) -> dict[str, Any]:
        self.views.append(views)
        if self.error is not None:
            raise self.error
        number = len(self.views)
        tables = [{"sort": view.sort} for view in views]
        return {"summary": {**SUMMARY, "time": float(number)}, "tables": tables}

    def rest(self) -> None:
        self.rested += 1


@asynccontextmanager
async def running(hub: Hub) -> AsyncIterator[None]:
    task = asyncio.create_task(hub.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def event(viewer: Viewer) -> tuple[str, Any]:
    async with asyncio.timeout(10):
        raw = await viewer.next()
    assert raw is not None
    assert raw.endswith(b"\n\n")
    lines = dict(line.split(": ", 1) for line in raw.decode().strip().split("\n"))
    return lines["event"], json.loads(lines["data"])


async def test_many_viewers_are_one_look() -> None:
    source = Looks()
    hub = Hub(source)
    async with running(hub):
        await asyncio.sleep(0.05)
        assert source.views == []
        with ExitStack() as stack:
            same = [stack.enter_context(hub.viewing(View())) for _ in range(3)]
            other = stack.enter_context(hub.viewing(View(sort="name")))
            for viewer in same:
                name, data = await event(viewer)
                assert (name, data["table"]) == ("look", {"sort": "outbox_cost"})
            assert (await event(other))[1]["table"] == {"sort": "name"}
            (views,) = source.views
            assert len(views) == 2
            assert {*views} == {View(), View(sort="name")}
            assert source.rested == 0
        assert source.rested == 1
        seen = len(source.views)
    assert seen == 1


async def test_the_next_look_comes_within_a_second_and_a_new_page_hurries_it() -> None:
    source = Looks()
    hub = Hub(source)
    loop = asyncio.get_running_loop()
    async with running(hub):
        with hub.viewing(View()) as first:
            await event(first)
            began = loop.time()
            await event(first)
            assert loop.time() - began > 0.9
            with hub.viewing(View(sort="name")) as second:
                assert (await event(second))[1]["summary"]["time"] == 3.0
                assert loop.time() - began < 1.9


async def test_pages_that_come_again_and_again_do_not_hurry_it_further() -> None:
    source = Looks()
    hub = Hub(source)
    loop = asyncio.get_running_loop()
    async with running(hub):
        began = loop.time()
        while loop.time() - began < 0.8:
            with hub.viewing(View()):
                await asyncio.sleep(0.01)
        # Those of slow machines are at most as many.
        assert 1 <= len(source.views) <= 1 + 2 * (loop.time() - began)


async def test_a_slow_page_gets_the_newest_look_alone() -> None:
    viewer = Viewer(View())
    for number in range(1000):
        viewer.put(b"%d" % number)
    assert await viewer.next() == b"999"
    waiting = asyncio.create_task(viewer.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    viewer.put(None)
    assert await waiting is None


async def test_pages_are_counted() -> None:
    hub = Hub(Looks())
    with ExitStack() as stack:
        for _ in range(MAX_VIEWERS):
            stack.enter_context(hub.viewing(View()))
        with pytest.raises(TooManyViewersError), hub.viewing(View()):
            pass
    with hub.viewing(View()):
        pass


async def test_a_source_that_is_gone_is_told_and_asked_again() -> None:
    source = Looks()
    source.error = SourceError("nobody there")
    hub = Hub(source)
    async with running(hub):
        with hub.viewing(View()) as viewer:
            assert await event(viewer) == ("lost", {"reason": "nobody there"})
            source.error = None
            assert (await event(viewer))[0] == "look"


async def test_a_source_that_fails_is_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    source = Looks()
    source.error = ZeroDivisionError("ours")
    hub = Hub(source)
    async with running(hub):
        with caplog.at_level(logging.ERROR), hub.viewing(View()) as viewer:
            for _ in range(2):
                name, data = await event(viewer)
                reason = "the dashboard failed; its log has the reason"
                assert (name, data["reason"]) == ("lost", reason)
    assert "ZeroDivisionError: ours" in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.parametrize("look", [{}, {"summary": {}, "tables": []}, None])
async def test_a_look_that_is_none_is_told_and_does_not_end_the_looking(look: Any) -> None:
    class Wrong(Looks):
        async def look(self, views: Sequence[View]) -> dict[str, Any]:
            right = await super().look(views)
            return look if len(self.views) == 1 else right

    hub = Hub(Wrong())
    async with running(hub):
        with hub.viewing(View()) as viewer:
            assert (await event(viewer))[0] == "lost"
            assert (await event(viewer))[0] == "look"


async def test_a_new_page_gets_the_points_before_it() -> None:
    source = Looks()
    hub = Hub(source)
    assert hub.history(0) == b"retry: 1000\nevent: history\ndata: []\n\n"
    async with running(hub):
        with hub.viewing(View()) as viewer:
            await event(viewer)
            await event(viewer)
    points = json.loads(hub.history(0).split(b"data: ")[1])
    assert [point["time"] for point in points] == [1.0, 2.0]
    assert b'"time": 1.0' not in hub.history(1.0)


async def test_the_end_is_told_to_those_that_watch_and_those_that_come() -> None:
    hub = Hub(Looks())
    with hub.viewing(View()) as viewer:
        hub.close()
        assert await viewer.next() is None
        with hub.viewing(View()) as late:
            assert await late.next() is None
