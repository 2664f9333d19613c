"""The thread that waits for the disk."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from sealframe.files.worker import Pool, StoppedError, Worker

from .pair import disk_threads, no_threads, until


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()
    await no_threads()


async def test_it_runs_one_after_the_other_in_one_thread(worker: Worker) -> None:
    names: list[tuple[int, str]] = []

    def note(number: int) -> int:
        names.append((number, threading.current_thread().name))
        return number

    running = [worker.start(note, number) for number in range(10)]
    assert [await worker.finish(one) for one in running] == list(range(10))
    assert [number for number, _ in names] == list(range(10))
    assert len({name for _, name in names}) == 1
    assert threading.current_thread().name not in dict(names).values()


async def test_workers_share_the_threads_of_a_pool() -> None:
    """Each does one thing after the other; all together have so many threads."""
    pool = Pool(2)
    workers = [Worker(pool) for _ in range(5)]
    order: dict[Worker, list[int]] = {worker: [] for worker in workers}
    leave = threading.Event()
    running = [worker.start(leave.wait) for worker in workers[:3]]
    await until(lambda: len(disk_threads()) == 2)
    for number in range(20):
        running += [worker.start(order[worker].append, number) for worker in workers]  # type: ignore[arg-type]
    assert len(disk_threads()) == 2
    assert not any(order.values())
    leave.set()
    for worker, one in zip([*workers[:3], *workers * 20], running, strict=True):
        await worker.finish(one)
    assert all(done == list(range(20)) for done in order.values())
    for worker in workers[:-1]:
        worker.close()
    assert disk_threads()
    workers[-1].close()
    await no_threads()


async def test_what_a_function_raises_comes_out(worker: Worker) -> None:
    def fail() -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        await worker.run(fail)
    assert await worker.run(lambda: 1) == 1


async def test_a_failure_that_nobody_waits_for_is_no_news(worker: Worker) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    def fail() -> None:
        raise OSError("full")

    worker.start(fail)
    await worker.run(lambda: None)
    assert not complaints


async def test_who_is_cancelled_waits_for_what_runs(worker: Worker) -> None:
    entered, leave = threading.Event(), threading.Event()

    def work() -> None:
        entered.set()
        leave.wait()

    waiting = asyncio.create_task(worker.run(work))
    await until(entered.is_set)
    for _ in range(3):
        waiting.cancel()
        await asyncio.sleep(0)
        assert not waiting.done()
    leave.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_long_work_notices_that_nobody_waits(worker: Worker) -> None:
    steps = 0
    begun = threading.Event()

    def work() -> None:
        nonlocal steps
        while True:
            worker.check()
            steps += 1
            begun.set()

    waiting = asyncio.create_task(worker.run(work))
    await until(begun.is_set)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(StoppedError):
        worker.check()


async def test_a_thread_with_nothing_to_do_ends_and_another_one_follows(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealframe.files.worker._IDLE", 0.01)
    await worker.run(lambda: None)
    await until(lambda: not disk_threads())
    assert await worker.run(lambda: 2) == 2


def test_threads_end_also_where_an_earlier_event_loop_was_to_see_to_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = Pool(1)
    pool.enter()

    async def use() -> None:
        worker = Worker(pool)
        await worker.run(lambda: None)
        worker.close()

    async def use_and_stay() -> None:
        await use()
        await until(lambda: not disk_threads())

    asyncio.run(use())
    monkeypatch.setattr("sealframe.files.worker._IDLE", 0.01)
    asyncio.run(use_and_stay())
    pool.leave()


async def test_a_thread_that_works_long_is_not_idle(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealframe.files.worker._IDLE", 0.001)
    order: list[int] = []
    leave = threading.Event()

    def work() -> None:
        leave.wait()
        order.append(1)

    first = worker.start(work)
    await asyncio.sleep(0.02)
    second = worker.start(order.append, 2)
    assert len(disk_threads()) == 1
    leave.set()
    await worker.finish(first)
    await worker.finish(second)
    assert order == [1, 2]
