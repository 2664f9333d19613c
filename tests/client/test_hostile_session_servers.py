"""Servers that abuse sessions: what a client is told, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aio.ends import PATIENCE, Mode
from aio.scripted import Peer, ScriptedListener, close_frame, listening, message, until
from aio.session_peers import SessionServer
from aio.session_peers import welcome as say_welcome

import sealframe
from sealframe import ClientOptions, Connection, ConnectionClosedError, SessionLostError
from sealframe.aio.connection import protocol_of
from sealframe.wire import MAX_WINDOW, CloseCode, Control, Opcode, control
from sealframe.wire.control import Close, Hello, SessionHello, SessionWelcome

ANY_LOOP = True

pytestmark = pytest.mark.usefixtures("no_leaks")

WINDOW = 64 * 1024


def welcome(**fields: int) -> bytes:
    values = {
        "numbering": 7,
        "received": 0,
        "acknowledged": 0,
        "credit": WINDOW,
        "taken": 0,
        "keep": 60,
        "ack_by": WINDOW,
    }
    session = SessionWelcome(**{**values, **fields}).encode()  # type: ignore[arg-type]
    body = Hello(window=WINDOW, session=session, client_id="x").encode()
    return control.frame(Opcode.WELCOME, body)


@dataclass
class Impostor:
    """A server that says of a session whatever a test wants."""

    listener: ScriptedListener
    mode: Mode

    async def accept(self) -> tuple[Peer, SessionHello]:
        """Return the next link, and what the client says of its session."""
        peer = Peer(await self.listener.accept(), self.mode, client=False)
        if self.mode.sealed:
            await peer.shake_hands()
        frame = await peer.read()
        assert isinstance(frame, Control)
        return peer, SessionHello.decode(Hello.decode(frame.body).session)

    async def answer(self, frames: bytes) -> Peer:
        """Answer the next link with these frames, and cut it."""
        peer, _ = await self.accept()
        await peer.write(frames)
        return peer


@contextlib.asynccontextmanager
async def facing(mode: Mode) -> AsyncIterator[tuple[Connection, Impostor, Peer]]:
    """Open a session whose server got messages "1" and "2" and acknowledged the first."""
    options = ClientOptions(
        backoff_initial=0.001, backoff_maximum=0.002, close_timeout=1.0, keepalive_interval=None
    )
    async with listening() as listener:
        impostor = Impostor(listener, mode)
        security: Any = mode.client
        connecting = asyncio.ensure_future(
            _connect(listener.port, session=True, options=options, **security)
        )
        peer = await impostor.answer(welcome())
        conn = await connecting
        await conn.send(b"1")
        await conn.send(b"2")
        assert [await peer.read_message() for _ in range(2)] == [b"1", b"2"]
        await peer.write(control.ack(1) + message(b"a"))
        assert await conn.recv() == b"a"
        try:
            yield conn, impostor, peer
        finally:
            peer.raw.close()
            async with asyncio.timeout(PATIENCE):
                await conn.close()


async def _connect(port: int, **arguments: Any) -> Connection:
    return await sealframe.connect("127.0.0.1", port, **arguments)


@pytest.mark.parametrize(
    "wrong",
    [
        {"received": 3, "acknowledged": 1},
        {"received": 0, "acknowledged": 0},
        {"received": 2, "acknowledged": 0},
        {"received": 2, "acknowledged": 1, "credit": 2**64 - 1},
        {"received": 2, "acknowledged": 3},
        {"received": 2, "acknowledged": 1, "ack_by": 0},
        {"numbering": 8, "taken": 3},
        {"numbering": 8, "taken": 0},
        {"numbering": 8, "taken": 2**64 - 1},
    ],
    ids=str,
)
async def test_counts_that_contradict(control_mode: Mode, wrong: dict[str, int]) -> None:
    async with facing(control_mode) as (conn, impostor, first):
        first.raw.close()
        peer, hello = await impostor.accept()
        assert (hello.received, hello.acknowledged, hello.link) == (1, 1, 2)
        await peer.write(welcome(**wrong))
        with pytest.raises(ConnectionClosedError) as caught:
            await conn.recv()
        assert isinstance(caught.value, SessionLostError)
        assert (caught.value.arrived, caught.value.unknown) == (1, 1)
        peer.raw.close()
        await until(lambda: conn.closed)
        assert not impostor.listener.has_waiting()


@pytest.mark.parametrize(
    "frame",
    [
        control.ack(3),
        control.ack(0),
        control.frame(Opcode.ACK, bytes(7)),
        control.frame(Opcode.CREDIT, MAX_WINDOW.to_bytes(4, "little")) * 2,
        b"\x01\x00\x00\x80\x7e",
        b"\xff\xff\xff\x7f",
    ],
    ids=lambda frame: frame[:12].hex(),
)
@pytest.mark.parametrize("again", [False, True], ids=["first-link", "behind-welcome"])
async def test_a_frame_that_would_come_for_ever(
    control_mode: Mode, frame: bytes, again: bool
) -> None:
    async with facing(control_mode) as (conn, impostor, first):
        if again:
            first.raw.close()
            goes_on = welcome(received=2, acknowledged=1)
            peer = await impostor.answer(goes_on + message(b"b") + frame)
            assert await conn.recv() == b"b"
        else:
            peer = first
            await peer.write(message(b"b") + frame)
            assert await conn.recv() == b"b"
        with pytest.raises(ConnectionClosedError):
            await conn.recv()
        await peer.read_opcode(Opcode.CLOSE)
        peer.raw.close()
        await until(lambda: conn.closed)
        assert not impostor.listener.has_waiting()


async def test_a_link_cut_at_every_byte(control_mode: Mode) -> None:
    """What came whole counts, the rest comes again, and nothing twice."""
    frames = message(b"bcd") + message(b"") + message(b"ef")
    async with facing(control_mode) as (conn, impostor, first):
        peer, came = first, []
        expected = 1
        for place in range(len(frames) + 1):
            # A record for each byte: else a sealed frame comes whole or not at all.
            for byte in frames[:place]:
                await peer.write(bytes((byte,)))
            peer.raw.finish()
            whole = (place >= 7) + (place >= 11) + (place >= 17)
            came += [await conn.recv() for _ in range(whole)]
            expected += whole
            peer.raw.close()
            peer, hello = await impostor.accept()
            assert hello.received == expected
            await peer.write(welcome(received=2, acknowledged=1))
        # Each link brings what it carried whole: the server here says the same anew.
        assert came == [b"bcd"] * 4 + [b"bcd", b""] * 6 + [b"bcd", b"", b"ef"]
        peer.raw.close()


async def test_an_answer_cut_at_every_byte(control_mode: Mode) -> None:
    """WELCOME that has not come whole says nothing, and the next HELLO says the same again."""
    answer = welcome(received=2, acknowledged=1)
    async with facing(control_mode) as (conn, impostor, first):
        first.raw.close()
        links = []
        for place in range(0, len(answer), 5):
            peer, hello = await impostor.accept()
            links.append(hello.link)
            assert (hello.numbering, hello.received, hello.acknowledged) == (7, 1, 1)
            for byte in answer[:place]:
                await peer.write(bytes((byte,)))
            peer.raw.finish()
            await peer.read_to_end()
            peer.raw.close()
        assert links == sorted(set(links))
        peer = await impostor.answer(answer)
        await conn.wait_connected()
        peer.raw.close()


async def test_links_that_end_as_soon_as_they_are_made(control_mode: Mode) -> None:
    """Each makes one next attempt, and no more."""
    async with facing(control_mode) as (conn, impostor, first):
        first.raw.close()
        goes_on = welcome(received=2, acknowledged=1)
        last = 1
        for number in range(20):
            peer, hello = await impostor.accept()
            assert hello.link == last + 1
            last = hello.link
            leaving = close_frame(CloseCode.GOING_AWAY, counted=False) if number % 2 else b""
            await peer.write(goes_on + leaving)
            peer.raw.close()
        peer, _ = await impostor.accept()
        await peer.write(goes_on + message(b"b"))
        assert await conn.recv() == b"b"
        assert not impostor.listener.has_waiting()
        peer.raw.close()


async def test_what_anyone_on_the_way_can_say(sealed: Mode) -> None:
    """It costs the link, and not the session."""
    async with facing(sealed) as (conn, impostor, first):
        first.raw.close()
        for code in (CloseCode.SESSION_LOST, CloseCode.NORMAL, CloseCode.UNAUTHORIZED):
            raw = await impostor.listener.accept()
            await raw.send(control.frame(Opcode.CLOSE, Close(code, "", 5).encode()))
            raw.close()
        raw = await impostor.listener.accept()
        await raw.send(bytes(100))
        raw.close()
        peer, _ = await impostor.accept()
        await peer.write(welcome(received=2, acknowledged=1))
        # Garbage in the same read as the record of WELCOME.
        await peer.raw.send(bytes((20, 0, 0, 0)) + bytes(20))
        peer.raw.close()
        peer = await impostor.answer(welcome(received=2, acknowledged=1) + message(b"b"))
        assert await conn.recv() == b"b"
        peer.raw.close()


async def test_what_waits_is_not_written_to_a_link_that_has_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It goes to the next one. (asyncio would warn that "socket.send() raised exception".)"""
    async with listening() as listener:
        connecting = asyncio.ensure_future(_connect(listener.port, session=True))
        peer, _ = await SessionServer(listener).accept()
        await say_welcome(peer, 7, credit=16 * 1024 * 1024)
        conn = await connecting
        peer.raw.reset()
        for _ in range(40):
            conn.send_nowait(bytes(20_000))
        await until(lambda: not conn.connected)
        assert not [record for record in caplog.records if record.name == "asyncio"]
        # asyncio's transports send at once, and tell of it; uvloop's do later.
        protocol_of(conn).closer.abort(ConnectionClosedError("given up"))
        await until(lambda: conn.closed)


