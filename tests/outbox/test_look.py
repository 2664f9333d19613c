"""What is in the file is read beside whoever uses it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from sealframe import OutboxCorruptError, OutboxFileError, OutboxState, OutboxVersionError
from sealframe.outbox import Outbox

from .conftest import Open


def counts(state: OutboxState) -> tuple[int, int, int]:
    return state.accepted, state.acknowledged, state.waiting


async def test_it_follows_the_file_while_that_is_open(open_store: Open, path: Path) -> None:
    outbox = Outbox(path)
    store = await open_store()
    state = await outbox.look()
    assert counts(state) == (0, 0, 0)
    assert (state.session, state.cost) == ("new", 0)
    name = state.name
    await store.append([b"1", b"22"])
    await store.begin(0)
    store.acknowledge(1)
    await store.append([b"333"])
    state = await outbox.look()
    assert counts(state) == (3, 1, 2)
    # The first goes with the second, which was stored with it.
    assert (state.session, state.cost) == ("begun", store.nbytes)
    assert state.file_size > 0
    await store.supersede()
    assert (await outbox.look()).session == "superseded"
    await store.renew(after=2)
    state = await outbox.look()
    assert counts(state) == (3, 2, 1)
    assert (state.session, state.cost) == ("new", 64 + 3)
    assert state.name != name
    await store.close()
    # A look is no start, and the file is as it was for the next one.
    assert counts(await outbox.look()) == (3, 2, 1)
    assert (await open_store()).start == 2


async def test_another_process_looks(open_store: Open, path: Path) -> None:
    store = await open_store()
    await store.append([b"1", b"2"])
    code = (
        "import asyncio, sealframe, sys; "
        "print(asyncio.run(sealframe.Outbox(sys.argv[1]).look()).waiting)"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, path, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert said.split() == [b"2"]
    await store.append([b"3"])
    assert (await Outbox(path).look()).waiting == 3


async def test_an_append_that_was_cancelled_is_stored_whole_or_not_at_all(
    open_store: Open, path: Path
) -> None:
    store, outbox = await open_store(), Outbox(path)
    accepted = 0
    for turns in range(8):
        appending = asyncio.ensure_future(store.append([b"1", b"2", b"3"]))
        for _ in range(turns):
            await asyncio.sleep(0)
        appending.cancel()
        await asyncio.wait([appending])
        before, accepted = accepted, (await outbox.look()).accepted
        assert accepted - before in ((0, 3) if appending.cancelled() else (3,))
        assert accepted == store.kept


async def test_what_is_no_outbox(path: Path) -> None:
    with pytest.raises(OutboxFileError, match="No such file"):
        await Outbox(path).look()
    assert not path.exists()
    with pytest.raises(OutboxFileError, match="not a file"):
        await Outbox(path.parent).look()
    # One that is being made.
    path.touch()
    state = await Outbox(path).look()
    assert (counts(state), state.session, state.name) == ((0, 0, 0), "new", "")
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE other (x)")
    with pytest.raises(OutboxCorruptError, match="another program"):
        await Outbox(path).look()
    path.write_bytes(os.urandom(4096))
    with pytest.raises(OutboxCorruptError, match="damaged, or no outbox"):
        await Outbox(path).look()


async def test_a_file_of_another_version_or_that_contradicts_itself(
    open_store: Open, path: Path
) -> None:
    store = await open_store()
    await store.append([b"1"])
    await store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE session SET acknowledged = 7")
        with pytest.raises(OutboxCorruptError, match="contradicts itself"):
            await Outbox(path).look()
        database.execute("PRAGMA user_version=99")
        with pytest.raises(OutboxVersionError, match=r"format 99.*use the version that made"):
            await Outbox(path).look()
