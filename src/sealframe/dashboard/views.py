"""What a page asks for of the table of clients: which, in which order, and how many."""

from __future__ import annotations

import asyncio
import heapq
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from .census import Row

MAX_ROWS: Final = 100
"""Rows at most: a page is no list of all clients."""

_MAX_TEXT: Final = 100
"""Characters that are looked for, at most."""

_SLICE: Final = 1000
"""Rows at each turn of the event loop."""

_LIMIT: Final = re.compile(r"[0-9]{1,3}")

_TEXTS: Final = frozenset({"id", "name", "address", "seal", "groups"})


class ViewError(ValueError):
    """What was asked for is no view; the text says what it may be."""


@dataclass(frozen=True, slots=True)
class View:
    """A part of the table.

    :ivar sort: a field of :class:`Row`
    :ivar descending: the largest first
    :ivar text: only clients whose id, name, address or groups have this in them, in any case
    :ivar limit: rows at most, 1 to 100
    """

    sort: str = "outbox_cost"
    descending: bool = True
    text: str = ""
    limit: int = 50

    @classmethod
    def parse(cls, query: Mapping[str, Any]) -> Self:
        """Return what a query names; what it leaves out is as above.

        :raises ViewError: it names what is not there
        """
        sort = query.get("sort", "outbox_cost")
        order = query.get("order", "descending")
        text = query.get("text", "")
        limit = query.get("limit", "50")
        if sort not in Row._fields:
            raise ViewError(f"sort may be {', '.join(Row._fields)}")
        if order not in ("ascending", "descending"):
            raise ViewError("order may be ascending or descending")
        if not isinstance(text, str) or len(text) > _MAX_TEXT:
            raise ViewError(f"text may have {_MAX_TEXT} characters")
        rows = int(limit) if isinstance(limit, str) and _LIMIT.fullmatch(limit) else 0
        if not 1 <= rows <= MAX_ROWS:
            raise ViewError(f"limit may be 1 to {MAX_ROWS}")
        # Without its case a text may be longer; cut, it is one that query() can name.
        return cls(sort, order == "descending", text.casefold()[:_MAX_TEXT], rows)

    def query(self) -> dict[str, str]:
        """Return what :meth:`parse` makes this of."""
        order = "descending" if self.descending else "ascending"
        return {"sort": self.sort, "order": order, "text": self.text, "limit": str(self.limit)}


async def select(rows: list[Row], view: View) -> dict[str, Any]:
    """Return the rows of a view as plain data, and how many there would be without its limit."""
    first = heapq.nlargest if view.descending else heapq.nsmallest
    key = _key(view)
    matching, shown = 0, list[Row]()
    for start in range(0, len(rows), _SLICE):
        part = rows[start : start + _SLICE]
        if view.text:
            part = [row for row in part if _has(row, view.text)]
        matching += len(part)
        shown = first(view.limit, shown + part, key=key)
        await asyncio.sleep(0)
    return {
        "view": asdict(view),
        "matching": matching,
        "rows": [row._asdict() for row in shown],
    }


def _has(row: Row, text: str) -> bool:
    return text in f"{row.id} {row.name} {row.address} {row.groups}".casefold()


def _key(view: View) -> Callable[[Row], Any]:
    place = Row._fields.index(view.sort)
    if view.sort in _TEXTS:
        return lambda row: str(row[place]).casefold()
    # What is not known comes last, whichever way. Those that are equal: the slowest first.
    unknown = float("-inf") if view.descending else float("inf")
    sign = 1 if view.descending else -1

    def key(row: Row) -> tuple[float, float, float]:
        value = row[place]
        first = unknown if value is None else float(value)
        return first, sign * row.outbox_cost, sign * (row.latency or 0.0)

    return key
