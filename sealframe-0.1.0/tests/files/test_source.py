"""What is sent: regular files that do not change meanwhile."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from sealframe.errors import FileChangedError, FileTransferError, FileUnreadableError
from sealframe.files import digest as digests
from sealframe.files.digest import Algorithm, available
from sealframe.files.source import Source

from .receiving import descriptors_of, hooked, posix_only, sha256

DATA = os.urandom(10_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    return path


def read_all(source: Source, size: int = 3000) -> bytes:
    return b"".join(iter(lambda: source.read(size), b""))


def test_a_file_is_read(path: Path) -> None:
    with Source(path) as source:
        assert source.size == len(DATA)
        assert source.modified == path.stat().st_mtime_ns
        assert read_all(source) == DATA
        assert source.offset == len(DATA)
        assert source.read(1) == b""
        assert source.digest() == sha256(DATA)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with Source(tmp_path / "empty") as source:
        assert source.read(1) == b""
        assert source.digest() == sha256(b"")


@pytest.mark.parametrize("algorithm", available())
@pytest.mark.parametrize("offset", [0, 1, 9_999, 10_000])
def test_the_other_end_has_the_beginning(path: Path, algorithm: Algorithm, offset: int) -> None:
    def digest(data: bytes) -> bytes:
        made = digests.new(algorithm)
        made.update(data)
        return made.digest()

    with Source(path) as source:
        source.read(100)
        assert source.start(algorithm, offset) == digest(DATA[:offset])
        assert source.offset == offset
        assert read_all(source) == DATA[offset:]
        assert source.digest() == digest(DATA)
        assert source.start() == sha256(b"")
        assert read_all(source) == DATA


def test_skipping_can_be_stopped(tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    (tmp_path / "x").write_bytes(data)

    def stop(done: int) -> None:
        seen.append(done)
        raise ConnectionResetError  # as when the connection is gone meanwhile

    seen: list[int] = []
    with Source(tmp_path / "x") as source:
        with pytest.raises(ConnectionResetError):
            source.start(offset=len(data), watch=stop)
        assert seen == [1 << 20]
        assert source.start(offset=len(data)) == sha256(data)


@pytest.mark.parametrize("offset", [-1, 10_001])
def test_no_such_offset(path: Path, offset: int) -> None:
    with Source(path) as source, pytest.raises(ValueError, match="offset must be from 0 to 10000"):
        source.start(offset=offset)


@pytest.mark.parametrize("size", [0, -1])
def test_reading_nothing(path: Path, size: int) -> None:
    with Source(path) as source, pytest.raises(ValueError, match="size must be over 0"):
        source.read(size)


def test_keys(path: Path) -> None:
    """The same for the same transfer, another for every other."""
    with Source(path) as source:
        keys = [source.key("x"), source.key("y"), source.key("x", b"scope")]
        assert source.key("x") == keys[0]
    with Source(path) as source:
        assert source.key("x") == keys[0]
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    with Source(path) as source:
        keys.append(source.key("x"))
    modified = path.stat().st_mtime_ns
    path.write_bytes(DATA + b"!")
    os.utime(path, ns=(modified, modified))
    with Source(path) as source:
        keys.append(source.key("x"))
    assert {len(key) for key in keys} == {32}
    assert len(set(keys)) == 5


def later(path: Path) -> None:
    """Clocks of file systems tick slowly."""
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"!")


def shrink(path: Path) -> None:
    os.truncate(path, 3001)


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"!")
    later(path)


@pytest.mark.parametrize("change", [grow, shrink, rewrite])
def test_a_file_that_changes_is_noticed(path: Path, change: Callable[[Path], None]) -> None:
    for size in (3000, 10_000):
        path.write_bytes(DATA)
        with Source(path) as source:
            source.read(size)
            change(path)
            with pytest.raises(FileChangedError, match="file was written to while it was sent"):
                source.read(3000)
            with pytest.raises(FileChangedError):
                source.digest()
            with pytest.raises(FileChangedError):
                source.start(offset=5000)


def test_a_file_that_is_replaced_is_sent_as_it_was(path: Path) -> None:
    with Source(path) as source:
        new = path.with_name("new")
        new.write_bytes(b"new")
        if os.name == "posix":
            new.replace(path)
        assert read_all(source) == DATA
        source.digest()


@posix_only
@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "directory", "link to a pipe"])
@pytest.mark.parametrize("below", [False, True])
def test_only_regular_files_are_opened(
    tmp_path: Path, kind: str, below: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "it"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("it")
    elif kind == "device":
        path = Path(os.devnull)
    elif kind == "directory":
        path.mkdir()
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to("pipe")
    opened: list[str] = []
    with monkeypatch.context() as patch:
        hooked(patch, ["open"], opened.append)
        with pytest.raises(FileUnreadableError, match="it is no regular file"):
            Source(path.name, below=path.parent) if below else Source(path)
    assert len(opened) == (2 if below else 0)


@posix_only
@pytest.mark.parametrize("below", [False, True])
def test_a_pipe_that_comes_in_between_makes_nobody_wait(
    path: Path, monkeypatch: pytest.MonkeyPatch, below: bool
) -> None:
    real = os.open

    def swap(name: str | Path, *args: int, **kw: int) -> int:
        if Path(name).name == path.name:
            path.unlink()
            os.mkfifo(path)
        return real(name, *args, **kw)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", swap)
        with pytest.raises(FileUnreadableError, match="it is no regular file"):
            Source(path.name, below=path.parent) if below else Source(path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for options in ({}, {"below": tmp_path}):
        with pytest.raises(
            FileUnreadableError, match=r"no/x cannot be sent: No such file"
        ) as caught:
            Source("no/x", **options)
        assert isinstance(caught.value, OSError)
        assert isinstance(caught.value, FileTransferError)


@posix_only
def test_links_are_followed_where_the_user_names_them(tmp_path: Path, path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    with Source(tmp_path / "link") as source:
        assert read_all(source) == DATA
    with pytest.raises(FileUnreadableError):
        Source("link", below=tmp_path)
    with pytest.raises(ValueError, match="is not below"):
        Source("a/../../x", below=tmp_path)
    with Source("file", below=tmp_path) as source:
        assert source.path == path


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="has no file that cannot be read")
def test_a_file_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    with Source(path) as source:
        with open("/proc/self/mem", "rb") as broken:  # noqa: PTH123
            (descriptor,) = descriptors_of(path)
            os.dup2(broken.fileno(), descriptor)
        with pytest.raises(FileUnreadableError, match="cannot be read: Input/output error"):
            source.read(1)
