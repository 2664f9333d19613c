"""Which start of its client's program each session of a server has messages from.

docs/PROTOCOL.md, section 12: two copies of one file of a client that take turns are told apart by
that. A protocol has one start: the next one begins with a protocol of its own.
"""

from __future__ import annotations

from ..aio.session_protocol import SessionProtocol
from ..wire.control import SessionHello
from ..wire.writers import UNKNOWN, Writers
from .session_table import Known, Over


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
    """Those of the sessions that are not over."""

    def __init__(self) -> None:
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

    def forget(self, protocol: SessionProtocol) -> None:
        """A session is over, or goes on with another protocol."""
        self._known.pop(protocol, None)
