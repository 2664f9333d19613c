"""``SEALFRAME_KEYLOG``: keys are written where somebody asks for it, and for that user alone."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aio.ends import PATIENCE, Mode
from aio.links import cut, open_session

import sealframe
from sealframe import (
    ClientIdentity,
    Connection,
    KeyFileError,
    PrivateKey,
    ServerIdentity,
    SharedKey,
)
from sealframe.noise.records import RecordLayer
from sealframe.trust import key_log
from sealframe.trust.identity import credentials_of
from sealframe.trust.key_log import LABEL, VARIABLE, KeyLog
from sealframe.trust.keys import shared_credentials

from .owners import give_away

pytest.importorskip("cryptography", reason="cryptography is not installed")
posix_only = pytest.mark.skipif(os.name != "posix", reason="there are no such modes here")

LINE = re.compile(rf"{LABEL} ([0-9a-f]{{64}}) ([0-9a-f]{{64}}) ([0-9a-f]{{64}})\n")


def lines(path: Path) -> list[str]:
    """Return the lines of a key log, each of which is whole."""
    found = path.read_text().splitlines(keepends=True)
    assert all(LINE.fullmatch(line) for line in found), found
    return found


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    level = logging.WARNING
    records = [r for r in caplog.records if (r.name, r.levelno) == ("sealframe.keylog", level)]
    return [record.getMessage() for record in records]


async def echo(conn: Connection) -> None:
    async for message in conn:
        await conn.send(message)


async def talk(server_side: Any, client_side: Any) -> None:
    """Let a real client and a real server say a word to each other."""
    async with asyncio.timeout(PATIENCE):
        async with sealframe.serve(echo, "127.0.0.1", 0, security=server_side) as server:
            async with sealframe.connect("127.0.0.1", server.port, security=client_side) as conn:
                await conn.send(b"hello")
                assert await conn.recv() == b"hello"


def shared() -> tuple[Any, Any]:
    key = SharedKey.generate()
    return key, key


def pinned() -> tuple[Any, Any]:
    server, client = PrivateKey.generate(), PrivateKey.generate()
    return (
        ServerIdentity(server, {"client": client.public_key}),
        ClientIdentity(client, server=server.public_key),
    )


async def test_nothing_is_written_unless_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    await talk(*shared())
    monkeypatch.setenv(VARIABLE, "")
    await talk(*shared())
    assert list(tmp_path.iterdir()) == []
    assert warnings(caplog) == []


@pytest.mark.parametrize("make", [shared, pinned])
async def test_both_ends_write_the_same_line(
    make: Callable[[], tuple[Any, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "keys"
    monkeypatch.setenv(VARIABLE, str(path))
    caplog.set_level(logging.DEBUG)
    await talk(*make())
    await talk(*make())
    first, second, third, fourth = lines(path)
    assert first == second != third == fourth
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600
    # Two servers and two clients, and one warning.
    (warning,) = warnings(caplog)
    assert str(path) in warning
    assert "unset it" in warning
    assert "the handshake is finished" in caplog.text
    everything = " ".join(record.getMessage() for record in caplog.records)
    assert not any(secret in everything for line in (first, third) for secret in line.split()[1:])


@pytest.mark.parametrize("make", [shared, pinned])
def test_a_line_names_the_connection_and_opens_its_records(
    make: Callable[[], tuple[Any, Any]],
) -> None:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    server_side, client_side = make()
    if make is shared:
        server_side = shared_credentials(server_side, client=False)
        client_side = shared_credentials(client_side, client=True)
    else:
        server_side, client_side = map(credentials_of, (server_side, client_side))
    logged: list[tuple[bytes, bytes, bytes]] = []

    def note(*line: bytes) -> None:
        logged.append(line)  # type: ignore[arg-type]

    client = RecordLayer(initiator=True, credentials=client_side, key_log=note)
    server = RecordLayer(initiator=False, credentials=server_side, key_log=note)
    sent = b"".join(client.output)
    writer, reader = client, server
    while not (client.established and server.established):
        written, writer.output = b"".join(writer.output), []
        reader.feed(written)
        writer, reader = reader, writer
    assert len(logged) == 2
    assert logged[0] == logged[1]
    name, client_key, server_key = logged[0]
    # Head, opcode, magic, version, pattern.
    assert sent[15:47] == name
    for end, key in ((client, client_key), (server, server_key)):
        (record,) = end.seal(b"words")
        assert AESGCM(key).decrypt(bytes(12), record[4:], None) == b"words"


async def test_each_link_of_a_session_has_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys"
    monkeypatch.setenv(VARIABLE, str(path))
    async with open_session(Mode("sealed")) as (client, accepted, *_):
        cut(client)
        await client.send(b"over another link")
        assert await accepted.recv() == b"over another link"
    found = lines(path)
    assert len(found) == 4
    assert len({line.split()[1] for line in found}) == 2


def test_blocking_programs_write_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys"
    monkeypatch.setenv(VARIABLE, str(path))
    key = SharedKey.generate()
    with sealframe.sync.serve(lambda conn: conn.send(b"hi"), "127.0.0.1", 0, security=key) as end:
        with sealframe.sync.connect("127.0.0.1", end.port, security=key) as conn:
            assert conn.recv(timeout=PATIENCE) == b"hi"
    assert len(lines(path)) == 2


def spoilt(kind: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put there what is no key log."""
    if kind == "link":
        path.with_name("target").touch(0o600)
        path.symlink_to(path.with_name("target"))
    elif kind == "pipe":
        os.mkfifo(path, 0o600)
    elif kind == "folder":
        path.mkdir()
    elif kind == "no folder":
        monkeypatch.setenv(VARIABLE, str(path / "keys"))
    else:
        path.touch(0o600)
        path.write_text({"a key": "sealframe-", "a text": "hello\n"}.get(kind, ""))
        path.chmod({"group": 0o640, "others": 0o602}.get(kind, 0o600))
        if kind == "another's":
            give_away(path, monkeypatch)


