"""Reads what is in the file of an outbox, whoever uses it: it takes no lock and changes nothing."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from ..errors import OutboxFileError
from ..wire.session_name import public_name
from .faults import translate
from .file_format import is_fresh, read_status
from .forking import fork_guard
from .state import OutboxState, SessionState

_BUSY_TIMEOUT: Final = 5.0
"""Seconds to wait while SQLite begins or ends the use of the file elsewhere."""


def look_into(path: str) -> OutboxState:
    """Return what the file says. It blocks.

    :raises OutboxFileError: there is none, or it cannot be read
    :raises OutboxCorruptError: it is damaged, or no outbox
    :raises OutboxVersionError: another version of sealframe made it
    """
    path = os.path.realpath(path)
    try:
        status = Path(path).stat()
    except OSError as error:
        raise OutboxFileError(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise OutboxFileError(f"{path} is not a file")
    try:
        with fork_guard():
            return _read(path)
    except sqlite3.Error as error:
        raise translate(error, path) from error


def _read(path: str) -> OutboxState:
    name = f"{Path(path).as_uri()}?mode=ro"
    opening = sqlite3.connect(name, uri=True, timeout=_BUSY_TIMEOUT, isolation_level=None)
    with closing(opening) as connection:
        # Both tables as of one commit.
        connection.execute("BEGIN")
        if is_fresh(connection, path):
            return OutboxState(
                accepted=0,
                acknowledged=0,
                waiting=0,
                cost=0,
                session="new",
                name="",
                file_size=_size_of(path),
            )
        status = read_status(connection, path)
        session: SessionState = "begun" if status.known else "new"
        return OutboxState(
            accepted=status.last,
            acknowledged=status.acknowledged,
            waiting=status.last - status.acknowledged,
            cost=status.cost - status.freed,
            session="superseded" if status.superseded else session,
            name=public_name(status.token),
            file_size=_size_of(path),
        )


def _size_of(path: str) -> int:
    size = 0
    for name in (path, path + "-wal"):
        with suppress(FileNotFoundError):
            size += Path(name).stat().st_size
    return size
