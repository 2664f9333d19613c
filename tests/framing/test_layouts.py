"""What a Framing means: worked bytes for every field, and what is refused."""

from __future__ import annotations

import copy
import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sealframe import framing, wire
from sealframe.errors import ConfigurationError
from sealframe.framing import (
    DEFAULT_MAXIMUM,
    INT32_BE,
    NATIVE,
    PACKET,
    PROTOBUF_DELIMITED,
    UINT16_BE,
    UINT16_LE,
    Framing,
)
from sealframe.framing.catalogue import CATALOGUE

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]

EXAMPLES = [
    pytest.param(PACKET, b"hello", "05000000 68656c6c6f", id="packet"),
    pytest.param(PACKET, b"", "00000000", id="packet-empty"),
    pytest.param(PACKET, b"\xff" * 258, "02010000" + "ff" * 258, id="packet-two-bytes-of-length"),
    pytest.param(NATIVE, b"hello", "05000000 68656c6c6f", id="native"),
    pytest.param(INT32_BE, b"hello", "00000005 68656c6c6f", id="int32-be"),
    pytest.param(UINT16_BE, b"hello", "0005 68656c6c6f", id="uint16-be"),
    pytest.param(UINT16_LE, b"hello", "0500 68656c6c6f", id="uint16-le"),
    pytest.param(UINT16_BE, b"a" * 65_535, "ffff" + "61" * 65_535, id="uint16-be-full"),
    pytest.param(PROTOBUF_DELIMITED, b"hello", "05 68656c6c6f", id="varint"),
    pytest.param(PROTOBUF_DELIMITED, b"", "00", id="varint-empty"),
    pytest.param(PROTOBUF_DELIMITED, b"a" * 127, "7f" + "61" * 127, id="varint-one-byte"),
    pytest.param(PROTOBUF_DELIMITED, b"a" * 128, "8001" + "61" * 128, id="varint-two-bytes"),
    pytest.param(PROTOBUF_DELIMITED, b"a" * 300, "ac02" + "61" * 300, id="varint-300"),
    pytest.param(Framing(width=1), b"hi", "02 6869", id="width-1"),
    pytest.param(Framing(width=3), b"hi", "020000 6869", id="width-3"),
    pytest.param(Framing(width=3, byteorder="big"), b"hi", "000002 6869", id="width-3-be"),
    pytest.param(Framing(width=5), b"hi", "0200000000 6869", id="width-5"),
    pytest.param(Framing(width=8), b"hi", "0200000000000000 6869", id="width-8"),
    pytest.param(
        Framing(width=8, byteorder="big"), b"hi", "0000000000000002 6869", id="width-8-be"
    ),
    pytest.param(Framing(width=2, offset=3), b"hi", "000000 0200 6869", id="offset"),
    pytest.param(Framing(width=2, includes_header=True), b"hi", "0400 6869", id="includes-header"),
    pytest.param(
        Framing(width=2, offset=1, includes_header=True), b"hi", "00 0500 6869", id="all-counted"
    ),
    pytest.param(
        Framing(width=2, byteorder="big", adjustment=-2), b"hi", "0004 6869", id="counts-itself"
    ),
    pytest.param(Framing(width=1, adjustment=2), b"abcd", "02 61626364", id="counts-too-few"),
    pytest.param(Framing(width=1, adjustment=2), b"ab", "00 6162", id="counts-too-few-least"),
    pytest.param(Framing(width=2, strip=0), b"\x03\x00abc", "0300 616263", id="strip-nothing"),
    pytest.param(
        Framing(width=2, offset=2, strip=1), b"\x07\x03\x00abc", "00 07 0300 616263", id="strip-1"
    ),
    pytest.param(
        Framing(width=2, strip=4, byteorder="big"), b"abc", "0005 0000 616263", id="strip-more"
    ),
    pytest.param(
        Framing(width=1, offset=1, adjustment=4, strip=6, includes_header=True),
        b"abc",
        "00 05 00000000 616263",
        id="everything",
    ),
]


