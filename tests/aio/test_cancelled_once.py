"""What the program does to clean up is not interrupted, for whatever reasons it was cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import sealframe
from sealframe import Connection, Server
from sealframe.core import channel_frames
from sealframe.wire import MAX_WINDOW
from sealframe.wire.control import Hello

from .ends import PATIENCE, Mode
from .scripted import Peer, Raw, until

pytestmark = pytest.mark.usefixtures("no_leaks")

HELLO = Hello(window=MAX_WINDOW, max_streams=10, max_requests=10)


class Program:
    """Whose work, once it is cancelled, takes until it is let go to clean up."""

    def __init__(self) -> None:
        self.begun = False
        self.cleaning = False
        self.go_on = asyncio.Event()
        self.cleaned = False

    async def work(self, *_: object) -> None:
        self.begun = True
        try:
            await asyncio.Event().wait()
        finally:
            self.cleaning = True
            await self.go_on.wait()
            self.cleaned = True


async def cancel(peer: Peer, server: Server) -> None:
    await peer.write(channel_frames.cancel(0))


async def close(peer: Peer, server: Server) -> None:
    await peer.say_end()


async def lose(peer: Peer, server: Server) -> None:
    peer.raw.reset()


async def kick(peer: Peer, server: Server) -> None:
    for client in list(server.clients):
        server.kick(client)


@asynccontextmanager
async def given_up(program: Program, mode: Mode) -> AsyncIterator[tuple[Peer, Server]]:
    """Let a server work at a request that its peer has given up."""
    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(None, "127.0.0.1", 0, on_request=program.work, **mode.server) as server,
        await Raw.dial(server.port) as raw,
    ):
        peer = Peer(raw, mode, client=True)
        await peer.introduce(HELLO)
        await peer.write(channel_frames.request(0, b""))
        await until(lambda: program.begun)
        await cancel(peer, server)
        await until(lambda: program.cleaning)
        yield peer, server


@pytest.mark.parametrize("reason", [cancel, close, lose, kick])
async def test_a_request_that_was_given_up(
    control_mode: Mode, reason: Callable[[Peer, Server], Awaitable[None]]
) -> None:
    """Once more, by its peer or by this end, and by the server's shutdown in the end."""
    program = Program()
    async with given_up(program, control_mode) as (peer, server):
        (conn,) = server.clients.values()
        received = conn.stats.bytes_received
        await reason(peer, server)
        await until(lambda: conn.stats.bytes_received > received or conn.closed or reason is kick)
        closing = asyncio.ensure_future(server.close(timeout=0))
        await asyncio.sleep(0.05)
        program.go_on.set()
        peer.raw.close()
        report = await closing
    assert program.cleaned
    assert report.cancelled <= 1


async def test_one_that_never_ends_is_cancelled_again(
    control_mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the shutdown, once it had its time."""
    monkeypatch.setattr("sealframe.aio.tasks._CLEAN_UP", 0.05)
    program = Program()
    async with given_up(program, control_mode) as (peer, server):
        peer.raw.close()
        assert (await server.close(timeout=0)).cancelled == 1
    assert not program.cleaned


@pytest.mark.parametrize("what", ["on_message", "on_connect"])
async def test_what_two_closes_wait_for(what: str, control_mode: Mode) -> None:
    """Both of a client's own, at the same deadline."""
    program = Program()
    given: Any = {what: program.work}

    async def handler(conn: Connection) -> None:
        await conn.send(b"go")
        await conn.wait_closed()

    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(handler, "127.0.0.1", 0, **control_mode.server) as server,
    ):
        conn = await sealframe.connect(
            "127.0.0.1",
            server.port,
            options=sealframe.ClientOptions(close_timeout=0.2),
            **control_mode.client,
            **given,
        )
        await until(lambda: program.begun)
        closing = [asyncio.ensure_future(conn.close()) for _ in range(2)]
        await until(lambda: program.cleaning)
        for _ in range(5):
            await asyncio.sleep(0.01)
        assert not program.cleaned
        program.go_on.set()
        await asyncio.gather(*closing)
    assert program.cleaned
