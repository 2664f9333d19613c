"""Servers of a cluster in processes of their own, that a test may kill and stop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any

import sealframe
from sealframe import Connection

_PROGRAM = Path(__file__).with_name("server_process.py")


class ServerProcess:
    """One server.

    :ivar id: of the server in its cluster
    :ivar port: where it listens
    """

    def __init__(self, process: asyncio.subprocess.Process, port: int, id: str) -> None:
        self._process = process
        self.port = port
        self.id = id

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self._process.kill()

    async def connect(self) -> Connection:
        """Return a client's end."""
        return await sealframe.connect("127.0.0.1", self.port, extended=True)

    async def state(self) -> dict[str, Any]:
        """Return what it knows."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        return await self._read()

    async def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        state: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return state

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self._process.pid, number)


@asynccontextmanager
async def server_process(
    urls: str, name: str, *more: str, program: Path = _PROGRAM
) -> AsyncIterator[ServerProcess]:
    """A server that has joined; it is killed at the end.

    :param more: further arguments of the program
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), urls, name, *more, stdin=PIPE, stdout=PIPE
    )
    try:
        assert process.stdout is not None
        told = json.loads(await process.stdout.readline())
        yield ServerProcess(process, told["port"], told["id"])
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
