"""Transfers that break off, and go on where they stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import pytest
from aio.cutting import CuttingProxy, Fault, Plan, always
from aio.ends import Mode, shared_key

import sealframe
from sealframe import (
    ClientIdentity,
    Connection,
    ConnectionClosed,
    FileRefusal,
    FileRefusedError,
    FileTransferError,
    Inbox,
    PrivateKey,
    ServerIdentity,
    Stream,
    StreamResetError,
)
from sealframe.aio.connection import protocol_of
from sealframe.files import digest
from sealframe.files.digest import Algorithm
from sealframe.files.incoming import PIECE
from sealframe.files.messages import compare
from sealframe.server.server import registry_of

from .pair import (
    PATIENCE,
    bytes_in,
    offer_of,
    offered,
    open_pair,
    received,
    reset_with,
    until,
)
from .receiving import posix_only

ANY_LOOP = True

SIZE = 5 * PIECE + 1234


@pytest.fixture
def data(source: Path) -> bytes:
    """What is in the file that is sent."""
    data = os.urandom(SIZE)
    (source / "a").write_bytes(data)
    return data


async def _drain(conn: Connection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for _ in conn:
            pass


@pytest.mark.parametrize("fault", [Fault.FIN, Fault.RESET])
async def test_a_link_that_is_cut_again_and_again(
    fault: Fault, mode: Mode, source: Path, root: Path, inbox: Inbox, data: bytes
) -> None:
    """What is there counts: each attempt brings some more, and the whole is right."""
    serving = sealframe.serve(_drain, "127.0.0.1", 0, files=inbox, **mode.server)
    async with asyncio.timeout(PATIENCE), serving as server:
        cut = Plan(fault, after=PIECE + 4321)
        async with CuttingProxy(server.port, plans=always(cut)) as proxy:
            attempts, there = 0, 0
            while True:
                attempts += 1
                try:
                    async with sealframe.connect("127.0.0.1", proxy.port, **mode.client) as conn:
                        receipt = await conn.send_file(source / "a")
                        break
                except ConnectionClosed:
                    await until(lambda: not registry_of(server).peer_handlers.tasks)
                    assert received(root).keys() <= {next(iter(received(root)), "")}
                    assert bytes_in(root) > there or fault is Fault.RESET
                    there = bytes_in(root)
                assert attempts < 100
    assert attempts > 3
    assert receipt.resumed >= 3 * PIECE
    assert received(root) == {"a": data}


@pytest.mark.parametrize("where", [0, PIECE, -1])
@pytest.mark.parametrize("algorithm", list(Algorithm))
async def test_a_damaged_beginning_is_sent_anew(
    where: int,
    algorithm: Algorithm,
    extended: Mode,
    source: Path,
    root: Path,
    inbox: Inbox,
    data: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if algorithm == Algorithm.BLAKE3:
        pytest.importorskip("blake3")
    monkeypatch.setattr("sealframe.files.sending.available", lambda: (algorithm,))
    async with open_pair(extended, inbox) as pair:
        partial = await _break_off(pair.server, source / "a", root, **extended.client)
        there = bytearray(partial.read_bytes())
        there[where] ^= 1
        partial.write_bytes(there)
        receipt = await pair.client.send_file(source / "a")
        assert receipt.resumed == 0
    assert received(root) == {"a": data}


async def _break_off(server: sealframe.Server, path: Path, root: Path, **client: Any) -> Path:
    """Send more than two pieces of a file; return where they are, once nothing is written."""
    cut = Plan(Fault.FIN, after=2 * PIECE + PIECE // 4)
    async with CuttingProxy(server.port, plans=always(cut)) as proxy:
        with pytest.raises(ConnectionClosed):
            async with sealframe.connect("127.0.0.1", proxy.port, **client) as conn:
                await conn.send_file(path)
    await until(lambda: not registry_of(server).peer_handlers.tasks)
    (name,) = received(root)
    return root / name


async def test_a_file_that_changed_since_is_sent_anew(
    extended: Mode, source: Path, root: Path, inbox: Inbox, data: bytes
) -> None:
    async with open_pair(extended, inbox) as pair:
        await _break_off(pair.server, source / "a", root, **extended.client)
        changed = b"x" + data[1:]
        (source / "a").write_bytes(changed)
        receipt = await pair.client.send_file(source / "a")
        assert receipt.resumed == 0
    assert received(root)["a"] == changed


async def test_all_but_the_last_word_is_there(
    mode: Mode, source: Path, root: Path, inbox: Inbox, data: bytes
) -> None:
    """The whole file is there and has no name yet: nothing of it is sent again."""
    async with open_pair(mode, inbox) as pair:
        partial = await _break_off(pair.server, source / "a", root, **mode.client)
        partial.write_bytes(data)
        receipt = await pair.client.send_file(source / "a")
    assert (receipt.size, receipt.resumed) == (SIZE, SIZE)
    assert received(root) == {"a": data}


async def test_nobody_resumes_what_another_identity_began(
    source: Path, root: Path, tmp_path: Path, inbox: Inbox, data: bytes
) -> None:
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    key, clients = PrivateKey.generate(), [PrivateKey.generate() for _ in range(2)]
    identity = ServerIdentity(key, {f"c{n}": k.public_key for n, k in enumerate(clients)})
    serving = sealframe.serve(_drain, "127.0.0.1", 0, files=inbox, security=identity)
    async with asyncio.timeout(PATIENCE), serving as server:
        one, other = (ClientIdentity(k, server=key.public_key) for k in clients)
        await _break_off(server, source / "a", root, security=one)
        async with sealframe.connect("127.0.0.1", server.port, security=other) as conn:
            receipt = await conn.send_file(source / "a", name="a")
        assert receipt.resumed == 0
        assert received(root)["a"] == data
        (root / "a").unlink()
        async with sealframe.connect("127.0.0.1", server.port, security=one) as conn:
            assert (await conn.send_file(source / "a")).resumed >= PIECE
    assert received(root) == {"a": data}


# Programs that are killed

PROGRAM = Path(__file__).with_name("transferring.py")


class Program:
    """The one end of a transfer, as a process of its own."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, str(PROGRAM), *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    async def say(self) -> str:
        assert self.process.stdout is not None
        return (await asyncio.to_thread(self.process.stdout.readline)).strip()

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(self.process.wait)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def key_file(tmp_path: Path, mode: Mode) -> str:
    if not mode.sealed:
        return ""
    shared_key().save(tmp_path / "key")
    return str(tmp_path / "key")


