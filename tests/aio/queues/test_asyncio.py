"""Calls in tasks, and what asyncio does to them."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from ..ends import PATIENCE
from .fake_connection import FakeConnection, settle
from .test_calls import USED, calls, let_go, make_ready, make_wait, recv_one, send_one

if TYPE_CHECKING:
    from types import ModuleType

pytestmark = pytest.mark.timeout(30)


@calls
async def test_awaited(conn: FakeConnection, make: Callable[[FakeConnection], Any]) -> None:
    make_ready(conn)
    result = await make(conn)
    assert result == (None if make is send_one else b"arrived")
    assert conn.asked == (["flush"] if make is send_one else [])


@calls
@pytest.mark.parametrize("start", [asyncio.create_task, asyncio.ensure_future])
async def test_in_a_task(
    conn: FakeConnection,
    make: Callable[[FakeConnection], Any],
    start: Callable[[Any], asyncio.Task[object]],
) -> None:
    make_ready(conn)
    task = start(make(conn))
    assert (len(conn.send_queue), len(conn.receive_queue)) == (0, 2)
    assert await task == (None if make is send_one else b"arrived")


@calls
async def test_in_a_task_that_waits(
    conn: FakeConnection, make: Callable[[FakeConnection], Any]
) -> None:
    make_wait(conn)
    task = asyncio.create_task(make(conn))
    await settle()
    assert not task.done()
    let_go(conn)
    assert await task == (None if make is send_one else b"arrived")


async def test_gathered(conn: FakeConnection) -> None:
    messages = [bytes([n]) for n in range(50)]
    await asyncio.gather(*map(conn.send, messages))
    assert conn.written() == messages
    conn.arrive(*messages)
    assert await asyncio.gather(*(conn.recv() for _ in messages)) == messages
    conn.arrive(b"now")
    waiting = asyncio.gather(*(conn.recv() for _ in range(3)))
    await settle()
    conn.arrive(b"one", b"two")
    assert await waiting == [b"now", b"one", b"two"]


async def test_in_a_group(conn: FakeConnection) -> None:
    async with asyncio.TaskGroup() as group:
        for n in range(5):
            group.create_task(conn.send(bytes([n])))
    assert conn.written() == [bytes([n]) for n in range(5)]


@calls
async def test_wait_for(conn: FakeConnection, make: Callable[[FakeConnection], Any]) -> None:
    make_ready(conn)
    assert await asyncio.wait_for(make(conn), 10) == (None if make is send_one else b"arrived")
    conn.receive_queue.pop_many(None)
    conn.written()
    make_wait(conn)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(make(conn), 0.001)
    let_go(conn)
    assert (len(conn.send_queue), len(conn.receive_queue)) == (0, 2)


@calls
async def test_timeout(conn: FakeConnection, make: Callable[[FakeConnection], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        make_ready(conn)
        await make(conn)
    conn.receive_queue.pop_many(None)
    conn.written()
    make_wait(conn)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await make(conn)
    let_go(conn)
    assert (len(conn.send_queue), len(conn.receive_queue)) == (0, 2)


@calls
@pytest.mark.parametrize("ready", [True, False])
async def test_cancelled_before_its_first_step(
    conn: FakeConnection, make: Callable[[FakeConnection], Any], ready: bool
) -> None:
    if ready:
        make_ready(conn)
    else:
        make_wait(conn)
    task = asyncio.create_task(make(conn))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (len(conn.send_queue), len(conn.receive_queue)) == (0, 2 * ready)
    assert conn.asked == []


@calls
async def test_cancelled_while_it_waits(
    conn: FakeConnection, make: Callable[[FakeConnection], Any]
) -> None:
    make_wait(conn)
    task = asyncio.create_task(make(conn))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    let_go(conn)
    assert (len(conn.send_queue), len(conn.receive_queue)) == (0, 2)


@calls
async def test_cancelled_after_it_was_woken(
    conn: FakeConnection, make: Callable[[FakeConnection], Any]
) -> None:
    make_wait(conn)
    task = asyncio.create_task(make(conn))
    await settle()
    let_go(conn)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (len(conn.send_queue), len(conn.receive_queue)) == (0, 2)


async def test_awaited_twice(conn: FakeConnection) -> None:
    call = conn.send(b"x")
    await call
    with pytest.raises(RuntimeError, match=USED):
        await call
    call = conn.send(b"y")
    results = await asyncio.gather(asyncio.create_task(call), _await(call), return_exceptions=True)
    assert sorted(map(type, results), key=str) == [type(None), RuntimeError]
    assert conn.written() == [b"x", b"y"]


async def _await(call: Any) -> object:
    return await call


async def test_errors_come_at_the_await(conn: FakeConnection) -> None:
    call = conn.send(5)
    with pytest.raises(TypeError, match="not int"):
        await call
    task = asyncio.create_task(conn.send(5))
    with pytest.raises(TypeError, match="not int"):
        await task
    receiver = asyncio.create_task(conn.recv())
    await settle()
    conn.end()
    with pytest.raises(EOFError):
        await receiver


# async for


async def test_async_for_takes_what_is_there_then_waits_then_ends(conn: FakeConnection) -> None:
    taken = []

    async def take() -> None:
        async for message in conn:
            taken.append(message)  # noqa: PERF401 - each is looked at as it comes

    conn.arrive(b"one", b"two")
    task = asyncio.create_task(take())
    await settle()
    assert taken == [b"one", b"two"]
    assert conn.asked == ["next"]
    conn.arrive(b"three", b"four", b"five")
    await settle()
    assert taken == [b"one", b"two", b"three", b"four", b"five"]
    assert not task.done()
    conn.arrive(b"six")
    conn.end()
    await task
    assert taken == [b"one", b"two", b"three", b"four", b"five", b"six"]


async def test_what_was_there_before_the_end_is_taken_first(conn: FakeConnection) -> None:
    conn.arrive(*[bytes([n]) for n in range(100)])
    conn.end()
    assert [message async for message in conn] == [bytes([n]) for n in range(100)]
    assert [message async for message in conn] == []


async def test_a_break_leaves_the_rest(conn: FakeConnection) -> None:
    make_ready(conn)
    async for message in conn:
        assert message == b"arrived"
        break
    assert await conn.recv() == b"later"


async def test_an_error_ends_it(conn: FakeConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(iterating: bool) -> bytes:
        raise ConnectionError("gone")

    monkeypatch.setattr(conn, "recv_slow_path", broken)
    taken = []
    conn.arrive(b"one")
    with pytest.raises(ConnectionError, match="gone"):
        async for message in conn:
            taken.append(message)  # noqa: PERF401 - what came before the error counts
    assert taken == [b"one"]


async def test_an_ended_iterator_goes_on_where_more_comes(conn: FakeConnection) -> None:
    iterator = aiter(conn)
    conn.end()
    with pytest.raises(StopAsyncIteration):
        await anext(iterator)
    assert await anext(iterator, b"default") == b"default"
    conn.arrive(b"more")
    assert await anext(iterator, b"default") == b"more"


async def test_two_iterators_share_the_queue(conn: FakeConnection) -> None:
    taken: list[tuple[str, bytes]] = []

    async def take(name: str) -> None:
        async for message in conn:
            taken.append((name, message))
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(take(name)) for name in "ab"]
    messages = [bytes([n]) for n in range(20)]
    for message in messages:
        conn.arrive(message)
        await settle()
    conn.arrive(*messages)
    await settle()
    conn.end()
    await asyncio.gather(*tasks)
    assert [message for _, message in taken] == messages * 2
    assert {name for name, _ in taken} == {"a", "b"}


async def test_anext_in_another_task(conn: FakeConnection) -> None:
    make_ready(conn)
    iterator = aiter(conn)
    assert await asyncio.create_task(anext(iterator)) == b"arrived"
    assert await asyncio.wait_for(anext(iterator), 10) == b"later"
    task = asyncio.create_task(anext(iterator))
    await settle()
    conn.arrive(b"at last")
    assert await task == b"at last"


@pytest.mark.parametrize("ready", [True, False])
async def test_an_iterator_outlives_a_cancelled_task(conn: FakeConnection, ready: bool) -> None:
    """Otherwise a time-out would look like the end of the connection."""
    iterator = aiter(conn)
    if ready:
        make_ready(conn)
    for steps in (0, 1):
        task = asyncio.create_task(anext(iterator))
        for _ in range(0 if ready else steps):
            await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    if not ready:
        make_ready(conn)
    assert await anext(iterator) == b"arrived"
    assert [message async for message in _until_empty(conn, iterator)] == [b"later"]


async def _until_empty(conn: FakeConnection, iterator: Any) -> Any:
    while len(conn.receive_queue):
        yield await anext(iterator)


async def test_two_tasks_on_one_iterator(conn: FakeConnection) -> None:
    iterator = aiter(conn)
    tasks = [asyncio.create_task(anext(iterator)) for _ in range(2)]
    await settle()
    make_ready(conn)
    assert await asyncio.gather(*tasks) == [b"arrived", b"later"]


# What asyncio shows of them


@pytest.mark.parametrize(("make", "name"), [(send_one, "send"), (recv_one, "recv")])
async def test_what_is_shown_of_a_task(
    conn: FakeConnection, make: Callable[[FakeConnection], Any], name: str
) -> None:
    make_wait(conn)
    task = asyncio.create_task(make(conn))
    assert f"Connection.{name}" in repr(task)
    assert isinstance(task.get_stack(), list)
    await settle()
    assert f"Connection.{name}" in repr(task)
    assert "wait_for=" in repr(task)
    text = io.StringIO()
    task.print_stack(file=text)
    assert f"Connection.{name}" in text.getvalue()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert "cancelled" in repr(task)
    assert f"Connection.{name}" in repr(task)


@calls
def test_in_debug_mode(backend: ModuleType, make: Callable[[FakeConnection], Any]) -> None:
    async def use() -> None:
        asyncio.get_running_loop().slow_callback_duration = 0  # every step is logged
        conn = FakeConnection(backend)
        make_ready(conn)
        await make(conn)
        await asyncio.create_task(make(conn))
        conn.receive_queue.pop_many(None)
        make_wait(conn)
        task = asyncio.create_task(make(conn))
        await settle()
        assert repr(task)
        let_go(conn)
        await task

    asyncio.run(use(), debug=True)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in Python 3.12")
@calls
async def test_eager_tasks(conn: FakeConnection, make: Callable[[FakeConnection], Any]) -> None:
    kind: Any = asyncio.Task
    loop = asyncio.get_running_loop()
    make_ready(conn)
    task = kind(make(conn), loop=loop, eager_start=True)
    assert task.done()
    assert await task == (None if make is send_one else b"arrived")
    conn.receive_queue.pop_many(None)
    make_wait(conn)
    task = kind(make(conn), loop=loop, eager_start=True)
    assert not task.done()
    let_go(conn)
    assert await task == (None if make is send_one else b"arrived")


@calls
def test_run_by_hand(backend: ModuleType, make: Callable[[FakeConnection], Any]) -> None:
    conn = FakeConnection(backend)
    make_ready(conn)
    loop = asyncio.new_event_loop()
    try:
        result = loop.run_until_complete(make(conn))
    finally:
        loop.close()
    assert result == (None if make is send_one else b"arrived")
