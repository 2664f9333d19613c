"""Who decides about files, and senders that do not keep to the protocol."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aio.ends import Mode

import sealframe
from sealframe import (
    ConfigurationError,
    Connection,
    ConnectionClosedError,
    FileRefusedError,
    FileTransferError,
    Inbox,
    NotSupportedError,
    ServerOptions,
    StreamResetError,
    serve,
)
from sealframe.aio.connection import protocol_of
from sealframe.aio.stream import endpoint_of
from sealframe.files import Offer, Progress
from sealframe.files.incoming import PIECE
from sealframe.files.messages import DONE, compare, go
from sealframe.files.store import Store
from sealframe.server.server import registry_of
from sealframe.wire import FileAbort, FileRefusal, ResetCode

from .pair import (
    accepted,
    bytes_in,
    hash_of,
    offer_of,
    offered,
    open_pair,
    push,
    received,
    reset_with,
    until,
)
from .receiving import content, leave_behind, receive

ANY_LOOP = True

DATA = b"some data"


@pytest.fixture
def file(source: Path) -> Path:
    (source / "a").write_bytes(DATA)
    return source / "a"


# What the program decides


def test_an_inbox_is_cleaned(inbox: Inbox, root: Path) -> None:
    assert inbox.directory == root
    receive(inbox.store, "whole")
    paths = [leave_behind(inbox.store, name, b"x", 8) for name in ("a", "b")]
    assert inbox.clean(3600) == 0
    assert inbox.clean(-1, most=1) <= 1
    inbox.clean(-1)
    assert [path for path in paths if path.exists()] == []
    assert received(root) == {"whole": b"data"}


async def test_an_offer_tells_how_much_has_come(extended: Mode, source: Path, root: Path) -> None:
    """That which was there before counts, and what was begun anew does not."""
    offers: list[Offer] = []

    async def on_offer(offer: Offer) -> None:
        offers.append(offer)
        assert offer.received == 0
        await offer.accept(Inbox(root, keep_free=0))

    size = 3 * PIECE + 5
    (source / "a").write_bytes(os.urandom(size))
    async with open_pair(extended, on_offer) as pair:
        sending = asyncio.create_task(pair.client.send_file(source / "a"))
        await until(lambda: bool(offers) and offers[0].received > PIECE)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await until(lambda: not registry_of(pair.server).peer_handlers.tasks)
        assert PIECE < offers[0].received <= size
        resumed = (await pair.client.send_file(source / "a")).resumed
        assert 0 < resumed <= offers[0].received
        assert offers[1].received == size


async def test_an_offer_is_accepted_into_a_directory(mode: Mode, file: Path, root: Path) -> None:
    seen: list[object] = []

    async def on_offer(offer: Offer) -> None:
        seen.extend([offer.name, offer.size, offer.is_directory, offer.connection, offer.peer])
        seen.append(await offer.accept(root))

    async with open_pair(mode, on_offer) as pair:
        await pair.client.send_file(file)
        assert seen == ["a", len(DATA), False, pair.accepted, None, root / "a"]
    assert received(root) == {"a": DATA}


async def test_an_offer_gets_another_name(mode: Mode, file: Path, inbox: Inbox) -> None:
    async def on_offer(offer: Offer) -> None:
        await offer.accept(inbox, "of/mine")

    async with open_pair(mode, on_offer) as pair:
        assert (await pair.client.send_file(file)).names == ("a",)
    assert received(inbox.store.directory) == {"of": None, "of/mine": DATA}


async def test_an_offer_is_declined(mode: Mode, file: Path) -> None:
    async def on_offer(offer: Offer) -> None:
        offer.decline(f"no {offer.name} today")

    async with open_pair(mode, on_offer) as pair:
        with pytest.raises(FileRefusedError, match=r"(?m)^no a today$") as caught:
            await pair.client.send_file(file)
    assert caught.value.code == FileRefusal.DECLINED


async def test_who_returns_without_an_answer_declines(mode: Mode, file: Path) -> None:
    async def on_offer(offer: Offer) -> None:
        pass

    async with open_pair(mode, on_offer) as pair:
        with pytest.raises(FileRefusedError) as caught:
            await pair.client.send_file(file)
    assert caught.value.code == FileRefusal.DECLINED


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "", "a\nWARNING all is well", "..", "NUL"])
async def test_the_program_is_not_shown_an_offer_whose_name_is_unsafe(
    name: str, extended: Mode
) -> None:
    """It may well look for that name before it accepts, or never accept at all."""
    shown: list[str] = []

    async def on_offer(offer: Offer) -> None:
        shown.append(offer.name)
        offer.decline()

    async with open_pair(extended, on_offer) as pair:
        stream = await offered(pair.client, offer_of(name, 4))
        async with reset_with(FileRefusal.NAME):
            await stream.read(1)
    assert shown == []


async def test_a_name_writes_no_lines_into_the_log(
    extended: Mode, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sealframe")
    async with open_pair(extended, inbox) as pair:
        for name, code in (
            ("a\u2028b\u202ec", FileRefusal.NAME),
            ("a\ue000b", FileRefusal.DISK_FULL),
        ):
            stream = await offered(pair.client, offer_of(name, (1 << 63) - 1))
            async with reset_with(code):
                await stream.read(1)
        await until(lambda: "was not received" in caplog.text)
    assert not {"\u2028", "\u202e", "\ue000"} & set(caplog.text)


async def test_an_offer_is_answered_once(
    extended: Mode, file: Path, root: Path, inbox: Inbox
) -> None:
    failed: list[FileTransferError] = []

    async def on_offer(offer: Offer) -> None:
        await offer.accept(inbox)
        with pytest.raises(FileTransferError):
            offer.decline()
        with pytest.raises(FileTransferError) as caught:
            await offer.accept(inbox)
        failed.append(caught.value)

    async with open_pair(extended, on_offer) as pair:
        await pair.client.send_file(file)
        await until(lambda: bool(failed))
    assert received(root) == {"a": DATA}


async def test_what_decides_and_fails_is_logged(
    extended: Mode, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def on_offer(offer: Offer) -> None:
        raise RuntimeError("private")

    async with open_pair(extended, on_offer) as pair:
        with pytest.raises(FileTransferError) as caught:
            await pair.client.send_file(file)
    assert "private" not in str(caught.value)
    assert "RuntimeError: private" in caplog.text


async def test_who_is_cancelled_while_receiving_tells_the_sender(
    mode: Mode, source: Path, root: Path, inbox: Inbox
) -> None:
    (source / "a").write_bytes(data := os.urandom(30 * PIECE))
    tasks: list[asyncio.Task[Path]] = []

    async def on_offer(offer: Offer) -> None:
        tasks.append(asyncio.create_task(offer.accept(inbox)))
        await tasks[-1]

    async with open_pair(mode, on_offer) as pair:
        sending = asyncio.create_task(pair.client.send_file(source / "a"))
        await until(lambda: bytes_in(root) > 0)
        tasks[0].cancel()
        with pytest.raises(FileTransferError, match="stopped"):
            await sending
        await until(lambda: inbox.store.quota.bytes < len(data))
        (partial,) = received(root)
        assert partial.startswith(".a.")
        receipt = await pair.client.send_file(source / "a")
        assert receipt.resumed > 0
    assert received(root) == {"a": data}


async def test_the_program_is_told_of_each_file(mode: Mode, source: Path, root: Path) -> None:
    for name in "ab":
        (source / name).write_bytes(DATA)
    (source / "empty").mkdir()
    told: list[tuple[Connection, Path]] = []

    async def on_received(conn: Connection, path: Path) -> None:
        told.append((conn, path))

    async with open_pair(mode, Inbox(root, keep_free=0, on_received=on_received)) as pair:
        await pair.client.send_file(source)
        await until(lambda: len(told) == 2)
        assert {conn for conn, _ in told} == {pair.accepted}
    assert {path for _, path in told} == {root / "sent" / name for name in "ab"}


async def test_what_on_received_raises_is_logged(
    extended: Mode, file: Path, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def on_received(conn: Connection, path: Path) -> None:
        raise RuntimeError("mine")

    async with open_pair(extended, Inbox(root, keep_free=0, on_received=on_received)) as pair:
        await pair.client.send_file(file)
        await until(lambda: "mine" in caplog.text)
    assert received(root) == {"a": DATA}


async def test_what_on_received_raises_does_not_fill_the_log(
    extended: Mode,
    file: Path,
    root: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sealframe.files.inbox.FAILURES", 2)
    calls = []

    def on_received(conn: Connection, path: Path) -> None:
        calls.append(path)
        raise RuntimeError("mine")

    async with open_pair(extended, Inbox(root, keep_free=0, on_received=on_received)) as pair:
        for name in "abcd":
            await pair.client.send_file(file, name=name)
        await until(lambda: len(calls) == 4)
    assert len([text for text in caplog.messages if "on_received" in text]) == 2


async def _handler(conn: Connection) -> None:
    pass


@pytest.mark.parametrize(
    "make",
    [
        lambda root: Inbox(root, concurrency=0),
        lambda root: Inbox(root, max_files=-1),
        lambda root: Inbox(root, on_received="print"),  # type: ignore[arg-type]
        lambda root: Inbox(root / "not" / "there"),
        lambda root: serve(_handler, "127.0.0.1", 0, files=str(root)),  # type: ignore[call-overload]
    ],
)
def test_what_cannot_work_is_refused_at_once(make: Callable[[Path], Any], root: Path) -> None:
    with pytest.raises(ConfigurationError):
        make(root)


# Limits


async def test_limits_reach_the_sender(mode: Mode, source: Path, root: Path) -> None:
    for name, size in (("a", 5), ("b", 6), ("c", 11)):
        (source / name).write_bytes(bytes(size))
    inbox = Inbox(root, keep_free=0, max_file_size=10, max_total=10, max_files=1)
    async with open_pair(mode, inbox) as pair:
        await pair.client.send_file(source / "a")
        (source / "a").write_bytes(b"other")
        for name, code in (
            ("a", FileRefusal.EXISTS),
            ("b", FileRefusal.QUOTA),
            ("c", FileRefusal.TOO_LARGE),
        ):
            with pytest.raises(FileRefusedError) as caught:
                await pair.client.send_file(source / name)
            assert caught.value.code == code
    full = Inbox(root, keep_free=1 << 60)
    async with open_pair(mode, full) as pair:
        with pytest.raises(FileRefusedError) as caught:
            await pair.client.send_file(source / "b")
        assert caught.value.code == FileRefusal.DISK_FULL


async def test_two_clients_send_the_same_name(
    mode: Mode, source: Path, root: Path, inbox: Inbox
) -> None:
    """One of them wins, whichever, and the other one is told."""
    contents = [os.urandom(3 * PIECE), os.urandom(3 * PIECE)]
    paths = []
    for number, data in enumerate(contents):
        (source / str(number)).mkdir()
        paths.append(source / str(number) / "a")
        paths[-1].write_bytes(data)
    async with open_pair(mode, inbox) as one, open_pair(mode, inbox) as other:
        results = await asyncio.gather(
            one.client.send_file(paths[0]),
            other.client.send_file(paths[1]),
            return_exceptions=True,
        )
    (refused,) = (result for result in results if isinstance(result, Exception))
    assert isinstance(refused, FileRefusedError)
    assert refused.code == FileRefusal.EXISTS
    assert received(root) == {"a": contents[results.index(refused) - 1]}


async def test_the_same_transfer_twice_at_once_is_busy(
    extended: Mode, source: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealframe.files.incoming.BUSY_TIMEOUT", 0.0)
    offer = offer_of("a", 4)
    async with open_pair(extended, inbox) as pair:
        first = await offered(pair.client, offer)
        await accepted(first, offer)
        second = await offered(pair.client, offer)
        async with reset_with(FileRefusal.BUSY):
            await second.read(1)
        first.reset()


@pytest.mark.parametrize("ending", ["reset", "whole", "another"])
async def test_one_that_comes_again_too_early_waits(
    ending: str, extended: Mode, root: Path, inbox: Inbox
) -> None:
    """The end of a connection that was cut is noticed later than its sender is back."""
    offer = offer_of("a", 4)
    async with open_pair(extended, inbox) as pair:
        first = await offered(pair.client, offer)
        answer = await accepted(first, offer)
        second = await offered(pair.client, offer)
        await pair.client.ping()
        if ending == "reset":
            first.reset()
            assert (await accepted(second, offer)).offset == 0
            await second.write(go(0) + b"data" + hash_of(b"data", answer.algorithm))
            await second.end()
        else:
            await first.write(go(0) + b"data" + hash_of(b"data", answer.algorithm))
            await first.end()
            assert await first.read() == DONE
            assert await second.read(100) == compare(answer.algorithm)
            if ending == "another":
                await second.write(hash_of(b"atad", answer.algorithm))
                async with reset_with(FileRefusal.EXISTS):
                    await second.read(1)
                return
            await second.write(hash_of(b"data", answer.algorithm))
            await second.end()
        assert await second.read() == DONE
    assert received(root) == {"a": b"data"}


async def test_so_many_are_received_at_a_time_and_the_others_wait(mode: Mode, root: Path) -> None:
    async with open_pair(mode, Inbox(root, keep_free=0, concurrency=2)) as pair:
        offers = [offer_of(name, 4) for name in "abc"]
        streams = [await offered(pair.client, offer) for offer in offers]
        answers = [await accepted(streams[number], offers[number]) for number in (0, 1)]
        # Whoever waits for a place holds up no other connection.
        port = pair.server.port
        async with sealframe.connect("127.0.0.1", port, **mode.client) as other:
            await push(other, offer_of("d", 4), b"data")
        assert len(received(root)) == 3
        assert not endpoint_of(streams[2]).chunks
        await streams[0].write(go(0) + b"data" + hash_of(b"data", answers[0].algorithm))
        await streams[0].end()
        assert await streams[0].read() == DONE
        await accepted(streams[2], offers[2])
        for stream in streams:
            stream.reset()
        await until(lambda: not registry_of(pair.server).peer_handlers.tasks)
    assert received(root) == {"a": b"data", "d": b"data"}


@pytest.mark.parametrize("lost", [False, True])
async def test_nothing_is_made_for_those_who_left_while_they_waited(
    lost: bool, extended: Mode, root: Path
) -> None:
    async with open_pair(extended, Inbox(root, keep_free=0, concurrency=1)) as pair:
        first = offer_of("first", 4)
        streams = [await offered(pair.client, first)]
        await accepted(streams[0], first)
        streams += [await offered(pair.client, offer_of(f"{n}/a", 4)) for n in range(20)]
        await until(lambda: len(registry_of(pair.server).peer_handlers.tasks) == 21)
        if lost:
            protocol_of(pair.client).closer.abort(ConnectionClosedError("gone"))
        else:
            for stream in reversed(streams[1:]):
                stream.reset()
            # They do not wait for those that stay.
            await until(lambda: len(registry_of(pair.server).peer_handlers.tasks) == 1)
            streams[0].reset()
        await until(lambda: not registry_of(pair.server).peer_handlers.tasks)
    assert received(root) == {}


# Senders that do not keep to the protocol


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        (b"", FileRefusal.NOT_SUPPORTED),
        (b"\x02" + offer_of("a", 4).pack()[1:], FileRefusal.NOT_SUPPORTED),
        (b"\x01", FileRefusal.MALFORMED),
        (offer_of("", 4).pack()[:-1], FileRefusal.MALFORMED),
        (b"\x01\x02" + offer_of("a", 4).pack()[2:], FileRefusal.MALFORMED),
        (offer_of("a", 1 << 63).pack(), FileRefusal.MALFORMED),
        (offer_of("a", 1, directory=True).pack(), FileRefusal.MALFORMED),
        (offer_of("", 4).pack(), FileRefusal.NAME),
        (offer_of("", 4).pack() + b"\xff", FileRefusal.NAME),
        (offer_of("x" * 1025, 4).pack(), FileRefusal.NAME),
        (offer_of("../a", 4).pack(), FileRefusal.NAME),
        (offer_of("/a", 4).pack(), FileRefusal.NAME),
        (offer_of("..", 0, directory=True).pack(), FileRefusal.NAME),
        (offer_of("a", 4, algorithms=frozenset()).pack(), FileRefusal.NOT_SUPPORTED),
        (offer_of("a", 4, algorithms=frozenset([8])).pack(), FileRefusal.NOT_SUPPORTED),
        (offer_of("a", (1 << 63) - 1).pack(), FileRefusal.DISK_FULL),
    ],
)
async def test_an_offer_that_cannot_be_taken_is_refused(
    metadata: bytes, code: FileRefusal, extended: Mode, root: Path, outside: Path, inbox: Inbox
) -> None:
    async with open_pair(extended, inbox) as pair:
        stream = await offered(pair.client, metadata)
        async with reset_with(code):
            await stream.read(1)
        await push(pair.client, offer_of("after", 4), b"data")
    assert received(root) == {"after": b"data"}
    assert content(outside) == {}


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"", FileRefusal.MALFORMED),
        (b"\x02", FileRefusal.MALFORMED),
        (b"\x09" + go(0)[1:] + b"data" + bytes(32), FileRefusal.MALFORMED),
        (go(1) + b"data" + bytes(32), FileRefusal.MALFORMED),
        (go((1 << 64) - 1) + b"data" + bytes(32), FileRefusal.MALFORMED),
        (go(0), FileRefusal.SIZE),
        (go(0) + b"dat", FileRefusal.SIZE),
        (go(0) + b"data", FileRefusal.MALFORMED),
        (go(0) + b"data" + bytes(31), FileRefusal.MALFORMED),
        (go(0) + b"data" + bytes(32), FileRefusal.DIGEST),
        (go(0) + b"data" + bytes(33), FileRefusal.SIZE),
    ],
)
async def test_what_follows_an_offer_and_is_wrong_is_refused(
    sent: bytes, code: FileRefusal, mode: Mode, root: Path, inbox: Inbox
) -> None:
    offer = offer_of("a", 4)
    async with open_pair(mode, inbox) as pair:
        stream = await offered(pair.client, offer)
        await accepted(stream, offer)
        if sent:
            await stream.write(sent)
        await stream.end()
        async with reset_with(code):
            await stream.read(1)
        assert "a" not in received(root)
        await push(pair.client, offer_of("a", 4, key=bytes(32)), b"data")
        assert received(root)["a"] == b"data"
        if code == FileRefusal.DIGEST:
            assert received(root) == {"a": b"data"}


async def test_more_than_announced_without_an_end_is_refused(
    extended: Mode, root: Path, inbox: Inbox
) -> None:
    offer = offer_of("a", 4)
    async with open_pair(extended, inbox) as pair:
        stream = await offered(pair.client, offer)
        await accepted(stream, offer)
        with pytest.raises(StreamResetError) as caught:
            await stream.write(go(0))
            while True:
                await stream.write(bytes(100_000))
        assert caught.value.code == 16 + FileRefusal.SIZE
    assert "a" not in received(root)


async def test_a_file_in_single_bytes_takes_no_more_memory(
    extended: Mode, root: Path, inbox: Inbox
) -> None:
    """Each comes by itself, while somebody waits for it."""
    count = 3000
    offer = offer_of("a", count)
    async with open_pair(extended, inbox) as pair:
        stream = await offered(pair.client, offer)
        answer = await accepted(stream, offer)
        await stream.write(go(0))
        stats = pair.accepted.stats
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(count - 1):
                came = stats.bytes_received
                await stream.write(b"x")
                await until(lambda came=came: stats.bytes_received > came)  # type: ignore[misc]
                await asyncio.sleep(0)
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert after - before < count * 16
        data = b"x" * count
        await stream.write(b"x" + hash_of(data, answer.algorithm))
        await stream.end()
        assert await stream.read() == DONE
    assert received(root) == {"a": data}


async def test_something_that_follows_a_directory_is_refused(extended: Mode, inbox: Inbox) -> None:
    async with open_pair(extended, inbox) as pair:
        stream = await offered(pair.client, offer_of("d", 0, directory=True))
        await stream.write(b"x")
        async with reset_with(FileRefusal.MALFORMED):
            await stream.read(1)


@pytest.mark.parametrize(
    ("code", "kept"),
    [(ResetCode.CANCELLED, True), (FileAbort.UNREADABLE, True), (FileAbort.CHANGED, False)],
)
async def test_what_a_sender_that_stops_leaves_behind(
    code: int, kept: bool, mode: Mode, root: Path, inbox: Inbox
) -> None:
    offer = offer_of("a", 3 * PIECE)
    async with open_pair(mode, inbox) as pair:
        stream = await offered(pair.client, offer)
        await accepted(stream, offer)
        await stream.write(go(0) + bytes(PIECE + 5))
        await until(lambda: bytes_in(root) > 0)
        stream.reset(code)
        await until(lambda: not registry_of(pair.server).peer_handlers.tasks)
    assert bool(received(root)) == kept
    assert inbox.store.quota.files == kept


async def test_a_directory_that_is_no_path_for_others(
    extended: Mode, root: Path, inbox: Inbox
) -> None:
    """A name below a file is refused, and an empty directory in the place of one too."""
    (root / "a").write_bytes(DATA)
    async with open_pair(extended, inbox) as pair:
        for offer in (offer_of("a/b", 4), offer_of("a", 0, directory=True)):
            stream = await offered(pair.client, offer)
            with pytest.raises(StreamResetError):
                await stream.read(1)
    assert received(root) == {"a": DATA}


# A slow disk


class SlowStore(Store):
    """Its disk does not answer while something says so."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, keep_free=0)
        self.go_on = threading.Event()
        self.entered = threading.Event()

    def begin(self, name: str, *args: Any, **keywords: Any) -> Any:
        partial = super().begin(name, *args, **keywords)
        if name == "slow":
            write = partial.write

            def slow_write(data: bytes | bytearray | memoryview) -> None:
                self.entered.set()
                self.go_on.wait()
                write(data)

            partial.write = slow_write  # type: ignore[method-assign]
        return partial


