"""The base of decoders in pure Python, with a layout of two bytes to a message."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from sealframe.errors import FramingError, IncompleteFrameError, MagicError
from sealframe.framing.base import FrameDecoder
from sealframe.framing.buffered import BufferedDecoder


class Pairs(BufferedDecoder):
    """``!`` is at fault, and ``?`` what the program itself got wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = b""

    def _split(self, data: bytes, frames: list[Any]) -> None:
        self.kept += data
        while len(self.kept) >= 2:
            pair, self.kept = self.kept[:2], self.kept[2:]
            if b"!" in pair:
                raise MagicError("no ! please")
            if b"?" in pair:
                raise KeyError("why")
            frames.append(pair)
        self.pending = len(self.kept)
        self.frame_size = 2 if self.kept else 0

    def _clear(self) -> None:
        self.kept = b""


def pour(decoder: FrameDecoder, data: bytes) -> list[Any]:
    buffer = decoder.get_buffer()
    buffer[: len(data)] = data
    return decoder.buffer_updated(len(data))


def test_bytes_are_fed() -> None:
    decoder: FrameDecoder = Pairs()
    assert decoder.feed(b"abc") == [b"ab"]
    assert (decoder.pending, decoder.frame_size, decoder.saw_control) == (1, 2, False)
    assert decoder.feed(bytearray(b"d")) == [b"cd"]
    assert decoder.feed(memoryview(b"")) == []
    assert (decoder.pending, decoder.frame_size) == (0, 0)
    with pytest.raises(TypeError, match="encode text first"):
        decoder.feed("text")  # type: ignore[arg-type]
    with pytest.raises(BufferError, match="contiguous"):
        decoder.feed(memoryview(b"abcd")[::2])


def test_the_first_bytes_are_kept() -> None:
    decoder = Pairs()
    for _ in range(3):
        decoder.feed(b"abc")
    assert decoder.prefix == b"abcabcab"


def test_buffers_are_exported() -> None:
    decoder = Pairs()
    buffer = decoder.get_buffer()
    assert decoder.get_buffer() is buffer
    assert len(buffer) == 256 * 1024
    buffer.release()
    assert len(decoder.get_buffer()) == 256 * 1024
    with pytest.raises(RuntimeError, match="buffer_updated"):
        decoder.feed(b"ab")
    for count in (-1, 256 * 1024 + 1):
        with pytest.raises(ValueError, match="the buffer has 262144 bytes"):
            decoder.buffer_updated(count)
    assert pour(decoder, b"abc") == [b"ab"]
    with pytest.raises(ValueError, match="without get_buffer"):
        decoder.buffer_updated(0)
    assert pour(decoder, b"d") == [b"cd"]


def test_memory_that_a_borrower_keeps_is_left_to_it() -> None:
    decoder = Pairs()
    kept = memoryview(decoder.get_buffer())
    kept[:2] = b"ab"
    assert decoder.buffer_updated(2) == [b"ab"]
    assert pour(Pairs(), b"cd") == [b"cd"]
    assert kept[:2].tobytes() == b"ab"


def test_after_a_fault_every_call_raises_it() -> None:
    decoder = Pairs()
    with pytest.raises(MagicError, match="no ! please") as caught:
        decoder.feed(b"ab!")
        decoder.feed(b"cdef")
    assert caught.value.frames == []
    decoder = Pairs()
    with pytest.raises(MagicError) as caught:
        decoder.feed(b"abcd!!ef")
    assert caught.value.frames == [b"ab", b"cd"]
    assert (decoder.pending, decoder.frame_size, decoder.kept) == (0, 0, b"")
    for call in (lambda: decoder.feed(b"ab"), decoder.get_buffer, decoder.finish):
        with pytest.raises(MagicError, match="no ! please") as again:
            call()
        assert again.value.frames == []
    with pytest.raises(MagicError):
        decoder.buffer_updated(0)


def test_an_exception_of_the_programs_own_leaves_it_dead() -> None:
    """Where the next frame starts is not known any more."""
    decoder = Pairs()
    with pytest.raises(KeyError):
        decoder.feed(b"??")
    with pytest.raises(FramingError, match="the decoder was left by KeyError: 'why'"):
        decoder.feed(b"ab")


def test_the_end_inside_a_frame_names_it() -> None:
    decoder = Pairs()
    decoder.finish()
    decoder.feed(b"abcd")
    decoder.finish()
    decoder.feed(b"e")
    with pytest.raises(IncompleteFrameError) as caught:
        decoder.finish()
    assert str(caught.value) == (
        "the stream ends inside frame 3: 1 of its 2 bytes came, 1 are missing"
    )
    assert pour(decoder, b"f") == [b"ef"]


def test_it_belongs_to_one_stream() -> None:
    with pytest.raises(TypeError, match="Pairs objects cannot be copied"):
        copy.copy(Pairs())
