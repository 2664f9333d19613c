"""One transfer at a time writes to a file: locks that end with the process."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import Final

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_LOCKED: Final = frozenset({errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK, errno.EDEADLK})
_FAR: Final = 1 << 62
"""Where Windows locks a byte: what is locked there nobody else can read."""


def try_lock(descriptor: int) -> bool:
    """Lock an open file, against other threads and processes that do so too.

    :return: whether it was free
    :raises OSError: the file system has no locks
    """
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, _FAR, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _LOCKED:
            return False
        raise
    return True


def unlock(descriptor: int) -> None:
    """Give the lock back now: a child process may have a copy of the descriptor."""
    if sys.platform != "win32":
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
