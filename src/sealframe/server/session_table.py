"""The sessions that a server knows: attached, detached, and over and still remembered.

docs/PROTOCOL.md, section 12, has the rules of HELLO with a session. What the table adds is which
sessions stay: each detached one for ``Sessions.keep``, in a clock that does not run while the event
loop stands still, and no more than there is room for. Where room is short, the client that has
most gives way (``fair_shares.py``). A client is its static key, since every such key was
authorised, and else its :func:`~sealframe.server.rate_limit_key.rate_limit_key`.

Sessions are known by :func:`session_key`. The table never has the token itself, which is a secret.
Every call takes O(log n) time, amortised, for n sessions. Times are seconds of one clock that the
caller reads and that never goes back.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Generic, TypeAlias, TypeVar

from ..options import Sessions
from ..wire.control import Close, SessionHello
from ..wire.writers import UNKNOWN
from .fair_shares import Claim, FairShares

SessionT = TypeVar("SessionT")

Attempt: TypeAlias = tuple[int, int]
"""(start, link) of HELLO."""

_MAX_OVER: Final = 16_384
"""Sessions that are over and remembered."""

_CHECKS: Final = 20
"""Into how many steps ``keep`` is divided, if they are neither of these:"""
_SHORTEST_INTERVAL: Final = 0.05
_LONGEST_INTERVAL: Final = 1.0


def attempt_of(hello: SessionHello) -> Attempt:
    """Return which attempt a HELLO with a session is: of two, the greater is the later."""
    return hello.start, hello.link


def session_key(token: bytes, *, client_key: bytes, sealed: bool, context: bytes) -> bytes:
    """Return what a session is known by, 32 bytes: no other client and no other kind of
    connection can name it, and it does not tell the token.

    :param token: the 16 bytes that the client has drawn
    :param client_key: the static key that the client has proven; empty if it has none
    :param sealed: whether the connection is
    :param context: of the Noise handshake; empty on a plain connection
    """
    digest = hashlib.sha256()
    for part in (token, client_key, bytes((sealed,)), context):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


class Presence(Enum):
    """Whether a session has a link."""

    ATTACHED = auto()
    DETACHED = auto()
    """Its client may come back until ``keep`` is over."""
    ENDING = auto()
    """``expire`` or ``make_room`` gave it to its owner, who ends it."""


@dataclass(eq=False, slots=True)
class Known(Generic[SessionT]):
    """A session that is not over."""

    session: SessionT
    attempt: Attempt
    """The greatest that was seen."""
    client: Hashable = field(repr=False)
    presence: Presence = Presence.ATTACHED
    claim: Claim | None = field(default=None, repr=False)
    """The table's own: its part of the room for detached sessions."""


@dataclass(frozen=True, slots=True)
class EndedSession:
    """How a session ended.

    :ivar code: the ``CloseCode``
    :ivar received: up to which number the frames of its client were acknowledged
    :ivar discarded: how many of the messages among them were thrown away
    :ivar writer: which start of its client's program the last of its messages is from
    """

    code: int
    received: int
    discarded: int = 0
    writer: bytes = UNKNOWN

    @property
    def close(self) -> Close:
        """What the client is told that comes back for it."""
        return Close(self.code, frames_received=self.received, messages_discarded=self.discarded)


@dataclass(eq=False, slots=True)
class Over:
    """A session that is over."""

    ended: EndedSession
    attempt: Attempt = field(repr=False)
    """The greatest that was seen."""
    numberings: tuple[int, int] = field(repr=False)
    """As :attr:`sealframe.core.session.Session.numberings`."""
    until: float = field(repr=False)
    claim: Claim = field(repr=False)
    """The table's own: its part of the room for those that are over."""

    def left_behind(self, asked: SessionHello) -> bool:
        """Return whether the client had gone on at another server, whose WELCOME it has read, and
        so is not to be told of this end."""
        attempt = attempt_of(asked)
        later = attempt > self.attempt and attempt[0] == self.attempt[0]
        return later and asked.numbering not in self.numberings


