"""An open directory, and what is done to the files in it: nothing leads out of it."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from .renaming import rename_in

_HAS_DESCRIPTORS: Final = os.name == "posix"
_OPEN: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_CLOSED: Final = -1
"""Instead of a descriptor; None would make it a path again."""
_BINARY: Final = getattr(os, "O_BINARY", 0)


class Folder:
    """A directory. Names in it are single parts of a path, never more.

    On POSIX it is a descriptor, and symbolic links in it are not followed: somebody who
    puts one in the place of a directory meanwhile leads nobody away. Windows has no such
    descriptors: there it is a path, and :meth:`sub` looks whether what it resolves to is
    below the root. Somebody who may write there and wins a race can lead out of it.

    Made by :meth:`at` and :meth:`sub`; to be closed.

    :ivar path: what it was opened as
    """

    __slots__ = ("_descriptor", "_root", "path")

    def __init__(self, path: Path, descriptor: int | None, root: Path) -> None:
        self.path = path
        self._descriptor = descriptor
        self._root = root

    @classmethod
    def at(cls, path: Path) -> Folder:
        """Open a directory; symbolic links that lead there are followed.

        :raises OSError: it cannot be opened, or is no directory
        """
        if _HAS_DESCRIPTORS:
            return cls(path, os.open(path, _OPEN), path)
        if not path.is_dir():
            raise _no_directory(path)
        return cls(path, None, path)

    def sub(self, part: str) -> Folder:
        """Open a directory in this one.

        :raises OSError: it is not there, is no directory, or is a symbolic link
        """
        path = self.path / part
        if self._descriptor is not None:
            descriptor = os.open(part, _OPEN | _NOFOLLOW, dir_fd=self._descriptor)
            return Folder(path, descriptor, self._root)
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self._root))
        if not inside or not path.is_dir():
            raise _no_directory(path)
        return Folder(path, None, self._root)

    def walk_to(self, parts: list[str]) -> Folder:
        """Open a directory below this one, part by part; this one stays open.

        :raises OSError: as :meth:`sub`
        """
        folder = self.sub(".")
        for part in parts:
            with folder:
                folder = folder.sub(part)
        return folder

    def make(self, part: str, mode: int) -> bool:
        """Make a directory, for good, unless something of that name is there.

        :param mode: its permissions, as far as the umask lets
        :return: whether it was made
        :raises OSError: it cannot be made
        """
        try:
            os.mkdir(self._at(part), mode, dir_fd=self._descriptor)
        except FileExistsError:
            return False
        self.sync()
        return True

    def open(self, part: str, flags: int, mode: int = 0o600) -> int:
        """Open a file, whatever it is, without waiting; return its descriptor.

        :raises OSError: it cannot be opened, or is a symbolic link
        """
        flags |= _BINARY | _NOFOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
        return os.open(self._at(part), flags, mode, dir_fd=self._descriptor)

    def status(self, part: str) -> os.stat_result | None:
        """Return what is there of that name, or None.

        :raises OSError: that cannot be told
        """
        try:
            return os.stat(self._at(part), dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def names(self, part: str, descriptor: int) -> bool:
        """Tell whether a name is still that of an open file."""
        status = self.status(part)
        return status is not None and os.path.samestat(status, os.fstat(descriptor))

    def readable(self, part: str) -> bool:
        """Tell whether a file may be read."""
        return os.access(self._at(part), os.R_OK, dir_fd=self._descriptor)

    def remove(self, part: str) -> None:
        """Take a file's name away, if it is there.

        :raises OSError: that failed
        """
        with suppress(FileNotFoundError):
            os.unlink(self._at(part), dir_fd=self._descriptor)

    def link(self, source: str, into: Folder, target: str) -> None:
        """Give a file a second name, that nothing has.

        :param into: where it gets that name
        :raises OSError: that failed; FileExistsError: something has that name
        """
        # Not sources that were put there as symbolic links.
        os.link(
            self._at(source),
            into._at(target),
            src_dir_fd=self._descriptor,
            dst_dir_fd=into._descriptor,
            follow_symlinks=False,
        )

    def rename(self, source: str, into: Folder, target: str) -> None:
        """Give a file a name that nothing has, where there are no second names.

        :param into: where it gets that name
        :raises OSError: that failed; FileExistsError: something has that name
        """
        if self._descriptor is not None and into._descriptor is not None:
            rename_in(self._descriptor, source, into._descriptor, target)
        else:
            os.rename(self._at(source), into._at(target))  # noqa: PTH104 - a string as elsewhere

    def replace(self, source: str, into: Folder, target: str) -> None:
        """Put a file in the place of what has a name, if anything has.

        :param into: where it gets that name
        :raises OSError: that failed
        """
        os.replace(
            self._at(source),
            into._at(target),
            src_dir_fd=self._descriptor,
            dst_dir_fd=into._descriptor,
        )

    def entries(self) -> Iterator[os.DirEntry[str]]:
        """Yield what is in it, in no order.

        :raises OSError: it cannot be listed
        """
        with os.scandir(self.path if self._descriptor is None else self._descriptor) as found:
            yield from found

    def device(self) -> int:
        """Return which file system it is on.

        :raises OSError: that cannot be told
        """
        if self._descriptor is None:
            return self.path.stat().st_dev
        return os.fstat(self._descriptor).st_dev

    def free(self) -> int:
        """Return the bytes that may still be written to this file system, as far as it tells."""
        if self._descriptor is None:
            # Slow to import, with all the archive formats that it knows.
            import shutil

            return shutil.disk_usage(self.path).free
        status = os.fstatvfs(self._descriptor)
        return status.f_bavail * status.f_frsize if status.f_blocks else sys.maxsize

    def sync(self) -> None:
        """Write the names in it to the disk (fsync), where the file system does that."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.fsync(self._descriptor)

    def close(self) -> None:
        """Close it; closing it again does nothing."""
        descriptor = self._descriptor
        if descriptor is not None and descriptor != _CLOSED:
            self._descriptor = _CLOSED
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _at(self, part: str) -> str:
        return part if self._descriptor is not None else str(self.path / part)


def _no_directory(path: Path) -> NotADirectoryError:
    return NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
