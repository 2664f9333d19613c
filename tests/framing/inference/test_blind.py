"""Random layouts, and bytes that have none: "high" is never wrong."""

from __future__ import annotations

import pytest

from sealframe.framing.inference import diagnose

from .blind import not_framed, random_stream


@pytest.mark.parametrize("seed", range(12))
def test_high_is_right(seed: int) -> None:
    stream = random_stream(seed)
    candidates = diagnose(stream.capture).candidates
    if candidates and candidates[0].confidence == "high":
        starts = [start for start in stream.starts if start < 1 << 16]
        assert list(candidates[0].evidence.starts[0]) == starts, stream.layout


@pytest.mark.parametrize("seed", range(6))
def test_what_is_not_framed_is_never_high(seed: int) -> None:
    kind, data = not_framed(seed)
    diagnosis = diagnose(data)
    assert all(one.confidence == "guess" for one in diagnosis.candidates), kind
    assert diagnosis.verdict
