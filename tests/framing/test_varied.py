"""Layouts that are more than a field of fixed width.

The invariants. For each layout and each stream of bytes, well formed or not:

1. A slow reading, byte after byte by the definitions, finds the same messages and the same
   kind of fault.
2. How the stream is split makes no difference to the messages, to the error and its text, and
   to what is pending at the end; nor do exported buffers.
3. What was encoded is decoded to what it was, and the encoding of that is the same.
"""

from __future__ import annotations

import copy
import itertools
import pickle
import tracemalloc
import zlib
from typing import Any

import pytest
from example_counts import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealframe.errors import (
    ChecksumError,
    ConfigurationError,
    EncodeError,
    FrameTooLargeError,
    FrameTooSmallError,
    FramingError,
    IncompleteFrameError,
    MagicError,
    MalformedLengthError,
    MessageFormatError,
    MessageTooLargeError,
    MessageTooSmallError,
    NotSupportedError,
    TrailerError,
)
from sealframe.framing import (
    DEFAULT_MAXIMUM,
    Bcd,
    Ber,
    Checksum,
    Digits,
    Escaped,
    FrameDecoder,
    Framing,
    Magic,
    Uint,
    Varint,
    parse_layout,
    varied_encoder,
)

from .slow_reading import read_slowly, xor
from .varied import carried, varied_framings, varied_streams

relaxed = settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)

NETSTRING = Framing(length=Digits(until=b":"), trailer=b",")
RESP = Framing(offset=1, length=Digits(until=b"\r\n"), trailer=b"\r\n", magic=b"$")
PKT_LINE = Framing(length=Digits(4, base=16), includes_header=True)
MQTT = Framing(offset=1, length=Varint(4), strip=0)
WEBSOCKET = Framing(
    offset=1,
    length=Escaped(1, "big", mask=0x7F, wider={126: 2, 127: 8}, adds={0x80: 4}),
    strip=0,
)
LDAP = Framing(magic=b"0", offset=1, length=Ber(4), strip=0)
AMQP = Framing(offset=3, byteorder="big", trailer=b"\xce", strip=0)
RECORD_MARK = Framing(length=Uint(4, "big", mask=0x7FFF_FFFF, flags=0x8000_0000))
CHANNEL_DATA = Framing(offset=2, width=2, byteorder="big", strip=0, align=4)
X11 = Framing(
    offset=2, length=Escaped(2, "little", wider={0: 4}), unit=4, includes_header=True, strip=0
)
SEGMENT = Framing(
    length=Uint(3, mask=0x1FFFF, flags=0x20000),
    checksums=(
        Checksum(3, zlib.crc32, "head", "head", "little"),
        Checksum(4, zlib.crc32, "body", "end", "little"),
    ),
)
BITCOIN = Framing(
    magic=b"\xf9\xbe\xb4\xd9", offset=16, checksums=Checksum(4, zlib.crc32, at="head"), strip=0
)

