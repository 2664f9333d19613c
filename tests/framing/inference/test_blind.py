"""Random layouts, and bytes that have none: "high" is never wrong."""

from __future__ import annotations

import pytest

from sealframe.framing.inference import diagnose

from .blind import not_framed, random_stream, right

HARD = (
    9010013,
    9010030,
    9010066,
    9010104,
    9020033,
    9020062,
    9020070,
    9020158,
    9020264,
    9030143,
    9030171,
    9040073,
)
"""Seeds of streams that were cut wrongly once, each for another reason."""


@pytest.mark.parametrize("seed", range(6))
def test_high_is_right(seed: int) -> None:
    stream = random_stream(seed)
    candidates = diagnose(stream.capture).candidates
    if candidates and candidates[0].confidence == "high":
        starts = [start for start in stream.starts if start < 1 << 16]
        assert list(candidates[0].evidence.starts[0]) == starts, stream.layout


@pytest.mark.parametrize("seed", HARD)
def test_hard_ones_are_right_at_the_first_answer(seed: int) -> None:
    stream = random_stream(seed)
    assert right(stream, diagnose(stream.capture).candidates), stream.layout


@pytest.mark.parametrize("seed", range(6))
def test_what_is_not_framed_is_never_high(seed: int) -> None:
    kind, data = not_framed(seed)
    diagnosis = diagnose(data)
    assert all(one.confidence == "guess" for one in diagnosis.candidates), kind
    assert diagnosis.verdict
