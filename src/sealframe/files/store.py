"""The directory that files are received into."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from operator import index
from pathlib import Path
from typing import Final, NamedTuple

from ..errors import ConfigurationError, FileRefusedError, FileUnreadableError
from ..wire import FileRefusal
from .digest import Algorithm, available
from .failures import refusing
from .folder import Folder
from .locking import try_lock
from .memory import HashMemory
from .partial import Partial, open_partial
from .paths import MAX_DEPTH, checked_name, is_partial, partial_name
from .quota import Quota
from .source import Source

MIB: Final = 1 << 20
PRIVATE: Final = 0o600
"""Permissions of a file that its owner alone may read."""
_ALL: Final = 0o777


class _Place(NamedTuple):
    """Where a file is to be."""

    top: list[str]
    """The directory in which it is until it is whole."""
    missing: int
    """Directories above it that are not there yet."""
    there: int
    """Bytes of it that are there."""
    free: int
    """Bytes that may still be written to that file system."""


class Store:
    """A directory, what it takes, and the files that are being received into it.

    Nothing that a peer sends is written outside of it, and no file has its name before
    it is whole, correct and on the disk. Until then it is called ``.NAME.TAG.part``, for us
    alone to read; what remains of a transfer that broke off can be resumed. It is at the top
    of the directory, or of the file system that is mounted below it where the file is to be:
    so it is one entry, and directories are made for files that arrived. Any number of threads
    may use one store, any number of processes one directory; the quotas are this store's
    alone, and begin anew with it.

    The directory and those in it are opened one by one and never through a symbolic
    link, as far as the system can; what Windows cannot, see :class:`.Folder`.

    :param directory: made if it is not there, in a directory that is
    :param overwrite: whether a file takes the place of one that has its name
    :param hidden: whether names are taken that have a part which begins with a dot
    :param mode: permissions of files, as far as the umask lets; directories that are made may be
        entered by those who may read
    :param max_file_size: the largest file, in bytes; None: any
    :param max_total: bytes of all files together, those included that wait to be resumed;
        None: any number
    :param max_files: files and directories in all, likewise
    :param keep_free: bytes of the disk that stay free
    :param memory: what was hashed of files before; None: one of its own
    :raises ConfigurationError: the directory cannot be used, a limit is negative, or the mode
        is none
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        hidden: bool = False,
        mode: int = PRIVATE,
        max_file_size: int | None = None,
        max_total: int | None = None,
        max_files: int | None = None,
        keep_free: int = 64 * MIB,
        memory: HashMemory | None = None,
    ) -> None:
        limits = {
            "max_file_size": max_file_size,
            "max_total": max_total,
            "max_files": max_files,
            "keep_free": keep_free,
        }
        for name, limit in limits.items():
            if limit is not None and limit < 0:
                raise ConfigurationError(f"{name} must not be negative, but is {limit}")
        if not 0 <= index(mode) <= _ALL:
            raise ConfigurationError(f"mode is {mode:#o}; use permissions such as 0o640")
        self.directory = Path(os.path.abspath(directory))  # noqa: PTH100 - links stay as they are
        """Where it is; absolute."""
        try:
            self.directory.mkdir(_of_directories(mode), exist_ok=True)
            Folder.at(self.directory).close()
        except OSError as error:
            raise ConfigurationError(
                f"{self.directory} cannot receive files: {error.strerror}"
            ) from error
        self.memory = HashMemory() if memory is None else memory
        """What was hashed of the files in it."""
        self.quota = Quota(max_files, max_total)
        """What counts at the moment."""
        self._overwrite = overwrite
        self._hidden = hidden
        self._max_file_size = max_file_size
        self._keep_free = keep_free
        self._directory_mode = _of_directories(mode)
        self._mode = mode & ~_umask()

    def begin(
        self,
        name: str,
        size: int,
        key: bytes,
        *,
        scope: bytes = b"",
        algorithm: int = Algorithm.SHA256,
    ) -> Partial:
        """Begin to receive a file, or go on where an earlier attempt stopped.

        Directories that are missing are made when it is whole.

        :param name: from the peer, see :func:`.checked_name`
        :param size: of the whole file, in bytes
        :param key: what the sender calls this transfer, now and when it is resumed
        :param scope: who sends: nobody resumes, or disturbs, a transfer of another scope
        :param algorithm: of the digest, see :class:`.Algorithm`
        :raises FileRefusedError: it is not taken; ``code`` says why
        """
        parts = self._parts(name)
        if size < 0:
            raise ValueError(f"size must not be negative, but is {size}")
        if algorithm not in available():
            raise FileRefusedError(
                FileRefusal.NOT_SUPPORTED, f"digest algorithm {algorithm} is not available"
            )
        if self._max_file_size is not None and size > self._max_file_size:
            raise FileRefusedError(
                FileRefusal.TOO_LARGE, f"no file over {self._max_file_size} bytes is taken"
            )
        partial = partial_name(parts[-1], _tag(name, size, key, scope))
        with refusing("looking for the file"):
            place = self._look(parts, partial)
        reservation = self.quota.reserve(
            "/".join([*place.top, partial]),
            size,
            there=place.there,
            room=place.free - self._keep_free,
            directories=place.missing,
        )
        try:
            with refusing("opening the directory"), Folder.at(self.directory) as root:
                folder = root.walk_to(place.top)
            try:
                file = open_partial(folder, partial)
                try:
                    return Partial(
                        folder,
                        file,
                        partial,
                        name,
                        size,
                        reservation,
                        open_final=lambda: self._make(parts[:-1]),
                        memory=self.memory,
                        algorithm=algorithm,
                        mode=self._mode,
                        overwrite=self._overwrite,
                    )
                except BaseException:
                    file.close()
                    raise
            except BaseException:
                folder.close()
                raise
        except BaseException:
            reservation.undo()
            raise

    def same(self, name: str, size: int) -> Source | None:
        """Return the file of that name, if there is one of that size already.

        :param name: from the peer, see :func:`.checked_name`
        :param size: in bytes
        :raises FileRefusedError: the name is not taken
        """
        try:
            file = Source("/".join(self._parts(name)), below=self.directory)
        except FileUnreadableError:
            return None
        if file.size == size:
            return file
        file.close()
        return None

    def make_directory(self, name: str) -> Path:
        """Make a directory, and those above it; one that is there is as good.

        :param name: from the peer, see :func:`.checked_name`
        :return: where it is
        :raises FileRefusedError: it is not taken; ``code`` says why
        """
        parts = self._parts(name)
        with refusing("making the directory"), self._make(parts) as folder:
            return folder.path

    def clean(self, older_than: float, *, most: int = 100_000) -> int:
        """Remove partial files that nobody writes to.

        :param older_than: seconds since they were last written to
        :param most: files and directories to look at; what is beyond stays
        :return: how many were removed
        """
        before = time.time() - older_than
        removed = 0
        with suppress(OSError), Folder.at(self.directory) as root:
            for folder, entry in _below(root, most):
                if is_partial(entry.name) and _is_old(entry, before):
                    with suppress(OSError):
                        if _remove_unused(folder, entry.name, before):
                            removed += 1
                            path = folder.path / entry.name
                            self.quota.forget(path.relative_to(self.directory).as_posix())
        return removed

    def _parts(self, name: str) -> list[str]:
        return checked_name(name, hidden=self._hidden).split("/")

    def _look(self, parts: list[str], partial: str) -> _Place:
        """Find out where a file is to be, and what is there of it, making nothing."""
        folder = Folder.at(self.directory)
        # The top of the file system that the file is to be on: it moves within that alone.
        top, device = folder.sub("."), folder.device()
        depth, missing = 0, 0
        try:
            for number, part in enumerate(parts[:-1], 1):
                with folder:
                    try:
                        folder = folder.sub(part)
                    except FileNotFoundError:
                        missing = len(parts) - number
                        break
                if folder.device() != device:
                    top.close()
                    top, device, depth = folder.sub("."), folder.device(), number
            else:
                with folder:
                    status = folder.status(parts[-1])
                if status is not None and not (self._overwrite and stat.S_ISREG(status.st_mode)):
                    raise FileRefusedError(FileRefusal.EXISTS, "something of that name is there")
            status = top.status(partial)
            there = status.st_size if status is not None and stat.S_ISREG(status.st_mode) else 0
            return _Place(parts[:depth], missing, there, top.free())
        finally:
            top.close()

    def _make(self, parts: list[str]) -> Folder:
        """Open a directory, making it and those above it where there is none."""
        folder = Folder.at(self.directory)
        for part in parts:
            with folder:
                try:
                    folder = folder.sub(part)
                except FileNotFoundError:
                    self._make_in(folder, part)
                    folder = folder.sub(part)
        return folder

    def _make_in(self, folder: Folder, part: str) -> None:
        self.quota.count_directory()
        made = False
        try:
            made = folder.make(part, self._directory_mode)
        finally:
            if not made:
                self.quota.uncount_directory()


