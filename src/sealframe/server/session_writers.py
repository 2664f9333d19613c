"""Which start of its client's program each session of a server has messages from.

docs/PROTOCOL.md, section 12: two copies of one file of a client that take turns are told apart by
that. A protocol has one start: the next one begins with a protocol of its own.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from ..aio.session_protocol import SessionProtocol
from ..options import Sessions
from ..wire.control import SessionHello
from ..wire.writers import UNKNOWN, Writers
from .session_table import Known, Over

_MAX_PAST: Final = 16_384
"""Sessions whose last messages are remembered, the writer of these."""


def may_follow(writers: Writers | None, last: bytes) -> bool:
    """Return whether a client may go on where the last message is from this writer; one that has no
    file may."""
    return writers is None or writers.may_follow(last)


def told(asked: SessionHello, taken: int, last: bytes) -> bytes:
    """Return the writer that WELCOME tells.

    :param taken: how many messages of the session are taken
    :param last: the writer of the last of them
    """
    if asked.writers is None:
        return b""
    # Where there is none, all that there will be are from this start on.
    return last if taken else asked.writers.own


def shown(asked: SessionHello) -> str:
    """Return what programs see of a start; empty where the client has no file."""
    return "" if asked.writers is None else asked.writers.own.hex()


def named(writer: bytes) -> str:
    """Return what programs see of a writer; empty where it is not known."""
    return "" if writer == UNKNOWN else writer.hex()


class SessionWriters:
    """Those of the sessions that are not over.

    :param past: is told of those that go
    """

    def __init__(self, past: PastWriters) -> None:
        self._past = past
        # The writer of the present start, and that of the last message before it.
        self._known: dict[SessionProtocol, tuple[bytes, bytes]] = {}

    def add(self, protocol: SessionProtocol, asked: SessionHello, before: bytes) -> None:
        """A start of a client's program begins.

        :param before: the writer of the last message that was taken until now
        """
        own = UNKNOWN if asked.writers is None else asked.writers.own
        if (own, before) != (UNKNOWN, UNKNOWN):
            self._known[protocol] = own, before

    def last(self, protocol: SessionProtocol) -> bytes:
        """Return the writer of the last message that has come."""
        own, before = self._known.get(protocol, (UNKNOWN, UNKNOWN))
        return own if protocol.stats.messages_received else before

    def last_of(self, found: Known[SessionProtocol] | Over | None) -> bytes:
        """Return the same of what is known of a session."""
        if found is None:
            return UNKNOWN
        return found.ended.writer if isinstance(found, Over) else self.last(found.session)

    def forget(self, protocol: SessionProtocol, key: bytes | None) -> None:
        """A session is over, or goes on with another protocol.

        :param key: the session's; None where it was none, or is forgotten already
        """
        own, _ = self._known.pop(protocol, (UNKNOWN, UNKNOWN))
        session = protocol.session
        if key is not None and session is not None and session.taking is not None:
            self._past.note(key, session.taken, session.taking.position, own)


@dataclass(frozen=True, slots=True)
class _Run:
    """Messages of one writer, one after the other."""

    before: int
    last: int
    writer: bytes


class PastWriters:
    """Who wrote the last messages of sessions that this server has no more.

    For programs that store the number of a message alone: its writer is known here as long as the
    server lives, and no other one goes on with the session. Those that are noted longest ago are
    forgotten where there are too many.

    :param limit: of how many sessions they are remembered, if the program has positions
    """

    def __init__(self, sessions: Sessions, limit: int = _MAX_PAST) -> None:
        self._limit = 0 if sessions.position is None else limit
        self._runs: OrderedDict[bytes, _Run] = OrderedDict()

    def note(self, key: bytes, before: int, last: int, writer: bytes) -> None:
        """A session goes, or another start of its client's program begins.

        :param before: how many of its messages were taken before this start
        :param last: the number of the last that the program has got
        :param writer: of those in between
        """
        if last == before or writer == UNKNOWN:
            return
        earlier = self._runs.pop(key, None)
        if earlier is not None and earlier.writer == writer and earlier.last >= before:
            before = min(before, earlier.before)
        self._runs[key] = _Run(before, last, writer)
        if len(self._runs) > self._limit:
            self._runs.popitem(last=False)

    def of(self, key: bytes, position: int) -> bytes:
        """Return who wrote the message of this number; UNKNOWN where that is not known."""
        run = self._runs.get(key)
        if run is None or not run.before < position <= run.last:
            return UNKNOWN
        return run.writer
