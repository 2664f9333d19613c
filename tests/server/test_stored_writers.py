"""Servers that have one database of positions and writers, and no cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aio.scripted import Peer, until
from aio.session_peers import read_welcome, say_hello

import sealframe
from sealframe import CloseCode, Connection, Server, ServerOptions, SessionInfo, Sessions
from sealframe.wire.writers import Writers

ANY_LOOP = True

pytestmark = pytest.mark.usefixtures("no_leaks")

FIRST, SECOND, THIRD, COPY = (bytes([number]) * 8 for number in (1, 2, 3, 4))


class Database:
    """What the handlers of all servers have stored for the only session."""

    def __init__(self) -> None:
        self.stored: tuple[int, str | None] = (0, None)
        self.begun: list[tuple[int, str]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def load(self, session: SessionInfo) -> Any:
        return self.stored

    async def handler(self, conn: Connection) -> None:
        self.begun.append((conn.position, conn.session.writer))
        async for _ in conn:
            await self.go_on.wait()
            if conn.position == self.stored[0] + 1:
                self.stored = conn.position, conn.session.writer

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Server]:
        async with sealframe.serve(
            self.handler,
            "127.0.0.1",
            0,
            sessions=Sessions(position=self.load),
            options=ServerOptions(close_timeout=0.1),
        ) as server:
            yield server


async def come(server: Server, start: int, own: bytes, *earlier: bytes) -> Peer:
    return await say_hello(server, start=start, writers=Writers(own, earlier).encode())


async def deliver(peer: Peer, count: int = 1) -> None:
    await read_welcome(peer)
    await peer.write(b"\1\0\0\0x" * count)


async def refused(peer: Peer) -> None:
    assert (await peer.read_close()).code == CloseCode.SUPERSEDED
    peer.raw.close()


@pytest.mark.parametrize("unfinished", [0, 1])
async def test_what_a_server_has_of_an_earlier_start_refuses_nobody(unfinished: int) -> None:
    """It keeps a session that has gone on at the other one, which the database knows."""
    database = Database()
    async with asyncio.timeout(5), database.serving() as one, database.serving() as two:
        first = await come(one, 1, FIRST)
        await deliver(first)
        await until(lambda: database.stored == (1, FIRST.hex()))
        if unfinished:
            database.go_on.clear()
            await first.write(b"\1\0\0\0x")
            await until(lambda: one.stats()["messages_received"] == 2)
        second = await come(two, 2, SECOND, FIRST)
        await deliver(second)
        database.go_on.set()
        await until(lambda: database.stored[0] == 2)
        database.stored = 2, SECOND.hex()
        await refused(await come(one, 3, COPY, COPY))
        third = await come(one, 3, THIRD, SECOND)
        assert (await read_welcome(third)).taken == 2
        assert database.begun[-1] == (2, SECOND.hex())
        for peer in (first, second, third):
            peer.raw.close()


@pytest.mark.parametrize("stored", [0, 1])
async def test_a_server_that_has_more_than_the_database_refuses_a_copy(stored: int) -> None:
    """What it has in hand is stored soon, and is of another start."""
    database = Database()
    async with asyncio.timeout(5), database.serving() as server:
        first = await come(server, 1, FIRST)
        await deliver(first, stored)
        await until(lambda: database.stored[0] == stored)
        database.go_on.clear()
        await first.write(b"\1\0\0\0x")
        await until(lambda: server.stats()["messages_received"] == stored + 1)
        database.stored = stored, THIRD.hex()
        await refused(await come(server, 2, COPY, THIRD))
        database.go_on.set()
        first.raw.close()


async def test_the_writer_belongs_to_the_position_before_the_first_message_too() -> None:
    database = Database()
    async with asyncio.timeout(5), database.serving() as server:
        first = await come(server, 1, FIRST)
        await deliver(first)
        await until(lambda: database.stored == (1, FIRST.hex()))
        second = await come(server, 2, SECOND, FIRST)
        await read_welcome(second)
        await until(lambda: len(database.begun) == 2)
        assert database.begun == [(0, ""), (1, FIRST.hex())]
        await second.write(b"\1\0\0\0x")
        await until(lambda: database.stored == (2, SECOND.hex()))
        first.raw.close()
        second.raw.close()


async def test_nobody_has_written_what_is_not_there() -> None:
    """A handler that stores the writer before the first message locks nobody out."""
    database = Database()
    database.stored = 0, FIRST.hex()
    async with asyncio.timeout(5), database.serving() as server:
        peer = await come(server, 3, THIRD, SECOND)
        assert (await read_welcome(peer)).taken == 0
        peer.raw.close()
