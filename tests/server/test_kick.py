"""A server puts one client out."""

from __future__ import annotations

import asyncio

import pytest
from aio.ends import PATIENCE, Mode, dial, open_pair, start
from aio.scripted import until

from sealframe import (
    CloseCode,
    Connection,
    ConnectionClosedError,
    ConnectionClosedOK,
    SealframeError,
    UnknownClientError,
    WrongLoopError,
)
from sealframe.aio.connection import protocol_of

EAGER = True

pytestmark = pytest.mark.usefixtures("no_leaks")


async def test_the_client_learns_why(mode: Mode) -> None:
    async with open_pair(mode) as (client, accepted, server):
        await client.send(b"came before")
        await until(lambda: accepted.stats.messages_received == 1)
        await accepted.send(b"farewell")
        server.kick(accepted.id, "spam")
        # At once, whatever the client does, and whatever came before.
        with pytest.raises(ConnectionClosedError, match="kicked: spam") as why:
            await accepted.recv()
        assert why.value.code == CloseCode.KICKED
        with pytest.raises(ConnectionClosedError, match="kicked: spam"):
            await accepted.send(b"more")
        assert accepted.stats.discarded == 1
        assert await client.recv() == b"farewell"
        if mode.has_control:
            with pytest.raises(ConnectionClosedError) as told:
                await client.recv()
            assert (told.value.code, told.value.reason) == (CloseCode.KICKED, "spam")
        else:
            with pytest.raises(ConnectionClosedOK):
                await client.recv()


async def test_the_others_do_not_notice(mode: Mode) -> None:
    async def echo(conn: Connection) -> None:
        async for message in conn:
            await conn.send(message)

    async with start(echo, mode) as server:
        conns = [await dial(server, mode) for _ in range(3)]
        await until(lambda: len(server.clients) == 3)
        unlucky = list(server.clients)[1]
        server.kick(unlucky)
        # Again, before it is gone.
        server.kick(unlucky, "really")
        await until(lambda: len(server.clients) == 2)
        for conn in conns:
            if not conn.closed and protocol_of(conn).receiver.error is None:
                await conn.send(b"still here")
        async with asyncio.timeout(PATIENCE):
            answers = await asyncio.gather(*(conn.recv() for conn in conns), return_exceptions=True)
        assert answers.count(b"still here") == 2
        await asyncio.gather(*(conn.close() for conn in conns))
        with pytest.raises(UnknownClientError):
            server.kick(unlucky)


async def test_who_is_not_there_cannot_be_kicked() -> None:
    async with open_pair(Mode("packets")) as (_, accepted, server):
        for wrong in ("nobody", "", None):
            with pytest.raises(UnknownClientError, match=r"server\.clients has those") as why:
                server.kick(wrong)  # type: ignore[arg-type]
            assert isinstance(why.value, LookupError)
            assert isinstance(why.value, SealframeError)
        with pytest.raises(TypeError, match="reason is text"):
            server.kick(accepted.id, b"spam")  # type: ignore[arg-type]
        with pytest.raises(WrongLoopError):
            await asyncio.to_thread(server.kick, accepted.id)
        assert list(server.clients) == [accepted.id]
