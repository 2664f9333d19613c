"""Lists of keys as files: what counts as a line, whose they are, how they are extended."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import filelock
import pytest

from sealframe.errors import KeyFileError, KeyFormatError
from sealframe.trust import keylist
from sealframe.trust.keylist import KeyList

from .owners import give_away

posix_only = pytest.mark.skipif(
    os.name != "posix", reason="files here have access lists instead of a mode"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return put(tmp_path / "list", "# ours\none 1\n")


def put(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    path.chmod(0o600)
    return path


def add(path: Path, line: str) -> None:
    keylist.extend(str(path), lambda _: line, comment="a new list")


def words(path: Path) -> list[list[str]]:
    return [line.words for line in keylist.read(str(path)).lines()]


# Lines


@pytest.mark.parametrize("end", list("\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"))
@pytest.mark.parametrize("before", ["one 1 a comment", "# two"])
def test_only_a_line_feed_ends_a_line(path: Path, before: str, end: str) -> None:
    """Else what an editor shows as a comment could hold one more key."""
    put(path, f"{before}{end}three 3\nfour 4\n")
    found = list(keylist.read(str(path)).lines())
    assert [line.words[0] for line in found] == (["one"] if before[0] != "#" else []) + ["four"]
    assert found[-1].number == 2


def test_windows_line_ends_and_its_mark_of_utf_8_do_not_matter(path: Path) -> None:
    put(path, "\ufeff# ours\r\none 1\r\n")
    assert words(path) == [["one", "1"]]
    put(path, "\ufeffone 1\r\n")
    assert words(path) == [["one", "1"]]


def test_extending_leaves_out_the_mark_of_utf_8_alone(path: Path) -> None:
    put(path, "\ufeffone 1 \ufeff\r\n")
    add(path, "two 2")
    assert path.read_bytes() == "one 1 \ufeff\r\ntwo 2\n".encode()


def test_utf_16_is_refused(path: Path) -> None:
    path.write_bytes("one 1".encode("utf-16"))
    with pytest.raises(KeyFormatError, match="is not text in UTF-8"):
        keylist.read(str(path))


# Owners


@posix_only
def test_a_file_of_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_away(path, monkeypatch)
    for look in (keylist.read, keylist.read_if_there):
        with pytest.raises(KeyFileError, match="list belongs to another user; run this program as"):
            look(str(path))


@posix_only
def test_nothing_is_added_for_another_user(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no lock is left behind that this user could not take."""
    give_away(path, monkeypatch)
    before = path.read_bytes(), path.stat()
    with pytest.raises(KeyFileError, match="belongs to another user"):
        add(path, "two 2")
    assert (path.read_bytes(), path.stat()) == before
    assert list(path.parent.iterdir()) == [path]


@posix_only
@pytest.mark.skipif(
    not Path("/etc/passwd").exists() or Path("/etc/passwd").stat().st_uid != 0,
    reason="root has no /etc/passwd here",
)
def test_a_file_of_root_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        monkeypatch.setattr(os, "geteuid", lambda: 1)
    assert keylist.read("/etc/passwd").text


# Extending


@posix_only
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o750])
def test_the_mode_stays(path: Path, mode: int) -> None:
    path.chmod(mode)
    add(path, "two 2")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert words(path) == [["one", "1"], ["two", "2"]]


@posix_only
def test_another_file_put_in_its_way_keeps_its_mode(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever owns the folder can exchange our new file for a link at any moment."""
    path.chmod(0o644)
    other = put(tmp_path / "secret", "something else\n")
    real = os.fsync

    def exchange(descriptor: int) -> None:
        real(descriptor)
        for new in tmp_path.glob(".list.*"):
            new.unlink()
            new.symlink_to(other)

    monkeypatch.setattr(os, "fsync", exchange)
    add(path, "two 2")
    assert path.is_symlink()
    assert stat.S_IMODE(other.stat().st_mode) == 0o600
    assert other.read_text() == "something else\n"


def test_a_lock_that_is_not_given_back_is_named(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keylist, "_LOCK_TIMEOUT", 0.05)
    script = (
        "import sys, filelock\n"
        "with filelock.FileLock(sys.argv[1]):\n"
        "    print(flush=True)\n"
        "    sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, f"{path}.lock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(KeyFileError) as refusal:
            add(path, "two 2")
        holder.communicate("go\n", timeout=60)
    assert str(refusal.value) == f"cannot write {path}: another program holds {path}.lock"
    assert words(path) == [["one", "1"]]
    add(path, "two 2")
    assert words(path) == [["one", "1"], ["two", "2"]]


def test_a_file_system_without_locks_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with pytest.raises(KeyFileError, match="its file system has no locks") as refusal:
        add(path, "two 2")
    assert str(refusal.value).startswith(f"cannot write {path}: ")
    assert words(path) == [["one", "1"]]


def test_what_fails_under_the_lock_gives_it_back(path: Path) -> None:
    def fail(_: keylist.KeyList) -> str:
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            keylist.extend(str(path), fail, comment="")
    add(path, "two 2")
    assert words(path) == [["one", "1"], ["two", "2"]]


def test_readers_never_see_half_of_it_nor_are_they_turned_away(path: Path) -> None:
    """Where the system lets nobody replace a file that is read, both sides wait."""
    texts: set[str] = set()
    done = threading.Event()
    failures: list[BaseException] = []

    def look() -> None:
        try:
            while not done.is_set():
                texts.add(keylist.read(str(path)).text)
        except BaseException as error:
            failures.append(error)
            raise

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for number in range(40):
            add(path, f"more {number}")
    finally:
        done.set()
        reader.join()
    assert failures == []
    whole = path.read_text()
    assert whole.count("\n") == 42
    assert all(text.endswith("\n") and whole.startswith(text) for text in texts)


def test_an_edit_by_hand_meanwhile_is_kept(tmp_path: Path) -> None:
    """Whoever edits knows no lock; the line is added to what is there in the end."""
    path = tmp_path / "list"
    path.write_text("one\n")
    path.chmod(0o600)
    edits = ["two\n", "two\nthree\n"]

    def line(now: KeyList) -> str:
        if edits:
            path.write_text(edits.pop(0))
        return "added"

    keylist.extend(str(path), line, comment="a comment")
    assert path.read_text() == "two\nthree\nadded\n"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["list", "list.lock"]


def test_a_file_that_is_changed_all_the_time_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("1\n")
    path.chmod(0o600)

    def line(now: KeyList) -> str:
        path.write_text(now.text + "1\n")
        return "added"

    with pytest.raises(KeyFileError, match="being changed all the time"):
        keylist.extend(str(path), line, comment="a comment")
    assert "added" not in path.read_text()
