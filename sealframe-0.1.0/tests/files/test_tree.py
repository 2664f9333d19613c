"""What is sent of a directory, and what is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sealframe.errors import FileUnreadableError
from sealframe.files import Kind, walk
from sealframe.files.source import Source

from .receiving import posix_only


def found(root: Path) -> list[tuple[str, str]]:
    return [(entry.name, entry.kind.value) for entry in walk(root)]


def test_files_and_empty_directories_in_a_stable_order(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a", "B", "c/d/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "c" / "empty").mkdir()
    entries = list(walk(tmp_path))
    assert [entry.name for entry in entries] == ["B", "a", "b/1", "b/2", "c/d/e", "c/empty"]
    assert [entry.kind for entry in entries] == [Kind.FILE] * 5 + [Kind.EMPTY_DIRECTORY]
    for entry in entries[:5]:
        assert entry.path.read_text() == entry.name
        with Source(entry.name, below=tmp_path) as source:
            assert source.read(10) == entry.name.encode()


def test_an_empty_directory(tmp_path: Path) -> None:
    assert found(tmp_path) == []


@pytest.mark.parametrize("name", ["missing", "file"])
def test_no_directory(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileUnreadableError, match=f"{name} cannot be sent: "):
        list(walk(tmp_path / name))


@posix_only
def test_what_is_skipped_is_said(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "con").touch()
    (tmp_path / ".x.0123456789abcdef.part").touch()
    (tmp_path / "a\\b").mkdir()
    (tmp_path / "a\\b" / "inside").touch()
    reasons = {entry.name: entry.reason for entry in walk(tmp_path)}
    assert reasons == {
        ".x.0123456789abcdef.part": (
            "the name is not taken: a part is called as files are that are not whole yet"
        ),
        "a\\b": r"the name is not taken: it has the character '\\'",
        "con": "the name is not taken: a part is a device on Windows",
        "file": "",
        "link": "it is a symbolic link",
        "loop": "it is a symbolic link",
        "pipe": "it is no regular file",
    }


@pytest.mark.skipif(
    os.name != "posix" or os.uname().sysname == "Darwin", reason="names are text here"
)
def test_names_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff")).touch()
    (entry,) = walk(tmp_path)
    assert (entry.kind, entry.reason) == (Kind.SKIPPED, "the name is not taken: it is not Unicode")


def test_deep_directories(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*"x" * 32)
    deep.mkdir(parents=True)
    (deep / "y").touch()
    assert found(tmp_path) == [("/".join("x" * 32) + "/y", "skipped")]


@posix_only
def test_what_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir(mode=0o300)
    (tmp_path / "secret").touch(mode=0o200)
    (tmp_path / "z").touch()
    if os.geteuid() == 0:  # who may read all
        real = os.open

        def refuse(path: str, *args: int, **kw: int) -> int:
            if path == "closed":
                raise PermissionError(13, os.strerror(13), path)
            return real(path, *args, **kw)

        monkeypatch.setattr(os, "open", refuse)
        monkeypatch.setattr(os, "access", lambda path, *_, **__: path != "secret")
    entries = [(entry.name, entry.kind, entry.reason) for entry in walk(tmp_path)]
    assert entries == [
        ("closed", Kind.SKIPPED, os.strerror(13)),
        ("secret", Kind.SKIPPED, "it may not be read"),
        ("z", Kind.FILE, ""),
    ]
