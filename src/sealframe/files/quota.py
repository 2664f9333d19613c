"""Limits of one store on files and bytes, shared by all transfers that run at once."""

from __future__ import annotations

import threading

from ..errors import FileRefusedError
from ..wire import FileRefusal


class Quota:
    """Counts files and bytes that arrived, that are coming, and that wait to be resumed.

    Any thread may use it.

    :param max_files: files and directories made, or None
    :param max_total: bytes, or None
    """

    def __init__(self, max_files: int | None, max_total: int | None) -> None:
        self.max_files = max_files
        self.max_total = max_total
        self._lock = threading.Lock()
        self._files = 0
        self._bytes = 0
        self._coming = 0
        self._active: set[str] = set()
        self._kept: dict[str, int] = {}

    @property
    def files(self) -> int:
        """Files and directories that count at the moment."""
        return self._files

    @property
    def bytes(self) -> int:
        """Bytes that count at the moment."""
        return self._bytes

    def reserve(
        self, path: str, size: int, *, there: int, room: int, directories: int = 0
    ) -> Reservation:
        """Set something aside for a file.

        :param path: of its partial file; what that holds already counts no more
        :param there: bytes of it that are on the disk
        :param directories: that it needs and that are not there; they count when they are made
        :param room: bytes that the disk has for this and all others that are coming
        :raises FileRefusedError: code ``BUSY``: it is set aside already; ``QUOTA`` or
            ``DISK_FULL``
        """
        missing = max(0, size - there)
        with self._lock:
            if path in self._active:
                raise FileRefusedError(FileRefusal.BUSY, "this file is being received already")
            kept = self._kept.get(path)
            files = self._files + (kept is None)
            total = self._bytes + size - (kept or 0)
            if self.max_files is not None and files + directories > self.max_files:
                raise FileRefusedError(
                    FileRefusal.QUOTA, f"no more than {self.max_files} files are taken"
                )
            if self.max_total is not None and total > self.max_total:
                raise FileRefusedError(
                    FileRefusal.QUOTA, f"no more than {self.max_total} bytes are taken in all"
                )
            if missing + self._coming > room:
                raise FileRefusedError(FileRefusal.DISK_FULL, "the disk has no room for it")
            self._kept.pop(path, None)
            self._active.add(path)
            self._files, self._bytes = files, total
            self._coming += missing
        return Reservation(self, path, size, missing, kept)

    def count_directory(self) -> None:
        """Count a directory that is about to be made.

        :raises FileRefusedError: code ``QUOTA``
        """
        with self._lock:
            if self.max_files is not None and self._files >= self.max_files:
                raise FileRefusedError(
                    FileRefusal.QUOTA, f"no more than {self.max_files} files are taken"
                )
            self._files += 1

    def uncount_directory(self) -> None:
        """It was there already."""
        with self._lock:
            self._files -= 1

    def forget(self, path: str) -> None:
        """Note that a partial file is gone that waited to be resumed."""
        with self._lock:
            kept = self._kept.pop(path, None)
            if kept is not None:
                self._files -= 1
                self._bytes -= kept

    # Called by reservations

    def expect(self, change: int) -> None:
        """Expect so many bytes more, or fewer, to come onto the disk."""
        with self._lock:
            self._coming += change

    def commit(self, path: str, missing: int) -> None:
        """Count a file for good.

        :param path: of its partial file
        :param missing: bytes of it that were still expected
        """
        with self._lock:
            self._active.discard(path)
            self._coming -= missing

    def release(self, path: str, size: int, missing: int, kept: int | None) -> None:
        """Count what is left of a file that did not arrive.

        :param path: of its partial file
        :param size: of the whole file, which was counted until now
        :param missing: bytes of it that were still expected
        :param kept: bytes that wait to be resumed; None: there is no partial file
        """
        with self._lock:
            self._active.discard(path)
            self._coming -= missing
            self._bytes += (kept or 0) - size
            if kept is None:
                self._files -= 1
            else:
                self._kept[path] = kept


class Reservation:
    """What is set aside for one transfer. One thread uses it, and ends it once: by
    :meth:`taken`, :meth:`keep`, :meth:`give_back` or :meth:`undo`."""

    __slots__ = ("_kept", "_missing", "_path", "_quota", "_size")

    def __init__(self, quota: Quota, path: str, size: int, missing: int, kept: int | None) -> None:
        self._quota = quota
        self._path = path
        self._size = size
        self._missing = missing
        self._kept = kept

    def missing(self, amount: int) -> None:
        """Tell how many bytes are yet to come onto the disk."""
        self._quota.expect(amount - self._missing)
        self._missing = amount

    def taken(self) -> None:
        """The file is whole: it counts for good."""
        self._quota.commit(self._path, self._missing)

    def keep(self, size: int) -> None:
        """The transfer stops: what is there counts until it is resumed or removed."""
        self._quota.release(self._path, self._size, self._missing, size)

    def give_back(self) -> None:
        """Nothing of it is left on the disk."""
        self._quota.release(self._path, self._size, self._missing, None)

    def undo(self) -> None:
        """Nothing was done: all is as before."""
        self._quota.release(self._path, self._size, self._missing, self._kept)