EXAMPLES = [
    # https://cr.yp.to/proto/netstrings.txt
    pytest.param(NETSTRING, b"hello world!", b"12:hello world!,", id="netstring"),
    pytest.param(NETSTRING, b"", b"0:,", id="netstring-empty"),
    # RFC 6587, section 3.4.1
    pytest.param(Framing(length=Digits(until=b" ")), b"<1>1 x", b"6 <1>1 x", id="syslog"),
    # https://redis.io/docs/latest/develop/reference/protocol-spec/, bulk strings
    pytest.param(RESP, b"hello", b"$5\r\nhello\r\n", id="resp"),
    # git's protocol-common, pkt-line
    pytest.param(PKT_LINE, b"a\n", b"0006a\n", id="pkt-line"),
    pytest.param(PKT_LINE, b"foobar\n", b"000bfoobar\n", id="pkt-line-hex"),
    pytest.param(Framing(length=Digits(4)), b"x" * 12, b"0012" + b"x" * 12, id="digits"),
    pytest.param(Framing(length=Bcd(2)), b"x" * 123, b"\x01\x23" + b"x" * 123, id="bcd"),
    # MQTT 5, sections 1.5.5 and 3.12
    pytest.param(MQTT, b"\xc0\x00", b"\xc0\x00", id="mqtt-pingreq"),
    pytest.param(MQTT, b"\x30\x00" + bytes(321), b"\x30\xc1\x02" + bytes(321), id="mqtt-321"),
    # RFC 6455, section 5.7
    pytest.param(WEBSOCKET, b"\x81\x00Hello", b"\x81\x05Hello", id="websocket"),
    pytest.param(
        WEBSOCKET,
        b"\x81\x80\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
        b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
        id="websocket-masked",
    ),
    pytest.param(
        WEBSOCKET, b"\x82\x00" + bytes(256), b"\x82\x7e\x01\x00" + bytes(256), id="websocket-256"
    ),
    pytest.param(
        WEBSOCKET,
        b"\x82\x00" + bytes(65536),
        b"\x82\x7f\0\0\0\0\0\1\0\0" + bytes(65536),
        id="websocket-64k",
    ),
    pytest.param(WEBSOCKET, b"\x82\x00" + bytes(125), b"\x82\x7d" + bytes(125), id="websocket-125"),
    pytest.param(
        WEBSOCKET, b"\x82\x00" + bytes(126), b"\x82\x7e\0\x7e" + bytes(126), id="websocket-126"
    ),
    # X.690, section 8.1.3.5: 201 is 81 c9
    pytest.param(LDAP, b"\x30\x00" + bytes(38), b"\x30\x26" + bytes(38), id="ber-short"),
    pytest.param(LDAP, b"\x30\x00" + bytes(201), b"\x30\x81\xc9" + bytes(201), id="ber-long"),
    pytest.param(
        LDAP, b"\x30\x84\0\0\0\3abc", b"\x30\x84\0\0\0\3abc", id="ber-longer-than-it-has-to-be"
    ),
    # AMQP 0-9-1, sections 2.3.5 and 4.2.7
    pytest.param(AMQP, b"\x08\0\0\0\0\0\0", b"\x08\0\0\0\0\0\0\xce", id="amqp-heartbeat"),
    # RFC 5531, section 11
    pytest.param(RECORD_MARK, b"abc", b"\x80\0\0\3abc", id="record-mark"),
    # RFC 8656, section 12.5
    pytest.param(CHANNEL_DATA, b"\x40\0\0\0abcde", b"\x40\0\0\5abcde\0\0\0", id="channel-data"),
    pytest.param(CHANNEL_DATA, b"\x40\0\0\0abcd", b"\x40\0\0\4abcd", id="channel-data-full"),
    # The X protocol and its BIG-REQUESTS extension
    pytest.param(X11, b"\x2b\0\1\0abcd", b"\x2b\0\x02\0abcd", id="x11"),
    pytest.param(
        Framing(length=Varint(4), includes_header=True),
        b"x" * 127,
        b"\x81\x01" + b"x" * 127,
        id="counts-itself",
    ),
    pytest.param(
        Framing(length=Varint(4), includes_header=True),
        b"x" * 126,
        b"\x7f" + b"x" * 126,
        id="counts-itself-shorter",
    ),
    pytest.param(Framing(width=1, unit=4, strip=4), b"x" * 5, b"\2\0\0\0" + b"x" * 5, id="units"),
    pytest.param(
        SEGMENT,
        b"abc",
        b"\3\0\2"
        + zlib.crc32(b"\3\0\2").to_bytes(4, "little")[:3]
        + b"abc"
        + zlib.crc32(b"abc").to_bytes(4, "little"),
        id="segment",
    ),
    pytest.param(
        BITCOIN,
        bytes(20) + b"\xff\xff\xff\xffabc",
        b"\xf9\xbe\xb4\xd9"
        + bytes(12)
        + b"\3\0\0\0"
        + zlib.crc32(b"abc").to_bytes(4, "big")
        + b"abc",
        id="checksum-of-the-body-in-the-head",
    ),
    pytest.param(
        Framing(
            width=1, checksums=[Checksum(1, xor, "frame"), Checksum(2, sum, "frame")], trailer=b"!"
        ),
        b"\1\4",
        b"\2\1\4\7\0\x0e!",
        id="checksums-of-the-frame",
    ),
    pytest.param(
        Framing(width=1, offset=1, magic=Magic(b"\xa0", mask=b"\xf0"), strip=0),
        b"\x05\0a",
        b"\xa5\1a",
        id="masked-magic",
    ),
    pytest.param(
        Framing(width=1, magic=Magic(b"SM", 1), strip=4), b"a", b"\4SM\0a", id="magic-behind"
    ),
]