async def test_a_slow_disk_stops_one_stream_and_nothing_else(
    mode: Mode, source: Path, root: Path, inbox: Inbox
) -> None:
    """Nor does what it cannot take yet fill the memory of either end.

    The receiver has taken two pieces: one waits for the disk, one is there behind it. As much as
    the window of the stream holds has come or is on its way: 256 KiB and up to ``inbox_limit``, to
    which it may have grown while the first pieces were taken, or not at all. One piece more waits
    in the sender's send buffer, which takes another one below 256 KiB.
    """
    inbox.store = store = SlowStore(root)
    data = os.urandom(30 * PIECE)
    limit, first = 2 * PIECE, PIECE // 4
    most = 2 * PIECE + (first + limit) + (first + PIECE)
    sent = 0

    def note(progress: Progress) -> None:
        nonlocal sent
        sent = progress.sent

    for name in ("slow", "quick"):
        (source / name).write_bytes(data)
    options = ServerOptions(inbox_limit=limit, stream_window=first)
    async with open_pair(mode, inbox, server_options=options) as pair:
        slow = asyncio.create_task(pair.client.send_file(source / "slow", progress=note))
        await until(store.entered.is_set)
        try:
            await pair.client.send_file(source / "quick")
            await pair.client.ping()
            assert not slow.done()
            assert sent <= most
            assert received(root)["quick"] == data
        finally:
            store.go_on.set()
        await slow
    assert received(root)["slow"] == data


