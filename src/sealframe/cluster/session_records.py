"""The log of one session: its records, and what they come to. No NATS here, and no clock.

Each record is whole in itself but for the messages that earlier ones carry, so that the oldest can
be deleted once the client has what is in them. One that is too large for NATS goes in parts. Where
not all parts are there, since who wrote them was killed or the oldest were deleted for their age,
they count for nothing.

.. code-block:: text

    record   = head, marks, messages          message = u32 length, data
    part     = u8 flags: 2 (the first), 1 (the last), a piece of a record
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from struct import Struct
from struct import error as struct_error
from typing import Final

from ..server.session_store import Entry, Mark
from ..server.session_table import Attempt, EndedSession
from ..wire.writers import UNKNOWN
from .messages import MalformedFrameError

_VERSION: Final = 2
_HEAD: Final = Struct("<BBIIQQQQQII8s8s")
_MARK: Final = Struct("<QI")
_ENDED: Final = Struct("<IQQ8s")
_LENGTH: Final = Struct("<I")
_FIRST: Final = 2
_LAST: Final = 1


class Kind(IntEnum):
    """What a record says."""

    ENTRY = 0
    """What was taken and sent; later than all before."""
    SNAPSHOT = 1
    """All that there is of the session: what is before is not needed."""
    TAKEN_OVER = 2
    """Another numbering begins; messages up to ``base`` have arrived."""
    ENDED = 3


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    :ivar attempt: (start, link) of the client's last HELLO
    :ivar own: the writer of that start (:mod:`sealframe.wire.writers`)
    :ivar writer: that of the last message that has been taken
    :ivar base: how many messages of the session the client had when the numbering began
    :ivar taken: how many messages of the client have been taken
    :ivar controls: how many control frames of the numbering there are before the marks
    :ivar first: the number, in the session, of the first of the messages
    :ivar ended: how the session ended, in the last record
    """

    kind: Kind
    attempt: Attempt
    numbering: int
    base: int
    taken: int
    controls: int = 0
    marks: tuple[Mark, ...] = ()
    first: int = 1
    messages: tuple[bytes, ...] = ()
    ended: EndedSession | None = None
    own: bytes = UNKNOWN
    writer: bytes = UNKNOWN

    def encode(self) -> bytes:
        """Return its bytes."""
        start, link = self.attempt
        head = _HEAD.pack(
            _VERSION,
            self.kind,
            start,
            link,
            self.numbering,
            self.base,
            self.taken,
            self.controls,
            self.first,
            len(self.marks),
            len(self.messages),
            self.own,
            self.writer,
        )
        parts = [head, *(_MARK.pack(mark.frame, mark.count) for mark in self.marks)]
        for message in self.messages:
            parts += (_LENGTH.pack(len(message)), message)
        if self.ended is not None:
            ended = self.ended
            parts.append(_ENDED.pack(ended.code, ended.received, ended.discarded, ended.writer))
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> Record:
        """Return the record of these bytes.

        :raises MalformedFrameError: there is none
        """
        try:
            version, kind, start, link, *numbers, own, writer = _HEAD.unpack_from(data)
            if version != _VERSION:
                raise MalformedFrameError(f"the log of a session has version {version}")
            numbering, base, taken, controls, first, marks, messages = numbers
            place = _HEAD.size
            own_marks = []
            for _ in range(marks):
                own_marks.append(Mark(*_MARK.unpack_from(data, place)))
                place += _MARK.size
            own_messages = []
            for _ in range(messages):
                (length,) = _LENGTH.unpack_from(data, place)
                place += _LENGTH.size + length
                own_messages.append(data[place - length : place])
            ended = None
            if kind == Kind.ENDED:
                ended = EndedSession(*_ENDED.unpack_from(data, place))
                place += _ENDED.size
            if place != len(data):
                raise MalformedFrameError("a record of a session has another length")
            return cls(
                Kind(kind),
                (start, link),
                numbering,
                base,
                taken,
                controls,
                tuple(own_marks),
                first,
                tuple(own_messages),
                ended,
                own,
                writer,
            )
        except (struct_error, ValueError) as error:
            raise MalformedFrameError(f"a record of a session is malformed: {error}") from None


def parts_of(record: bytes, size: int) -> Iterator[bytes]:
    """Return what is published of a record.

    :param size: the largest part, in bytes
    """
    room = size - 1
    last = (len(record) - 1) // room
    for number in range(last + 1):
        flags = (_FIRST if number == 0 else 0) | (_LAST if number == last else 0)
        yield bytes((flags,)) + record[number * room : (number + 1) * room]


@dataclass(frozen=True, slots=True)
class _Kept:
    """Where a record is, and up to where it is needed."""

    sequence: int
    message: int
    frame: int


