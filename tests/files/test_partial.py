"""One file on its way: resumed, checked, named."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from sealframe.errors import FileRefusedError
from sealframe.files import digest as digests
from sealframe.files.digest import Algorithm, available
from sealframe.files.folder import Folder
from sealframe.files.store import Store
from sealframe.wire import FileRefusal

from .pair import hash_of
from .receiving import KEY, content, hooked, leave_behind, posix_only, receive, refused, sha256

DATA = bytes(range(256)) * 16


# Resuming


def test_a_file_is_resumed(store: Store, root: Path) -> None:
    waiting = leave_behind(store, "a/x", DATA[:1000], len(DATA))
    assert waiting.name.startswith(".x.")
    with store.begin("a/x", len(DATA), KEY) as partial:
        assert partial.size == 1000
        assert partial.hash_prefix() == sha256(DATA[:1000])
        partial.write(DATA[1000:])
        assert partial.finish(sha256(DATA)) == root / "a" / "x"
    assert content(root) == {"a": None, "a/x": DATA}


def test_nobody_asked_for_the_digest_of_the_beginning(store: Store, root: Path) -> None:
    leave_behind(store, "x", DATA[:1000], len(DATA))
    with store.begin("x", len(DATA), KEY) as partial:
        partial.write(DATA[1000:])
        partial.finish(sha256(DATA))
    leave_behind(store, "y", DATA, len(DATA))
    with store.begin("y", len(DATA), KEY) as partial:
        assert partial.size == partial.total == len(DATA)
        partial.finish(sha256(DATA))
    assert content(root) == {"x": DATA, "y": DATA}


@pytest.mark.parametrize("size", [0, 1, 999, 1000])
def test_both_ends_agree_on_less(store: Store, root: Path, size: int) -> None:
    leave_behind(store, "x", DATA[:size] + b"!" * (1000 - size), len(DATA))
    with store.begin("x", len(DATA), KEY) as partial:
        partial.hash_prefix()
        partial.truncate(size)
        assert partial.size == size
        assert partial.hash_prefix() == sha256(DATA[:size])
        for at in range(size, len(DATA), 700):
            partial.write(DATA[at : at + 700])
        partial.finish(sha256(DATA))
    assert content(root) == {"x": DATA}


@pytest.mark.parametrize("size", [-1, 4])
def test_there_is_nothing_to_go_on_from(store: Store, size: int) -> None:
    with store.begin("x", 8, KEY) as partial:
        partial.write(b"123")
        with pytest.raises(ValueError, match="size must be from 0 to 3"):
            partial.truncate(size)


@pytest.mark.parametrize("turn", [1, 2])
def test_who_has_to_go_meanwhile_gets_nothing_made(store: Store, root: Path, turn: int) -> None:
    """The sender is looked at before directories are made, and again before the file is named."""
    turns = iter(range(1, 3))

    def check() -> None:
        if next(turns) == turn:
            raise ConnectionResetError

    with store.begin("a/x", 4, KEY) as partial:
        partial.write(b"data")
        with pytest.raises(ConnectionResetError):
            partial.finish(sha256(b"data"), check)
    assert not (root / "a" / "x").exists()
    assert (root / "a").exists() == (turn == 2)


def test_a_longer_file_begins_anew(store: Store) -> None:
    leave_behind(store, "x", b"1234", 4).write_bytes(b"12345")
    with store.begin("x", 4, KEY) as partial:
        assert partial.size == 0


@pytest.mark.parametrize("other", ["name", "size", "key", "scope"])
def test_another_transfer_resumes_nothing(store: Store, other: str) -> None:
    leave_behind(store, "x", b"1234", 8)
    with store.begin(
        "y" if other == "name" else "x",
        9 if other == "size" else 8,
        KEY[::-1] if other == "key" else KEY,
        scope=b"other" if other == "scope" else b"",
    ) as partial:
        assert partial.size == 0
    with store.begin("x", 8, KEY) as partial:
        assert partial.size == 4


def test_names_too_long_for_more(store: Store, root: Path) -> None:
    names = ["é" * 120 + "x" * (15 - 2 * end) + "é"[:end] for end in (0, 1)]
    for name in names:
        leave_behind(store, name, name.encode()[-1:], 2)
    for name in names:
        with store.begin(name, 2, KEY) as partial:
            assert partial.hash_prefix() == sha256(name.encode()[-1:])
            partial.truncate(0)
            partial.write(b"ok")
            partial.finish(sha256(b"ok"))
    assert content(root) == dict.fromkeys(names, b"ok")


def test_reading_the_beginning_can_be_stopped_and_goes_on(store: Store, root: Path) -> None:
    """Whoever leaves in the middle again and again has nothing read twice."""
    data = os.urandom((5 << 20) // 2)
    leave_behind(store, "x", data[:-1], len(data))
    store = Store(root, keep_free=0)
    seen: list[int] = []

    def stop(done: int) -> None:
        seen.append(done)
        if done > 1 << 20:
            raise ConnectionResetError  # as when the connection is gone meanwhile

    with store.begin("x", len(data), KEY) as partial:
        with pytest.raises(ConnectionResetError):
            partial.hash_prefix(stop)
        assert seen == [1 << 20, 2 << 20]
        assert partial.hash_prefix(seen.append) == sha256(data[:-1])
        assert seen[2:] == [len(data) - 1]
        partial.hash_prefix(stop)  # reads nothing again
    with store.begin("x", len(data), KEY) as partial:
        assert partial.hash_prefix(stop) == sha256(data[:-1])
        assert store.memory.hashed == len(data) - 1
        partial.write(data[-1:])
        partial.finish(sha256(data))
    assert content(root) == {"x": data}


@pytest.mark.parametrize("digest", [1, 2])
def test_what_came_is_not_read_again_to_be_resumed(store: Store, root: Path, digest: int) -> None:
    if digest not in available():
        pytest.skip("needs blake3")
    data = os.urandom(5 << 20)
    for end in (2 << 20, 4 << 20):
        with store.begin("x", len(data), KEY, algorithm=digest) as partial:
            assert partial.hash_prefix() == hash_of(data[: partial.size], digest)
            partial.write(data[partial.size : end])
    with store.begin("x", len(data), KEY, algorithm=digest) as partial:
        partial.write(data[4 << 20 :])
        partial.finish(hash_of(data, digest))
    assert store.memory.hashed == 0
    assert content(root) == {"x": data}


def test_what_another_one_wrote_meanwhile_is_read(store: Store, root: Path) -> None:
    """Even right after the last write, and as much as there was: it has another time then."""
    for _ in range(20):
        path = leave_behind(store, "x", b"data", 8)
        with path.open("r+b") as file:
            file.write(b"atad")
        with store.begin("x", 8, KEY) as partial:
            assert partial.hash_prefix() == sha256(b"atad")
            partial.abort(keep=False)


@posix_only
def test_what_came_dates_a_partial_file_and_an_offer_alone_does_not(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that is finer than that of many file systems."""
    dated: list[str] = []
    hooked(monkeypatch, ["utime"], dated.append)
    path = leave_behind(store, "x", b"data", 8)
    assert dated == ["utime"]
    monkeypatch.undo()
    os.utime(path, (1e9, 1e9))
    with store.begin("x", 8, KEY) as partial:
        partial.hash_prefix()
    assert path.stat().st_mtime == 1e9


