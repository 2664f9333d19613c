"""What was hashed of files before, so that nobody has the same bytes hashed again and again."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from io import FileIO
from typing import Final, NamedTuple

from . import digest as digests
from .digest import Hash

_MOST: Final = 1024
"""Files whose hashes are kept; each takes some KiB at most."""


class FileState(NamedTuple):
    """What stays the same of a file as long as nobody writes to it."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileState:
        """Return that of a file."""
        return cls(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )


class HashMemory:
    """Hashes of what is on the disk, as far as it was read. Any thread may use it.

    An offer of a few bytes has the receiving end hash a large file that is there, or the
    beginning of one that is resumed. With this, it reads each byte once: what was hashed is
    kept, also where the sender left in the middle, and hashing goes on there as long as the
    file is the same. The least recently used ones make room.
    """

    __slots__ = ("_hashed", "_kept", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[FileState, int], tuple[Hash, int]] = OrderedDict()
        self._hashed = 0

    @property
    def hashed(self) -> int:
        """Bytes that were read from the disk to be hashed."""
        return self._hashed

    def hash_beginning(
        self,
        file: FileIO,
        state: FileState,
        algorithm: int,
        read: Callable[[int], bytes],
        watch: Callable[[int], None] | None,
        *,
        keep: bool = True,
    ) -> tuple[Hash, int]:
        """Hash all that is in a file; it stands at the end of that afterwards.

        :param state: of that file; its size says how much
        :param read: as that of the file
        :param watch: as that of :func:`.digest.feed`
        :param keep: False where others may have written to it since and left the state as it is
        :return: the hash, and of how many bytes it is: fewer where the file became shorter
        """
        hashed, before = self._find(state, algorithm)
        file.seek(before)
        came = 0

        def note(count: int) -> None:
            nonlocal came
            came = count
            if watch is not None:
                watch(before + count)

        try:
            digests.feed(hashed, read, state.size - before, note)
        finally:
            with self._lock:
                self._hashed += came
            if keep and came:
                self.keep(state, algorithm, hashed, before + came)
        return hashed, before + came

    def keep(self, state: FileState, algorithm: int, hashed: Hash, size: int) -> None:
        """Keep a hash.

        :param size: bytes of the file that it is of, from the first one on
        """
        with self._lock:
            self._kept[state, algorithm] = hashed.copy(), size
            self._kept.move_to_end((state, algorithm))
            if len(self._kept) > _MOST:
                self._kept.popitem(last=False)

    def _find(self, state: FileState, algorithm: int) -> tuple[Hash, int]:
        with self._lock:
            kept = self._kept.get((state, algorithm))
            if kept is None:
                return digests.new(algorithm), 0
            self._kept.move_to_end((state, algorithm))
            return kept[0].copy(), kept[1]
