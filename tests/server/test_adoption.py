"""A session that is looked for while its client's program is started again."""

from __future__ import annotations

import asyncio

import pytest
from aio.ends import PATIENCE
from aio.scripted import until
from aio.session_peers import read_welcome, say_hello

import sealframe
from sealframe import Connection, SessionInfo, Sessions
from sealframe.server.moving import SessionQuestion
from sealframe.server.session_store import StoredSession
from sealframe.wire.writers import Writers

from .held_log import Store

ANY_LOOP = True

pytestmark = pytest.mark.usefixtures("no_leaks")

FIRST, SECOND = b"11111111", b"22222222"


class Slow(Store):
    """A log that is read once the test lets it be."""

    def __init__(self) -> None:
        super().__init__()
        self.log.holds = False
        self.go_on = asyncio.Event()

    async def take_session_over(
        self, question: SessionQuestion, numbering: int, known: bool
    ) -> StoredSession:
        found = await super().take_session_over(question, numbering, known)
        await self.go_on.wait()
        return found


async def ignore(conn: Connection) -> None:
    async for _ in conn:
        pass


async def test_the_log_names_the_start_that_goes_on() -> None:
    """What it names otherwise is a start of which the client's file knows nothing."""
    member = Slow()
    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(
            ignore, "127.0.0.1", 0, sessions=Sessions(store="cluster"), cluster=member
        ) as server,
    ):
        first = await say_hello(server, writers=Writers(FIRST).encode())
        await until(lambda: len(member.questions) == 1)
        second = await say_hello(server, start=2, writers=Writers(SECOND).encode())
        assert await first.read() is None
        member.go_on.set()
        await read_welcome(second)
        first.raw.close()
        second.raw.close()
    last = member.questions[-1]
    assert last.attempt == (2, 1)
    assert last.writers == Writers(SECOND)


async def test_the_program_is_asked_for_the_start_that_goes_on() -> None:
    async def load(info: SessionInfo) -> int:
        asked.append(info.writer)
        await go_on.wait()
        return 0

    asked: list[str] = []
    go_on = asyncio.Event()
    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(ignore, "127.0.0.1", 0, sessions=Sessions(position=load)) as server,
    ):
        first = await say_hello(server, writers=Writers(FIRST).encode())
        await until(lambda: len(asked) == 1)
        second = await say_hello(server, start=2, writers=Writers(SECOND).encode())
        assert await first.read() is None
        go_on.set()
        await read_welcome(second)
        first.raw.close()
        second.raw.close()
    assert asked == [FIRST.hex(), SECOND.hex()]


async def test_each_further_start_takes_the_place_of_the_one_that_waits() -> None:
    async def handler(conn: Connection) -> None:
        await done.wait()

    done = asyncio.Event()
    member = Slow()
    member.go_on.set()
    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(
            handler, "127.0.0.1", 0, sessions=Sessions(store="cluster"), cluster=member
        ) as server,
    ):
        peers = [await say_hello(server)]
        await read_welcome(peers[0])
        try:
            async with asyncio.timeout(2):
                for start in (2, 3, 4):
                    peers.append(await say_hello(server, start=start))
                    if start > 2:
                        assert await peers[-2].read() is None
                    # By then it waits for the handler of the first.
                    other = await say_hello(server, token=bytes([start]) * 16)
                    await read_welcome(other)
                    other.raw.close()
                done.set()
                await read_welcome(peers[-1])
        finally:
            done.set()
            for peer in peers:
                peer.raw.close()
