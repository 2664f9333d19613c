"""``serve`` is told to stop: it closes in good order, within a time, or at once when told again."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import sealframe
from sealframe import CloseCode

from .commands import PATIENCE, Relay, relay

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no such signals to send"
)

CODES = {signal.SIGINT: 130, signal.SIGTERM: 0}


def target(server: Relay) -> tuple[str, int]:
    host, _, port = server.address.rpartition(":")
    return host, int(port)


@contextmanager
def silent(server: Relay) -> Iterator[socket.socket]:
    """Connect a client that reads nothing and never closes."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(target(server))
        yield sock


@pytest.mark.parametrize("number", CODES)
async def test_clients_are_told(number: int) -> None:
    async with relay("127.0.0.1:0") as server, asyncio.timeout(PATIENCE):
        conn = await sealframe.connect(*target(server), extended=True)
        await server.program.lines_until("joined")
        ending = asyncio.create_task(server.program.end_by(number))
        assert [message async for message in conn] == []
        assert conn.close_code == CloseCode.GOING_AWAY
        await conn.close()
        done = await ending
        assert (done.code, done.errors) == (CODES[signal.Signals(number)], "")
        assert done.output.endswith(" left\n")


async def test_what_could_not_be_sent_is_told() -> None:
    async with (
        relay("127.0.0.1:0", "--grace", 0.2) as server,
        sealframe.connect(*target(server)) as conn,
    ):
        await server.program.lines_until("joined")
        with silent(server):
            await server.program.lines_until("joined")
            # More than any kernel holds for it, and less than makes it too slow.
            for _ in range(56):
                await conn.send(bytes(131_072))
            for _ in range(56):
                await server.program.line()
            done = await server.program.end_by(signal.SIGTERM)
    assert done.code == 0
    lines = done.errors.splitlines()
    assert any("closed: " in line and " messages not sent" in line for line in lines), lines


@pytest.mark.parametrize("first", CODES)
@pytest.mark.parametrize("second", CODES)
async def test_a_second_signal_ends_it_at_once(first: int, second: int) -> None:
    async with relay("127.0.0.1:0", "--grace", 1000) as server:
        with silent(server) as client:
            await server.program.lines_until("joined")
            server.program.process.send_signal(first)
            async with asyncio.timeout(PATIENCE):
                client.setblocking(False)
                # The server's end is its FIN: the close has begun.
                assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
            assert server.program.process.returncode is None
            done = await server.program.end_by(second)
    assert (done.code, done.errors) == (CODES[signal.Signals(second)], "")


async def test_the_grace_is_an_end_of_all_patience() -> None:
    async with relay("127.0.0.1:0", "--grace", 0) as server:
        with silent(server):
            await server.program.lines_until("joined")
            done = await server.program.end_by(signal.SIGINT)
    assert done.code == 130
    assert "did not close within close_timeout" in done.errors
