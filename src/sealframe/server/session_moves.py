"""Sessions that leave a server of a cluster for another one: asked for, or since it closes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection
from typing import Final

from ..aio.session_protocol import SessionProtocol
from ..aio.tasks import start_task
from ..aio.time_limit import TimeLimit
from ..core.channel_frames import ViolationError
from ..errors import ClusterError, ConnectionClosedError
from ..wire import CloseCode
from .moving import (
    FoundSession,
    HeldSession,
    LaterLink,
    MovedSession,
    ParkedSessions,
    SessionQuestion,
    SessionStatus,
)
from .session_table import Attempt, EndedSession, Known, SessionTable
from .session_writers import SessionWriters, may_follow

logger = logging.getLogger("sealframe.server")

IN_HAND: Final = 1.0
"""Seconds in which a handler may answer the message that it has in hand when its session moves."""
_LOST: Final = CloseCode.SESSION_LOST
_ELSEWHERE: Final = "the session goes on at another server of the cluster"


class SessionMoves:
    """What one server does for the others.

    :param sessions: those that are not over; a live view
    :param writers: whose messages they have
    :param redelivers: whether what the handlers have not finished comes again
    :param seal: called with a session that is about to go: has the last of it written to its log;
        returns the task that does it, None where there is no log
    :param leave: called with a session and its key: another server has it from now on
    :param lose: called with a session that cannot go on, and why
    """

    def __init__(
        self,
        table: SessionTable[SessionProtocol],
        sessions: Collection[SessionProtocol],
        parked: ParkedSessions,
        writers: SessionWriters,
        *,
        redelivers: bool,
        seal: Callable[[SessionProtocol], asyncio.Task[None] | None],
        leave: Callable[[SessionProtocol, bytes], None],
        lose: Callable[[SessionProtocol, str], None],
    ) -> None:
        self._table = table
        self._sessions = sessions
        self._parked = parked
        self._writers = writers
        self._redelivers = redelivers
        self._seal = seal
        self._leave = leave
        self._lose = lose
        # Set where the server waits for its sessions to move.
        self._moving: asyncio.Event | None = None
        # Until when it waits for them, once it closes.
        self._deadline: float | None = None
        # How long handlers still may answer.
        self._limits: set[asyncio.Timeout] = set()
        # How many messages were in the queue as these sessions began here, where there were any.
        self._carried: dict[SessionProtocol, int] = {}

    def begun(self, protocol: SessionProtocol) -> None:
        """A session begins here, with what its handler has to take first in the queue."""
        carried = len(protocol.receiver.queue)
        if carried:
            self._carried[protocol] = carried

    def ended(self, protocol: SessionProtocol) -> None:
        """A session is over here."""
        self._carried.pop(protocol, None)

    def status(self, key: bytes) -> SessionStatus:
        """Return what this server has of a session, and leave it as it is."""
        found = self._table.find(key)
        if isinstance(found, Known):
            return HeldSession(found.attempt, parked=False)
        parked = self._parked.attempt(key)
        if parked is not None:
            return HeldSession(parked, parked=True)
        return None if found is None else found.ended

    async def release(self, question: SessionQuestion) -> FoundSession:
        """Give a session up to another server of the cluster.

        The same question gets the same answer again, until :meth:`confirm`.

        :raises ClusterError: it is closing, and is over soon
        """
        key = question.key
        found = self._table.find(key)
        if isinstance(found, Known):
            last = self._writers.last(found.session)
            if question.attempt <= found.attempt or not may_follow(question.writers, last):
                return LaterLink(found.attempt)
            closer = found.session.closer
            if closer.may_go_on and not closer.closing:
                if not self._move(found, question):
                    return None
            elif closer.may_go_on:
                raise ClusterError("the session is closing at another server")
            else:
                found.session.drop()
        self._parked.note(question)
        await self._parked.wait_finished(key)
        parked = self._parked.claim(question)
        if parked is not None:
            return parked
        status = self.status(key)
        return status if isinstance(status, EndedSession) else None

    def confirm(self, key: bytes, attempt: Attempt) -> None:
        """Another server has what was released for this attempt."""
        self._parked.drop(key, attempt)

    def _move(self, found: Known[SessionProtocol], question: SessionQuestion) -> bool:
        """End a session here, and keep what has to go on elsewhere; return whether it can."""
        protocol = found.session
        session = protocol.session
        assert session is not None
        handler, in_hand = protocol.closer.handler, self._in_hand(protocol)
        writing = self._seal(protocol)
        protocol.cut_off()
        same_start = question.attempt[0] == found.attempt[0]
        unsent: list[bytes] = []
        # Where positions say how far it is, one that its client has left behind has nothing for it.
        left = self._redelivers and session.left_behind(question.numbering)
        if same_start and not left:
            same = question.numbering == session.numbering
            try:
                unsent = session.retention.messages_after(question.received if same else 0)
            except ViolationError as fault:
                self._lose(protocol, f"the session cannot go on: {fault}")
                return False
            unsent += _take_unsent(protocol)
        taken, last = protocol.messages_of_session, self._writers.last(protocol)
        self._leave(protocol, question.key)
        error = protocol.lost(_ELSEWHERE, code=_LOST)
        if self._redelivers:
            protocol.discard_received(error)
            protocol.end_session(error)
            moved = MovedSession(question, taken, (), tuple(unsent), last)
            # Its log, too, has to have the last of it before another server goes on there.
            self._parked.add(moved, handler, writing)
            return True
        unread = protocol.receiver.queue.pop_many(None)
        moved = MovedSession(question, taken, tuple(unread), tuple(unsent), last)
        if handler is not None and in_hand and same_start:
            protocol.receiver.end_messages(error)
            protocol.sender.queue.wake()
            rest = start_task(self._let_finish, protocol, handler, question, name="sealframe-move")
            self._parked.add(moved, rest)
        else:
            protocol.end_session(error)
            self._parked.add(moved)
        return True

    def _in_hand(self, protocol: SessionProtocol) -> bool:
        """Return whether the handler may be at work on a message: it has taken some here, and
        waits neither for the next nor for the end."""
        taken = protocol.receiver.taken_messages + self._carried.get(protocol, 0)
        waits = protocol.receiver.queue.waiters or protocol.closer.handler_waits
        return taken > 0 and not waits

    async def _let_finish(
        self,
        protocol: SessionProtocol,
        handler: asyncio.Task[None],
        question: SessionQuestion,
    ) -> None:
        """Let a handler finish the message that it has in hand, which nobody gets again: it ends
        when it asks for the next one. What it sends meanwhile goes along."""
        dropped = protocol.stats.unsent
        with contextlib.suppress(TimeoutError):
            # A close within that time must not time out before it is over.
            longest = min(IN_HAND, protocol.options.close_timeout / 2)
            async with asyncio.timeout_at(self._answer_by(longest)) as limit:
                self._limits.add(limit)
                try:
                    await asyncio.wait([handler])
                finally:
                    self._limits.discard(limit)
        if not protocol.closer.may_go_on or protocol.stats.unsent != dropped:
            # It was put out, as too slow for one.
            self._parked.end(question, _end_of(protocol))
            self._lose(protocol, "it was ended while it moved")
        else:
            self._parked.add_unsent(question, _take_unsent(protocol))
            protocol.end_session(protocol.lost(_ELSEWHERE, code=_LOST))

    def _answer_by(self, longest: float) -> float:
        """Return until when a handler may answer what it has in hand, by the event loop's clock.

        :param longest: seconds that it has at most
        """
        now = asyncio.get_running_loop().time()
        if self._deadline is None:
            return now + longest
        # The session has to get to the other server, too, before this one is gone.
        return now + min(longest, max(0.0, self._deadline - now) / 2)

    def begin(self, deadline: float) -> set[SessionProtocol]:
        """Cut the links of all sessions that can go on: their clients look for another server.

        :param deadline: until when :meth:`wait` waits for them, by the event loop's clock
        :return: those sessions
        """
        self._deadline = deadline
        for limit in self._limits:
            until = limit.when()
            if until is not None and not limit.expired():
                limit.reschedule(min(until, self._answer_by(IN_HAND)))
        moving = set()
        for protocol in list(self._sessions):
            if protocol.closer.may_go_on and not protocol.closer.closing:
                moving.add(protocol)
                protocol.lose_link(ConnectionClosedError("the server goes away"))
        return moving

    async def wait(self, moving: int, deadline: float) -> None:
        """Wait until other servers have all sessions, and have said so; say what came of it.

        :param moving: how many :meth:`begin` has returned
        :param deadline: until when at most, by the event loop's clock
        """
        self._moving = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            async with TimeLimit.until(deadline):
                # What was given up may have to be given again, until somebody says that it came.
                while self._sessions or len(self._parked):
                    self._moving.clear()
                    await self._moving.wait()
        left = len(self._sessions) + len(self._parked)
        if left:
            what = "%d of %d sessions had not gone on at another server when this one had to close"
            logger.warning(what, left, max(moving, left))
        elif moving:
            logger.info("all sessions, %d, go on at other servers", moving)

    def note(self) -> None:
        """A session, or what was kept of one, is here no more."""
        if self._moving is not None:
            self._moving.set()


def _end_of(protocol: SessionProtocol) -> EndedSession:
    """Return how a session has ended that was about to move."""
    session, close = protocol.session, protocol.closer.close_sent
    assert session is not None
    code = _LOST if close is None or close.code == CloseCode.NORMAL else close.code
    received = session.acknowledgeable(protocol.machine.frames_received)
    return EndedSession(code, received, protocol.closer.discarded)


def _take_unsent(protocol: SessionProtocol) -> list[bytes]:
    queue = protocol.sender.queue
    return queue.take(queue.queued_bytes)
