"""Both ends of a session close while its link is cut near the end: nothing is lost, and both know.

The rules are docs/PROTOCOL.md, section 12: both come back until both closes are known to have
arrived. :mod:`core.test_session_closing` has the same without sockets, at every byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum

import pytest
from aio.cutting import CuttingProxy, Fault, Plan, always
from aio.ends import PATIENCE
from mitm.middle import Way

import sealframe
from sealframe import ClientOptions, Connection, Server, ServerOptions, Sessions

pytestmark = pytest.mark.usefixtures("no_leaks")

QUICK = ClientOptions(backoff_initial=0.001, backoff_maximum=0.01, close_timeout=PATIENCE)
WORDS = [b"one" * 20, b"two" * 20]
ANY_LOOP = True

NEAR = 60
"""Bytes before the end of a link within which it is cut: the last messages of either end, their
acknowledgements and both CLOSE."""
STEP = 3
"""Bytes between two cuts: few enough for every frame of these to be cut short."""


class Closes(Enum):
    """Who closes first."""

    CLIENT = "client"
    SERVER = "server"


class Talk:
    """A server, and a way to it, over which one conversation after the other is held."""

    def __init__(self, server: Server, proxy: CuttingProxy, closes: Closes) -> None:
        self.server = server
        self.proxy = proxy
        self._closes = closes
        self.ended: asyncio.Queue[tuple[list[bytes], bool]] = asyncio.Queue()

    async def serve(self, conn: Connection) -> None:
        """Take all, give as much, and close."""
        got = [await conn.recv() for _ in WORDS]
        for word in WORDS:
            await conn.send(word)
        if self._closes is Closes.CLIENT:
            got += [word async for word in conn]
        self.ended.put_nowait((got, await conn.close()))

    async def hold(self, plan: Plan) -> tuple[int, int]:
        """Hold one conversation, whose first link fares as the plan says, and check that all has
        arrived and both know it; return how many bytes came and went, of all links."""
        first = self.proxy.connections
        self.proxy.plans = lambda number: plan if number == first else Plan()
        async with asyncio.timeout(PATIENCE):
            conn = await sealframe.connect(
                "127.0.0.1", self.proxy.port, session=True, options=QUICK
            )
            for word in WORDS:
                await conn.send(word)
            got = [await conn.recv() for _ in WORDS]
            if self._closes is Closes.SERVER:
                got += [word async for word in conn]
            closed = await conn.close()
            arrived, closed_there = await self.ended.get()
        assert got == arrived == WORDS, plan
        assert (closed, closed_there) == (True, True), plan
        return conn.stats.bytes_received, conn.stats.bytes_sent


@asynccontextmanager
async def talking(closes: Closes) -> AsyncIterator[Talk]:
    talk: Talk

    async def handler(conn: Connection) -> None:
        await talk.serve(conn)

    options = ServerOptions(close_timeout=PATIENCE)
    async with (
        sealframe.serve(handler, "127.0.0.1", 0, sessions=Sessions(), options=options) as server,
        CuttingProxy(server.port, plans=always(Plan())) as proxy,
    ):
        talk = Talk(server, proxy, closes)
        yield talk


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("closes", Closes)
async def test_a_reset_near_the_end_loses_nothing(closes: Closes, way: Way) -> None:
    async with talking(closes) as talk:
        down, up = await talk.hold(Plan())
        end = down if way is Way.DOWN else up
        for after in range(end - NEAR, end + 1, STEP):
            await talk.hold(Plan(Fault.RESET, way, after, turns=after % 5))
        assert talk.proxy.cuts >= NEAR // STEP // 2
