"""Tasks of the program's functions start in the next turn, whatever makes tasks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sealframe.aio.tasks import start_task

pytestmark = pytest.mark.usefixtures("no_leaks")

EAGER = True


@pytest.fixture(params=["as it is", "plain factory"])
async def factory(request: pytest.FixtureRequest) -> None:
    """Also of a program whose own factory makes tasks of the usual kind."""

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coroutine, loop=loop, **more)

    if request.param == "plain factory":
        asyncio.get_running_loop().set_task_factory(make)


async def test_it_begins_in_the_next_turn(factory: None) -> None:
    steps: list[asyncio.Task[Any] | None] = []

    async def work(first: int, second: int) -> int:
        steps.append(asyncio.current_task())
        await asyncio.sleep(0)
        return first + second

    task = start_task(work, 1, 2, name="given")
    assert task.get_name() == "given"
    assert steps == []
    await asyncio.sleep(0)
    assert steps == [task]
    assert await task == 3


async def test_cancelled_before_that_it_never_begins(factory: None) -> None:
    async def work() -> None:
        pytest.fail("it began")

    task = start_task(work)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