def feed_singly(decoder: FrameDecoder, data: bytes) -> list[Any]:
    return [message for byte in data for message in decoder.feed(bytes([byte]))]


@pytest.mark.parametrize(("framing", "payload", "frame"), EXAMPLES)
def test_worked_bytes(framing: Framing, payload: bytes, frame: bytes) -> None:
    assert framing.encode(payload) == frame
    assert framing.encode_many([payload, bytearray(payload)]) == frame * 2
    assert b"".join(framing.encoder.pack([payload, payload])) == frame * 2
    (message,) = framing.decoder().feed(frame)
    if framing.strip != 0:
        assert message == payload
    assert framing.encode(message) == frame  # type: ignore[arg-type]
    assert framing.decoder().feed(frame * 3) == [message] * 3
    if len(frame) < 1000:
        assert feed_singly(framing.decoder(), frame * 2) == [message] * 2
    assert read_slowly(framing, frame * 2) == ([message] * 2, 0, None)


FAULTS = [
    (
        NETSTRING,
        b"5:hello;",
        TrailerError,
        "a frame ends with byte 0x3b, not 0x2c: frames end with b','",
    ),
    (NETSTRING, b"00", MalformedLengthError, "a length with leading zeros"),
    (
        NETSTRING,
        b":",
        MalformedLengthError,
        "byte 0x3a where a decimal digit of the length belongs",
    ),
    (
        NETSTRING,
        b"5a",
        MalformedLengthError,
        "byte 0x61 in a length, where a digit or b':' belongs",
    ),
    (NETSTRING, b"1" * 20, MalformedLengthError, "a length of more than 19 digits"),
    (
        NETSTRING,
        b"99999999:",
        FrameTooLargeError,
        "length 99999999 is over the limit of 16777216 bytes",
    ),
    (
        RESP,
        b"$5\rx",
        MalformedLengthError,
        "byte 0x78 in a length, where a digit or b'\\r\\n' belongs",
    ),
    (RESP, b"+", MagicError, "byte 0 of a frame is 0x2b, not 0x24: frames have b'$' there"),
    (
        PKT_LINE,
        b"00g",
        MalformedLengthError,
        "byte 0x67 where a hexadecimal digit of the length belongs",
    ),
    (
        PKT_LINE,
        b"0003",
        FrameTooSmallError,
        "length 3 makes a frame of 3 bytes, but this one starts with 4 bytes",
    ),
    (
        Framing(length=Bcd(2)),
        b"\x1a",
        MalformedLengthError,
        "byte 0x1a where a decimal digit of the length belongs",
    ),
    (MQTT, b"\x30\xff\xff\xff\xff", MalformedLengthError, "a varint length runs on past 4 bytes"),
    (
        Framing(offset=1, length=Varint()),
        b"\0" + b"\xff" * 9 + b"\2",
        MalformedLengthError,
        "a varint length runs on past 64 bits",
    ),
    (LDAP, b"\x30\x80", MalformedLengthError, "a BER length of the indefinite form (0x80)"),
    (
        LDAP,
        b"\x30\x85",
        MalformedLengthError,
        "a BER length of 5 bytes (0x85), over the limit of 4",
    ),
    (LDAP, b"\x31", MagicError, "byte 0 of a frame is 0x31, not 0x30: frames have b'0' there"),
    (
        Framing(width=1, magic=Magic(b"\xa0", mask=b"\xf0"), offset=1),
        b"\xb5",
        MagicError,
        "byte 0 of a frame is 0xb5, not 0xa0 (mask 0xf0): frames have b'\\xa0' there",
    ),
    (
        SEGMENT,
        b"\3\0\2\0\0\0",
        ChecksumError,
        (
            f"checksum 0x000000 of a frame, but the header comes to "
            f"{zlib.crc32(bytes([3, 0, 2])) & 0xFFFFFF:#08x}"
        ),
    ),
    (
        Framing(width=1, checksums=Checksum(1, xor)),
        b"\1a\0",
        ChecksumError,
        "checksum 0x00 of a frame, but the body comes to 0x61",
    ),
    (
        Framing(width=1, checksums=Checksum(1, xor, "frame")),
        b"\1a\0",
        ChecksumError,
        "checksum 0x00 of a frame, but the frame comes to 0x60",
    ),
    (
        Framing(width=1, unit=4, strip=4, maximum=7),
        b"\3",
        FrameTooLargeError,
        "length 3 makes a message of 9 bytes, over the limit of 7 bytes",
    ),
    (
        Framing(width=1, trailer=b",", maximum_frame=10),
        b"\x09",
        FrameTooLargeError,
        "length 9 is over the limit of 8 bytes",
    ),
    (
        Framing(width=1, trailer=b",", minimum_frame=10),
        b"\x07",
        FrameTooSmallError,
        "length 7 is below the minimum of 8 bytes",
    ),
    (
        Framing(length=Varint(), trailer=b",", maximum_frame=10),
        b"\x88\0",
        FrameTooLargeError,
        "length 8 makes a frame of 11 bytes on the wire, over the limit of 10 bytes",
    ),
]


