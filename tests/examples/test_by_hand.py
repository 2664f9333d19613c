"""What goes wrong by hand does so, and does not with sealframe: docs/migrate/struct.md."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import sys
from collections.abc import AsyncIterator, Callable

import pytest

pytest.importorskip("cryptography", reason="cryptography is not installed")

import by_hand
import sealframe
from sealframe import Connection, SharedKey
from sealframe.framing import PACKET


async def until(true: Callable[[], bool]) -> None:
    """Let other tasks run until something is so."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def packet(message: bytes) -> bytes:
    return struct.pack("<i", len(message)) + message


HASTY = sealframe.ClientOptions(close_timeout=0.2)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def streams() -> AsyncIterator[tuple[Streams, Streams]]:
    """Both ends of a connection by hand."""
    accepted: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result((reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    here = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
    yield here, await accepted
    server.close()
    for _, writer in (here, await accepted):
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def raw_client(**options: float) -> AsyncIterator[tuple[Connection, asyncio.StreamWriter]]:
    """A connection of a server of sealframe, and a client that writes bytes as they are."""
    served: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()

    async def handler(conn: Connection) -> None:
        served.set_result(conn)
        await conn.wait_closed()

    limits = sealframe.ServerOptions(close_timeout=0.2, **options)  # type: ignore[arg-type]
    async with sealframe.serve(handler, "127.0.0.1", 0, options=limits) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        yield await served, writer
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_a_read_is_no_message(streams: tuple[Streams, Streams]) -> None:
    (_, writer), (reader, _) = streams
    writer.write(b"one" + b"two")
    assert await by_hand.recv_by_read(reader) == b"onetwo"
    writer.write(bytes(1_000_000))
    assert len(await by_hand.recv_by_read(reader)) < 1_000_000


async def test_sealframe_cuts_the_stream_up() -> None:
    async with raw_client() as (conn, writer):
        for byte in packet(b"one") + packet(b"two"):
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert [await conn.recv(), await conn.recv()] == [b"one", b"two"]


async def test_without_drain_nothing_waits(streams: tuple[Streams, Streams]) -> None:
    (_, writer), _ = streams
    for _ in range(400):
        await by_hand.send_without_drain(writer, bytes(100_000))
    assert writer.transport.get_write_buffer_size() > 20_000_000


async def test_sealframe_waits() -> None:
    async def handler(conn: Connection) -> None:
        await conn.wait_closed()

    async with sealframe.serve(handler, "127.0.0.1", 0) as server:
        conn = await sealframe.connect("127.0.0.1", server.port, options=HASTY)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                for _ in range(400):
                    await conn.send(bytes(100_000))
        await conn.close(code=sealframe.CloseCode.GOING_AWAY)


def test_a_native_head_is_another_one_elsewhere() -> None:
    head = by_hand.native_head(b"hello")
    assert len(head) == struct.calcsize("@l")
    if struct.calcsize("@l") == 8 and sys.byteorder == "little":
        # Whose "l" has 4 bytes takes the other 4 for the message.
        with pytest.raises(sealframe.FrameTooLargeError) as caught:
            PACKET.decoder().feed(head + b"hello")
        assert caught.value.frames == [b"\0\0\0\0h"]
    assert PACKET.encode(b"hello")[:4] == b"\5\0\0\0"


async def test_any_length_is_believed(streams: tuple[Streams, Streams]) -> None:
    (_, writer), (reader, _) = streams
    writer.write(struct.pack("<i", 2**31 - 1))
    receiving = asyncio.create_task(by_hand.recv(reader))
    for _ in range(80):
        writer.write(bytes(100_000))
        await writer.drain()
    # All of it was taken, and is kept: the limit of the reader does not count here.
    assert not receiving.done()
    receiving.cancel()


async def test_sealframe_has_a_limit() -> None:
    async with raw_client() as (conn, writer):
        writer.write(struct.pack("<i", 2**31 - 1))
        with pytest.raises(sealframe.ConnectionClosedError, match="over the limit"):
            await conn.recv()


async def test_a_negative_length_reads_to_the_end(streams: tuple[Streams, Streams]) -> None:
    (_, writer), (reader, _) = streams
    writer.write(struct.pack("<i", -1) + packet(b"one"))
    receiving = asyncio.create_task(by_hand.recv_rest(reader))
    await asyncio.sleep(0.1)
    assert not receiving.done()
    writer.write_eof()
    assert await receiving == packet(b"one")


async def test_sealframe_refuses_it() -> None:
    async with raw_client() as (conn, writer):
        writer.write(struct.pack("<i", -1))
        with pytest.raises(sealframe.ConnectionClosedError, match="over the limit"):
            await conn.recv()


async def test_a_cancel_loses_the_head(streams: tuple[Streams, Streams]) -> None:
    (_, writer), (reader, _) = streams
    message = b"\3\0\0\0abc-"
    writer.write(packet(message)[:4])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(by_hand.recv(reader), 0.1)
    writer.write(message)
    # The rest of the first message passes for a second.
    assert await by_hand.recv(reader) == b"abc"


async def test_sealframe_loses_nothing() -> None:
    async with raw_client() as (conn, writer):
        message = b"\3\0\0\0abc-"
        writer.write(packet(message)[:4])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(conn.recv(), 0.1)
        writer.write(message)
        assert await conn.recv() == message


async def test_half_a_message_passes_for_the_end(streams: tuple[Streams, Streams]) -> None:
    (_, writer), (reader, _) = streams
    writer.write(packet(b"one") + packet(b"transfer 1000")[:-5])
    writer.write_eof()
    assert await by_hand.recv_all(reader) == [b"one"]


async def test_sealframe_says_that_it_is_half() -> None:
    async with raw_client() as (conn, writer):
        writer.write(packet(b"one") + packet(b"transfer 1000")[:-5])
        writer.write_eof()
        assert await conn.recv() == b"one"
        with pytest.raises(sealframe.TruncatedError):
            await conn.recv()


async def test_one_who_sleeps_holds_up_the_others(streams: tuple[Streams, Streams]) -> None:
    (_, asleep), _ = streams
    accepted = asyncio.Event()
    got = 0

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        accepted.set()
        while await reader.read(65536):
            got += 1
        writer.close()

    async with await asyncio.start_server(read, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        _, awake = await asyncio.open_connection("127.0.0.1", port)
        await accepted.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    await by_hand.broadcast([asleep, awake], bytes(100_000))
        before = got
        await asyncio.sleep(0.1)
        assert got == before
        awake.transport.abort()


async def test_a_broadcast_of_sealframe_waits_for_nobody() -> None:
    async def handler(conn: Connection) -> None:
        await conn.wait_closed()

    async with sealframe.serve(handler, "127.0.0.1", 0) as server:
        asleep = await sealframe.connect("127.0.0.1", server.port, options=HASTY)
        async with sealframe.connect("127.0.0.1", server.port) as awake:
            await until(lambda: len(server.clients) == 2)
            for number in range(200):
                server.broadcast(number.to_bytes(4) + bytes(100_000))
                assert (await awake.recv())[:4] == number.to_bytes(4)
        await asleep.close(code=sealframe.CloseCode.GOING_AWAY)


async def test_by_hand_nobody_notices_that_the_other_end_is_gone(
    streams: tuple[Streams, Streams],
) -> None:
    """A cable that is pulled says nothing: it is as if the other end had nothing to say."""
    _, (reader, _) = streams
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(by_hand.recv(reader), 0.3)


async def test_sealframe_ends_a_silent_connection() -> None:
    async with raw_client(idle_timeout=0.2) as (conn, _):
        with pytest.raises(sealframe.ConnectionClosed):
            await asyncio.wait_for(conn.recv(), 10)


def test_a_nonce_used_twice_gives_both_messages_away() -> None:
    key = os.urandom(32)
    first, second = b"attack at dawn, or not", b"retreat by the river.."
    one = by_hand.Sealer(key).seal(first)
    other = by_hand.Sealer(key).seal(second)  # the next connection
    mixed = bytes(a ^ b for a, b in zip(one, other, strict=True))[: len(first)]
    # No key is needed: what is known of one message tells the other.
    assert bytes(a ^ b for a, b in zip(mixed, first, strict=True)) == second


def test_sealed_one_by_one_messages_can_be_left_out_and_changed_round() -> None:
    sealer = by_hand.RandomSealer(os.urandom(32))
    frames = [sealer.seal(message) for message in (b"pay 10", b"cancel that", b"pay 20")]
    on_the_way = [frames[2], frames[0], frames[0]]
    assert [sealer.open(frame) for frame in on_the_way] == [b"pay 20", b"pay 10", b"pay 10"]


async def test_sealframe_notices_what_is_done_on_the_way() -> None:
    """A record is taken out: no later one can be opened."""
    key = SharedKey.generate()
    hasty = sealframe.ServerOptions(close_timeout=0.2)
    got: list[bytes] = []
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def handler(conn: Connection) -> None:
        try:
            while True:
                got.append(await conn.recv())
        except sealframe.ConnectionClosedOK:
            ended.set_result(None)
        except sealframe.ConnectionClosedError as error:
            ended.set_exception(error)

    taking = False

    async def meddle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", server.port)

        async def forward(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            nonlocal taking
            while data := await source.read(65536):
                if source is reader and taking:
                    taking = False
                    continue
                sink.write(data)

        with contextlib.suppress(OSError):
            await asyncio.gather(forward(reader, back), forward(there, writer))
        for each in (writer, back):
            each.transport.abort()

    async with (
        sealframe.serve(handler, "127.0.0.1", 0, security=key, options=hasty) as server,
        await asyncio.start_server(meddle, "127.0.0.1", 0) as meddler,
    ):
        port = meddler.sockets[0].getsockname()[1]
        conn = await sealframe.connect("127.0.0.1", port, security=key, options=HASTY)
        await conn.send(b"pay 10")
        await until(lambda: bool(got))
        taking = True
        await conn.send(b"cancel that")
        await until(lambda: not taking)
        with contextlib.suppress(sealframe.ConnectionClosed):
            await conn.send(b"pay 20")
        with pytest.raises(sealframe.ConnectionClosedError):
            await asyncio.wait_for(ended, 10)
        assert got == [b"pay 10"]
        with contextlib.suppress(sealframe.ConnectionClosed):
            await conn.close()
