"""What a blocking connection says and does, in each way to talk."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from aio.ends import PATIENCE, Mode

import sealframe
from sealframe import (
    CloseCode,
    ConnectError,
    Connection,
    ConnectionClosedError,
    ConnectionClosedOK,
    HandshakeError,
    MessageTooLargeError,
    NotSupportedError,
    RequestTimeoutError,
    ServerOptions,
    SharedKey,
    sync,
)
from sealframe.sync.connection import unwrap
from sealframe.sync.loop_thread import shared

from .ends import dial, echo, open_pair, start, until

KIB = 1024


def test_a_script_and_a_server_of_threads(mode: Mode) -> None:
    with start(echo, mode) as server, dial(server, mode) as conn:
        conn.send(b"one")
        conn.send(bytearray(b"two"))
        assert conn.recv() == b"one"
        assert conn.recv(timeout=PATIENCE) == b"two"
        assert conn.sealed is mode.sealed


async def test_a_script_and_an_asyncio_server(mode: Mode) -> None:
    async def handler(conn: Connection) -> None:
        async for message in conn:
            await conn.send(message.upper())

    def script(port: int) -> list[bytes]:
        with sync.connect("127.0.0.1", port, **mode.client) as conn:
            conn.send_many([b"one", b"two"])
            got = [conn.recv(), conn.recv()]
            assert conn.close() is True
            return got

    async with sealframe.serve(handler, "127.0.0.1", 0, **mode.server) as server:
        async with asyncio.timeout(PATIENCE):
            assert await asyncio.to_thread(script, server.port) == [b"ONE", b"TWO"]


async def test_an_asyncio_client_and_a_server_of_threads(mode: Mode) -> None:
    server = await asyncio.to_thread(start, echo, mode)
    async with sealframe.connect("127.0.0.1", server.port, **mode.client) as conn:
        await conn.send(b"hello")
        async with asyncio.timeout(PATIENCE):
            assert await conn.recv() == b"hello"
    await asyncio.to_thread(server.close)


@pytest.mark.skipif(not hasattr(asyncio, "open_unix_connection"), reason="no Unix sockets here")
def test_a_unix_socket(tmp_path_factory: pytest.TempPathFactory) -> None:
    path: Path = tmp_path_factory.mktemp("s") / "s"
    with sync.serve(echo, path=path) as server, sync.connect(path=path) as conn:
        assert server.addresses == [str(path)]
        conn.send(b"hello")
        assert conn.recv() == b"hello"


def test_several_messages_at_once(mode: Mode) -> None:
    with open_pair(mode) as (client, accepted, _):
        made_in = set()

        def made() -> Iterator[bytes]:
            for number in range(5):
                made_in.add(threading.current_thread())
                yield bytes([number])

        client.send_many(made())
        until(lambda: accepted.stats.messages_received == 5)
        assert accepted.recv_many(2) == [b"\0", b"\1"]
        assert accepted.recv_many() == [b"\2", b"\3", b"\4"]
        # A generator of the program's runs where the program called.
        assert made_in == {threading.current_thread()}


def test_iteration_ends_quietly_on_a_clean_close_and_raises_on_any_other(
    control_mode: Mode,
) -> None:
    for code in (CloseCode.NORMAL, CloseCode.KICKED):
        with open_pair(control_mode) as (client, accepted, _):
            accepted.send_many([b"one", b"two"])
            until(lambda: client.stats.messages_received == 2)
            shared().start(lambda: unwrap(accepted).close(code, "enough"))  # noqa: B023 - called here
            got: list[bytes] = []
            if code == CloseCode.NORMAL:
                got.extend(client)
            else:
                with pytest.raises(ConnectionClosedError, match="enough"):
                    got.extend(client)
            assert got == [b"one", b"two"]
            assert client.close_code == code
            assert client.close_reason == "enough"


def test_messages_that_came_before_the_end_stay_readable(mode: Mode) -> None:
    with start(lambda conn: conn.send(b"last words"), mode) as server, dial(server, mode) as conn:
        until(lambda: conn.stats.messages_received == 1)
        assert conn.recv() == b"last words"
        with pytest.raises(ConnectionClosedOK):
            conn.recv()
        conn.close()
        assert conn.closed


def test_the_same_errors(mode: Mode) -> None:
    options = ServerOptions(max_message_size=10 * KIB)
    with open_pair(mode, server_options=options) as (client, accepted, _):
        with pytest.raises(TypeError, match="encode it first"):
            client.send("text")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="send takes one message"):
            client.send_many(b"bytes")  # type: ignore[arg-type]
        with pytest.raises(MessageTooLargeError):
            accepted.send(bytes(17 * KIB * KIB))
        with pytest.raises(ValueError, match="limit is 0"):
            client.recv_many(0)
        with pytest.raises(ValueError, match="CloseCode"):
            client.close(12345)
        client.send(b"still open")
        assert accepted.recv() == b"still open"


def test_ping(mode: Mode) -> None:
    with open_pair(mode) as (client, _, _):
        if mode.has_control:
            assert 0 < client.ping(timeout=PATIENCE) < PATIENCE
        else:
            with pytest.raises(NotSupportedError):
                client.ping()


async def test_a_request(control_mode: Mode) -> None:
    asked = asyncio.Event()

    async def answer(_: Connection, payload: bytes) -> bytes:
        if payload == b"never":
            asked.set()
            await asyncio.Event().wait()
        return payload.upper()

    async def handler(conn: Connection) -> None:
        assert [message async for message in conn] == []

    def script(port: int) -> None:
        with sync.connect("127.0.0.1", port, **control_mode.client) as conn:
            assert conn.request(b"question") == b"QUESTION"
            with pytest.raises(RequestTimeoutError):
                conn.request(b"never", timeout=0.5)
            assert conn.request(b"further", timeout=PATIENCE) == b"FURTHER"

    async with sealframe.serve(
        handler, "127.0.0.1", 0, **control_mode.server, on_request=answer
    ) as server:
        async with asyncio.timeout(PATIENCE):
            await asyncio.to_thread(script, server.port)
            await asked.wait()


def test_what_it_says_of_itself(mode: Mode) -> None:
    with open_pair(mode) as (client, accepted, server):
        assert repr(client).startswith(f"<sync.Connection {client.id} open 127.0.0.1:")
        assert client.remote_address == ("127.0.0.1", server.port)
        assert client.local_address == accepted.remote_address
        assert client.channel_binding == accepted.channel_binding
        assert len(client.channel_binding) == (32 if mode.sealed else 0)
        assert client.peer is None
        assert client.max_send_size == 16 * KIB * KIB
        assert not client.going_away
        assert not client.closed
        assert (client.close_code, client.close_reason) == (None, "")


def test_nobody_there(port: int) -> None:
    with pytest.raises(ConnectError, match="cannot connect"):
        sync.connect("127.0.0.1", port)


def test_another_key(sealed: Mode) -> None:
    with start(echo, sealed) as server, pytest.raises(HandshakeError):
        sync.connect("127.0.0.1", server.port, security=SharedKey.generate())


def test_a_forgotten_connection_is_closed(mode: Mode) -> None:
    with start(echo, mode) as server:
        conn = dial(server, mode)
        with pytest.raises(TimeoutError):
            conn.recv(timeout=0)
        until(lambda: len(server.clients) == 1)
        del conn
        until(lambda: not server.clients)
    gc.collect()
