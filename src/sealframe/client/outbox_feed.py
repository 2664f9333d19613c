"""Between an outbox and the session of a client: what the program sends goes through the file.

``send`` stores a message, a task reads what is stored and gives it to the send queue, and what the
server acknowledges is forgotten. docs/PROTOCOL.md, section 12: a message has no number before the
first WELCOME of this start, and its number is on the disk before it is given to a link.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from ..aio.send_queue import checked
from ..aio.session_protocol import SessionProtocol
from ..aio.tasks import start_task
from ..core.channel_frames import ViolationError
from ..core.retention import Retention
from ..core.session import Session
from ..errors import (
    ConnectionClosedError,
    MessageTooLargeError,
    NotSupportedError,
    OutboxClosedError,
    OutboxError,
    SessionLostError,
)
from ..outbox import Outbox
from ..wire import MIN_ACK_BY, CloseCode
from ..wire.control import Close, SessionWelcome
from ..wire.writers import UNKNOWN, Writers

if TYPE_CHECKING:
    from ..aio._queues_py import SendQueueOwner
    from ..outbox.store import OutboxStore

logger = logging.getLogger("sealframe.client")

_READ: Final = 64 * 1024
"""Cost that is read and put into the send queue at a time, in bytes."""
_MAX_TAKEN: Final = 2**63 - 1
"""The largest number of SQLite."""
_LOST: Final = frozenset({CloseCode.SESSION_LOST, CloseCode.SUPERSEDED})


_COPIED: Final = (
    "another start of this session was at the server: there is a copy of this outbox, and only one "
    "of them can go on. This one holds {}, and keeps what it holds: give it a session of its own "
    "with Outbox.begin_anew(), or delete it"
)


class OutboxFeed:
    """The open outbox of one connection, and the queue in which that puts what is sent.

    It implements :class:`~sealframe.aio.connection.MessageQueue`.

    :ivar refusal: the server's CLOSE in place of the first WELCOME
    """

    __slots__ = (
        "_appending",
        "_closing",
        "_given",
        "_given_before",
        "_protocol",
        "_pumping",
        "_renewed",
        "_session",
        "_store",
        "_superseded",
        "_taken",
        "_writer",
        "refusal",
    )

    def __init__(self, store: OutboxStore) -> None:
        self._store = store
        # Calls that store something now.
        self._appending = 0
        # By earlier starts.
        self._given_before = store.given
        # Of this start's first WELCOME.
        self._taken = 0
        self._writer = UNKNOWN
        # The number of the last message that was put into the send queue.
        self._given = 0
        self._protocol: SessionProtocol | None = None
        self._session: _StoredSession | None = None
        self._superseded = False
        self._pumping: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        # Set where another numbering has begun.
        self._renewed = asyncio.Event()
        self.refusal: Close | None = None

    @classmethod
    async def open(cls, outbox: Outbox) -> OutboxFeed:
        """Open the file: one more start.

        :raises OutboxError: it cannot be opened
        :raises SessionLostError: there is a copy of the file, and the server knows that one
        """
        # Most programs need no SQLite.
        from ..outbox.store import OutboxStore

        feed = cls(await OutboxStore.open(outbox))
        if feed._store.superseded:
            lost = feed.lost(feed.copied_text(), code=CloseCode.SUPERSEDED)
            await feed.close()
            raise lost
        return feed

    # Of the session

    @property
    def token(self) -> bytes:
        """Who the session is; a secret."""
        return self._store.token

    @property
    def start(self) -> int:
        """How often the session was begun from the file, this time included."""
        return self._store.start

    @property
    def known(self) -> bool:
        """Whether a WELCOME of it was ever read."""
        return self._store.known

    @property
    def writers(self) -> Writers:
        """From which starts the last message may be that the server has of this file."""
        return self._store.writers

    @property
    def kept(self) -> int:
        """How many messages are stored and not acknowledged, or being stored."""
        return self._store.kept + self._appending

    def make_session(self, welcome: SessionWelcome, limit: int) -> Session:
        """Return the session that the first WELCOME of this start begins.

        :param limit: how much it keeps until it is acknowledged, in bytes
        :raises SessionLostError: the server has less than it has acknowledged, or more than
            the file can count
        """
        if self.copied(welcome):
            raise self.lost(self.copied_text(), code=CloseCode.SUPERSEDED)
        fault = self.contradiction(welcome)
        if fault is not None:
            raise self.lost(fault, code=CloseCode.SESSION_LOST)
        session = _StoredSession(self, limit)
        session.begin(welcome)
        self._session = session
        return session

    def make_detached(self, protocol: SessionProtocol, limit: int) -> Session:
        """Return the session of a start that has no link yet.

        :param limit: as for :meth:`make_session`
        """
        self._protocol = protocol
        self._session = _StoredSession(self, limit)
        return self._session

    def contradiction(self, welcome: SessionWelcome) -> str | None:
        """Return why the first WELCOME of this start cannot be: the server has less than it has
        acknowledged, or more than the file can count; None where it can."""
        taken, acknowledged = welcome.taken, self._store.acknowledged
        said = f"the server says that it has {taken} messages of this session"
        if taken < acknowledged:
            return f"{said}, and has acknowledged {acknowledged}"
        if taken > _MAX_TAKEN:
            return f"{said}, and no file can number the next one"
        return None

    def copied(self, welcome: SessionWelcome) -> bool:
        """Return whether a copy of the file has sent what this one does not know of: the server has
        more than it has acknowledged here, and none of it is from this start or the last one that
        can have sent anything."""
        more = welcome.taken > self._store.acknowledged
        if more and not self._store.writers.may_have_sent(welcome.writer or UNKNOWN):
            # Else the next start would ask anew.
            self._superseded = True
        return self._superseded

    def copied_text(self) -> str:
        """Return what the program is told of a copy: what is safe, with what is in the file."""
        kept = self.kept
        return _COPIED.format("1 message" if kept == 1 else f"{kept:,} messages")

    def numbering_began(self, taken: int, writer: bytes) -> None:
        """The first WELCOME of this start was read.

        :param taken: how many messages the server has for good
        :param writer: which start it says that the last of them is from; empty: it does not say
        """
        self._taken = self._given = taken
        self._writer = writer or UNKNOWN

    def renewed(self, acknowledged: int) -> None:
        """Another numbering has begun, in this start.

        :param acknowledged: how many messages the server has for good
        """
        self.acknowledged(acknowledged)
        self._renewed.set()

    def begin_soon(self) -> None:
        """Number what is stored, and send it, as a task."""
        assert self._protocol is not None
        if self._closing is None:
            self._start(self._begin_and_pump, self._protocol)

    async def _begin_and_pump(self, protocol: SessionProtocol) -> None:
        with suppress(OutboxClosedError):
            await self._store.begin(self._taken, self._writer)
            await self._pump(protocol)

    async def begin(self, protocol: SessionProtocol) -> None:
        """Number what is stored, on the disk; from then on it is sent.

        :raises OutboxError: that could not be stored
        """
        self._protocol = protocol
        with suppress(OutboxClosedError):
            await self._store.begin(self._taken, self._writer)
        if self._closing is None:
            self._start(self._pump, protocol)

    def _start(
        self,
        pump: Callable[[SessionProtocol], Coroutine[Any, Any, None]],
        protocol: SessionProtocol,
    ) -> None:
        self._pumping = start_task(pump, protocol, name=f"outbox {protocol.id}")
        self._pumping.add_done_callback(self._pumped)

    async def _pump(self, protocol: SessionProtocol) -> None:
        sender, queue = protocol.sender, protocol.sender.queue
        while True:
            # What is read counts as given: while there is no link it stays in the file alone.
            await protocol.wait_attached()
            messages = await self._store.read(_READ)
            if queue.full:
                await queue.wait()
            closer = protocol.closer
            while closer.write_closed or closer.peer_close is not None:
                # This server gets nothing more. The one after it may, if it counts anew.
                self._renewed.clear()
                await self._renewed.wait()
            fitting = _count_fitting(protocol, messages)
            queue.extend(messages[:fitting])
            self._given += fitting
            queue.wake()
            sender.flush_soon()
            if fitting < len(messages):
                text = (
                    f"the session cannot go on: message {self._given + 1} of it has "
                    f"{len(messages[fitting]):,} bytes, and the server takes "
                    f"{protocol.machine.send_limit:,} now"
                )
                lost = protocol.lost(text, code=CloseCode.SESSION_LOST)
                protocol.closer.put_out(lost, Close(CloseCode.SESSION_LOST), drop_unsent=True)
                return

    def _pumped(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and self._closing is None:
            assert self._protocol is not None
            # The session goes on with the next start, if the file does.
            failure = ConnectionClosedError(f"the outbox failed: {error}")
            failure.__cause__ = error
            self._protocol.closer.abort(failure)

    def acknowledged(self, number: int) -> None:
        """The server has all messages up to this one."""
        # What begins a numbering says it too, in the commit that gives messages their numbers.
        if self._store.begun and self._closing is None:
            # A file that is damaged ends the task that reads it.
            with suppress(OutboxError):
                self._store.acknowledge(number)

    def fates(self) -> tuple[int, int, int]:
        """Return how many messages have arrived, of how many it is not known, and how many were
        given to no link. That is asked for the error of a session that is over."""
        store = self._store
        # The program may connect again before the connection is closed.
        store.close_soon()
        unknown = self._last_given - store.acknowledged
        return store.acknowledged, unknown, store.kept - unknown

    @property
    def _last_given(self) -> int:
        """The number of the last message that was given to a link, in any start."""
        if self._session is None:
            return self._store.given
        return max(self._given_before, self._session.retention.messages_given)

    def lost(self, text: str, *, code: int | None) -> SessionLostError:
        """Return the error of a session that is over; the file stays as it is."""
        arrived, unknown, unsent = self.fates()
        return SessionLostError(text, code=code, arrived=arrived, unknown=unknown, unsent=unsent)

    def judge(self, refusal: Close | None) -> SessionLostError | None:
        """Return what the program is told where the server has said, in place of WELCOME, that the
        session is over; None where it has not.

        :param refusal: the server's CLOSE in place of WELCOME
        """
        if refusal is None or refusal.code == CloseCode.UNAUTHORIZED:
            # Who is let in is asked first, and nothing was said of the session.
            return None
        code = refusal.code
        if code not in _LOST and refusal.frames_received is None:
            return None
        text = "the session of this outbox is over at the server: use Outbox.begin_anew()"
        if code == CloseCode.SUPERSEDED:
            text = self.copied_text()
            # Else the next start would take the session over from the copy.
            self._superseded = True
        return self.lost(text, code=code)

    async def renew_ended(self, refusal: Close | None) -> bool:
        """Return whether the session that is over had come to its end in order, with no message
        unacknowledged that was part of it: then the file has another one now, which begins with
        what was accepted since.

        :param refusal: as for :meth:`judge`
        """
        store = self._store
        ended = refusal is not None and refusal.code == CloseCode.NORMAL
        if not ended or store.numbered > store.acknowledged:
            return False
        await store.renew(after=store.numbered)
        self._given_before = store.given
        return True

    # From the program

    async def send(self, owner: SendQueueOwner, message: object) -> None:
        """Store one message.

        :raises OutboxError: it cannot be stored
        :raises ConnectionClosed: nothing more can be sent, and so on as for any connection
        """
        await self._append(owner, [checked(owner, message)])

    def send_nowait(self, owner: SendQueueOwner, message: object) -> None:
        """Refuse it: this would have to wait for the disk.

        :raises NotSupportedError: always
        """
        raise NotSupportedError("send_nowait cannot wait for the disk, as an outbox must: use send")

    def offer(self, messages: list[Any]) -> bool:
        """Take nothing at once."""
        return False

    async def send_many_slow_path(self, owner: SendQueueOwner, messages: list[bytes]) -> None:
        """Store messages, all or none.

        :raises OutboxError: they cannot be stored
        """
        if owner.error is not None:
            raise owner.error.fresh()
        if messages:
            owner.check_size(max(map(len, messages)))
            await self._append(owner, messages)

    async def _append(self, owner: SendQueueOwner, messages: list[bytes]) -> None:
        self._appending += 1
        try:
            await self._store.append(messages)
        except OutboxClosedError:
            if owner.error is not None:
                raise owner.error.fresh() from None
            raise
        finally:
            self._appending -= 1
            if self._protocol is not None and self._protocol.closer.closing:
                # Where it has failed, the close may have waited for it alone.
                self._protocol.sender.flush()

    # The end

    def end(self, *, clean: bool) -> None:
        """The connection is over: close the file, as a task.

        :param clean: whether both ends closed in order: the next start begins another session
        """
        if self._closing is None:
            self._store.close_soon()
            self._closing = start_task(self._close, clean, name="closing the outbox")

    async def close(self) -> None:
        """Close the file; return once others may use it."""
        self.end(clean=False)
        assert self._closing is not None
        await asyncio.wait([self._closing])

    async def _close(self, clean: bool) -> None:
        try:
            if self._pumping is not None:
                self._pumping.cancel()
                await asyncio.wait([self._pumping])
            self._store.settle(self._last_given)
            if self._superseded:
                await self._store.supersede()
            if clean and not self.kept:
                await self._store.renew(after=self._store.numbered)
        except OutboxError as error:
            # The next start is told of it.
            logger.warning("the outbox has not noted the end of its session: %s", error)
        finally:
            with suppress(OutboxError):
                await self._store.close()


class _StoredSession(Session):
    """A session whose messages are in a file."""

    __slots__ = ("_feed",)

    def __init__(self, feed: OutboxFeed, limit: int) -> None:
        super().__init__(numbering=0, limit=limit, peer_ack_by=MIN_ACK_BY)
        self._feed = feed

    def begin(self, welcome: SessionWelcome) -> None:
        """Take in the first WELCOME of this start."""
        self.retention = _StoredRetention(self._feed, welcome.taken)
        self._feed.numbering_began(welcome.taken, welcome.writer)
        super().begin_anew(welcome, [])

    def waits(self, peer_ended: bool) -> bool:
        if super().waits(peer_ended):
            return True
        return not (peer_ended or self.abandoned or self.complete)

    @property
    def complete(self) -> bool:
        return not self._feed.kept

    @property
    def lasts(self) -> bool:
        return True

    def fates(self, queued: int) -> tuple[int, int, int]:
        return self._feed.fates()

    def begin_anew(self, welcome: SessionWelcome, waiting: list[bytes]) -> list[bytes]:
        if self._feed.copied(welcome):
            raise ViolationError(self._feed.copied_text())
        if not self.numbering:
            fault = self._feed.contradiction(welcome)
            if fault is not None:
                raise ViolationError(fault)
            self.begin(welcome)
            self._feed.begin_soon()
            return waiting
        left = super().begin_anew(welcome, waiting)
        self._feed.renewed(self.retention.messages_acknowledged)
        return left


class _StoredRetention(Retention):
    """Tells which messages are acknowledged."""

    __slots__ = ("_feed",)

    def __init__(self, feed: OutboxFeed, taken: int) -> None:
        super().__init__(taken)
        self._feed = feed

    def acknowledge(self, number: int) -> None:
        super().acknowledge(number)
        self._feed.acknowledged(self.messages_acknowledged)


def _count_fitting(protocol: SessionProtocol, messages: list[bytes]) -> int:
    """Return how many of the first messages the server takes: its limit may have gone down since
    they were stored."""
    for index, message in enumerate(messages):
        try:
            protocol.machine.check_size(len(message))
        except MessageTooLargeError:
            return index
    return len(messages)
