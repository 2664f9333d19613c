"""The table of the catalogue in docs/guides/layouts.md, made from the entries.

``python tests/framing/layouts/page.py`` writes it anew; a test compares.
"""

from __future__ import annotations

from pathlib import Path

from sealframe.framing.layouts import FIELDS, Entry

PAGE = Path(__file__).parents[3] / "docs" / "guides" / "layouts.md"
BEGIN = "<!-- the catalogue: begin -->\n"
END = "<!-- the catalogue: end -->\n"


def table() -> str:
    """Return the tables, one for each field."""
    lines = []
    for field, entries in FIELDS.items():
        lines += [f"## {field}", "", "| name | protocol | source | held to bytes of |"]
        lines += ["| --- | --- | --- | --- |", *map(_row, entries), ""]
    return "\n".join(lines)


def _row(entry: Entry) -> str:
    recorded = ", ".join(entry.recorded) or "nothing yet"
    return f"| `{entry.name}` | {entry.title} | {entry.source} | {recorded} |"


def with_table(text: str) -> str:
    """Return the page's text with the table as it should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