@pytest.mark.parametrize(("framing", "stream", "kind", "text"), FAULTS)
def test_what_is_wrong_is_told_with_the_first_byte_that_is(
    framing: Framing, stream: bytes, kind: type[FramingError], text: str
) -> None:
    framing.decoder().feed(stream[:-1])
    whole, singly = framing.decoder(), framing.decoder()
    with pytest.raises(kind) as caught:
        whole.feed(stream + b"more")
    assert str(caught.value) == text
    with pytest.raises(kind) as caught:
        feed_singly(singly, stream)
    assert str(caught.value) == text
    for decoder in (whole, singly):
        assert (decoder.pending, decoder.frame_size) == (0, 0)
        with pytest.raises(kind) as caught:
            decoder.feed(b"")
        assert str(caught.value) == text
        assert caught.value.frames == []


def test_what_came_before_a_fault_is_not_lost() -> None:
    with pytest.raises(TrailerError) as caught:
        NETSTRING.decoder().feed(b"1:a,2:bc,1:d;")
    assert caught.value.frames == [b"a", b"bc"]


def observe(decoder: FrameDecoder, pieces: list[bytes], *, pour: bool = False) -> tuple[Any, ...]:
    """Return what a stream comes to: messages, the fault, what is pending."""
    messages: list[Any] = []
    faults = set()
    for piece in pieces:
        try:
            if pour:
                buffer = decoder.get_buffer()
                buffer[: len(piece)] = piece
                messages += decoder.buffer_updated(len(piece))
            else:
                messages += decoder.feed(piece)
        except FramingError as error:
            messages += error.frames
            faults.add((type(error), str(error)))
    assert len(faults) <= 1
    return messages, next(iter(faults), None), decoder.pending, decoder.frame_size


@given(data=st.data())
@relaxed
def test_a_slow_reading_finds_the_same(data: st.DataObject) -> None:
    framing = data.draw(varied_framings())
    stream = data.draw(varied_streams(framing))
    messages, fault, pending, _ = observe(framing.decoder(), [stream])
    assert (messages, pending, fault and fault[0]) == read_slowly(framing, stream)


@given(data=st.data())
@relaxed
def test_splits_make_no_difference(data: st.DataObject) -> None:
    framing = data.draw(varied_framings())
    stream = data.draw(varied_streams(framing))
    whole = observe(framing.decoder(), [stream])
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6))), len(stream)]
    pieces = [stream[a:b] for a, b in itertools.pairwise(cuts)]
    assert observe(framing.decoder(), pieces) == whole
    assert observe(framing.decoder(), pieces, pour=True) == whole
    assert observe(framing.decoder(), [bytes([byte]) for byte in stream] or [b""]) == whole
    for place in range(len(stream)):
        assert observe(framing.decoder(), [stream[:place], stream[place:]]) == whole


@given(data=st.data())
@relaxed
def test_what_was_encoded_is_decoded(data: st.DataObject) -> None:
    framing = data.draw(varied_framings())
    messages = data.draw(st.lists(carried(framing), max_size=5))
    stream = framing.encode_many(messages)
    assert stream == b"".join(map(framing.encode, messages))
    assert stream == b"".join(framing.encoder.pack(messages))
    assert observe(framing.decoder(), [stream]) == (messages, None, 0, 0)


@given(data=st.data())
@relaxed
def test_a_layout_is_what_its_expression_makes(data: st.DataObject) -> None:
    framing = data.draw(varied_framings())
    for other in (pickle.loads(pickle.dumps(framing)), copy.copy(framing)):
        assert other == framing
        assert other.plan == framing.plan
    if not framing.checksums:
        again = parse_layout(repr(framing))
        assert (again, hash(again)) == (framing, hash(framing))


