"""A file that is being received: what is there of it, until it gets its name."""

from __future__ import annotations

import errno
import hmac
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Final, Self

from ..errors import FileRefusedError
from ..wire import FileRefusal
from . import digest as digests
from .failures import refusing
from .folder import Folder
from .locking import try_lock, unlock
from .memory import FileState, HashMemory
from .quota import Reservation

_PRIVATE: Final = 0o600
_DATES_OPEN_FILES: Final = os.utime in os.supports_fd
_ATTEMPTS: Final = 16
_NO_LINKS: Final = frozenset(
    {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}
)
"""What file systems answer that have no hard links."""


def open_partial(folder: Folder, name: str) -> FileIO:
    """Open a partial file that is ours alone, empty or to be resumed, and lock it.

    What has the name and cannot be that is unlinked: a symbolic link, a pipe, another
    user's file, or one with a second name, which was published before a crash.

    :raises FileRefusedError: code ``BUSY``: somebody else has it; or the system refuses
    """
    for _ in range(_ATTEMPTS):
        with refusing("opening the partial file"):
            status = folder.status(name)
            if status is not None and not stat.S_ISREG(status.st_mode):
                folder.remove(name)
            try:
                descriptor = folder.open(name, os.O_RDWR | os.O_CREAT, _PRIVATE)
            except OSError as error:
                if error.errno in {errno.ELOOP, errno.ENXIO}:  # put there just now
                    continue
                raise
            file = FileIO(descriptor, "r+")
            try:
                if not try_lock(descriptor):
                    raise FileRefusedError(FileRefusal.BUSY, "this file is being received already")
                if folder.names(name, descriptor):
                    if _is_ours(os.fstat(descriptor)):
                        # Else its status would change: by that, its hash is remembered.
                        if os.name == "posix" and _mode_of(descriptor) != _PRIVATE:
                            os.fchmod(descriptor, _PRIVATE)
                        return file
                    folder.remove(name)
            except BaseException:
                file.close()
                raise
            # Its former owner is done with it, or it was not ours: there is none now.
            file.close()
    raise FileRefusedError(FileRefusal.BUSY, "others use the partial file of this one")


def _is_ours(status: os.stat_result) -> bool:
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_nlink == 1
        and (os.name != "posix" or status.st_uid == os.geteuid())
    )


def _mode_of(descriptor: int) -> int:
    return stat.S_IMODE(os.fstat(descriptor).st_mode)


