"""Candidates: expressions that make their layout, names, and evidence."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

import sealframe.framing
from sealframe import Framing
from sealframe.errors import ConfigurationError
from sealframe.framing import Ber, Digits, FrameLayout, Uint, Varint, parse_layout
from sealframe.framing.inference import Capture, infer

from .blind import random_stream

WORDS = ["status", "motor", "ready", "error", "user", "order", "price", "temperature", "stopped"]


def payloads(count: int = 20, most: int = 30) -> list[bytes]:
    """Return payloads of words, of differing size."""
    source = random.Random(7)
    return [
        " ".join(source.choices(WORDS, k=source.randint(1, most))).encode() for _ in range(count)
    ]


@pytest.mark.parametrize(
    "layout",
    [
        Framing(),
        Framing(byteorder="big"),
        Framing(width=2, byteorder="big"),
        Framing(width=2, includes_header=True),
        Framing(byteorder="big", trailer=b"\xce"),
        Framing(byteorder="big", includes_header=True),
        Framing(varint=True),
        Framing(length=Digits(4)),
        Framing(length=Digits(until=b":"), trailer=b","),
        Framing(length=Ber()),
        Framing(length=Uint(4, "big", mask=0x7FFFFFFF, flags=0x80000000)),
        Framing(length=Uint(2, mask=0xFFFE, flags=1)),
        Framing(length=Varint(), includes_header=True),
    ],
    ids=repr,
)
def test_the_layout_comes_back(layout: FrameLayout) -> None:
    messages = payloads()
    data = layout.encode_many(messages)
    best = infer(data)[0]
    one_byte = isinstance(layout, Framing) and isinstance(layout.length, Varint | Ber)
    if not one_byte and not getattr(layout, "varint", False):
        # A length that is mostly one byte stays a guess.
        assert best.confidence == "high"
    decoded = best.framing.decoder().feed(data)
    starts = best.evidence.starts[0]
    assert len(starts) == best.evidence.frames == len(messages)
    for one, sent in zip(decoded, messages, strict=True):
        assert isinstance(one, bytes)
        assert one.endswith(sent)
    assert best.evidence.left_over == 0
    again = parse_layout(best.expression)
    assert again.decoder().feed(data) == decoded


def test_a_preamble_is_told() -> None:
    data = b"HELLO 1\n" + Framing(byteorder="big").encode_many(payloads())
    best = infer(data)[0]
    assert best.preamble == b"HELLO 1\n"
    assert best.expression == 'Framing(byteorder="big")'


def test_a_magic_word_is_checked() -> None:
    frames = (b"ZZTOP" + len(one).to_bytes(4, "big") + one for one in payloads())
    best = infer(b"".join(frames))[0]
    assert best.expression == 'Framing(byteorder="big", offset=5, strip=0, magic=b"ZZTO")'


def modbus(index: int, payload: bytes) -> bytes:
    """Return a request that writes registers."""
    body = bytes([1, 16, 0, index, 0, len(payload), 2 * len(payload)]) + payload[:60]
    return index.to_bytes(2, "big") + bytes(2) + len(body).to_bytes(2, "big") + body


def other(index: int, payload: bytes) -> bytes:
    """Return a frame laid out as those of Modbus, which is none."""
    return b"\x07%c\x11\x12" % index + len(payload).to_bytes(2, "big") + payload


@pytest.mark.parametrize(("write", "name"), [(modbus, "modbus-tcp"), (other, None)])
def test_only_typical_frames_are_named(
    write: Callable[[int, bytes], bytes], name: str | None
) -> None:
    data = b"".join(write(index, payload) for index, payload in enumerate(payloads(most=9)))
    best = infer(data)[0]
    assert best.name == name
    assert best.evidence.frames == 20


def test_one_frame_in_a_thousand_of_another_kind_is_no_greeting() -> None:
    # As MySQL lays its packets out, but without anything that only MySQL sends.
    data = b"".join(
        len(one).to_bytes(3, "little") + bytes([index]) + b"\x01" + one[1:]
        for index, one in enumerate(payloads())
    )
    best = infer(data)[0]
    assert best.name is None
    assert best.evidence.frames == 20


def test_evidence_can_be_checked() -> None:
    data = Framing(byteorder="big").encode_many(payloads())
    starts = infer(data)[0].evidence.starts[0]
    capture = Capture(data, starts[1:])
    evidence = infer(capture)[0].evidence
    notes = " ".join(evidence.notes)
    assert "20 frames of" in notes
    assert "The last frame ends with the last byte." in notes
    assert "19 of 19 segments begin where a frame begins." in notes
    assert "bytes of the length are always 0" in notes
    assert evidence.bits > infer(data)[0].evidence.bits


def test_one_byte_of_a_length_that_is_always_0_is_one() -> None:
    notes = " ".join(infer(Framing(width=2).encode_many(payloads()))[0].evidence.notes)
    assert "so 1 byte of the length is always 0: whether it belongs to it cannot be told." in notes


def test_boundaries_are_checked() -> None:
    with pytest.raises(ConfigurationError, match="must ascend"):
        Capture(b"abcdef", (4, 2))
    with pytest.raises(ConfigurationError, match="the size of data"):
        Capture(b"abcdef", (7,))
    with pytest.raises(TypeError, match="sequence of Capture"):
        infer([b"abc"])  # type: ignore[list-item]


def test_it_is_exported() -> None:
    assert sealframe.framing.infer is infer


def test_an_empty_first_frame_is_no_preamble() -> None:
    stream = random_stream(70145)
    first = infer(stream.data)[0]
    assert first.confidence == "guess" or list(first.evidence.starts[0]) == stream.starts
