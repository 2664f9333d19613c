"""Links that fail while data is under way, and peers that are there and do not read: TCP keepalive
tells of neither, since nothing is probed while something is unacknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import pytest

from sealframe.aio.connection import protocol_of

from . import namespaces
from .ends import PATIENCE, Mode
from .scripted import Role, facing, until

missing = cache(namespaces.missing)


@contextlib.asynccontextmanager
async def program(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program until it is ready; kill it at the end."""
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    try:
        assert await line_of(process) == "ready"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        return (await process.stdout.readline()).decode().strip()


async def test_a_link_that_is_cut_is_noticed_by_both_ends() -> None:
    if reason := missing():
        pytest.skip(reason)
    loop = "uvloop" if "uvloop" in type(asyncio.get_running_loop()).__module__ else "asyncio"
    script = str(namespaces.PROGRAM)
    with namespaces.open_link() as link:
        arguments = link.command("far", script, "server", namespaces.FAR, loop)
        async with program(*arguments) as server:
            arguments = link.command("near", script, "client", namespaces.FAR, loop)
            async with program(*arguments) as client:
                link.cut()
                for process in (client, server):
                    name, seconds = (await line_of(process)).split()
                    assert name == "PeerTimeoutError"
                    # The options say 1 s; the kernel looks when it sends again.
                    assert 0.9 < float(seconds) < 30


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere closed windows are not timed")
@pytest.mark.usefixtures("no_leaks")
async def test_a_peer_that_is_there_and_does_not_read_is_kept(role: Role) -> None:
    options: dict[str, Any] = {"keepalive_interval": 0.5, "keepalive_timeout": 0.5}
    async with facing(role, Mode("packets"), small_buffer=True, **options) as (conn, peer):
        transport = protocol_of(conn).transport
        assert transport is not None
        sock = transport.get_extra_info("socket")

        def timeout() -> int:
            return int(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))

        assert timeout() == 1000
        data = bytes(1000)
        sent = 0
        # All of this is in the kernel, so the event loop is never told to wait.
        for _ in range(12):
            await conn.send(data)
            sent += 1
        assert transport.get_write_buffer_size() == 0
        # It is put off by what has gone by, so the window was closed for longer than 1 s.
        await until(lambda: conn.closed or timeout() > 2500)
        assert not conn.closed
        for _ in range(sent):
            assert await peer.read() == data
        await until(lambda: timeout() == 1000)