async def test_who_is_cancelled_waits_for_the_disk_and_no_longer(
    extended: Mode, source: Path, root: Path, inbox: Inbox
) -> None:
    """The file is not closed under the thread that writes to it."""
    inbox.store = store = SlowStore(root)
    (source / "slow").write_bytes(bytes(5 * PIECE))
    async with open_pair(extended, inbox) as pair:
        sending = asyncio.create_task(pair.client.send_file(source / "slow"))
        await until(store.entered.is_set)
        (task,) = registry_of(pair.server).peer_handlers.tasks
        task.cancel()
        await pair.client.ping()
        task.cancel()
        await pair.client.ping()
        assert not task.done()
        store.go_on.set()
        with pytest.raises(FileTransferError):
            await sending
        await until(task.cancelled)
    assert len(received(root)) == 1


async def test_an_end_without_files_takes_none(extended: Mode, file: Path, inbox: Inbox) -> None:
    async with open_pair(extended, inbox) as pair:
        with pytest.raises(NotSupportedError):
            await pair.accepted.send_file(file)


async def test_refusals_are_logged_without_alarm(
    extended: Mode, file: Path, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sealframe.files")
    async with open_pair(extended, Inbox(root, keep_free=0, max_file_size=1)) as pair:
        with pytest.raises(FileRefusedError):
            await pair.client.send_file(file)
    assert [record.levelname for record in caplog.records if "received" in record.message] == [
        "INFO"
    ]
