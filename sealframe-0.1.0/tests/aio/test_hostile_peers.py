"""Peers that do harm on purpose: nothing they do hangs us, fills us or stalls the others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from pathlib import Path

import pytest

import sealframe
from sealframe import Connection, ConnectionClosed, ServerOptions
from sealframe.aio.connection import protocol_of
from sealframe.server.reject import MAX_REJECTED
from sealframe.server.server import registry_of
from sealframe.wire import Control, Opcode, control
from sealframe.wire.control import Hello

from .ends import PATIENCE, Mode, start
from .scripted import Peer, Raw, Role, dialled, facing, until

pytestmark = pytest.mark.usefixtures("no_leaks")

_READ_SIZE = 256 * 1024
"""Bytes that one read takes in at most, as long as messages are small."""
_CAREFUL_SIZE = 32 * 1024
"""The same after one that brought thousands of frames."""


async def _clog(conn: Connection) -> asyncio.Task[None]:
    """Send to a peer that does not read, until no more goes out; return the sender."""

    async def send() -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await conn.send(bytes(60_000))

    sender = asyncio.create_task(send())
    await until(
        lambda: protocol_of(conn).sender.write_paused and protocol_of(conn).sender.queue.full
    )
    return sender


async def _deliver(conn: Connection, peer: Peer, frame: bytes) -> None:
    """Write a frame and wait until it was read, so that the next one is not in the same read."""
    seen = conn.stats.bytes_received
    await peer.write(frame)
    await until(lambda: conn.stats.bytes_received > seen)


@pytest.mark.parametrize("role", ["server", "client"])
class TestAPeerThatNeverReads:
    async def test_and_stops_inside_a_frame(self, mode: Mode, role: Role) -> None:
        async with facing(role, mode, small_buffer=True, close_timeout=0.2) as (conn, peer):
            sender = await _clog(conn)
            await peer.write(b"\x05\x00\x00\x00ab")
            peer.raw.finish()
            async with asyncio.timeout(PATIENCE):
                await conn.wait_closed()
                await sender
            assert not await conn.close()

    async def test_and_breaks_the_protocol(self, mode: Mode, role: Role) -> None:
        async with facing(role, mode, small_buffer=True, close_timeout=0.2) as (conn, peer):
            sender = await _clog(conn)
            await peer.raw.send(b"\x00\x00\x00\x80")
            async with asyncio.timeout(PATIENCE):
                await sender
                assert not await conn.close()

    async def test_and_pings(self, control_mode: Mode, role: Role) -> None:
        async with facing(role, control_mode, small_buffer=True, close_timeout=0.2) as (conn, peer):
            sender = await _clog(conn)
            transport = protocol_of(conn).transport
            assert transport is not None
            held = transport.get_write_buffer_size()
            bodies = [number.to_bytes(8, "big") for number in range(50)]
            for body in bodies:
                await _deliver(conn, peer, control.frame(Opcode.PING, body))
            assert transport.get_write_buffer_size() <= held
            # Once it reads, the newest is answered.
            async with asyncio.timeout(PATIENCE):
                while not isinstance(frame := await peer.read(), Control):
                    pass
            assert frame == Control(Opcode.PONG, bodies[-1])
            peer.raw.reset()
            async with asyncio.timeout(PATIENCE):
                await sender


class TestACrowd:
    async def test_no_more_sockets_and_log_lines_than_there_must_be(
        self, mode: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        options = ServerOptions(max_connections=1, handshake_timeout=60, close_timeout=0.2)

        async def handler(conn: Connection) -> None:
            await conn.wait_closed()

        async with (
            start(handler, mode, options=options) as server,
            contextlib.AsyncExitStack() as stack,
        ):
            await stack.enter_async_context(dialled(server, mode))
            crowd = [
                await stack.enter_async_context(await Raw.dial(server.port))
                for _ in range(MAX_REJECTED + 10)
            ]
            await until(lambda: server.counters.turned_away == len(crowd))
            await until(lambda: len(registry_of(server).rejected) == MAX_REJECTED)
            lines = [text for text in caplog.messages if "turned away" in text]
            assert len(lines) == 1

    async def test_those_who_break_off_fill_no_log(
        self, mode: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Whatever they broke off, a minute has a few lines, and one tells of the others."""
        caplog.set_level(logging.WARNING)

        async def handler(conn: Connection) -> None:
            await conn.wait_closed()

        async with start(handler, mode) as server:
            for _ in range(50):
                async with await Raw.dial(server.port) as raw:
                    await raw.send(b"\xff")
                    raw.finish()
                    await raw.receive_to_end()
            await until(lambda: not registry_of(server).connections)
        lines = [text for text in caplog.messages if "client " in text]
        assert 0 < len(lines) <= 20

    async def test_one_that_comes_as_the_server_closes(self, mode: Mode) -> None:
        async def handler(conn: Connection) -> None:
            await asyncio.Event().wait()

        server = await start(handler, mode, options=ServerOptions(close_timeout=0.2))
        async with await Raw.dial(server.port):
            await until(lambda: bool(registry_of(server).connections))
            async with asyncio.timeout(PATIENCE):
                await server.close()
            assert not registry_of(server).connections
            assert not registry_of(server).handlers


async def test_tiny_frames_do_not_hold_up_the_others() -> None:
    pads = memoryview(control.frame(Opcode.PAD) * 400_000)
    async with facing("server", Mode("extended")) as (conn, peer):
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < len(pads):
                sent += peer.raw.sock.send(pads[sent:])
        assert sent > 2 * _READ_SIZE
        last = conn.stats.bytes_received
        end = last + sent
        while last < end:
            # Whatever else is due runs once in each turn of the loop.
            await asyncio.sleep(0)
            assert conn.stats.bytes_received - last <= _READ_SIZE
            last = conn.stats.bytes_received
        peer.raw.reset()


async def test_who_sends_tiny_frames_is_read_in_small_parts(control_mode: Mode) -> None:
    """Some cost ten times as much as those above. Once they stop, large parts are read."""
    credit = control.frame(Opcode.CREDIT, (1).to_bytes(4, "little"))
    # Of a sealed record nothing is looked at before all of it is there.
    most = 2 * _CAREFUL_SIZE if control_mode.sealed else _CAREFUL_SIZE
    async with facing("server", control_mode, hello=Hello(window=1)) as (conn, peer):
        for _ in range(2):
            last = conn.stats.bytes_received
            end = last + 20_000 * len(credit)
            await peer.write(credit * 20_000)
            while last < end:
                await asyncio.sleep(0)
                assert conn.stats.bytes_received - last <= most
                last = conn.stats.bytes_received
        while protocol_of(conn).receiver.small_reads:
            await _deliver(conn, peer, credit)
        assert len(protocol_of(conn).get_buffer(-1)) == _READ_SIZE


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this platform has no Unix sockets")
async def test_the_path_of_a_peer_writes_no_lines_into_the_log(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    folder = tmp_path_factory.mktemp("s")
    shown: list[str] = []

    async def handler(conn: Connection) -> None:
        shown.append(repr(conn))
        async for _ in conn:
            pass

    async with sealframe.serve(handler, path=folder / "s"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(str(Path(folder, "a\nclient 1 is root\x1b[2J")))
        async with Raw(sock) as raw:
            await asyncio.get_running_loop().sock_connect(sock, str(folder / "s"))
            await raw.send(b"\xff\xff\xff\x7f")
            raw.finish()
            await raw.receive_to_end()
            await until(lambda: bool(caplog.messages))
    assert all(text.isprintable() for text in caplog.messages + shown)
    assert "client 1 is root" in caplog.messages[0]
    assert len(shown) == 1
