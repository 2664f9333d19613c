"""Small messages of a busy connection may go to the socket past the transport: nothing is lost or
reordered where the socket takes a part of one, or nothing."""

from __future__ import annotations

import asyncio
import struct

import pytest

import sealframe
from sealframe.aio.connection import protocol_of
from sealframe.aio.intake import SMALL_READS
from sealframe.wire import MESSAGE_OVERHEAD

from .ends import PATIENCE
from .scripted import Raw
from .scripted import message as framed

SIZE = 30_000
FRAME = struct.Struct("<i")


async def warm_up(conn: sealframe.Connection, times: int = SMALL_READS + 2) -> None:
    """Make it a busy connection."""
    for _ in range(times):
        await conn.send(b"ping")
        assert await conn.recv() == b"ping"


@pytest.mark.parametrize("taken", ["at first", "never before the end"])
async def test_what_the_socket_does_not_take_follows_in_order(taken: str) -> None:
    reading, received = asyncio.Event(), bytearray()
    done = asyncio.get_running_loop().create_future()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(SMALL_READS + 2):
            writer.write(await reader.readexactly(8))
        await reading.wait()
        while data := await reader.read(1 << 16):
            received.extend(data)
        writer.close()
        done.set_result(None)

    server = await asyncio.start_server(peer, "127.0.0.1", 0, limit=1 << 12)
    port = server.sockets[0].getsockname()[1]
    sent = []
    async with server, sealframe.connect("127.0.0.1", port) as conn:
        await warm_up(conn)
        if taken == "at first":
            reading.set()
        for number in range(400):
            message = struct.pack("<I", number) * (SIZE // 4)
            try:
                conn.send_nowait(message)
            except sealframe.SendQueueFullError:
                reading.set()
                await conn.send(message)
            sent.append(message)
            # So that each is the first of its turn.
            await asyncio.sleep(0)
        reading.set()
        await conn.close()
        await done
    expected = b"".join(FRAME.pack(len(message)) + message for message in sent)
    assert bytes(received) == expected


async def test_a_connection_that_is_gone_writes_to_no_socket() -> None:
    """The number of its socket may be another's by then."""

    async def echo(conn: sealframe.Connection) -> None:
        async for message in conn:
            await conn.send(message)

    async with sealframe.serve(echo, "127.0.0.1", 0) as server:
        conn = await sealframe.connect("127.0.0.1", server.port)
        sender = protocol_of(conn).sender
        await warm_up(conn)
        await conn.close()
        assert sender.socket == -1
        assert not sender.write_now(b"late")


async def test_nothing_is_written_at_once_without_credit() -> None:
    """Also where the queue has not heard yet that the credit is used up."""
    done = asyncio.Event()

    async def handler(conn: sealframe.Connection) -> None:
        await conn.recv()
        done.set()

    async with (
        sealframe.serve(handler, "127.0.0.1", 0) as server,
        sealframe.connect("127.0.0.1", server.port, extended=True) as conn,
    ):
        sender = protocol_of(conn).sender
        await asyncio.sleep(0)
        sender.limit_credit(sender.sent_cost)
        assert [sender.queue.paused, sender.write_now(b"refused")] == [False, False]
        sender.limit_credit(sender.sent_cost + 1)
        assert [sender.write_now(b"taken"), sender.queue.paused] == [True, True]
        sender.lift_credit()
        await done.wait()


async def test_why_the_socket_failed_is_known_where_the_write_finds_it() -> None:
    """A message of one client goes to another, which has reset its connection in that turn: the
    kernel tells the write why, and whoever asks next gets a broken pipe, or the end."""
    ended: asyncio.Queue[BaseException | None] = asyncio.Queue()
    conns: list[sealframe.Connection] = []

    def forward(conn: sealframe.Connection, message: bytes) -> None:
        (conns[1] if message == b"forward" else conn).send_nowait(message)

    async with sealframe.serve(
        None,
        "127.0.0.1",
        0,
        on_message=forward,
        on_connect=conns.append,
        on_disconnect=lambda _, why: ended.put_nowait(why.error),
    ) as server:
        async with await Raw.dial(server.port) as first, await Raw.dial(server.port) as second:
            for peer in (first, second):
                for _ in range(SMALL_READS + 2):
                    await peer.send(framed(b"ping"))
                    assert await peer.receive() == framed(b"ping")
            # After a write at the end of a turn, the next one is at once.
            await first.send(framed(b"forward"))
            assert await second.receive() == framed(b"forward")
            first.sock.send(framed(b"forward"))
            second.reset()
            async with asyncio.timeout(PATIENCE):
                error = await ended.get()
            assert isinstance(error, sealframe.TruncatedError)
            assert isinstance(error.__cause__, ConnectionResetError)


async def test_what_a_session_writes_at_once_is_kept_too() -> None:
    """And goes behind what the link has to get first; there is room for so much."""

    async def answer(_: sealframe.Connection, payload: bytes) -> bytes:
        return payload

    async with (
        sealframe.serve(
            None, "127.0.0.1", 0, on_request=answer, sessions=sealframe.Sessions()
        ) as server,
        sealframe.connect("127.0.0.1", server.port, extended=True, session=True) as conn,
    ):
        protocol = protocol_of(conn)
        sender, session = protocol.sender, protocol.machine.session
        assert session is not None
        retention = session.retention
        await asyncio.sleep(0)
        assert await conn.request(b"kept") == b"kept"
        assert (retention.given, retention.messages_given) == (1, 0)
        await asyncio.sleep(0)
        retention.acknowledge(1)
        assert sender.write_now(b"at once")
        assert (retention.given, retention.messages_given) == (2, 1)
        assert retention.cost == len(b"at once") + MESSAGE_OVERHEAD
        session.limit, limit = retention.cost, session.limit
        sender.written = False
        assert not sender.write_now(b"there is no room")
        session.limit = limit
        retention.rewind(1)
        assert not sender.write_now(b"not before the other")
        retention.abandon()
        assert sender.write_now(b"then")
        await conn.close(sealframe.CloseCode.GOING_AWAY)
