"""What offers cost a receiving end: threads, time, reads of the disk, entries on it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from aio.ends import Mode

import sealframe
from sealframe import Connection, Inbox, StreamResetError
from sealframe.files.incoming import PIECE
from sealframe.files.messages import COMPARE_SIZE, DONE, Announcement, go
from sealframe.files.resources import THREADS
from sealframe.files.store import Store
from sealframe.server.server import registry_of
from sealframe.wire import FileRefusal

from .pair import (
    accepted,
    disk_threads,
    hash_of,
    offer_of,
    offered,
    open_pair,
    push,
    received,
    reset_with,
    until,
)
from .receiving import leave_behind

ANY_LOOP = True


@contextlib.contextmanager
def counting_threads() -> Iterator[list[int]]:
    """Note how many threads wait for the disk each time that a file is begun."""
    seen: list[int] = []
    real = Store.begin

    def begin(store: Store, *args: object, **keywords: object) -> object:
        seen.append(len(disk_threads()))
        return real(store, *args, **keywords)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "begin", begin)
        yield seen


@pytest.mark.parametrize("plain", [False, True])
async def test_a_crowd_of_offers_shares_some_threads(
    plain: bool, extended: Mode, root: Path, inbox: Inbox
) -> None:
    """Of one connection 4 files are received at a time; the connections are many."""

    async def on_offer(offer: sealframe.files.Offer) -> None:
        with contextlib.suppress(sealframe.FileTransferError):
            await offer.accept(root if plain else inbox)

    with counting_threads() as seen:
        async with open_pair(extended, on_offer) as pair, contextlib.AsyncExitStack() as stack:
            streams = []
            for number in range(12):
                connecting = sealframe.connect("127.0.0.1", pair.server.port, **extended.client)
                conn = await stack.enter_async_context(connecting)
                offers = [offer_of(f"{number}{letter}", 4) for letter in "abcd"]
                streams += [await offered(conn, offer) for offer in offers]
            await until(lambda: len(received(root)) == 48)
            for stream in streams:
                stream.reset()
    assert len(seen) == 48
    assert max(seen) <= THREADS


async def test_who_waits_for_the_same_file_waits_in_the_event_loop(
    extended: Mode, inbox: Inbox
) -> None:
    """Nothing runs meanwhile, and what ends the offer ends the waiting."""
    offer = offer_of("a", 4)
    async with open_pair(extended, inbox) as pair:
        streams = [await offered(pair.client, offer) for _ in range(4)]
        await accepted(streams[0], offer)
        await until(lambda: inbox.stats()["waiting"] == 3)
        with counting_threads() as seen:
            streams[1].reset()
            await streams[2].write(b"x")
            async with reset_with(FileRefusal.MALFORMED):
                await streams[2].read(1)
            await until(lambda: inbox.stats()["waiting"] == 1)
            assert not seen
        streams[0].reset()
        await accepted(streams[3], offer)
        streams[3].reset()
    assert inbox.stats()["waiting"] == inbox.stats()["receiving"] == 0


async def _offer_again(conn: Connection, offer: Announcement, *, there: bool) -> None:
    stream = await offered(conn, offer)
    if there:
        answer = b""
        while len(answer) < COMPARE_SIZE:
            answer += await stream.read(COMPARE_SIZE)
        await stream.write(bytes(32))
        with pytest.raises(StreamResetError):
            await stream.read()
    else:
        assert (await accepted(stream, offer)).offset == offer.size - 1
        stream.reset()


@pytest.mark.parametrize("there", [True, False])
async def test_what_is_there_is_hashed_once_however_often_it_is_offered(
    there: bool, extended: Mode, root: Path
) -> None:
    """A file that is there, and one that is resumed by a program that has just started."""
    data = os.urandom(2 * PIECE)
    offer = offer_of("a", len(data))
    if there:
        (root / "a").write_bytes(data)
        # One that was written to right now is read again: its times may be the same.
        os.utime(root / "a", (1e9, 1e9))
    else:
        leave_behind(Store(root, keep_free=0), "a", data[:-1], len(data), offer.key)
    inbox = Inbox(root, keep_free=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sealframe.files.source._SETTLED", -1.0)
        async with open_pair(extended, inbox) as pair:
            for _ in range(3):
                offers = [_offer_again(pair.client, offer, there=there) for _ in range(4)]
                await asyncio.gather(*offers)
    assert inbox.stats()["hashed_bytes"] == len(data) - (not there)


async def test_a_file_that_is_written_to_is_hashed_anew(extended: Mode, root: Path) -> None:
    inbox = Inbox(root, keep_free=0)
    async with open_pair(extended, inbox) as pair:
        for data in (b"data", b"atad"):
            (root / "a").write_bytes(data)
            await _offer_again(pair.client, offer_of("a", 4), there=True)
            stream = await offered(pair.client, offer_of("a", 4))
            algorithm = (await stream.read(COMPARE_SIZE))[1]
            await stream.write(hash_of(data, algorithm))
            await stream.end()
            assert await stream.read() == DONE


class SlowHash:
    """Hashes that are made while something says so."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.running = 0
        self.most = 0
        self._lock = threading.Lock()

    def patch(self, patch: pytest.MonkeyPatch) -> None:
        real = sealframe.files.source.Source.whole_digest

        def whole_digest(*args: object) -> bytes:
            with self._lock:
                self.running += 1
                self.most = max(self.most, self.running)
            self.go_on.wait()
            with self._lock:
                self.running -= 1
            return real(*args)  # type: ignore[arg-type]

        patch.setattr("sealframe.files.source.Source.whole_digest", whole_digest)


