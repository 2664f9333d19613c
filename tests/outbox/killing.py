"""A program that kills the user of an outbox many times, as ``killing.py FILE ROUNDS SEED``.

Each round forks off a writer, which stores messages and sends them down a pipe, in place of a
server; it is killed with SIGKILL at a random moment. This process has one thread, so that it may
fork. The last writer is not killed before all is sent.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from typing import BinaryIO

from sealframe.outbox import Outbox
from sealframe.outbox.store import OutboxStore

_EACH_ROUND = 1_000_000
_TASKS = 16


async def write(outbox: Outbox, output: int, taken: int, first: int, *, last_round: bool) -> None:
    """Store messages that count up from ``first``; tell of each one that was accepted, A, and of
    each that goes to the server, S with its number."""
    store = await OutboxStore.open(outbox)
    # Of none that the server may have got it is said that it was not given to a link.
    assert store.given >= taken
    count = first

    async def append() -> None:
        nonlocal count
        while True:
            number, count = count, count + 1
            await store.append([b"%d" % number])
            os.write(output, b"A %d 0\n" % number)

    async def send() -> None:
        number = taken
        await asyncio.sleep(random.random() * 0.01)
        await store.begin(taken)
        while not last_round or store.kept:
            for message in await store.read(4096):
                number += 1
                os.write(output, b"S %s %d\n" % (message, number))
            # Not each time: what is not acknowledged is sent again.
            store.acknowledge(number - (0 if last_round else number % 5))
        assert number == store.numbered

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        if not last_round:
            for _ in range(_TASKS):
                group.create_task(append())
    await store.close()


def read(pipe: BinaryIO, accepted: list[int], server: list[int]) -> None:
    """Take in what a writer tells, as a server does that knows how many it has."""
    before = len(server)
    for line in pipe:
        kind, message, number = line.split()
        if kind == b"A":
            accepted.append(int(message))
        else:
            assert int(number) == before + 1, (line, before)
            before += 1
            server.append(int(message))


def main(path: str, rounds: int, seed: int) -> None:
    """Kill so many writers, let the last one finish, and compare."""
    randomness = random.Random(seed)
    accepted: list[int] = []
    server: list[int] = []
    for turn in range(rounds + 1):
        reading, writing = os.pipe()
        last_round = turn == rounds
        outbox = Outbox(path, durable=randomness.choice(("process", "process", "power")))
        child = os.fork()
        if not child:
            random.seed(seed + turn)
            os.close(reading)
            first = turn * _EACH_ROUND
            asyncio.run(write(outbox, writing, len(server), first, last_round=last_round))
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            if not last_round:
                time.sleep(randomness.choice((0.01, 0.03, 0.06)) * (1 + randomness.random()))
                os.kill(child, signal.SIGKILL)
            read(pipe, accepted, server)
        _, status = os.waitpid(child, 0)
        assert status == (0 if last_round else signal.SIGKILL), status
    missing = set(accepted) - set(server)
    assert not missing, sorted(missing)[:10]
    assert server == sorted(set(server)), "out of order, or doubled"
    print(len(accepted), len(server))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