@pytest.mark.parametrize(("framing", "message", "frame"), EXAMPLES)
def test_worked_bytes(backend: ModuleType, framing: Framing, message: bytes, frame: str) -> None:
    expected = bytes.fromhex(frame)
    encoder = backend.Encoder(framing.layout)
    assert encoder.encode(message) == expected
    assert encoder.encode_many([message, message]) == expected * 2
    assert b"".join(encoder.pack([message, message])) == expected * 2
    decoder = backend.Decoder(framing.layout)
    assert decoder.feed(expected) == [message]
    assert [frame for byte in expected for frame in decoder.feed(bytes([byte]))] == [message]


@pytest.mark.parametrize(
    ("framing", "frame", "message"),
    [
        (Framing(width=2, offset=2), "abcd 0200 6869", b"hi"),
        (Framing(width=2, offset=2, strip=0), "abcd 0200 6869", b"\xab\xcd\x02\x00hi"),
        (Framing(width=1, strip=3), "04 abcd 6869", b"hi"),
        (PROTOBUF_DELIMITED, "828000 6869", b"hi"),
        (PROTOBUF_DELIMITED, "82808080808080808000 6869", b"hi"),
    ],
    ids=["before-the-length", "kept", "stripped", "long-varint", "longest-varint"],
)
def test_bytes_that_only_a_peer_would_send(
    backend: ModuleType, framing: Framing, frame: str, message: bytes
) -> None:
    assert backend.Decoder(framing.layout).feed(bytes.fromhex(frame)) == [message]


def test_the_length_goes_over_what_the_payload_has_in_its_place(backend: ModuleType) -> None:
    encoder = backend.Encoder(Framing(width=2, offset=1, strip=0).layout)
    assert encoder.encode(b"\x07\xff\xffhi") == b"\x07\x02\x00hi"


