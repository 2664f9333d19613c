"""What is wrong with a file is one clear error, and nothing that was accepted is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealframe import (
    OutboxCorruptError,
    OutboxError,
    OutboxFileError,
    OutboxLockedError,
    OutboxVersionError,
)
from sealframe.outbox import Outbox
from sealframe.outbox.store import OutboxStore

from .conftest import Open
from .full_disk import refused_until_there_is_room
from .reading import ALL, numbered, read_all

ANY_LOOP = True


@contextlib.contextmanager
def sqlite(path: Path) -> Iterator[sqlite3.Connection]:
    """Use the file with SQLite alone."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


async def fill(open_store: Open, count: int) -> None:
    """Make an outbox with so many messages, one in each row, and close it."""
    store = await open_store()
    await store.begin(0)
    for number in range(1, count + 1):
        await store.append(numbered([number]))
    await store.close()


# Files that are none


async def test_not_a_database(open_store: Open, path: Path) -> None:
    path.touch(0o600)
    path.write_bytes(b"something else\n" * 1000)
    with pytest.raises(OutboxCorruptError, match="damaged, or no outbox"):
        await open_store()
    assert path.read_bytes() == b"something else\n" * 1000


async def test_the_database_of_another_program_stays_as_it_is(open_store: Open, path: Path) -> None:
    path.touch(0o600)
    with sqlite(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(OutboxCorruptError, match="another program"):
        await open_store()
    assert path.read_bytes() == before


async def test_an_empty_file_becomes_an_outbox(open_store: Open, path: Path) -> None:
    """As a crash while it is made leaves it."""
    path.touch(0o600)
    assert (await open_store()).start == 1


async def test_another_format(open_store: Open, path: Path) -> None:
    await fill(open_store, 1)
    with sqlite(path) as connection:
        connection.execute("PRAGMA user_version=4")
    with pytest.raises(OutboxVersionError, match="format 4"):
        await open_store()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM session",
        "UPDATE session SET token = x'00'",
        "UPDATE session SET token = 'sixteen letters!'",
        "UPDATE session SET shift = 'x'",
        "UPDATE session SET acknowledged = 1000",
        "UPDATE session SET numbered = 1000",
        "UPDATE session SET writers = x'00'",
        "UPDATE session SET writers = 'eight of'",
        "DROP TABLE session",
        "DROP TABLE batch",
        "UPDATE batch SET cost = 'x'",
    ],
)
async def test_what_contradicts_itself_is_not_opened(
    open_store: Open, path: Path, statement: str
) -> None:
    await fill(open_store, 3)
    with sqlite(path) as connection:
        connection.execute(statement)
    with pytest.raises(OutboxCorruptError):
        await open_store()
    # It is let go.
    with pytest.raises(OutboxCorruptError):
        await open_store()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM batch WHERE last = 2",
        "DELETE FROM batch WHERE last = 1",
        "UPDATE batch SET data = x'0102' WHERE last = 2",
        "UPDATE batch SET data = 5 WHERE last = 2",
        "UPDATE batch SET data = 'text' WHERE last = 2",
    ],
)
async def test_a_damaged_message_ends_the_outbox(
    open_store: Open, path: Path, statement: str
) -> None:
    """It is not skipped: what comes behind it would get its number."""
    await fill(open_store, 3)
    with sqlite(path) as connection:
        connection.execute(statement)
    store = await open_store()
    await store.begin(0)
    with pytest.raises(OutboxCorruptError, match="is damaged"):
        await store.read(ALL)
    for call in (store.append([b"x"]), store.read(1), store.begin(0)):
        with pytest.raises(OutboxCorruptError, match="is damaged"):
            await call


