"""Both ends of a session close while its link is cut near the end: nothing is lost, and both know.

The rules are docs/PROTOCOL.md, section 12: both come back until both closes are known to have
arrived. :mod:`core.test_session_closing` has the same without sockets, at every byte.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from typing import Literal

import pytest
from aio.cutting import CuttingProxy, Fault, Plan, always
from aio.ends import PATIENCE, Api, Mode
from aio.links import Road, cut, open_session
from aio.scripted import until
from mitm.middle import Way

import sealframe
from sealframe import (
    ClientOptions,
    CloseCode,
    Connection,
    ConnectionClosed,
    Disconnect,
    DisconnectKind,
    PeerTimeoutError,
    Server,
    ServerOptions,
    SessionLostError,
    Sessions,
    SlowPeerError,
)
from sealframe.aio.connection import protocol_of

pytestmark = pytest.mark.usefixtures("no_leaks")

EXTENDED = Mode("extended")
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


def counts(error: SessionLostError) -> tuple[int, int, int, int]:
    return error.arrived, error.discarded, error.unknown, error.unsent


async def lost(conn: Connection) -> SessionLostError:
    """Receive up to the error with which the session ends; sending raises the same."""
    with pytest.raises(SessionLostError) as receiving:
        async with asyncio.timeout(PATIENCE):
            while True:
                await conn.recv()
    with pytest.raises(SessionLostError) as sending:
        await conn.send(b"")
    assert counts(sending.value) == counts(receiving.value)
    assert str(sending.value) == str(receiving.value)
    return receiving.value


@pytest.mark.parametrize("detached", [False, True], ids=["with a link", "without"])
@pytest.mark.parametrize("acknowledge", ["received", "taken"])
async def test_a_handler_that_returns_early_is_told_with_counts(
    detached: bool, acknowledge: Literal["received", "taken"]
) -> None:
    """What it had not taken has arrived for nobody."""
    came = asyncio.Event()
    returning = asyncio.Event()

    async def handler(conn: Connection) -> None:
        await conn.recv()
        came.set()
        await returning.wait()

    road = Road()
    sessions = Sessions(acknowledge=acknowledge)
    async with sealframe.serve(handler, "127.0.0.1", 0, sessions=sessions) as server:
        road.target = server.port
        conn = await sealframe.connect(
            "127.0.0.1", server.port, session=True, sock=road.connect, options=QUICK
        )
        for word in (b"taken", b"left", b"left"):
            await conn.send(word)
        async with asyncio.timeout(PATIENCE):
            await came.wait()
            # Its answer says that all has come.
            await conn.ping()
            if detached:
                road.shut()
                cut(conn)
                await until(lambda: not conn.connected)
                await conn.send(b"never given to a link")
            returning.set()
            await until(lambda: not server.clients)
            road.open()
        error = await lost(conn)
        assert error.code == CloseCode.NORMAL
        arrived, discarded, unknown, unsent = counts(error)
        assert arrived == 1
        # What nobody took was acknowledged, or is not known of.
        assert discarded == (2 if acknowledge == "received" else 0)
        # It came for nobody, and whether the server had it by then is not known.
        assert unknown + unsent == int(detached) + 2 - discarded
        assert not await conn.close()


async def test_what_a_server_that_shut_down_had_not_taken_is_told_with_counts() -> None:
    """It has acknowledged it, and nobody will take it any more."""
    took = asyncio.Event()

    async def handler(conn: Connection) -> None:
        await conn.recv()
        took.set()
        await asyncio.Event().wait()

    sessions = Sessions()
    async with sealframe.serve(handler, "127.0.0.1", 0, sessions=sessions) as server:
        port = server.port
        conn = await sealframe.connect("127.0.0.1", port, session=True, options=QUICK)
        for word in (b"taken", b"left", b"left"):
            await conn.send(word)
        async with asyncio.timeout(PATIENCE):
            await took.wait()
            # Its answer says that all has come.
            await conn.ping()
        await server.close(timeout=0)
    await conn.send(b"for the next one")
    async with sealframe.serve(handler, "127.0.0.1", port, sessions=sessions):
        error = await lost(conn)
    assert error.code == CloseCode.SESSION_LOST
    assert counts(error) == (1, 2, 0, 1)
    assert not await conn.close()


async def test_who_has_no_link_and_is_kicked_learns_it_with_counts() -> None:
    async with open_session(EXTENDED, client_options=QUICK) as (client, accepted, server, road):
        async with asyncio.timeout(PATIENCE):
            await client.send(b"taken")
            await accepted.recv()
            await client.send(b"left")
            await client.ping()
            road.shut()
            cut(client)
            await until(lambda: not client.connected and not accepted.connected)
        await client.send(b"unsent")
        await accepted.send(b"unsent")
        server.kick(accepted.id, "enough")
        there = await lost(accepted)
        assert (there.code, there.reason) == (CloseCode.KICKED, "enough")
        assert counts(there) == (0, 0, 0, 1)
        road.open()
        here = await lost(client)
        # CLOSE in place of WELCOME has no room for the reason.
        assert (here.code, here.reason) == (CloseCode.KICKED, "")
        assert counts(here) == (1, 1, 0, 1)


async def test_what_still_goes_to_who_is_kicked_is_not_called_unsent() -> None:
    """It may arrive; how that has ended is told at the end."""
    gone: list[Disconnect] = []
    async with open_session(
        EXTENDED,
        client_options=dataclasses.replace(QUICK, inbox_limit=1024),
        at_server={"on_disconnect": lambda _, why: gone.append(why)},
    ) as (client, accepted, server, _):
        for _ in range(10):
            # The client has room for one or two of them.
            accepted.send_nowait(bytes(1000))
        server.kick(accepted.id)
        there = await lost(accepted)
        assert counts(there) == (0, 0, 10, 0)
        got = 0
        with pytest.raises(SessionLostError):
            while True:
                await client.recv()
                got += 1
        await until(lambda: bool(gone))
        at_the_end = gone[0].error
        assert isinstance(at_the_end, SessionLostError)
        arrived, discarded, unknown, unsent = counts(at_the_end)
        assert arrived + discarded + unknown + unsent == 10
        assert arrived + discarded <= got <= arrived + discarded + unknown


async def test_who_is_too_slow_learns_it_with_counts() -> None:
    options = ServerOptions(outbox_limit=2000, slow_client="disconnect")
    gone: list[Disconnect] = []
    async with open_session(
        EXTENDED,
        server_options=options,
        client_options=QUICK,
        at_server={"on_disconnect": lambda _, why: gone.append(why)},
    ) as (client, accepted, server, road):
        road.shut()
        cut(client)
        async with asyncio.timeout(PATIENCE):
            await until(lambda: not client.connected and not accepted.connected)
        await client.send(b"unsent")
        for _ in range(4):
            server.broadcast(bytes(1000))
        there = await lost(accepted)
        assert there.code == CloseCode.SLOW
        assert isinstance(there.__cause__, SlowPeerError)
        assert there.unknown + there.unsent >= 2
        await until(lambda: bool(gone))
        assert gone[0].kind is DisconnectKind.SLOW
        road.open()
        here = await lost(client)
        assert here.code == CloseCode.SLOW
        assert counts(here) == (0, 0, 0, 1)


async def test_what_came_of_who_is_too_slow_and_was_not_taken_is_discarded() -> None:
    options = ServerOptions(outbox_limit=2000, slow_client="disconnect")
    async with open_session(EXTENDED, server_options=options, client_options=QUICK) as (
        client,
        accepted,
        server,
        road,
    ):
        for _ in range(3):
            await client.send(b"came")
        assert await accepted.recv() == b"came"
        await until(lambda: protocol_of(client).sender.all_acknowledged)
        road.shut()
        cut(client)
        async with asyncio.timeout(PATIENCE):
            await until(lambda: not client.connected and not accepted.connected)
        for _ in range(4):
            server.broadcast(bytes(1000))
        there = await lost(accepted)
        assert there.code == CloseCode.SLOW
        road.open()
        here = await lost(client)
        assert here.code == CloseCode.SLOW
        assert counts(here) == (1, 2, 0, 0)


async def test_a_client_that_does_not_come_back_is_told_with_counts() -> None:
    gone: list[Disconnect] = []
    async with open_session(
        EXTENDED,
        server_options=ServerOptions(close_timeout=0.1),
        client_options=QUICK,
        at_server={"on_disconnect": lambda _, why: gone.append(why)},
    ) as (client, accepted, _, road):
        road.shut()
        cut(client)
        async with asyncio.timeout(PATIENCE):
            await until(lambda: not accepted.connected)
            await accepted.send(b"unsent")
            assert not await accepted.close()
            error = await lost(accepted)
            assert isinstance(error.__cause__, PeerTimeoutError)
            assert counts(error) == (0, 0, 0, 1)
            assert gone[0].kind is DisconnectKind.TIMED_OUT


async def test_callbacks_are_told_by_on_disconnect() -> None:
    told: asyncio.Queue[Disconnect] = asyncio.Queue()
    async with open_session(
        EXTENDED,
        api=Api.ON_MESSAGE,
        client_options=QUICK,
        at_client={"on_disconnect": lambda _, why: told.put_nowait(why)},
        at_server={"on_disconnect": lambda _, why: told.put_nowait(why)},
    ) as (client, accepted, server, _):
        await client.send(b"taken")
        await client.ping()
        server.kick(accepted.id, "enough")
        async with asyncio.timeout(PATIENCE):
            reasons = [await told.get(), await told.get()]
        told_counts = []
        for why in reasons:
            assert why.kind is DisconnectKind.KICKED
            assert isinstance(why.error, SessionLostError)
            assert why.error.reason == "enough"
            told_counts.append(counts(why.error))
        assert sorted(told_counts) == [(0, 0, 0, 0), (1, 0, 0, 0)]


async def test_who_sends_to_an_end_that_has_closed_and_takes_nothing_is_told_so() -> None:
    """What is thrown away is not acknowledged, so that the server waits for that as long as its
    ``close_timeout`` goes; it takes none of it for arrived."""
    gone: list[Disconnect] = []
    sent = 200
    server_options = ServerOptions(close_timeout=0.5)
    client_options = dataclasses.replace(QUICK, inbox_limit=1024, close_timeout=1)
    async with open_session(
        EXTENDED,
        server_options=server_options,
        client_options=client_options,
        at_server={"on_disconnect": lambda _, why: gone.append(why)},
    ) as (client, accepted, _, _):
        for _ in range(sent):
            accepted.send_nowait(bytes(1000))
        async with asyncio.timeout(PATIENCE):
            assert not any(await asyncio.gather(client.close(), accepted.close()))
            await until(lambda: bool(gone))
        told = gone[0].error
        assert isinstance(told, SessionLostError)
        assert sum(counts(told)) == sent
        got = 0
        with pytest.raises(ConnectionClosed):
            while True:
                await client.recv()
                got += 1
        assert told.arrived <= got < sent
