"""What layouts of the catalogue refuse that are functions, or have checksums of their own."""

from __future__ import annotations

import pytest

from sealframe.errors import ChecksumError, MagicError, MalformedLengthError, MessageFormatError
from sealframe.framing import Framing
from sealframe.framing.layouts import ESPHOME, FRAME_STREAMS, GIOP, GIT, RTCM_3, SIP, UBX

from .recordings import RECORDINGS


def first_frame(entry: str) -> bytes:
    """The first frame that a package made."""
    return next(one for one in RECORDINGS if one.entry == entry).streams[0].frames[0]


@pytest.mark.parametrize(("layout", "name"), [(UBX, "ubx"), (RTCM_3, "rtcm-3")])
def test_a_flipped_bit_is_a_wrong_checksum(layout: Framing, name: str) -> None:
    whole = first_frame(name)
    assert len(layout.decoder().feed(whole)) == 1
    for place in range(6, len(whole)):
        wrong = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        with pytest.raises(ChecksumError):
            layout.decoder().feed(wrong)


@pytest.mark.parametrize("line", [b"0003", b"00g4", b"+004", b" 004", b"0x04"])
def test_git_begins_with_four_digits(line: bytes) -> None:
    with pytest.raises(MalformedLengthError, match="four hexadecimal digits"):
        GIT.decoder().feed(line + bytes(80))


def test_git_has_lines_that_are_marks() -> None:
    assert GIT.decoder().feed(b"0000000100020004000abolt!\n") == [
        *(b"0000", b"0001", b"0002", b"0004"),
        b"000abolt!\n",
    ]
    with pytest.raises(MessageFormatError, match="10 bytes"):
        GIT.encode(b"000abolt")


def test_giop_is_of_either_order() -> None:
    with pytest.raises(MagicError, match="begins with GIOP"):
        GIOP.decoder().feed(bytes(12))
    for flags, size in ((0, b"\0\0\0\4"), (1, b"\4\0\0\0"), (3, b"\4\0\0\0")):
        message = b"GIOP\1\2" + bytes([flags, 0]) + size + b"bolt"
        assert GIOP.decoder().feed(message * 2) == [message, message]


def test_frame_streams_have_control_behind_a_length_of_0() -> None:
    control, data = bytes(4) + b"\0\0\0\4\0\0\0\3", b"\0\0\0\4bolt"
    assert FRAME_STREAMS.decoder().feed(control + data) == [control, data]


@pytest.mark.parametrize("name", [b"Content-Length", b"CONTENT-LENGTH", b"l", b"L"])
def test_sip_has_a_length_of_two_names_and_empty_lines(name: bytes) -> None:
    options = b"OPTIONS sip:a SIP/2.0\r\nCSeq: 1 OPTIONS\r\n" + name + b" : 4\r\n\r\nbolt"
    assert SIP.decoder().feed(options + b"\r\n\r\n" + options) == [
        *(options, b"\r\n", b"\r\n", options)
    ]


@pytest.mark.parametrize(
    "lines",
    [b"", b"l: 4\r\nl: 4\r\n", b"Content-Length: 4\r\nl: 4\r\n", b"l: four\r\n", b"X-l: 4\r\n"],
)
def test_sip_refuses_a_message_without_one_length(lines: bytes) -> None:
    with pytest.raises(MalformedLengthError, match="one Content-Length"):
        SIP.decoder().feed(b"SIP/2.0 200 OK\r\nCSeq: 1 OPTIONS\r\n" + lines + b"\r\nbolt")


def test_esphome_counts_neither_the_length_nor_the_kind() -> None:
    frames = [b"\0\0\x07", b"\0\x04\x80\x01bolt", b"\0\x80\x01\x07" + bytes(128), b"\1\0\4bolt"]
    assert ESPHOME.decoder().feed(b"".join(frames)) == frames
    with pytest.raises(MagicError, match="not 2"):
        ESPHOME.decoder().feed(b"\2\0\7")
    with pytest.raises(MalformedLengthError, match="four bytes"):
        ESPHOME.decoder().feed(b"\0\xff\xff\xff\xff\1\7")
