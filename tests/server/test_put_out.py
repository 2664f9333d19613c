"""Nothing of a client that was put out reaches the program any more, not even what came before."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import pytest
from aio.ends import Mode, open_pair
from aio.scripted import Peer, Raw, message, until

import sealframe
from sealframe import (
    CloseCode,
    Connection,
    ConnectionClosed,
    Server,
    ServerOptions,
    Stream,
)
from sealframe.aio.connection import protocol_of
from sealframe.core import channel_frames
from sealframe.server.handlers import Handler
from sealframe.wire import MAX_WINDOW, Opcode, StreamKind
from sealframe.wire.control import Hello

pytestmark = pytest.mark.usefixtures("no_leaks")

PutOut: TypeAlias = Callable[[Server, Connection], None]
HELLO = Hello(window=MAX_WINDOW, max_streams=10, max_requests=10)

_closing: set[asyncio.Task[bool]] = set()


def kick(server: Server, conn: Connection) -> None:
    server.kick(conn.id)


def close(server: Server, conn: Connection) -> None:
    """Close it with a code, and do not wait."""
    task = asyncio.get_running_loop().create_task(conn.close(CloseCode.KICKED))
    _closing.add(task)
    task.add_done_callback(_closing.discard)


@pytest.fixture(params=[kick, close])
def put_out(request: pytest.FixtureRequest) -> PutOut:
    """Each way to put a client out that the program has."""
    way: PutOut = request.param
    return way


async def gone(conn: Connection) -> None:
    await until(lambda: protocol_of(conn).sender.error is not None)


@contextlib.asynccontextmanager
async def attacked(
    mode: Mode,
    handler: Handler,
    *,
    on_stream: Callable[[Stream], Awaitable[None]] | None = None,
    called: list[object] | None = None,
) -> AsyncIterator[tuple[Peer, Server]]:
    """A server that puts out who makes a request, within the read that brings it."""

    def on_request(conn: Connection, payload: bytes) -> None:
        if called is not None:
            called.append(payload)
        server.kick(conn.id)

    async with (
        sealframe.serve(
            handler, "127.0.0.1", 0, on_stream=on_stream, on_request=on_request, **mode.server
        ) as server,
        await Raw.dial(server.port) as raw,
    ):
        peer = Peer(raw, mode, client=True)
        await peer.introduce(HELLO)
        yield peer, server


class Streams:
    """An ``on_stream`` that keeps streams open until told."""

    def __init__(self) -> None:
        self.begun: list[Stream] = []
        self.leave = asyncio.Event()

    async def __call__(self, stream: Stream) -> None:
        self.begun.append(stream)
        await self.leave.wait()


async def test_no_message(mode: Mode, put_out: PutOut) -> None:
    async with open_pair(mode) as (client, accepted, server):
        await client.send_many([b"1", b"2", b"3"])
        await until(lambda: accepted.stats.messages_received == 3)
        assert await accepted.recv() == b"1"
        put_out(server, accepted)
        await gone(accepted)
        for receive in (accepted.recv, accepted.recv_many):
            with pytest.raises(ConnectionClosed) as why:
                await receive()
            assert why.value.code == CloseCode.KICKED
        assert accepted.stats.discarded == 2


async def test_no_message_to_a_task_that_was_woken(control_mode: Mode) -> None:
    """The message came, and its task has not run yet."""
    got: list[object] = []

    async def handler(conn: Connection) -> None:
        try:
            got.append(await conn.recv())
        except ConnectionClosed as error:
            got.append(error.code)

    async with attacked(control_mode, handler) as (peer, server):
        await until(lambda: bool(server.clients))
        await peer.write(message(b"late") + channel_frames.request(0, b"kick"))
        await until(lambda: bool(got))
        await peer.say_end()
        await until(lambda: not server.clients)
    assert got == [CloseCode.KICKED]


async def test_nothing_of_a_stream(control_mode: Mode, put_out: PutOut) -> None:
    """Neither bytes nor the end of it, which would make it look whole."""
    streams = Streams()
    async with open_pair(control_mode, at_server={"on_stream": streams}) as (
        client,
        accepted,
        server,
    ):
        for _ in range(3):
            stream = await client.open_stream()
            await stream.write(b"x" * 1000)
            await stream.end()
        await until(lambda: len(streams.begun) == 3)
        first, second, over = streams.begun
        assert await first.read(1) == b"x"
        # Both directions are over: nothing but the program's object knows of it.
        await over.end()
        await until(lambda: len(protocol_of(accepted).open_channels().streams.endpoints) == 2)
        put_out(server, accepted)
        await gone(accepted)
        for stream, size in ((first, 10), (second, -1), (over, 10), (over, -1)):
            with pytest.raises(ConnectionClosed) as why:
                await stream.read(size)
            assert why.value.code == CloseCode.KICKED
        with pytest.raises(ConnectionClosed):
            [chunk async for chunk in second]
        streams.leave.set()


async def test_no_stream_begins_that_waits_for_its_turn(
    control_mode: Mode, put_out: PutOut
) -> None:
    streams = Streams()
    async with open_pair(
        control_mode,
        at_server={"on_stream": streams},
        server_options=ServerOptions(max_streams=1),
    ) as (client, accepted, server):
        (await client.open_stream()).reset()
        await until(lambda: len(streams.begun) == 1)
        async with await client.open_stream() as stream:
            await stream.write(b"do it")
        waiting = protocol_of(accepted).open_channels().streams.queue
        await until(lambda: bool(waiting))
        put_out(server, accepted)
        await gone(accepted)
        streams.leave.set()
        await until(lambda: not protocol_of(accepted).open_channels().streams.serving)
    assert len(streams.begun) == 1


async def test_one_that_closes_in_order_has_its_streams_served(control_mode: Mode) -> None:
    read: list[bytes] = []
    leave = asyncio.Event()

    async def on_stream(stream: Stream) -> None:
        await leave.wait()
        read.append(await stream.read())

    async with open_pair(
        control_mode,
        at_server={"on_stream": on_stream},
        server_options=ServerOptions(max_streams=1),
    ) as (client, accepted, _):
        (await client.open_stream()).reset()
        async with await client.open_stream() as stream:
            await stream.write(b"do it")
        waiting = protocol_of(accepted).open_channels().streams.queue
        await until(lambda: bool(waiting))
        await client.close()
        leave.set()
        await until(lambda: bool(read))
    assert read == [b"do it"]


async def test_nothing_begins_that_came_in_the_same_read(control_mode: Mode) -> None:
    """A stream, whose task has not run yet, and a second request."""
    begun: list[object] = []

    async def on_stream(stream: Stream) -> None:
        begun.append(stream)

    async def handler(conn: Connection) -> None:
        await conn.wait_closed()

    async with attacked(control_mode, handler, on_stream=on_stream, called=begun) as (peer, server):
        await until(lambda: bool(server.clients))
        (conn,) = server.clients.values()
        await peer.write(
            channel_frames.stream_open(0, StreamKind.APPLICATION, 1000, b"")
            + channel_frames.request(0, b"first")
            + channel_frames.request(1, b"second")
        )
        await gone(conn)
        await peer.say_end()
        await until(lambda: not server.clients)
        await until(lambda: not protocol_of(conn).open_channels().streams.serving)
    assert begun == [b"first"]


async def test_no_answer(control_mode: Mode) -> None:
    """It came, and the task that asked has not run yet."""
    got: list[object] = []

    async def handler(conn: Connection) -> None:
        assert await conn.recv() == b"I am extended"
        try:
            got.append(await conn.request(b"?"))
        except ConnectionClosed as error:
            got.append(error.code)

    async with attacked(control_mode, handler) as (peer, server):
        await peer.write(message(b"I am extended"))
        number = int.from_bytes((await peer.read_opcode(Opcode.REQUEST))[:8], "little")
        await peer.write(channel_frames.reply(number, b"!") + channel_frames.request(0, b"kick"))
        await until(lambda: bool(got))
        await peer.say_end()
        await until(lambda: not server.clients)
    assert got == [CloseCode.KICKED]
