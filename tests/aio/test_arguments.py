"""What a call refuses, it refuses before anything happens; the connection stays as it was."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import sealframe
from sealframe import (
    ClientOptions,
    ConfigurationError,
    Connection,
    ConnectionClosed,
    FrameTooLargeError,
    Framing,
    MessageTooLargeError,
    MessageTooSmallError,
    ProtocolError,
    ServerOptions,
)
from sealframe.wire import CloseCode, Control, Opcode

from .ends import PATIENCE, TCP, Mode, dial, open_pair, shared_key, start
from .scripted import facing, until

pytestmark = pytest.mark.usefixtures("no_leaks")


async def test_a_message_below_the_minimum_of_a_framing() -> None:
    """It is refused at the call, and takes no other message of that tick with it."""
    mode = Mode(framing=Framing(minimum=4))
    async with open_pair(mode) as (client, accepted, server):
        await client.send(b"good1")
        with pytest.raises(MessageTooSmallError) as caught:
            await client.send(b"x")
        assert (caught.value.size, caught.value.limit) == (1, 4)
        with pytest.raises(MessageTooSmallError):
            await client.send_many([b"good2", b"y"])
        await client.send(b"good3")
        assert [await accepted.recv(), await accepted.recv()] == [b"good1", b"good3"]
        with pytest.raises(MessageTooSmallError):
            server.broadcast(b"z")
        assert accepted.stats.dropped == 0


async def test_max_message_size_holds_with_a_foreign_framing() -> None:
    mode = Mode(framing=Framing(byteorder="big"))
    options = ServerOptions(max_message_size=10)
    async with open_pair(mode, server_options=options) as (client, accepted, _):
        with pytest.raises(MessageTooLargeError):
            await accepted.send(bytes(11))
        await client.send(bytes(10))
        await client.send(bytes(11))
        assert await accepted.recv() == bytes(10)
        with pytest.raises(ProtocolError, match="over the limit of 10 bytes") as caught:
            await accepted.recv()
        assert isinstance(caught.value.__cause__, FrameTooLargeError)


async def test_a_limit_that_leaves_a_framing_no_message() -> None:
    with pytest.raises(ConfigurationError):
        sealframe.connect(
            "127.0.0.1",
            1,
            framing=Framing(minimum=100),
            options=ClientOptions(max_message_size=10),
        )


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [(0, b"bytes", TypeError), (1000, "", ValueError), (-1, "", ValueError)],
)
async def test_a_close_with_wrong_arguments_closes_nothing(
    mode: Mode, code: int, reason: str, error: type[Exception]
) -> None:
    async with open_pair(mode) as (client, accepted, _):
        with pytest.raises(error):
            await client.close(code, reason)
        await client.send(b"still there")
        assert await accepted.recv() == b"still there"
        assert not client.closed


async def test_a_server_close_with_a_wrong_reason_closes_nothing(mode: Mode) -> None:
    async with open_pair(mode) as (client, accepted, server):
        with pytest.raises(TypeError):
            await server.close(b"bytes")  # type: ignore[arg-type]
        await client.send(b"still there")
        assert await accepted.recv() == b"still there"


async def test_a_broadcast_over_the_servers_own_limit(mode: Mode) -> None:
    options = ServerOptions(max_message_size=100)
    async with open_pair(mode, server_options=options) as (client, accepted, server):
        with pytest.raises(MessageTooLargeError):
            server.broadcast(bytes(101))
        assert server.broadcast(bytes(100)) == 1
        assert await client.recv() == bytes(100)
        assert accepted.stats.dropped == 0


async def test_who_is_left_out_of_a_broadcast(mode: Mode) -> None:
    async with open_pair(mode) as (client, accepted, server):
        with pytest.raises(TypeError, match="connections"):
            server.broadcast(b"m", exclude=accepted.id)  # type: ignore[arg-type]
        assert server.broadcast(b"m", exclude=accepted) == 0
        assert server.broadcast(b"n", exclude=None) == 1
        assert await client.recv() == b"n"


async def stay(server: sealframe.Server, mode: Mode) -> None:
    """Connect, and wait until the server ends it."""
    async with dial(server, mode) as client:
        await client.recv()


async def test_a_handler_that_is_not_async(mode: Mode, caplog: pytest.LogCaptureFixture) -> None:
    def handler(conn: Connection) -> None:
        pass

    async with start(handler, mode) as server:  # type: ignore[arg-type]
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(ConnectionClosed):
                await stay(server, mode)
    assert any("not async" in str(r.exc_info) for r in caplog.records if r.exc_info)


async def test_another_connections_end_in_a_handler_is_an_error(
    mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler that forwards, and whose upstream is gone, has failed its client."""

    async def upstream(conn: Connection) -> None:
        await conn.close()

    async def forward(conn: Connection) -> None:
        async with dial(behind, mode) as other:
            await other.recv()

    async with start(upstream, mode) as behind, start(forward, mode) as server:
        async with asyncio.timeout(PATIENCE), dial(server, mode) as client:
            with pytest.raises(ConnectionClosed) as caught:
                await client.recv()
            if mode.has_control:
                assert caught.value.code == CloseCode.HANDLER
    failures = [r for r in caplog.records if r.exc_info and r.levelno == logging.ERROR]
    assert len(failures) == 1


async def test_two_handlers_that_close_the_server_do_not_wait_for_each_other(mode: Mode) -> None:
    options = ServerOptions(close_timeout=3600)
    both = asyncio.Event()
    servers: list[sealframe.Server] = []

    async def handler(conn: Connection) -> None:
        if len(servers[0].clients) == 2:
            both.set()
        await both.wait()
        await servers[0].close()

    server = await start(handler, mode, TCP, options)
    servers.append(server)
    async with asyncio.timeout(PATIENCE):
        clients = [stay(server, mode), stay(server, mode)]
        ends = await asyncio.gather(*clients, return_exceptions=True)
        await server.wait_closed()
    assert all(isinstance(end, ConnectionClosed) for end in ends)


async def test_a_later_pong_answers_every_ping_before_it() -> None:
    """Even if nobody waits any more for the ping that it names."""
    async with open_pair(Mode("extended")) as (client, _, _server):
        # Neither PING leaves before the second is there, so one PONG answers both.
        first = asyncio.create_task(client.ping())
        await asyncio.sleep(0)
        second = asyncio.create_task(client.ping())
        await asyncio.sleep(0)
        second.cancel()
        async with asyncio.timeout(PATIENCE):
            assert await first >= 0
        await until(second.done)


async def test_a_ping_ends_with_its_connection(control_mode: Mode) -> None:
    async with facing("client", control_mode) as (conn, peer):
        pinging = asyncio.create_task(conn.ping())
        frame = await peer.read()
        assert isinstance(frame, Control)
        assert frame.opcode == Opcode.PING
        peer.raw.close()
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(ConnectionClosed):
                await pinging
            with pytest.raises(ConnectionClosed):
                await conn.ping()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"security": b"k" * 32}, "use a SharedKey"),
        ({"security": shared_key(), "context": 7}, "text or bytes"),
        ({"security": shared_key(), "context": "c" * 65_536}, "over 65535 bytes"),
        ({"context": "service"}, "give security too"),
        ({"framing": "int32"}, "framing is 'int32'; use a layout"),
        ({"framing": Framing(), "security": shared_key()}, "no security"),
        ({"framing": Framing(), "extended": True}, "not extended"),
        ({"options": ServerOptions()}, "ClientOptions"),
        ({"path": "/somewhere"}, "not both"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_go_together(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        sealframe.connect("127.0.0.1", 1, **arguments)
