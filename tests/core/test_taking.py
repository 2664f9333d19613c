"""What a program has finished of a session's messages, and which frames that acknowledges."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sealframe.core.taking import Taking


def test_a_message_is_finished_when_the_next_is_asked_for() -> None:
    taking = Taking("", 0)
    taking.receive(3, 3)
    assert (taking.position, taking.acknowledgeable) == (0, 0)
    taking.finish()
    taking.taken += 1
    assert (taking.position, taking.acknowledgeable) == (1, 0)
    taking.finish()
    assert taking.acknowledgeable == 1
    taking.taken += 2
    taking.finish()
    assert (taking.position, taking.acknowledgeable) == (3, 3)


def test_control_frames_alone_are_acknowledged() -> None:
    taking = Taking("", 0)
    taking.receive(0, 5)
    assert taking.acknowledgeable == 5
    taking.receive(1, 6)
    assert taking.acknowledgeable == 5
    taking.receive(1, 9)
    assert taking.acknowledgeable == 5
    taking.taken += 1
    taking.finish()
    assert taking.acknowledgeable == 9


def test_messages_of_an_earlier_numbering_have_no_frame_here() -> None:
    taking = Taking("", before=7, carried=2)
    taking.receive(2, 2)
    for position, acknowledged in ((8, 0), (9, 0), (10, 1), (11, 2)):
        taking.taken += 1
        taking.finish()
        assert (taking.position, taking.acknowledgeable) == (position, acknowledged)


@given(
    st.lists(
        st.tuples(st.text("mc", max_size=6), st.integers(0, 3)),
        max_size=30,
    )
)
def test_never_too_much_and_all_in_the_end(reads: list[tuple[str, int]]) -> None:
    """``m`` is a message, ``c`` a control frame; after each read so many messages are taken."""
    taking = Taking("", 0)
    frames = ""
    for read, count in reads:
        frames += read
        messages = frames.count("m")
        taking.receive(messages, len(frames))
        taking.taken = min(messages, taking.taken + count)
        taking.finish()
        places = [place for place, frame in enumerate(frames) if frame == "m"]
        unfinished = places[taking.taken] if taking.taken < messages else len(frames)
        # Late by no more than the control frames that stand between them.
        assert unfinished - frames.count("c") <= taking.acknowledgeable <= unfinished
        if taking.taken == messages:
            assert taking.acknowledgeable == len(frames)
