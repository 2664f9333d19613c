"""Where a server writes what becomes of its sessions, so that they outlive it.

A server takes a session over from the store, and owns it until another one does. What its handlers
have taken, and what they have sent, is written there first, and only then acknowledged and sent
(:mod:`.session_commits`). :mod:`sealframe.cluster` has the store that there is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from ..wire.writers import UNKNOWN
from .moving import LaterLink, SessionQuestion
from .session_table import Attempt, EndedSession


class SessionTakenError(Exception):
    """Another server has taken the session over: this one may write nothing more."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Control frames among the frames of a numbering: all others are messages.

    :ivar frame: the number of the first
    :ivar count: how many there are, one behind the other
    """

    frame: int
    count: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What is written at a time: all of it is there after a crash, or nothing.

    :ivar taken: how many messages of the client the program is done with, in the session's life
    :ivar messages: what was sent since the last entry, in order
    :ivar marks: the control frames that were given to a link since the last entry
    """

    taken: int
    messages: tuple[bytes, ...] = ()
    marks: tuple[Mark, ...] = ()


class SessionLog(ABC):
    """The log of one session, as the server writes it that owns it. One call at a time."""

    @property
    @abstractmethod
    def longest_pause(self) -> float:
        """Seconds after which something has to be written again, so that nothing is too old."""

    @abstractmethod
    async def append(self, entry: Entry) -> None:
        """Write an entry; return once it cannot be lost. Tries until it is done.

        :raises SessionTakenError: another server owns the session
        """

    @abstractmethod
    async def confirm(self, attempt: Attempt) -> None:
        """Make sure that this server still owns the session, for a client that came back.

        :raises SessionTakenError: another server owns it
        """

    @abstractmethod
    async def end(self, ended: EndedSession) -> None:
        """Write how the session ended: nothing else of it is needed any more.

        :raises SessionTakenError: another server owns it
        """

    @abstractmethod
    def acknowledged(self, messages: int, frames: int) -> None:
        """The client has acknowledged so many messages and frames of this numbering."""


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A session that this server owns now.

    :ivar taken: how many messages of the client are taken
    :ivar unsent: the messages that the client has not got, in order
    :ivar writer: which start of the client's program the last one is from that was taken
    """

    log: SessionLog
    numbering: int
    taken: int
    unsent: tuple[bytes, ...]
    writer: bytes = UNKNOWN


StoredSession: TypeAlias = TakenOver | EndedSession | LaterLink | None
"""What became of a session that was to be taken over; None: the store does not have it, or not all
of it."""

TakeOver: TypeAlias = Callable[[SessionQuestion, int, bool], Awaitable[StoredSession]]
"""Owns a session, which may be new: gets the question, the numbering that begins, and whether the
client knows the session. Raises where it cannot be known now; the client is to come again."""
