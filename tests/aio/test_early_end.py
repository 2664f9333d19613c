"""A plain server that is done with an extended client before HELLO has come."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

import sealframe
from sealframe import (
    CloseCode,
    Connection,
    ConnectionClosed,
    ConnectionClosedOK,
    HandshakeError,
    Server,
    ServerOptions,
    TruncatedError,
)
from sealframe.aio import sender
from sealframe.aio.connection import protocol_of

from .ends import PATIENCE, Api, Mode, collect, keep, receive, start
from .scripted import Raw, listening, message, until

EAGER = True

pytestmark = pytest.mark.usefixtures("no_leaks")

MESSAGES = [b"first", b"second", bytes(100_000)]


async def dial(port: int, api: Api) -> Connection:
    """Connect as an extended client."""
    on_message = keep if api is Api.ON_MESSAGE else None
    async with asyncio.timeout(PATIENCE):
        return await sealframe.connect("127.0.0.1", port, extended=True, on_message=on_message)


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on all bytes and the end."""
    while data := await reader.read(65536):
        writer.write(data)
    writer.write_eof()


@contextlib.asynccontextmanager
async def slow_uplink(server: Server) -> AsyncIterator[int]:
    """Relay, and hold back what clients send until the server has ended; return the port."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", server.port)
        await copy(up_reader, writer)
        await copy(reader, up_writer)
        for end in (writer, up_writer):
            end.close()
            await end.wait_closed()
        done.set()

    done = asyncio.Event()
    listener = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
        async with asyncio.timeout(PATIENCE):
            await done.wait()
    finally:
        listener.close()
        await listener.wait_closed()


async def leave(conn: Connection, server: Server) -> None:
    """End by the return of the handler."""


async def refuse(conn: Connection, server: Server) -> None:
    """End with a code."""
    await conn.close(CloseCode.BUSY, "not today")


async def kick(conn: Connection, server: Server) -> None:
    """Put the client out."""
    server.kick(conn.id, "not today")


async def fail(conn: Connection, server: Server) -> None:
    """End by an exception."""
    raise ValueError("not today")


async def give_up(conn: Connection, server: Server) -> None:
    """End as a task that is cancelled."""
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (leave, CloseCode.NORMAL),
        (refuse, CloseCode.BUSY),
        (kick, CloseCode.KICKED),
        (fail, CloseCode.HANDLER),
        (give_up, CloseCode.GOING_AWAY),
    ],
)
async def test_what_has_said_nothing_waits_for_hello(
    end: Callable[[Connection, Server], Awaitable[None]],
    code: CloseCode,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accepted: list[Connection] = []

    async def handler(conn: Connection) -> None:
        accepted.append(conn)
        await end(conn, server)

    monkeypatch.setattr(sender, "HELLO_TIME", PATIENCE)
    async with start(handler, Mode("packets")) as server:
        sock = socket.create_connection(("127.0.0.1", server.port))
        await until(lambda: bool(accepted) and protocol_of(accepted[0]).closer.draining)
        async with asyncio.timeout(PATIENCE), sealframe.connect(sock=sock, extended=True) as conn:
            with pytest.raises(ConnectionClosed) as why:
                await conn.recv()
        assert why.value.code == code


async def test_a_client_of_packets_sees_the_end_without_hello() -> None:
    async def handler(conn: Connection) -> None:
        pass

    async with start(handler, Mode("packets")) as server:
        async with await Raw.dial(server.port) as raw:
            assert await raw.receive() == b""


async def test_a_short_time_for_the_close_is_enough(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(conn: Connection) -> None:
        pass

    caplog.set_level(logging.DEBUG, logger="sealframe.connection")
    monkeypatch.setattr(sender, "HELLO_TIME", PATIENCE)
    async with start(handler, Mode("packets"), options=ServerOptions(close_timeout=0.2)) as server:
        async with await Raw.dial(server.port):
            await until(lambda: "-> CLOSED" in caplog.text)
    # The client says nothing, and is aborted in the end.
    assert "DRAINING -> CLOSE_SENT" in caplog.text


async def test_nothing_waits_for_hello_after_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handler(conn: Connection) -> None:
        if talks:
            await conn.send(b"bye")
        else:
            await conn.recv()

    monkeypatch.setattr(sender, "HELLO_TIME", 10 * PATIENCE)
    for talks in (True, False):
        async with start(handler, Mode("packets")) as server:
            async with await Raw.dial(server.port) as raw:
                await raw.send(message(b"hello"))
                assert await raw.receive_to_end() == (message(b"bye") if talks else b"")


@pytest.mark.parametrize("end", [leave, refuse, kick])
async def test_what_it_had_sent_is_handed_out(
    api: Api, end: Callable[[Connection, Server], Awaitable[None]]
) -> None:
    async def handler(conn: Connection) -> None:
        await conn.send_many(MESSAGES)
        await end(conn, server)

    async with start(handler, Mode("packets")) as server, slow_uplink(server) as port:
        conn = await dial(port, api)
        assert await collect(conn) == MESSAGES
        with pytest.raises(ConnectionClosedOK, match="before it had read HELLO"):
            await conn.send(b"too late")
        assert await conn.close() is True


@pytest.mark.parametrize("reset", [False, True])
async def test_what_came_before_a_cut_is_handed_out(
    api: Api, reset: bool, caplog: pytest.LogCaptureFixture
) -> None:
    # The log tells when the message was read, which a reset would destroy in the kernel.
    caplog.set_level(logging.DEBUG, logger="sealframe.connection")
    async with listening() as listener:
        dialling = asyncio.ensure_future(dial(listener.port, api))
        peer = await listener.accept()
        data = message(b"whole")
        await peer.send(data if reset else data + message(b"cut off")[:-1])
        await until(lambda: "< message" in caplog.text)
        if reset:
            peer.reset()
        else:
            peer.finish()
        conn = await dialling
        async with asyncio.timeout(PATIENCE):
            assert await receive(conn) == b"whole"
            with pytest.raises(TruncatedError):
                await receive(conn)
        peer.close()
        assert await conn.close() is False


async def test_a_server_that_had_said_nothing_is_no_connection() -> None:
    """It may be full, or no server of ours at all."""
    async with listening() as listener:
        dialling = asyncio.ensure_future(dial(listener.port, Api.RECV))
        peer = await listener.accept()
        peer.finish()
        with pytest.raises(HandshakeError, match="without a word: check"):
            await dialling
        peer.close()
