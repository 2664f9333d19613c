"""Buffers that are lent, and a single message taken out of one: of the pure codec alone, whose
connections read that way. They give what ``feed`` gives.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealframe.errors import FramingError
from sealframe.framing import NATIVE, PACKET, PROTOBUF_DELIMITED, Framing, _codec_py
from sealframe.wire import Control

from .readings import checked, feed, observe
from .test_backends import framings, payloads, relaxed, splits, streams

START = b"\x01\0\0\0a\x01\0\0\0b"
"""Frames of PACKET and NATIVE: after the first 8 bytes of a stream, single messages are taken."""


def borrow(decoder: Any, data: bytes) -> list[bytes | Control]:
    """Read as the fast path of a connection does."""
    frames: list[bytes | Control] = []
    while True:
        buffer = decoder.lend_buffer()
        count = min(len(data), len(buffer))
        buffer[:count] = data[:count]
        message = decoder.take_single(count)
        if message is not None:
            frames += checked(decoder, [message])
        else:
            frames += feed_rest(decoder, count, frames)
        data = data[count:]
        if not data:
            return frames


def feed_rest(decoder: Any, count: int, before: list[bytes | Control]) -> list[bytes | Control]:
    try:
        return checked(decoder, decoder.buffer_updated(count))
    except FramingError as error:
        error.frames = before + checked(decoder, error.frames)
        raise


@given(data=st.data())
@relaxed
def test_it_gives_what_feed_gives(data: st.DataObject) -> None:
    framing = data.draw(framings())
    pieces = data.draw(splits(data.draw(streams(framing))))
    layout = framing.layout
    assert observe(_codec_py, layout, pieces, borrow) == observe(_codec_py, layout, pieces, feed)


@given(data=st.data())
@relaxed
def test_it_gives_what_feed_gives_frame_by_frame(data: st.DataObject) -> None:
    """As in a dialogue; what follows the messages is anything."""
    framing = data.draw(framings())
    messages = data.draw(st.lists(payloads(framing.layout), max_size=10))
    pieces = [framing.encode(message) for message in messages] + [data.draw(st.binary())]
    layout = framing.layout
    assert observe(_codec_py, layout, pieces, borrow) == observe(_codec_py, layout, pieces, feed)


def lent(decoder: _codec_py.Decoder, data: bytes) -> bytes | None:
    """Return what is taken of a buffer with this in it."""
    decoder.lend_buffer()[: len(data)] = data
    return decoder.take_single(len(data))


@pytest.fixture(params=[PACKET, NATIVE])
def decoder(request: pytest.FixtureRequest) -> _codec_py.Decoder:
    decoder = _codec_py.Decoder(request.param.layout)
    decoder.feed(START)
    return decoder


@pytest.mark.parametrize("message", [b"", b"x", b"message" * 1000])
def test_a_single_message_is_taken(decoder: _codec_py.Decoder, message: bytes) -> None:
    assert lent(decoder, PACKET.encode(message)) == message
    with pytest.raises(ValueError, match="get_buffer"):
        decoder.buffer_updated(0)
    assert lent(decoder, PACKET.encode(message)) == message


@pytest.mark.parametrize(
    "data",
    [b"", b"\x02", b"\x02\0\0\0a", b"\x01\0\0\0ab", b"\x01\0\0\0a\x01\0\0\0b", bytes(20_000)],
    ids=["nothing", "a part of a head", "a part", "more", "two", "many"],
)
def test_anything_else_is_left(decoder: _codec_py.Decoder, data: bytes) -> None:
    plain = _codec_py.Decoder(PACKET.layout)
    assert lent(decoder, data) is None
    assert decoder.buffer_updated(len(data)) == plain.feed(data)


def test_a_control_frame_is_left() -> None:
    decoder = _codec_py.Decoder(NATIVE.layout)
    decoder.feed(START)
    assert lent(decoder, b"\x02\0\0\x80\x44p") is None
    assert decoder.buffer_updated(6) == [Control(0x44, b"p")]


def test_the_rest_of_a_frame_is_left(decoder: _codec_py.Decoder) -> None:
    """It may look like a frame of its own."""
    decoder.feed(b"\x05\0\0\0")
    assert lent(decoder, b"\x01\0\0\0a") is None
    assert decoder.buffer_updated(5) == [b"\x01\0\0\0a"]


def test_the_start_of_the_stream_is_left() -> None:
    """It is kept for a diagnosis."""
    decoder = _codec_py.Decoder(PACKET.layout)
    assert lent(decoder, PACKET.encode(b"message")) is None
    assert decoder.buffer_updated(11) == [b"message"]
    assert decoder.prefix == b"\x07\0\0\0mess"


@pytest.mark.parametrize("framing", [PROTOBUF_DELIMITED, Framing(width=3)])
def test_a_layout_that_is_read_in_another_way_is_left(framing: Framing) -> None:
    decoder = _codec_py.Decoder(framing.layout)
    decoder.feed(framing.encode(b"eight or more"))
    data = framing.encode(b"message")
    assert lent(decoder, data) is None
    assert decoder.buffer_updated(len(data)) == [b"message"]


def test_what_has_a_view_is_left(decoder: _codec_py.Decoder) -> None:
    """Whoever holds the view must lose it."""
    data = PACKET.encode(b"message")
    view = decoder.get_buffer()
    view[: len(data)] = data
    assert decoder.take_single(len(data)) is None
    assert decoder.buffer_updated(len(data)) == [b"message"]
    with pytest.raises(ValueError, match="released"):
        len(view)


def test_a_buffer_is_lent_once_until_it_comes_back(decoder: _codec_py.Decoder) -> None:
    data = PACKET.encode(b"message")
    decoder.lend_buffer()[: len(data)] = data
    again = decoder.lend_buffer()
    assert bytes(again[: len(data)]) == data
    assert decoder.buffer_updated(len(data)) == [b"message"]


def test_a_message_taken_is_not_in_the_way_of_the_next(decoder: _codec_py.Decoder) -> None:
    first = lent(decoder, PACKET.encode(b"first"))
    second = lent(decoder, PACKET.encode(b"other"))
    assert (first, second) == (b"first", b"other")