def _of_directories(mode: int) -> int:
    return mode | 0o700 | (mode & 0o044) >> 2


def _tag(name: str, size: int, key: bytes, scope: bytes) -> bytes:
    tag = hashlib.sha256()
    for field in (scope, key, name.encode(), str(size).encode()):
        tag.update(len(field).to_bytes(8, "big") + field)
    return tag.digest()


def _below(root: Folder, most: int) -> Iterator[tuple[Folder, os.DirEntry[str]]]:
    """Yield at most so many entries of a directory and those below it, links not followed."""
    looked_at = 0

    def below(folder: Folder, depth: int) -> Iterator[tuple[Folder, os.DirEntry[str]]]:
        nonlocal looked_at
        for entry in folder.entries():
            if looked_at >= most:
                return
            looked_at += 1
            yield folder, entry
            if depth < MAX_DEPTH:
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        with folder.sub(entry.name) as inner:
                            yield from below(inner, depth + 1)

    return below(root, 1)


def _is_old(entry: os.DirEntry[str], before: float) -> bool:
    with suppress(OSError):
        status = entry.stat(follow_symlinks=False)
        return stat.S_ISREG(status.st_mode) and status.st_mtime <= before
    return False


def _remove_unused(folder: Folder, name: str, before: float) -> bool:
    descriptor = folder.open(name, os.O_RDWR)
    try:
        # Before the lock, another transfer may have resumed it, and stopped again.
        if not (
            try_lock(descriptor)
            and folder.names(name, descriptor)
            and os.fstat(descriptor).st_mtime <= before
        ):
            return False
        if os.name == "posix":
            folder.remove(name)
    finally:
        os.close(descriptor)
    if os.name != "posix":  # what is open cannot be removed there
        folder.remove(name)
    return True


def _umask() -> int:
    """Return what new files are denied. Python can tell it only by changing it."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").split("\n")
        return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
    # For a moment other threads make files that are too private.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
