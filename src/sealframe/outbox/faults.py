"""Errors of SQLite as those of :mod:`sealframe.errors`.

https://sqlite.org/rescode.html has the codes. SQLite says FULL for ENOSPC alone; a quota (EDQUOT)
and RLIMIT_FSIZE (EFBIG) are IOERR_WRITE.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from ..errors import (
    OutboxCorruptError,
    OutboxError,
    OutboxFileError,
    OutboxFullError,
    OutboxLockedError,
)

_PRIMARY: Final = 0xFF
"""The bits of an extended code that say the kind."""
_IOERR_SHMSIZE: Final = sqlite3.SQLITE_IOERR_SHMSIZE

_FULL: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, _IOERR_SHMSIZE})
_LOCKED: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_CONTRADICTORY: Final = frozenset(
    {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH}
)
_UNSYNCED: Final = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})


def translate(error: sqlite3.Error, path: str) -> OutboxError:
    """Return what an error of SQLite means for the program."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    kind = code & _PRIMARY
    if code in _FULL:
        return OutboxFullError(f"the disk is full, or a quota or limit is reached: {path}: {error}")
    if kind in _LOCKED:
        return OutboxLockedError(f"another program uses {path}: {error}")
    if kind in _DAMAGED:
        return OutboxCorruptError(f"{path} is damaged, or no outbox: {error}")
    if kind in _CONTRADICTORY:
        return OutboxCorruptError(f"{path} is not as an outbox is: {error}")
    return OutboxFileError(f"{path} cannot be opened or written: {error}")


def is_final(error: sqlite3.Error) -> bool:
    """Return whether the file cannot be used any more.

    After a failed fsync nobody knows what of the file is on the disk, and the next one may
    succeed all the same.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code in _UNSYNCED or (code & _PRIMARY) in (_DAMAGED | _CONTRADICTORY)
