"""Frames that begin elsewhere than where the bytes do, and bytes that only look like frames."""

from __future__ import annotations

import random

import pytest

from sealframe.framing.inference import Capture, infer

WORDS = ["status", "motor", "ready", "error", "user", "order", "price", "temperature", "stopped"]


def texts(count: int = 24, most: int = 12) -> list[bytes]:
    """Return texts of differing size."""
    source = random.Random(17)
    return [
        " ".join(source.choices(WORDS, k=source.randint(1, most))).encode() for _ in range(count)
    ]


def starts_of(preamble: bytes, frames: list[bytes]) -> tuple[int, ...]:
    """Return where frames behind a preamble start."""
    return tuple(len(preamble) + sum(map(len, frames[:index])) for index in range(len(frames)))


@pytest.mark.parametrize("preamble", [b"HELLO 1.0\r\n", bytes(range(3, 16))])
def test_a_preamble_that_leads_into_the_frames_is_none_of_them(preamble: bytes) -> None:
    frames = [b"\xdf\x01" + bytes([len(one)]) + one for one in texts()]
    first = infer(preamble + b"".join(frames))[0]
    assert first.evidence.starts[0] == starts_of(preamble, frames)


def test_units_behind_a_preamble() -> None:
    bodies = [one + bytes(-len(one) % 4) for one in texts()]
    frames = [b"\x07" + (len(one) // 4).to_bytes(2, "big") + one for one in bodies]
    first = infer(b"HELLO 1.0\r\n" + b"".join(frames))[0]
    assert first.evidence.starts[0] == starts_of(b"HELLO 1.0\r\n", frames)
    assert "unit=4" in first.expression


def test_frames_around_numbers_are_found_and_not_the_numbers() -> None:
    source = random.Random(19)
    frames = []
    for _ in range(12):
        count = source.randint(10, 300)
        body = b"".join(source.randint(0, 5000).to_bytes(4, "little") for _ in range(count))
        frames.append(bytes.fromhex(f"{len(body):04d}") + body)
    first = infer(b"".join(frames))[0]
    assert first.evidence.starts[0] == starts_of(b"", frames)
    assert first.expression == "Framing(length=Bcd(2))"


def test_frames_of_another_kind_in_front_belong_to_the_frames() -> None:
    others = [b"\x03\x03\x80\x02", b"\x17\x02" + bytes(range(160, 182))]
    texted = (b"\x0e\0" + one + bytes(9) for one in texts(12))
    frames = others + [bytes([len(one)]) + one for one in texted]
    first = infer(b"".join(frames))[0]
    assert first.evidence.starts[0] == starts_of(b"", frames)


def test_what_stands_before_the_first_frame_need_not_be_the_end_of_one() -> None:
    source = random.Random(29)
    frames = []
    for _ in range(24):
        body = source.randbytes(source.randint(100, 230)) + b"\xb4\x34"
        frames.append(bytes([len(body)]) + body)
    preamble = b"HELLO 1.0\r\n"
    first = infer(preamble + b"".join(frames))[0]
    assert first.evidence.starts[0] == starts_of(preamble, frames)


def test_lengths_of_seven_bits_in_a_byte_around_numbers() -> None:
    """As .NET's BinaryWriter.Write(string) writes a length."""
    source = random.Random(31)
    frames = []
    for _ in range(9):
        numbers = (source.randint(0, 5000) for _ in range(source.randint(40, 99)))
        body = b"".join(number.to_bytes(4, "little") for number in numbers)
        frames.append(bytes([len(body) & 0x7F | 0x80, len(body) >> 7]) + body)
    first = infer(b"".join(frames))[0]
    assert first.evidence.starts[0] == starts_of(b"", frames)
    assert first.expression == "Framing(varint=True)"


def test_the_end_of_a_greeting_is_no_empty_frame() -> None:
    frames = [b"%d\r\n" % len(one) + one for one in texts()]
    first = infer(b"HELLO 1.0\r\n" + b"".join(frames))[0]
    assert first.evidence.starts[0] == starts_of(b"HELLO 1.0\r\n", frames)


def test_an_empty_frame_behind_a_greeting_of_bytes_is_one() -> None:
    frames = [b"0\r\n", *(b"%d\r\n" % len(one) + one for one in texts())]
    first = infer(b"\x95\xfd" + b"".join(frames))[0]
    assert first.evidence.starts[0] == starts_of(b"\x95\xfd", frames)
    assert first.confidence == "guess"


def test_frames_that_are_filled_up() -> None:
    frames = []
    for index, one in enumerate(texts()):
        head = b"\x41\0\0" + len(one).to_bytes(3, "big") + bytes([0, index])
        frames.append(head + one + bytes(-len(one) % 4))
    first = infer(b"".join(frames))[0]
    assert first.evidence.starts[0] == starts_of(b"", frames)
    assert "align=4" in first.expression


def test_a_second_length_behind_one_of_8_bytes_is_in_the_body() -> None:
    frames = []
    for one in texts():
        body = (len(one) + 1).to_bytes(8, "little") + b"\x83" + one
        frames.append(len(body).to_bytes(8, "little") + body)
    first = infer(b"".join(frames))[0]
    assert first.evidence.starts[0] == starts_of(b"", frames)
    assert first.expression.startswith("Framing(width=8")


def in_the_midst(frames: list[bytes], left: int) -> tuple[bytes, tuple[int, ...]]:
    """Return what is captured from the midst of the first frame on, and where frames start."""
    rest = frames[0][-left:]
    return rest + b"".join(frames[1:]), starts_of(rest, frames[1:])


def test_a_capture_that_begins_and_ends_in_the_midst_of_frames() -> None:
    frames = [len(one).to_bytes(2, "big") + one + b" 0" for one in texts()]
    frames = [(len(one) - 2).to_bytes(2, "big") + one[2:] for one in frames]
    data, starts = in_the_midst(frames, 5)
    first = infer(Capture(data[:-3], complete=False))[0]
    assert first.evidence.starts[0] == starts
    assert first.expression == 'Framing(width=2, byteorder="big")'
    assert first.confidence == "guess"


def test_a_length_inside_of_the_frame_that_is_cut_is_not_sure() -> None:
    """As SFTP's handles: the end of a frame is a length and four bytes."""
    frames = []
    for index, one in enumerate(texts(16, 4)):
        body = bytes([3 + index % 5, 0, 0, 0, index, 0, 0, 0, len(one)]) + one
        frames.append(len(body).to_bytes(4, "big") + body)
    frames[0] = b"\0\0\0\x0d\x0c\0\0\0\0\0\0\0\x04\0\0\0\0"
    data, starts = in_the_midst(frames, 9)
    # A segment begins with it.
    first = infer(Capture(data, (1,)))[0]
    assert first.evidence.starts[0][0] == 1
    assert first.evidence.starts[0][-len(starts) :] == starts
    assert first.confidence == "guess"


def test_large_frames_are_found_by_what_marks_them() -> None:
    source = random.Random(37)
    frames = []
    for _ in range(9):
        body = bytes(source.randint(2000, 4000)) + source.randbytes(300)
        frames.append(b"RCmb" + (len(body) + 8).to_bytes(4, "big") + body)
    data, starts = in_the_midst(frames, 1500)
    first = infer(data)[0]
    assert first.evidence.starts[0] == starts
    assert "magic=" in first.expression


def test_what_begins_with_the_mark_of_all_frames_is_one() -> None:
    """Though it goes on otherwise: first messages are unlike the others."""
    bodies = [
        b"\x18\xb9\x60\x01\x02\x03\x04",
        *(b"\x0a" + bytes([len(one)]) + b"\x15\xff" + one for one in texts()),
    ]
    frames = [b"\xa7\x3e" + len(body).to_bytes(2, "big") + body for body in bodies]
    first = infer(b"".join(frames))[0]
    assert first.evidence.starts[0] == starts_of(b"", frames)
    assert first.confidence == "high"