@posix_only
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("group", "is open to others; delete it, or run: chmod 600"),
        ("others", "is open to others; delete it, or run: chmod 600"),
        ("link", "is a link: name the file itself"),
        ("pipe", "is no regular file"),
        ("folder", "cannot write the key log"),
        ("no folder", "cannot write the key log"),
        ("another's", "belongs to another user"),
        ("a key", "holds something else than a key log"),
        ("a text", "holds something else than a key log"),
    ],
)
def test_what_is_no_key_log_is_refused_before_anything_is_opened(
    kind: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys"
    monkeypatch.setenv(VARIABLE, str(path))
    spoilt(kind, path, monkeypatch)
    before = path.read_bytes() if path.is_file() else b""
    key = SharedKey.generate()
    for make in (
        lambda: sealframe.serve(echo, "127.0.0.1", 0, security=key),
        lambda: sealframe.connect("127.0.0.1", 1, security=key),
    ):
        with pytest.raises(KeyFileError, match=text) as refusal:
            make()
        assert str(path) in str(refusal.value)
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_log_that_is_there_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    for beginning in (f"{LABEL} ", "SEAL", "SEALFRAME_OTHER 1 2 3\n"):
        path.write_text(beginning)
        path.chmod(0o600)
        KeyLog(str(path)).write(b"n" * 32, b"c" * 32, b"s" * 32)
        text = path.read_text()
        assert text.startswith(beginning)
        assert LINE.search(text) is not None


def test_plain_connections_have_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "no" / "keys"))
    sealframe.connect("127.0.0.1", 1, extended=True)


WRITER = """
import sys
from sealframe.trust.key_log import KeyLog

log = KeyLog(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(200):
    log.write(bytes([number]) * 32, bytes(32), bytes(32))
"""


def test_processes_and_threads_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    log = KeyLog(str(path))

    def write() -> None:
        for number in range(200):
            log.write(bytes([number]) * 32, bytes(32), bytes(32))

    threads = [threading.Thread(target=write) for _ in range(2)]
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", WRITER, path], stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == b"ready"
        for thread in threads:
            thread.start()
        other.communicate(b"\n", PATIENCE)
        for thread in threads:
            thread.join()
    assert other.returncode == 0
    assert len(lines(path)) == 3 * 200


# In a process of its own: the limit holds for all that a process writes, its stderr included.
FULL_DISK = """
import os
import resource
import sys
from sealframe.trust.key_log import KeyLog

log = KeyLog(sys.argv[1])
log.write(b"a" * 32, b"s" * 32, b"s" * 32)
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (os.stat(sys.argv[1]).st_size + 10, limits[1]))
for _ in range(3):
    log.write(b"b" * 32, b"s" * 32, b"s" * 32)
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
log.write(b"c" * 32, b"s" * 32, b"s" * 32)
"""


@posix_only
def test_a_full_disk_is_told_once_and_the_next_line_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FULL_DISK, path],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    told = done.stderr.splitlines()
    assert sum("the disk is full" in line for line in told) == 1, told
    assert b"s".hex() * 6 not in done.stderr
    names = [found[1] for found in LINE.finditer(path.read_text())]
    assert names == [(b"a" * 32).hex(), (b"c" * 32).hex()]


async def test_connections_go_on_where_their_keys_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.setenv(VARIABLE, str(folder / "keys"))
    assert key_log.key_log() is not None
    caplog.clear()
    (folder / "keys").unlink()
    folder.rmdir()
    await talk(*shared())
    (warning,) = warnings(caplog)
    assert "goes on" in warning
