"""Tables of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len


def aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield the lines of a table. They are as wide as they have to be: pipes have no width."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)
        )
        yield "  ".join(cells).rstrip()
