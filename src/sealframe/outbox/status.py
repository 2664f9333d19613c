"""What an outbox knows beside its messages: whose session it is, and which numbers they have."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..wire.writers import Writers


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The state of the file as of one commit. Messages are counted by their serial numbers.

    :ivar writers: that of this opening of the file, and those from which the last message may be
        that the server has
    :ivar start: how often the file was opened for this session
    :ivar known: whether a WELCOME of the session was ever read
    :ivar shift: the number of a message less its serial number
    :ivar unnumbered_after: the last message that has a number; None: every message has one
    :ivar given: up to where they may have been given to a link, in this session; those behind it
        were not
    :ivar superseded: whether the server has said that a later start was there: there is a copy of
        the file
    :ivar acknowledged: up to where they are forgotten
    :ivar freed: cost of all that was deleted, in bytes, whole rows only
    :ivar last: the last message that was stored
    :ivar cost: of all that was ever stored, in bytes
    """

    token: bytes = field(repr=False)
    writers: Writers
    start: int
    known: bool
    shift: int
    unnumbered_after: int | None
    given: int
    superseded: bool
    acknowledged: int
    freed: int
    last: int
    cost: int

    @property
    def begun(self) -> bool:
        """Whether a numbering has begun since the file was opened."""
        return self.unnumbered_after is None

    @property
    def numbered(self) -> int:
        """The serial number of the last message that has a number."""
        return self.last if self.unnumbered_after is None else self.unnumbered_after