def test_two_ways_to_say_the_same() -> None:
    assert Framing(length=Uint(2, "big")) == Framing(width=2, byteorder="big")
    assert Framing(length=Uint(2, mask=0xFFFF)) == Framing(width=2)
    assert Framing(length=Varint()) == Framing(varint=True)
    assert Framing(length=Varint(4)) != Framing(varint=True)
    assert Framing(magic=Magic(b"ab"), offset=2) == Framing(magic=b"ab", offset=2)
    assert Framing(length=Bcd(4)) != Framing(length=Ber(4))
    assert Framing(width=2).number == Uint(2)
    assert Framing(varint=True).number == Varint()


def test_the_end_inside_a_frame() -> None:
    decoder = NETSTRING.decoder()
    decoder.feed(b"1:a,")
    decoder.finish()
    decoder.feed(b"1")
    with pytest.raises(IncompleteFrameError, match="inside frame 2: 1 byte of it came, which do"):
        decoder.finish()
    decoder.feed(b"0:abc")
    assert (decoder.pending, decoder.frame_size) == (6, 14)
    with pytest.raises(IncompleteFrameError, match="6 of its 14 bytes came, 8 are missing"):
        decoder.finish()


def test_a_length_alone_takes_no_memory() -> None:
    decoder = Framing(length=Ber(4), trailer=b",", maximum=2**31).decoder()
    tracemalloc.start()
    try:
        decoder.feed(b"\x84\x7f\xff\xff\xff")
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 64 * 1024
    assert decoder.frame_size == 2**31 - 1 + 6


@pytest.mark.parametrize(
    ("framing", "minimum", "maximum"),
    [
        (NETSTRING, 0, DEFAULT_MAXIMUM),
        (Framing(length=Digits(3)), 0, 999),
        (PKT_LINE, 0, 65_531),
        (Framing(length=Bcd(2)), 0, 9_999),
        (MQTT, 2, DEFAULT_MAXIMUM),
        (Framing(offset=1, length=Varint(2)), 0, 16_383),
        (Framing(offset=1, length=Varint(4), strip=0, maximum=300), 2, 300),
        (Framing(length=Ber(1), offset=1), 0, 255),
        (Framing(length=Uint(2, mask=0xFF0)), 0, 255),
        (Framing(width=1, unit=4), 0, 1020),
        (Framing(width=1, unit=4, strip=4), 0, 1017),
        (Framing(width=2, trailer=b"ab", maximum_frame=100), 0, 96),
        (Framing(width=2, trailer=b"ab", minimum_frame=100), 96, 65_535),
        (Framing(width=2, align=8, maximum_frame=100, minimum_frame=20), 15, 94),
        (Framing(length=Varint(), trailer=b",", maximum_frame=130), 0, 127),
        (Framing(length=Varint(), trailer=b",", maximum_frame=131), 0, 128),
        (Framing(width=2, strip=0, minimum_frame=8, maximum_frame=260), 8, 260),
        (Framing(offset=1, width=1, magic=Magic(b"ab", 3), strip=0), 5, 257),
    ],
)
def test_limits(framing: Framing, minimum: int, maximum: int) -> None:
    assert (framing.minimum, framing.maximum) == (minimum, maximum)
    for size in {framing.minimum, min(framing.maximum, 70_000)}:
        if framing.unit == 1 and framing.number.widths != (1, 4):  # nor longer lengths
            (message,) = framing.decoder().feed(framing.encode(bytes(size)))
            assert len(message) == size
    with pytest.raises(MessageTooLargeError) as large:
        framing.encode(bytes(framing.maximum + 1))
    assert large.value.limit == framing.maximum
    if framing.minimum:
        with pytest.raises(MessageTooSmallError):
            framing.encode(bytes(framing.minimum - 1))
    limited = framing.limited(framing.minimum + 1)
    assert limited.maximum == framing.minimum + 1


