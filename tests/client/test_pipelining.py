"""``pipelining=False``: one message at a time, for peers that take no further one before they have
answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aio.ends import PATIENCE
from aio.scripted import Raw, ScriptedListener, listening, until

import sealframe
from sealframe import (
    ClientOptions,
    ConfigurationError,
    Connection,
    ConnectionClosedError,
    ConnectionClosedOK,
    Framing,
    SendQueueFullError,
    SharedKey,
)
from sealframe.framing import INT32_BE

pytestmark = pytest.mark.usefixtures("no_leaks")

MODBUS = Framing(offset=4, width=2, byteorder="big", strip=0, minimum=8, maximum=260)
QUICK = ClientOptions(close_timeout=0.5)


def request(transaction: int) -> bytes:
    """Return a whole Modbus/TCP frame: read one holding register of unit 1."""
    return transaction.to_bytes(2, "big") + b"\0\0\0\x06\x01\x03\0\0\0\x01"


def answer(transaction: int) -> bytes:
    """Return the frame that answers it."""
    return transaction.to_bytes(2, "big") + b"\0\0\0\x05\x01\x03\x02\0\x11"


def frame(payload: bytes) -> bytes:
    """Return the frame of a message in INT32_BE."""
    return len(payload).to_bytes(4, "big") + payload


class OneARead:
    """A Modbus/TCP server that answers the first request of each read alone, and drops the rest."""

    def __init__(self) -> None:
        self.reads: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                self.reads.append(data)
                writer.write(answer(int.from_bytes(data[:2], "big")))
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def one_a_read() -> AsyncIterator[tuple[OneARead, int]]:
    """Run such a server; hand out it and its port."""
    peer = OneARead()
    server = await asyncio.start_server(peer, "127.0.0.1", 0)
    async with server:
        yield peer, server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def facing(**arguments: Any) -> AsyncIterator[tuple[Connection, Raw, ScriptedListener]]:
    """Connect in lock-step to a peer that does what the test says."""
    arguments.setdefault("options", QUICK)
    async with listening() as listener:
        conn = await sealframe.connect(
            "127.0.0.1", listener.port, framing=INT32_BE, pipelining=False, **arguments
        )
        raw = await listener.accept()
        try:
            yield conn, raw, listener
        finally:
            raw.close()
            await conn.close()


async def test_a_peer_that_takes_one_request_a_read_answers_all_of_them() -> None:
    async with asyncio.timeout(PATIENCE), one_a_read() as (peer, port):
        async with sealframe.connect(
            "127.0.0.1", port, framing=MODBUS, pipelining=False, options=QUICK
        ) as conn:
            await conn.send_many([request(number) for number in range(1, 4)])
            await conn.send(request(4))
            conn.send_nowait(request(5))
            got = [await conn.recv() for _ in range(5)]
            assert got == [answer(number) for number in range(1, 6)]
            assert peer.reads == [request(number) for number in range(1, 6)]
            assert await conn.close()


async def test_the_same_peer_drops_what_is_sent_behind_a_request() -> None:
    """What the option is for: without it the requests of one turn go out together."""
    async with asyncio.timeout(PATIENCE), one_a_read() as (peer, port):
        async with sealframe.connect("127.0.0.1", port, framing=MODBUS, options=QUICK) as conn:
            await conn.send_many([request(number) for number in range(1, 4)])
            assert await conn.recv() == answer(1)
            assert peer.reads == [request(1) + request(2) + request(3)]


async def test_a_message_waits_for_the_whole_of_an_answer() -> None:
    async with asyncio.timeout(PATIENCE), facing() as (conn, raw, _):
        await conn.send(b"one")
        await conn.send(b"two")
        assert await raw.receive_exactly(7) == frame(b"one")
        await raw.send(frame(b"answer")[:-1])
        await until(lambda: conn.stats.bytes_received == 9)
        assert conn.stats.messages_sent == 1
        assert not raw.has_input()
        await raw.send(b"r")
        assert await raw.receive_exactly(7) == frame(b"two")
        assert conn.stats.messages_sent == 2


async def test_what_is_sent_on_hearing_a_message_is_not_answered_by_it() -> None:
    """A greeting: the program sends two commands when it hears it, and the first goes at once."""

    def on_message(conn: Connection, message: bytes) -> None:
        if message == b"hello":
            conn.send_nowait(b"one")
            conn.send_nowait(b"two")

    async with asyncio.timeout(PATIENCE), facing(on_message=on_message) as (conn, raw, _):
        await raw.send(frame(b"hello"))
        assert await raw.receive_exactly(7) == frame(b"one")
        await until(lambda: conn.stats.messages_received == 1)
        assert conn.stats.messages_sent == 1
        await raw.send(frame(b"answer"))
        assert await raw.receive_exactly(7) == frame(b"two")


async def test_an_answer_counts_when_it_comes_not_when_it_is_taken() -> None:
    async with asyncio.timeout(PATIENCE), facing() as (conn, raw, _):
        await conn.send_many([b"one", b"two"])
        assert await raw.receive_exactly(7) == frame(b"one")
        await raw.send(frame(b"1"))
        assert await raw.receive_exactly(7) == frame(b"two")
        assert await conn.recv() == b"1"


async def test_what_comes_unasked_does_not_let_two_messages_go() -> None:
    async with asyncio.timeout(PATIENCE), facing() as (conn, raw, _):
        await raw.send(frame(b"hello") + frame(b"again"))
        assert [await conn.recv(), await conn.recv()] == [b"hello", b"again"]
        await conn.send_many([b"one", b"two"])
        assert await raw.receive_exactly(7) == frame(b"one")
        await asyncio.sleep(0)
        assert conn.stats.messages_sent == 1
        # Two answers at once are still one turn.
        await conn.send(b"six")
        await raw.send(frame(b"1") + frame(b"2"))
        assert await raw.receive_exactly(7) == frame(b"two")
        await until(lambda: conn.stats.messages_received == 4)
        assert conn.stats.messages_sent == 2


async def test_on_message_answers_and_the_next_goes() -> None:
    def on_message(conn: Connection, message: bytes) -> None:
        conn.send_nowait(b"after " + message)

    async with asyncio.timeout(PATIENCE), facing(on_message=on_message) as (conn, raw, _):
        await conn.send(b"one")
        assert await raw.receive_exactly(7) == frame(b"one")
        await raw.send(frame(b"1"))
        assert await raw.receive_exactly(11) == frame(b"after 1")
        await raw.send(frame(b"2") + frame(b"3"))
        assert await raw.receive_exactly(11) == frame(b"after 2")
        await until(lambda: conn.stats.messages_received == 3)
        assert not raw.has_input()
        await raw.send(frame(b"4"))
        assert await raw.receive_exactly(11) == frame(b"after 3")


async def test_send_waits_at_the_limit_of_the_queue_until_answers_come() -> None:
    options = ClientOptions(close_timeout=0.5, outbox_limit=1000)
    async with asyncio.timeout(PATIENCE), facing(options=options) as (conn, raw, _):
        await conn.send_many([b"x" * 500] * 4)
        with pytest.raises(SendQueueFullError):
            conn.send_nowait(b"y")
        sending = asyncio.ensure_future(conn.send(b"z"))
        for _ in range(4):
            assert await raw.receive_exactly(504) == frame(b"x" * 500)
            await raw.send(frame(b""))
        await sending
        assert await raw.receive_exactly(5) == frame(b"z")


async def test_close_goes_on_in_lock_step() -> None:
    async with asyncio.timeout(PATIENCE), facing(options=ClientOptions()) as (conn, raw, _):
        await conn.send_many([b"one", b"two"])
        closing = asyncio.ensure_future(conn.close())
        assert await raw.receive_exactly(7) == frame(b"one")
        await until(lambda: " closing " in repr(conn))
        assert not raw.has_input()
        await raw.send(frame(b"1"))
        # The last message is not waited for longer than on any connection.
        assert await raw.receive_to_end() == frame(b"two")
        await raw.send(frame(b"2"))
        raw.finish()
        assert await closing
        assert conn.stats.unsent == 0
        assert [message async for message in conn] == [b"1", b"2"]


async def test_an_answer_that_does_not_come_bounds_the_close() -> None:
    async with asyncio.timeout(PATIENCE), facing() as (conn, raw, _):
        await conn.send_many([b"one", b"two", b"six"])
        assert await raw.receive_exactly(7) == frame(b"one")
        assert not await conn.close()
        assert conn.stats.unsent == 2
        with pytest.raises(ConnectionClosedError, match="close_timeout"):
            await conn.recv()


@pytest.mark.parametrize("closing", [False, True], ids=["open", "closing"])
async def test_what_waits_when_the_peer_ends_is_dropped_and_told(closing: bool) -> None:
    """Nobody would answer it, so it must not go out all at once."""
    async with asyncio.timeout(PATIENCE), facing(options=ClientOptions()) as (conn, raw, _):
        await conn.send_many([b"one", b"two", b"six"])
        assert await raw.receive_exactly(7) == frame(b"one")
        ended = asyncio.ensure_future(conn.close()) if closing else None
        if closing:
            await until(lambda: " closing " in repr(conn))
        raw.finish()
        assert await raw.receive_to_end() == b""
        assert not await (ended or conn.close())
        assert conn.stats.unsent == 2
        with pytest.raises(ConnectionClosedOK):
            await conn.send(b"more")


async def test_a_connection_that_is_lost_tells_what_was_not_sent() -> None:
    async with asyncio.timeout(PATIENCE), facing() as (conn, raw, _):
        await conn.send_many([b"one", b"two", b"six"])
        assert await raw.receive_exactly(7) == frame(b"one")
        raw.reset()
        await conn.wait_closed()
        assert conn.stats.unsent == 2
        assert not await conn.close()


async def test_the_next_connection_begins_anew() -> None:
    options = ClientOptions(close_timeout=0.5, backoff_initial=0.001, backoff_maximum=0.01)
    async with asyncio.timeout(PATIENCE), listening() as listener:
        rounds = 0
        async for conn in sealframe.connect(
            "127.0.0.1", listener.port, framing=INT32_BE, pipelining=False, options=options
        ):
            rounds += 1
            async with await listener.accept() as raw:
                await conn.send_many([b"one", b"two"])
                assert await raw.receive_exactly(7) == frame(b"one")
                assert not raw.has_input()
                raw.reset()
                await conn.wait_closed()
                assert conn.stats.unsent == 1
            if rounds == 2:
                break


async def test_idle_timeout_ends_a_connection_whose_peer_does_not_answer() -> None:
    options = ClientOptions(close_timeout=0.5, idle_timeout=0.05)
    async with asyncio.timeout(PATIENCE), facing(options=options) as (conn, raw, _):
        await conn.send_many([b"one", b"two"])
        assert await raw.receive_exactly(7) == frame(b"one")
        await conn.wait_closed()
        assert conn.stats.unsent == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "pipelining=False belongs to a foreign framing"),
        ({"extended": True}, "pipelining=False belongs to a foreign framing"),
        ({"security": SharedKey}, "pipelining=False belongs to a foreign framing"),
        ({"session": True}, "pipelining=False belongs to a foreign framing"),
        ({"framing": INT32_BE, "pipelining": None}, "pipelining is None; use True or False"),
        ({"framing": INT32_BE, "pipelining": 0}, "pipelining is 0; use True or False"),
    ],
)
def test_it_is_refused_where_it_makes_no_sense(arguments: dict[str, Any], text: str) -> None:
    if arguments.get("security") is SharedKey:
        pytest.importorskip("cryptography", reason="cryptography is not installed")
        arguments = {"security": SharedKey.generate()}
    with pytest.raises(ConfigurationError, match=text):
        sealframe.connect("127.0.0.1", 1, **{"pipelining": False, **arguments})