class SessionTable(Generic[SessionT]):
    """Which sessions a server has, and which of them have to go.

    Its owner has a timer: as long as ``interval`` is not None it calls ``expire`` once for each.

    :param cost: returns how many bytes a session holds at present
    :param used: returns whether any frame of its client came after HELLO, ACK included; until one
        does, nothing tells that its client has read WELCOME
    :param max_over: sessions that are over and remembered
    """

    def __init__(
        self,
        options: Sessions,
        *,
        cost: Callable[[SessionT], int],
        used: Callable[[SessionT], bool],
        max_over: int = _MAX_OVER,
    ) -> None:
        self._options = options
        self._cost = cost
        self._used = used
        self._max_over = max_over
        interval = max(options.keep / _CHECKS, _SHORTEST_INTERVAL)
        self._interval = min(interval, _LONGEST_INTERVAL)
        # A call that comes later than this was held up.
        self._clock = RunningClock(2 * self._interval)
        self._known: dict[bytes, Known[SessionT]] = {}
        self._detached = FairShares()
        self._deadlines: OrderedDict[bytes, float] = OrderedDict()
        """Of the detached ones; the first is the earliest, since ``keep`` is the same for all."""
        self._over: OrderedDict[bytes, Over] = OrderedDict()
        """The first is the earliest to be forgotten."""
        self._remembered = FairShares()

    def __len__(self) -> int:
        """Return how many sessions are not over."""
        return len(self._known)

    @property
    def detached(self) -> int:
        """How many sessions are detached."""
        return len(self._detached)

    @property
    def memory(self) -> int:
        """Bytes that the detached sessions hold together."""
        return self._detached.weight

    @property
    def interval(self) -> float | None:
        """After how many seconds :meth:`expire` is to be called again; None if nothing waits for
        its time. ``detach`` and ``end`` may change that."""
        return self._interval if self._deadlines or self._over else None

    def find(self, key: bytes) -> Known[SessionT] | Over | None:
        """Return what is known of a session; None: nothing."""
        known = self._known.get(key)
        return self._over.get(key) if known is None else known

    def add(self, key: bytes, session: SessionT, attempt: Attempt, client: Hashable) -> None:
        """Add a session, attached; :meth:`find` knows nothing of its key.

        :param client: whose sessions count together when room is short
        """
        self._known[key] = Known(session, attempt, client)

    def attach(self, key: bytes, attempt: Attempt) -> bool:
        """Note that a session, which must be known, goes on with another link.

        :return: False if the session is ending, or if this attempt is not greater than all that
            were seen (SUPERSEDED); then nothing has changed
        """
        known = self._known[key]
        if known.presence is Presence.ENDING or attempt <= known.attempt:
            return False
        self._release(key, known)
        known.presence = Presence.ATTACHED
        known.attempt = attempt
        return True

    def detach(self, key: bytes, now: float) -> None:
        """Note that a session has lost its link; harmless if it has none.

        ``keep`` begins. :meth:`make_room` is to be called then.
        """
        known = self._known.get(key)
        if known is None or known.presence is not Presence.ATTACHED:
            return
        cost, used = self._cost(known.session), self._used(known.session)
        self._deadlines[key] = self._time(now) + self._options.keep
        known.claim = self._detached.add(key, known.client, weight=cost, spare=not used)
        known.presence = Presence.DETACHED

    def update_cost(self, key: bytes) -> None:
        """Ask anew what a session costs; harmless unless it is detached. If it may have become
        more, :meth:`make_room` is to be called then."""
        known = self._known.get(key)
        if known is not None and known.claim is not None:
            self._detached.reweigh(known.claim, self._cost(known.session))

    def end(
        self, key: bytes, ended: EndedSession, now: float, *, numberings: tuple[int, int]
    ) -> None:
        """Remember how a session ended, for ``keep``; harmless if it is over already.

        :param numberings: its :attr:`~sealframe.core.session.Session.numberings`
        """
        known = self._known.get(key)
        if known is None:
            return
        until = self._time(now) + self._options.keep
        self.forget(key)
        claim = self._remembered.add(key, known.client)
        self._over[key] = Over(ended, known.attempt, numberings, until, claim)
        if len(self._over) > self._max_over:
            self.forget(self._remembered.first_of_most())

    def forget(self, key: bytes) -> None:
        """Forget a session, whether it is over or not; harmless if it is not known."""
        known = self._known.pop(key, None)
        if known is not None:
            self._release(key, known)
        over = self._over.pop(key, None)
        if over is not None:
            self._remembered.discard(over.claim)

    def expire(self, now: float) -> list[SessionT]:
        """Let time go on, by ``2 * interval`` at most; the rest of the time since the last call
        the event loop stood still.

        :return: detached sessions whose time was over at the last call; the caller ends them. So
            there is an interval in which those can come back that waited at the listener while
            the loop stood still.
        """
        keys = []
        for key, deadline in self._deadlines.items():
            if deadline > self._clock.time:
                break
            keys.append(key)
        while self._over:
            key, over = next(iter(self._over.items()))
            if over.until > self._clock.time:
                break
            self.forget(key)
        self._clock.advance(now)
        return [self._hand_over(key) for key in keys]

    def make_room(self) -> list[SessionT]:
        """Return detached sessions that are too many, or hold too much; the caller ends them.

        Each is of the client that has most: sessions if they are too many, bytes if they hold too
        much. Its sessions that were never used go first, then those that are detached longest.
        """
        sessions = []
        while len(self._detached) > self._options.max_detached:
            sessions.append(self._hand_over(self._detached.first_of_most()))
        while self._detached.weight > self._options.memory:
            sessions.append(self._hand_over(self._detached.first_of_heaviest()))
        return sessions

    def _hand_over(self, key: bytes) -> SessionT:
        known = self._known[key]
        self._release(key, known)
        known.presence = Presence.ENDING
        return known.session

    def _release(self, key: bytes, known: Known[SessionT]) -> None:
        if known.claim is not None:
            self._detached.discard(known.claim)
            known.claim = None
            del self._deadlines[key]

    def _time(self, now: float) -> float:
        if self.interval is None:
            # Nobody called expire for as long, since nothing waited for its time.
            self._clock.restart(now)
        return self._clock.read(now)


class RunningClock:
    """Counts the seconds for which an event loop runs, by calls that a timer makes regularly.

    :param longest_step: what one call adds at most
    """

    __slots__ = ("_longest_step", "_now", "time")

    def __init__(self, longest_step: float) -> None:
        self._longest_step = longest_step
        self._now = 0.0
        self.time = 0.0
        """Seconds that were counted until the last call of :meth:`advance`."""

    def restart(self, now: float) -> None:
        """Leave out the time since the last call."""
        self._now = now

    def read(self, now: float) -> float:
        """Return what the clock would show after :meth:`advance`."""
        return self.time + min(now - self._now, self._longest_step)

    def advance(self, now: float) -> None:
        """Count the time since the last call. Only the timer calls it, once in a turn of the event
        loop: however long that turn is, it counts once."""
        self.time = self.read(now)
        self._now = now
