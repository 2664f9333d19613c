"""Both ends of a session with an outbox are killed: what was accepted takes effect once."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from aio.ends import PATIENCE

from sealframe import Outbox

ANY_LOOP = True

ENDS = Path(__file__).parent / "outbox_ends.py"


class Process:
    """One of :mod:`outbox_ends`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        assert process.stdout is not None
        self.output = process.stdout

    @classmethod
    async def start(cls, *arguments: object) -> Process:
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable, ENDS, *map(str, arguments), stdout=subprocess.PIPE
            )
        )

    async def line(self) -> str:
        return (await self.output.readline()).decode().strip()

    async def kill(self) -> list[str]:
        """Return what it had written and was not read."""
        os.kill(self._process.pid, signal.SIGKILL)
        left = (await self.output.read()).decode()
        await self._process.wait()
        return left.split()

    async def wait(self) -> list[str]:
        left = (await self.output.read()).decode()
        assert await self._process.wait() == 0
        return left.split()


async def test_both_ends_are_killed(tmp_path: Path, port: int) -> None:
    seed = random.randrange(1_000_000)
    print("seed", seed)
    chance = random.Random(seed)
    database = tmp_path / "server.db"
    accepted: list[int] = []
    async with asyncio.timeout(3 * PATIENCE):
        server = await Process.start("serve", port, database)
        await server.line()
        first = 1
        for number in range(10):
            client = await Process.start("send", port, tmp_path / "outbox.db", first, 1_000_000_000)
            accepted.append(int(await client.line()))
            if number % 3 == 1:
                await server.kill()
                server = await Process.start("serve", port, database)
                await server.line()
            await asyncio.sleep(chance.random() * 0.1)
            accepted += map(int, await client.kill())
            # Some that were stored had not been told.
            first = max(accepted) + 100
        client = await Process.start("send", port, tmp_path / "outbox.db", first, first + 20)
        *last, closed = await client.wait()
        assert closed == "closed"
        accepted += map(int, last)
        await server.kill()
    with closing(sqlite3.connect(database)) as stored:
        rows = stored.execute("SELECT session, position, CAST(body AS INTEGER) FROM message")
        arrived = sorted(rows, key=lambda row: row[1])
    assert len({session for session, _, _ in arrived}) == 1
    assert [position for _, position, _ in arrived] == list(range(1, len(arrived) + 1))
    bodies = [body for _, _, body in arrived]
    assert bodies == sorted(set(bodies))
    assert set(accepted) <= set(bodies)
    assert len(accepted) > 100


def _stored(database: Path) -> list[int]:
    with closing(sqlite3.connect(database)) as stored:
        return [int(body) for (body,) in stored.execute("SELECT body FROM message")]


async def test_two_copies_take_turns_and_all_are_killed(tmp_path: Path, port: int) -> None:
    """What each has accepted is stored once, or still in its file once it was refused."""
    database = tmp_path / "server.db"
    original, copied = tmp_path / "outbox.db", tmp_path / "copy.db"
    async with asyncio.timeout(3 * PATIENCE):
        server = await Process.start("serve", port, database)
        await server.line()
        client = await Process.start("send", port, original, 1_000, 10**9)
        accepted = [await client.line()]
        await server.kill()
        accepted += [await client.line() for _ in range(20)]
        accepted += await client.kill()
        for end in ("", "-wal"):
            shutil.copy(f"{original}{end}", f"{copied}{end}")
        server = await Process.start("serve", port, database)
        await server.line()
        client = await Process.start("send", port, copied, 10**6, 10**9)
        accepted.append(await client.line())
        while 10**6 not in _stored(database):
            accepted.append(await client.line())
        accepted += await client.kill()
        client = await Process.start("send", port, original, 2, 1)
        assert await client.wait() == ["copy"]
        assert len(_stored(database)) == len(set(_stored(database)))
        await Outbox(original).begin_anew(resend_unknown=True)
        for path in (original, copied):
            client = await Process.start("send", port, path, 2, 1)
            assert await client.wait() == ["closed"]
        await server.kill()
    assert set(map(int, accepted)) <= set(_stored(database))
