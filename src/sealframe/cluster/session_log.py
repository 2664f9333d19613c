"""The logs of a cluster's sessions: a stream of JetStream, in it a subject for each session.

Who writes says which message has to be the last one of the subject (optimistic concurrency), so a
server that another one has taken a session over from can write nothing more. A write is tried
again, under the same ``Nats-Msg-Id``, until JetStream has it: while a stream has no leader, some
seconds after its node is gone, writes wait.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import secrets
from typing import Final

from ..aio.tasks import start_task
from ..errors import ClusterError, ClusterUnavailableError
from ..server.moving import LaterLink, SessionQuestion
from ..server.session_store import (
    Entry,
    SessionLog,
    SessionTakenError,
    StoredSession,
    TakenOver,
)
from ..server.session_table import Attempt, EndedSession
from ..server.session_writers import may_follow
from ..wire.writers import UNKNOWN
from .nats_link import NatsLink
from .nats_stream import NatsStream
from .session_records import Record, SessionHistory, parts_of
from .subjects import Subjects

logger = logging.getLogger("sealframe.cluster")

_LONG: Final = 5.0
"""Seconds after which a write that waits is told of in the log."""
_PAUSE: Final = 0.1
"""Seconds before a write is tried again."""
_TAKE_OVER_TIMEOUT: Final = 15.0
"""Seconds in which a session is taken over; then its client comes again."""
_OPEN_TIMEOUT: Final = 10.0
"""Seconds in which the stream is there when a server starts."""
_SPARE_AGE: Final = 600.0
"""Seconds beyond ``keep`` for which NATS keeps what was written."""
_RENEW: Final = _SPARE_AGE / 4
"""Seconds after which a session that goes on writes all of it anew, or twice as many: so nothing
that is needed is older than half of the spare age when its server is killed."""
_MOST_RECORDS: Final = 256
"""So many records are needed at most before all of them are written anew, as one: each takes a
round trip where a session is taken over."""
_TRIM: Final = 32
"""So many records that are not needed any more are deleted together."""
_HEADERS: Final = 1024
"""Bytes of a message's headers, at most: they count for what NATS takes."""


class JetStreamLog(SessionLog):
    """The log of one session.

    :param subject: of the session
    :param history: what is in it
    """

    def __init__(self, stream: NatsStream, subject: str, history: SessionHistory) -> None:
        # From when on it is to be told of that a write waits.
        self._warn_at: float | None = None
        self._renewed = asyncio.get_running_loop().time()
        self._stream = stream
        self._subject = subject
        self.history = history
        self._owner = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self._deleting: asyncio.Task[None] | None = None

    @property
    def longest_pause(self) -> float:
        return _RENEW

    async def append(self, entry: Entry) -> None:
        await self._write(self.history.entry(entry, self.history.attempt))
        now = asyncio.get_running_loop().time()
        if now - self._renewed >= _RENEW or self.history.records >= _MOST_RECORDS:
            # Before NATS deletes the oldest of it for its age, or it takes long to read.
            await self._write(self.history.snapshot())
            self._renewed = now

    async def confirm(self, attempt: Attempt) -> None:
        history = self.history
        await self._write(history.entry(Entry(history.taken), attempt))

    async def end(self, ended: EndedSession) -> None:
        await self._write(self.history.end(ended))
        await self._delete(self.history.last)

    async def take_over(self, attempt: Attempt, numbering: int, base: int, own: bytes) -> None:
        """Own the session from now on.

        :param own: the writer of the client's start
        :raises SessionTakenError: somebody has written meanwhile
        """
        await self._write(self.history.taken_over(attempt, numbering, base, own))

    def acknowledged(self, messages: int, frames: int) -> None:
        history = self.history
        history.acknowledged(history.base + messages, frames)
        if self._deleting is None:
            sequence = history.unneeded(_TRIM)
            if sequence:
                self._deleting = start_task(self._delete, sequence, name="sealframe-log-trim")
                self._deleting.add_done_callback(self._deleted)

    def _deleted(self, _: asyncio.Task[None]) -> None:
        self._deleting = None

    async def _delete(self, sequence: int) -> None:
        """Delete what is before that; what stays is deleted for its age."""
        try:
            await self._stream.delete_before(self._subject, sequence)
        except ClusterError as error:
            logger.debug("a part of a session's log was not deleted: %s", error)

    async def _write(self, record: Record) -> None:
        began = 0
        for part in parts_of(record.encode(), self._stream.max_payload - _HEADERS):
            sequence = await self._publish(part)
            began = began or sequence
        self.history.apply(record, began, self.history.last)

    async def _publish(self, part: bytes) -> int:
        number = next(self._numbers)
        while True:
            last = self.history.last
            try:
                sequence = await self._stream.publish(
                    self._subject, part, id=f"{self._owner}-{number}", last=last
                )
            except SessionTakenError:
                # The answer to an earlier attempt may have been lost.
                sequence = await self._last_of_ours(number, last)
                if sequence == last:
                    raise
            except ClusterError as error:
                await self._wait(error)
                continue
            self._warn_at = None
            self.history.last = sequence
            return sequence

    async def _wait(self, error: ClusterError) -> None:
        """Wait before the next attempt; say so once if it has been long."""
        now = asyncio.get_running_loop().time()
        if self._warn_at is None:
            self._warn_at = now + _LONG
        elif now >= self._warn_at:
            self._warn_at = math.inf
            logger.warning("a session waits for its log for %g s: %s", _LONG, error)
        logger.debug("the log of a session waits: %s", error)
        await asyncio.sleep(_PAUSE)

    async def _last_of_ours(self, number: int, last: int) -> int:
        """Return the sequence of a message that was written after all, else ``last``."""
        while True:
            try:
                found = await self._stream.last(self._subject)
            except ClusterError as error:
                await self._wait(error)
                continue
            if found is not None and found.id == f"{self._owner}-{number}":
                return found.sequence
            return last


