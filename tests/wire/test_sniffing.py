"""Naming a wrong peer by its first bytes. Best effort: a hint, never a decision."""

from __future__ import annotations

import pytest

from sealframe import Framing
from sealframe.framing import INT32_BE, PROTOBUF_DELIMITED, UINT16_LE, Delimited, WithPreamble
from sealframe.framing.base import FrameLayout
from sealframe.wire import Opcode, control
from sealframe.wire.sniffing import diagnose, diagnose_foreign

PROXY = (
    "a load balancer sends the PROXY protocol, which is not expected here: "
    "see proxy_protocol of serve()"
)

CASES = {
    b"GET / HT": "length 542393671 is ASCII 'GET ': an HTTP client?",
    b"POST /a ": "length 1414745936 is ASCII 'POST': an HTTP client?",
    b"PRI * HT": "length 541676112 is ASCII 'PRI ': an HTTP client?",
    b"HTTP/1.1": "length 1347703880 is ASCII 'HTTP': an HTTP server?",
    b"SSH-2.0-": "length 759714643 is ASCII 'SSH-': an SSH peer?",
    b"PROXY TC": PROXY,
    b"\r\n\r\n\0\r\nQ": PROXY,
    b"\r\n\r\nhell": "length 168626701 is ASCII '\\r\\n\\r\\n': a peer that sends lines of text?",
    b"220 mail": "length 540029490 is ASCII '220 ': a mail or FTP server?",
    b"* OK IMA": "length 1263476778 is ASCII '* OK': a mail or FTP server?",
    b"+OK POP3": "length 541806379 is ASCII '+OK ': a mail or FTP server?",
    b"hello\r\nx": "length 1819043176 is ASCII 'hell': a peer that sends lines of text?",
    b"nick\n": "length 1801677166 is ASCII 'nick': a peer that sends lines of text?",
    b"\x16\x03\x01\x02\x00\x01\x00\x01": "the first bytes are a TLS record: a TLS peer?",
    b"\x16\x03\x03\x00": "the first bytes are a TLS record: a TLS peer?",
    b"\x15\x03\x03\x00\x02\x02\x28": "the first bytes are a TLS record: a TLS peer?",
    control.frame(Opcode.HANDSHAKE, b"sealfram\x01\x01" + bytes(48))[:8]: (
        "the peer asks for a sealed connection: give both ends the key, or neither"
    ),
    control.frame(Opcode.HELLO, b"sealfram\x01")[:8]: ("the peer asks for an extended connection"),
    control.frame(Opcode.CLOSE, bytes(3))[:8]: "the peer refused with a CLOSE frame",
}


@pytest.mark.parametrize(("first", "text"), CASES.items(), ids=lambda case: repr(case)[:20])
def test_a_known_start_is_named(first: bytes, text: str) -> None:
    assert diagnose(first) == text


@pytest.mark.parametrize("length", [5, 128, 256, 512, 1024, 65_535, (1 << 20) - 1])
@pytest.mark.parametrize("after", [b"", b"abcd"])
def test_a_big_endian_length_is_named(length: int, after: bytes) -> None:
    """256, 512 and 1024 are legal little-endian lengths when read so: they count too."""
    assert diagnose(length.to_bytes(4, "big") + after) == (
        f"read as big-endian the length is {length}: a peer with swapped byte order?"
    )


@pytest.mark.parametrize("length", [0, 1, 5, 11, 255, 256, 257, 1024, 4096, 65_535, 100_000])
def test_a_sane_start_gets_no_diagnosis(length: int) -> None:
    """A little-endian length that a real peer may send suggests nothing."""
    assert diagnose(length.to_bytes(4, "little") + b"\x00\x01\x02\x03") == ""


@pytest.mark.parametrize(
    "first",
    [b"", b"G", b"GET", bytes(8), b"\xff" * 8, control.frame(Opcode.PING)[:8], b"\x03\x00\x00\x80"],
)
def test_what_suggests_nothing_gets_no_diagnosis(first: bytes) -> None:
    assert diagnose(first) == ""


def test_a_swapped_length_over_the_limit_is_not_taken_for_one() -> None:
    over = ((1 << 20) + 1).to_bytes(4, "big")
    assert diagnose(over) == ""
    assert "swapped" in diagnose(over, swapped_limit=1 << 21)


def test_no_start_makes_it_raise_or_print_control_characters() -> None:
    """Every pair of first bytes gives printable text or none."""
    for first in range(256):
        for second in range(256):
            for rest in (b"ET ", b"\x01\x02\x00ab", b"\x1b[2Jab", b"\x00\x80\x41se"):
                assert diagnose(bytes((first, second)) + rest).isprintable()


HTTP2 = WithPreamble(
    Framing(width=3, byteorder="big", adjustment=6, strip=0),
    client=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)