@pytest.mark.parametrize(
    ("framing", "maximum"),
    [
        (Framing(), DEFAULT_MAXIMUM),
        (Framing(width=1), 255),
        (Framing(width=2), 65_535),
        (Framing(width=2, includes_header=True), 65_533),
        (Framing(width=1, adjustment=10), 265),
        (Framing(width=1, strip=0), 256),
        (Framing(width=8), DEFAULT_MAXIMUM),
        (Framing(maximum=2**32 - 1), 2**32 - 1),
        (Framing(width=8, maximum=sys.maxsize // 2), sys.maxsize // 2),
        (NATIVE, DEFAULT_MAXIMUM),
        (Framing(control=True, maximum=wire.MAX_LENGTH), wire.MAX_LENGTH),
        (PROTOBUF_DELIMITED, DEFAULT_MAXIMUM),
        (Framing(varint=True, maximum=2**40), 2**40),
    ],
)
def test_maximum(framing: Framing, maximum: int) -> None:
    assert framing.layout.maximum == framing.maximum == maximum


def test_limits_are_what_the_layout_comes_to() -> None:
    assert (Framing().minimum, Framing().maximum) == (0, DEFAULT_MAXIMUM)
    kept = Framing(width=2, offset=1, strip=0)
    assert (kept.minimum, kept.maximum) == (3, 65_538)
    assert (kept.layout.minimum, kept.layout.maximum) == (3, 65_538)
    assert kept == Framing(width=2, offset=1, strip=0, minimum=3, maximum=65_538)


def test_a_smaller_maximum() -> None:
    assert INT32_BE.limited(100) == Framing(byteorder="big", maximum=100)
    assert INT32_BE.limited(DEFAULT_MAXIMUM) is INT32_BE
    assert INT32_BE.limited(100).limited(200).maximum == 100
    with pytest.raises(ConfigurationError, match="the smallest message of this layout has 3 bytes"):
        Framing(width=2, offset=1, strip=0).limited(2)


@pytest.mark.parametrize(
    ("framing", "expression"),
    [
        (PACKET, "Framing()"),
        (NATIVE, "Framing(control=True)"),
        (UINT16_BE, "Framing(width=2, byteorder='big')"),
        (Framing(width=2, maximum=65_535), "Framing(width=2)"),
        (Framing(width=2, strip=0, minimum=2), "Framing(width=2, strip=0)"),
        (Framing(width=2, strip=0, minimum=8, maximum=260), None),
        (Framing(width=1, offset=3, adjustment=-4, strip=2, minimum=1), None),
    ],
)
def test_the_expression_that_makes_it(framing: Framing, expression: str | None) -> None:
    """It has what is needed, and nothing that would be so anyway."""
    assert expression is None or repr(framing) == expression
    assert eval(repr(framing), {"Framing": Framing}) == framing


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"width": 0}, "width must be 1 to 8 bytes, not 0"),
        ({"width": 9}, "width must be 1 to 8 bytes, not 9"),
        ({"width": True}, "width must be an int, not True"),
        ({"width": 4.0}, "width must be an int, not 4.0"),
        ({"width": None}, "width must be an int, not None"),
        ({"byteorder": "middle"}, 'byteorder must be "little" or "big", not \'middle\''),
        ({"byteorder": None}, 'byteorder must be "little" or "big", not None'),
        ({"byteorder": []}, 'byteorder must be "little" or "big", not []'),
        ({"offset": -1}, "offset must be 0 to 1024, not -1"),
        ({"offset": 1025}, "offset must be 0 to 1024, not 1025"),
        ({"offset": "1"}, "offset must be an int, not '1'"),
        ({"adjustment": "1"}, "adjustment must be an int, not '1'"),
        ({"strip": -1}, "strip must be 0 to 4096, not -1"),
        ({"strip": 4097}, "strip must be 0 to 4096, not 4097"),
        ({"strip": b""}, "strip must be an int, not b''"),
        ({"minimum": -1}, "minimum must not be negative, but is -1"),
        ({"minimum": None}, "minimum must be an int, not None"),
        ({"maximum": -1}, f"maximum must be 0 to {sys.maxsize // 2}, not -1"),
        (
            {"width": 8, "maximum": sys.maxsize},
            f"maximum must be 0 to {sys.maxsize // 2}, not {sys.maxsize}",
        ),
        ({"maximum": "16M"}, "maximum must be an int, not '16M'"),
        ({"includes_header": 1}, "includes_header must be a bool, not 1"),
        ({"varint": "yes"}, "varint must be a bool, not 'yes'"),
        ({"control": None}, "control must be a bool, not None"),
        ({"minimum": 6, "maximum": 5}, "minimum is 6, over the maximum of 5; change either"),
        (
            {"minimum": DEFAULT_MAXIMUM + 1},
            "minimum is 16777217, over the maximum of 16777216; change either",
        ),
        (
            {"width": 1, "maximum": 256},
            (
                "maximum is 256, but this length field reaches only 255 bytes; "
                "use a wider field or a smaller maximum"
            ),
        ),
        (
            {"width": 1, "includes_header": True, "maximum": 255},
            (
                "maximum is 255, but this length field reaches only 254 bytes; "
                "use a wider field or a smaller maximum"
            ),
        ),
        (
            {"maximum": 2**32},
            (
                "maximum is 4294967296, but this length field reaches only 4294967295 bytes; "
                "use a wider field or a smaller maximum"
            ),
        ),
        (
            {"control": True, "maximum": 2**31},
            (
                "maximum is 2147483648, but this length field reaches only 2147483647 bytes; "
                "use a wider field or a smaller maximum"
            ),
        ),
        (
            {"width": 1, "adjustment": -256},
            (
                "no message fits: this length field reaches frames of 0 bytes, "
                "but every frame starts with 1; use a wider field or correct adjustment and strip"
            ),
        ),
        (
            {"width": 1, "offset": 255, "includes_header": True},
            (
                "no message fits: this length field reaches frames of 255 bytes, "
                "but every frame starts with 256; use a wider field or correct adjustment and strip"
            ),
        ),
        (
            {"width": 1, "strip": 257},
            (
                "no message fits: this length field reaches frames of 256 bytes, "
                "but every frame starts with 257; use a wider field or correct adjustment and strip"
            ),
        ),
        (
            {"adjustment": 100, "maximum": 99},
            (
                "maximum is 99, but the smallest message of this layout has 100 bytes; "
                "raise maximum or correct adjustment"
            ),
        ),
        ({"varint": True, "width": 2}, "varint=True settles the whole head; leave out width="),
        ({"varint": True, "byteorder": "big"}, "leave out byteorder="),
        ({"varint": True, "offset": 1}, "leave out offset="),
        ({"varint": True, "adjustment": 1}, "leave out adjustment="),
        ({"varint": True, "includes_header": True}, "leave out includes_header="),
        ({"varint": True, "strip": 0}, "leave out strip="),
        ({"varint": True, "control": True}, "varint=True settles the whole head; leave out cont"),
        ({"control": True, "width": 2}, "control=True settles the whole head; leave out width="),
        ({"control": True, "byteorder": "big"}, "leave out byteorder="),
        ({"control": True, "offset": 1}, "leave out offset="),
        ({"control": True, "adjustment": 1}, "leave out adjustment="),
        ({"control": True, "includes_header": True}, "leave out includes_header="),
        ({"control": True, "strip": 4}, "leave out strip="),
    ],
)
def test_refusals(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Framing(**fields)
    assert text in str(caught.value)


def test_fields_go_by_name_only() -> None:
    with pytest.raises(TypeError):
        Framing(4)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "change",
    [
        {"width": 9},
        {"width": -1},
        {"width": 0},
        {"offset": -1},
        {"strip": -1},
        {"extra": 3},
        {"offset": 5},
        {"smallest": -1},
        {"largest": 2**32},
        {"minimum": 1},
        {"maximum": 5},
        {"control": True, "max_control": 0},
        {"control": True, "max_control": 2**31},
        {"control": True, "max_control": 1, "big_endian": True},
        {"control": True, "max_control": 1, "largest": 2**31, "maximum": 2**31},
        {"width": 8, "extra": 8, "strip": 8, "largest": sys.maxsize, "maximum": sys.maxsize},
    ],
)
def test_the_codecs_refuse_numbers_that_contradict_each_other(
    backend: ModuleType, change: dict[str, int]
) -> None:
    layout = PACKET.layout._replace(**change)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="contradictory"):
        backend.Decoder(layout)
    with pytest.raises(ConfigurationError, match="contradictory"):
        backend.Encoder(layout)


