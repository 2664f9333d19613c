"""Keeps the WAL small: it is copied into the database in a thread of its own, beside commits.

SQLite begins the WAL anew only if a commit finds all of it copied. Where commits never stop, that
may never be so: there is a bound in :class:`~sealframe.outbox.database.Database` for that.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from ..files.worker import Worker
from .database import Database

logger = logging.getLogger("sealframe.outbox")

_DUE: Final = 4 * 1024 * 1024
"""Bytes written after which it is copied."""
_COMMIT: Final = 12 * 1024
"""What a commit writes beside the messages, in bytes, about."""


class Checkpoints:
    """Decides when the WAL is copied.

    :param writer: the thread that commits
    """

    __slots__ = ("_database", "_running", "_worker", "_writer", "_written")

    def __init__(self, database: Database, writer: Worker) -> None:
        self._database = database
        self._writer = writer
        self._worker = Worker()
        self._written = 0
        self._running: asyncio.Future[None] | None = None

    def count(self, nbytes: int) -> None:
        """A commit has written so many bytes of messages."""
        self._written += nbytes + _COMMIT
        if self._written >= _DUE and self._running is None:
            self._written = 0
            self._running = self._worker.start(self._database.checkpoint)
            self._running.add_done_callback(self._done)

    def _done(self, running: asyncio.Future[None]) -> None:
        self._running = None
        _log_failure(running)

    def make_room(self) -> None:
        """The disk is full: have the next commit begin the WAL anew, in the room that it has."""
        self._writer.start(self._database.copy_log).add_done_callback(_log_failure)

    async def close(self) -> None:
        """Wait for what runs; it is the last."""
        if self._running is not None:
            await asyncio.wait([self._running])
        self._worker.close()


def _log_failure(running: asyncio.Future[None]) -> None:
    error = running.exception()
    if error is not None:
        logger.warning("the log of the outbox could not be copied: %s", error)
