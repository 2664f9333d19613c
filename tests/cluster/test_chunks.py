"""The stream of chunks: whatever is lost, what arrives is whole, once and in order."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealframe.cluster.chunks import (
    HEADER_SIZE,
    IncomingStreams,
    OutgoingStream,
    UnknownVersionError,
)
from sealframe.cluster.messages import MalformedFrameError
from sealframe.cluster.numbers import MAX_CHUNK

SENDER = b"sender_1"
SMALL = HEADER_SIZE + 64
MAXIMUM = 1 << 20
FRAME = st.integers(0, 400)


def numbered(sizes: list[int]) -> list[bytes]:
    """Return frames of these sizes (at least 2 bytes), no two of which are equal."""
    return [number.to_bytes(2, "big") + b"." * size for number, size in enumerate(sizes)]


def chunks_of(stream: OutgoingStream, *turns: list[bytes]) -> list[bytes]:
    chunks = []
    for turn in turns:
        for frame in turn:
            stream.add(frame)
        chunks += stream.take()
    return chunks


def received(streams: IncomingStreams, chunks: list[bytes]) -> list[bytes]:
    return [frame for chunk in chunks for frame in streams.feed(chunk)[1]]


@given(st.lists(st.lists(FRAME, max_size=8), max_size=8), st.integers(SMALL, 3 * SMALL))
def test_frames_arrive_whole_and_in_order(turns: list[list[int]], size: int) -> None:
    frames = iter(numbered([n for turn in turns for n in turn]))
    batches = [list(itertools.islice(frames, len(turn))) for turn in turns]
    chunks = chunks_of(OutgoingStream(SENDER, size), *batches)
    streams = IncomingStreams(MAXIMUM)
    assert all(HEADER_SIZE < len(chunk) <= size for chunk in chunks)
    assert received(streams, chunks) == [frame for batch in batches for frame in batch]
    assert streams.lost == 0


@given(st.lists(FRAME, max_size=30), st.data())
def test_whatever_is_lost_the_rest_arrives(sizes: list[int], data: st.DataObject) -> None:
    """Exactly the frames none of whose chunks was lost; each of them once, and in order."""
    frames = numbered(sizes)
    stream = OutgoingStream(SENDER, SMALL)
    parts = [(frame, chunk) for frame in frames for chunk in chunks_of(stream, [frame])]
    kept = [data.draw(st.booleans()) for _ in parts]
    whole = [
        frame
        for frame in frames
        if all(keep for (other, _), keep in zip(parts, kept, strict=True) if other == frame)
    ]
    streams = IncomingStreams(MAXIMUM)
    arrived = [chunk for (_, chunk), keep in zip(parts, kept, strict=True) if keep]
    assert received(streams, arrived) == whole
    assert received(streams, chunks_of(stream, [b"the end"])) == [b"the end"]
    needed = sum(frame in whole for frame, _ in parts)
    assert streams.lost >= kept.count(False)
    assert streams.lost <= len(parts) - needed


@given(st.lists(FRAME, min_size=1, max_size=30), st.data())
def test_a_lost_batch_costs_its_own_frames_alone(sizes: list[int], data: st.DataObject) -> None:
    """Of frames that share chunks: what arrives is in order, and once."""
    frames = numbered(sizes)
    stream = OutgoingStream(SENDER, SMALL)
    chunks = chunks_of(stream, frames)
    arrived = [chunk for chunk in chunks if data.draw(st.booleans())]
    got = received(IncomingStreams(MAXIMUM), arrived)
    assert got == [frame for frame in frames if frame in got]
    # Chunks whose frames are whole in them alone: of those that came nothing is missing.
    for chunk in arrived:
        alone = IncomingStreams(MAXIMUM)
        assert set(received(alone, [chunk])) <= set(got)


@given(st.lists(FRAME, max_size=20), st.data())
def test_what_comes_again_is_not_taken_again(sizes: list[int], data: st.DataObject) -> None:
    frames = numbered(sizes)
    streams = IncomingStreams(MAXIMUM)
    got = []
    seen: list[bytes] = []
    for chunk in chunks_of(OutgoingStream(SENDER, SMALL), frames):
        got += received(streams, [chunk])
        seen.append(chunk)
        assert received(streams, [data.draw(st.sampled_from(seen))]) == []
    assert got == frames


def test_a_turn_is_one_chunk() -> None:
    stream = OutgoingStream(SENDER)
    [chunk] = chunks_of(stream, [b"x" * 100] * 512)
    assert len(chunk) == HEADER_SIZE + 512 * 104
    assert stream.take() == []


def test_chunks_are_written_as_documented() -> None:
    chunks = chunks_of(OutgoingStream(SENDER, SMALL), [b"ab", b"", b"x" * 100])
    numbers = {chunk[10:14] for chunk in chunks}
    assert len(numbers) == 1
    [stream] = numbers
    assert chunks == [
        b"\1\0" + SENDER + stream + bytes(8) + b"\2\0\0\0ab\0\0\0\0",
        b"\1\0" + SENDER + stream + b"\1" + bytes(7) + b"\x64\0\0\0" + b"x" * 60,
        b"\1\1" + SENDER + stream + b"\2" + bytes(7) + b"x" * 40,
    ]


def test_senders_do_not_mix() -> None:
    streams = IncomingStreams(MAXIMUM)
    one, two = OutgoingStream(b"sender_1", SMALL), OutgoingStream(b"sender_2", SMALL)
    first, second = chunks_of(one, [b"1" * 200]), chunks_of(two, [b"2" * 200])
    mixed = [chunk for pair in zip(first, second, strict=True) for chunk in pair]
    assert received(streams, mixed) == [b"1" * 200, b"2" * 200]


def test_gaps_are_counted() -> None:
    chunks = chunks_of(OutgoingStream(SENDER, SMALL), *[[bytes([n])] for n in range(10)])
    streams = IncomingStreams(MAXIMUM)
    assert received(streams, [*chunks[2:4], *chunks[7:]]) == [b"\2", b"\3", b"\7", b"\x08", b"\x09"]
    assert streams.lost == 5


@pytest.mark.parametrize("lost", range(4))
def test_a_frame_of_which_a_piece_was_lost_is_dropped(lost: int) -> None:
    """And nothing else is, nor does a piece of it pass for a frame."""
    chunks = chunks_of(OutgoingStream(SENDER, SMALL), [b"before"], [b"\0" * 200], [b"after"])
    assert len(chunks) == 6
    del chunks[1 + lost]
    streams = IncomingStreams(MAXIMUM)
    assert received(streams, chunks) == [b"before", b"after"]
    assert 1 <= streams.lost <= 4


def test_pieces_of_two_frames_are_not_put_together() -> None:
    """The last piece of one was lost, and the first of the next."""
    chunks = chunks_of(OutgoingStream(SENDER, SMALL), [b"1" * 200, b"2" * 200, b"after"])
    assert len(chunks) == 9
    del chunks[3:5]
    streams = IncomingStreams(MAXIMUM)
    assert received(streams, chunks) == [b"after"]
    assert streams.lost == 5


def test_a_sender_that_comes_back_goes_on() -> None:
    """It was forgotten: its unfinished frame is dropped, and what was missed is counted."""
    chunks = chunks_of(OutgoingStream(SENDER, SMALL), [b"a"], [b"b" * 200], [b"c"])
    streams = IncomingStreams(MAXIMUM)
    received(streams, chunks[:2])
    streams.forget(SENDER)
    streams.forget(SENDER)
    assert received(streams, chunks[:2]) == []
    assert received(streams, chunks[3:]) == [b"c"]
    assert streams.lost == len(chunks) - 3


def test_a_new_stream_of_the_same_sender_begins_anew() -> None:
    """The sender had taken us for gone. What it still had sent before is not taken any more."""
    old, new = OutgoingStream(SENDER), OutgoingStream(SENDER)
    before = chunks_of(old, [b"a"], [b"b"])
    after = chunks_of(new, [b"c"], [b"d"], [b"e"])
    streams = IncomingStreams(MAXIMUM)
    assert received(streams, [before[0], after[0], before[1], after[2]]) == [b"a", b"c", b"e"]
    assert streams.lost == 1


def test_a_frame_over_the_maximum_is_dropped_and_costs_no_memory() -> None:
    stream = OutgoingStream(SENDER, SMALL)
    streams = IncomingStreams(1000)
    chunks = chunks_of(stream, [b"before", b"x" * 1001, b"after"])
    assert received(streams, chunks) == [b"before", b"after"]
    assert streams.lost == len(chunks) - 2


def test_a_large_frame_is_not_copied_many_times() -> None:
    """64 MiB over 257 chunks: time quadratic in it would be minutes."""
    frame = bytes(64 << 20)
    stream = OutgoingStream(SENDER)
    stream.add(frame)
    chunks = stream.take()
    assert len(chunks) == 257
    assert sum(map(len, chunks)) == len(frame) + 4 + 257 * HEADER_SIZE
    assert max(map(len, chunks)) == MAX_CHUNK
    assert received(IncomingStreams(64 << 20), chunks) == [frame]


@pytest.mark.parametrize("size", range(HEADER_SIZE + 1))
def test_what_is_no_chunk_is_told(size: int) -> None:
    with pytest.raises(MalformedFrameError, match="no chunk"):
        IncomingStreams(MAXIMUM).feed(bytes([1]) * size)


def test_another_version_is_told() -> None:
    with pytest.raises(UnknownVersionError, match=r"speaks version 2 .* this one speaks 1") as info:
        IncomingStreams(MAXIMUM).feed(b"\2")
    assert info.value.version == 2


@given(st.binary(min_size=HEADER_SIZE + 1, max_size=200))
def test_hostile_chunks_do_no_harm(data: bytes) -> None:
    streams = IncomingStreams(MAXIMUM)
    streams.feed(b"\1" + data[1:])
    [chunk] = chunks_of(OutgoingStream(b"\xffgood___"), [b"good"])
    assert streams.feed(chunk)[1] == [b"good"]


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="8 bytes, not 7"):
        OutgoingStream(b"1234567")
    with pytest.raises(ValueError, match=f"at least {SMALL} bytes, not {SMALL - 1}"):
        OutgoingStream(SENDER, SMALL - 1)
