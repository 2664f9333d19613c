"""Sessions that move from one server of a cluster to another.

A client whose server drains, or whose link is lost, may come to another server. That asks the
others for the session (``ClusterMember.find_session``). The one that has it gives it up: its
handler ends with an error, and what the program has not taken and what the client has not got
goes along. The session begins another numbering there (docs/PROTOCOL.md, section 12), so streams
and requests under way fail with one clear error.

An answer may be lost on its way, so what was given up is kept for a while, and given again to
whoever asks with the same attempt or a later one. No sockets here, and no clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from ..errors import ClusterError
from ..wire.writers import UNKNOWN, Writers
from .session_table import Attempt, EndedSession
from .session_writers import may_follow

KEPT: Final = 30.0
"""Seconds for which what was given up is kept, unless somebody says that it has come."""


@dataclass(frozen=True, slots=True)
class SessionQuestion:
    """What a server asks the others: a client came, and it does not have the session.

    :ivar key: as :func:`~sealframe.server.session_table.session_key` makes it, 32 bytes
    :ivar attempt: (start, link) of HELLO
    :ivar numbering: that of HELLO
    :ivar received: how many frames of it the client has
    :ivar writers: what HELLO says of the client's file; None where it has none
    """

    key: bytes
    attempt: Attempt
    numbering: int
    received: int
    writers: Writers | None = None


@dataclass(frozen=True, slots=True)
class MovedSession:
    """A session that a server has given up.

    :ivar question: the first one that it was given up for
    :ivar taken: how many messages of the client have come in the life of the session
    :ivar unread: those of them that the program has not taken, in order
    :ivar unsent: the messages for the client that it has not got, in order
    :ivar writer: which start of the client's program the last message is from that came
    """

    question: SessionQuestion
    taken: int
    unread: tuple[bytes, ...]
    unsent: tuple[bytes, ...]
    writer: bytes = UNKNOWN


@dataclass(frozen=True, slots=True)
class LaterLink:
    """A session that has a later link than the one that is asked for.

    :ivar attempt: that of the later one
    """

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class HeldSession:
    """A session that a server has, and would give up if it is asked to.

    :ivar attempt: the greatest that it has seen
    :ivar parked: whether it has given it up before, to somebody who may have got it
    """

    attempt: Attempt
    parked: bool


SessionStatus: TypeAlias = HeldSession | EndedSession | None
"""What a server says of a session without giving it up; None: it knows of none."""

FoundSession: TypeAlias = MovedSession | EndedSession | LaterLink | None
"""What has become of the question; None: no server knows of such a session."""


class HiddenSessionError(ClusterError):
    """No server that answers knows of a session, and one that hangs may have it."""


@dataclass(slots=True)
class _Parked:
    moved: MovedSession
    # The greatest for which somebody has asked: an earlier one has no client any more.
    latest: Attempt
    running: list[asyncio.Task[None]]
    timer: asyncio.TimerHandle
    # Where it has ended after all.
    ended: EndedSession | None = None


class ParkedSessions:
    """The sessions that one server has given up, and that may not have come.

    :param call_later: the event loop's
    :param empty: called when the last of them is kept no more
    """

    def __init__(
        self, call_later: Callable[..., asyncio.TimerHandle], empty: Callable[[], None]
    ) -> None:
        self._call_later = call_later
        self._empty = empty
        self._parked: dict[bytes, _Parked] = {}

    def __len__(self) -> int:
        return len(self._parked)

    def add(self, moved: MovedSession, *tasks: asyncio.Task[None] | None) -> None:
        """Keep one; where one is kept that was given up for a later attempt, its client has gone on
        since with that, so it stays.

        :param tasks: what may still be at work for it: its handler, with a message in hand, and
            what writes the last of its log
        """
        key, attempt = moved.question.key, moved.question.attempt
        running = [task for task in tasks if task is not None]
        self.drop(key, attempt)
        later = self._parked.get(key)
        if later is not None:
            later.running += running
            return
        timer = self._call_later(KEPT, self.drop, key, attempt)
        self._parked[key] = _Parked(moved, attempt, running, timer)

    def add_unsent(self, question: SessionQuestion, messages: list[bytes]) -> None:
        """Add what was sent since one was given up for that question."""
        parked = self._parked.get(question.key)
        if parked is not None and parked.moved.question == question:
            parked.moved = replace(parked.moved, unsent=(*parked.moved.unsent, *messages))

    def end(self, question: SessionQuestion, ended: EndedSession) -> None:
        """Note that what was given up for that question has ended meanwhile: the next that claims
        it is told so, and it is kept no more."""
        parked = self._parked.get(question.key)
        if parked is not None and parked.moved.question == question:
            parked.ended = ended

    def attempt(self, key: bytes) -> Attempt | None:
        """Return for which attempt one was given up, None where there is none."""
        parked = self._parked.get(key)
        return None if parked is None else parked.moved.question.attempt

    def note(self, question: SessionQuestion) -> None:
        """Somebody is going to :meth:`claim` one: whoever asked for an earlier attempt gets it no
        more, also if both wait for its handler."""
        parked = self._parked.get(question.key)
        if parked is not None and may_follow(question.writers, parked.moved.writer):
            parked.latest = max(parked.latest, question.attempt)

    def claim(self, question: SessionQuestion) -> FoundSession:
        """Return what answers a question; unless it is an end it stays until :meth:`drop`."""
        parked = self._parked.get(question.key)
        if parked is None:
            return None
        moved, first = parked.moved, parked.moved.question
        if question.attempt < parked.latest or not may_follow(question.writers, moved.writer):
            return LaterLink(parked.latest)
        if parked.ended is not None:
            self.drop(question.key, question.attempt)
            return parked.ended
        if question.attempt[0] > first.attempt[0]:
            # The client's program was started again: what had come to it is not known.
            return replace(moved, question=question, unsent=())
        if (question.numbering, question.received) != (first.numbering, first.received):
            # The session went on elsewhere since: this is an older state of it.
            return None
        return replace(moved, question=question)

    async def wait_finished(self, key: bytes) -> None:
        """Wait until nothing is at work for it here any more."""
        parked = self._parked.get(key)
        if parked is not None and parked.running:
            await asyncio.wait(parked.running)

    def drop(self, key: bytes, attempt: Attempt) -> None:
        """Keep one no more that was given up for this attempt or an earlier one."""
        parked = self._parked.get(key)
        if parked is not None and parked.moved.question.attempt <= attempt:
            parked.timer.cancel()
            del self._parked[key]
            if not self._parked:
                self._empty()

    def close(self) -> None:
        """Keep none any more."""
        for parked in self._parked.values():
            parked.timer.cancel()
        self._parked.clear()
