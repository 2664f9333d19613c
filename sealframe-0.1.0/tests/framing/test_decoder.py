"""The decoder fed with bytes: frames, control frames, faults and their texts."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import weakref
from array import array
from typing import TYPE_CHECKING, Any

import pytest

from sealframe.errors import (
    FrameTooLargeError,
    FrameTooSmallError,
    FramingError,
    MalformedLengthError,
)
from sealframe.framing import INT32_BE, NATIVE, PACKET, PROTOBUF_DELIMITED, UINT16_BE, Framing
from sealframe.wire import KNOWN_OPCODES, MAX_CONTROL, Control, Layout, Opcode

if TYPE_CHECKING:
    from types import FrameType, ModuleType

UNKNOWN = 0x9F


def control(opcode: int, body: bytes = b"") -> bytes:
    return (0x8000_0000 + 1 + len(body)).to_bytes(4, "little") + bytes([opcode]) + body


@pytest.mark.parametrize(
    "data",
    [
        bytearray(b"\x02\x00hi"),
        memoryview(b"\x02\x00hi"),
        memoryview(b"..\x02\x00hi..")[2:-2],
        array("H", b"\x02\x00hi"),
        memoryview(array("H", b"\x02\x00hi")),
        memoryview(b"\x02\x00hi").cast("B", (2, 2)),
    ],
    ids=["bytearray", "memoryview", "slice", "array", "array-view", "two-dimensions"],
)
def test_feed_takes_any_contiguous_bytes_like(backend: ModuleType, data: Any) -> None:
    decoder = backend.Decoder(Framing(width=2).layout)
    frames = decoder.feed(data)
    assert frames == [b"hi"]
    assert type(frames[0]) is bytes
    assert decoder.feed(b"") == []


@pytest.mark.parametrize(
    ("data", "name"), [("text", "str"), (5, "int"), (None, "NoneType"), ([1, 2], "list")]
)
def test_feed_refuses_other_types_and_goes_on(backend: ModuleType, data: Any, name: str) -> None:
    decoder = backend.Decoder(UINT16_BE.layout)
    decoder.feed(b"\x00\x02h")
    with pytest.raises(TypeError) as caught:
        decoder.feed(data)
    assert str(caught.value) == (
        f"a bytes-like object is required, not {name}; encode text first, e.g. text.encode()"
    )
    with pytest.raises(BufferError, match="a contiguous buffer is required; copy this one first"):
        decoder.feed(memoryview(b"i.i.")[::2])
    assert decoder.feed(b"i") == [b"hi"]


def test_frames_are_whole_before_anything_more_arrives(backend: ModuleType) -> None:
    decoder = backend.Decoder(UINT16_BE.layout)
    assert decoder.feed(b"\x00\x01a\x00\x00\x00\x03bcd\x00\x02e") == [b"a", b"", b"bcd"]
    assert decoder.feed(b"f") == [b"ef"]
    assert decoder.feed(b"\x00") == []
    assert decoder.feed(b"\x00") == [b""]


def test_what_is_known_of_an_unfinished_frame(backend: ModuleType) -> None:
    decoder = backend.Decoder(Framing(width=2, offset=1, strip=5).layout)
    seen = []
    for byte in b"\xaa\x04\x00\xbb\xbbhi\xaa":
        frames = decoder.feed(bytes([byte]))
        seen.append((decoder.pending, decoder.frame_size, frames))
    assert seen == [
        (1, 0, []),
        (2, 0, []),
        (3, 7, []),
        (4, 7, []),
        (5, 7, []),
        (6, 7, []),
        (0, 0, [b"hi"]),
        (1, 0, []),
    ]
    assert decoder.prefix == b"\xaa\x04\x00\xbb\xbbhi\xaa"
    decoder.feed(b"\x04")
    assert decoder.prefix == b"\xaa\x04\x00\xbb\xbbhi\xaa"


def test_what_is_known_of_an_unfinished_varint_frame(backend: ModuleType) -> None:
    decoder = backend.Decoder(PROTOBUF_DELIMITED.layout)
    decoder.feed(b"\xac")
    assert (decoder.pending, decoder.frame_size, decoder.prefix) == (1, 0, b"\xac")
    decoder.feed(b"\x02")
    assert (decoder.pending, decoder.frame_size, decoder.prefix) == (2, 302, b"\xac\x02")


def test_control_frames_keep_their_place(backend: ModuleType) -> None:
    decoder = backend.Decoder(NATIVE.layout)
    stream = (
        NATIVE.encode(b"one")
        + control(Opcode.PING, b"12345678")
        + NATIVE.encode(b"two")
        + control(Opcode.CLOSE)
    )
    expected = [b"one", Control(Opcode.PING, b"12345678"), b"two", Control(Opcode.CLOSE, b"")]
    frames = decoder.feed(stream)
    assert frames == expected
    assert type(frames[1]) is Control
    assert type(frames[1].opcode) is int
    assert decoder.saw_control
    assert decoder.feed(NATIVE.encode(b"three")) == [b"three"]
    assert not decoder.saw_control
    assert [frame for byte in stream for frame in decoder.feed(bytes([byte]))] == expected
    assert decoder.saw_control


@pytest.mark.parametrize("framing", [PACKET, INT32_BE, Framing(maximum=2**32 - 1)])
def test_only_the_native_head_has_control_frames(backend: ModuleType, framing: Framing) -> None:
    decoder = backend.Decoder(framing.layout)
    if framing.layout.maximum < 2**31:
        with pytest.raises(FrameTooLargeError):
            decoder.feed(b"\x80\0\0\x80")
    else:
        assert decoder.feed(b"\x80\0\0\x80") == []
        assert decoder.frame_size == 4 + 0x8000_0080
    assert not decoder.saw_control


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 1000, MAX_CONTROL - 1])
@pytest.mark.parametrize("step", [1, 5, 6, 13, 100_000])
def test_of_an_unknown_opcode_eight_bytes_are_kept(
    backend: ModuleType, size: int, step: int
) -> None:
    assert UNKNOWN not in KNOWN_OPCODES
    decoder = backend.Decoder(NATIVE.layout)
    body = (b"abcdefghij" * 10_000)[:size]
    stream = control(UNKNOWN, body) + NATIVE.encode(b"next")
    frames = []
    for place in range(0, len(stream), step):
        frames += decoder.feed(stream[place : place + step])
        assert decoder.pending <= place + step
    assert frames == [Control(UNKNOWN, body[:8]), b"next"]


def test_the_layout_says_which_opcodes_are_known(backend: ModuleType) -> None:
    layout = NATIVE.layout._replace(known=frozenset({UNKNOWN}))
    body = b"abcdefghij"
    frames = backend.Decoder(layout).feed(control(UNKNOWN, body) + control(Opcode.CLOSE, body))
    assert frames == [Control(UNKNOWN, body), Control(Opcode.CLOSE, body[:8])]


def test_discarded_bytes_count_as_pending(backend: ModuleType) -> None:
    decoder = backend.Decoder(NATIVE.layout)
    decoder.feed(control(UNKNOWN, bytes(100))[:4])
    assert (decoder.pending, decoder.frame_size) == (4, 105)
    decoder.feed(bytes([UNKNOWN]) + bytes(50))
    assert (decoder.pending, decoder.frame_size) == (55, 105)


FAULTS = [
    pytest.param(
        PACKET,
        "ffffffff",
        FrameTooLargeError,
        "length 4294967295 (-1 as a signed 32-bit integer) is over the limit of 16777216 bytes",
        id="minus-one",
    ),
    pytest.param(
        PACKET,
        "00000080",
        FrameTooLargeError,
        "length 2147483648 (-2147483648 as a signed 32-bit integer) "
        "is over the limit of 16777216 bytes",
        id="least",
    ),
    pytest.param(
        PACKET,
        "47455420",
        FrameTooLargeError,
        "length 542393671 is over the limit of 16777216 bytes",
        id="http",
    ),
    pytest.param(
        PACKET,
        "01000001",
        FrameTooLargeError,
        "length 16777217 is over the limit of 16777216 bytes",
        id="one-more",
    ),
    pytest.param(
        Framing(width=1, maximum=200),
        "ff",
        FrameTooLargeError,
        "length 255 (-1 as a signed 8-bit integer) is over the limit of 200 bytes",
        id="one-byte",
    ),
    pytest.param(
        Framing(width=8, byteorder="big"),
        "8000000000000000",
        FrameTooLargeError,
        "length 9223372036854775808 (-9223372036854775808 as a signed 64-bit integer) "
        "is over the limit of 16777216 bytes",
        id="eight-bytes",
    ),
    pytest.param(
        Framing(width=2, adjustment=2, maximum=200),
        "0001",
        FrameTooLargeError,
        "length 256 makes a message of 258 bytes, over the limit of 200 bytes",
        id="adjusted",
    ),
    pytest.param(
        NATIVE,
        "ffffff7f",
        FrameTooLargeError,
        "length 2147483647 is over the limit of 16777216 bytes",
        id="native",
    ),
    pytest.param(
        NATIVE,
        "00000080",
        FrameTooSmallError,
        "a control frame of 0 bytes has no opcode",
        id="control-empty",
    ),
    pytest.param(
        NATIVE,
        "01000180",
        FrameTooLargeError,
        "a control frame of 65537 bytes is over the limit of 65536 bytes",
        id="control-large",
    ),
    pytest.param(
        Framing(minimum=17),
        "10000000",
        FrameTooSmallError,
        "length 16 is below the minimum of 17 bytes",
        id="minimum",
    ),
    pytest.param(
        Framing(width=2, minimum=5, includes_header=True),
        "0600",
        FrameTooSmallError,
        "length 6 makes a message of 4 bytes, below the minimum of 5 bytes",
        id="minimum-with-header",
    ),
    pytest.param(
        Framing(width=2, includes_header=True),
        "0100",
        FrameTooSmallError,
        "length 1 makes a frame of 1 bytes, but every frame starts with 2 bytes",
        id="less-than-header",
    ),
    pytest.param(
        Framing(width=2, adjustment=-6, strip=4),
        "0300",
        FrameTooSmallError,
        "length 3 makes a frame of -1 bytes, but every frame starts with 4 bytes",
        id="less-than-nothing",
    ),
    pytest.param(
        PROTOBUF_DELIMITED,
        "ffffffff0f",
        FrameTooLargeError,
        "length 4294967295 is over the limit of 16777216 bytes",
        id="varint-large",
    ),
    pytest.param(
        PROTOBUF_DELIMITED,
        "ffffffffffffffffff01",
        FrameTooLargeError,
        "length 18446744073709551615 is over the limit of 16777216 bytes",
        id="varint-largest",
    ),
    pytest.param(
        Framing(varint=True, minimum=2),
        "8100",
        FrameTooSmallError,
        "length 1 is below the minimum of 2 bytes",
        id="varint-minimum",
    ),
    pytest.param(
        PROTOBUF_DELIMITED,
        "ffffffffffffffffff02",
        MalformedLengthError,
        "a varint length runs on past 64 bits",
        id="varint-65-bits",
    ),
    pytest.param(
        PROTOBUF_DELIMITED,
        "80808080808080808080",
        MalformedLengthError,
        "a varint length runs on past 64 bits",
        id="varint-eleven-bytes",
    ),
]


@pytest.mark.parametrize(("framing", "head", "kind", "text"), FAULTS)
@pytest.mark.parametrize("way", ["whole", "bytes", "buffer"])
def test_faults(
    backend: ModuleType, framing: Framing, head: str, kind: type[FramingError], text: str, way: str
) -> None:
    """The last byte of the head brings the fault; whole frames before it are not lost."""
    good = framing.encode(bytes(20))
    bad = bytes.fromhex(head)
    decoder = backend.Decoder(framing.layout)
    if way == "bytes":
        frames = [frame for byte in good + bad[:-1] for frame in decoder.feed(bytes([byte]))]
        assert frames == [bytes(20)]
        with pytest.raises(kind) as caught:
            decoder.feed(bad[-1:])
        assert caught.value.frames == []
    else:
        assert decoder.feed(good[:1]) == []
        data = good[1:] + good + bad + b"anything may follow"
        if way == "buffer":
            decoder.get_buffer()[: len(data)] = data
        with pytest.raises(kind) as caught:
            decoder.feed(data) if way == "whole" else decoder.buffer_updated(len(data))
        assert caught.value.frames == [bytes(20), bytes(20)]
    assert type(caught.value) is kind
    assert str(caught.value) == text
    assert (decoder.pending, decoder.frame_size) == (0, 0)
    assert decoder.prefix == (good + bad)[:8]
    for call in (
        lambda: decoder.feed(good),
        lambda: decoder.feed("not even bytes"),
        decoder.get_buffer,
        lambda: decoder.buffer_updated(0),
    ):
        with pytest.raises(kind) as again:
            call()
        assert str(again.value) == text
        assert again.value.frames == []
        assert again.value is not caught.value


def test_saw_control_after_a_fault(backend: ModuleType) -> None:
    decoder = backend.Decoder(NATIVE.layout)
    with pytest.raises(FrameTooLargeError) as caught:
        decoder.feed(control(Opcode.PING) + b"\xff\xff\xff\x7f")
    assert caught.value.frames == [Control(Opcode.PING, b"")]
    assert decoder.saw_control
    with pytest.raises(FrameTooLargeError):
        decoder.feed(b"")
    assert not decoder.saw_control


def test_the_largest_frames_are_no_fault(backend: ModuleType) -> None:
    decoder = backend.Decoder(NATIVE.layout)
    assert decoder.feed(b"\x00\x00\x01\x80") == []
    assert decoder.feed(bytes([Opcode.CLOSE]) + bytes(MAX_CONTROL - 1)) == [
        Control(Opcode.CLOSE, bytes(MAX_CONTROL - 1))
    ]
    assert decoder.feed(b"\x00\x00\x00\x01") == []
    assert decoder.frame_size == 4 + 16 * 1024 * 1024


def test_decoders_are_not_copied_or_pickled(backend: ModuleType) -> None:
    decoder = backend.Decoder(PACKET.layout)
    for refused in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="Decoder objects cannot be copied or pickled"):
            refused(decoder)


def test_a_decoder_in_a_cycle_is_collected(backend: ModuleType) -> None:
    class Cyclic(Layout):
        pass

    class Witness:
        pass

    layout = Cyclic(*PACKET.layout)
    layout.decoder = backend.Decoder(layout)  # type: ignore[attr-defined]
    layout.decoder.feed(b"\x09\x00\x00\x00half")  # type: ignore[attr-defined]
    layout.decoder.get_buffer()  # type: ignore[attr-defined]
    layout.witness = Witness()  # type: ignore[attr-defined]
    witness = weakref.ref(layout.witness)  # type: ignore[attr-defined]
    del layout
    gc.collect()
    assert witness() is None


def test_no_reference_is_lost_or_kept(backend: ModuleType) -> None:
    layout = NATIVE.layout._replace(maximum=10, largest=10)
    data = bytearray(b"\x03\x00\x00\x00abc" + control(Opcode.PING, b"now") + control(UNKNOWN))

    def use() -> None:
        decoder = backend.Decoder(layout)
        decoder.feed(data)
        decoder.get_buffer()[: len(data)] = data
        decoder.buffer_updated(len(data))
        with pytest.raises(FramingError):
            decoder.feed(b"\x03\x00\x00\x00abc\x0b\x00\x00\x00")
        with pytest.raises(TypeError):
            backend.Encoder(layout).encode(None)
        backend.Encoder(layout).encode_many([data[:5], b"abc"])

    use()
    gc.collect()  # what earlier tests left, too
    shared = (layout, data, Control, backend.Decoder, layout.known, FrameTooLargeError)
    before = [sys.getrefcount(thing) for thing in shared]
    for _ in range(20):
        use()
    gc.collect()
    assert [sys.getrefcount(thing) for thing in shared] == before
    data.append(0)  # no export is left behind


def test_a_call_from_within_a_call_is_refused(c_backend: ModuleType) -> None:
    """Memory the outer call writes to must not move: in C this has to be an error."""
    decoder = c_backend.Decoder(PACKET.layout)
    refusals = []

    def enter_again(frame: FrameType, event: str, arg: object) -> None:
        if event == "call" and frame.f_code.co_name == "too_large":
            for call in (lambda: decoder.feed(b"\0"), decoder.get_buffer):
                try:
                    call()
                except RuntimeError as error:
                    refusals.append(str(error))

    sys.setprofile(enter_again)
    try:
        with pytest.raises(FrameTooLargeError):
            decoder.feed(b"\xff\xff\xff\xff")
    finally:
        sys.setprofile(None)
    assert (
        refusals
        == ["the decoder is busy: one thread at a time, and no call from within a call"] * 2
    )
