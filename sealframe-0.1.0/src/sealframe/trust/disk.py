"""Files that decide about trust: checked as they are opened, durable once they are written.

Durable: ``fsync`` of the new file, then rename over the old one, then ``fsync`` of the folder.
"""

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
    """Open a file without blocking on a named pipe that has no writer (O_NONBLOCK).

    :raises OSError: it cannot be opened
    """
    if _SHARING_VIOLATIONS and Path(path).is_dir():
        # Windows answers "permission denied" as for a file in use, and waiting does not help.
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    return _while_in_use(lambda: open(path, "rb", opener=_without_waiting))


def refuse_another_users(path: str, status: os.stat_result) -> None:
    """Refuse a file whose owner is neither root nor this user; on Windows accept any.

    Its owner can change it at any moment, whatever its mode.

    :param status: of the open file, as the path may name another one by now
    :raises KeyFileError: it is another user's
    """
    if os.name == "posix" and status.st_uid not in (0, os.geteuid()):
        raise KeyFileError(
            f"{path} belongs to another user; run this program as that user, uid {status.st_uid}"
        )


def write(descriptor: int, data: bytes, *, mode: int | None = None) -> None:
    """Write to a new file, ``fsync`` and close it.

    Its data is on the disk then; its name is only after `sync_folder`.

    :param mode: the permissions to give it, on POSIX
    :raises OSError: it cannot be written
    """
    with os.fdopen(descriptor, "wb") as file:
        if mode is not None and os.name == "posix":
            # By descriptor: the name may stand for another file by now.
            os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def replace(source: Path, target: Path) -> None:
    """Rename a file over another one in the same folder, durably.

    :raises OSError: it cannot be renamed
    """
    _while_in_use(lambda: source.replace(target))
    sync_folder(target)


def sync_folder(path: Path) -> None:
    """``fsync`` the folder of a new file: its name is on the disk then. POSIX only."""
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
    """A reserved file descriptor, for when the process has no other left (EMFILE, ENFILE)."""

    __slots__ = ("_descriptor",)

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._take()

    @contextmanager
    def released(self) -> Iterator[None]:
        """Close it, so that the block can open one file; reserve one again afterwards."""
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