class JetStreamStore:
    """The logs of all sessions of a cluster.

    :param stream: the cluster's
    """

    def __init__(self, stream: NatsStream) -> None:
        self._stream = stream

    async def take_over(
        self, question: SessionQuestion, numbering: int, known: bool
    ) -> StoredSession:
        """Own a session from now on.

        :raises ClusterUnavailableError: JetStream cannot be used now
        """
        try:
            async with asyncio.timeout(_TAKE_OVER_TIMEOUT):
                while True:
                    try:
                        return await self._take_over(question, numbering, known)
                    except SessionTakenError:
                        # Another server, or the one that had it, was faster: look again.
                        continue
        except TimeoutError:
            raise ClusterUnavailableError(
                "the log of a session cannot be read or written now: JetStream does not answer"
            ) from None

    async def _take_over(
        self, question: SessionQuestion, numbering: int, known: bool
    ) -> StoredSession:
        subject = self._stream.subject_of(question.key)
        history = await self._read(subject)
        if history.ended is not None:
            return history.ended
        writers, last = question.writers, history.writer
        if question.attempt <= history.attempt or not may_follow(writers, last):
            return LaterLink(history.attempt)
        if known and not history.exists:
            return None
        unsent: tuple[bytes, ...] | None = ()
        base = history.arrived(question.numbering, question.received)
        if question.attempt[0] == history.attempt[0]:
            unsent = history.after(base)
        elif history.exists:
            # The client's program was started again: what had come to it is not known.
            base = history.total
        if unsent is None:
            return None
        log = JetStreamLog(self._stream, subject, history)
        own = UNKNOWN if writers is None else writers.own
        await log.take_over(question.attempt, numbering, base, own)
        return TakenOver(log, numbering, history.taken, unsent, last)

    async def _read(self, subject: str) -> SessionHistory:
        """Return what is in a log, as the leader of the stream knows it."""
        history = SessionHistory()
        while (message := await self._stream.next(subject, history.last + 1)) is not None:
            history.read(message.sequence, message.data)
        return history


async def open_logs(
    link: NatsLink, subjects: Subjects, keep: float, replicas: int
) -> JetStreamStore:
    """Make the stream of a cluster, if it is not there.

    :param keep: seconds for which a session without a server is kept at least
    :raises ClusterUnavailableError: JetStream does not answer in time, or has too few nodes
    :raises ClusterError: it is not enabled, or is no cluster, or we may not
    """
    max_age = keep + _SPARE_AGE
    stream = NatsStream(
        link.jetstream, lambda: link.max_payload, subjects.stream, subjects.sessions
    )
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _OPEN_TIMEOUT
    while True:
        try:
            await stream.open(max_age, replicas)
            await stream.check()
        except ClusterUnavailableError:
            if "permissions violation" in link.refusal.lower():
                raise ClusterError(
                    f"NATS does not let this server keep a log of sessions: {link.refusal}"
                ) from None
            # The nodes may have no leader yet, or one of them may be on its way.
            if loop.time() > deadline:
                raise
            await asyncio.sleep(_PAUSE)
        else:
            return JetStreamStore(stream)
