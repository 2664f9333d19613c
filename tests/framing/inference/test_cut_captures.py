"""Captures of real streams that begin, or begin and end, in the midst of a frame."""

from __future__ import annotations

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
