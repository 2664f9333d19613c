"""Control frames as bytes.

The hexadecimal texts are frozen: another implementation was or will be written
from them, so a change here is a change of the wire protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealframe import wire
from sealframe.wire import CloseCode, Opcode, Tlv, control
from sealframe.wire.control import (
    Close,
    Hello,
    MalformedBodyError,
    SessionHello,
    SessionWelcome,
    decode_tlvs,
)

KNOWN_TYPES = [int(kind) for kind in Tlv]
CRITICAL = 0x8063
SKIPPED = 0x0063

fields = st.dictionaries(st.sampled_from(KNOWN_TYPES), st.binary(max_size=40))
u32, u64 = (st.integers(0, 2**bits - 1) for bits in (32, 64))
printable = st.text(st.characters(codec="utf-8").filter(str.isprintable), max_size=60)


def tlv(kind: int, value: bytes = b"", length: int | None = None) -> bytes:
    size = len(value) if length is None else length
    return kind.to_bytes(2, "little") + size.to_bytes(2, "little") + value


def encode_tlvs(values: dict[int, bytes]) -> bytes:
    return b"".join(tlv(kind, value) for kind, value in sorted(values.items()))


# Frames


def test_a_frame_is_head_opcode_body() -> None:
    """The head counts opcode and body, and has the top bit set."""
    assert control.frame(0x07).hex() == "01000080" + "07"
    assert control.frame(0x07, b"\x01\x02").hex() == "03000080" + "07" + "0102"


def test_a_frame_holds_at_most_65536_bytes() -> None:
    assert control.frame(0x8B, bytes(65_535))[:5].hex() == "00000180" + "8b"
    with pytest.raises(ValueError, match="65537 bytes is over 65536"):
        control.frame(0x8B, bytes(65_536))


def test_unsupported_names_the_opcode_and_8_bytes_of_the_body() -> None:
    assert control.unsupported(0x01, b"0123456789").hex() == "0a00008086" + "01" + b"01234567".hex()
    assert control.unsupported(0x01, b"").hex() == "0200008086" + "01"


# Type, length, value


@given(fields)
def test_fields_in_ascending_order_are_read(values: dict[int, bytes]) -> None:
    assert decode_tlvs(encode_tlvs(values)) == values


@given(fields, st.data())
def test_fields_cut_short_anywhere_are_refused(
    values: dict[int, bytes], data: st.DataObject
) -> None:
    """What is left of a cut body is either refused, or a cut between two whole fields."""
    whole = encode_tlvs(values)
    cut = data.draw(st.integers(0, len(whole)))
    boundaries = [
        len(encode_tlvs(dict(sorted(values.items())[:n]))) for n in range(len(values) + 1)
    ]
    if cut in boundaries:
        assert decode_tlvs(whole[:cut]).items() <= values.items()
    else:
        with pytest.raises(MalformedBodyError, match="cut short"):
            decode_tlvs(whole[:cut])


@given(st.binary(max_size=60))
def test_no_bytes_make_the_parser_raise_anything_else(data: bytes) -> None:
    """Arbitrary bytes are parsed or refused with MalformedBodyError, nothing else."""
    parsers: list[Callable[[bytes], object]] = [
        *(decode_tlvs, Hello.decode, Close.decode, control.parse_ack),
        *(SessionHello.decode, SessionWelcome.decode),
    ]
    for parse in parsers:
        with suppress(MalformedBodyError):
            assert parse(data) is not None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (tlv(2) + tlv(1), "field 1 is doubled or out of order"),
        (tlv(2) + tlv(2), "field 2 is doubled or out of order"),
        (tlv(SKIPPED) + tlv(SKIPPED), "field 99 is doubled or out of order"),
        (tlv(CRITICAL), "field 32867 is critical and not known here"),
        (tlv(1, b"abc", length=4), "field 1 is cut short"),
        (b"\x01\x00\x00", "a field's head is cut short"),
        (tlv(1) + b"\x02", "a field's head is cut short"),
    ],
)
def test_bad_fields_are_refused(data: bytes, text: str) -> None:
    with pytest.raises(MalformedBodyError, match=text):
        decode_tlvs(data)


def test_an_unknown_field_that_is_not_critical_is_skipped() -> None:
    known = tlv(1, b"a") + tlv(2, b"b")
    assert decode_tlvs(known + tlv(SKIPPED, b"xyz")) == {1: b"a", 2: b"b"}


def test_a_field_may_be_empty() -> None:
    assert decode_tlvs(tlv(6)) == {6: b""}


def test_a_known_type_with_the_critical_bit_is_another_type() -> None:
    with pytest.raises(MalformedBodyError, match="critical"):
        decode_tlvs(tlv(1 | wire.TLV_CRITICAL, b"abcd"))


# HELLO and WELCOME


HELLO_HEX = "7365616c6672616d01010004000000000105000500642f312e3007000300632d31"


def test_a_worked_hello() -> None:
    """Magic, version 1, max_frame of 16 MiB, software "d/1.0", client id "c-1"."""
    hello = Hello(max_frame=0x0100_0000, software="d/1.0", client_id="c-1")
    assert hello.encode().hex() == HELLO_HEX
    assert Hello.decode(bytes.fromhex(HELLO_HEX)) == hello


def test_the_smallest_hello() -> None:
    """Magic and version alone are enough; the limit is then what a head can say."""
    assert Hello.decode(b"sealfram\x01") == Hello(max_frame=0x7FFF_FFFF)


@given(
    st.integers(1, wire.MAX_LENGTH),
    printable,
    printable.filter(lambda text: len(text.encode()) <= 32),
)
def test_hello_survives_the_round_trip(max_frame: int, software: str, client_id: str) -> None:
    hello = Hello(max_frame=max_frame, software=software, client_id=client_id)
    assert Hello.decode(hello.encode()) == hello


def test_a_hello_with_all_fields_survives_the_round_trip() -> None:
    """The fields go out in ascending order of type: no other order is read."""
    hello = Hello(
        max_frame=1,
        software="s",
        client_id="c",
        invitation=bytes(wire.INVITATION_SIZE),
        window=2,
        session=bytes(range(wire.SESSION_HELLO_SIZE)),
        max_streams=3,
        max_requests=4,
    )
    assert Hello.decode(hello.encode()) == hello
    named = Hello.decode(hello.encode(client_id="another"))
    assert named == replace(hello, client_id="another")


def test_padding_makes_a_close_as_long_as_asked() -> None:
    """Where it has no room beside frames_received, which is 12 bytes, it takes its place."""
    for size in range(7, 40):
        body = Close(CloseCode.UNAUTHORIZED, frames_received=258).encode(size=size)
        assert len(body) == size
        assert Close.decode(body) == Close(
            CloseCode.UNAUTHORIZED, frames_received=258 if size >= 19 else None
        )


def test_unauthorized_may_stand_for_the_shortest_welcome() -> None:
    """Section 6 of the specification: it is always as long as WELCOME."""
    shortest = wire.MAGIC + bytes((wire.VERSION,))
    assert Hello.decode(shortest) == Hello()
    body = Close(CloseCode.UNAUTHORIZED, frames_received=0).encode(size=len(shortest))
    assert len(body) == len(shortest)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "the magic is missing"),
        (b"sealfran\x01", "the magic is missing"),
        (b"sealfram", "another protocol version"),
        (b"sealfram\x02", "another protocol version"),
        (b"sealfram\x01" + tlv(1, bytes(4)), "max_frame is not a number from 1"),
        (
            b"sealfram\x01" + tlv(1, b"\x00\x00\x00\x80"),
            "max_frame is not a number from 1",
        ),
        (
            b"sealfram\x01" + tlv(1, b"\x01\x00\x00"),
            "max_frame is not a number from 1",
        ),
        (
            b"sealfram\x01" + tlv(1, b"\x01\x00\x00\x00\x00"),
            "max_frame is not a number from 1",
        ),
        (b"sealfram\x01" + tlv(3, bytes(4)), "window is not a number from 1"),
        (b"sealfram\x01" + tlv(4, b""), "the session is neither 64 bytes"),
        (b"sealfram\x01" + tlv(4, bytes(53)), "the session is neither 64 bytes"),
        (b"sealfram\x01" + tlv(7, b""), "the client id is not 1 to 32 bytes"),
        (b"sealfram\x01" + tlv(7, bytes(33)), "the client id is not 1 to 32 bytes"),
        (b"sealfram\x01" + tlv(CRITICAL), "critical"),
        (b"sealfram\x01\x00", "cut short"),
        (b"sealfram\x01" + tlv(6, bytes(500)), "513 bytes are over 512"),
    ],
)
def test_a_bad_hello_is_refused(body: bytes, text: str) -> None:
    with pytest.raises(MalformedBodyError, match=text):
        Hello.decode(body)


def test_a_hello_of_512_bytes_is_accepted() -> None:
    body = b"sealfram\x01" + tlv(6, bytes(499))
    assert len(body) == 512
    assert Hello.decode(body) == Hello()


def test_text_from_the_peer_is_made_safe_to_print() -> None:
    """Control characters and broken UTF-8 never reach a log line."""
    hello = Hello.decode(b"sealfram\x01" + tlv(5, b"a\n\x1b[2Jb\xffc"))
    assert hello.software == "a\ufffd\ufffd[2Jb\ufffdc"
    close = Close.decode(b"\x00\x00\x04a\r\nb")
    assert close.reason == "a\ufffd\ufffdb"


# CLOSE and GOAWAY


def test_a_worked_close() -> None:
    """Code 2, reason "bad", 258 frames received."""
    text = "020003626164080008000201000000000000"
    close = Close(CloseCode.PROTOCOL, "bad", 258)
    assert close.encode().hex() == text
    assert Close.decode(bytes.fromhex(text)) == close


def test_a_close_that_says_what_was_lost() -> None:
    text = "010000" + "080008000300000000000000" + "0d0008000200000000000000"
    close = Close(CloseCode.GOING_AWAY, "", 3, 2)
    assert close.encode().hex() == text
    assert Close.decode(bytes.fromhex(text)) == close


def test_a_close_that_says_when_to_come_back() -> None:
    """With all fields: they stand in ascending order of type."""
    text = "010000" + "080008000300000000000000" + "0c000400dc050000" + "0d0008000200000000000000"
    close = Close(CloseCode.GOING_AWAY, "", 3, 2, retry_after=1500)
    assert close.encode().hex() == text
    assert Close.decode(bytes.fromhex(text)) == close
    assert Close.decode(close.encode(size=39)) == close
    assert Close.decode(close.encode(size=38)) == Close(CloseCode.GOING_AWAY)


def test_the_shortest_close() -> None:
    assert Close().encode().hex() == "000000"
    assert Close.decode(bytes(3)) == Close(0, "", None)


@given(st.integers(0, 0xFFFF), printable, st.none() | u64, st.none() | u32)
def test_close_survives_the_round_trip(
    code: int, reason: str, received: int | None, retry_after: int | None
) -> None:
    """Any code does, also those without a name; the reason as far as 255 bytes reach."""
    close = Close(code, reason, received, retry_after=retry_after)
    decoded = Close.decode(close.encode())
    assert replace(decoded, reason=reason) == close
    assert reason.startswith(decoded.reason)
    assert len(reason.encode()) <= 255 or len(decoded.reason.encode()) > 251
    assert len(reason.encode()) > 255 or decoded.reason == reason


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("x" * 255, "x" * 255),
        ("x" * 256, "x" * 255),
        ("x" * 254 + "é", "x" * 254),
        ("é" * 128, "é" * 127),
        ("x" * 253 + "\N{OGHAM SPACE MARK}", "x" * 253),
    ],
)
def test_a_long_reason_is_cut_at_a_character(reason: str, kept: str) -> None:
    body = Close(0, reason).encode()
    assert body[2] == len(kept.encode())
    assert body[3:] == kept.encode()


def test_a_reason_that_is_no_utf_8_can_still_be_sent() -> None:
    """A lone surrogate, as in file names that were read, is replaced."""
    assert Close.decode(Close(0, "a\udc80b").encode()).reason == "a?b"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "cut short"),
        (b"\x00\x00", "cut short"),
        (b"\x00\x00\x02a", "cut short"),
        (b"\x00\x00\x00\x08", "cut short"),
        (b"\x00\x00\x00" + tlv(8, bytes(7)), "frames_received is not 8 bytes"),
        (b"\x00\x00\x00" + tlv(12, bytes(8)), "retry_after is not 4 bytes"),
        (b"\x00\x00\x00" + tlv(13, bytes(7)), "messages_discarded is not 8 bytes"),
        (b"\x00\x00\x00" + tlv(CRITICAL), "critical"),
    ],
)
def test_a_bad_close_is_refused(body: bytes, text: str) -> None:
    with pytest.raises(MalformedBodyError, match=text):
        Close.decode(body)


def test_close_codes_have_names_for_people() -> None:
    assert control.close_name(0) == "NORMAL"
    assert control.close_name(11) == "KICKED"
    assert control.close_name(77) == "code 77"


def test_the_numbers_are_assigned_for_ever() -> None:
    """Opcodes, close codes and field types never change: peers are out there."""
    assert {code.name: int(code) for code in Opcode} == {
        "HANDSHAKE": 0x41,
        "HELLO": 0x42,
        "WELCOME": 0x43,
        "CLOSE": 0x44,
        "GOAWAY": 0x85,
        "UNSUPPORTED": 0x86,
        "PING": 0x07,
        "PONG": 0x88,
        "ACK": 0x89,
        "CREDIT": 0x4A,
        "PAD": 0x8B,
        "REQUEST": 0x21,
        "REPLY": 0xA2,
        "FAILURE": 0xA3,
        "CANCEL": 0xA4,
        "STREAM_OPEN": 0x25,
        "STREAM_DATA": 0xA6,
        "STREAM_CREDIT": 0xA7,
        "STREAM_END": 0xA8,
        "STREAM_RESET": 0xA9,
    }
    assert [code.name for code in sorted(CloseCode)] == [
        *("NORMAL", "GOING_AWAY", "PROTOCOL", "TOO_LARGE", "VERSION", "REFUSED", "BUSY"),
        *("PLAIN", "HANDLER", "TIMEOUT", "SLOW", "KICKED", "UNAUTHORIZED", "MALFORMED"),
        *("SESSION_LOST", "SUPERSEDED", "SEALED", "NO_MESSAGES"),
    ]
    assert [kind.name for kind in sorted(Tlv)] == [
        *("MAX_FRAME", "FEATURES", "WINDOW", "SESSION", "SOFTWARE", "PADDING"),
        *("CLIENT_ID", "FRAMES_RECEIVED", "INVITATION", "MAX_STREAMS", "MAX_REQUESTS"),
        *("RETRY_AFTER", "MESSAGES_DISCARDED", "WRITERS"),
    ]
    assert [int(kind) for kind in sorted(Tlv)] == [*range(1, 15)]
    assert [int(code) for code in sorted(CloseCode)] == [*range(18)]


def test_exactly_requests_and_streams_are_counted() -> None:
    """Bit 5 of the opcode marks what a resumed connection would have to count."""
    counted = {code.name for code in Opcode if code & wire.OPCODE_COUNTED}
    assert counted == {
        *("REQUEST", "REPLY", "FAILURE", "CANCEL", "STREAM_OPEN", "STREAM_DATA"),
        *("STREAM_CREDIT", "STREAM_END", "STREAM_RESET"),
    }
