"""A session that is looked for while its client's program is started again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aio.ends import PATIENCE
from aio.scripted import until
from aio.session_peers import gone, read_welcome, say_hello

import sealframe
from sealframe import CloseCode, Connection, SessionInfo, Sessions
from sealframe.server.moving import (
    FoundSession,
    HiddenSessionError,
    LaterLink,
    MovedSession,
    SessionQuestion,
)
from sealframe.server.session_store import StoredSession
from sealframe.server.session_table import Attempt
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


class Others(Store):
    """Other servers, which say this, one answer after the other, once the test lets them."""

    def __init__(self, *answers: Callable[[SessionQuestion], FoundSession]) -> None:
        super().__init__()
        self.log.holds = False
        self.answers = list(answers)
        self.asked: list[Attempt] = []
        self.go_on = asyncio.Event()

    async def find_session(self, question: SessionQuestion) -> FoundSession:
        self.asked.append(question.attempt)
        await self.go_on.wait()
        return self.answers.pop(0)(question)


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


async def test_a_client_that_comes_again_is_not_late_where_its_earlier_link_was() -> None:
    """The answer to what was asked for the earlier one is none to the later one."""
    member = Others(lambda _: LaterLink((1, 2)), lambda question: MovedSession(question, 0, (), ()))
    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(ignore, "127.0.0.1", 0, sessions=Sessions(), cluster=member) as server,
    ):
        first = await say_hello(server, link=1, known=True)
        await until(lambda: len(member.asked) == 1)
        second = await say_hello(server, link=3, known=True)
        assert await first.read() is None
        member.go_on.set()
        await read_welcome(second)
        first.raw.close()
        second.raw.close()
    assert member.asked == [(1, 1), (1, 3)]


@pytest.mark.parametrize("later", [(1, 9), (2, 9)])
async def test_a_server_that_was_cut_off_does_not_know_who_has_the_log(later: Attempt) -> None:
    member = Others(lambda _: LaterLink(later))
    member.go_on.set()
    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(
            ignore, "127.0.0.1", 0, sessions=Sessions(store="cluster"), cluster=member
        ) as server,
    ):
        peer = await say_hello(server, start=2, known=True, writers=Writers(SECOND).encode())
        if later < (2, 1):
            await read_welcome(peer)
        else:
            assert await gone(peer) == CloseCode.SUPERSEDED
        peer.raw.close()


@pytest.mark.parametrize(
    ("later", "writer", "code"),
    [
        ((1, 9), FIRST.hex(), CloseCode.BUSY),
        ((1, 9), None, CloseCode.SUPERSEDED),
        ((2, 9), FIRST.hex(), CloseCode.SUPERSEDED),
    ],
)
async def test_a_server_that_was_cut_off_does_not_know_what_is_stored(
    later: Attempt, writer: str | None, code: CloseCode
) -> None:
    """Its state is over within keep: the client is to come again, until the program alone is
    asked. Where nobody has stored who wrote the last message, that would tell no copy apart."""

    async def load(_: SessionInfo) -> tuple[int, str | None]:
        return 1, writer

    member = Others(lambda _: LaterLink(later))
    member.go_on.set()
    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(
            ignore, "127.0.0.1", 0, sessions=Sessions(position=load), cluster=member
        ) as server,
    ):
        peer = await say_hello(
            server, start=2, known=True, writers=Writers(SECOND, (FIRST,)).encode()
        )
        assert await gone(peer) == code
        peer.raw.close()


@pytest.mark.parametrize("stored", [False, True], ids=["no-position", "position"])
async def test_a_server_that_hangs_is_waited_for_where_nothing_is_stored(stored: bool) -> None:
    def hides(_: SessionQuestion) -> FoundSession:
        raise HiddenSessionError("a server that hangs may have it")

    async def load(_: SessionInfo) -> int:
        return 3

    member = Others(hides)
    member.go_on.set()
    sessions = Sessions(position=load) if stored else Sessions()
    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(ignore, "127.0.0.1", 0, sessions=sessions, cluster=member) as server,
    ):
        peer = await say_hello(server, known=True, numbering=5, received=1, acknowledged=1)
        if stored:
            assert (await read_welcome(peer)).taken == 3
        else:
            assert await gone(peer) == CloseCode.BUSY
        peer.raw.close()