def test_what_cannot_be_sent() -> None:
    with pytest.raises(
        EncodeError,
        match="counts in units of 4 bytes, and would have to count 5 "
        "bytes: make the message longer by 3",
    ):
        Framing(width=1, unit=4).encode(b"12345")
    with pytest.raises(EncodeError, match="its length is not well-formed"):
        LDAP.encode(b"\x30\x80abc")
    with pytest.raises(MessageTooSmallError):
        LDAP.encode(b"\x30\x82a")
    for wrong, words in [
        (b"\xfa" + bytes(19), "byte 0 of the frame would be 0xfa, not 0xf9"),
        (b"\xf9\xbe" + bytes(18), "byte 2 of the frame would be 0x00, not 0xb4: frames have"),
    ]:
        for encoder in (BITCOIN.encoder, varied_encoder.Encoder(BITCOIN.plan)):
            with pytest.raises(MessageFormatError, match=words):
                encoder.encode(wrong)
    assert BITCOIN.encode(bytes(24)) == BITCOIN.encode(b"\xf9\xbe\xb4\xd9" + bytes(20))
    with pytest.raises(MessageTooSmallError, match="of 5 bytes is below the minimum of 6"):
        WEBSOCKET.encode(b"\x81\x80abc")
    with pytest.raises(TypeError, match="encode text first"):
        NETSTRING.encode("text")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="cannot be copied"):
        copy.copy(NETSTRING.encoder)


def test_a_length_that_counts_itself_and_escapes_in_the_middle() -> None:
    """4 is no length, so it is written wider; with the wider field it is 6, which would do."""
    framing = Framing(length=Escaped(1, wider={4: 2}), includes_header=True)
    assert framing.encode(b"ab") == b"\x03ab"
    assert framing.encode(b"abc") == b"\x04\0\x06abc"
    assert framing.encode(b"abcd") == b"\x05abcd"
    assert framing.decoder().feed(b"\x04\0\x06abc") == [b"abc"]


def test_heads_alone() -> None:
    framing = Framing(offset=1, magic=b"x", length=Digits(until=b":"))
    assert framing.head(300) == b"x300:"
    for other in (NETSTRING, MQTT, SEGMENT, CHANNEL_DATA):
        with pytest.raises(NotSupportedError, match="use encode"):
            other.head(5)


def test_large_messages_are_not_copied() -> None:
    large, small = bytes(100_000), b"small"
    packed = NETSTRING.encoder.pack([small, large, small])
    assert packed == [b"5:small,100000:", large, b",5:small,"]
    assert packed[1] is large
    assert NETSTRING.encoder.pack([]) == []
    checked = Framing(width=4, checksums=Checksum(1, xor))
    (joined,) = checked.encoder.pack([large])
    assert joined == checked.encode(large)


def test_a_function_of_the_programs_own_that_fails() -> None:
    def fail(data: memoryview) -> int:
        raise KeyError(len(data))

    decoder = Framing(width=1, checksums=Checksum(1, fail)).decoder()
    with pytest.raises(KeyError, match="3"):
        decoder.feed(b"\3abc\0")
    with pytest.raises(FramingError, match="the decoder was left by KeyError: 3"):
        decoder.feed(b"\1")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"length": 4}, "length must be like Uint(2) or Digits(4), not 4"),
        (
            {"length": Digits(4), "width": 2},
            "length=Digits(width=4) says how the length is written; leave out width=",
        ),
        (
            {"length": Varint(4), "varint": True},
            "length=Varint(max_bytes=4) says how the length is written; leave out varint=",
        ),
        (
            {"length": Varint(4), "strip": 2},
            (
                "strip is 2, but the length has 1 to 4 bytes: leave "
                "strip= out, which drops the header, or say strip=0, which keeps it"
            ),
        ),
        (
            {"varint": True, "trailer": b","},
            (
                "varint=True settles the whole head; leave out "
                "trailer=, or say length=Varint() instead"
            ),
        ),
        ({"control": True, "unit": 4}, "control=True settles the whole head; leave out unit="),
        ({"unit": 0}, "unit must be 1 to 65536, not 0"),
        ({"unit": "4"}, "unit must be an int, not '4'"),
        ({"align": 5000}, "align must be 1 to 4096, not 5000"),
        ({"trailer": ","}, "trailer must be bytes, at most 64, not ','"),
        ({"trailer": bytes(65)}, None),
        ({"magic": "x"}, "magic must be bytes or a Magic, not 'x'"),
        ({"magic": bytes(65)}, None),
        ({"magic": b"xy", "offset": 1}, None),
        ({"magic": Magic(b"xy", 4)}, None),
        ({"magic": Magic(b"xy", 5), "length": Varint(2), "strip": 0}, None),
        ({"magic": Magic(b"xy", 5), "strip": 6}, None),
        ({"checksums": zlib.crc32}, None),
        ({"checksums": [zlib.crc32]}, None),
        ({"minimum_frame": -1}, "minimum_frame must not be negative, but is -1"),
        ({"minimum_frame": 5, "maximum_frame": 4}, None),
        (
            {"maximum_frame": 3},
            (
                "no message fits: with minimum_frame=0 and maximum_frame=3 it would have 0 bytes "
                "or more, and -1 or fewer; change either, or correct the other parameters"
            ),
        ),
        ({"maximum_frame": 3, "strip": 0}, None),
        ({"minimum_frame": 300, "width": 1, "trailer": b","}, None),
        ({"maximum_frame": 10, "trailer": b",", "maximum": 8}, None),
        ({"unit": 4, "adjustment": 2**41}, None),
        ({"length": Digits(1), "strip": 40}, None),
        ({"length": Digits(1), "minimum": 10}, None),
    ],
)
def test_what_cannot_work_together_is_refused(fields: dict[str, Any], text: str | None) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Framing(**fields)
    assert text is None or str(caught.value) == text


