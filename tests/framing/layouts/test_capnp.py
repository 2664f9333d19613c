"""Cap'n Proto: how many segments its own reader takes, "fewer than 512" in serialize.c++."""

from __future__ import annotations

import pytest

from sealframe.errors import MalformedLengthError
from sealframe.framing.layouts import CAPNP


def message(segments: int) -> bytes:
    table = (segments - 1).to_bytes(4, "little") + segments * (1).to_bytes(4, "little")
    return table + bytes(-len(table) % 8) + bytes(8 * segments)


@pytest.mark.parametrize("segments", [1, 2, 3, 510, 511])
def test_as_many_segments_as_its_reader_takes(segments: int) -> None:
    whole = message(segments)
    assert CAPNP.decoder().feed(whole * 2) == [whole, whole]
    assert CAPNP.encode(whole) == whole


@pytest.mark.parametrize("segments", [512, 513, 2**32])
def test_more_are_refused_with_the_first_bytes(segments: int) -> None:
    with pytest.raises(MalformedLengthError, match=f"a message of {segments} segments"):
        CAPNP.decoder().feed((segments - 1).to_bytes(4, "little") + bytes(4))
