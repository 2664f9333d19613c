"""The client: one attempt to connect, what it gives and how it fails."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
from pathlib import Path

import pytest
from aio.ends import PATIENCE, Family, Mode, dial, open_pair, start
from aio.scripted import Raw, ScriptedListener, close_frame, listening, message, until

import sealframe
from sealframe import (
    ClientOptions,
    CloseCode,
    ConfigurationError,
    ConnectError,
    Connection,
    ConnectionClosedOK,
    ConnectTimeoutError,
    HandshakeError,
    HandshakeTimeoutError,
    ServerOptions,
    SharedKey,
)
from sealframe.wire import CONTROL_BIT, MAGIC, Opcode, control

EAGER = True

pytestmark = pytest.mark.usefixtures("no_leaks")


async def echo(conn: Connection) -> None:
    async for data in conn:
        await conn.send(data)


async def attempt(
    listener: ScriptedListener, mode: Mode, options: ClientOptions | None = None
) -> Connection:
    """Connect to a scripted server, once."""
    async with asyncio.timeout(PATIENCE):
        return await sealframe.connect("127.0.0.1", listener.port, **mode.client, options=options)


class TestConnected:
    async def test_await(self, mode: Mode, family: Family) -> None:
        async with start(echo, mode, family) as server:
            conn = await dial(server, mode, family)
            await conn.send(b"hello")
            assert await conn.recv() == b"hello"
            assert await conn.close()

    async def test_async_with(self, mode: Mode, family: Family) -> None:
        async with start(echo, mode, family) as server:
            async with dial(server, mode, family) as conn:
                await conn.send(b"hello")
                assert await conn.recv() == b"hello"
            with pytest.raises(ConnectionClosedOK):
                await conn.send(b"closed")
            await conn.wait_closed()

    async def test_an_error_in_the_body(self, mode: Mode) -> None:
        async with start(echo, mode) as server:
            with pytest.raises(LookupError):
                async with dial(server, mode) as conn:
                    raise LookupError
            await conn.wait_closed()

    async def test_a_name(self) -> None:
        async with sealframe.serve(echo, "localhost", 0) as server:
            async with sealframe.connect("localhost", server.port) as conn:
                await conn.send(b"hello")
                assert await conn.recv() == b"hello"

    async def test_what_it_tells(self, mode: Mode) -> None:
        async with open_pair(mode) as (client, accepted, server):
            assert client.remote_address == ("127.0.0.1", server.port) == accepted.local_address
            assert client.local_address == accepted.remote_address
            assert client.sealed is accepted.sealed is mode.sealed
            assert client.channel_binding == accepted.channel_binding
            assert len(client.channel_binding) == (32 if mode.sealed else 0)
            assert client.id
            assert not client.going_away
            assert client.close_code is None
            assert repr(client) == f"<Connection {client.id} open 127.0.0.1:{server.port}>"

    async def test_a_unix_socket_has_its_path(
        self, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        if not hasattr(socket, "AF_UNIX"):
            pytest.skip("this platform has no Unix sockets")
        family = Family("unix", tmp_path_factory.mktemp("s") / "s")
        async with open_pair(Mode(), family) as (client, accepted, _):
            assert client.remote_address == str(family.path) == accepted.local_address
            assert accepted.remote_address is None

    async def test_each_end_obeys_the_limit_of_the_other(self, mode: Mode) -> None:
        async with open_pair(
            mode,
            server_options=ServerOptions(max_message_size=1000),
            client_options=ClientOptions(max_message_size=2000),
        ) as (client, accepted, _):
            known = mode.has_control
            assert client.max_send_size == (1000 if known else 2000)
            assert accepted.max_send_size == (2000 if known else 1000)
            with pytest.raises(sealframe.MessageTooLargeError, match="over the limit"):
                await client.send(bytes(client.max_send_size + 1))
            await client.send(bytes(1000))
            assert await accepted.recv() == bytes(1000)


class TestNotConnected:
    async def test_refused(self, mode: Mode, port: int) -> None:
        with pytest.raises(ConnectError, match=rf"127\.0\.0\.1:{port}") as caught:
            await sealframe.connect("127.0.0.1", port, **mode.client)
        assert caught.value.errno == errno.ECONNREFUSED

    async def test_no_such_socket(self, mode: Mode, tmp_path: Path) -> None:
        with pytest.raises(ConnectError, match="nobody") as caught:
            await sealframe.connect(path=tmp_path / "nobody", **mode.client)
        assert caught.value.errno == errno.ENOENT

    @pytest.mark.parametrize("host", ["no-such-host.invalid", "no..such.host", "x" * 70])
    async def test_no_such_host(self, host: str) -> None:
        with pytest.raises(ConnectError, match="cannot connect to " + host):
            await sealframe.connect(host, 1)

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue is no silence")
    async def test_no_answer(self, mode: Mode) -> None:
        options = ClientOptions(connect_timeout=0.1)
        async with listening(backlog=0) as listener, await Raw.dial(listener.port):
            with pytest.raises(ConnectTimeoutError, match=r"connect_timeout, 0\.1 s") as caught:
                await attempt(listener, mode, options)
            assert isinstance(caught.value, TimeoutError)

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue is no silence")
    async def test_cancelled_before_there_is_an_answer(self, mode: Mode) -> None:
        async with listening(backlog=0) as listener, await Raw.dial(listener.port):
            attempting = asyncio.ensure_future(attempt(listener, mode))
            for _ in range(10):
                await asyncio.sleep(0)
            attempting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await attempting

    async def test_cancelled_during_the_handshake(self, control_mode: Mode) -> None:
        async with listening() as listener:
            attempting = asyncio.ensure_future(attempt(listener, control_mode))
            async with await listener.accept() as raw:
                await raw.receive_exactly(4)
                attempting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await attempting
                await raw.receive_to_end()

    async def test_cancelled_after_the_failure(self, sealed: Mode) -> None:
        """It stays a moment, so that what it answered is not lost, but no longer than wanted."""
        async with listening() as listener:
            attempting = asyncio.ensure_future(attempt(listener, sealed))
            async with await listener.accept() as raw:
                await raw.receive_exactly(4 + 1 + 10 + 1248)
                await raw.send(control.frame(Opcode.HANDSHAKE, bytes(1152)))
                refusal = close_frame(CloseCode.REFUSED, counted=False)
                assert await raw.receive_to_end() == refusal
                assert not attempting.done()
                attempting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await attempting
                # Nobody reads there any more.
                async with asyncio.timeout(PATIENCE):
                    with pytest.raises(ConnectionError):
                        while True:
                            await raw.send(b"?")
                            await asyncio.sleep(0)

    async def test_a_server_that_says_nothing(self, control_mode: Mode) -> None:
        options = ClientOptions(handshake_timeout=0.1)
        async with listening() as listener:
            with pytest.raises(HandshakeTimeoutError, match=r"handshake_timeout, 0\.1 s") as caught:
                await attempt(listener, control_mode, options)
            assert not sealframe.is_fatal(caught.value)
            (await listener.accept()).close()

    async def test_a_server_that_goes_on_with_trifles(self, control_mode: Mode) -> None:
        """The deadline is absolute: bytes that come do not move it."""
        options = ClientOptions(handshake_timeout=0.1)
        async with listening() as listener:
            attempting = asyncio.ensure_future(attempt(listener, control_mode, options))
            async with await listener.accept() as raw:
                # The head of a frame that is allowed here, and its body byte by byte.
                await raw.send((40 | CONTROL_BIT).to_bytes(4, "little"))
                for _ in range(30):
                    if attempting.done():
                        break
                    with contextlib.suppress(ConnectionError):
                        await raw.send(bytes((Opcode.CLOSE,)))
                    await asyncio.wait([attempting], timeout=0.02)
                with pytest.raises(HandshakeTimeoutError):
                    await attempting

    async def test_a_server_that_hangs_up(self, control_mode: Mode) -> None:
        async with listening() as listener:
            attempting = asyncio.ensure_future(attempt(listener, control_mode))
            (await listener.accept()).close()
            with pytest.raises(HandshakeError, match="during the handshake"):
                await attempting

    @pytest.mark.parametrize(
        ("code", "fatal"),
        [(CloseCode.BUSY, False), (CloseCode.GOING_AWAY, False), (CloseCode.UNAUTHORIZED, True)],
    )
    async def test_a_server_that_refuses(
        self, control_mode: Mode, code: CloseCode, fatal: bool
    ) -> None:
        async with listening() as listener:
            attempting = asyncio.ensure_future(attempt(listener, control_mode))
            async with await listener.accept() as raw:
                await raw.send(close_frame(code))
                with pytest.raises(HandshakeError) as caught:
                    await attempting
            assert caught.value.code == code
            assert sealframe.is_fatal(caught.value) is fatal


class TestArguments:
    @pytest.mark.parametrize(
        "arguments",
        [
            {},
            {"host": "127.0.0.1"},
            {"port": 1},
            {"host": "127.0.0.1", "port": 70000},
            {"host": "127.0.0.1", "port": "1"},
            {"host": "127.0.0.1", "port": 1, "path": "s"},
            {"host": "", "port": 1},
            {"path": ""},
            {"host": "127.0.0.1", "port": 1, "security": b"a key"},
            {"host": "127.0.0.1", "port": 1, "context": "no key"},
            {"host": "127.0.0.1", "port": 1, "options": ServerOptions()},
            {"host": "127.0.0.1", "port": 1, "framing": sealframe.Framing(), "extended": True},
        ],
        ids=lambda arguments: ",".join(arguments) or "nothing",
    )
    async def test_what_cannot_work_is_refused_at_once(self, arguments: dict[str, object]) -> None:
        with pytest.raises(ConfigurationError):
            sealframe.connect(**arguments)  # type: ignore[call-overload]


class TestNeverPlain:
    """A client with a key takes nothing but a sealed connection, whatever it hears."""

    @pytest.mark.parametrize(
        "answer",
        [
            close_frame(CloseCode.PLAIN),
            close_frame(CloseCode.REFUSED),
            close_frame(CloseCode.VERSION),
            message(b"good day"),
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"",
        ],
        ids=["PLAIN", "REFUSED", "VERSION", "a message", "HTTP", "FIN"],
    )
    async def test_it_gives_up(self, sealed: Mode, answer: bytes) -> None:
        async with listening() as listener:
            attempting = asyncio.ensure_future(attempt(listener, sealed))
            async with await listener.accept() as raw:
                hello = await raw.receive_exactly(4 + 1 + 10 + 1248)
                assert hello.startswith(b"\xeb\x04\0\x80" + bytes((Opcode.HANDSHAKE,)) + MAGIC)
                await raw.send(answer)
                raw.finish()
                with pytest.raises(HandshakeError):
                    await attempting
                # Nothing more is said on this connection, and there is no other.
                assert await raw.receive_to_end() == b""
            assert not listener.has_waiting()

    async def test_a_key_of_ones_own_is_not_asked_for(self, sealed: Mode) -> None:
        options = ClientOptions(handshake_timeout=PATIENCE)
        async with start(echo, sealed) as server:
            with pytest.raises(HandshakeError, match="the key and the context") as caught:
                await sealframe.connect(
                    "127.0.0.1", server.port, security=SharedKey.generate(), options=options
                )
            assert caught.value.code == CloseCode.REFUSED
            assert sealframe.is_fatal(caught.value)
            await until(lambda: server.counters.failed_handshakes == 1)
