"""New files are there for good, and other programs that use them are waited for."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sealframe.errors import KeyFileError
from sealframe.trust import disk, keylist
from sealframe.trust.keys import SharedKey

posix_only = pytest.mark.skipif(os.name != "posix", reason="folders cannot be synced here")


def make_key(path: Path) -> None:
    SharedKey(bytes(32)).save(path)


def extend_list(path: Path) -> None:
    keylist.extend(str(path), lambda _: "two 2", comment="ours")


writers = pytest.mark.parametrize("write", [make_key, extend_list])


@posix_only
@writers
def test_the_name_of_a_new_file_is_on_the_disk_too(
    tmp_path: Path, write: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new"
    real = os.fsync
    synced: list[tuple[bool, bool]] = []

    def note(descriptor: int) -> None:
        real(descriptor)
        status = os.fstat(descriptor)
        is_folder = os.path.samestat(status, tmp_path.stat())
        synced.append((is_folder, path.exists() and path.stat().st_size > 0))
        assert is_folder or stat.S_ISREG(status.st_mode)

    monkeypatch.setattr(os, "fsync", note)
    write(path)
    assert [is_folder for is_folder, _ in synced] == [False, True]
    assert synced[-1] == (True, True)


@posix_only
@writers
def test_a_file_system_that_syncs_no_folders_will_do(
    tmp_path: Path, write: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync
    refused = []

    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            refused.append(descriptor)
            raise OSError(22, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    write(tmp_path / "new")
    assert len(refused) == 1
    assert (tmp_path / "new").stat().st_size > 0


class Busy:
    """Stands before a call that fails some times as if another program used the file."""

    def __init__(self, real: Callable[..., object], path: Path, failures: float) -> None:
        self.real = real
        self.path = path
        self.failures = failures
        self.calls = 0

    def __call__(self, *args: object, **kwargs: object) -> object:
        if str(self.path) in map(str, args):
            self.calls += 1
            if self.calls <= self.failures:
                raise PermissionError(13, "Permission denied")
        return self.real(*args, **kwargs)


def busy_open(monkeypatch: pytest.MonkeyPatch, path: Path, failures: float) -> Busy:
    busy = Busy(os.open, path, failures)
    monkeypatch.setattr(os, "open", busy)
    return busy


def busy_replace(monkeypatch: pytest.MonkeyPatch, path: Path, failures: float) -> Busy:
    busy = Busy(Path.replace, path, failures)

    def replace(source: Path, target: Path) -> object:
        return busy(source, target)

    monkeypatch.setattr(Path, "replace", replace)
    return busy


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "list"
    path.write_text("one 1\n")
    path.chmod(0o600)
    return path


def lines(path: Path) -> list[list[str]]:
    return [line.words for line in keylist.read(str(path)).lines()]


def test_a_file_that_another_program_uses_is_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "_SHARING_VIOLATIONS", True)
    with monkeypatch.context() as patches:
        busy = busy_replace(patches, path, failures=3)
        extend_list(path)
        assert busy.calls == 4
    with monkeypatch.context() as patches:
        busy = busy_open(patches, path, failures=3)
        assert lines(path) == [["one", "1"], ["two", "2"]]
        assert busy.calls == 4


def test_the_waiting_has_an_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_SHARING_VIOLATIONS", True)
    monkeypatch.setattr(disk, "_PATIENCE", 0.05)
    with monkeypatch.context() as patches:
        busy_replace(patches, path, failures=float("inf"))
        with pytest.raises(KeyFileError, match=r"cannot write .*: Permission denied"):
            extend_list(path)
    with monkeypatch.context() as patches:
        busy_open(patches, path, failures=float("inf"))
        with pytest.raises(KeyFileError, match=r"cannot read .*: Permission denied"):
            lines(path)
    assert lines(path) == [["one", "1"]]


def test_what_no_waiting_helps_is_refused_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(_: float) -> None:
        raise AssertionError("it waits")

    monkeypatch.setattr(time, "sleep", sleep)
    with monkeypatch.context() as patches:
        patches.setattr(disk, "_SHARING_VIOLATIONS", True)
        busy_open(patches, path.parent, failures=1)
        with pytest.raises(KeyFileError, match=r"cannot read .*: Is a directory"):
            lines(path.parent)
    with monkeypatch.context() as patches:
        patches.setattr(disk, "_SHARING_VIOLATIONS", False)
        busy_open(patches, path, failures=1)
        with pytest.raises(KeyFileError, match=r"cannot read .*: Permission denied"):
            lines(path)
