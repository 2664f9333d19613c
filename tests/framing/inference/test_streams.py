"""What is inferred from streams of real packages."""

from __future__ import annotations

from sealframe.framing.inference import infer

from .streams import streams


def test_most_streams_are_cut_rightly_at_the_first_answer() -> None:
    wrong = []
    for stream in streams():
        if stream.tags & {"cut", "short", "nonframed"}:
            continue
        candidates = infer(stream.capture)
        right = bool(candidates) and stream.cut_as(candidates[0].evidence.starts[0])
        assert right or not candidates or candidates[0].confidence == "guess", stream.name
        if not right:
            wrong.append(stream.name)
    assert len(wrong) <= 9, wrong
