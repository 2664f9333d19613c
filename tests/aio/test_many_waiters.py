"""Cancelling a crowd of tasks that wait costs each of them the same, whatever their order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import sealframe
from sealframe import ClientOptions, Connection

ANY_LOOP = True

COUNT = 400
FILLER = bytes(1 << 20)
compared: list[object] = []
"""Futures that were compared with another one: to look through a queue compares."""


class ComparedFuture(asyncio.Future[Any]):
    def __eq__(self, other: object) -> bool:
        compared.append(other)
        return self is other

    __hash__ = asyncio.Future.__hash__


class ComparingLoop(asyncio.SelectorEventLoop):
    def create_future(self) -> ComparedFuture:
        return ComparedFuture(loop=self)


async def receive(conn: Connection) -> None:
    await conn.recv()


async def send(conn: Connection) -> None:
    await conn.send(FILLER)


async def ask(conn: Connection) -> None:
    await conn.request(b"")


async def open_stream(conn: Connection) -> None:
    await conn.open_stream()


async def await_the_end(conn: Connection) -> None:
    await conn.wait_closed()


async def cancel_many(begin: Callable[[Connection], Awaitable[None]], order: str) -> int:
    """Return how many comparisons it took to cancel the tasks that wait."""
    over = asyncio.Event()

    async def handler(conn: Connection) -> None:
        await over.wait()

    async def answer(conn: Connection, payload: bytes) -> bytes:
        await over.wait()
        return b""

    async def on_stream(stream: sealframe.Stream) -> None:
        await over.wait()

    options = ClientOptions(outbox_limit=1, close_timeout=0.1)
    async with (
        sealframe.serve(handler, "127.0.0.1", 0, on_request=answer, on_stream=on_stream) as server,
        sealframe.connect("127.0.0.1", server.port, extended=True, options=options) as conn,
    ):

        async def wait() -> None:
            await begin(conn)

        tasks = [asyncio.create_task(wait()) for _ in range(COUNT)]
        for _ in range(5):
            await asyncio.sleep(0)
        tasks = [task for task in tasks if not task.done()]
        assert len(tasks) > COUNT // 2
        if order == "newest first":
            tasks.reverse()
        elif order == "random":
            random.Random(1).shuffle(tasks)
        compared.clear()
        for task in tasks:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        cost = len(compared)
        assert all(isinstance(one, asyncio.CancelledError) for one in done)
        over.set()
        return cost


@pytest.mark.parametrize("order", ["newest first", "random"])
@pytest.mark.parametrize("begin", [receive, send, ask, open_stream, await_the_end])
def test_each_of_many_costs_the_same(
    begin: Callable[[Connection], Awaitable[None]], order: str
) -> None:
    with asyncio.Runner(loop_factory=ComparingLoop) as runner:
        assert runner.run(cancel_many(begin, order)) <= 4 * COUNT
