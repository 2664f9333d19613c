"""One program at a time uses a file: a lock on another file beside it.

Not on the file itself: SQLite has POSIX locks there, and these are gone once any descriptor of
that file is closed in the process. ``flock`` belongs to the descriptor, and a process that was
forked off has a copy of it, which it closes at once.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from typing import Final

from ..errors import OutboxFileError, OutboxLockedError
from ..files.locking import try_lock, unlock

_held: Final[dict[str, FileLock]] = {}
"""By path. Some file systems do not tell apart two descriptors of one process."""
_registry: Final = threading.Lock()


class BeingReleasedError(OutboxLockedError):
    """A connection of this program has the lock, and is over.

    :ivar released: done once the lock is released
    """

    def __init__(self, path: str, released: Future[None]) -> None:
        super().__init__(f"a connection of this program uses {path} still: it is closing")
        self.released = released


class FileLock:
    """Holds the lock from when it is made until :meth:`release`.

    :param path: of the file that is protected, absolute and without symbolic links
    :raises BeingReleasedError: this program has it, and releases it soon
    :raises OutboxLockedError: another program has it, or this one
    :raises OutboxFileError: the file beside it cannot be made, or not be locked
    """

    __slots__ = ("_descriptor", "_path", "_released", "_soon")

    def __init__(self, path: str) -> None:
        self._path = path
        self._released: Future[None] = Future()
        self._soon = False
        with _registry:
            held = _held.get(path)
            if held is not None:
                if held._soon:
                    raise BeingReleasedError(path, held._released)
                raise OutboxLockedError(f"this program uses {path} already")
            self._descriptor = _lock(path)
            _held[path] = self

    def release_soon(self) -> None:
        """Have others of this program wait for :meth:`release`. Any thread may call this."""
        self._soon = True

    def release(self) -> None:
        """Let others use the file. The file beside it stays: to remove it would be a race."""
        with _registry:
            if _held.get(self._path) is self:
                del _held[self._path]
                unlock(self._descriptor)
                os.close(self._descriptor)
                self._released.set_result(None)

    def abandon(self) -> None:
        """Called in a child process: the lock is its parent's."""
        os.close(self._descriptor)


def _lock(path: str) -> int:
    name = path + ".lock"
    try:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    except OSError as error:
        raise OutboxFileError(f"{name} cannot be opened: {error.strerror}") from error
    try:
        if try_lock(descriptor):
            return descriptor
        fault: Exception = OutboxLockedError(f"another program uses {path}")
    except OSError as error:
        fault = OutboxFileError(f"{name} cannot be locked: {error.strerror}")
    os.close(descriptor)
    raise fault


def _forked() -> None:
    for lock in _held.values():
        lock.abandon()
    _held.clear()
    _registry.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_registry.acquire, after_in_parent=_registry.release, after_in_child=_forked
    )
