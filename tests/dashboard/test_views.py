"""A page gets that part of the table which it asks for, and no more."""

from __future__ import annotations

import pytest

from sealframe.dashboard.census import Row
from sealframe.dashboard.views import View, ViewError, select


def row(id: str, outbox: int, latency: float | None = None, name: str = "") -> Row:
    return Row(
        id=id,
        name=name,
        address=f"192.0.2.{outbox}:1",
        seal="plain",
        connected=True,
        connected_for=1.0,
        messages_in=None,
        bytes_in=None,
        messages_out=None,
        bytes_out=None,
        inbox_cost=0,
        outbox_cost=outbox,
        latency=latency,
        dropped=0,
        groups="room",
    )


ROWS = [row("a-1", 5, 0.5, "Zoe"), row("a-2", 9), row("b-3", 0, 0.1, "adam")]


async def ids(**query: str) -> list[str]:
    table = await select(ROWS, View.parse(query))
    assert table["matching"] >= len(table["rows"])
    return [found["id"] for found in table["rows"]]


async def test_those_that_wait_for_most_come_first() -> None:
    assert await ids() == ["a-2", "a-1", "b-3"]
    assert await ids(order="ascending", limit="2") == ["b-3", "a-1"]


async def test_what_is_not_known_comes_last() -> None:
    assert await ids(sort="latency") == ["a-1", "b-3", "a-2"]
    assert await ids(sort="latency", order="ascending") == ["b-3", "a-1", "a-2"]


async def test_those_that_are_equal_are_shown_by_how_slow_they_are() -> None:
    assert await ids(sort="dropped") == ["a-2", "a-1", "b-3"]
    assert await ids(sort="dropped", order="ascending") == ["a-2", "a-1", "b-3"]
    rows = [row("near", 0, 0.1), row("unknown", 0), row("far", 0, 0.5)]
    table = await select(rows, View())
    assert [found["id"] for found in table["rows"]] == ["far", "near", "unknown"]


async def test_text_is_sorted_and_found_in_any_case() -> None:
    assert await ids(sort="name", order="ascending") == ["a-2", "b-3", "a-1"]
    assert await ids(text="ADAM") == ["b-3"]
    assert await ids(text="192.0.2.9") == ["a-2"]
    assert await ids(text="nobody") == []
    assert (await select(ROWS, View.parse({"text": "a-", "limit": "1"})))["matching"] == 2


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"sort": "__class__"}, "sort may be id, name"),
        ({"sort": ["id"]}, "sort may be"),
        ({"order": "up"}, "order may be"),
        ({"text": "x" * 101}, "100 characters"),
        ({"text": None}, "100 characters"),
        ({"limit": "0"}, "1 to 100"),
        ({"limit": "101"}, "1 to 100"),
        ({"limit": "-1"}, "1 to 100"),
        ({"limit": "1e1"}, "1 to 100"),
        ({"limit": "٣"}, "1 to 100"),
        ({"limit": 5}, "1 to 100"),
    ],
)
def test_what_is_no_view(query: dict[str, object], message: str) -> None:
    with pytest.raises(ViewError, match=message):
        View.parse(query)


def test_a_view_is_what_its_query_says() -> None:
    view = View.parse({"sort": "name", "order": "ascending", "text": "ada", "limit": "7"})
    assert View.parse(view.query()) == view


@pytest.mark.parametrize("text", ["ß", "\N{LATIN SMALL LIGATURE FFI}"])
def test_a_text_that_is_longer_without_its_case(text: str) -> None:
    for length in (51, 100):
        view = View.parse({"text": length * text})
        assert View.parse(view.query()) == view
        assert len(view.text) == 100
