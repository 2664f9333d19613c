"""The open outbox, as the client sees it: asyncio on one side, one thread on the other.

Group commit: while one transaction is under way, what is appended waits, and all of it is the next
transaction. Acknowledged messages are deleted in the same ones.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import os
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from ..buffers import BytesLike, as_bytes
from ..errors import OutboxClosedError, OutboxError, OutboxFullError, WrongLoopError
from ..files.worker import Worker
from ..wire.writers import UNKNOWN, Writers
from .batches import cost_of
from .checkpoints import Checkpoints
from .database import Database
from .lock import BeingReleasedError
from .outbox import Outbox
from .read_ahead import ReadAhead
from .status import Status

logger = logging.getLogger("sealframe.outbox")

_LARGEST_COMMIT: Final = 4 * 1024 * 1024
"""Cost at which a transaction takes no further messages, in bytes."""
_ACKNOWLEDGE_AFTER: Final = 0.1
"""Seconds for which an acknowledgement waits for a transaction to go with."""
_GIVE_AHEAD: Final = 1024
"""How many messages more count as given where a commit has to be made for that alone."""
_RETRY_AFTER: Final = 1.0
"""The same, once it could not be written."""

_RELEASED_WITHIN: Final = 30.0
"""Seconds to wait for a connection of this program that is closing."""


class _Append:
    """One call of :meth:`OutboxStore.append` that waits.

    :ivar commit: the transaction that it is part of; None: it is not handed over yet
    """

    __slots__ = ("commit", "cost", "messages", "stored")

    def __init__(self, messages: list[bytes], stored: asyncio.Future[None]) -> None:
        self.messages = messages
        self.cost = cost_of(messages)
        self.stored = stored
        self.commit: asyncio.Future[Status] | None = None


class OutboxStore:
    """An open outbox, of one event loop. :mod:`sealframe.outbox` has the whole of it.

    Methods raise :exc:`~sealframe.OutboxClosedError` after :meth:`close`,
    :exc:`~sealframe.WrongLoopError` in another loop or in a child process, and once the file is
    damaged the error that said so.
    """

    __slots__ = (
        "_acknowledged",
        "_ahead",
        "_append_room",
        "_checkpoints",
        "_closing",
        "_commit",
        "_cursor",
        "_database",
        "_error",
        "_flush",
        "_given",
        "_loop",
        "_pid",
        "_power",
        "_readable",
        "_reading",
        "_scheduled",
        "_status",
        "_waiting",
        "_worker",
    )

    def __init__(self, outbox: Outbox, database: Database, worker: Worker) -> None:
        self._loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        self._append_room = outbox.max_bytes
        self._power = outbox.durable == "power"
        self._database = database
        self._worker = worker
        self._checkpoints = Checkpoints(database, worker)
        self._status = database.status
        # The last that is acknowledged; the status has the last of which the file knows.
        self._acknowledged = self._status.acknowledged
        # The last that was read. All are serial numbers.
        self._cursor = self._status.acknowledged
        self._ahead = ReadAhead(self._status.last)
        self._readable = asyncio.Event()
        # Whether what is stored next is read at once, and so goes to a link.
        self._reading = False
        # The last that was given to one, where that is known better than from the status.
        self._given: int | None = None
        self._waiting: deque[_Append] = deque()
        self._scheduled = False
        self._commit: asyncio.Future[Status] | None = None
        self._flush: asyncio.TimerHandle | None = None
        self._error: OutboxError | None = None
        self._closing: asyncio.Future[None] | None = None

    @classmethod
    async def open(cls, outbox: Outbox) -> OutboxStore:
        """Open the file, or make it. That is one more start of its session, on the disk. Where
        this program is closing it, wait for that.

        :raises OutboxLockedError: another program uses it, or this one
        :raises OutboxCorruptError: it is damaged, or no outbox
        :raises OutboxVersionError: another version of sealframe made it
        :raises OutboxFullError: the disk is full
        :raises OutboxFileError: it cannot be opened or written, or others can read it
        """
        while True:
            try:
                return await cls._open(outbox)
            except BeingReleasedError as error:
                released = asyncio.wrap_future(error.released)
                done, _ = await asyncio.wait([released], timeout=_RELEASED_WITHIN)
                if not done:
                    raise

    @classmethod
    async def _open(cls, outbox: Outbox) -> OutboxStore:
        worker = Worker()
        opening = worker.start(Database, outbox.path, keep_free=outbox.keep_free)
        try:
            database = await worker.finish(opening)
        except asyncio.CancelledError:
            try:
                if opening.exception() is None:
                    await worker.run(opening.result().close, 0)
            finally:
                worker.close()
            raise
        except BaseException:
            worker.close()
            raise
        return cls(outbox, database, worker)

    # Of the session

    @property
    def token(self) -> bytes:
        """Who the session is, 16 bytes; a secret."""
        return self._status.token

    @property
    def start(self) -> int:
        """How often the session was begun from this file, this time included."""
        return self._status.start

    @property
    def writers(self) -> Writers:
        """From which starts the last message may be that the server has of this file."""
        return self._status.writers

    @property
    def known(self) -> bool:
        """Whether a WELCOME of the session was ever read."""
        return self._status.known

    @property
    def begun(self) -> bool:
        """Whether :meth:`begin` was called since the file was opened."""
        return self._status.begun

    @property
    def acknowledged(self) -> int:
        """The number up to which the server has acknowledged messages."""
        return self._acknowledged + self._status.shift

    @property
    def numbered(self) -> int:
        """The number of the last message that has one."""
        return self._status.numbered + self._status.shift

    @property
    def given(self) -> int:
        """The number of the last message that may have been given to a link; those behind it
        were not. Where the program was killed it may be more than really was, by what went
        together."""
        return max(self._status.given, self._acknowledged) + self._status.shift

    @property
    def superseded(self) -> bool:
        """Whether the server has said that a later start of this session was there."""
        return self._status.superseded

    @property
    def kept(self) -> int:
        """How many messages are stored and not acknowledged."""
        return self._status.last - self._acknowledged

    @property
    def nbytes(self) -> int:
        """What counts against ``max_bytes`` at the moment."""
        return self._status.cost - self._status.freed

    # Storing

    async def append(self, messages: Iterable[BytesLike]) -> None:
        """Store messages; return once a transaction with all of them is committed.

        Those of earlier calls come before them. While ``max_bytes`` is reached it waits for
        acknowledgements. Cancelled before they are handed to the thread, they are not stored;
        cancelled after that, the end of the transaction is awaited first, and they are stored
        unless it fails.

        :raises OutboxFullError: the disk is full; none of them is stored
        :raises OutboxError: they cannot be stored; none of them is
        """
        self._check()
        # The program may change a buffer before the thread has it.
        stored: asyncio.Future[None] = self._loop.create_future()
        waiting = _Append([_unchanging(message) for message in messages], stored)
        self._waiting.append(waiting)
        self._schedule()
        try:
            await stored
        except asyncio.CancelledError:
            if waiting.commit is not None:
                await _end_of(waiting.commit)
            raise

    def _schedule(self) -> None:
        # What is appended in one turn of the loop goes together.
        if not self._scheduled and self._commit is None:
            self._scheduled = True
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        """Begin the next transaction, if there is something for it and none is under way."""
        self._scheduled = False
        if self._commit is not None or self._error is not None:
            return
        batch: list[_Append] = []
        messages: list[bytes] = []
        cost, room = 0, self._append_room - self.nbytes
        while self._waiting and cost < min(room, _LARGEST_COMMIT):
            append = self._waiting.popleft()
            if not append.stored.done():
                batch.append(append)
                messages += append.messages
                cost += append.cost
        if batch or (self._waiting and self._unwritten):
            self._start(batch, messages)

    @property
    def _unwritten(self) -> bool:
        return self._acknowledged > self._status.acknowledged

    def _start(self, batch: list[_Append], messages: list[bytes]) -> None:
        # Deletions alone need no fsync: the server says again what it has.
        power = self._power and bool(messages)
        commit = self._worker.start(
            self._database.store,
            messages,
            self._acknowledged,
            give=self._reading and self._status.begun,
            power=power,
        )
        for append in batch:
            append.commit = commit
        self._commit = commit
        commit.add_done_callback(partial(self._stored, batch, messages))

    def _stored(
        self, batch: list[_Append], messages: list[bytes], commit: asyncio.Future[Status]
    ) -> None:
        self._commit = None
        error = commit.exception()
        if error is None:
            self._status = commit.result()
            self._checkpoints.count(sum(map(len, messages)))
            self._ahead.add(messages)
            self._readable.set()
        elif isinstance(error, OutboxFullError):
            # The WAL has room again once it is copied, and so have the deletions.
            self._checkpoints.make_room()
        for append in batch:
            if not append.stored.done():
                if error is None:
                    append.stored.set_result(None)
                else:
                    append.stored.set_exception(copy.copy(error))
        if error is None:
            self._hand_over()
        elif self._database.broken is not None:
            self._refuse(self._database.broken)
        elif batch and self._unwritten:
            self._start([], [])
        else:
            self._recover(error)

    def _recover(self, error: BaseException) -> None:
        if self._unwritten:
            logger.warning("acknowledgements could not be stored yet: %s", error)
            self._flush_after(_RETRY_AFTER)
        self._hand_over()

    def _refuse(self, error: OutboxError) -> None:
        self._readable.set()
        for append in self._waiting:
            if not append.stored.done():
                append.stored.set_exception(copy.copy(error))
        self._waiting.clear()

    # Acknowledging

    def acknowledge(self, number: int) -> None:
        """The server has all messages up to this number: forget them with the next transaction.

        Those that are forgotten already stay so. What is not written when the program is killed is
        sent again, and the server says that it has it.

        :raises ValueError: there is no such number yet
        """
        self._check()
        serial = number - self._status.shift
        if serial > self._status.numbered:
            raise ValueError(f"message {number} is acknowledged, of {self.numbered}")
        if serial > self._acknowledged:
            self._acknowledged = serial
            self._cursor = max(self._cursor, serial)
            if self._waiting:
                self._schedule()
            self._flush_after(_ACKNOWLEDGE_AFTER)

    def _flush_after(self, delay: float) -> None:
        if self._flush is None:
            self._flush = self._loop.call_later(delay, self._flush_now)

    def _flush_now(self) -> None:
        self._flush = None
        if self._error is None and self._unwritten:
            if self._commit is None:
                self._start([], [])
            else:
                self._flush_after(_ACKNOWLEDGE_AFTER)

    # Numbering and reading

    async def begin(self, taken: int, writer: bytes = UNKNOWN) -> None:
        """A numbering begins: messages up to number ``taken`` are forgotten, and those behind
        it read again. On the disk when it returns. No :meth:`read` goes on meanwhile.

        :param taken: how many messages of this session the server has taken. At the first time
            since the file was opened it may be more than was ever numbered
        :param writer: which start the server says that the last of them is from
        :raises ValueError: it is out of bounds
        :raises OutboxError: it cannot be stored; nothing has changed
        """
        self._check()
        if taken < self.acknowledged or (self.begun and taken > self.numbered):
            raise ValueError(
                f"{taken} messages are taken, and {self.acknowledged} of {self.numbered} "
                "were acknowledged"
            )
        await self._change(self._worker.start(self._database.begin, taken, writer))

    async def renew(self, after: int) -> None:
        """Another session begins, with a new token and start 1: messages up to a number are
        forgotten, those behind it are its first.

        :param after: from what is acknowledged to what is numbered
        :raises ValueError: it is out of bounds
        :raises OutboxError: it cannot be stored; nothing has changed
        """
        self._check()
        if not self.acknowledged <= after <= self.numbered:
            raise ValueError(f"message {after} is not from {self.acknowledged} to {self.numbered}")
        serial = after - self._status.shift
        await self._change(self._worker.start(self._database.renew, serial))

    async def supersede(self) -> None:
        """Note that a later start of this session was at the server.

        :raises OutboxError: it cannot be stored; nothing has changed
        """
        self._check()
        await self._change(self._worker.start(self._database.supersede), rewind=False)

    def settle(self, given: int) -> None:
        """Nothing more is given to a link in this start.

        :param given: the number of the last message that was, in this start or an earlier one
        """
        self._given = given - self._status.shift

    async def _change(self, change: asyncio.Future[Status], *, rewind: bool = True) -> None:
        change.add_done_callback(partial(self._changed, rewind))
        await self._worker.finish(change)

    def _changed(self, rewind: bool, change: asyncio.Future[Status]) -> None:
        # Here and not in the coroutine: that may have been cancelled, and later ones be done.
        if change.exception() is None:
            self._status = change.result()
            self._acknowledged = max(self._acknowledged, self._status.acknowledged)
            if rewind:
                self._cursor = self._acknowledged
            self._readable.set()
            # There may be room now.
            self._schedule()

    async def read(self, size: int) -> list[bytes]:
        """Return the next messages in order, at least one: the first after ``taken`` of
        :meth:`begin`, and so on. Wait until there is one. Cancelled, it has read nothing.

        That they may be given to a link is stored first, as durable as messages are: while
        somebody waits here, with the messages themselves.

        :param size: cost of all, about, in bytes
        :raises OutboxCorruptError: the file is damaged
        """
        while True:
            self._check()
            status, cursor = self._status, self._cursor
            if not status.begun or cursor >= status.last:
                self._readable.clear()
                self._reading = True
                await self._readable.wait()
                continue
            self._reading = False
            messages = self._ahead.take(cursor, size)
            if not messages:
                until = self._ahead.first - 1
                messages = await self._worker.run(self._database.read, cursor, until, size)
                if self._cursor != cursor:
                    continue
            until = cursor + len(messages)
            if until > self._status.given:
                until = max(until, min(status.last, until + _GIVE_AHEAD))
                give = self._worker.start(self._database.give, until, power=self._power)
                await self._change(give, rewind=False)
                if self._cursor != cursor:
                    continue
            self._cursor += len(messages)
            return messages

    # The end

    def close_soon(self) -> None:
        """Have whoever opens the file in this program wait for :meth:`close`."""
        self._database.release_soon()

    async def close(self) -> None:
        """Finish what is being stored, refuse what waits, and close the file."""
        if self._closing is None:
            self._check_owner()
            self.close_soon()
            self._error = OutboxClosedError("the outbox is closed")
            self._closing = asyncio.ensure_future(self._close())
        await self._worker.finish(self._closing)

    async def _close(self) -> None:
        assert self._error is not None
        if self._flush is not None:
            self._flush.cancel()
        self._refuse(self._error)
        if self._commit is not None:
            await _end_of(self._commit)
        await self._checkpoints.close()
        try:
            await self._worker.run(self._database.close, self._acknowledged, self._given)
        finally:
            self._worker.close()

    def _check_owner(self) -> None:
        if self._pid != os.getpid():
            raise WrongLoopError(
                "the outbox was opened before this process was forked off, and is its parent's"
            )
        if asyncio.get_running_loop() is not self._loop:
            raise WrongLoopError("the outbox belongs to another event loop")

    def _check(self) -> None:
        self._check_owner()
        error = self._error or self._database.broken
        if error is not None:
            raise copy.copy(error)


def _unchanging(message: BytesLike) -> bytes:
    return message if type(message) is bytes else as_bytes(message)


async def _end_of(running: asyncio.Future[Any]) -> None:
    """Wait, however often the task is cancelled meanwhile; its caller raises that."""
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            continue