@posix_only
async def test_a_killed_receiver_goes_on_where_it_stopped(
    mode: Mode, key_file: str, source: Path, root: Path
) -> None:
    data = os.urandom(40 * PIECE)
    (source / "a").write_bytes(data)
    resumed = 0
    async with asyncio.timeout(PATIENCE):
        for attempt in range(3):
            with Program("receive", root, key_file) as receiver:
                port = int(await receiver.say())
                async with sealframe.connect("127.0.0.1", port, **mode.client) as conn:
                    sending = asyncio.create_task(conn.send_file(source / "a"))
                    if attempt == 2:
                        resumed = (await sending).resumed
                        break
                    before = bytes_in(root)
                    await until(lambda before=before: bytes_in(root) > before)  # type: ignore[misc]
                    await receiver.kill()
                    with pytest.raises(ConnectionClosed):
                        await sending
    assert resumed > 0
    assert received(root) == {"a": data}


@posix_only
async def test_a_killed_sender_goes_on_where_it_stopped(
    mode: Mode, key_file: str, source: Path, root: Path, inbox: Inbox
) -> None:
    data = os.urandom(40 * PIECE)
    (source / "a").write_bytes(data)
    serving = sealframe.serve(_drain, "127.0.0.1", 0, files=inbox, **mode.server)
    async with asyncio.timeout(PATIENCE), serving as server:
        with Program("send", source / "a", key_file, server.port) as sender:
            await until(lambda: bytes_in(root) > 0)
            await sender.kill()
        await until(lambda: not registry_of(server).peer_handlers.tasks)
        assert "a" not in received(root)
        with Program("send", source / "a", key_file, server.port) as sender:
            assert int(await sender.say()) > 0
    assert received(root) == {"a": data}


async def test_a_connection_lost_in_a_transfer_leaves_nothing_running(
    mode: Mode, source: Path, root: Path, inbox: Inbox, data: bytes
) -> None:
    async with open_pair(mode, inbox) as pair:
        sending = asyncio.create_task(pair.client.send_file(source / "a"))
        await until(lambda: bytes_in(root) > 0)
        protocol_of(pair.client).closer.abort(sealframe.ConnectionClosedError("cut"))
        with pytest.raises(ConnectionClosed):
            await sending
        await until(lambda: not registry_of(pair.server).peer_handlers.tasks)
        (partial,) = received(root)
        assert partial.startswith(".a.")


async def test_a_server_that_closes_finishes_its_transfers(
    mode: Mode, source: Path, root: Path, inbox: Inbox, data: bytes
) -> None:
    async with open_pair(mode, inbox) as pair:
        sending = asyncio.create_task(pair.client.send_file(source / "a"))
        await until(lambda: bytes_in(root) > 0)
        await pair.server.close()
        await sending
    assert received(root) == {"a": data}


