"""Nothing is written outside, whatever links are in the directory and whenever they come."""

from __future__ import annotations

import ctypes
import itertools
import os
import sys
import threading
from pathlib import Path

import pytest

from sealframe.errors import ConfigurationError, FileRefusedError, FileUnreadableError
from sealframe.files import Kind, walk
from sealframe.files.source import Source
from sealframe.files.store import Store
from sealframe.wire import FileRefusal

from .receiving import KEY, content, hooked, leave_behind, posix_only, receive, refused, sha256

pytestmark = posix_only

AT_FDCWD = -100
RENAME_EXCHANGE = 2
CALLS = ["open", "mkdir", "stat", "link", "unlink", "replace", "fstatvfs"]


@pytest.fixture(autouse=True)
def target(outside: Path) -> Path:
    (outside / "b").mkdir()
    (outside / "b" / "kept").write_bytes(b"kept")
    return outside


def test_a_directory_that_is_a_link_is_not_entered(store: Store, root: Path, outside: Path) -> None:
    (root / "a").symlink_to(outside)
    before = content(outside)
    for name in ("a/x", "a/b/x", "a/new/x"):
        with refused(FileRefusal.NAME):
            receive(store, name)
        with refused(FileRefusal.NAME):
            store.make_directory(name)
    with refused(FileRefusal.NAME):
        store.make_directory("a")
    assert content(outside) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_has_the_name_of_the_file(root: Path, outside: Path, overwrite: bool) -> None:
    """Links that lead nowhere are there too."""
    for name, target in (("x", outside / "b" / "kept"), ("y", outside / "new")):
        (root / name).symlink_to(target)
        with refused(FileRefusal.EXISTS):
            receive(Store(root, overwrite=overwrite, keep_free=0), name)
    assert content(outside) == {"b": None, "b/kept": b"kept"}


@pytest.mark.parametrize("planted", ["link", "dangling", "pipe", "second name", "other mode"])
def test_what_was_put_in_the_place_of_a_partial_file_is_not_written_to(
    store: Store, root: Path, outside: Path, planted: str
) -> None:
    path = leave_behind(store, "x", b"da", 4)
    kept = outside / "b" / "kept"
    path.unlink()
    if planted == "link":
        path.symlink_to(kept)
    elif planted == "dangling":
        path.symlink_to(outside / "new")
    elif planted == "pipe":
        os.mkfifo(path)
    elif planted == "second name":
        path.hardlink_to(kept)
    else:
        path.write_bytes(b"da")
        path.chmod(0o666)
    with store.begin("x", 4, KEY) as partial:
        assert partial.size == (2 if planted == "other mode" else 0)
        assert path.stat().st_mode & 0o777 == 0o600
        partial.truncate(0)
        partial.write(b"data")
        partial.finish(sha256(b"data"))
    assert content(root) == {"x": b"data"}
    assert content(outside) == {"b": None, "b/kept": b"kept"}


@pytest.mark.parametrize("planted", ["link", "dangling", "pipe"])
def test_something_is_put_there_right_before_the_partial_file_is_opened(
    store: Store, root: Path, outside: Path, planted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open
    opened = []

    def plant_first(path: str | Path, *args: int, **kw: int) -> int:
        if str(path).endswith(".part"):
            opened.append(path)
            if len(opened) == 1 and planted == "pipe":
                os.mkfifo(root / path)
            elif len(opened) == 1:
                (root / path).symlink_to(outside / ("b/kept" if planted == "link" else "new"))
        return real(path, *args, **kw)

    monkeypatch.setattr(os, "open", plant_first)
    receive(store, "x")
    assert len(opened) == 2
    assert content(root) == {"x": b"data"}
    assert content(outside) == {"b": None, "b/kept": b"kept"}


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away"
)
def test_another_users_partial_file_is_not_written_to(store: Store) -> None:
    path = leave_behind(store, "x", b"da", 4)
    os.chown(path, 1, -1)
    with store.begin("x", 4, KEY) as partial:
        assert partial.size == 0
        assert path.stat().st_uid == 0


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_directory_becomes_a_link_at_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    """Another thread swaps it right before one call of the system, for each of them."""
    main = threading.current_thread()
    for step in itertools.count():
        root = tmp_path / f"root{step}"
        outside = tmp_path / f"outside{step}"
        (root / "a" / "b").mkdir(parents=True)
        (outside / "b").mkdir(parents=True)
        (outside / "b" / "file").write_bytes(b"kept")
        before = content(outside)
        store = Store(root, overwrite=overwrite, keep_free=0)
        calls = itertools.count()
        swapped = False

        def swap(root: Path = root, outside: Path = outside) -> None:
            (root / "a").rename(root / "moved")
            (root / "a").symlink_to(outside)

        def at_step(_: str, step: int = step, calls: itertools.count[int] = calls) -> None:
            nonlocal swapped
            if not swapped and threading.current_thread() is main and next(calls) == step:
                swapped = True
                thread = threading.Thread(target=swap)
                thread.start()
                thread.join()

        with monkeypatch.context() as patch:
            hooked(patch, CALLS, at_step)
            try:
                receive(store, "a/b/file")
                done = True
            except FileRefusedError as error:
                assert error.code in {FileRefusal.NAME, FileRefusal.IO}  # noqa: PT017
                done = False
            try:
                store.make_directory("a/b/new")
            except FileRefusedError as error:
                assert error.code == FileRefusal.NAME  # noqa: PT017
        assert content(outside) == before
        if not swapped:
            assert done
            break
    assert step > 10


