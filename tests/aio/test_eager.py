"""The first step of a coroutine runs at once, and in a task like any other."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import sys
import warnings
import weakref
from collections.abc import Coroutine
from typing import Any

import pytest

from sealframe.aio.eager import EagerStart

from .ends import PATIENCE
from .scripted import until

pytestmark = pytest.mark.usefixtures("no_leaks")

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Starter:
    """Starts coroutines from a callback of the event loop, as a connection does."""

    def __init__(self) -> None:
        self.eager = EagerStart()
        self.loop = asyncio.get_running_loop()

    async def warm_up(self) -> None:
        """Have a spare task parked, where there are any."""
        await self(nothing())
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def __call__(
        self, running: Coroutine[Any, Any, None], name: str = "given"
    ) -> asyncio.Task[None] | None:
        """Start one; return what is returned."""
        started: asyncio.Future[asyncio.Task[None] | None] = self.loop.create_future()

        def start() -> None:
            try:
                started.set_result(self.eager.start(running, name))
            except BaseException as error:  # noqa: BLE001 - it is raised here
                started.set_exception(error)

        self.loop.call_soon(start)
        return await started


@pytest.fixture
async def start() -> Starter:
    starter = Starter()
    await starter.warm_up()
    return starter


async def nothing() -> None:
    pass


async def test_what_does_not_wait_is_over_at_once(start: Starter) -> None:
    for _ in range(3):
        assert await start(nothing()) is None


async def test_the_first_step_has_a_task_and_the_rest_the_same(start: Starter) -> None:
    seen: list[asyncio.Task[Any] | None] = []
    go_on = asyncio.Event()

    async def look() -> None:
        for _ in range(3):
            task = asyncio.current_task()
            assert task is not None
            seen.append(task)
            assert task.get_name() == "given"
            await go_on.wait()
            await asyncio.sleep(0)

    task = await start(look())
    assert task is not None
    assert seen == [task]
    assert task in asyncio.all_tasks()
    go_on.set()
    await task
    assert set(seen) == {task}
    assert asyncio.current_task() is not task


async def test_two_that_wait_have_a_task_each(start: Starter) -> None:
    go_on = asyncio.Event()

    async def wait() -> None:
        await go_on.wait()

    tasks = [await start(wait()) for _ in range(5)]
    assert None not in tasks
    assert len(set(tasks)) == 5
    go_on.set()
    await asyncio.gather(*filter(None, tasks))


async def test_a_timeout_works_in_the_first_step(start: Starter) -> None:
    told: list[str] = []

    async def time_out() -> None:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            told.append("timed out")

    async def in_time() -> None:
        async with asyncio.timeout(PATIENCE):
            await nothing()
            told.append("in time")

    task = await start(time_out())
    assert task is not None
    await task
    await asyncio.sleep(0)
    assert await start(in_time()) is None
    assert told == ["timed out", "in time"]


@pytest.mark.parametrize("turns", [0, 1, 5])
async def test_it_can_be_cancelled_at_any_time(start: Starter, turns: int) -> None:
    told: list[str] = []
    inner: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait() -> None:
        try:
            await inner
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    task = await start(wait())
    assert task is not None
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["cancelled"]
    assert task.cancelled()
    # What it waited for is cancelled, too, as it is by any task.
    assert inner.cancelled()


async def test_it_may_go_on_after_a_cancellation(start: Starter) -> None:
    told: list[str] = []

    async def wait() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        told.append("went on")

    async def cancelled_between() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        told.append("went on")

    for running in (wait(), cancelled_between()):
        task = await start(running)
        assert task is not None
        task.cancel()
        await task
    assert told == ["went on"] * 2


async def test_it_may_cancel_itself(start: Starter) -> None:
    def cancel() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    async def and_end() -> None:
        cancel()

    async def and_wait() -> None:
        cancel()
        await asyncio.Event().wait()

    await start(and_end())
    task = await start(and_wait())
    assert task is not None
    with pytest.raises(asyncio.CancelledError):
        await task
    await start.warm_up()
    assert await start(nothing()) is None


async def test_what_it_raises_later_is_the_tasks(start: Starter) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("odd")

    task = await start(fail())
    assert task is not None
    with pytest.raises(ValueError, match="odd"):
        await task


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="a task of asyncio also keeps it")
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_what_ends_the_program_is_raised_at_once(
    start: Starter, kind: type[BaseException]
) -> None:
    caught: list[type[BaseException]] = []

    async def interrupt() -> None:
        raise kind

    def interrupted() -> None:
        try:
            start.eager.start(interrupt(), "x")
        except (KeyboardInterrupt, SystemExit) as error:
            caught.append(type(error))

    start.loop.call_soon(interrupted)
    await until(lambda: bool(caught))
    assert caught == [kind]


async def test_context_variables_are_its_own(start: Starter) -> None:
    seen: list[str] = []

    async def set_it() -> None:
        seen.append(variable.get())
        variable.set("set")
        seen.append(variable.get())

    async def set_it_and_wait() -> None:
        await set_it()
        await asyncio.sleep(0)
        seen.append(variable.get())

    await start(set_it())
    await start.warm_up()
    task = await start(set_it_and_wait())
    assert task is not None
    await task
    assert seen == ["unset", "set", "unset", "set", "set"]
    assert variable.get() == "unset"


async def test_it_sees_the_context_of_its_start(start: Starter) -> None:
    seen: list[str] = []

    async def look() -> None:
        seen.append(variable.get())

    async def within(value: str) -> None:
        variable.set(value)
        task = await start(look())
        if task is not None:
            await task

    for value in ("1", "2", "2", "3"):
        await asyncio.create_task(within(value))
    assert seen == ["1", "2", "2", "3"]


async def test_nobody_gets_the_task_of_another(start: Starter) -> None:
    """Whoever has a task finds no other work in it, and that it ends."""
    strong: list[asyncio.Task[Any]] = []
    weak: list[weakref.ref[asyncio.Task[Any]]] = []
    done: list[asyncio.Task[Any]] = []

    def current() -> asyncio.Task[Any]:
        task = asyncio.current_task()
        assert task is not None
        return task

    async def keep() -> None:
        strong.append(current())

    async def keep_weakly() -> None:
        weak.append(weakref.ref(current()))

    async def add_callback() -> None:
        current().add_done_callback(done.append)

    async def give_up() -> None:
        strong.append(current())
        raise asyncio.CancelledError

    shared: list[bool] = []

    async def look() -> None:
        shared.append(current() in strong or any(ref() is current() for ref in weak))

    for leave_a_trace in (keep, keep_weakly, add_callback, give_up):
        await start(leave_a_trace())
        task = await start(look())
        if task is not None:
            await task
        await start.warm_up()
    assert not any(shared)
    await until(lambda: len(done) == 1)
    assert done[0].done()
    await until(lambda: all(task.done() for task in strong))
    assert [task.cancelled() for task in strong] == [False, True]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="asyncio makes a task for each")
async def test_one_spare_serves_many(start: Starter) -> None:
    seen: set[int] = set()

    async def look() -> None:
        seen.add(id(asyncio.current_task()))

    for _ in range(20):
        assert await start(look()) is None
    assert len(seen) == 1


async def test_a_task_factory_of_the_program_is_used(start: Starter) -> None:
    made: list[str] = []
    loop: Any = asyncio.get_running_loop()

    def make(loop: Any, running: Any, **more: Any) -> asyncio.Task[Any]:
        made.append("task")
        return asyncio.Task(running, loop=loop, **more)

    loop.set_task_factory(make)
    try:
        task = await start(nothing())
    finally:
        loop.set_task_factory(None)
    assert task is not None
    await task
    assert made == ["task"]


async def test_from_within_a_task_it_is_a_plain_one(start: Starter) -> None:
    task = start.eager.start(nothing(), "x")
    assert task is not None
    await task


async def test_idle_spares_are_no_tasks_of_the_program(start: Starter) -> None:
    before = asyncio.all_tasks()
    assert await start(nothing()) is None
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("adopted", [False, True])
def test_the_end_of_the_loop_leaves_nothing(adopted: bool) -> None:
    complaints: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
        start = Starter()
        await start.warm_up()
        if adopted:
            assert await start(asyncio.Event().wait()) is not None  # type: ignore[arg-type]
        await start.warm_up()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(main())
        gc.collect()
    assert complaints == []
    assert caught == []


async def test_many_things_to_wait_for(start: Starter) -> None:
    """A future that is done by the time the task takes it over, an inner task, a turn."""
    told: list[str] = []
    loop = asyncio.get_running_loop()

    async def one_of_each() -> None:
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future
        told.append("future")
        await asyncio.create_task(asyncio.sleep(0))
        told.append("task")
        await asyncio.sleep(0)
        told.append("turn")
        await asyncio.sleep(0.001)
        told.append("time")

    task = await start(one_of_each())
    assert task is not None
    assert told == []
    await task
    assert told == ["future", "task", "turn", "time"]
    await until(lambda: task not in asyncio.all_tasks())
