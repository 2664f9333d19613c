"""What an end of a session keeps: numbers, partial acknowledgements, sending again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealframe.core.channel_frames import ViolationError
from sealframe.core.retention import (
    Frame,
    Retention,
    cost_of_frames,
    cost_of_messages,
    cost_of_packed,
    split_frames,
)
from sealframe.core.stream_state import Buffer, StreamState
from sealframe.framing import Framing
from sealframe.wire import MAX_LENGTH, MESSAGE_OVERHEAD, Opcode, StreamKind, control

ENCODER = Framing(control=True, maximum=MAX_LENGTH).encoder


def sent_again(retention: Retention, size: int = 10**9) -> bytes:
    """Return, framed, what the present link gets next."""
    data = bytearray()
    for batch in retention.take(size):
        data += b"".join(ENCODER.pack(batch.messages))
        data += b"".join(bytes(piece) for frame in batch.frames for piece in frame)
    return bytes(data)


def framed(*items: bytes | Frame) -> bytes:
    """Return messages and control frames as they are on the wire."""
    data = b""
    for item in items:
        if isinstance(item, bytes):
            data += b"".join(ENCODER.pack([item]))
        else:
            data += b"".join(bytes(piece) for piece in item)
    return data


def pong(number: int) -> Frame:
    """Return some control frame; of which kind does not matter here."""
    return [control.frame(Opcode.PONG, bytes([number]))]


def keep_messages(retention: Retention, messages: list[bytes]) -> None:
    """Keep messages, as who sends them does."""
    retention.keep_messages(messages, cost_of_packed(len(messages), ENCODER.pack(messages)))


def keep_frames(retention: Retention, frames: list[Frame]) -> None:
    """Keep control frames, as who sends them does."""
    retention.keep_frames(frames, cost_of_frames(frames))


def keep(retention: Retention, item: bytes | Frame) -> None:
    if isinstance(item, bytes):
        keep_messages(retention, [item])
    else:
        keep_frames(retention, [item])


@pytest.fixture
def mixed() -> tuple[Retention, list[bytes | Frame]]:
    """Seven frames, in batches of two messages, two control frames, two messages, one."""
    items: list[bytes | Frame] = [b"1", b"22", pong(3), pong(4), b"5" * 50, b"", pong(7)]
    retention = Retention()
    for item in items:
        keep(retention, item)
    return retention, items


def test_frames_have_numbers_and_a_cost() -> None:
    retention = Retention()
    keep_messages(retention, [])
    assert (retention.given, retention.cost) == (0, 0)
    keep_messages(retention, [b"", b"abc"])
    assert (retention.given, retention.messages_given) == (2, 2)
    assert retention.cost == 3 + 2 * MESSAGE_OVERHEAD
    keep_frames(retention, [pong(1)])
    assert (retention.given, retention.messages_given) == (3, 2)
    assert retention.cost == 3 + 2 * MESSAGE_OVERHEAD + 6 + MESSAGE_OVERHEAD
    retention.acknowledge(3)
    assert (retention.acknowledged, retention.messages_acknowledged, retention.cost) == (3, 2, 0)


def test_what_is_kept_is_not_the_callers_list() -> None:
    """The sender uses its list again, and later frames are put to those of the last batch."""
    retention = Retention()
    messages, frames = [b"a"], [pong(1)]
    keep_messages(retention, messages)
    keep_messages(retention, [b"b"])
    keep_frames(retention, frames)
    keep_frames(retention, [pong(2)])
    assert messages == [b"a"]
    assert frames == [pong(1)]
    messages.clear()
    frames.clear()
    retention.rewind(0)
    assert sent_again(retention) == framed(b"a", b"b", pong(1), pong(2))


@pytest.mark.parametrize("number", range(8))
def test_an_acknowledgement_frees_exactly_what_it_names(
    mixed: tuple[Retention, list[bytes | Frame]], number: int
) -> None:
    retention, items = mixed
    retention.receive_ack(number)
    left = items[number:]
    messages = [item for item in left if isinstance(item, bytes)]
    frames = [item for item in left if not isinstance(item, bytes)]
    assert retention.acknowledged == number
    assert retention.given == 7
    assert retention.messages_given - retention.messages_acknowledged == len(messages)
    assert retention.cost == cost_of_messages(messages) + cost_of_frames(frames)
    retention.rewind(number)
    assert sent_again(retention) == framed(*left)


@pytest.mark.parametrize("received", range(8))
def test_a_link_gets_what_the_peer_has_not_received(
    mixed: tuple[Retention, list[bytes | Frame]], received: int
) -> None:
    """In order and byte for byte; nothing is freed by it."""
    retention, items = mixed
    cost = retention.cost
    retention.rewind(received)
    assert retention.resending == (received < 7)
    assert sent_again(retention) == framed(*items[received:])
    assert not retention.resending
    assert sent_again(retention) == b""
    assert (retention.acknowledged, retention.cost) == (0, cost)


def test_it_is_sent_again_a_part_at_a_time() -> None:
    """So that a resend waits for the transport as everything else does."""
    retention = Retention()
    big = [bytes([n]) * 20_000 for n in range(4)]
    for message in big:
        keep_messages(retention, [message])
    retention.rewind(1)
    parts = []
    while retention.resending:
        parts.append(sent_again(retention, 100))
    assert parts == [framed(message) for message in big[1:]]


def test_each_link_begins_where_its_peer_says() -> None:
    """What one got of a resend says nothing of the next."""
    retention = Retention()
    big = [bytes([n]) * 20_000 for n in range(4)]
    for message in big:
        keep_messages(retention, [message])
    retention.rewind(0)
    assert sent_again(retention, 30_000) == framed(*big[:2])
    retention.rewind(1)
    assert sent_again(retention) == framed(*big[1:])
    retention.rewind(4)
    assert not retention.resending
    assert sent_again(retention) == b""


def test_an_acknowledgement_while_it_is_sent_again() -> None:
    """What the link has got may be acknowledged, in the middle of a batch too; no more."""
    retention = Retention()
    keep_messages(retention, [b"1", b"2"])
    big = b"3" * 20_000
    keep_messages(retention, [big])
    keep_messages(retention, [b"4"])
    retention.rewind(0)
    assert sent_again(retention, 1) == framed(b"1", b"2", big)
    with pytest.raises(ViolationError, match="frame 4 is acknowledged, and 3 were sent"):
        retention.receive_ack(4)
    retention.receive_ack(1)
    retention.receive_ack(3)
    assert retention.cost == cost_of_messages([b"4"])
    assert sent_again(retention) == framed(b"4")
    retention.receive_ack(4)
    assert retention.cost == 0


def test_an_acknowledgement_never_goes_down() -> None:
    retention = Retention()
    keep_messages(retention, [b"1", b"2", b"3"])
    retention.receive_ack(2)
    retention.receive_ack(2)
    with pytest.raises(ViolationError, match="goes down from 2 to 1"):
        retention.receive_ack(1)
    with pytest.raises(ViolationError, match="frame 4 is acknowledged, and 3 were sent"):
        retention.receive_ack(4)
    assert retention.acknowledged == 2


@pytest.mark.parametrize("received", [1, 4])
def test_a_peer_whose_count_contradicts(received: int) -> None:
    """Below what it has acknowledged, or above what it was given: nothing changes."""
    retention = Retention()
    keep_messages(retention, [b"1", b"2", b"3"])
    retention.acknowledge(2)
    with pytest.raises(ViolationError, match=f"{received} frames were received"):
        retention.rewind(received)
    assert not retention.resending
    assert (retention.acknowledged, retention.given) == (2, 3)


def test_a_stream_is_kept_as_it_was_written() -> None:
    """Frames whose data are pieces of what the program wrote, several in one."""
    stream = StreamState(2, StreamKind.APPLICATION, credit=1000, receive_window=0)
    data = bytes(range(200))
    for part in (data[:30], data[30:50], data[50:]):
        stream.write(part)
    stream.update_window(9)
    stream.end()
    buffers: list[Buffer] = []
    while stream.is_ready:
        stream.write_turn(buffers, 40)
    frames = split_frames(buffers)
    # STREAM_CREDIT, five of data, STREAM_END.
    assert len(frames) == 7
    assert [len(frame) for frame in frames] == [1, 3, 3, 2, 2, 2, 1]
    assert any(isinstance(piece, memoryview) for frame in frames for piece in frame)
    wire = b"".join(bytes(buffer) for buffer in buffers)
    retention = Retention()
    keep_frames(retention, frames)
    assert retention.given == 7
    assert retention.cost == len(wire) + 7 * MESSAGE_OVERHEAD
    retention.rewind(0)
    assert sent_again(retention) == wire
    retention.acknowledge(3)
    retention.rewind(3)
    assert sent_again(retention) == framed(*frames[3:])


@st.composite
def cut_frames(draw: st.DrawFn) -> list[Frame]:
    """Return control frames, each in pieces, of which the first has the whole head."""
    frames: list[Frame] = []
    for body in draw(st.lists(st.binary(max_size=40), max_size=8)):
        whole = control.frame(Opcode.STREAM_DATA, body)
        cuts = sorted(draw(st.sets(st.integers(4, len(whole) - 1), max_size=4)))
        ends = [*cuts, len(whole)]
        pieces = [whole[a:b] for a, b in zip([0, *cuts], ends, strict=True)]
        views = [draw(st.sampled_from((bytes, memoryview)))(piece) for piece in pieces]
        frames.append(views)
    return frames


@given(cut_frames())
def test_frames_are_found_again_in_what_is_written(frames: list[Frame]) -> None:
    buffers = [piece for frame in frames for piece in frame]
    found = split_frames(buffers)
    assert found == frames
    # Not copies: what is kept is what was written.
    assert [id(piece) for frame in found for piece in frame] == [id(piece) for piece in buffers]


batches = st.one_of(
    st.lists(st.binary(max_size=60), min_size=1, max_size=5),
    st.lists(st.integers(0, 255).map(pong), min_size=1, max_size=5),
    # Over what is put into one batch.
    st.just([b"x" * 17_000]),
)


@given(st.lists(batches, max_size=8), st.data())
def test_whatever_is_kept_acknowledged_and_sent_again(
    kept: list[list[bytes] | list[Frame]], data: st.DataObject
) -> None:
    """Frames are kept, acknowledged and sent again over one link after the other, as in a list."""
    retention = Retention()
    items: list[bytes | Frame] = []
    for batch in kept:
        for item in batch:
            items.append(item)
            keep(retention, item)
        if data.draw(st.booleans()):
            received = data.draw(st.integers(retention.acknowledged, retention.given))
            retention.rewind(received)
            got = b""
            while retention.resending:
                acknowledged = data.draw(st.integers(retention.acknowledged, received))
                retention.receive_ack(acknowledged)
                got += sent_again(retention, data.draw(st.integers(1, 200)))
            assert got == framed(*items[received:])
        retention.receive_ack(data.draw(st.integers(retention.acknowledged, retention.given)))
        left = items[retention.acknowledged :]
        messages = [item for item in left if isinstance(item, bytes)]
        frames = [item for item in left if not isinstance(item, bytes)]
        assert retention.cost == cost_of_messages(messages) + cost_of_frames(frames)
        assert retention.given == len(items)
        assert retention.messages_given - retention.messages_acknowledged == len(messages)
