"""What is sent of a directory."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from ..errors import FileRefusedError, FileUnreadableError
from .folder import Folder
from .paths import checked_name


class Kind(Enum):
    """What :func:`walk` found."""

    FILE = "file"
    EMPTY_DIRECTORY = "empty directory"
    SKIPPED = "skipped"


class Entry(NamedTuple):
    """One thing in a directory."""

    kind: Kind
    """What it is."""
    name: str
    """Relative to the directory, with ``/`` between parts; what the other end is told."""
    path: Path
    """Where it is."""
    reason: str = ""
    """Why it is skipped."""


def walk(directory: str | os.PathLike[str]) -> Generator[Entry, None, None]:
    """Yield the files and empty directories below a directory, and what cannot be sent.

    Sorted by name, each directory by itself, so that it is the same order every time.
    Skipped are symbolic links, which are never followed, pipes and devices, what cannot
    be read, and names that no receiver takes (:func:`.checked_name`). Memory grows with
    the entries of single directories, not with the tree.

    :raises FileUnreadableError: the directory itself cannot be opened
    """
    root = Path(directory)
    try:
        folder = Folder.at(root)
        names = _listed(folder)
    except OSError as error:
        raise FileUnreadableError(
            error.errno, f"{root} cannot be sent: {error.strerror}"
        ) from error
    with folder:
        yield from _walk(folder, names, "")


def _listed(folder: Folder) -> list[os.DirEntry[str]]:
    return sorted(folder.entries(), key=lambda entry: entry.name)


def _walk(folder: Folder, entries: list[os.DirEntry[str]], above: str) -> Iterator[Entry]:
    for entry in entries:
        name = above + entry.name
        path = folder.path / entry.name
        try:
            checked_name(name, hidden=True)
            if entry.is_symlink():
                yield Entry(Kind.SKIPPED, name, path, "it is a symbolic link")
            elif entry.is_dir(follow_symlinks=False):
                with folder.sub(entry.name) as inner:
                    inside = _listed(inner)
                    if inside:
                        yield from _walk(inner, inside, f"{name}/")
                    else:
                        yield Entry(Kind.EMPTY_DIRECTORY, name, path)
            elif not entry.is_file(follow_symlinks=False):
                yield Entry(Kind.SKIPPED, name, path, "it is no regular file")
            elif not folder.readable(entry.name):
                yield Entry(Kind.SKIPPED, name, path, "it may not be read")
            else:
                yield Entry(Kind.FILE, name, path)
        except FileRefusedError as error:
            yield Entry(Kind.SKIPPED, name, path, error.reason)
        except OSError as error:
            yield Entry(Kind.SKIPPED, name, path, error.strerror or str(error))
