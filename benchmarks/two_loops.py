"""Two event loops in two threads: does that give more than one?

Each loop has a server and a client of its own, over loopback, and small messages go one way.
Rounds of one thread and of two alternate; what is told are medians. Without the GIL, two loops are
to give twice the messages per second of one; with it, no more than one. That takes two cores that
do nothing else. What holds on any machine is the CPU time of a message: it grows where threads get
in each other's way.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

import sealframe

SIZE: Final = 128
"""Bytes in a message."""

PATIENCE: Final = 60
"""Seconds for all threads to be connected; where one fails, the others wait no longer."""


async def one_way(count: int, ready: threading.Barrier) -> None:
    """Send messages from a client to a server in this loop, until the last has come."""
    arrived = asyncio.Event()

    async def take(conn: sealframe.Connection) -> None:
        for _ in range(count):
            await conn.recv()
        arrived.set()

    message = bytes(SIZE)
    async with (
        sealframe.serve(take, "127.0.0.1", 0) as server,
        sealframe.connect("127.0.0.1", server.port) as conn,
    ):
        # The loop stands still meanwhile: it has nothing to do.
        ready.wait(PATIENCE)
        for _ in range(count):
            await conn.send(message)
        await arrived.wait()


def measure(threads: int, count: int) -> tuple[float, float]:
    """Return the messages per second of all threads, and microseconds of CPU for each message."""
    ready = threading.Barrier(threads + 1)

    def loop() -> None:
        try:
            asyncio.run(one_way(count, ready))
        except BaseException:
            ready.abort()
            raise

    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(loop) for _ in range(threads)]
        # A thread that failed says why itself.
        with suppress(threading.BrokenBarrierError):
            ready.wait(PATIENCE)
        began, cpu = time.perf_counter(), time.process_time()
        failed = [error for each in running if (error := each.exception())]
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
    if failed:
        raise BaseExceptionGroup("not all loops came to their end", failed)
    return threads * count / took, cpu / (threads * count) * 1e6


def main() -> None:
    """Measure in turn, and print the medians and their ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    parser.add_argument("--messages", type=int, default=50_000, metavar="N", help="of each thread")
    arguments = parser.parse_args()
    rounds = [
        (measure(1, arguments.messages), measure(2, arguments.messages))
        for _ in range(arguments.rounds)
    ]
    enabled = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(f"Python {sys.version.split()[0]}, {'with' if enabled else 'without'} the GIL,", end=" ")
    print(f"sealframe.IMPLEMENTATION {sealframe.IMPLEMENTATION!r}")
    for threads in (1, 2):
        rate = statistics.median(each[threads - 1][0] for each in rounds)
        cpu = statistics.median(each[threads - 1][1] for each in rounds)
        print(f"{threads} loop{'s'[: threads - 1]}: {rate:,.0f} messages/s, {cpu:.2f} us CPU each")
    gain = statistics.median(two[0] / one[0] for one, two in rounds)
    cost = statistics.median(two[1] / one[1] for one, two in rounds)
    print(f"two of one: {gain:.2f} times the messages/s, {cost:.2f} times the CPU of a message")


if __name__ == "__main__":
    main()
