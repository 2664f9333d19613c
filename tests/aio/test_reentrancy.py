"""What the program does in the middle of a write, a read or a first step: from a finalizer, from
``on_message``, from ``on_request``."""

from __future__ import annotations

import asyncio

import pytest

import sealframe
from sealframe.aio.connection import protocol_of
from sealframe.noise.cipher import CipherState

from .ends import PATIENCE

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.mark.parametrize("many", [False, True], ids=["one a turn", "two a turn"])
async def test_what_a_finalizer_sends_while_this_seals_comes_after(
    many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rekey, every 4,096 records, is where Python code runs between a nonce and its record."""
    key, received = sealframe.SharedKey.generate(), list[bytes]()
    sent = [b"%d" % number for number in range(4200)]

    async def handler(conn: sealframe.Connection) -> None:
        async for message in conn:
            received.append(message)

    async with (
        sealframe.serve(handler, "127.0.0.1", 0, security=key) as server,
        sealframe.connect("127.0.0.1", server.port, security=key) as conn,
    ):
        records = protocol_of(conn).machine.records
        assert records is not None
        rekey, finalized = CipherState.rekey, 0

        def finalize(self: CipherState) -> None:
            nonlocal finalized
            if self is records.sender:
                finalized += 1
                conn.send_nowait(b"finalizer")
            rekey(self)

        monkeypatch.setattr(CipherState, "rekey", finalize)
        for message in sent:
            await conn.send(message)
            if many:
                await conn.send(b"more")
            await asyncio.sleep(0)
        assert await conn.close()
    assert finalized
    assert received.count(b"finalizer") == finalized
    assert [each for each in received if each not in (b"finalizer", b"more")] == sent


async def test_on_message_gets_what_comes_after_the_own_close() -> None:
    received = list[bytes]()

    async def handler(conn: sealframe.Connection) -> None:
        await conn.recv()
        for number in range(5):
            await conn.send(b"%d" % number)

    def on_message(conn: sealframe.Connection, message: bytes) -> None:
        received.append(message)

    async with sealframe.serve(handler, "127.0.0.1", 0) as server:
        conn = await sealframe.connect(
            "127.0.0.1", server.port, extended=True, on_message=on_message
        )
        await conn.send(b"go")
        assert await conn.close()
    assert received == [b"0", b"1", b"2", b"3", b"4"]
    assert conn.stats.discarded == 0


async def test_a_request_whose_first_step_ends_the_connection_is_cancelled() -> None:
    ended = asyncio.get_running_loop().create_future()

    async def on_request(conn: sealframe.Connection, payload: bytes) -> bytes:
        if payload == b"kick":
            server.kick(conn.id)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.set_result("cancelled")
                raise
        return payload

    async with sealframe.serve(None, "127.0.0.1", 0, on_request=on_request) as server:
        conn = await sealframe.connect("127.0.0.1", server.port, extended=True)
        # So that its first step is taken at once, also where that needs a spare task.
        for _ in range(3):
            await conn.request(b"first")
            await asyncio.sleep(0)
        with pytest.raises(sealframe.ConnectionClosed):
            await conn.request(b"kick")
        async with asyncio.timeout(PATIENCE):
            assert await ended == "cancelled"
        await conn.close()


async def test_a_recv_that_was_closed_takes_no_wake_up() -> None:
    async def handler(conn: sealframe.Connection) -> None:
        # It does not end: the end of the connection wakes all.
        async for _ in conn:
            await conn.send(b"answer")

    async with (
        sealframe.serve(handler, "127.0.0.1", 0) as server,
        sealframe.connect("127.0.0.1", server.port) as conn,
    ):
        abandoned = conn.recv()
        abandoned.send(None)
        abandoned.close()
        async with asyncio.timeout(PATIENCE):
            receiving = asyncio.create_task(conn.recv())
            await asyncio.sleep(0)
            await conn.send(b"ask")
            assert await receiving == b"answer"


@pytest.mark.parametrize("woken", [False, True], ids=["waiting", "woken"])
async def test_a_recv_that_was_dropped_takes_no_wake_up(woken: bool) -> None:
    """Nobody closes it: it goes with its last reference."""

    async def handler(conn: sealframe.Connection) -> None:
        # It does not end: the end of the connection wakes all.
        async for _ in conn:
            await conn.send(b"answer")

    async with (
        sealframe.serve(handler, "127.0.0.1", 0) as server,
        sealframe.connect("127.0.0.1", server.port) as conn,
    ):
        dropped = conn.recv()
        woken_up = dropped.send(None)
        receiving = asyncio.create_task(conn.recv())
        await asyncio.sleep(0)
        await conn.send(b"ask")
        if woken:
            await asyncio.wait([woken_up], timeout=PATIENCE)
        del dropped
        async with asyncio.timeout(PATIENCE):
            assert await receiving == b"answer"