@pytest.mark.skipif(sys.platform != "linux", reason="swaps two names at once as Linux can")
def test_a_thread_swaps_all_the_time(store: Store, root: Path, outside: Path) -> None:
    """The directory is a link half of the time; both outcomes come, and no third."""
    (root / "a" / "b").mkdir(parents=True)
    (root / "link").symlink_to(outside)
    before = content(outside)
    swap = ctypes.CDLL(None, use_errno=True).renameat2
    names = os.fsencode(root / "a"), os.fsencode(root / "link")
    stop = threading.Event()
    failed: list[int] = []

    def swap_on() -> None:
        while not stop.is_set() and not failed:
            if swap(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) != 0:
                failed.append(ctypes.get_errno())

    thread = threading.Thread(target=swap_on)
    thread.start()
    outcomes: set[str | int] = set()
    try:
        for number in range(5000):
            try:
                receive(store, f"a/b/{number}")
                outcomes.add("received")
            except FileRefusedError as error:
                outcomes.add(error.code)
            if number >= 200 and len(outcomes) > 1:
                break
    finally:
        stop.set()
        thread.join()
    assert not failed
    assert content(outside) == before
    assert outcomes == {"received", FileRefusal.NAME}


def test_what_is_sent_of_a_directory_is_not_led_out_either(
    root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "kept").write_bytes(b"ours")
    for step in range(10):
        calls = itertools.count()

        def swap(_: str, calls: itertools.count[int] = calls, step: int = step) -> None:
            if next(calls) == step:
                os.rename(root / "a", root / "moved")  # noqa: PTH104
                os.symlink(outside, root / "a")  # noqa: PTH211

        with monkeypatch.context() as patch:
            hooked(patch, ["open", "stat"], swap)
            try:
                with Source("a/b/kept", below=root) as source:
                    assert source.read(10) == b"ours"
            except OSError as error:
                assert "cannot be sent" in str(error)  # noqa: PT017
        if (root / "moved").exists():
            (root / "a").unlink()
            (root / "moved").rename(root / "a")
    with Source("a/b/kept", below=root) as source:
        assert source.read(10) == b"ours"


def test_without_descriptors_of_directories(
    root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows: links that are there already are noticed."""
    monkeypatch.setattr("sealframe.files.folder._HAS_DESCRIPTORS", False)
    store = Store(root, keep_free=0)
    receive(store, "a/b/x")
    leave_behind(store, "a/y", b"1", 2)
    (root / "link").symlink_to(outside)
    (root / "file").touch()
    before = content(outside)
    for name in ("link/x", "link/b/x", "file/x"):
        with refused(FileRefusal.NAME):
            receive(store, name)
    assert store.clean(-1) == 1
    assert content(outside) == before
    found = [(entry.name, entry.kind) for entry in walk(root)]
    assert found == [("a/b/x", Kind.FILE), ("file", Kind.FILE), ("link", Kind.SKIPPED)]
    for name, reads in (("a/b/x", True), ("link/b/kept", False)):
        try:
            with Source(name, below=root) as source:
                assert source.read(9) == b"data"
        except FileUnreadableError:
            assert not reads
        else:
            assert reads
    with pytest.raises(ConfigurationError):
        Store(root / "file")
