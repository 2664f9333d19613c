"""Files and directories that go over, and what their sender is told."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from aio.ends import Mode

import sealframe
from sealframe import (
    DirectoryTransferError,
    FileChangedError,
    FileRefusedError,
    FileTransferError,
    FileUnreadableError,
    Inbox,
    NotSupportedError,
)
from sealframe.aio.connection import protocol_of
from sealframe.aio.stream import Stream, endpoint_of
from sealframe.files import Progress
from sealframe.files.messages import ACCEPT_SIZE, Accept
from sealframe.files.sending import PIECE
from sealframe.server.server import registry_of
from sealframe.wire import MAX_CHUNK, FileRefusal, ResetCode

from .pair import (
    accepted,
    bytes_in,
    disk_threads,
    hash_of,
    no_threads,
    offer_of,
    offered,
    open_pair,
    push,
    received,
    until,
)
from .receiving import posix_only

ANY_LOOP = True

SIZES = [0, 1, 2, MAX_CHUNK, MAX_CHUNK + 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE]


@pytest.mark.parametrize("size", SIZES)
async def test_a_file_arrives_as_it_was(
    size: int, mode: Mode, source: Path, root: Path, inbox: Inbox
) -> None:
    data = os.urandom(size)
    (source / "a").write_bytes(data)
    async with open_pair(mode, inbox) as pair:
        receipt = await pair.client.send_file(source / "a")
        # It is there when the sender knows.
        assert received(root) == {"a": data}
    assert receipt.names == ("a",)
    assert (receipt.size, receipt.resumed, receipt.skipped) == (size, 0, ())


async def test_a_server_sends_too(mode: Mode, source: Path, root: Path, inbox: Inbox) -> None:
    (source / "a").write_bytes(b"data")
    async with open_pair(mode, client_files=inbox) as pair:
        await pair.accepted.send_file(source / "a", name="of the server")
    assert received(root) == {"of the server": b"data"}


async def test_a_tree_arrives_as_it_was(mode: Mode, source: Path, root: Path, inbox: Inbox) -> None:
    tree: dict[str, bytes | None] = {"e": None, "deep": None, "deep/er": None, "many": None}
    tree["deep/er/ü \u65e5\u672c \U0001f600"] = b"x"
    tree["deep/big"] = os.urandom(2 * PIECE + 17)
    tree["empty"] = b""
    for number in range(150):
        tree[f"many/{number}"] = os.urandom(number)
    for name, content in tree.items():
        if content is None:
            (source / name).mkdir(parents=True)
        else:
            (source / name).write_bytes(content)
    async with open_pair(mode, inbox) as pair:
        receipt = await pair.client.send_file(source)
    assert received(root / "sent") == dict(sorted(tree.items()))
    files = {name for name, content in tree.items() if content is not None}
    assert set(receipt.names) == {f"sent/{name}" for name in files | {"e"}}
    assert receipt.size == sum(len(content or b"") for content in tree.values())


async def test_an_empty_directory_arrives(
    mode: Mode, source: Path, root: Path, inbox: Inbox
) -> None:
    async with open_pair(mode, inbox) as pair:
        receipt = await pair.client.send_file(source, name="a/b")
        assert receipt.names == ("a/b",)
        # What is there already is as good.
        await pair.client.send_file(source, name="a/b")
    assert received(root) == {"a": None, "a/b": None}


@posix_only
async def test_what_cannot_be_sent_of_a_directory_is_skipped(
    extended: Mode, source: Path, root: Path, inbox: Inbox
) -> None:
    (source / "a").write_bytes(b"data")
    (source / "link").symlink_to("a")
    os.mkfifo(source / "pipe")
    (source / "ends in a dot.").write_bytes(b"")
    async with open_pair(extended, inbox) as pair:
        receipt = await pair.client.send_file(source)
    assert received(root) == {"sent": None, "sent/a": b"data"}
    skipped = {entry.name: entry.reason for entry in receipt.skipped}
    assert skipped.keys() == {"sent/link", "sent/pipe", "sent/ends in a dot."}
    assert skipped["sent/link"] == "it is a symbolic link"


@posix_only
async def test_a_symbolic_link_by_itself_is_followed(
    extended: Mode, source: Path, root: Path, inbox: Inbox
) -> None:
    (source / "a").write_bytes(b"data")
    (source / "link").symlink_to("a")
    async with open_pair(extended, inbox) as pair:
        await pair.client.send_file(source / "link")
    assert received(root) == {"link": b"data"}


@posix_only
async def test_below_a_directory_no_link_is_followed(
    extended: Mode, source: Path, root: Path, outside: Path, inbox: Inbox
) -> None:
    (source / "in").mkdir()
    (source / "in" / "a").write_bytes(b"data")
    (outside / "secret").write_bytes(b"secret")
    (source / "away").symlink_to(outside)
    (source / "secret").symlink_to(outside / "secret")
    async with open_pair(extended, inbox) as pair:
        receipt = await pair.client.send_file("in/a", below=source)
        assert receipt.names == ("a",)
        await pair.client.send_file("in/a", name="b/c", below=source)
        for name in ("away/secret", "secret"):
            with pytest.raises(FileUnreadableError):
                await pair.client.send_file(name, below=source)
        with pytest.raises(FileUnreadableError):
            await pair.client.send_file("in", below=source)
    assert received(root) == {"a": b"data", "b": None, "b/c": b"data"}


async def test_names_too_deep_below_a_name_are_skipped(
    extended: Mode, source: Path, inbox: Inbox
) -> None:
    (source / "a").write_bytes(b"")
    async with open_pair(extended, inbox) as pair:
        receipt = await pair.client.send_file(source, name="/".join("d" * 32))
        with pytest.raises(FileRefusedError, match="32 parts"):
            await pair.client.send_file(source, name="/".join("d" * 33))
    assert "32 parts" in receipt.skipped[0].reason


async def test_what_is_not_there_is_unreadable(extended: Mode, source: Path, inbox: Inbox) -> None:
    async with open_pair(extended, inbox) as pair:
        with pytest.raises(FileUnreadableError):
            await pair.client.send_file(source / "missing")
        with pytest.raises(FileRefusedError) as caught:
            await pair.client.send_file(source / "missing", name="../up")
        assert caught.value.code == FileRefusal.NAME


async def test_packets_carry_no_files(source: Path, inbox: Inbox) -> None:
    async with open_pair(Mode("packets"), inbox) as pair:
        for conn in (pair.client, pair.accepted):
            with pytest.raises(NotSupportedError):
                await conn.send_file(source)


async def test_a_peer_without_files_is_no_receiver(mode: Mode, source: Path) -> None:
    (source / "a").write_bytes(b"data")
    async with open_pair(mode) as pair:
        for path in (source, source / "a"):
            with pytest.raises(NotSupportedError, match="files="):
                await pair.client.send_file(path)

    async def on_stream(stream: Stream) -> None:
        await stream.read()

    serving = sealframe.serve(_wait, "127.0.0.1", 0, on_stream=on_stream, **mode.server)
    async with serving as server:
        async with sealframe.connect("127.0.0.1", server.port, **mode.client) as conn:
            for path in (source, source / "a"):
                with pytest.raises(NotSupportedError, match="files="):
                    await conn.send_file(path)
    await no_threads()


async def _wait(conn: sealframe.Connection) -> None:
    async for _ in conn:
        pass


async def test_what_fails_of_a_directory_ends_nothing_else(
    mode: Mode, source: Path, root: Path
) -> None:
    for name in "abcdefgh":
        (source / name).write_bytes(b"x" * (5 if name in "bg" else 3))
    async with open_pair(mode, Inbox(root, keep_free=0, max_file_size=4)) as pair:
        with pytest.raises(DirectoryTransferError) as caught:
            await pair.client.send_file(source)
    error = caught.value
    assert list(error.failures) == ["sent/b", "sent/g"]
    for failure in error.failures.values():
        assert isinstance(failure, FileRefusedError)
        assert failure.code == FileRefusal.TOO_LARGE
    assert error.receipt.names == tuple(f"sent/{name}" for name in "acdefh")
    assert received(root / "sent").keys() == set("acdefh")
    assert str(error).startswith("2 were not sent and 6 were: sent/b: no file over 4 bytes")


async def test_progress_tells_of_the_end_and_not_too_often(
    mode: Mode, source: Path, inbox: Inbox
) -> None:
    seen: list[Progress] = []
    (source / "a").write_bytes(bytes(20 * PIECE))
    loop = asyncio.get_running_loop()
    async with open_pair(mode, inbox) as pair:
        started = loop.time()
        await pair.client.send_file(source / "a", progress=seen.append)
        took = loop.time() - started
    assert seen[-1] == Progress(
        name="a", sent=20 * PIECE, size=20 * PIECE, files=1, total=20 * PIECE
    )
    assert [report.sent for report in seen] == sorted(report.sent for report in seen)
    assert 1 <= len(seen) <= took / 0.1 + 2


async def test_what_progress_raises_ends_the_transfer(
    extended: Mode, source: Path, root: Path, inbox: Inbox
) -> None:
    class MyError(Exception):
        pass

    def fail(_: Progress) -> None:
        raise MyError

    (source / "a").write_bytes(bytes(10 * PIECE))
    async with open_pair(extended, inbox) as pair:
        for path in (source / "a", source):
            with pytest.raises(MyError):
                await pair.client.send_file(path, progress=fail)
        assert not [name for name in received(root) if name.endswith("a")]
        # The connection goes on.
        await pair.client.ping()


async def test_a_file_that_changes_is_dropped(
    mode: Mode, source: Path, root: Path, inbox: Inbox
) -> None:
    path = source / "a"
    path.write_bytes(bytes(10 * PIECE))

    def change(_: Progress) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    async with open_pair(mode, inbox) as pair:
        with pytest.raises(FileChangedError):
            await pair.client.send_file(path, progress=change)
        await until(lambda: inbox.store.quota.files == 0)
        # Nor does anything wait to be resumed.
        assert received(root) == {}


async def test_a_file_that_changes_in_a_directory_is_told(
    extended: Mode, source: Path, inbox: Inbox
) -> None:
    path = source / "a"
    path.write_bytes(bytes(10 * PIECE))

    def change(_: Progress) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    async with open_pair(extended, inbox) as pair:
        with pytest.raises(DirectoryTransferError) as caught:
            await pair.client.send_file(source, progress=change)
    assert isinstance(caught.value.failures["sent/a"], FileChangedError)


async def test_a_cancelled_sender_tells_the_other_end(
    mode: Mode, source: Path, root: Path, inbox: Inbox
) -> None:
    (source / "a").write_bytes(data := os.urandom(30 * PIECE))
    async with open_pair(mode, inbox) as pair:
        sending = asyncio.create_task(pair.client.send_file(source / "a"))
        await until(lambda: bytes_in(root) > 0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await until(lambda: not registry_of(pair.server).peer_handlers.tasks)
        await no_threads()
        (partial,) = received(root)
        assert partial.startswith(".a.")
        receipt = await pair.client.send_file(source / "a")
        assert 0 < receipt.resumed < len(data)
    assert received(root) == {"a": data}


async def test_a_cancelled_sender_of_a_directory_ends_all_its_files(
    mode: Mode, source: Path, inbox: Inbox
) -> None:
    for name in "abcdef":
        (source / name).write_bytes(bytes(8 * PIECE))
    begun = asyncio.Event()
    async with open_pair(mode, inbox) as pair:
        sending = asyncio.create_task(pair.client.send_file(source, progress=lambda _: begun.set()))
        await begun.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await until(lambda: not registry_of(pair.server).peer_handlers.tasks)
        await no_threads()
        channels = protocol_of(pair.client).channels
        assert channels is not None
        assert not channels.streams.endpoints


async def test_many_senders_at_once(mode: Mode, source: Path, root: Path, inbox: Inbox) -> None:
    files = {f"{number}": os.urandom(100_000) for number in range(30)}
    for name, data in files.items():
        (source / name).write_bytes(data)
    async with open_pair(mode, inbox) as pair:
        await asyncio.gather(*(pair.client.send_file(source / name) for name in files))
    assert received(root) == dict(sorted(files.items()))


@pytest.mark.parametrize("size", [0, 1, PIECE + 1])
async def test_a_connection_that_ends_ends_the_transfer(
    size: int, mode: Mode, source: Path
) -> None:
    (source / "a").write_bytes(bytes(size))

    async with open_pair(mode, _never) as pair:
        for path in (source / "a", source):
            if pair.client.closed:
                break
            sending = asyncio.create_task(pair.client.send_file(path))
            await until(lambda: bool(registry_of(pair.server).peer_handlers.tasks))
            pair.server.kick(pair.accepted.id)
            with pytest.raises(sealframe.ConnectionClosed):
                await sending
        await pair.server.close(timeout=0)


async def _never(_: sealframe.files.Offer) -> None:
    await asyncio.Event().wait()


# Receivers that do not keep to the protocol


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x01",
        bytes(ACCEPT_SIZE),
        Accept(3, 0, bytes(32)).pack(),
        Accept(1, 5, bytes(32)).pack(),
        b"\x03",
    ],
)
async def test_an_answer_that_is_none_is_an_error(
    answer: bytes, extended: Mode, source: Path
) -> None:
    (source / "a").write_bytes(b"data")

    async def on_file(stream: Stream) -> None:
        await stream.write(answer)

    async with open_pair(extended, on_file=on_file) as pair:
        with pytest.raises(FileTransferError):
            await pair.client.send_file(source / "a")
        await pair.client.ping()


async def test_more_than_there_is_cannot_be_there(extended: Mode, source: Path) -> None:
    """The receiving end is told at once that it broke the protocol; nothing is read for it."""
    (source / "a").write_bytes(b"data")

    async def on_file(stream: Stream) -> None:
        await stream.write(Accept(1, 5, bytes(32)).pack())

    async with open_pair(extended, on_file=on_file) as pair:
        broke = "the receiving end broke the protocol: 5 bytes of a file of 4 cannot be there"
        with pytest.raises(FileTransferError, match=broke):
            await pair.client.send_file(source / "a")


@pytest.mark.parametrize("last", [b"\x04", b"", b"\x03\x03"])
async def test_a_last_word_that_is_not_done_is_an_error(
    last: bytes, extended: Mode, source: Path
) -> None:
    (source / "a").write_bytes(b"data")

    async def on_file(stream: Stream) -> None:
        await stream.write(Accept(1, 0, hash_of(b"")).pack())
        await stream.read()
        await stream.write(last)

    async with open_pair(extended, on_file=on_file) as pair:
        with pytest.raises(FileTransferError):
            await pair.client.send_file(source / "a")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (ResetCode.CANCELLED, FileTransferError),
        (ResetCode.UNSUPPORTED, NotSupportedError),
        (ResetCode.BUSY, FileRefusedError),
        (ResetCode.FAILED, FileTransferError),
        (16 + FileRefusal.QUOTA, FileRefusedError),
        (16 + 99, FileTransferError),
        (60_000, FileTransferError),
    ],
)
async def test_each_reset_is_an_error_of_its_own(
    code: int, kind: type[Exception], extended: Mode, source: Path
) -> None:
    (source / "a").write_bytes(b"data")

    async def on_file(stream: Stream) -> None:
        endpoint_of(stream).reset(code, "why")

    async with open_pair(extended, on_file=on_file) as pair:
        with pytest.raises(kind) as caught:
            await pair.client.send_file(source / "a")
    assert type(caught.value) is kind


async def test_a_thread_is_there_only_while_there_is_work(
    extended: Mode, root: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealframe.files.worker._IDLE", 0.01)
    offer = offer_of("a", 4)
    async with open_pair(extended, inbox) as pair:
        sending = asyncio.create_task(push(pair.client, offer, b"data"))
        await sending
        assert received(root) == {"a": b"data"}
        # A sender that says no more than its offer.
        stream = await offered(pair.client, offer_of("b", 4))
        await accepted(stream, offer_of("b", 4))
        await until(lambda: not disk_threads())
        stream.reset()
