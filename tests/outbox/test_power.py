"""Loss of power: the last commits are missing, and no message gets the number of another."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sealframe.outbox import Outbox
from sealframe.outbox.store import OutboxStore

from .conftest import Open
from .reading import numbered, read_all

ANY_LOOP = True


@pytest.mark.parametrize("seed", range(12))
async def test_the_end_of_the_log_is_missing(open_store: Open, path: Path, seed: int) -> None:
    """What the server has, by its numbers, it gets no second time, nor is anything new taken for
    it; of what was on the disk nothing is missing."""
    randomness = random.Random(seed)
    store = await open_store()
    await store.append(numbered(range(1, 4)))
    await store.begin(0)
    wal = Path(f"{path}-wal")
    durable = wal.stat().st_size
    server: list[bytes] = []
    for number in range(4, 40):
        await store.append([b"message %d" % number + bytes(randomness.choice((0, 9000)))])
        if randomness.random() < 0.7:
            server += await store.read(10_000)
            store.acknowledge(randomness.randint(store.acknowledged, len(server)))
    everything = [*server, *await read_all(store, 39 - len(server))]

    lost = path.with_name("lost.db")
    shutil.copy(path, lost)
    left = randomness.randint(durable, wal.stat().st_size)
    Path(f"{lost}-wal").write_bytes(wal.read_bytes()[:left])
    store = await OutboxStore.open(Outbox(lost))
    assert store.numbered >= 3
    went_back = store.numbered < len(server)
    await store.append([b"new"])
    await store.begin(len(server))
    if went_back:
        assert store.kept == 1
    server += await read_all(store, store.kept)
    assert server == [*everything[: len(server) - 1], b"new"]
    assert store.numbered == len(server)
    await store.close()


needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@needs_strace
@pytest.mark.parametrize(("durable", "fewest", "most"), [("process", 1, 4), ("power", 21, 26)])
def test_how_often_the_disk_is_waited_for(path: Path, durable: str, fewest: int, most: int) -> None:
    """When messages get their numbers; with "power" also once for each group of messages."""
    appends = "    await store.begin(0)\n    for _ in range(20): await store.append([b'x'])\n"
    assert fewest <= count_waits(path, durable, "", appends) <= most


@needs_strace
@pytest.mark.parametrize(("durable", "waits"), [("process", False), ("power", True)])
def test_what_may_be_given_to_a_link_is_on_the_disk_first(
    path: Path, durable: str, waits: bool
) -> None:
    """With "power": else it would count as unsent afterwards, and arrive twice."""
    before = "    await store.begin(0)\n    await store.append([b'x'] * 3)\n"
    assert (count_waits(path, durable, before, "    await store.read(1000)\n") > 0) is waits


def count_waits(path: Path, durable: str, before: str, meanwhile: str) -> int:
    """Return how often a part of a program that uses an outbox waits for the disk."""
    program = (
        "import asyncio, os, sys\n"
        "from sealframe.outbox import Outbox\n"
        "from sealframe.outbox.store import OutboxStore\n"
        "async def main():\n"
        "    store = await OutboxStore.open(Outbox(sys.argv[1], durable=sys.argv[2]))\n"
        f"{before}"
        "    os.write(2, b'--- now ---')\n"
        f"{meanwhile}"
        "    os.write(2, b'--- then ---')\n"
        "    await store.close()\n"
        "asyncio.run(main())\n"
    )
    calls = ["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync,write"]
    done = subprocess.run(
        [*calls, sys.executable, "-c", program, path, durable],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    if done.returncode:
        pytest.skip(f"strace cannot be used here: {done.stderr[-200:]}")
    between = done.stderr.partition("--- now ---")[2].partition("--- then ---")[0]
    return between.count("sync(")
