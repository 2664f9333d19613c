"""How much the search does, counted in frames that it walks."""

from __future__ import annotations

import random

import pytest

from sealframe.framing.inference import Capture, searching
from sealframe.framing.inference.hypotheses import FixedField, Hypothesis, VarintField
from sealframe.framing.inference.walking import Cutting, walk
from sealframe.framing.inference.window import Window

SOURCE = random.Random(11)


@pytest.mark.parametrize(
    "letters", [b"\0\1", b"\0" * 40 + b"\1\2\3"], ids=["two letters", "mostly zeros"]
)
def test_it_is_bounded_where_nearly_everything_fits(
    letters: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    walked = 0

    def counted(
        data: bytes, hypothesis: Hypothesis, start: int = 0, limit: int = 0
    ) -> Cutting | None:
        nonlocal walked
        cutting = walk(data, hypothesis, start, limit)
        walked += len(cutting.starts) if cutting else 0
        return cutting

    monkeypatch.setattr(searching, "walk", counted)
    searching.search([Window(Capture(bytes(SOURCE.choices(letters, k=5000))))])
    assert walked < 1_200_000


def test_where_the_next_field_stands_does_not_depend_on_where_frames_begin() -> None:
    data = b"....\x05abcd....."
    varies = Hypothesis(VarintField(), 0, 1, inclusive=False)
    for hypothesis in (varies, Hypothesis(FixedField(1), 0, 2)):
        size = hypothesis.size(data, 4)
        assert size == 7
        for offset in range(4):
            assert hypothesis.moved(offset).size(data, 4 - offset) == size
