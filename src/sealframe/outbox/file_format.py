"""What the file is like: its marks, its tables, and what a read of them gives."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from ..errors import OutboxCorruptError, OutboxVersionError
from ..wire import SESSION_TOKEN_SIZE
from ..wire.writers import Writers
from .status import Status

APPLICATION: Final = int.from_bytes(b"sfob", "big")
"""``application_id`` of the file."""
FORMAT: Final = 3
"""``user_version`` of the file."""

SCHEMA: Final = """
CREATE TABLE session (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    token BLOB NOT NULL,
    start INTEGER NOT NULL,
    known INTEGER NOT NULL,
    shift INTEGER NOT NULL,
    numbered INTEGER,
    given INTEGER NOT NULL,
    superseded INTEGER NOT NULL,
    acknowledged INTEGER NOT NULL,
    freed INTEGER NOT NULL,
    writers BLOB NOT NULL
);
CREATE TABLE batch (
    last INTEGER PRIMARY KEY,
    cost INTEGER NOT NULL,
    data BLOB NOT NULL
)
"""
COLUMNS: Final = (
    "token, start, known, shift, numbered, given, superseded, acknowledged, freed, writers"
)


def row_of(connection: sqlite3.Connection, sql: str, *values: Any) -> tuple[Any, ...] | None:
    """Return the first row of a query; None where there is none."""
    # All of them: a statement that has rows left holds a read transaction.
    rows: list[tuple[Any, ...]] = connection.execute(sql, values).fetchall()
    return rows[0] if rows else None


def is_fresh(connection: sqlite3.Connection, path: str) -> bool:
    """Return whether the file is empty still; otherwise check whose it is.

    :raises OutboxCorruptError: it is no outbox
    :raises OutboxVersionError: another version of sealframe made it
    """
    application, version = (
        (row_of(connection, f"PRAGMA {mark}") or (None,))[0]
        for mark in ("application_id", "user_version")
    )
    tables = row_of(connection, "SELECT 1 FROM sqlite_master")
    if tables is None and not application and not version:
        return True
    if application != APPLICATION:
        raise OutboxCorruptError(f"{path} is a database of another program")
    if version != FORMAT:
        raise OutboxVersionError(
            f"{path} has format {version}, and this version of sealframe knows format {FORMAT}: "
            "use the version that made the file, at least until all of its messages are delivered"
        )
    return False


def read_status(connection: sqlite3.Connection, path: str) -> Status:
    """Return what the file says.

    :raises OutboxCorruptError: it contradicts itself
    """
    row = row_of(connection, f"SELECT {COLUMNS} FROM session")
    newest = row_of(connection, "SELECT last, cost FROM batch ORDER BY last DESC LIMIT 1")
    if row is None or not isinstance(row[0], bytes) or len(row[0]) != SESSION_TOKEN_SIZE:
        raise OutboxCorruptError(f"{path} names no session")
    token, *numbers, names = row
    try:
        # SQLite stores any type in any column.
        writers = Writers.decode(names if isinstance(names, bytes) else b"")
    except ValueError:
        raise OutboxCorruptError(f"{path} does not say who has written it") from None
    last, cost = newest or (numbers[6], numbers[7])
    if not all(isinstance(number, int | None) for number in (*numbers, last, cost)):
        raise OutboxCorruptError(f"{path} has no numbers where some belong")
    start, known, shift, numbered, given, superseded, acknowledged, freed = (
        number or 0 for number in numbers
    )
    status = Status(
        token=token,
        writers=writers,
        start=start,
        known=bool(known),
        shift=shift,
        unnumbered_after=last if numbers[3] is None else numbered,
        given=max(given, acknowledged),
        superseded=bool(superseded),
        acknowledged=acknowledged,
        freed=freed,
        last=last,
        cost=cost,
    )
    # A row goes when its last message is acknowledged.
    forgotten = newest is not None and acknowledged == last
    if forgotten or not acknowledged <= status.given <= status.numbered <= last:
        raise OutboxCorruptError(f"{path} contradicts itself: {status}")
    return status
