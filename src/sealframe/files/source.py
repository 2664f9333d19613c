"""A file that is being sent."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Final, Self

from ..errors import FileChangedError, FileUnreadableError
from . import digest as digests
from .digest import Algorithm
from .folder import Folder
from .memory import FileState, HashMemory

_SETTLED: Final = 2.0
"""Seconds after which a file that is written to again shows it by its times: file systems date
writes by coarse clocks."""


class Source:
    """A regular file, open to be sent. One thread uses it at a time; ``with`` closes it.

    Opening never waits: pipes and devices are refused.

    :param path: of the file; symbolic links are followed
    :param below: a directory that ``path`` is relative to, as the names that
        :func:`.walk` yields: then no symbolic link below it is followed
    :raises FileUnreadableError: it cannot be opened, or is no regular file
    """

    def __init__(
        self, path: str | os.PathLike[str], *, below: str | os.PathLike[str] | None = None
    ) -> None:
        self.path = Path(path) if below is None else Path(below) / path
        """Where the file is."""
        try:
            descriptor = _open(self.path) if below is None else _open_below(path, below)
            try:
                self._status = os.fstat(descriptor)
                # Before it was opened, it may have been something else.
                _must_be_regular(self._status)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            raise FileUnreadableError(
                error.errno, f"{self.path} cannot be sent: {error.strerror}"
            ) from error
        self._file = FileIO(descriptor)
        self.start()

    @property
    def size(self) -> int:
        """Bytes in the file, when it was opened."""
        return self._status.st_size

    @property
    def modified(self) -> int:
        """When it was last written to, in nanoseconds since 1970."""
        return self._status.st_mtime_ns

    @property
    def offset(self) -> int:
        """Bytes that were read, or skipped by :meth:`start`."""
        return self._offset

    def key(self, name: str, scope: bytes = b"") -> bytes:
        """Return what tells this transfer from others, and is the same when it is resumed.

        :param name: what the file is called at the other end
        :param scope: what nobody else knows, so that nobody else can make such keys
        :return: 32 bytes; others where the file was written to since
        """
        key = hashlib.sha256(b"sealframe file")
        for field in (scope, name.encode(), b"%d %d" % (self.size, self.modified)):
            key.update(len(field).to_bytes(8, "big") + field)
        return key.digest()

    def start(
        self,
        algorithm: int = Algorithm.SHA256,
        offset: int = 0,
        watch: Callable[[int], None] | None = None,
    ) -> bytes:
        """Begin to read, or begin anew.

        :param algorithm: of the digests, see :class:`.Algorithm`
        :param offset: where to begin: what the other end has already, in bytes
        :param watch: called with the bytes hashed so far, after each MiB; what it raises
            ends the work, and another ``start`` is needed
        :return: the digest of what is before the offset
        :raises FileChangedError: the file was written to
        :raises FileUnreadableError: it cannot be read
        :raises MissingExtraError, NotSupportedError: as :func:`.digest.new`
        """
        if not 0 <= offset <= self.size:
            raise ValueError(f"offset must be from 0 to {self.size}, not {offset}")
        self._hash = digests.new(algorithm)
        self._offset = 0
        self._file.seek(0)
        self._offset = digests.feed(self._hash, self._read, offset, watch)
        self._must_be_the_same(short=self._offset < offset)
        return self._hash.digest()

    def whole_digest(
        self, algorithm: int, memory: HashMemory, watch: Callable[[int], None] | None = None
    ) -> bytes:
        """Return the digest of all that is in it; where ``memory`` has it, nothing is read.

        Another :meth:`start` is needed before anything else is read.

        :param algorithm: see :class:`.Algorithm`
        :param watch: as that of :meth:`start`
        :raises FileChangedError, FileUnreadableError: as :meth:`start`
        """
        written = max(self._status.st_mtime, self._status.st_ctime)
        hashed, size = memory.hash_beginning(
            self._file,
            FileState.of(self._status),
            algorithm,
            self._read,
            watch,
            keep=time.time() - written > _SETTLED,
        )
        self._must_be_the_same(short=size < self.size)
        return hashed.digest()

    def read(self, size: int) -> bytes:
        """Return what is next, and hash it.

        :param size: bytes at most; over 0
        :return: ``b""`` at the end
        :raises FileChangedError: the file was written to
        :raises FileUnreadableError: it cannot be read
        """
        if size <= 0:
            raise ValueError(f"size must be over 0, not {size}")
        wanted = min(size, self.size - self._offset)
        data = self._read(wanted) if wanted else b""
        self._must_be_the_same(short=not data and wanted > 0)
        self._hash.update(data)
        self._offset += len(data)
        return data

    def digest(self) -> bytes:
        """Return the digest of all that was read, and skipped.

        :raises FileChangedError: the file was written to
        """
        self._must_be_the_same()
        return self._hash.digest()

    def close(self) -> None:
        """Close it; closing it again does nothing."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _must_be_the_same(self, *, short: bool = False) -> None:
        status = os.fstat(self._file.fileno())
        was = self._status
        if short or (status.st_size, status.st_mtime_ns) != (was.st_size, was.st_mtime_ns):
            raise FileChangedError(f"{self.path} was written to while it was sent; send it again")

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            raise FileUnreadableError(
                error.errno, f"{self.path} cannot be read: {error.strerror}"
            ) from error


def _open(path: Path) -> int:
    # Opening a device may do something, so it is looked at before.
    _must_be_regular(path.stat())
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
    return os.open(path, flags | getattr(os, "O_BINARY", 0))


def _open_below(name: str | os.PathLike[str], below: str | os.PathLike[str]) -> int:
    parts = os.fspath(name).replace(os.sep, "/").split("/")
    if ".." in parts:
        raise ValueError(f"{name} is not below {below}")
    with Folder.at(Path(below)) as root, root.walk_to(parts[:-1]) as folder:
        status = folder.status(parts[-1])
        if status is not None:
            _must_be_regular(status)
        return folder.open(parts[-1], os.O_RDONLY)


def _must_be_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
