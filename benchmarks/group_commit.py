"""How many messages an outbox stores in a second, and how long the acknowledged ones take to go.

Many tasks append one message each, and one reads and acknowledges, as a client does. The folder
decides: ``fsync`` costs what its disk costs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from sealframe.outbox import Outbox
from sealframe.outbox.outbox import Durability
from sealframe.outbox.store import OutboxStore


def size_of(name: str) -> int:
    """Return the size of a file, in bytes."""
    return Path(name).stat().st_size


async def measure(name: str, durable: Durability, total: int, tasks: int, size: int) -> None:
    """Store so many messages and print what it took."""
    store = await OutboxStore.open(Outbox(name, durable=durable))
    await store.begin(0)
    payload = os.urandom(size)
    waits: list[float] = []
    largest = 0

    async def append(count: int) -> None:
        for _ in range(count):
            began = time.perf_counter()
            await store.append((payload,))
            waits.append(time.perf_counter() - began)

    async def take() -> None:
        nonlocal largest
        number = 0
        while number < total:
            number += len(await store.read(65536))
            store.acknowledge(number)
            largest = max(largest, size_of(name + "-wal"))

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        group.create_task(take())
        for _ in range(tasks):
            group.create_task(append(total // tasks))
    wall = time.perf_counter() - began
    await store.close()
    waits.sort()
    print(
        f"{durable:7} {tasks:5} tasks, {size} B: {len(waits) / wall:9,.0f} messages/s, median "
        f"{1e3 * statistics.median(waits):.2f} ms, worst {1e3 * waits[-1]:.0f} ms, "
        f"WAL up to {largest / 2**20:.0f} MiB, file {size_of(name) / 2**20:.1f} MiB"
    )


def main() -> None:
    """Measure both kinds of durability, with few and many tasks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", help="where the file is made; else where temporary files are")
    parser.add_argument("--size", type=int, default=128, help="bytes of a message")
    parser.add_argument("--seconds", type=float, default=3, help="how long each takes, about")
    options = parser.parse_args()
    kinds: tuple[tuple[Durability, int], ...] = (("process", 30_000), ("power", 10_000))
    for durable, rate in kinds:
        for tasks in (1, 64, 1000):
            total = int(options.seconds * rate * (0.1 if tasks == 1 else 1)) // tasks * tasks
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                name = str(Path(folder, "outbox.db"))
                asyncio.run(measure(name, durable, total, tasks, options.size))


if __name__ == "__main__":
    main()
