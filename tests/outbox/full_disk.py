"""An outbox on a disk that becomes full; test_faults.py starts it as a program on a small one."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

from sealframe import OutboxFullError
from sealframe.outbox import Outbox
from sealframe.outbox.store import OutboxStore


async def refused_until_there_is_room(store: OutboxStore) -> list[bytes]:
    """Append until it is refused; acknowledge a part; go on. Return what was accepted, in all."""
    accepted: list[bytes] = []
    with contextlib.suppress(OutboxFullError):
        for number in range(10_000):
            message = b"%d " % number + bytes(20_000)
            await store.append([message])
            accepted.append(message)
        raise AssertionError("it was never full")
    assert len(accepted) > 10
    # All or nothing of one call, and of those that are stored with it.
    kept = store.kept
    results = await asyncio.gather(
        store.append([b"too"]), store.append([b"small", bytes(10_000_000)]), return_exceptions=True
    )
    assert [type(result) for result in results] == [OutboxFullError] * 2
    assert store.kept == kept
    store.acknowledge(len(accepted) // 2)
    async with asyncio.timeout(60):
        before = store.nbytes
        while store.nbytes == before:  # noqa: ASYNC110 - there is nothing that tells of it
            await asyncio.sleep(0.01)
    await store.append([b"there is room"])
    return [*accepted, b"there is room"]


async def main(folder: Path) -> None:
    """Fill the disk of a folder."""
    outbox = Outbox(folder / "outbox.db", keep_free=2 << 20)
    store = await OutboxStore.open(outbox)
    await store.begin(0)
    accepted = await refused_until_there_is_room(store)
    await store.close()
    store = await OutboxStore.open(outbox)
    await store.begin(store.acknowledged)
    left: list[bytes] = []
    while len(left) < store.kept:
        left += await store.read(1_000_000)
    assert left == accepted[store.acknowledged :]
    await store.close()

    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    another = Outbox(folder / "another.db", keep_free=0)
    with contextlib.suppress(OutboxFullError):
        await OutboxStore.open(another)
        raise AssertionError("there was room for a new file")
    filler.unlink()
    store = await OutboxStore.open(another)
    assert store.start == 1
    await store.append([b"x"])
    await store.close()
    print("done")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
