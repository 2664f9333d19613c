"""A program that forks while an outbox is at work, as ``forking.py FILE CHILDREN``.

The children use what they must not, and end as a program does that knows nothing of it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading

from sealframe import OutboxLockedError, WrongLoopError
from sealframe.outbox import Outbox
from sealframe.outbox.store import OutboxStore

ENOUGH = 30


async def use(path: str, opened: threading.Event, stop: threading.Event, done: list[int]) -> None:
    """Append until told to stop."""
    store = await OutboxStore.open(Outbox(path))
    STORES.append(store)
    await store.begin(0)
    opened.set()
    while not stop.is_set():
        await asyncio.gather(*[store.append([b"%d" % n]) for n in range(8)])
        done[0] += 8
    await store.close()


STORES: list[OutboxStore] = []


def be_a_child(path: str) -> None:
    """Be refused, and leave no trace."""
    store = STORES[0]
    for call in (store.append([b"x"]), store.read(1), store.begin(0), store.close()):
        try:
            call.send(None)
        except WrongLoopError:
            continue
        raise AssertionError(call)
    try:
        store.acknowledge(1)
    except WrongLoopError:
        pass
    else:
        raise AssertionError("acknowledged in a child")
    try:
        asyncio.run(OutboxStore.open(Outbox(path)))
    except OutboxLockedError:
        return
    raise AssertionError("opened in a child")


def main(path: str, children: int) -> None:
    """Fork so many children, and look at what is there at the end."""
    opened, stop = threading.Event(), threading.Event()
    done = [0]
    thread = threading.Thread(target=lambda: asyncio.run(use(path, opened, stop, done)))
    thread.start()
    opened.wait()
    for _ in range(children):
        child = os.fork()
        if not child:
            be_a_child(path)
            return
        _, status = os.waitpid(child, 0)
        assert status == 0, status
    stop.set()
    thread.join()

    async def look() -> None:
        store = await OutboxStore.open(Outbox(path))
        assert store.kept == done[0], (store.kept, done)
        await store.close()

    asyncio.run(look())
    print("done")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