def test_framings_are_values() -> None:
    assert Framing(width=2, byteorder="big") == UINT16_BE
    assert hash(Framing(width=2, byteorder="big")) == hash(UINT16_BE)
    assert UINT16_LE != UINT16_BE
    with pytest.raises(AttributeError):
        PACKET.width = 2  # type: ignore[misc]


def test_a_framing_that_was_used_can_be_copied_and_pickled() -> None:
    framing = Framing(width=2, maximum=100)
    assert framing.encode(b"hi") == b"\x02\x00hi"
    for other in (copy.copy(framing), copy.deepcopy(framing), pickle.loads(pickle.dumps(framing))):
        assert other == framing
        assert other.layout == framing.layout
        assert other.encode(b"hi") == b"\x02\x00hi"


def test_framing_makes_the_codecs() -> None:
    framing = Framing(width=2)
    assert framing.encode(bytearray(b"hi")) == b"\x02\x00hi"
    assert framing.encode_many([b"hi", memoryview(b"you")]) == b"\x02\x00hi\x03\x00you"
    assert framing.head(2) == b"\x02\x00"
    assert framing.decoder().feed(b"\x02\x00hi\x03\x00you") == [b"hi", b"you"]
    assert framing.decoder() is not framing.decoder()


def test_the_catalogue_has_every_layout_with_a_name_and_the_reference_has_them_too() -> None:
    named = {name: value for name, value in vars(framing).items() if isinstance(value, Framing)}
    assert named.keys() <= set(framing.__all__)
    assert sorted(map(id, named.values())) == sorted(map(id, CATALOGUE))
    reference = (ROOT / "docs" / "reference" / "framing.rst").read_text(encoding="utf-8")
    assert all(f".. autodata:: {name}\n" in reference for name in named)
