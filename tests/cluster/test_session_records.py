"""The log of a session: its records, and what they come to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealframe.cluster.messages import MalformedFrameError
from sealframe.cluster.session_records import Kind, Record, SessionHistory, parts_of
from sealframe.server.session_store import Entry, Mark
from sealframe.server.session_table import EndedSession

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
marks = st.lists(st.builds(Mark, u64, u32), max_size=3).map(tuple)
messages = st.lists(st.binary(max_size=40), max_size=4).map(tuple)
names = st.binary(min_size=8, max_size=8)
records = st.one_of(
    st.builds(
        Record,
        st.sampled_from([Kind.ENTRY, Kind.SNAPSHOT, Kind.TAKEN_OVER]),
        st.tuples(u32, u32),
        u64,
        u64,
        u64,
        u64,
        marks,
        u64,
        messages,
        own=names,
        writer=names,
    ),
    st.builds(
        lambda ended: Record(Kind.ENDED, (1, 2), 3, 4, 5, ended=ended),
        st.builds(EndedSession, u32, u64, u64, names),
    ),
)


class Log:
    """What is in the stream, and who writes there."""

    def __init__(self) -> None:
        self.stored: list[tuple[int, bytes]] = []
        self.history = SessionHistory()

    def write(self, record: Record, size: int = 1000) -> None:
        began = len(self.stored) + 1
        for part in parts_of(record.encode(), size):
            self.stored.append((len(self.stored) + 1, part))
        self.history.apply(record, began, len(self.stored))

    def read(self, behind: int = 0) -> SessionHistory:
        """Return what another server reads of it, once all up to there is deleted."""
        history = SessionHistory()
        for sequence, part in self.stored:
            if sequence > behind:
                history.read(sequence, part)
        return history

    def entry(self, taken: int, *messages: bytes, marks: tuple[Mark, ...] = ()) -> None:
        self.write(self.history.entry(Entry(taken, messages, marks), self.history.attempt))


def begun() -> Log:
    log = Log()
    log.write(log.history.taken_over((1, 1), numbering=7, base=0))
    return log


@given(records, st.integers(2, 60))
def test_a_record_in_parts_is_the_same(record: Record, size: int) -> None:
    parts = list(parts_of(record.encode(), size))
    assert max(map(len, parts)) <= size
    flags = [0] * len(parts)
    flags[0] += 2
    flags[-1] += 1
    assert [part[0] for part in parts] == flags
    assert Record.decode(b"".join(part[1:] for part in parts)) == record


@given(st.binary(max_size=100))
def test_other_bytes_are_refused(data: bytes) -> None:
    try:
        record = Record.decode(data)
    except MalformedFrameError:
        return
    assert record.encode() == data


def test_what_a_server_reads_is_what_was_written() -> None:
    log = begun()
    log.entry(1, b"a", b"b")
    log.entry(3)
    log.entry(3, b"c")
    read = log.read()
    assert (read.taken, read.attempt, read.numbering, read.last) == (3, (1, 1), 7, 4)
    assert read.after(read.arrived(7, 1)) == (b"b", b"c")
    assert read.after(read.arrived(7, 3)) == ()
    assert read.after(4) is None


def test_parts_without_their_last_one_count_for_nothing() -> None:
    log = begun()
    log.entry(1, b"a")
    half = list(parts_of(log.history.entry(Entry(2, (b"b" * 90,)), (1, 1)).encode(), 50))
    log.stored.append((3, half[0]))
    read = log.read()
    assert (read.taken, read.after(0), read.last) == (1, (b"a",), 3)
    # The next server writes behind them, and the one after that reads on.
    log.history = read
    log.write(read.taken_over((1, 2), numbering=8, base=0))
    log.write(read.entry(Entry(2, (b"c" * 90,)), (1, 2)), size=50)
    read = log.read()
    assert (read.taken, read.numbering, read.after(0)) == (2, 8, (b"a", b"c" * 90))


def test_parts_whose_first_one_was_deleted_count_for_nothing() -> None:
    log = begun()
    log.write(log.history.entry(Entry(1, (b"a" * 90,)), (1, 1)), size=50)
    assert len(log.stored) > 3
    log.history.acknowledged(1, 1)
    log.entry(2, b"b")
    read = log.read(behind=2)
    assert (read.taken, read.after(1)) == (2, (b"b",))


def test_a_part_of_another_kind_is_refused() -> None:
    for part in (b"", b"\x04abc"):
        with pytest.raises(MalformedFrameError):
            SessionHistory().read(1, part)


def test_control_frames_are_no_messages() -> None:
    log = begun()
    # Frames: a, two answers, b, one answer, c
    log.entry(0, b"a", b"b", b"c")
    log.entry(0, marks=(Mark(2, 2), Mark(5, 1)))
    read = log.read()
    assert [read.arrived(7, received) for received in range(7)] == [0, 1, 1, 1, 2, 2, 3]


def test_the_next_numbering_counts_from_what_had_come() -> None:
    log = begun()
    log.entry(2, b"a", b"b", b"c", marks=(Mark(2, 1),))
    base = log.read().arrived(7, 3)
    log.write(log.history.taken_over((1, 2), numbering=8, base=base))
    log.entry(2, b"d")
    read = log.read()
    assert base == 2
    assert read.arrived(7, 3) == read.arrived(0, 0) == 2
    assert read.after(read.arrived(8, 1)) == (b"d",)


@pytest.mark.parametrize("acknowledged", range(5))
def test_what_is_deleted_is_not_missed(acknowledged: int) -> None:
    """The client has acknowledged so many frames: the rest of the log says all about the others."""
    log = begun()
    # Frames: a, one answer, b, c
    log.entry(1, b"a", b"b")
    log.entry(1, marks=(Mark(2, 1),))
    log.entry(2, b"c")
    log.entry(3)
    whole = log.read()
    log.history.acknowledged(whole.arrived(7, acknowledged), acknowledged)
    sequence = log.history.unneeded(1)
    assert (sequence > 1) == (acknowledged >= 0 and sequence != 0)
    read = log.read(behind=max(0, sequence - 1))
    assert (read.taken, read.last) == (3, 5)
    for received in range(acknowledged, 5):
        arrived = whole.arrived(7, received)
        assert read.arrived(7, received) == arrived
        assert read.after(arrived) == whole.after(arrived)


def test_a_snapshot_stands_for_all_before_it() -> None:
    log = begun()
    log.entry(1, b"a", b"b", marks=(Mark(1, 1),))
    log.history.acknowledged(1, 2)
    log.write(log.history.snapshot())
    log.entry(2, b"c")
    sequence = log.history.unneeded(2)
    assert sequence == 3
    read = log.read(behind=2)
    assert (read.taken, read.numbering) == (2, 7)
    assert read.after(read.arrived(7, 2)) == (b"b", b"c")


def test_records_before_a_take_over_are_deleted_once_their_messages_have_arrived() -> None:
    log = begun()
    for number in range(1, 41):
        log.entry(number, b"%d" % number, marks=(Mark(2 * number - 1, 1),))
    log.write(log.history.taken_over((1, 2), numbering=8, base=30))
    log.entry(41, b"41")
    assert log.history.records == 43
    # Ten messages of the numbering before are the first frames of this one.
    log.history.acknowledged(40, 10)
    assert log.history.records == 1
    sequence = log.history.unneeded(1)
    assert sequence == 43
    read = log.read(behind=sequence - 1)
    assert (read.taken, read.after(read.arrived(8, 10))) == (41, (b"41",))


def test_how_a_session_ended() -> None:
    log = begun()
    log.write(log.history.end(EndedSession(0, 3, 1)))
    assert log.read(behind=1).ended == EndedSession(0, 3, 1)


def test_who_has_written_the_last_message_that_was_taken() -> None:
    log = Log()
    log.write(log.history.taken_over((1, 1), numbering=7, base=0, own=b"first on"))
    log.entry(0, b"a")
    assert log.read().writer == bytes(8)
    log.entry(2)
    assert log.read().writer == b"first on"
    log.write(log.history.taken_over((2, 1), numbering=8, base=0, own=b"another1"))
    log.write(log.history.snapshot())
    assert log.read(behind=4).writer == b"first on"
    log.entry(3)
    assert log.read().writer == b"another1"
