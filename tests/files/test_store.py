"""What a store takes: limits, quotas, names that are there, and what is cleaned up."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sealframe.errors import ConfigurationError, FileRefusedError, FileTransferError, SealframeError
from sealframe.files.locking import try_lock
from sealframe.files.paths import is_partial
from sealframe.files.quota import Quota
from sealframe.files.store import Store
from sealframe.wire import FileRefusal

from .receiving import KEY, content, leave_behind, posix_only, receive, refused, sha256


def keys(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


# The directory


def test_the_directory_is_made_but_not_those_above(tmp_path: Path) -> None:
    receive(Store(tmp_path / "new", keep_free=0), "x")
    assert content(tmp_path) == {"new": None, "new/x": b"data"}
    with pytest.raises(ConfigurationError, match="no/new cannot receive files: No such file"):
        Store(tmp_path / "no" / "new")


def test_the_directory_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="file cannot receive files"):
        Store(tmp_path / "file")


def test_the_directory_stays_the_same_when_the_program_goes_elsewhere(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("received", keep_free=0)
    monkeypatch.chdir("/")
    assert receive(store, "x") == root / "x"


@posix_only
def test_the_directory_itself_may_be_a_link(tmp_path: Path, root: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    receive(Store(tmp_path / "link", keep_free=0), "a/x")
    assert content(root) == {"a": None, "a/x": b"data"}


@pytest.mark.parametrize("limit", ["max_file_size", "max_total", "max_files", "keep_free"])
def test_negative_limits(root: Path, limit: str) -> None:
    limits: dict[str, Any] = {limit: -1}
    with pytest.raises(ConfigurationError, match=f"{limit} must not be negative, but is -1"):
        Store(root, **limits)


def test_every_refusal_is_one_of_ours() -> None:
    error = FileRefusedError(FileRefusal.BUSY, "taken")
    assert isinstance(error, FileTransferError)
    assert isinstance(error, SealframeError)
    assert str(error) == "taken"
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.code, copy.reason) == (FileRefusedError, FileRefusal.BUSY, "taken")


# What is there


def test_directories_are_made(store: Store, root: Path) -> None:
    assert receive(store, "a/b/x") == root / "a" / "b" / "x"
    assert store.make_directory("a/c/d") == root / "a" / "c" / "d"
    assert store.make_directory("a/c") == root / "a" / "c"
    assert content(root) == {
        "a": None,
        "a/b": None,
        "a/b/x": b"data",
        "a/c": None,
        "a/c/d": None,
    }


@posix_only
def test_the_names_of_new_directories_are_on_the_disk(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync
    synced = []

    def note(descriptor: int) -> None:
        real(descriptor)
        synced.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", note)
    store.make_directory("a/b")
    assert synced == [root.stat().st_ino, (root / "a").stat().st_ino]


def test_a_file_that_is_there_is_not_overwritten(store: Store, root: Path) -> None:
    receive(store, "x", b"first")
    for data in (b"first", b"second"):
        with refused(FileRefusal.EXISTS):
            store.begin("x", len(data), KEY)
    assert content(root) == {"x": b"first"}


def test_a_file_that_comes_meanwhile_is_not_overwritten(store: Store, root: Path) -> None:
    with store.begin("x", 4, KEY) as partial:
        partial.write(b"data")
        (root / "x").write_bytes(b"theirs")
        with refused(FileRefusal.EXISTS):
            partial.finish(sha256(b"data"))
    assert content(root) == {"x": b"theirs"}
    assert store.quota.files == store.quota.bytes == 0


def test_two_transfers_of_one_name_one_of_which_wins(store: Store, root: Path) -> None:
    with store.begin("x", 3, keys(1)) as first, store.begin("x", 3, keys(2)) as second:
        first.write(b"one")
        second.write(b"two")
        second.finish(sha256(b"two"))
        with refused(FileRefusal.EXISTS):
            first.finish(sha256(b"one"))
    assert content(root) == {"x": b"two"}


def test_overwriting(root: Path) -> None:
    store = Store(root, overwrite=True, keep_free=0)
    receive(store, "x", b"first")
    with (root / "x").open("rb") as old:
        receive(store, "x", b"second")
        assert old.read() == b"first"
    assert content(root) == {"x": b"second"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_directories_and_files_are_not_taken_for_each_other(root: Path, overwrite: bool) -> None:
    store = Store(root, overwrite=overwrite, keep_free=0)
    store.make_directory("directory")
    receive(store, "file")
    before = content(root)
    with refused(FileRefusal.EXISTS):
        store.begin("directory", 4, KEY)
    for name in ("file/x", "file/x/y"):
        with refused(FileRefusal.NAME):
            store.begin(name, 4, KEY)
    with refused(FileRefusal.NAME):
        store.make_directory("file")
    assert content(root) == before


def test_a_directory_comes_meanwhile(root: Path) -> None:
    with Store(root, overwrite=True, keep_free=0).begin("x", 4, KEY) as partial:
        partial.write(b"data")
        (root / "x").mkdir()
        with refused(FileRefusal.EXISTS):
            partial.finish(sha256(b"data"))
    assert content(root) == {"x": None}


# Limits


def test_the_largest_file(root: Path) -> None:
    store = Store(root, max_file_size=4, keep_free=0)
    receive(store, "a/x")
    with refused(FileRefusal.TOO_LARGE):
        store.begin("b/y", 5, KEY)
    assert content(root) == {"a": None, "a/x": b"data"}


def test_bytes_in_all(root: Path) -> None:
    store = Store(root, max_total=10, keep_free=0)
    receive(store, "x")
    with store.begin("y", 6, keys(1)):
        with refused(FileRefusal.QUOTA):
            store.begin("b/z", 1, keys(2))
    receive(store, "z", b"123456")
    assert store.quota.bytes == 10
    with refused(FileRefusal.QUOTA):
        store.begin("b/z", 1, keys(3))
    receive(store, "empty", b"")
    assert set(content(root)) == {"x", "z", "empty"}


def test_files_in_all(root: Path) -> None:
    store = Store(root, max_files=2, keep_free=0)
    receive(store, "x")
    with store.begin("y", 6, keys(1)), refused(FileRefusal.QUOTA):
        store.begin("z", 1, keys(2))
    receive(store, "z")
    with refused(FileRefusal.QUOTA):
        store.begin("y", 1, keys(3))
    with refused(FileRefusal.QUOTA):
        store.make_directory("a")
    assert set(content(root)) == {"x", "z"}


def test_directories_count_once_and_for_good(root: Path) -> None:
    store = Store(root, max_files=4, keep_free=0)
    for name in ("a", "a/b", "a/b"):
        store.make_directory(name)
    assert store.quota.files == 2
    with store.begin("a/b/c/x", 4, KEY):
        assert store.quota.files == 3
    assert store.quota.files == 2
    receive(store, "a/b/x")
    assert store.quota.files == 3
    with refused(FileRefusal.QUOTA):
        store.begin("d/x", 4, KEY)
    with refused(FileRefusal.QUOTA):
        store.begin("d/e/x", 4, KEY)
    assert (store.quota.files, store.quota.bytes) == (3, 4)
    assert "d" not in content(root)


def test_directories_are_made_for_what_has_arrived_alone(root: Path) -> None:
    """Else an offer of some bytes makes 31 of them, and leaves them behind."""
    store = Store(root, max_files=33, keep_free=0)
    name = "/".join([*["d"] * 31, "x"])
    with store.begin(name, 4, KEY):
        assert [is_partial(path.name) for path in root.rglob("*")] == [True]
    assert content(root) == {}
    partial = leave_behind(store, name, b"da", 4)
    assert list(root.rglob("*")) == [partial]
    for taken in ("a", "b"):
        receive(store, taken)
    with refused(FileRefusal.QUOTA):
        store.begin(name, 4, KEY)
    (root / "d").mkdir()
    receive(store, name)
    assert store.quota.files == 33
    assert not partial.exists()


def test_directories_that_others_had_made_meanwhile_are_refused_at_the_end(root: Path) -> None:
    """They count when they are made: what came is kept, and may be sent on elsewhere."""
    store = Store(root, max_files=3, keep_free=0)
    with store.begin("a/x", 4, KEY) as partial:
        partial.write(b"data")
        for name in "bc":
            store.make_directory(name)
        with refused(FileRefusal.QUOTA):
            partial.finish(sha256(b"data"))
    assert store.quota.files == 3
    assert [is_partial(name) for name in content(root)] == [True, False, False]


def test_what_waits_to_be_resumed_counts(root: Path) -> None:
    """Else somebody who breaks off every time fills the disk."""
    store = Store(root, max_total=10, max_files=2, keep_free=0)
    leave_behind(store, "x", b"12345", 8)
    assert (store.quota.files, store.quota.bytes) == (1, 5)
    with refused(FileRefusal.QUOTA):
        store.begin("y", 6, keys(1))
    with store.begin("x", 8, KEY) as partial:
        assert (store.quota.files, store.quota.bytes) == (1, 8)
        with refused(FileRefusal.BUSY):
            store.begin("x", 8, KEY)
        partial.abort(keep=False)
    assert (store.quota.files, store.quota.bytes) == (0, 0)
    leave_behind(store, "x", b"12345", 8)
    receive(store, "x", b"12345678")
    assert (store.quota.files, store.quota.bytes) == (1, 8)


def test_a_resumption_that_is_refused_leaves_the_count_as_it_was(root: Path) -> None:
    store = Store(root, max_total=10, max_files=3, keep_free=0)
    leave_behind(store, "x", b"123", 8)
    receive(store, "y", b"12345")
    with refused(FileRefusal.QUOTA):
        store.begin("x", 8, KEY)
    assert (store.quota.files, store.quota.bytes) == (2, 8)
    (root / "y").unlink()
    store = Store(root, max_total=10, max_files=3, keep_free=0)
    leave_behind(store, "y", b"123", 8)
    with Store(root, keep_free=0).begin("y", 8, KEY), refused(FileRefusal.BUSY):
        store.begin("y", 8, KEY)
    assert (store.quota.files, store.quota.bytes) == (1, 3)


def test_many_threads_share_a_quota(root: Path) -> None:
    store = Store(root, max_total=40, max_files=10, keep_free=0)
    start = threading.Barrier(8)

    def work(worker: int) -> int:
        start.wait()
        done = 0
        for number in range(20):
            try:
                receive(store, f"{worker}-{number}", key=keys(number))
                done += 1
            except FileRefusedError as error:
                assert error.code == FileRefusal.QUOTA  # noqa: PT017
        return done

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 10
    assert len(content(root)) == 10
    assert (store.quota.files, store.quota.bytes) == (10, 40)


class Space(NamedTuple):
    f_bavail: int
    f_frsize: int
    f_blocks: int


def test_what_is_there_already_needs_no_room() -> None:
    quota = Quota(None, None)
    quota.reserve("x", 70, there=10, room=60)
    with refused(FileRefusal.DISK_FULL):
        quota.reserve("y", 1, there=0, room=60)
    quota.reserve("y", 1, there=0, room=61)


@posix_only
def test_some_of_the_disk_stays_free(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For all that is coming, less what is there of it."""
    monkeypatch.setattr(os, "fstatvfs", lambda _: Space(10, 10, 1000))
    store = Store(root, keep_free=30)
    with refused(FileRefusal.DISK_FULL):
        store.begin("a/x", 71, KEY)
    with store.begin("x", 70, keys(1)) as first:
        with refused(FileRefusal.DISK_FULL):
            store.begin("y", 1, keys(2))
        first.write(bytes(20))
        second = store.begin("y", 20, keys(2))
        with refused(FileRefusal.DISK_FULL):
            store.begin("z", 1, keys(3))
        second.abort()
        first.truncate(10)
        with refused(FileRefusal.DISK_FULL):
            store.begin("y", 11, keys(2))
    with store.begin("x", 70, keys(1)) as first:
        assert first.size == 10
        store.begin("y", 10, keys(2)).abort()
    assert [is_partial(name) for name in content(root)] == [True]


