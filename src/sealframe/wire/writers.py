"""Which starts of a client's program the messages of a session are from.

docs/PROTOCOL.md, section 12. Each start from a file draws a *writer*, 8 random bytes, and names in
HELLO, in field 14, those from which what the file counts as sent may be. A server that has taken a
message of another one refuses it: that was sent from a copy of the file.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from . import MAX_WRITERS, WRITER_SIZE

UNKNOWN: Final = bytes(WRITER_SIZE)
"""The writer of messages where nobody has said who that is."""


@dataclass(frozen=True, slots=True)
class Writers:
    """Those that a client's file has had.

    :ivar own: that of this start
    :ivar earlier: those from which the last message that a server has taken may be:
        :data:`UNKNOWN` among them says that it may be any
    """

    own: bytes
    earlier: tuple[bytes, ...] = ()

    @classmethod
    def draw(cls, earlier: tuple[bytes, ...] = ()) -> Writers:
        """Return those of a start that begins."""
        own = UNKNOWN
        while own == UNKNOWN:
            own = secrets.token_bytes(WRITER_SIZE)
        return cls(own, earlier)

    def encode(self) -> bytes:
        """Return the value of field 14 in HELLO."""
        return self.own + b"".join(self.earlier)

    @classmethod
    def decode(cls, value: bytes) -> Writers:
        """Parse it.

        :raises ValueError: it is none
        """
        own, *earlier = (
            value[place : place + WRITER_SIZE] for place in range(0, len(value), WRITER_SIZE)
        )
        if own == UNKNOWN or len(value) % WRITER_SIZE or len(earlier) >= MAX_WRITERS:
            raise ValueError(
                f"{len(value)} bytes do not name a writer, and two earlier ones at most"
            )
        return cls(own, tuple(earlier))

    def may_have_sent(self, writer: bytes) -> bool:
        """Return whether a start of this file may have sent something since the last WELCOME that
        began a numbering of its own: this one, or the last that has read such."""
        return writer in (UNKNOWN, self.own, *self.earlier[:1])

    def may_follow(self, last: bytes) -> bool:
        """Return whether the client's file may know of all that a server has.

        :param last: the writer of the last message that the server has taken
        """
        return UNKNOWN in (last, *self.earlier) or last in (self.own, *self.earlier)