async def test_whatever_is_damaged_is_an_outbox_error_or_goes_unseen(
    open_store: Open, path: Path
) -> None:
    await fill(open_store, 20)
    intact = path.read_bytes()
    seen = 0
    for seed in range(60):
        randomness = random.Random(seed)
        broken = bytearray(intact)
        for _ in range(randomness.choice((1, 10, 100))):
            broken[randomness.randrange(len(broken))] = randomness.randrange(256)
        path.write_bytes(broken[: randomness.choice((len(broken), len(broken) // 2))])
        try:
            store = await open_store()
            await store.begin(store.acknowledged)
            # Whatever it was told to have, it may have none.
            if store.kept:
                await store.read(ALL)
            await store.append([b"x"])
            store.acknowledge(store.numbered)
        except OutboxError:
            seen += 1
        except ValueError:
            # Numbers that no session can have.
            pass
    assert seen > 20


# Files that cannot be used


async def test_a_file_that_others_can_read(open_store: Open, path: Path) -> None:
    path.touch()
    path.chmod(0o640)
    with pytest.raises(OutboxFileError, match="chmod 600"):
        await open_store()


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutboxFileError, match="No such file or directory"):
        await OutboxStore.open(Outbox(tmp_path / "missing" / "outbox.db"))


async def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(OutboxFileError, match="is not a file"):
        await OutboxStore.open(Outbox(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
async def test_a_file_of_another_user(open_store: Open, path: Path) -> None:
    await fill(open_store, 1)
    os.chown(path, 12345, 12345)
    with pytest.raises(OutboxFileError, match="belongs to another user"):
        await open_store()


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write everything")
async def test_a_file_that_cannot_be_written(open_store: Open, path: Path) -> None:
    await fill(open_store, 1)
    path.chmod(0o400)
    with pytest.raises(OutboxFileError, match="cannot be opened or written"):
        await open_store()


async def test_another_program_uses_it(open_store: Open, path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from sealframe.outbox import Outbox\n"
        "from sealframe.outbox.store import OutboxStore\n"
        "async def main():\n"
        "    store = await OutboxStore.open(Outbox(sys.argv[1]))\n"
        "    print('open', flush=True)\n"
        "    await asyncio.to_thread(sys.stdin.read)\n"
        "    await store.close()\n"
        "asyncio.run(main())\n"
    )
    other = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    assert await other.stdout.readline() == b"open\n"
    with pytest.raises(OutboxLockedError, match="another program uses"):
        await open_store()
    await other.communicate(b"")
    assert (await open_store()).start == 2


async def test_somebody_writes_to_it_with_sqlite(
    open_store: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealframe.outbox.database._BUSY_TIMEOUT", 0.05)
    store = await open_store()
    await store.begin(0)
    await store.append(numbered([1]))
    with sqlite(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(OutboxLockedError, match="another program uses"):
            await store.append(numbered([2]))
        with pytest.raises(OutboxLockedError):
            await store.begin(0)
        connection.execute("ROLLBACK")
    await store.append(numbered([3]))
    assert await read_all(store, 2) == numbered([1, 3])


# The disk is full


@contextlib.contextmanager
def largest_file(nbytes: int) -> Iterator[None]:
    """Let no file become larger: writing fails with EFBIG, as with EDQUOT under a quota."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_limit_is_reached(open_store: Open) -> None:
    store = await open_store()
    await store.begin(0)
    with largest_file(1 << 20):
        accepted = await refused_until_there_is_room(store)
        assert await read_all(store, store.kept) == accepted[store.acknowledged :]
    await store.append([bytes(2_000_000)])
    await store.close()
    store = await open_store()
    await store.begin(store.acknowledged)
    assert await read_all(store, store.kept) == [
        *accepted[store.acknowledged :],
        bytes(2_000_000),
    ]


def test_the_disk_is_full(tmp_path: Path) -> None:
    """A file system of 8 MiB, which is gone with the process that sees it."""
    mount = f"mount -t tmpfs -o size=8m tmpfs {tmp_path}"
    unshare = [str(shutil.which("unshare")), "--mount", "sh", "-c"]
    tried = [*unshare, mount]
    if unshare[0] == "None" or subprocess.run(tried, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    script = Path(__file__).with_name("full_disk.py")
    done = subprocess.run(
        [*unshare, f'{mount} && exec "{sys.executable}" "{script}" "{tmp_path}"'],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.stdout == "done\n", done.stderr