class SessionHistory:
    """What the records of a session come to, and which of them are still needed.

    :ivar last: the sequence of the last message of the log, 0 while there is none
    """

    def __init__(self) -> None:
        self.last = 0
        self.attempt: Attempt = (0, 0)
        self.numbering = 0
        self.base = 0
        self.taken = 0
        self.own = UNKNOWN
        self.writer = UNKNOWN
        self.ended: EndedSession | None = None
        self._total = 0
        self._messages: deque[bytes] = deque()
        # Of the present numbering, and how many control frames there are before the first of them.
        self._marks: deque[Mark] = deque()
        self._controls = 0
        self._kept: deque[_Kept] = deque()
        self._unneeded = 0
        self._pieces: list[bytes] = []
        self._began = 0

    @property
    def exists(self) -> bool:
        """Whether there is any record."""
        return self.numbering != 0

    def read(self, sequence: int, part: bytes) -> None:
        """Take in the next message of the log.

        :raises MalformedFrameError: no server of this version has written it
        """
        self.last = sequence
        if not part or part[0] & ~(_FIRST | _LAST):
            raise MalformedFrameError("a part of a session's log has no flags of this version")
        if part[0] & _FIRST:
            # Who wrote the parts before this one, if they have no last one, is gone.
            self._pieces, self._began = [], sequence
        elif not self._pieces:
            # The first part was deleted for its age.
            return
        self._pieces.append(part[1:])
        if part[0] & _LAST:
            pieces, self._pieces = self._pieces, []
            self.apply(Record.decode(b"".join(pieces)), self._began, sequence)

    def apply(self, record: Record, began: int, sequence: int) -> None:
        """Take in a record that is in the log.

        :param began: the sequence of its first part
        :param sequence: that of its last one
        """
        self.last = sequence
        if record.kind is Kind.SNAPSHOT or not self.exists:
            # Records before the first that is there were deleted: they are not needed.
            self._messages.clear()
            self._total = record.first - 1
            self._marks.clear()
            self._controls = record.controls
        if record.kind is Kind.TAKEN_OVER:
            self._marks.clear()
            self._controls = 0
            self._forget_messages(record.base)
            self._total = max(self._total, record.base)
            # Their frames are of the numbering before, and the marks among them not needed.
            self._kept = deque(replace(kept, frame=0) for kept in self._kept)
        if record.kind is Kind.SNAPSHOT:
            self._unneeded += len(self._kept)
            self._kept.clear()
        self.attempt, self.numbering = record.attempt, record.numbering
        self.base, self.taken, self.ended = record.base, record.taken, record.ended
        self.own, self.writer = record.own, record.writer
        self._marks.extend(record.marks)
        self._messages.extend(record.messages)
        self._total += len(record.messages)
        frame = record.marks[-1].frame + record.marks[-1].count - 1 if record.marks else 0
        self._kept.append(_Kept(began, self._total if record.messages else 0, frame))

    def _forget_messages(self, number: int) -> None:
        while self._messages and self._total - len(self._messages) < number:
            self._messages.popleft()

    def arrived(self, numbering: int, received: int) -> int:
        """Return how many messages of the session a client has that says this in its HELLO.

        :param numbering: that of its last WELCOME
        :param received: how many frames of it have come
        """
        if numbering != self.numbering:
            # It has read no WELCOME of the present one, and so got nothing in it.
            return self.base
        controls = self._controls
        for mark in self._marks:
            controls += min(max(0, received - mark.frame + 1), mark.count)
        return self.base + received - controls

    def after(self, number: int) -> tuple[bytes, ...] | None:
        """Return the messages behind that number, None where the log does not have them all."""
        first = self._total - len(self._messages)
        if not first <= number <= self._total:
            return None
        return tuple(self._messages)[number - first :]

    # What is written

    def entry(self, entry: Entry, attempt: Attempt) -> Record:
        """Return the record of what was taken and sent."""
        return Record(
            Kind.ENTRY,
            attempt,
            self.numbering,
            self.base,
            entry.taken,
            self._controls + sum(mark.count for mark in self._marks),
            entry.marks,
            self._total + 1,
            entry.messages,
            own=self.own,
            writer=self.own if entry.taken > self.taken else self.writer,
        )

    def taken_over(
        self, attempt: Attempt, numbering: int, base: int, own: bytes = UNKNOWN
    ) -> Record:
        """Return the record of a server that takes the session over, or begins it.

        :param own: the writer of the client's start
        """
        return Record(
            Kind.TAKEN_OVER,
            attempt,
            numbering,
            base,
            self.taken,
            first=self._total + 1,
            own=own,
            writer=self.writer,
        )

    def snapshot(self) -> Record:
        """Return a record of all that there is."""
        return Record(
            Kind.SNAPSHOT,
            self.attempt,
            self.numbering,
            self.base,
            self.taken,
            self._controls,
            tuple(self._marks),
            self._total - len(self._messages) + 1,
            tuple(self._messages),
            own=self.own,
            writer=self.writer,
        )

    @property
    def total(self) -> int:
        """How many messages the session has sent, in its life."""
        return self._total

    def end(self, ended: EndedSession) -> Record:
        """Return the last record."""
        return Record(
            Kind.ENDED,
            self.attempt,
            self.numbering,
            self.base,
            self.taken,
            first=self._total + 1,
            ended=ended,
            own=self.own,
            writer=self.writer,
        )

    # What is deleted

    def acknowledged(self, messages: int, frames: int) -> None:
        """The client needs nothing any more up to here.

        :param messages: a number of the session
        :param frames: one of the numbering
        """
        self._forget_messages(messages)
        while self._marks and self._marks[0].frame + self._marks[0].count - 1 <= frames:
            self._controls += self._marks.popleft().count
        kept = self._kept
        while len(kept) > 1 and kept[0].message <= messages and kept[0].frame <= frames:
            kept.popleft()
            self._unneeded += 1

    @property
    def records(self) -> int:
        """How many records are needed."""
        return len(self._kept)

    def unneeded(self, at_least: int) -> int:
        """Return the sequence below which nothing is needed; 0 if that are too few records."""
        if self._unneeded < at_least or not self._kept:
            return 0
        self._unneeded = 0
        return self._kept[0].sequence
