"""Files that decide about trust: how they are opened, and how they come onto the disk for good."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from ..errors import KeyFileError

_T = TypeVar("_T")

_SHARING_VIOLATIONS: Final = os.name == "nt"
"""Whether a file that another program uses cannot be replaced, nor opened meanwhile."""
_PATIENCE: Final = 1.0
"""Seconds to wait for such a program, which needs milliseconds."""
_PAUSE: Final = 0.01


def open_to_read(path: str) -> BinaryIO:
    """Open a file, but not wait for somebody to write to it if it is a named pipe.

    :raises OSError: it cannot be opened
    """
    if _SHARING_VIOLATIONS and Path(path).is_dir():
        # Refused in the same way, and no waiting helps.
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    return _while_in_use(lambda: open(path, "rb", opener=_without_waiting))


def refuse_another_users(path: str, status: os.stat_result) -> None:
    """Refuse a file that belongs neither to root nor to us; Windows has no such owners.

    Whatever its mode, its owner can change it at any moment.

    :param status: of the open file: what the path names may change too
    :raises KeyFileError: it is another user's
    """
    if os.name == "posix" and status.st_uid not in (0, os.geteuid()):
        raise KeyFileError(
            f"{path} belongs to another user; run this program as that user, uid {status.st_uid}"
        )


def write(descriptor: int, data: bytes, *, mode: int | None = None) -> None:
    """Write to a new file, close it, and return when the data is on the disk.

    The file's name is not there for good before `sync_folder`.

    :param mode: the permissions to give it, on POSIX
    :raises OSError: that failed
    """
    with os.fdopen(descriptor, "wb") as file:
        if mode is not None and os.name == "posix":
            # The open file's: what the name stands for, others may have changed.
            os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def replace(source: Path, target: Path) -> None:
    """Put a file in the place of another one in the same folder, for good.

    :raises OSError: that failed
    """
    _while_in_use(lambda: source.replace(target))
    sync_folder(target)


def sync_folder(path: Path) -> None:
    """Have the name of a new file on the disk too, where the file system does that."""
    if os.name == "posix":
        with suppress(OSError):
            descriptor = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _while_in_use(action: Callable[[], _T]) -> _T:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return action()
        except PermissionError:
            if not _SHARING_VIOLATIONS or time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


class SpareDescriptor:
    """One file descriptor, kept for a time when all others are in use."""

    __slots__ = ("_descriptor",)

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._take()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Give it back to the system meanwhile."""
        self._release()
        try:
            yield
        finally:
            self._take()

    def _take(self) -> None:
        with suppress(OSError):
            self._descriptor = os.open(os.devnull, os.O_RDONLY)

    def _release(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        self._release()