async def test_a_client_has_one_file_hashed_at_a_time(
    extended: Mode, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On all of its connections, and what others send goes on meanwhile."""
    for letter in "abcd":
        (root / letter).write_bytes(b"data")
    slow = SlowHash()
    slow.patch(monkeypatch)
    inbox = Inbox(root, keep_free=0)
    async with open_pair(extended, inbox) as one, open_pair(extended, inbox) as other:
        offers = [
            asyncio.create_task(_offer_again(conn, offer_of(letter, 4), there=True))
            for conn, letter in zip([one.client, other.client] * 2, "abcd", strict=True)
        ]
        try:
            await until(lambda: slow.running + (inbox.stats()["waiting"] or 0) == 4)
            await push(one.client, offer_of("e", 4), b"data")
            assert slow.running == 1
        finally:
            slow.go_on.set()
        await asyncio.gather(*offers)
    assert slow.most == 1


@pytest.mark.parametrize("brought", [0, 1])
async def test_an_offer_leaves_one_entry_on_the_disk_at_most(
    brought: int, extended: Mode, root: Path, inbox: Inbox
) -> None:
    async with open_pair(extended, inbox) as pair:
        for number in range(5):
            offer = offer_of("/".join([str(number), *["d"] * 31]), PIECE)
            stream = await offered(pair.client, offer)
            await accepted(stream, offer)
            await stream.write(go(0) + b"x" * brought)
            await pair.client.ping()
            stream.reset()
        await until(lambda: not registry_of(pair.server).peer_handlers.tasks)
    assert len(received(root)) == 5 * brought


async def test_an_inbox_counts(extended: Mode, root: Path) -> None:
    inbox = Inbox(root, keep_free=0, max_files=2, max_total=100)
    async with open_pair(extended, inbox) as pair:
        await push(pair.client, offer_of("a", 4), b"data")
        for name, size, code in (
            ("b", 97, FileRefusal.QUOTA),
            (".b", 4, FileRefusal.NAME),
        ):
            stream = await offered(pair.client, offer_of(name, size))
            async with reset_with(code):
                await stream.read(1)
        for _ in range(2):
            stream = await offered(pair.client, offer_of("c", 4))
            await accepted(stream, offer_of("c", 4))
            assert inbox.stats()["receiving"] == 1
            stream.reset()
        await until(lambda: not registry_of(pair.server).peer_handlers.tasks)
    assert inbox.stats() == {
        "receiving": 0,
        "waiting": 0,
        "received": 1,
        "refused": 2,
        "broken_off": 2,
        "hashed_bytes": 0,
        "files": 1,
        "bytes": 4,
        "max_files": 2,
        "max_total": 100,
        "max_threads": THREADS,
    }
