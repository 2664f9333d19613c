"""Several programs on one directory, and programs that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sealframe.files.locking import try_lock
from sealframe.files.store import Store
from sealframe.wire import FileRefusal

from .receiving import KEY, content, descriptors_of, posix_only, refused, sha256
from .writer import CHUNK

WRITER = Path(__file__).with_name("writer.py")
TOTAL = 10 * len(CHUNK)


class Writer:
    """Another program that receives, one step at a time."""

    def __init__(self, root: Path, *limit: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", START, str(WRITER), str(root), "x", str(TOTAL)]
            + [str(size) for size in limit],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def answer(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def step(self, line: str = "write") -> list[str]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.answer()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


# The modules are those that run here, wherever they come from.
START = f"""
import runpy, sys
sys.path[:0] = {[path for path in sys.path if path]!r}
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def start(root: Path) -> Iterator[Callable[..., Writer]]:
    writers = []

    def begin(*limit: int) -> Writer:
        writers.append(Writer(root, *limit))
        return writers[-1]

    yield begin
    for writer in writers:
        writer.kill()


def test_a_program_is_killed_and_the_next_one_goes_on(
    start: Callable[[], Writer], store: Store, root: Path
) -> None:
    first = start()
    assert first.answer() == ["begun", "0"]
    for number in range(1, 4):
        assert first.step() == ["written", str(number * len(CHUNK))]
    assert "x" not in content(root)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()

    second = start()
    assert second.answer() == ["begun", str(3 * len(CHUNK))]
    second.step()
    second.kill()

    with store.begin("x", TOTAL, KEY) as partial:
        assert partial.size == 4 * len(CHUNK)
        assert partial.hash_prefix() == sha256(CHUNK * 4)
        for _ in range(6):
            partial.write(CHUNK)
        partial.finish(sha256(CHUNK * 10))
    assert content(root) == {"x": CHUNK * 10}


def test_two_programs_never_write_to_one_file(
    start: Callable[[], Writer], store: Store, root: Path
) -> None:
    first = start()
    assert first.answer() == ["begun", "0"]
    first.step()
    second = start()
    assert second.answer() == ["refused", str(int(FileRefusal.BUSY))]
    with refused(FileRefusal.BUSY):
        store.begin("x", TOTAL, KEY)
    assert store.clean(-1) == 0
    for _ in range(9):
        first.step()
    assert first.step("finish") == ["finished"]
    assert content(root) == {"x": CHUNK * 10}
    assert start().answer() == ["refused", str(int(FileRefusal.EXISTS))]


def test_two_stores_of_one_program_never_write_to_one_file(store: Store, root: Path) -> None:
    with store.begin("x", TOTAL, KEY) as partial:
        partial.write(CHUNK)
        for other in (store, Store(root, keep_free=0)):
            with refused(FileRefusal.BUSY):
                other.begin("x", TOTAL, KEY)
        assert partial.size == len(CHUNK)
    Store(root, keep_free=0).begin("x", TOTAL, KEY).abort()


@posix_only
@pytest.mark.parametrize("keep", [False, True])
def test_the_other_one_ends_right_before_the_lock(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch, keep: bool
) -> None:
    """What was opened may have lost its name by then."""
    first = store.begin("x", TOTAL, KEY)
    first.write(CHUNK)

    def end_first(descriptor: int) -> bool:
        first.abort(keep=keep)
        return try_lock(descriptor)

    monkeypatch.setattr("sealframe.files.partial.try_lock", end_first)
    with Store(root, keep_free=0).begin("x", TOTAL, KEY) as second:
        assert second.size == (len(CHUNK) if keep else 0)
        while second.size < TOTAL:
            second.write(CHUNK)
        second.finish(sha256(CHUNK * 10))
    assert content(root) == {"x": CHUNK * 10}


@posix_only
def test_a_third_one_begins_right_before_the_lock(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is its by then, and stays its."""
    first = store.begin("x", TOTAL, KEY)
    thirds = []

    def begin_third(descriptor: int) -> bool:
        monkeypatch.undo()
        first.abort(keep=False)
        thirds.append(Store(root, keep_free=0).begin("x", TOTAL, KEY))
        return try_lock(descriptor)

    monkeypatch.setattr("sealframe.files.partial.try_lock", begin_third)
    with refused(FileRefusal.BUSY):
        Store(root, keep_free=0).begin("x", TOTAL, KEY)
    with thirds[0] as third:
        for _ in range(10):
            third.write(CHUNK)
        third.finish(sha256(CHUNK * 10))
    assert content(root) == {"x": CHUNK * 10}


@posix_only
def test_a_child_that_lives_on_keeps_no_file_locked(store: Store, root: Path) -> None:
    """It has a copy of the descriptor, and with it of the lock."""
    partial = store.begin("x", TOTAL, KEY)
    partial.write(CHUNK)
    (path,) = root.iterdir()
    with subprocess.Popen(
        [sys.executable, "-c", "input()"],
        stdin=subprocess.PIPE,
        pass_fds=descriptors_of(path),
    ) as child:
        partial.abort()
        store.begin("x", TOTAL, KEY).abort()
        assert child.poll() is None
        child.communicate(b"\n", timeout=60)


@posix_only
def test_files_may_not_grow_on(start: Callable[..., Writer], store: Store, root: Path) -> None:
    limit = len(CHUNK) * 5 // 2
    writer = start(limit)
    writer.answer()
    writer.step()
    writer.step()
    assert writer.step() == ["refused", str(int(FileRefusal.TOO_LARGE))]
    writer.process.wait()
    with store.begin("x", TOTAL, KEY) as partial:
        assert partial.size == limit
        assert partial.hash_prefix() == sha256((CHUNK * 3)[:limit])


@pytest.fixture
def small_disk(root: Path) -> Iterator[Path]:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "small", str(root)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"cannot mount a small disk here: {error}")
    yield root
    subprocess.run(["umount", "--lazy", str(root)], check=True)


def test_the_disk_is_full(small_disk: Path) -> None:
    store = Store(small_disk, keep_free=0)
    with refused(FileRefusal.DISK_FULL):
        store.begin("a/x", 2 << 20, KEY)
    assert content(small_disk) == {}
    data = os.urandom(1 << 20)
    with store.begin("x", 1 << 20, KEY) as partial:
        (small_disk / "theirs").write_bytes(bytes(1 << 19))
        with refused(FileRefusal.DISK_FULL):
            partial.write(data)
        assert 0 < partial.size <= 1 << 19
        (small_disk / "theirs").unlink()
        partial.write(data[partial.size :])
        partial.finish(sha256(data))
    assert content(small_disk) == {"x": data}
    with refused(FileRefusal.DISK_FULL):
        store.begin("y", 1, KEY)
