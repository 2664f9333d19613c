"""A file of a client that was put out does not get its name any more."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aio.ends import Mode

from sealframe import ConnectionClosed, Inbox

from .pair import Pair, no_threads, open_pair, received, until


class Disk:
    """Its ``fsync`` takes until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waits = threading.Event()
        self.go_on = threading.Event()
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self.fsync)

    def fsync(self, descriptor: int) -> None:
        self.waits.set()
        assert self.go_on.wait(60)
        self._fsync(descriptor)


async def kick(pair: Pair) -> None:
    pair.server.kick(pair.accepted.id)


async def leave(pair: Pair) -> None:
    await pair.client.close()


@pytest.mark.parametrize(("end", "published"), [(kick, False), (leave, True)])
async def test_while_the_disk_is_written_to(
    end: Callable[[Pair], Awaitable[None]],
    published: bool,
    extended: Mode,
    source: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of it has come. One that has gone by itself has sent a whole file all the same."""
    (source / "a").write_bytes(b"data")
    disk, arrived = Disk(monkeypatch), []
    inbox = Inbox(root, keep_free=0, on_received=lambda conn, path: arrived.append(path))
    async with open_pair(extended, inbox) as pair:
        sending = asyncio.create_task(pair.client.send_file(source / "a"))
        await until(disk.waits.is_set)
        await end(pair)
        with pytest.raises(ConnectionClosed):
            await sending
        await until(lambda: pair.accepted.closed or pair.accepted.going_away)
        disk.go_on.set()
        await no_threads()
    (name,) = received(root)
    assert (name == "a") is published
    assert arrived == []