@posix_only
def test_a_file_system_that_does_not_tell_its_size(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fstatvfs", lambda _: Space(0, 0, 0))
    receive(Store(root), "x")


# Cleaning


def age(path: Path, seconds: float) -> None:
    when = path.stat().st_mtime - seconds
    os.utime(path, (when, when))


def test_old_partial_files_are_removed_and_nothing_else(store: Store, root: Path) -> None:
    receive(store, "a/kept")
    (root / "a" / "other.part").touch()
    old = leave_behind(store, "a/b/old", b"old", 8)
    used = leave_behind(store, "used", b"used", 8)
    new = leave_behind(store, "new", b"new", 8)
    for path in (old, used, root / "a" / "kept", root / "a" / "other.part"):
        age(path, 100)
    with store.begin("used", 8, KEY):
        assert store.clean(50) == 1
    assert [path for path in (old, used, new) if path.exists()] == [used, new]
    assert store.quota.bytes == 4 + 4 + 3
    assert store.clean(50) == 1
    assert store.clean(-1) == 1
    assert {"a/kept", "a/other.part"} <= content(root).keys()
    assert (store.quota.files, store.quota.bytes) == (2, 4)


@posix_only
def test_cleaning_follows_no_links(store: Store, root: Path, outside: Path) -> None:
    name = leave_behind(store, "x", b"x", 8).rename(outside / ".x.0123456789abcdef.part").name
    (root / "link").symlink_to(outside)
    (root / name).symlink_to(outside / name)
    (root / name.replace("x", "y")).mkdir()
    os.mkfifo(root / name.replace("x", "z"))
    assert store.clean(-1) == 0
    assert content(outside) == {name: b"x"}


def test_cleaning_costs_no_more_than_allowed(store: Store, root: Path) -> None:
    for number in range(10):
        leave_behind(store, f"{number % 3}/{number}", b"x", 8, keys(number))
    removed = store.clean(-1, most=5)
    assert 0 < removed <= 5
    assert store.clean(-1) == 10 - removed


def test_what_was_resumed_meanwhile_is_not_removed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = leave_behind(store, "x", b"x", 8)
    age(path, 100)

    def resume_first(descriptor: int) -> bool:
        with store.begin("x", 8, KEY) as partial:
            partial.write(b"y")
        return try_lock(descriptor)

    monkeypatch.setattr("sealframe.files.store.try_lock", resume_first)
    assert store.clean(50) == 0
    assert path.read_bytes() == b"xy"


def test_nothing_is_there_to_clean(store: Store, root: Path) -> None:
    root.rmdir()
    assert store.clean(0) == 0
    with refused(FileRefusal.IO):
        store.begin("x", 1, KEY)


# The system refuses


@posix_only
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, FileRefusal.DISK_FULL),
        (errno.EDQUOT, FileRefusal.DISK_FULL),
        (errno.EROFS, FileRefusal.IO),
        (errno.EMFILE, FileRefusal.IO),
        (errno.EACCES, FileRefusal.IO),
        (errno.EILSEQ, FileRefusal.NAME),
        (errno.ENAMETOOLONG, FileRefusal.NAME),
    ],
)
@pytest.mark.parametrize("call", ["open", "mkdir"])
def test_the_system_refuses(
    store: Store, monkeypatch: pytest.MonkeyPatch, call: str, number: int, code: FileRefusal
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number), "/secret/path")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with refused(code) as caught:
            receive(store, "a/x")
    assert "secret" not in str(caught.value)
    assert os.strerror(number) in str(caught.value)
    # What has come is kept where only its directory cannot be made.
    assert (store.quota.files, store.quota.bytes) == ((1, 4) if call == "mkdir" else (0, 0))
    receive(store, "a/x")


def test_wrong_arguments(store: Store) -> None:
    with pytest.raises(ValueError, match="size must not be negative"):
        store.begin("x", -1, KEY)
    with refused(FileRefusal.NOT_SUPPORTED):
        store.begin("x", 1, KEY, algorithm=99)