@pytest.mark.parametrize("received", [None, 0, 3], ids=str)
async def test_an_end_that_cannot_be(control_mode: Mode, received: int | None) -> None:
    """CLOSE(NORMAL) in place of WELCOME, without the count that a server remembers, or with one
    that this session never had: on a plain link it costs the link alone."""
    async with facing(control_mode) as (conn, impostor, first):
        first.raw.close()
        peer = await impostor.answer(
            control.frame(Opcode.CLOSE, Close(frames_received=received).encode())
        )
        if control_mode.sealed:
            with pytest.raises(SessionLostError) as caught:
                await conn.recv()
            assert (caught.value.arrived, caught.value.unknown) == (1, 1)
            assert not impostor.listener.has_waiting()
        else:
            peer.raw.close()
            peer = await impostor.answer(welcome(received=2, acknowledged=1) + message(b"b"))
            assert await conn.recv() == b"b"
        peer.raw.close()


async def test_a_close_while_every_stage_of_the_next_link_is_under_way(control_mode: Mode) -> None:
    for turns in range(4):
        async with facing(control_mode) as (conn, impostor, first):
            first.raw.close()
            next_peer, _ = await impostor.accept()
            await next_peer.write(welcome(received=2, acknowledged=1))
            for _ in range(turns):
                await asyncio.sleep(0)
            protocol_of(conn).closer.abort(ConnectionClosedError("given up"))
            await until(lambda: conn.closed)
            next_peer.raw.close()
