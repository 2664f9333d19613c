"""One end's part of a session: what it keeps, acknowledges and tells the next link."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import pytest

from sealframe.core.channel_frames import ViolationError, stream_data_head
from sealframe.core.session import Session
from sealframe.core.stream_state import StreamState
from sealframe.core.taking import Taking
from sealframe.wire import MAX_CHUNK, MAX_WINDOW, MESSAGE_OVERHEAD, MIN_ACK_BY, Opcode, control

from .session_ends import BEGINS, HELLO, NUMBERING, session

KNOWN = replace(HELLO, numbering=NUMBERING, known=True)


def keeping(count: int, *, limit: int = 10_000) -> Session:
    """Return one that has given so many messages of one byte to a link."""
    kept = session(limit=limit)
    kept.keep([], [bytes([n]) for n in range(count)], count * (1 + MESSAGE_OVERHEAD), [])
    return kept


def test_frames_are_numbered_as_they_are_written() -> None:
    """Whole control frames, messages, then frames of streams."""
    kept = session()
    first, last = control.frame(Opcode.CANCEL, bytes(8)), control.frame(Opcode.PAD, bytes(9))
    kept.keep([first], [b"message"], 7 + MESSAGE_OVERHEAD, [last[:5], last[5:]])
    assert kept.retention.given == 3
    kept.retention.rewind(0)
    batches = kept.retention.take(10_000)
    assert [(batch.messages, batch.frames) for batch in batches] == [
        ([], [[first]]),
        ([b"message"], []),
        ([], [[last[:5], last[5:]]]),
    ]


def test_room_is_what_the_limit_leaves() -> None:
    cost = 1 + MESSAGE_OVERHEAD
    kept = keeping(3, limit=1100)
    assert kept.room == 1100 - 3 * cost
    kept.retention.acknowledge(1)
    assert kept.room == 1100 - 2 * cost
    kept.keep([], [b"x" * 2000], 2000 + MESSAGE_OVERHEAD, [])
    assert kept.room < 0


def test_there_is_no_room_while_it_is_sent_again() -> None:
    """New messages would overtake what the peer has to get first."""
    kept = keeping(3)
    kept.retention.rewind(1)
    assert kept.room == 0
    kept.retention.take(10_000)
    assert kept.room > 0


@pytest.mark.parametrize(
    ("limit", "asked"), [(10, MIN_ACK_BY), (80_000, 80_000), (16 * 2**30, MAX_WINDOW)]
)
def test_it_asks_for_an_acknowledgement_of_half_of_what_it_keeps(limit: int, asked: int) -> None:
    """Else the peer might wait with ACK until this end can send nothing more."""
    assert session(limit=limit).ack_by == asked


LARGE = 32 * 1024 * 1024
"""Bytes that a program writes at once."""


@contextmanager
def bounded(cost: Callable[[], int]) -> Iterator[None]:
    """Check that what is allocated meanwhile, and not let go of, is no more than 8 times what
    counts."""
    tracemalloc.start()
    try:
        yield
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 8 * cost() + 10_000


def test_what_waits_of_a_large_write_does_not_hold_all_of_it() -> None:
    stream = StreamState(0, 0, credit=MAX_WINDOW, receive_window=0)
    with bounded(lambda: stream.queued_bytes):
        stream.write(bytes(LARGE))
        while stream.queued_bytes > MAX_CHUNK:
            stream.write_turn([])


def test_what_is_kept_of_it_does_not_either() -> None:
    kept = session()
    with bounded(lambda: kept.retention.cost):
        view = memoryview(bytes(LARGE))
        for size in (MAX_CHUNK, 100):
            body = cast("bytes", view[:size])
            kept.keep([], [], 0, [stream_data_head(0, size), body])
        del view, body


def test_an_end_waits_with_its_close_for_all_acknowledgements() -> None:
    kept = keeping(2)
    assert kept.waits(peer_ended=False)
    assert not kept.waits(peer_ended=True)
    kept.retention.rewind(0)
    assert kept.waits(peer_ended=True)
    kept.retention.take(10_000)
    kept.retention.acknowledge(1)
    assert kept.waits(peer_ended=False)
    kept.retention.acknowledge(2)
    assert not kept.waits(peer_ended=False)


def test_an_acknowledgement_is_due_after_half_of_what_the_peer_asks_for() -> None:
    """And only where there is something to tell; each begins to count anew. A frame counts as it
    does with its sender, who may have room for no more small ones."""
    known = session(peer_ack_by=2000)
    assert not known.read(5000, 0)
    assert not known.read(999 - 2 * MESSAGE_OVERHEAD, 1)
    assert not known.read(0, 2)
    assert known.read(1, 2)
    assert known.acknowledge(2) == 2
    assert known.told == 2
    assert known.acknowledge(2) is None
    assert not known.read(999 - MESSAGE_OVERHEAD, 3)
    assert known.read(1, 3)


def test_messages_that_are_taken_count_as_those_that_come() -> None:
    known = session(peer_ack_by=2000)
    known.taking = Taking("name", 0)
    assert not known.take(1, 999 - 2 * MESSAGE_OVERHEAD)
    assert known.take(1, 1)


def test_what_was_discarded_is_never_acknowledged() -> None:
    """Nor what comes behind it: numbers have no gaps."""
    known = session()
    known.acknowledge(2)
    known.received = 5
    known.frozen = True
    assert not known.read(100_000, 5)
    assert known.acknowledge(5) is None
    assert known.confirm() == 2
    assert known.acknowledgeable(5) == 2


def test_hello_acknowledges_all_that_came() -> None:
    known = session()
    known.received = 7
    assert known.acknowledgeable(9) == 9
    assert known.confirm() == 7
    assert known.acknowledge(7) is None


def test_the_peers_count_frees_nothing() -> None:
    """Only what it acknowledges does: it may lose its memory before that."""
    kept = keeping(5)
    kept.resume(replace(KNOWN, received=4, acknowledged=2))
    assert (kept.retention.acknowledged, kept.retention.resending) == (2, True)
    assert [batch.messages for batch in kept.retention.take(10_000)] == [[b"\x04"]]
    assert kept.retention.cost == 3 * (1 + MESSAGE_OVERHEAD)


def test_bytes_of_the_link_before_are_no_bytes_of_this_one() -> None:
    known = session(peer_ack_by=2000)
    assert not known.read(900, 1)
    known.resume(KNOWN)
    assert not known.read(900, 1)


@pytest.mark.parametrize("numbering", [0, NUMBERING + 1])
def test_a_client_that_has_read_no_welcome_gets_all(numbering: int) -> None:
    """Its numbers are of another numbering, whatever they are."""
    kept = keeping(3)
    kept.resume(replace(HELLO, numbering=numbering, received=2, acknowledged=2))
    assert kept.retention.acknowledged == 0
    assert [batch.messages for batch in kept.retention.take(10_000)] == [[b"\0", b"\1", b"\2"]]


@pytest.mark.parametrize(
    ("received", "acknowledged", "text"),
    [(4, 0, "4 frames were received"), (1, 1, "1 frames were received"), (3, 1, "1 frames are")],
)
def test_counts_that_contradict(received: int, acknowledged: int, text: str) -> None:
    """Above what was given; below what was acknowledged; an acknowledgement taken back."""
    kept = keeping(3)
    kept.retention.acknowledge(2)
    with pytest.raises(ViolationError, match=text):
        kept.resume(replace(KNOWN, received=received, acknowledged=acknowledged))


def test_who_has_read_no_welcome_has_acknowledged_and_sent_nothing() -> None:
    kept = keeping(3)
    kept.retention.acknowledge(1)
    with pytest.raises(ViolationError, match="0 frames were received"):
        kept.resume(HELLO)
    known = session()
    known.received = 1
    with pytest.raises(ViolationError, match="1 frames came before"):
        known.resume(HELLO)


def test_what_both_ends_say_of_a_session_that_goes_on() -> None:
    known = session(limit=2000)
    known.received = 7
    known.told = 3
    hello = known.hello(token=HELLO.token, start=HELLO.start, link=4, credit=99)
    assert hello == replace(
        KNOWN, link=4, received=7, acknowledged=7, credit=99, ack_by=2000, known=True
    )
    assert known.told == 7
    known.frozen = True
    known.received = 9
    welcome = known.welcome(keep=60, credit=98)
    assert welcome == replace(BEGINS, received=9, acknowledged=7, credit=98, keep=60, ack_by=2000)
