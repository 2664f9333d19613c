"""The file of an outbox: an SQLite database in WAL mode. It blocks; one thread uses it.

The rows of ``batch`` are what was stored together, at most 64 KiB or one message. In WAL mode
commits with ``synchronous=NORMAL`` survive the end of the process, and after loss of power some of
the last are missing, none before them (https://sqlite.org/wal.html). With ``FULL`` the commit and
all before it are on the disk. Only SQLite opens the database file: its locks would be gone.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ..errors import (
    OutboxCorruptError,
    OutboxError,
    OutboxFileError,
    OutboxFullError,
)
from ..trust.disk import sync_folder
from ..wire import SESSION_TOKEN_SIZE
from ..wire.writers import Writers
from .batches import MalformedBatchError, cost_of, pack, split, unpack
from .faults import is_final, translate
from .file_format import APPLICATION, COLUMNS, FORMAT, SCHEMA, is_fresh, read_status, row_of
from .forking import fork_guard
from .lock import FileLock
from .private_file import make_or_check
from .status import Status

_BUSY_TIMEOUT: Final = 5.0
"""Seconds to wait for another program that looks into the file with SQLite."""
_SHORT_LOG: Final = 4 * 1024 * 1024
"""Bytes to which SQLite shortens the file of the WAL when it begins it anew."""
_LARGEST_LOG: Final = 16 * 1024 * 1024
"""Bytes of the WAL at which the next transaction waits until it is copied, at most and"""
_SMALLEST_LOG: Final = 64 * 1024
"""at least: no more than what is kept free, so that there is room for the copy."""

# Waits for nobody: another program that reads may take its time.
_COPY_LOG: Final = "PRAGMA wal_checkpoint(PASSIVE)"


class Database:
    """The open file. Only :meth:`checkpoint` and :meth:`release_soon` may be called in
    another thread than the others.

    :param path: the file
    :param keep_free: bytes of the disk that messages leave free
    :ivar status: as of the last commit
    :ivar broken: why it cannot be used any more
    :raises OutboxError: it cannot be opened; the class says why
    """

    __slots__ = (
        "_checkpointer",
        "_checkpointing",
        "_connection",
        "_full",
        "_keep_free",
        "_largest_log",
        "_lock",
        "_path",
        "_working",
        "broken",
        "status",
    )

    def __init__(self, path: str, *, keep_free: int) -> None:
        self._path = os.path.realpath(path)
        self._keep_free = keep_free
        self._largest_log = max(_SMALLEST_LOG, min(_LARGEST_LOG, keep_free))
        self._working, self._checkpointing = fork_guard(), fork_guard()
        self._full: bool | None = None
        self.broken: OutboxError | None = None
        self._lock = FileLock(self._path)
        try:
            make_or_check(self._path)
            with self._translated(), self._working:
                self._connection = self._connect()
                try:
                    self.status = self._open()
                    self._checkpointer = self._connect()
                except BaseException:
                    self._connection.close()
                    raise
        except BaseException:
            self._lock.release()
            raise

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        try:
            # fsync of macOS does not wait for the disk.
            for pragma in ("fullfsync=1", "checkpoint_fullfsync=1", "wal_autocheckpoint=0"):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute(f"PRAGMA journal_size_limit={_SHORT_LOG}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _pragma(self, pragma: str) -> Any:
        row = row_of(self._connection, f"PRAGMA {pragma}")
        return None if row is None else row[0]

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            fault = translate(error, self._path)
            if is_final(error):
                self.broken = fault
            raise fault from error

    @contextmanager
    def _transaction(self, *, full: bool) -> Iterator[None]:
        """All or nothing of what the block writes; ``full``: on the disk at the end."""
        if self._log_size() > self._largest_log:
            with suppress(OutboxFullError):
                self.copy_log()
        with self._translated(), self._working, self._atomic(full=full):
            yield

    @contextmanager
    def _atomic(self, *, full: bool) -> Iterator[None]:
        if full is not self._full:
            self._connection.execute(f"PRAGMA synchronous={'FULL' if full else 'NORMAL'}")
            self._full = full
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # Some errors have rolled back already.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    # Opening

    def _open(self) -> Status:
        fresh = is_fresh(self._connection, self._path)
        if (mode := self._pragma("journal_mode=WAL")) != "wal":
            raise OutboxFileError(
                f"{self._path} is on a file system that SQLite cannot use WAL on ({mode}); "
                "use a disk of this machine"
            )
        # On the disk before the first HELLO: no two starts have one number.
        with self._atomic(full=True):
            status = self._fresh() if fresh else self._count_start()
        if fresh:
            # SQLite does that for its journals alone.
            sync_folder(Path(self._path))
        return status

    def _fresh(self) -> Status:
        status = Status(
            token=secrets.token_bytes(SESSION_TOKEN_SIZE),
            writers=Writers.draw(),
            start=1,
            known=False,
            shift=0,
            unnumbered_after=0,
            given=0,
            superseded=False,
            acknowledged=0,
            freed=0,
            last=0,
            cost=0,
        )
        for statement in SCHEMA.split(";"):
            self._connection.execute(statement)
        self._connection.execute(f"PRAGMA application_id={APPLICATION}")
        self._connection.execute(f"PRAGMA user_version={FORMAT}")
        self._connection.execute(
            f"INSERT INTO session(id, {COLUMNS}) VALUES (1, ?, 1, 0, 0, 0, 0, 0, 0, 0, ?)",
            (status.token, status.writers.encode()),
        )
        return status

    def _count_start(self) -> Status:
        status = read_status(self._connection, self._path)
        writers = Writers.draw(status.writers.earlier)
        status = replace(status, start=status.start + 1, writers=writers)
        self._connection.execute(
            "UPDATE session SET start = ?, numbered = ?, writers = ?",
            (status.start, status.numbered, writers.encode()),
        )
        return status

    # Writing

    def store(
        self, messages: list[bytes], acknowledged: int, *, give: bool = False, power: bool
    ) -> Status:
        """Store messages, and forget those up to a serial number, in one transaction.

        :param give: whether these, and all before them, may be given to a link from then on
        :param power: whether it is on the disk at the end
        :raises OutboxError: nothing has changed
        """
        status = self.status
        last, cost = status.last, status.cost
        rows = []
        for batch in split(messages):
            last += len(batch)
            cost += cost_of(batch)
            rows.append((last, cost, pack(batch)))
        if rows:
            self._check_disk(cost - status.cost)
        with self._transaction(full=power):
            freed = self._forget(acknowledged)
            for row in rows:
                self._connection.execute("INSERT INTO batch VALUES (?, ?, ?)", row)
            if give:
                self._connection.execute("UPDATE session SET given = ?", (last,))
        self.status = replace(
            status,
            given=last if give else max(status.given, acknowledged),
            last=last,
            cost=cost,
            acknowledged=max(acknowledged, status.acknowledged),
            freed=freed,
        )
        return self.status

    def _check_disk(self, cost: int) -> None:
        # Twice: in the WAL, and when that is copied.
        free = shutil.disk_usage(Path(self._path).parent).free
        if free < self._keep_free + 2 * cost:
            raise OutboxFullError(
                f"the disk is full: {free} bytes are free where {self._path} is, of which "
                f"keep_free leaves {self._keep_free}"
            )

    def begin(self, taken: int, writer: bytes) -> Status:
        """A numbering begins: give every message its number, durably.

        :param taken: the number up to which the server has them. More than was ever numbered: this
            file is older than what was sent from it, and what has no number comes behind that
        :param writer: which start the server says that the last of them is from. Messages may be
            from that one, or from now on from this
        :raises OutboxError: nothing has changed
        """
        status = self.status
        shift = max(status.shift, taken - status.numbered)
        acknowledged = max(taken - shift, status.acknowledged)
        writers = replace(status.writers, earlier=(status.writers.own, writer))
        with self._transaction(full=True):
            self._connection.execute(
                "UPDATE session SET known = 1, shift = ?, numbered = NULL, writers = ?",
                (shift, writers.encode()),
            )
            freed = self._forget(acknowledged)
        self.status = replace(
            status,
            writers=writers,
            known=True,
            shift=shift,
            unnumbered_after=None,
            given=max(status.given, acknowledged),
            acknowledged=acknowledged,
            freed=freed,
        )
        return self.status

    def give(self, until: int, *, power: bool) -> Status:
        """Messages up to a serial number may be given to a link from now on, or, where it is
        less than before, were given to none.

        :param power: whether that is on the disk at the end
        :raises OutboxError: nothing has changed
        """
        with self._transaction(full=power):
            self._connection.execute("UPDATE session SET given = ?", (until,))
        self.status = replace(self.status, given=until)
        return self.status

    def supersede(self) -> Status:
        """Note that a later start of this session was at the server.

        :raises OutboxError: nothing has changed
        """
        with self._transaction(full=True):
            self._connection.execute("UPDATE session SET superseded = 1")
        self.status = replace(self.status, superseded=True)
        return self.status

    def renew(self, after: int) -> Status:
        """Another session begins: forget messages up to a serial number, and all numbers.

        :raises OutboxError: nothing has changed
        """
        token = secrets.token_bytes(SESSION_TOKEN_SIZE)
        writers = replace(self.status.writers, earlier=())
        with self._transaction(full=True):
            self._connection.execute(
                "UPDATE session SET token = ?, start = 1, known = 0, shift = ?, numbered = ?, "
                "given = ?, superseded = 0, writers = ?",
                (token, -after, after, after, writers.encode()),
            )
            freed = self._forget(after)
        self.status = replace(
            self.status,
            token=token,
            writers=writers,
            start=1,
            known=False,
            shift=-after,
            unnumbered_after=after,
            given=after,
            superseded=False,
            acknowledged=after,
            freed=freed,
        )
        return self.status

    def _forget(self, acknowledged: int) -> int:
        if acknowledged <= self.status.acknowledged:
            return self.status.freed
        row = row_of(
            self._connection,
            "SELECT cost FROM batch WHERE last <= ? ORDER BY last DESC LIMIT 1",
            acknowledged,
        )
        freed = self.status.freed if row is None else int(row[0])
        self._connection.execute("DELETE FROM batch WHERE last <= ?", (acknowledged,))
        self._connection.execute(
            "UPDATE session SET acknowledged = ?, freed = ?", (acknowledged, freed)
        )
        return freed

    # Reading

    def read(self, after: int, until: int, size: int) -> list[bytes]:
        """Return the messages behind one serial number and up to another, one at least.

        :param size: cost of all, about; the last row is read whole
        :raises OutboxCorruptError: there is a message missing
        """
        messages: list[bytes] = []
        with (
            self._translated(),
            self._working,
            closing(
                self._connection.execute(
                    "SELECT last, data FROM batch WHERE last > ? ORDER BY last", (after,)
                )
            ) as rows,
        ):
            for last, data in rows:
                next_one = after + len(messages) + 1
                found = self._unpack(data)
                skipped = next_one - (last - len(found) + 1)
                if skipped < 0:
                    self._fail(f"message {next_one} is missing")
                found = found[skipped : len(found) - max(0, last - until)]
                messages += found
                size -= cost_of(found)
                if last >= until or size <= 0:
                    break
        if not messages:
            self._fail(f"message {after + 1} is missing")
        return messages

    def _unpack(self, data: bytes) -> list[bytes]:
        try:
            return unpack(data)
        except MalformedBatchError as error:
            self._fail(str(error))
            raise

    def _fail(self, text: str) -> None:
        self.broken = OutboxCorruptError(f"{self._path} is damaged: {text}")
        raise self.broken

    # The WAL

    def checkpoint(self) -> None:
        """Copy what is in the WAL into the database, beside commits.

        :raises OutboxError: it could not be copied
        """
        with self._translated(), self._checkpointing:
            self._checkpointer.execute(_COPY_LOG).fetchall()

    def copy_log(self) -> None:
        """Do the same between two commits: all is copied, and the next one begins the WAL anew.

        :raises OutboxError: it could not be copied
        """
        with self._translated(), self._working, self._checkpointing:
            self._connection.execute(_COPY_LOG).fetchall()

    def _log_size(self) -> int:
        try:
            return Path(self._path + "-wal").stat().st_size
        except OSError as error:
            self.broken = OutboxFileError(f"the log of {self._path} is gone: {error.strerror}")
            raise self.broken from error

    def release_soon(self) -> None:
        """Have others of this program wait for :meth:`close`. Any thread may call this."""
        self._lock.release_soon()

    def close(self, acknowledged: int, given: int | None = None) -> None:
        """Forget messages up to a serial number if that can be done, and close the file.

        :param given: the last that was given to a link; None where that is not known better
        """
        try:
            # Else the server says it again, and more counts as given than was.
            with suppress(OutboxError):
                if self.broken is None and acknowledged > self.status.acknowledged:
                    self.store([], acknowledged, power=False)
                if self.broken is None and given is not None and given < self.status.given:
                    self.give(max(given, self.status.acknowledged), power=False)
        finally:
            with self._working, self._checkpointing:
                self._checkpointer.close()
                # The last one to close copies the WAL.
                self._connection.close()
            self._lock.release()
