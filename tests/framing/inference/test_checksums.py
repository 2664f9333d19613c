"""Checksums at the end of frames, and how sure they make."""

from __future__ import annotations

import binascii
import random
import struct
import zlib
from collections.abc import Callable

import pytest

from sealframe.framing.inference import infer
from sealframe.framing.inference.checksums import checksum_of, checksum_of_head

SOURCE = random.Random(23)
BODIES = [SOURCE.randbytes(SOURCE.randint(5, 90)) for _ in range(9)]


def modbus_crc(data: bytes) -> bytes:
    """Return what Modbus RTU appends, written from its specification, section 2.5.1."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            carry = value & 1
            value >>= 1
            if carry:
                value ^= 0xA001
    return value.to_bytes(2, "little")


@pytest.mark.parametrize(
    ("name", "append"),
    [
        ("CRC-32", lambda data: zlib.crc32(data).to_bytes(4, "big")),
        ("CRC-32", lambda data: zlib.crc32(data).to_bytes(4, "little")),
        ("MODBUS", modbus_crc),
        ("XMODEM", lambda data: binascii.crc_hqx(data, 0).to_bytes(2, "big")),
        ("CCITT-FALSE", lambda data: binascii.crc_hqx(data, 0xFFFF).to_bytes(2, "big")),
        ("sum of 16 bits", lambda data: sum(data).to_bytes(2, "big")),
        ("the sum of all before", lambda data: bytes([sum(data) & 0xFF])),
        ("negated sum", lambda data: bytes([-sum(data) & 0xFF])),
    ],
)
def test_it_is_named(name: str, append: Callable[[bytes], bytes]) -> None:
    found = checksum_of([body + append(body) for body in BODIES])
    assert found is not None
    assert name in found.sentence
    assert not found.begin
    assert not found.behind


def test_known_answers_of_the_catalogues_of_crcs() -> None:
    # The check value of each: that of the nine digits.
    digits = b"123456789"
    for number, size, name in (
        (0x4B37, 2, "CRC-16/MODBUS"),
        (0x906E, 2, "CRC-16/X-25"),
        (0x2189, 2, "CRC-16/KERMIT"),
        (0xFEE8, 2, "CRC-16/UMTS (also called BUYPASS)"),
        (0xCDE703, 3, "CRC-24Q"),
    ):
        from sealframe.framing.inference.checksums import KINDS

        (function,) = (function for width, kind, function in KINDS if kind == name)
        assert function(digits) == number
        assert size == next(width for width, kind, _ in KINDS if kind == name)


def test_it_may_leave_out_a_mark_and_have_one_behind() -> None:
    frames = [b"\xb5\x62" + body + bytes([sum(body) & 0xFF]) + b"\r\n" for body in BODIES]
    found = checksum_of(frames)
    assert found is not None
    assert (found.name, found.begin, found.behind) == ("sum", 2, 2)
    assert "before the 2 at the end" in found.sentence
    assert "from byte 2 on" in found.sentence


def test_what_comes_out_in_most_frames_is_none() -> None:
    frames = [body + zlib.crc32(body).to_bytes(4, "big") for body in BODIES]
    frames[4] = frames[4][:-1] + bytes([frames[4][-1] ^ 1])
    assert checksum_of(frames) is None
    assert checksum_of(BODIES) is None


def test_frames_that_are_alike_prove_nothing() -> None:
    assert checksum_of([b"\0" * 20] * 9) is None
    assert checksum_of([bytes(size) for size in range(10, 20)]) is None
    # What stands twice has an XOR of zero.
    assert checksum_of([bytes([n, n, 0]) for n in range(1, 20)]) is None


def test_a_checksum_makes_a_length_of_one_byte_sure() -> None:
    def frame(body: bytes, last: bytes) -> bytes:
        return b"\x02" + bytes([len(body)]) + body + last

    proven = b"".join(frame(body, modbus_crc(frame(body, b""))) for body in BODIES)
    best = infer(proven)[0]
    assert best.confidence == "high"
    assert any("CRC-16/MODBUS" in note for note in best.evidence.notes)
    other = b"".join(frame(body, SOURCE.randbytes(2)) for body in BODIES)
    assert infer(other)[0].confidence == "guess"


def xor(data: bytes) -> bytes:
    value = 0
    for byte in data:
        value ^= byte
    return bytes([value])


@pytest.mark.parametrize(
    ("append", "name", "place"),
    [
        (xor, "XOR", "Byte 4"),
        (lambda head: binascii.crc_hqx(head, 0xFFFF).to_bytes(2, "big"), "FALSE", "Bytes 4 to 5"),
    ],
)
def test_a_checksum_of_the_head(append: Callable[[bytes], bytes], name: str, place: str) -> None:
    heads = [
        bytes([number % 3, number]) + len(body).to_bytes(2, "big")
        for number, body in enumerate(BODIES)
    ]
    stream = [head + append(head) + body for head, body in zip(heads, BODIES, strict=True)]
    (note,) = (n for n in infer(b"".join(stream))[0].evidence.notes if "of the head" in n)
    assert note.startswith(place)
    assert name in note
    stream[3] = stream[3][:4] + b"!" + stream[3][5:]
    assert checksum_of_head(stream, 4) is None


def test_heads_that_are_alike_have_no_checksum() -> None:
    assert checksum_of_head([bytes(4) + body for body in BODIES], 3) is None


@pytest.mark.parametrize(
    ("layout", "mark"),
    [("<IB", b""), (">IH", b""), (">HH", b""), ("<HB", b"\xaa\xaa"), (">IB", b"\x05\x05")],
)
def test_a_length_that_stands_twice_is_no_checksum(layout: str, mark: bytes) -> None:
    heads = [mark + struct.pack(layout, len(body), len(body)) for body in BODIES]
    stream = [head + body for head, body in zip(heads, BODIES, strict=True)]
    header = len(mark) + struct.calcsize(layout[:2])
    assert checksum_of_head(stream, header) is None
    assert checksum_of_head(heads, header) is None


def test_a_length_at_both_ends_of_zeros_is_no_checksum() -> None:
    frames = [struct.pack("<I", size) + bytes(size) + bytes([size]) for size in range(9, 21)]
    assert checksum_of(frames) is None


def test_a_length_of_which_only_a_byte_varies_may_have_a_checksum() -> None:
    """A check of the length alone, as of the frames of NFC readers: user manual of PN532, 6.2.1."""
    heads = [bytes([0, 3, len(body), -(3 + len(body)) & 255]) for body in BODIES]
    found = checksum_of_head([h + body for h, body in zip(heads, BODIES, strict=True)], 3)
    assert found is not None
    assert (found.name, found.begin, found.at) == ("negated sum", 0, 3)


def test_a_checksum_makes_a_layout_sure_that_is_likely() -> None:
    """Frames of three sizes with a length of a byte say little: the checksum of each says more."""
    source = random.Random(2)
    bodies = [source.randbytes((4, 9, 13)[number % 3]) for number in range(9)]

    def frame(body: bytes, append: Callable[[bytes], bytes]) -> bytes:
        told = bytes([source.randrange(256), len(body)]) + body
        return told + append(told)

    sure = infer(b"".join(frame(body, modbus_crc) for body in bodies))
    assert sure[0].confidence == "high"
    assert sure[0].evidence.bits < 40
    other = infer(b"".join(frame(body, lambda _: source.randbytes(2)) for body in bodies))
    assert all(one.confidence == "guess" for one in other)
