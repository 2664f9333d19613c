"""Captures of real streams that begin, or begin and end, in the midst of a frame."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import accumulate

import pytest

from sealframe.framing.inference import Capture, diagnose

from ..layouts.recordings import RECORDINGS
from .test_recordings import starts_of

WORDS = [b"motor started", b"ok", b"temperature in the kitchen", b"a", b"speed 11", b"bye now"]
FRAMES = [len(one).to_bytes(4, "big") + one for one in WORDS * 3]


def cut(name: str, number: int, begin: int, end: int) -> tuple[Capture, tuple[int, ...]]:
    """Return a part of a recorded direction, and where its frames start."""
    (recording,) = (one for one in RECORDINGS if one.name == name)
    stream = recording.streams[number]
    starts = tuple(start - begin for start in starts_of(stream) if begin <= start < end)
    assert starts[0]
    return Capture(stream.data[begin:end]), starts


@pytest.mark.parametrize(
    ("name", "number", "begin", "end"),
    [
        # Zeros in front read as empty frames, and a number behind them leads to a frame.
        ("smb", 1, 764, 1908),
        ("coap-tcp", 0, 65, 1016),
        ("sftp", 1, 76, 735),
        # As many bytes are left at the end as the frames are taken to begin too late or too early.
        ("amqp-1-0", 1, 18, 281),
    ],
)
def test_what_begins_in_the_midst_of_a_frame_is_not_sure(
    name: str, number: int, begin: int, end: int
) -> None:
    capture, starts = cut(name, number, begin, end)
    found = diagnose(capture).candidates
    assert found[0].confidence == "guess" or found[0].evidence.starts[0] == starts


@pytest.mark.parametrize(
    ("front", "boundaries", "confidence"),
    [
        (b"", (), "high"),
        (b"HELLO 1.0\r\n", (), "high"),
        (b"in the kitchen", (), "guess"),
        (b"in the kitchen", (14,), "high"),
    ],
)
def test_what_stands_in_front_has_to_be_known(
    front: bytes, boundaries: tuple[int, ...], confidence: str
) -> None:
    """By a line of text, or by a segment that begins behind it."""
    (first, *_) = diagnose(Capture(front + b"".join(FRAMES), boundaries)).candidates
    assert first.evidence.starts[0][0] == len(front)
    assert first.confidence == confidence


def _words(source: random.Random) -> bytes:
    words = ["status", "motor", "ready", "error", "order", "price", "temperature", "started"]
    return " ".join(source.choices(words, k=source.randint(1, 12))).encode()


def _versioned(source: random.Random, number: int) -> bytes:
    body = (number + 1).to_bytes(4, "little") + _words(source) + b"\0"
    return b"ROOM\1\2\1\0" + len(body).to_bytes(4, "little") + body


def _numbered(source: random.Random, number: int) -> bytes:
    body = number.to_bytes(8, "big") + _words(source)
    return b"ES" + len(body).to_bytes(4, "big") + body


def _digits(source: random.Random, _: int) -> bytes:
    body = _words(source)
    return b"LEN=%04d;" % len(body) + body


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("frame", [_versioned, _numbered, _digits])
def test_a_mark_is_in_front_of_frames_where_the_end_is_cut(
    frame: Callable[[random.Random, int], bytes], complete: bool
) -> None:
    """And no trailer of those before: the stream begins with it."""
    source = random.Random(6)
    frames = [frame(source, number) for number in range(14)]
    diagnosis = diagnose(Capture(b"".join(frames)[:-5], (), complete))
    first = diagnosis.candidates[0]
    assert first.evidence.starts[0] == tuple(accumulate(map(len, frames[:-1]), initial=0))
    assert first.confidence == "guess"
    left = len(frames[-1]) - 5
    assert f"the capture ends with {left} bytes of the next one" in (diagnosis.verdict or "")


def test_what_is_not_known_to_stand_in_front_is_told() -> None:
    verdict = diagnose(b"in the kitchen" + b"".join(FRAMES)).verdict or ""
    assert "what the 14 bytes before them are is not known" in verdict
    assert "from the beginning of the connection" in verdict