WHOLE = Framing(byteorder="big", includes_header=True, strip=0)
MODBUS = Framing(offset=4, width=2, byteorder="big", strip=0, minimum=8, maximum=260)


class TestOfAForeignLayout:
    @pytest.mark.parametrize(
        ("first", "layout", "text"),
        [
            (b"GET / HT", INT32_BE, "the first bytes are b'GET / HT': an HTTP client?"),
            (b"GET / HT", Delimited(b"\0"), "the first bytes are b'GET / HT': an HTTP client?"),
            (b"HTTP/1.1", MODBUS, "the first bytes are b'HTTP/1.1': an HTTP server?"),
            (b"SSH-2.0-", PROTOBUF_DELIMITED, "the first bytes are b'SSH-2.0-': an SSH peer?"),
            (b"PROXY TC", INT32_BE, PROXY),
            (b"PRI * HT", INT32_BE, "the first bytes are b'PRI * HT': an HTTP client?"),
            (b"PRI * HT", HTTP2, ""),
            (b"GET / HT", HTTP2, "the first bytes are b'GET / HT': an HTTP client?"),
            (
                b"\x16\x03\x01\x02\x00\x01\x00\x01",
                MODBUS,
                "the first bytes are a TLS record: a TLS peer?",
            ),
            (
                control.frame(Opcode.HELLO, b"sealfram\x01")[:8],
                INT32_BE,
                "the peer speaks sealframe's own protocol: leave framing= away",
            ),
            (
                control.frame(Opcode.HANDSHAKE, b"sealfram\x01\x01" + bytes(48))[:8],
                Delimited(b"\n"),
                "the peer speaks sealframe's own protocol: leave framing= away",
            ),
            (
                b"hello wo",
                INT32_BE,
                "the first bytes are b'hello wo': a peer that sends lines of text?",
            ),
            (b"hello wo", Delimited(b"\n"), ""),
            (b"hello wo", PROTOBUF_DELIMITED, ""),
            (
                b"\x05\0\0\0hell",
                INT32_BE,
                "read as little-endian the length is 5: a peer with swapped byte order?",
            ),
            (
                b"\0\x05\0\0",
                Framing(width=2, maximum=1000),
                "read as big-endian the length is 5: a peer with swapped byte order?",
            ),
            (
                b"\0\0\0\0\x06\0\x01\x03",
                MODBUS,
                "read as little-endian the length is 6: a peer with swapped byte order?",
            ),
            (
                b"\0\0\0\x03one\0",
                WHOLE,
                "does this peer's length not count the header? Then leave includes_header away",
            ),
            (b"\xff\xff\xff\xff1234", INT32_BE, ""),
            (b"\xff\xff\xff", INT32_BE, ""),
            (b"\xff\xff\xff\xff", MODBUS, ""),
        ],
        ids=lambda value: repr(value)[:30] if isinstance(value, bytes) else "",
    )
    def test_a_fault_names_the_peer(self, first: bytes, layout: FrameLayout, text: str) -> None:
        assert diagnose_foreign(first, layout) == text

    def test_one_whole_frame_of_the_other_byte_order(self) -> None:
        text = "read as little-endian the length is 256: a peer with swapped byte order?"
        first = b"\0\x01\0\0abcd"
        said = diagnose_foreign(first, INT32_BE, received=260, frame_size=65_540)
        assert said == text
        # A frame that was cut short is no such thing.
        assert diagnose_foreign(first, INT32_BE, received=259, frame_size=65_540) == ""
        assert diagnose_foreign(b"\0\x01ab", UINT16_LE, received=3, frame_size=258) == (
            "read as big-endian the length is 1: a peer with swapped byte order?"
        )

    def test_as_many_bytes_are_missing_as_the_header_has(self) -> None:
        text = "does this peer's length count it (includes_header=True)?"
        first = b"\0\0\0\x07one"
        assert text in diagnose_foreign(first, INT32_BE, received=7, frame_size=11)
        assert diagnose_foreign(first, INT32_BE, received=8, frame_size=11) == ""
        assert diagnose_foreign(first, WHOLE, received=3, frame_size=7) == ""

    def test_text_inside_a_frame_that_is_cut_short_suggests_nothing(self) -> None:
        assert diagnose_foreign(b"  text", Framing(width=2), received=6, frame_size=8226) == ""

    def test_no_start_makes_it_raise_or_print_control_characters(self) -> None:
        for layout in (INT32_BE, UINT16_LE, MODBUS, WHOLE, HTTP2, Delimited(b"\n")):
            for number in range(256):
                for start in (bytes((number,)) * 3, bytes((3, 0)), bytes((0, 0, number))):
                    first = start + bytes((number,))
                    assert diagnose_foreign(first, layout).isprintable()