@pytest.mark.parametrize(
    "make",
    [
        lambda: Uint(0),
        lambda: Uint(9),
        lambda: Uint(True),
        lambda: Uint(2, "middle"),  # type: ignore[arg-type]
        lambda: Uint(1, mask=0x100),
        lambda: Uint(1, mask=0),
        lambda: Uint(1, mask=0b101),
        lambda: Uint(1, mask=0x7F, flags=0x40),
        lambda: Uint(1, flags=1),
        Digits,
        lambda: Digits(0),
        lambda: Digits(20),
        lambda: Digits(17, base=16),
        lambda: Digits(2, base=8),  # type: ignore[arg-type]
        lambda: Digits(until=b"1"),
        lambda: Digits(base=16, until=b"a"),
        lambda: Digits(until=bytes(17)),
        lambda: Digits(until=":"),  # type: ignore[arg-type]
        lambda: Bcd(0),
        lambda: Bcd(9),
        lambda: Varint(0),
        lambda: Varint(11),
        lambda: Ber(0),
        lambda: Ber(9),
        lambda: Escaped(wider={}),
        lambda: Escaped(wider=[(1, 2)]),  # type: ignore[arg-type]
        lambda: Escaped(wider={256: 2}),
        lambda: Escaped(wider={1: 9}),
        lambda: Escaped(4, wider={1: 2}),
        lambda: Escaped(wider={1: 2}, adds={3: 1}, mask=0xF0),
        lambda: Escaped(wider={1: 2}, adds={0x10: 1}, mask=0xF0),
        lambda: Escaped(wider={1: 2}, adds={1: 0}, mask=0xF0),
        lambda: Escaped(wider={1: 2}, adds=[1]),  # type: ignore[arg-type]
        lambda: Escaped(9, wider={1: 2}),
        lambda: Magic(b""),
        lambda: Magic("x"),  # type: ignore[arg-type]
        lambda: Magic(b"x", -1),
        lambda: Magic(b"x", mask=b"xy"),
        lambda: Checksum(0, xor),
        lambda: Checksum(9, xor),
        lambda: Checksum(1, 5),  # type: ignore[arg-type]
        lambda: Checksum(1, xor, "all"),  # type: ignore[arg-type]
        lambda: Checksum(1, xor, at="begin"),  # type: ignore[arg-type]
        lambda: Checksum(1, xor, byteorder="x"),  # type: ignore[arg-type]
        lambda: Checksum(1, xor, "frame", "head"),
    ],
)
def test_values_out_of_range(make: Any) -> None:
    with pytest.raises(ConfigurationError):
        make()


def test_a_hexadecimal_letter_may_end_decimal_digits() -> None:
    framing = Framing(length=Digits(until=b"a"))
    assert framing.decoder().feed(b"1ab2acd") == [b"b", b"cd"]


def test_a_layout_says_itself_which_numbers_it_has() -> None:
    with pytest.raises(NotSupportedError, match="use plan"):
        _ = NETSTRING.layout
    with pytest.raises(NotSupportedError, match="use layout"):
        _ = Framing(control=True).plan
    assert Framing(width=2).plan.width == 2
