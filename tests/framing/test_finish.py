"""A stream that ends: between frames that is all right, inside one it is an error."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

from sealframe.errors import FrameTooLargeError, IncompleteFrameError
from sealframe.framing import INT32_BE, PACKET, PROTOBUF_DELIMITED, FrameLayout, Framing

if TYPE_CHECKING:
    from types import ModuleType


def test_between_frames_nothing_is_missing(backend: ModuleType) -> None:
    decoder = backend.Decoder(PACKET.layout)
    decoder.finish()
    assert decoder.feed(PACKET.encode(b"hello")) == [b"hello"]
    decoder.finish()


@pytest.mark.parametrize(
    ("layout", "data", "text", "numbers"),
    [
        (INT32_BE, b"\0\0\1\0abc", "7 of its 260 bytes came, 253 are missing", (7, 260)),
        (INT32_BE, b"\0\0", "2 bytes of it came, which do not tell its size", (2, 0)),
        (PROTOBUF_DELIMITED, b"\x80", "1 byte of it came, which do not tell its size", (1, 0)),
    ],
    ids=["body", "head", "varint"],
)
def test_inside_a_frame_it_says_what_is_missing(
    backend: ModuleType, layout: Framing, data: bytes, text: str, numbers: tuple[int, int]
) -> None:
    decoder = backend.Decoder(layout.layout)
    assert decoder.feed(layout.encode(b"whole") + data) == [b"whole"]
    for _ in range(2):
        with pytest.raises(IncompleteFrameError) as caught:
            decoder.finish()
        assert str(caught.value) == f"the stream ends inside a frame: {text}"
        assert (caught.value.received, caught.value.size) == numbers
        other = pickle.loads(pickle.dumps(caught.value))
        assert (str(other), other.received, other.size) == (str(caught.value), *numbers)


def test_after_a_fault_it_is_that_fault(backend: ModuleType) -> None:
    decoder = backend.Decoder(Framing(maximum=1).layout)
    with pytest.raises(FrameTooLargeError) as first:
        decoder.feed(b"\2\0\0\0")
    with pytest.raises(FrameTooLargeError) as second:
        decoder.finish()
    assert str(first.value) == str(second.value)


def test_a_framing_is_a_layout() -> None:
    layout: FrameLayout = INT32_BE
    assert layout.new_encoder() is layout.encoder
    assert layout.preamble("client") == layout.preamble("server") == b""
    assert layout.decoder(sender="server").feed(layout.encode(b"a")) == [b"a"]
