"""Bytes of other people's programs: each layout cuts them where they do, however they arrive."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
from compiled import compiled

from sealframe import NotSupportedError
from sealframe.framing import FrameLayout, Framing, _codec_py, _varied_py, layouts
from sealframe.wire import Layout

from .recordings import RECORDERS, RECORDINGS, Stream

STREAMS = [
    pytest.param(layouts.get(recording.entry), stream, id=f"{recording.name}-{number}")
    for recording in RECORDINGS
    for number, stream in enumerate(recording.streams)
]
SMALL = 2048
"""Bytes of a stream that is split everywhere; a longer one is split around the frames' ends."""
AROUND = 24


def splits(stream: Stream) -> Iterator[int]:
    """Yield where the stream is cut in two."""
    size = len(stream.data)
    if size <= SMALL:
        yield from range(1, size)
        return
    ends = {len(stream.preamble)}
    for frame in stream.frames:
        ends.add(max(ends) + len(frame))
    near = {end + step for end in ends for step in range(-AROUND, AROUND + 1)}
    yield from sorted(place for place in near if 0 < place < size)


def cut(decoder: Any, pieces: list[bytes]) -> list[bytes]:
    return [message for piece in pieces for message in decoder.feed(piece)]


def numbers_of(layout: FrameLayout) -> Layout | None:
    """Return what the two codecs of fixed lengths take, where the layout is one of these."""
    try:
        return layout.layout if isinstance(layout, Framing) else None
    except NotSupportedError:
        return None


def decoder_of(backend: ModuleType, entry: layouts.Entry, stream: Stream) -> Any:
    """Make a decoder, of that backend where there are two."""
    if numbers := numbers_of(entry.layout):
        return backend.Decoder(numbers)
    if isinstance(entry.layout, Framing):
        varied = _varied_py if backend is _codec_py else compiled("framing._varied")
        return varied.Decoder(entry.layout.plan)
    return entry.layout.decoder(sender=stream.sender)


def encoder_of(backend: ModuleType, entry: layouts.Entry, stream: Stream) -> Any:
    if numbers := numbers_of(entry.layout):
        return backend.Encoder(numbers)
    return entry.layout.new_encoder(sender=stream.sender)


@pytest.mark.parametrize(("entry", "stream"), STREAMS)
def test_is_cut_where_the_package_cuts_at_every_split(
    backend: ModuleType, entry: layouts.Entry, stream: Stream
) -> None:
    data = stream.data
    expected = cut(decoder_of(backend, entry, stream), [data])
    assert len(expected) == len(stream.frames)
    for message, frame in zip(expected, stream.frames, strict=True):
        assert message in frame
    for place in splits(stream):
        pieces = [data[:place], data[place:]]
        assert cut(decoder_of(backend, entry, stream), pieces) == expected, place
    decoder = decoder_of(backend, entry, stream)
    assert cut(decoder, [data[place : place + 1] for place in range(len(data))]) == expected
    assert decoder.pending == len(stream.rest)


@pytest.mark.parametrize(("entry", "stream"), STREAMS)
def test_is_cut_as_it_came(backend: ModuleType, entry: layouts.Entry, stream: Stream) -> None:
    places = [0]
    for count in stream.reads:
        places.append(places[-1] + count)
    assert places[-1] in (0, len(stream.data))
    pieces = [stream.data[start:end] for start, end in pairwise(places)] or [stream.data]
    assert len(cut(decoder_of(backend, entry, stream), pieces)) == len(stream.frames)


@pytest.mark.parametrize(("entry", "stream"), STREAMS)
def test_is_written_as_the_package_writes(
    backend: ModuleType, entry: layouts.Entry, stream: Stream
) -> None:
    """Message for message: what was received gives the same bytes when it is sent.

    Or, where a protocol leaves it to the sender what else stands in a header, the same message.
    """
    messages = cut(decoder_of(backend, entry, stream), [stream.data])
    encoder = encoder_of(backend, entry, stream)
    assert entry.layout.preamble(stream.sender) == stream.preamble
    frames = tuple(encoder.encode(message) for message in messages)
    if stream.rewritten:
        assert frames != stream.frames
        assert cut(decoder_of(backend, entry, stream), list(frames)) == messages
    else:
        assert frames == stream.frames


def test_every_recording_has_its_recorder() -> None:
    assert {recording.recorder for recording in RECORDINGS} <= {
        path.name for path in RECORDERS.glob("*.py")
    }


@pytest.mark.parametrize("entry", layouts.ENTRIES, ids=lambda entry: entry.name)
def test_an_entry_names_whose_bytes_it_is_held_to(entry: layouts.Entry) -> None:
    by = {s.by for r in RECORDINGS if r.entry == entry.name for s in r.streams}
    assert set(entry.recorded) == by
    assert by or "no bytes of a real program" in entry.notes
