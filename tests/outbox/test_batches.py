"""Messages as blobs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealframe.outbox.batches import MalformedBatchError, pack, split, unpack

MESSAGES = st.lists(st.binary(max_size=100), min_size=1, max_size=50)


@given(MESSAGES)
def test_what_is_packed_comes_out(messages: list[bytes]) -> None:
    assert unpack(pack(messages)) == messages


@given(MESSAGES, st.data())
def test_a_blob_of_another_length_is_none(messages: list[bytes], data: st.DataObject) -> None:
    blob = pack(messages)
    with pytest.raises(MalformedBatchError):
        unpack(blob[: data.draw(st.integers(0, len(blob) - 1))])
    with pytest.raises(MalformedBatchError):
        unpack(blob + b"x")


def test_a_blob_of_no_messages_is_none() -> None:
    with pytest.raises(MalformedBatchError):
        unpack(bytes(4))


@given(st.lists(st.sampled_from([0, 1, 40_000, 65_536, 200_000]), max_size=12))
def test_messages_are_split_in_order_and_only_where_they_must_be(sizes: list[int]) -> None:
    messages = [bytes(size) for size in sizes]
    groups = list(split(messages))
    assert [message for group in groups for message in group] == messages
    totals = [sum(map(len, group)) for group in groups]
    for group, total in zip(groups, totals, strict=True):
        assert len(group) == 1 or total <= 65_536
    for total, following in zip(totals[:-1], groups[1:], strict=True):
        assert total + len(following[0]) > 65_536
