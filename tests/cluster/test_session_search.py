"""Servers that are silent are asked for a sign of life by each search; here the test answers."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest
from aio.scripted import until

from sealframe.cluster.events import GoneReason, ProbeOutcome
from sealframe.cluster.sessions import SessionSearch
from sealframe.server.moving import HiddenSessionError, SessionQuestion

QUESTION = SessionQuestion(b"k" * 32, (0, 1), 1, 0)


class Searches:
    """The searches of a server that knows of no others but silent ones."""

    def __init__(self, *silent: str) -> None:
        self._probes: list[tuple[str, asyncio.Future[ProbeOutcome]]] = []
        self._search = SessionSearch(Mock(), list, lambda: None, self._probe)
        for server in silent:
            self.fall_silent(server)

    def fall_silent(self, server: str) -> None:
        self._search.server_gone(server, GoneReason.SILENT)

    async def _probe(self, server: str) -> ProbeOutcome:
        answer: asyncio.Future[ProbeOutcome] = asyncio.get_running_loop().create_future()
        self._probes.append((server, answer))
        return await answer

    async def begin(self, *asked: str) -> asyncio.Task[object]:
        """Begin one, and return it once it has asked these."""
        before = len(self._probes)
        task: asyncio.Task[object] = asyncio.create_task(self._search.find(QUESTION))
        await until(lambda: len(self._probes) == before + len(asked))
        assert {server for server, _ in self._probes[before:]} == set(asked)
        return task

    def answer(self, count: int, *, dead: str) -> None:
        """Answer the oldest probes: one server is dead, the others say nothing."""
        answered, self._probes = self._probes[:count], self._probes[count:]
        for server, answer in answered:
            gone = server == dead
            answer.set_result(ProbeOutcome.NO_RESPONDERS if gone else ProbeOutcome.SILENCE)


async def test_two_searches_at_a_time() -> None:
    """What the first one learns takes nothing from under the second."""
    searches = Searches("dead", "hangs")
    first = await searches.begin("dead", "hangs")
    second = await searches.begin("dead", "hangs")
    for search in (first, second):
        searches.answer(2, dead="dead")
        with pytest.raises(HiddenSessionError):
            await search
    third = await searches.begin("hangs")
    searches.answer(1, dead="hangs")
    assert await third is None


async def test_one_that_falls_silent_while_another_is_asked() -> None:
    searches = Searches("first")
    search = await searches.begin("first")
    searches.fall_silent("second")
    searches.answer(1, dead="first")
    assert await search is None
    search = await searches.begin("second")
    searches.answer(1, dead="second")
    assert await search is None
