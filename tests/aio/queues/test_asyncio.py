"""Calls in tasks, and what asyncio does to them."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from .post import Post, settle
from .test_calls import USED, calls, let_go, make_ready, make_wait, recv_one, send_one

if TYPE_CHECKING:
    from types import ModuleType

pytestmark = pytest.mark.timeout(30)


@calls
async def test_awaited(post: Post, make: Callable[[Post], Any]) -> None:
    make_ready(post)
    result = await make(post)
    assert result == (None if make is send_one else b"arrived")
    assert post.asked == (["sent"] if make is send_one else [])


@calls
@pytest.mark.parametrize("start", [asyncio.create_task, asyncio.ensure_future])
async def test_in_a_task(
    post: Post, make: Callable[[Post], Any], start: Callable[[Any], asyncio.Task[object]]
) -> None:
    make_ready(post)
    task = start(make(post))
    assert (len(post.outbox), len(post.inbox)) == (0, 2)
    assert await task == (None if make is send_one else b"arrived")


@calls
async def test_in_a_task_that_waits(post: Post, make: Callable[[Post], Any]) -> None:
    make_wait(post)
    task = asyncio.create_task(make(post))
    await settle()
    assert not task.done()
    let_go(post)
    assert await task == (None if make is send_one else b"arrived")


async def test_gathered(post: Post) -> None:
    messages = [bytes([n]) for n in range(50)]
    await asyncio.gather(*map(post.send, messages))
    assert post.written() == messages
    post.arrive(*messages)
    assert await asyncio.gather(*(post.recv() for _ in messages)) == messages
    post.arrive(b"now")
    waiting = asyncio.gather(*(post.recv() for _ in range(3)))
    await settle()
    post.arrive(b"one", b"two")
    assert await waiting == [b"now", b"one", b"two"]


async def test_in_a_group(post: Post) -> None:
    async with asyncio.TaskGroup() as group:
        for n in range(5):
            group.create_task(post.send(bytes([n])))
    assert post.written() == [bytes([n]) for n in range(5)]


@calls
async def test_wait_for(post: Post, make: Callable[[Post], Any]) -> None:
    make_ready(post)
    assert await asyncio.wait_for(make(post), 10) == (None if make is send_one else b"arrived")
    post.inbox.pop_many(None)
    post.written()
    make_wait(post)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(make(post), 0.001)
    let_go(post)
    assert (len(post.outbox), len(post.inbox)) == (0, 2)


@calls
async def test_timeout(post: Post, make: Callable[[Post], Any]) -> None:
    async with asyncio.timeout(10):
        make_ready(post)
        await make(post)
    post.inbox.pop_many(None)
    post.written()
    make_wait(post)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await make(post)
    let_go(post)
    assert (len(post.outbox), len(post.inbox)) == (0, 2)


@calls
@pytest.mark.parametrize("ready", [True, False])
async def test_cancelled_before_its_first_step(
    post: Post, make: Callable[[Post], Any], ready: bool
) -> None:
    if ready:
        make_ready(post)
    else:
        make_wait(post)
    task = asyncio.create_task(make(post))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (len(post.outbox), len(post.inbox)) == (0, 2 * ready)
    assert post.asked == []


@calls
async def test_cancelled_while_it_waits(post: Post, make: Callable[[Post], Any]) -> None:
    make_wait(post)
    task = asyncio.create_task(make(post))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    let_go(post)
    assert (len(post.outbox), len(post.inbox)) == (0, 2)


@calls
async def test_cancelled_after_it_was_woken(post: Post, make: Callable[[Post], Any]) -> None:
    make_wait(post)
    task = asyncio.create_task(make(post))
    await settle()
    let_go(post)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (len(post.outbox), len(post.inbox)) == (0, 2)


async def test_awaited_twice(post: Post) -> None:
    call = post.send(b"x")
    await call
    with pytest.raises(RuntimeError, match=USED):
        await call
    call = post.send(b"y")
    results = await asyncio.gather(asyncio.create_task(call), _await(call), return_exceptions=True)
    assert sorted(map(type, results), key=str) == [type(None), RuntimeError]
    assert post.written() == [b"x", b"y"]


async def _await(call: Any) -> object:
    return await call


async def test_errors_come_at_the_await(post: Post) -> None:
    call = post.send(5)
    with pytest.raises(TypeError, match="not int"):
        await call
    task = asyncio.create_task(post.send(5))
    with pytest.raises(TypeError, match="not int"):
        await task
    receiver = asyncio.create_task(post.recv())
    await settle()
    post.end()
    with pytest.raises(EOFError):
        await receiver


# async for


async def test_async_for_takes_what_is_there_then_waits_then_ends(post: Post) -> None:
    taken = []

    async def take() -> None:
        async for message in post:
            taken.append(message)  # noqa: PERF401 - each is looked at as it comes

    post.arrive(b"one", b"two")
    task = asyncio.create_task(take())
    await settle()
    assert taken == [b"one", b"two"]
    assert post.asked == ["next"]
    post.arrive(b"three", b"four", b"five")
    await settle()
    assert taken == [b"one", b"two", b"three", b"four", b"five"]
    assert not task.done()
    post.arrive(b"six")
    post.end()
    await task
    assert taken == [b"one", b"two", b"three", b"four", b"five", b"six"]


async def test_what_was_there_before_the_end_is_taken_first(post: Post) -> None:
    post.arrive(*[bytes([n]) for n in range(100)])
    post.end()
    assert [message async for message in post] == [bytes([n]) for n in range(100)]
    assert [message async for message in post] == []


async def test_a_break_leaves_the_rest(post: Post) -> None:
    make_ready(post)
    async for message in post:
        assert message == b"arrived"
        break
    assert await post.recv() == b"later"


async def test_an_error_ends_it(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(iterating: bool) -> bytes:
        raise ConnectionError("gone")

    monkeypatch.setattr(post, "_recv_slowly", broken)
    taken = []
    post.arrive(b"one")
    with pytest.raises(ConnectionError, match="gone"):
        async for message in post:
            taken.append(message)  # noqa: PERF401 - what came before the error counts
    assert taken == [b"one"]


async def test_an_ended_iterator_goes_on_where_more_comes(post: Post) -> None:
    iterator = aiter(post)
    post.end()
    with pytest.raises(StopAsyncIteration):
        await anext(iterator)
    assert await anext(iterator, b"default") == b"default"
    post.arrive(b"more")
    assert await anext(iterator, b"default") == b"more"


async def test_two_iterators_share_the_queue(post: Post) -> None:
    taken: list[tuple[str, bytes]] = []

    async def take(name: str) -> None:
        async for message in post:
            taken.append((name, message))
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(take(name)) for name in "ab"]
    messages = [bytes([n]) for n in range(20)]
    for message in messages:
        post.arrive(message)
        await settle()
    post.arrive(*messages)
    await settle()
    post.end()
    await asyncio.gather(*tasks)
    assert [message for _, message in taken] == messages * 2
    assert {name for name, _ in taken} == {"a", "b"}


async def test_anext_in_another_task(post: Post) -> None:
    make_ready(post)
    iterator = aiter(post)
    assert await asyncio.create_task(anext(iterator)) == b"arrived"
    assert await asyncio.wait_for(anext(iterator), 10) == b"later"
    task = asyncio.create_task(anext(iterator))
    await settle()
    post.arrive(b"at last")
    assert await task == b"at last"


@pytest.mark.parametrize("ready", [True, False])
async def test_an_iterator_outlives_a_cancelled_task(post: Post, ready: bool) -> None:
    """Otherwise a time-out would look like the end of the connection."""
    iterator = aiter(post)
    if ready:
        make_ready(post)
    for steps in (0, 1):
        task = asyncio.create_task(anext(iterator))
        for _ in range(0 if ready else steps):
            await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    if not ready:
        make_ready(post)
    assert await anext(iterator) == b"arrived"
    assert [message async for message in _until_empty(post, iterator)] == [b"later"]


async def _until_empty(post: Post, iterator: Any) -> Any:
    while len(post.inbox):
        yield await anext(iterator)


async def test_two_tasks_on_one_iterator(post: Post) -> None:
    iterator = aiter(post)
    tasks = [asyncio.create_task(anext(iterator)) for _ in range(2)]
    await settle()
    make_ready(post)
    assert await asyncio.gather(*tasks) == [b"arrived", b"later"]


# What asyncio shows of them


@pytest.mark.parametrize(("make", "name"), [(send_one, "send"), (recv_one, "recv")])
async def test_what_is_shown_of_a_task(post: Post, make: Callable[[Post], Any], name: str) -> None:
    make_wait(post)
    task = asyncio.create_task(make(post))
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
def test_in_debug_mode(twin: ModuleType, make: Callable[[Post], Any]) -> None:
    async def use() -> None:
        asyncio.get_running_loop().slow_callback_duration = 0  # every step is logged
        post = Post(twin)
        make_ready(post)
        await make(post)
        await asyncio.create_task(make(post))
        post.inbox.pop_many(None)
        make_wait(post)
        task = asyncio.create_task(make(post))
        await settle()
        assert repr(task)
        let_go(post)
        await task

    asyncio.run(use(), debug=True)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in Python 3.12")
@calls
async def test_eager_tasks(post: Post, make: Callable[[Post], Any]) -> None:
    kind: Any = asyncio.Task
    loop = asyncio.get_running_loop()
    make_ready(post)
    task = kind(make(post), loop=loop, eager_start=True)
    assert task.done()
    assert await task == (None if make is send_one else b"arrived")
    post.inbox.pop_many(None)
    make_wait(post)
    task = kind(make(post), loop=loop, eager_start=True)
    assert not task.done()
    let_go(post)
    assert await task == (None if make is send_one else b"arrived")


@calls
def test_run_by_hand(twin: ModuleType, make: Callable[[Post], Any]) -> None:
    post = Post(twin)
    make_ready(post)
    loop = asyncio.new_event_loop()
    try:
        result = loop.run_until_complete(make(post))
    finally:
        loop.close()
    assert result == (None if make is send_one else b"arrived")