async def test_a_server_that_has_no_time_ends_its_transfers(
    mode: Mode, source: Path, root: Path, inbox: Inbox
) -> None:
    (source / "a").write_bytes(bytes(60 * PIECE))
    async with open_pair(mode, inbox) as pair:
        sending = asyncio.create_task(pair.client.send_file(source / "a"))
        await until(lambda: bytes_in(root) > 0)
        await pair.server.close(timeout=0)
        with pytest.raises((ConnectionClosed, FileTransferError)):
            await sending
        assert not registry_of(pair.server).peer_handlers.tasks
    (partial,) = received(root)
    assert partial.startswith(".a.")


# What has arrived before


async def test_what_is_there_is_not_sent_again(
    mode: Mode, source: Path, root: Path, data: bytes
) -> None:
    """The last word may have been lost, and with it that a file has arrived."""
    inbox = Inbox(root, keep_free=0, max_files=1)
    async with open_pair(mode, inbox) as pair:
        await pair.client.send_file(source / "a")
        before = (root / "a").stat().st_ino
        sent = pair.client.stats.bytes_sent
        receipt = await pair.client.send_file(source / "a")
        assert (receipt.size, receipt.resumed) == (len(data), len(data))
        assert pair.client.stats.bytes_sent - sent < 10_000
        assert (root / "a").stat().st_ino == before
    assert received(root) == {"a": data}


@pytest.mark.parametrize("overwrite", [False, True])
async def test_one_of_the_same_size_is_another_one(
    overwrite: bool, extended: Mode, source: Path, root: Path, data: bytes
) -> None:
    other = bytes([data[0] ^ 1]) + data[1:]
    (root / "a").write_bytes(other)
    async with open_pair(extended, Inbox(root, keep_free=0, overwrite=overwrite)) as pair:
        if overwrite:
            assert (await pair.client.send_file(source / "a")).resumed == 0
        else:
            with pytest.raises(FileRefusedError) as caught:
                await pair.client.send_file(source / "a")
            assert caught.value.code == FileRefusal.EXISTS
    assert received(root) == {"a": data if overwrite else other}


async def test_a_tree_is_brought_over_a_link_that_never_lasts(
    extended: Mode, source: Path, root: Path
) -> None:
    for number in range(20):
        (source / f"{number}").write_bytes(os.urandom(200_000))
    inbox = Inbox(root, keep_free=0)
    attempts = 0
    while True:
        attempts += 1
        assert attempts < 100
        async with open_pair(extended, inbox) as pair:
            sending = asyncio.create_task(pair.client.send_file(source))
            enough = pair.client.stats.bytes_sent + 700_000
            await until(lambda: sending.done() or pair.client.stats.bytes_sent > enough)  # noqa: B023
            if sending.done():
                receipt = await sending
                break
            pair.server.kick(pair.accepted.id)
            with pytest.raises(ConnectionClosed):
                await sending
    assert attempts > 2
    assert receipt.resumed > 0
    sent = {path.name: path.read_bytes() for path in source.iterdir()}
    assert {path.name: path.read_bytes() for path in (root / source.name).iterdir()} == sent


async def test_who_has_not_got_a_file_learns_nothing_of_it(
    extended: Mode, root: Path, inbox: Inbox
) -> None:
    """It is asked for the digest first."""
    (root / "a").write_bytes(b"secret")
    offer = offer_of("a", 6)
    async with open_pair(extended, inbox) as pair:
        stream = await offered(pair.client, offer)
        assert await stream.read(100) == compare(Algorithm.BLAKE3 if has_blake3() else 1)
        await stream.write(bytes(32))
        async with reset_with(FileRefusal.EXISTS):
            await stream.read()


@pytest.mark.parametrize("name", ["a", "link", "directory", "directory/link/a"])
async def test_only_a_regular_file_of_that_size_is_compared(
    name: str, extended: Mode, source: Path, root: Path
) -> None:
    outside = source / "outside"
    outside.mkdir()
    (outside / "a").write_bytes(b"secret")
    (root / "a").write_bytes(b"longer than that")
    (root / "link").symlink_to(outside / "a")
    (root / "directory").mkdir()
    (root / "directory" / "link").symlink_to(outside)
    async with open_pair(extended, Inbox(root, keep_free=0)) as pair:
        stream = await offered(pair.client, offer_of(name, 6))
        with pytest.raises(StreamResetError):
            await stream.read()
    assert (outside / "a").read_bytes() == b"secret"


@pytest.mark.parametrize("answer", [compare(9), compare(1) + compare(1), compare(1) + b"\x05"])
async def test_an_answer_after_the_comparison_that_is_none_is_an_error(
    answer: bytes, extended: Mode, source: Path
) -> None:
    async def on_file(stream: Stream) -> None:
        await stream.write(answer)
        await stream.end()
        await stream.read()

    async with open_pair(extended, on_file=on_file) as pair:
        with pytest.raises(FileTransferError):
            await pair.client.send_file(source / "a")


def has_blake3() -> bool:
    return Algorithm.BLAKE3 in digest.available()