@posix_only
def test_the_partial_file_is_on_the_file_system_of_the_file(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing moves from one to another: it is at the top of what is mounted there."""
    (root / "a" / "mounted" / "b").mkdir(parents=True)
    mounted = root / "a" / "mounted"
    monkeypatch.setattr(Folder, "device", lambda folder: folder.path.is_relative_to(mounted))
    for name, above in (("x", root), ("a/b/x", root), ("a/mounted/b/c/x", mounted)):
        assert leave_behind(store, name, b"x", 4).parent == above
        receive(store, name)
    assert not list(root.rglob("*.part"))


def test_what_was_not_begun_leaves_nothing_behind(store: Store, root: Path) -> None:
    with store.begin("x", 8, KEY):
        assert len(content(root)) == 1
    assert content(root) == {}


def test_aborted_for_good(store: Store, root: Path) -> None:
    with store.begin("x", 8, KEY) as partial:
        partial.write(b"1234")
        partial.abort(keep=False)
        partial.abort()
    assert content(root) == {}


# Writing


def test_more_than_announced(store: Store, root: Path) -> None:
    with store.begin("x", 4, KEY) as partial:
        partial.write(b"123")
        with refused(FileRefusal.SIZE):
            partial.write(b"45")
        assert partial.size == 3
        partial.write(b"4")
        partial.write(b"")
        partial.finish(sha256(b"1234"))
    assert content(root) == {"x": b"1234"}


def test_less_than_announced(store: Store, root: Path) -> None:
    with store.begin("x", 4, KEY) as partial:
        partial.write(b"123")
        with refused(FileRefusal.SIZE) as caught:
            partial.finish(sha256(b"123"))
        assert "1 bytes of 4 are missing" in str(caught.value)
        partial.write(b"4")
        partial.finish(sha256(b"1234"))
    assert content(root) == {"x": b"1234"}


def test_any_buffer(store: Store, root: Path) -> None:
    with store.begin("x", 8, KEY) as partial:
        partial.write(bytearray(b"12"))
        partial.write(memoryview(b"34"))
        partial.write(memoryview(b"5678").cast("I"))
        partial.finish(sha256(b"12345678"))
    assert content(root) == {"x": b"12345678"}


def test_the_system_writes_less_each_time(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    with store.begin("x", len(DATA), KEY) as partial, monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:1000]))
        partial.write(DATA)
        partial.finish(sha256(DATA))
    assert content(root) == {"x": DATA}


@posix_only
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, FileRefusal.DISK_FULL),
        (errno.EDQUOT, FileRefusal.DISK_FULL),
        (errno.EIO, FileRefusal.IO),
        (errno.EFBIG, FileRefusal.TOO_LARGE),
    ],
)
def test_the_disk_fails_in_the_middle_of_a_write_and_it_goes_on(
    store: Store,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    code: FileRefusal,
) -> None:
    real = os.write
    calls = []

    def write(descriptor: int, data: memoryview) -> int:
        calls.append(data)
        if len(calls) == 1:
            return real(descriptor, data[:1000])
        raise OSError(number, os.strerror(number))

    with store.begin("x", len(DATA), KEY) as partial:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", write)
            with refused(code):
                partial.write(DATA)
        assert partial.size == 1000
        partial.write(DATA[1000:])
        partial.finish(sha256(DATA))
    assert content(root) == {"x": DATA}


# Finishing


def test_another_digest(store: Store, root: Path) -> None:
    with store.begin("x", 4, KEY) as partial:
        partial.write(b"1234")
        with refused(FileRefusal.DIGEST):
            partial.finish(sha256(b"1235"))
        with pytest.raises(ValueError, match="over"):
            partial.write(b"")
    assert content(root) == {}
    assert store.quota.bytes == 0


def test_a_beginning_that_changed_on_the_disk_is_noticed(store: Store, root: Path) -> None:
    leave_behind(store, "x", b"12", 4).write_bytes(b"!2")
    with store.begin("x", 4, KEY) as partial:
        partial.write(b"34")
        with refused(FileRefusal.DIGEST):
            partial.finish(sha256(b"1234"))
    assert content(root) == {}


@pytest.mark.parametrize("algorithm", available())
def test_each_digest(store: Store, root: Path, algorithm: Algorithm) -> None:
    whole = digests.new(algorithm)
    whole.update(DATA)
    for data in (DATA[:1000], DATA):
        with store.begin("x", len(DATA), KEY, algorithm=algorithm) as partial:
            partial.hash_prefix()
            partial.write(data[partial.size :])
            if len(data) == len(DATA):
                partial.finish(whole.digest())
    assert content(root) == {"x": DATA}


def test_an_empty_file(store: Store, root: Path) -> None:
    with store.begin("x", 0, KEY) as partial:
        partial.finish(sha256(b""))
    assert content(root) == {"x": b""}


@posix_only
@pytest.mark.parametrize(
    ("mode", "mask", "of_file", "of_directory"),
    [
        (None, 0o022, 0o600, 0o700),
        (0o644, 0o022, 0o644, 0o755),
        (0o640, 0o022, 0o640, 0o750),
        (0o666, 0o002, 0o664, 0o775),
        (0o666, 0o077, 0o600, 0o700),
    ],
)
def test_permissions(
    tmp_path: Path, mode: int | None, mask: int, of_file: int, of_directory: int
) -> None:
    """Nobody but the owner may read what came, unless the program says so: what they were at the
    sender is not known here."""
    old = os.umask(mask)
    root = tmp_path / "new"
    try:
        store = Store(root, keep_free=0) if mode is None else Store(root, mode=mode, keep_free=0)
        with store.begin("d/x", 4, KEY) as partial:
            (waiting,) = (path for path in root.rglob("*") if path.is_file())
            assert stat.S_IMODE(waiting.stat().st_mode) == 0o600
            partial.write(b"1234")
            path = partial.finish(sha256(b"1234"))
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == of_file
    for directory in (root, root / "d"):
        assert stat.S_IMODE(directory.stat().st_mode) == of_directory


@posix_only
def test_the_umask_where_the_system_does_not_tell_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise FileNotFoundError

    old = os.umask(0o027)
    try:
        monkeypatch.setattr(Path, "read_text", refuse)
        path = receive(Store(root, mode=0o666, keep_free=0), "x")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@posix_only
def test_the_name_never_shows_less_than_the_whole_file_on_the_disk(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at before each call of the system; the data is synced before, the name after."""
    steps: list[str] = []

    def look(call: str) -> None:
        path = root / "x"
        there = os.path.lexists(path)
        steps.append(call if not there else f"{call} named")
        assert not there or path.read_bytes() == DATA

    hooked(monkeypatch, ["write", "fsync", "link", "unlink", "open", "fchmod"], look)
    receive(store, "x", DATA)
    monkeypatch.undo()
    end = ["fsync", "open", "fchmod", "link", "unlink named", "fsync named"]
    assert steps[-len(end) :] == end
    assert content(root) == {"x": DATA}


@posix_only
@pytest.mark.parametrize("there", [False, True])
def test_a_file_system_without_hard_links(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    with store.begin("x", 4, KEY) as partial:
        partial.write(b"1234")
        monkeypatch.setattr(os, "link", refuse)
        if there:
            (root / "x").write_bytes(b"theirs")
            with refused(FileRefusal.EXISTS):
                partial.finish(sha256(b"1234"))
        else:
            partial.finish(sha256(b"1234"))
    assert content(root) == {"x": b"theirs" if there else b"1234"}


@posix_only
def test_a_file_system_that_cannot_do_it_at_all(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    with store.begin("x", 4, KEY) as partial:
        partial.write(b"1234")
        with monkeypatch.context() as patch:
            patch.setattr(os, "link", refuse)
            patch.setattr("sealframe.files.renaming._CALLS", {})
            with refused(FileRefusal.NOT_SUPPORTED):
                partial.finish(sha256(b"1234"))
        partial.finish(sha256(b"1234"))
    assert content(root) == {"x": b"1234"}


@posix_only
def test_what_could_not_be_synced_is_not_resumed(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may have dropped it from memory, and says so once."""

    def refuse(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with store.begin("x", 4, KEY) as partial:
        partial.write(b"1234")
        monkeypatch.setattr(os, "fsync", refuse)
        with refused(FileRefusal.IO):
            partial.finish(sha256(b"1234"))
    assert content(root) == {}


@posix_only
def test_somebody_replaced_the_partial_file(store: Store, root: Path, outside: Path) -> None:
    (outside / "secret").write_bytes(b"secret")
    with store.begin("x", 4, KEY) as partial:
        partial.write(b"1234")
        (waiting,) = root.iterdir()
        waiting.unlink()
        waiting.symlink_to(outside / "secret")
        with refused(FileRefusal.IO):
            partial.finish(sha256(b"1234"))
        partial.abort(keep=False)
    assert list(root.iterdir()) == [waiting]


@posix_only
def test_somebody_replaces_it_right_before_it_gets_its_name(
    store: Store, root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may write there can have any name; but no file elsewhere gets a second one."""
    secret = outside / "secret"
    secret.write_bytes(b"secret")

    def replace(_: str) -> None:
        (waiting,) = root.iterdir()
        waiting.unlink()
        waiting.symlink_to(secret)

    with store.begin("x", 4, KEY) as partial:
        partial.write(b"1234")
        with monkeypatch.context() as patch:
            hooked(patch, ["link"], replace)
            partial.finish(sha256(b"1234"))
    assert secret.stat().st_nlink == 1
    assert (root / "x").is_symlink()


@posix_only
def test_a_crash_right_after_publishing_harms_the_file_never_more(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both names are there: nothing may be written through the old one any more."""
    waiting = leave_behind(store, "x", b"1234", 8)
    (root / "moved").hardlink_to(waiting)
    with store.begin("x", 8, KEY) as partial:
        assert partial.size == 0
        partial.write(b"abcdefgh")
        partial.finish(sha256(b"abcdefgh"))
    assert content(root) == {"moved": b"1234", "x": b"abcdefgh"}


def test_over_is_over(store: Store) -> None:
    partial = store.begin("x", 4, KEY)
    partial.write(b"1234")
    partial.finish(sha256(b"1234"))
    partial.abort(keep=False)
    for call in (partial.hash_prefix, lambda: partial.truncate(0), lambda: partial.write(b"")):
        with pytest.raises(ValueError, match="this transfer is over"):
            call()
    with pytest.raises(ValueError, match="this transfer is over"):
        partial.finish(sha256(b"1234"))
    assert (store.directory / "x").read_bytes() == b"1234"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="cannot count descriptors here")
def test_no_descriptor_is_left_open(store: Store, root: Path) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = count()
    receive(store, "a/b/x")
    leave_behind(store, "a/y", b"1", 2)
    for name in ("a/b/x", "a/b/x/y", "a/y/.."):
        with pytest.raises(FileRefusedError):
            receive(store, name)
    with store.begin("z", 4, KEY), refused(FileRefusal.BUSY):
        store.begin("z", 4, KEY)
    store.make_directory("c")
    store.clean(0)
    assert count() == before