class Partial:
    """A file that is being received. :meth:`.Store.begin` makes it.

    One thread uses it at a time, and everything may wait for the disk. Every use ends
    with :meth:`finish` or :meth:`abort`; ``with`` ends it with ``abort()`` where nothing
    else did. After that, only ``abort`` may be called.

    :param folder: where the partial file is
    :param open_final: opens, and makes, the directory in which the file gets its name
    :param memory: what was hashed of partial files before
    :ivar name: the name that the file gets, relative to the store's directory
    :ivar total: its size when it is whole, in bytes
    """

    def __init__(
        self,
        folder: Folder,
        file: FileIO,
        partial: str,
        name: str,
        total: int,
        reservation: Reservation,
        *,
        open_final: Callable[[], Folder],
        memory: HashMemory,
        algorithm: int,
        mode: int,
        overwrite: bool,
    ) -> None:
        self.name = name
        self.total = total
        self._folder = folder
        self._file = file
        self._partial = partial
        self._final = name.rpartition("/")[2]
        self._open_final = open_final
        self._memory = memory
        self._reservation = reservation
        self._algorithm = algorithm
        self._mode = mode
        self._overwrite = overwrite
        self._over = False
        self._hash = digests.new(algorithm)
        self._hashed = 0
        with refusing("reading the partial file"):
            self._size = os.fstat(file.fileno()).st_size
            if self._size > total:
                file.truncate(0)
                self._size = 0
            file.seek(self._size)
            self._state = FileState.of(os.fstat(file.fileno()))
        self._reservation.missing(total - self._size)

    @property
    def size(self) -> int:
        """Bytes that are there: of earlier attempts, and written since."""
        return self._size

    def hash_prefix(self, watch: Callable[[int], None] | None = None) -> bytes:
        """Return the digest of what is there, to be compared with the sender's.

        It is read from the disk where an earlier attempt wrote it, and its hash is not
        remembered.

        :param watch: called with the bytes hashed so far, after each MiB; what it raises
            ends the reading, and changes nothing
        :raises FileRefusedError: it cannot be read
        """
        self._must_go_on()
        if self._hashed != self._size:
            with refusing("reading the partial file"):
                state = FileState.of(os.fstat(self._file.fileno()))
            hashed, size = self._memory.hash_beginning(
                self._file, state, self._algorithm, self._read, watch
            )
            if size != self._size:
                raise FileRefusedError(FileRefusal.IO, "the partial file became shorter")
            self._hash, self._hashed = hashed, size
        return self._hash.digest()

    def truncate(self, size: int) -> None:
        """Go back to where both ends agree; what comes next is written there.

        :param size: bytes to keep, at most what is there
        :raises FileRefusedError: the system refuses
        """
        self._must_go_on()
        if not 0 <= size <= self._size:
            raise ValueError(f"size must be from 0 to {self._size}, not {size}")
        if size == self._size:
            return
        with refusing("truncating the partial file"):
            self._file.truncate(size)
            self._file.seek(size)
        self._size = size
        self._hash = digests.new(self._algorithm)
        self._hashed = 0
        self._reservation.missing(self.total - size)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append what came.

        :raises FileRefusedError: code ``SIZE``: that is more than announced, and none of
            it is written; ``DISK_FULL``, ``IO``: :attr:`size` tells how much was
        """
        self._must_go_on()
        view = memoryview(data).cast("B")
        if self._size + len(view) > self.total:
            raise FileRefusedError(
                FileRefusal.SIZE, f"more than the {self.total} bytes that were announced"
            )
        if self._hashed != self._size:
            self.hash_prefix()
        with refusing("writing"):
            while view:
                count = os.write(self._file.fileno(), view)
                self._hash.update(view[:count])
                self._size += count
                self._hashed = self._size
                self._reservation.missing(self.total - self._size)
                view = view[count:]

    def finish(self, digest: bytes, check: Callable[[], None] | None = None) -> Path:
        """Give the file its name, and return when it is on the disk.

        :param digest: of the whole file, from the sender
        :param check: called right before directories are made for it, and before it gets its
            name; what it raises keeps it from that
        :return: where it is
        :raises FileRefusedError: code ``SIZE``: bytes are missing, and more may be written;
            ``DIGEST``, ``EXISTS``: the partial file is gone; or the system refuses
        """
        self._must_go_on()
        if self._size != self.total:
            raise FileRefusedError(
                FileRefusal.SIZE, f"{self.total - self._size} bytes of {self.total} are missing"
            )
        if not hmac.compare_digest(self.hash_prefix(), digest):
            self.abort(keep=False)
            raise FileRefusedError(FileRefusal.DIGEST, "what came is not what was sent")
        try:
            with refusing("writing to the disk"):
                os.fsync(self._file.fileno())
        except FileRefusedError:
            # What was not written may be gone from memory too: nobody could resume that.
            self.abort(keep=False)
            raise
        if check is not None:
            check()
        try:
            with refusing("making the directory"):
                final = self._open_final()
            with final:
                if check is not None:
                    check()
                with refusing("naming the file"):
                    self._publish(final)
        except FileRefusedError as error:
            if error.code == FileRefusal.EXISTS:
                self.abort(keep=False)
            raise
        self._reservation.taken()
        self._close()
        return final.path / self._final

    def abort(self, *, keep: bool = True) -> None:
        """Stop. Does nothing where it is over.

        :param keep: whether what is there, if anything, waits to be resumed
        """
        if self._over:
            return
        kept = keep and self._size > 0
        try:
            with suppress(OSError):
                if kept:
                    self._remember()
                else:
                    self._discard()
        finally:
            if kept:
                self._reservation.keep(self._size)
            else:
                self._reservation.give_back()
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()

    def _read(self, size: int) -> bytes:
        with refusing("reading the partial file"):
            return self._file.read(size)

    def _publish(self, final: Folder) -> None:
        if os.name == "posix":
            # Checked before it is named: afterwards, another program may have moved it away.
            if not self._folder.names(self._partial, self._file.fileno()):
                raise OSError(errno.EIO, "the partial file was replaced")
            with suppress(OSError):  # some file systems have no modes
                os.fchmod(self._file.fileno(), self._mode)
        else:
            # What is open cannot be renamed there.
            self._file.close()
        if self._overwrite:
            self._folder.replace(self._partial, final, self._final)
        elif os.name != "posix":
            self._folder.rename(self._partial, final, self._final)
        else:
            try:
                self._folder.link(self._partial, final, self._final)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                self._folder.rename(self._partial, final, self._final)
            else:
                # It has its name. One too many is noticed before anybody writes to it.
                with suppress(OSError):
                    self._folder.remove(self._partial)
        final.sync()

    def _remember(self) -> None:
        """Keep the hash of what came, for the attempt that resumes this one."""
        descriptor = self._file.fileno()
        if self._hashed != self._size or FileState.of(os.fstat(descriptor)) == self._state:
            return
        if _DATES_OPEN_FILES:
            # The clock by which file systems date a write is coarse, this one is not: whoever
            # writes to it, even right now, gives it another time.
            now = time.time_ns()
            os.utime(descriptor, ns=(now, now))
        state = FileState.of(os.fstat(descriptor))
        self._memory.keep(state, self._algorithm, self._hash, self._size)

    def _discard(self) -> None:
        if os.name != "posix":
            self._file.close()
            self._folder.remove(self._partial)
        elif self._folder.names(self._partial, self._file.fileno()):
            self._folder.remove(self._partial)

    def _must_go_on(self) -> None:
        if self._over:
            raise ValueError("this transfer is over")

    def _close(self) -> None:
        self._over = True
        if not self._file.closed:
            unlock(self._file.fileno())
            self._file.close()
        self._folder.close()
