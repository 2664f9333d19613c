"""What becomes of a session that a server does not have: the other servers of its cluster are
asked, and the program for the position, where it stores positions."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from ..aio.session_info import SessionInfo
from ..options import LoadPosition
from ..wire import WRITER_SIZE
from ..wire.control import SessionHello
from ..wire.writers import UNKNOWN, Writers
from .moving import (
    FoundSession,
    HiddenSessionError,
    LaterLink,
    MovedSession,
    ParkedSessions,
    SessionQuestion,
)
from .session_store import TakenOver, TakeOver
from .session_table import EndedSession, attempt_of
from .session_writers import may_follow

_MAX_POSITION: Final = 2**63 - 1
_PAIR: Final = 2
# As SessionInfo.writer is; empty where nobody has said who that is.
_WRITER: Final = re.compile(f"([0-9a-f]{{{2 * WRITER_SIZE}}})?")

FindElsewhere = Callable[[SessionQuestion], Awaitable[FoundSession]]


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a session that this server does not have.

    :ivar position: how many of its messages the program has taken, None where it has no positions
    :ivar elsewhere: what this or another server has kept of it, or the store
    :ivar here: whether this server had it after all
    :ivar writer: which start of the client's program the last of those messages is from
    """

    position: int | None
    elsewhere: FoundSession | TakenOver
    here: bool = False
    writer: bytes = UNKNOWN

    @property
    def last_writer(self) -> bytes:
        """Which start of the client's program the last message is from that is taken."""
        if self.position is None and isinstance(
            self.elsewhere, MovedSession | EndedSession | TakenOver
        ):
            return self.elsewhere.writer
        return self.writer

    def is_ahead_of(self, messages: int, writers: Writers | None) -> bool:
        """Return whether the program has more of a session than came to this server, or the last of
        it from another start, and a client may go on with that.

        :param messages: how many have come to this server
        """
        taken = self.position or 0
        ahead = taken > messages or (taken == messages and self.writer != UNKNOWN)
        return ahead and may_follow(writers, self.writer)


class SessionFinder:
    """Looks for the sessions of one server.

    :param load: the program's ``Sessions.position``, or None
    :param elsewhere: asks the other servers of a cluster, or None
    :param take_over: takes them from the store; None where there is none
    :param parked: what this server itself has given up, or got for a link that was gone
    """

    def __init__(
        self,
        load: LoadPosition | None,
        elsewhere: FindElsewhere | None,
        take_over: TakeOver | None,
        parked: ParkedSessions,
    ) -> None:
        self._load = load
        self._elsewhere = elsewhere
        self._take_over = take_over
        self._parked = parked

    def waits(self, key: bytes, asked: SessionHello) -> bool:
        """Return whether :meth:`find` is to be called; else nothing can be known of the session."""
        if self._take_over is not None or self._load is not None:
            return True
        if self._parked.attempt(key) is not None:
            return True
        # Of a session of which its client has read no WELCOME nobody has anything.
        return self._elsewhere is not None and asked.known

    async def find(self, key: bytes, info: SessionInfo, asked: SessionHello) -> Found:
        """Return what is known of a session.

        :raises Exception: whatever says that it cannot be known now
        """
        found: FoundSession = None
        attempt = attempt_of(asked)
        question = SessionQuestion(key, attempt, asked.numbering, asked.received, asked.writers)
        # Before anything is waited for: meanwhile another server may claim it for an earlier link.
        self._parked.note(question)
        if asked.known and self._elsewhere is not None:
            try:
                found = await self._elsewhere(question)
            except HiddenSessionError:
                # What is stored says how far it is, whoever else has it.
                if self._load is None and self._take_over is None:
                    raise
        if found is None:
            await self._parked.wait_finished(key)
            found = self._parked.claim(question)
        if self._take_over is not None:
            stale = isinstance(found, LaterLink) and found.attempt < attempt
            if stale or found is None or isinstance(found, MovedSession):
                # What another server had is in the log by now; and one that was cut off from the
                # others, and does not know of later starts, has lost it to the log's owner.
                stored = await self._take_over(question, draw_numbering(), asked.known)
                return Found(None, stored)
            return Found(None, found)
        # Only now: the program that had it elsewhere has stored by then what it did.
        if self._load is None:
            return Found(None, found)
        try:
            position, writer = await self._ask(info)
        except BaseException:
            if isinstance(found, MovedSession):
                # The server that had it may have it no more.
                self._parked.add(found)
            raise
        return Found(position, found, writer=writer)

    async def find_position(self, info: SessionInfo) -> Found:
        """Return what the program alone knows of a session."""
        position, writer = await self._ask(info)
        return Found(position, None, writer=writer)

    async def _ask(self, info: SessionInfo) -> tuple[int, bytes]:
        assert self._load is not None
        answer: object = self._load(info)
        if not isinstance(answer, Awaitable):
            raise TypeError(f"position returned {answer!r}; make it an async function")
        position = await answer
        if not isinstance(position, tuple):
            return _checked(position), UNKNOWN
        if len(position) != _PAIR:
            raise TypeError(f"position returned {position!r}; use the tuple (number, writer)")
        count, writer = _checked(position[0]), _writer(position[1])
        return count, writer if count else UNKNOWN


def draw_numbering() -> int:
    """Return a number for the next numbering of a session."""
    numbering = 0
    while not numbering:
        numbering = secrets.randbits(64)
    return numbering


def _writer(writer: object) -> bytes:
    if writer is None:
        return UNKNOWN
    if not isinstance(writer, str) or not _WRITER.fullmatch(writer):
        raise TypeError(
            f"position returned the writer {writer!r}; use what conn.session.writer was, or None"
        )
    return bytes.fromhex(writer) or UNKNOWN


def _checked(position: object) -> int:
    if position is None:
        # Nothing is stored yet. A client that knows better is told by the number.
        return 0
    if not isinstance(position, int) or isinstance(position, bool):
        raise TypeError(
            f"position returned {position!r}; use a number of messages, the tuple (number, "
            "writer), or None"
        )
    if not 0 <= position <= _MAX_POSITION:
        raise ValueError(f"position returned {position}; use a number from 0 to {_MAX_POSITION}")
    return position
