"""PostgreSQL, with the server itself."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import sealframe
from sealframe import Connection
from sealframe.framing.layouts import POSTGRESQL

from ..programs import running

INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
INITDB = shutil.which("initdb") or (str(INSTALLED[-1]) if INSTALLED else None)
AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0

pytestmark = pytest.mark.skipif(
    INITDB is None or (AS_ROOT and shutil.which("setpriv") is None),
    reason="no PostgreSQL is installed, or nothing that runs it as another user than root",
)

PROTOCOL_3 = 196_608


def as_user(*command: object) -> list[str]:
    """The server does not run as root."""
    before = (
        ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if AS_ROOT else []
    )
    return [*before, *map(str, command)]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A new database; not in pytest's folder, which is closed to other users."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if AS_ROOT:
            shutil.chown(folder, "postgres", "postgres")
        initdb = as_user(INITDB, "-D", folder / "data", "-A", "trust", "-U", "clerk", "-N")
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=folder)
        yield folder


@asynccontextmanager
async def serving(folder: Path, port: int) -> AsyncIterator[None]:
    assert INITDB
    command = as_user(
        Path(INITDB).with_name("postgres"), "-D", folder / "data", "-p", port, "-k", folder,
        "-c", "listen_addresses=127.0.0.1",
    )  # fmt: skip
    async with running(*command) as server:
        assert server.stderr
        while b"ready to accept connections" not in await server.stderr.readline():
            pass
        try:
            yield
        finally:
            server.send_signal(signal.SIGINT)
            await server.wait()


def message(kind: bytes, body: bytes = b"") -> bytes:
    """A message whose length is filled in when it is sent."""
    return kind + bytes(4) + body


async def until_ready(conn: Connection) -> list[bytes]:
    """Return what comes, up to ReadyForQuery."""
    received: list[bytes] = []
    while not received or received[-1][:1] != b"Z":
        received.append(await conn.recv())
    return received


def kinds(messages: list[bytes]) -> bytes:
    return b"".join(message[:1] for message in messages)


async def test_a_client_queries(folder: Path, port: int) -> None:
    start = struct.pack(">II", 0, PROTOCOL_3) + b"user\0clerk\0database\0postgres\0\0"
    async with serving(folder, port):
        async with sealframe.connect("127.0.0.1", port, framing=POSTGRESQL) as conn:
            await conn.send(start)
            begun = await until_ready(conn)
            assert begun[0] == b"R\0\0\0\x08\0\0\0\0"
            assert set(kinds(begun)) == set(b"RSKZ")

            await conn.send(message(b"Q", b"SELECT 6 * 7, repeat('x', 100000)\0"))
            answer = await until_ready(conn)
            assert kinds(answer) == b"TDCZ"
            assert answer[1][5:] == b"\0\2" + b"\0\0\0\x0242" + struct.pack(">I", 100_000) + (
                b"x" * 100_000
            )

            await conn.send(message(b"Q", b"SELECT 1 / 0\0"))
            assert kinds(await until_ready(conn)) == b"EZ"

            # Parse, Bind, Execute, Sync, all before an answer.
            for request in (
                message(b"P", b"\0SELECT $1::int + 1\0\0\0"),
                message(b"B", b"\0\0\0\0\0\1" + b"\0\0\0\x026" + b"1\0\0"),
                message(b"E", b"\0\0\0\0\0"),
                message(b"S"),
            ):
                await conn.send(request)
            answer = await until_ready(conn)
            assert kinds(answer) == b"12DCZ"
            assert answer[2][5:] == b"\0\1\0\0\0\x0262"
            await conn.send(message(b"X"))
