"""What ``send-file`` is to send."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

import sealframe

from .errors import complain


@dataclass(eq=False)
class Item:
    """A file, or an empty directory, that is to be sent.

    :ivar name: what it is called there
    :ivar below: the directory that ``path`` is relative to, None for a file given by itself
    :ivar sent: bytes that are there, as far as is known here
    :ivar furthest: the most that these were, on any connection
    :ivar begun: whether it was begun, on an earlier connection perhaps
    """

    name: str
    path: Path
    size: int
    below: Path | None = None
    directory: bool = False
    sent: int = 0
    furthest: int = 0
    begun: bool = False


class Collected:
    """What is to be sent.

    :ivar missing: how many files and directories cannot be
    """

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.missing = 0


def collect(paths: tuple[Path, ...]) -> Collected:
    """Find all that is to be sent; say what is skipped."""
    names: dict[str, Path] = {}
    found = Collected()
    for path in paths:
        # Links stay as they are: their names are what the other end is told.
        name = os.path.basename(os.path.abspath(path))  # noqa: PTH100, PTH119
        if name in names:
            raise click.UsageError(f"{names[name]} and {path} would both be called {name} there")
        names[name] = path
        found.items += _below(found, path, name) if path.is_dir() else [_file(path, name)]
    return found


def _file(path: Path, name: str) -> Item:
    return Item(name, path, path.stat().st_size)


def _below(found: Collected, root: Path, name: str) -> Iterator[Item]:
    empty = True
    for entry in sealframe.files.walk(root):
        full = f"{name}/{entry.name}"
        if entry.kind is sealframe.files.Kind.EMPTY_DIRECTORY:
            yield Item(full, entry.path, 0, directory=True)
        elif entry.kind is sealframe.files.Kind.FILE:
            length = _length(entry.path)
            yield Item(full, Path(entry.name), length, below=root)
        else:
            complain(f"{full} is skipped: {entry.reason}")
            # Nobody expects links, pipes and the like to arrive.
            found.missing += _is_content(entry.path)
            continue
        empty = False
    if empty:
        yield Item(name, root, 0, directory=True)


def _length(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        # Sending it will say why.
        return 0


def _is_content(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return True
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)
