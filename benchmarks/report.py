"""Makes tables and a chart from the file that ``run.py --json`` has written, and nothing else.

The same file always gives the same tables and the same chart.
"""

from __future__ import annotations

import argparse
import json
from html import escape
from pathlib import Path
from typing import Any, Final, TypeAlias

from suite import aes_gcm, decoder, growth, latency
from suite.rows import ROWS

Row: TypeAlias = dict[str, Any]
"""One of ``rows`` in the file; :mod:`suite.results` says what it has."""

ALONE: Final = {"decoder": decoder, "latency": latency, "aes_gcm": aes_gcm, "growth": growth}
ORDER: Final = [row.id for row in ROWS] + list(ALONE)

BEGIN: Final = "<!-- benchmarks: begin -->\n"
END: Final = "<!-- benchmarks: end -->\n"

_PAGE: Final = """\
# Benchmarks

What sealframe does beside what one would use instead of it. Two processes on one machine send over
loopback; the competitors of a line run in turn, round after round, each written as its own
documentation recommends. The receiver turns every message into `bytes`, counts and checks it, and
the checksums are compared at the end. This page and its chart are made from
[benchmarks/results.json](../benchmarks/results.json), which has every round. To measure on
another machine:

```sh
tox -e benchmarks -- --json results.json         # --list names the lines; --help has the rest
python benchmarks/report.py results.json --page page.md --svg chart.svg
```

On a machine with few cores a rate says as much of how two processes wake each other as of what
they do; the CPU time does not, so look at both. `aims` are what sealframe was built to reach.

![Rates of sealframe and its competitors](benchmarks.svg)
"""

_LEGEND: Final = """\
Medians of {rounds} rounds; in brackets the lowest and the highest ratio of a round. Rates are
messages, round trips or connections a second of wall-clock time, in a broadcast messages received;
CPU is what both processes together used for each.
"""


def main() -> None:
    """Write what is asked for."""
    arguments = parse()
    results = json.loads(arguments.results.read_text())
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(results["rows"], key=lambda row: ORDER.index(row["row"])):
        groups.setdefault((row["python"], row["loop"]), []).append(row)
    # uvloop before asyncio, older Pythons first.
    ranked = sorted(groups, key=lambda group: (group[1] != "uvloop", number(group[0])))
    first = groups[ranked[0]]
    if arguments.readme:
        before, rest = arguments.readme.read_text().split(BEGIN)
        _, after = rest.split(END)
        block = table(first, pure=False, aims=False) + "\n" + origin(results, first)
        arguments.readme.write_text(before + BEGIN + block + END + after)
    if arguments.page:
        arguments.page.write_text(page(results, [groups[name] for name in ranked]))
    if arguments.svg:
        arguments.svg.write_text(chart(first))


def number(version: str) -> tuple[int, ...]:
    """Return a version such that versions can be sorted."""
    return tuple(map(int, version.split(".")))


def page(results: Row, groups: list[list[Row]]) -> str:
    """Return the page of all figures; of the first group each competitor's."""
    parts = [_PAGE]
    for place, rows in enumerate(groups):
        parts.append(f"## Python {rows[0]['python']}, {rows[0]['loop']}\n")
        parts.append(table(rows, pure=False, aims=True))
        parts.append("Without its extensions, in pure Python:\n")
        parts.append(table(rows, pure=True, aims=True))
        parts.append(origin(results, rows))
        if place == 0:
            parts.append(details(rows))
    return "\n".join(parts)


def table(rows: list[Row], *, pure: bool, aims: bool) -> str:
    """Return the comparisons, a line each, as Markdown.

    :param pure: of sealframe in pure Python, or else of the compiled one
    :param aims: whether to say what was aimed at
    """
    heads = ["", "sealframe", "CPU", "compared with", "its rate", "CPU", "ratio"]
    lines = [
        f"| {' | '.join(heads + ['aim'] * aims)} |",
        f"| --- | ---: | ---: | --- | ---: | ---: | ---: |{' ---: |' * aims}",
    ]
    # Two aims may meet in one line: the best peer is also one of those with an aim of its own.
    wanted: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        results = {result["competitor"]: result for result in row.get("results", [])}
        for comparison in row.get("comparisons", []):
            ours = results[comparison["ours"]]
            if ours["pure"] == pure and (aims or comparison["figure"] != "cpu"):
                *cells, aim = compared(row, comparison, ours, results)
                wanted.setdefault(tuple(cells), []).append(aim)
    for line, found in wanted.items():
        lines.append(f"| {' | '.join([*line, *['; '.join(found)] * aims])} |")
    return "\n".join(lines) + "\n"


def compared(row: Row, comparison: Row, ours: Row, results: dict[str, Row]) -> list[str]:
    """Return one line's cells."""
    sign = "at most" if comparison["at_most"] else "at least"
    wanted = f"{sign} {comparison['target']:,g}" + ("" if comparison["met"] else ": missed")
    value = comparison["value"]
    if comparison["figure"] == "memory":
        others = [
            f"{name} {other['memory']['median']:,.0f}"
            for name, other in results.items()
            if not other["pure"] and other is not ours
        ]
        return [
            row["title"],
            f"{value['median']:,.0f} B",
            "",
            "; ".join(others),
            "",
            "",
            "",
            wanted,
        ]
    theirs = results[comparison["theirs"]]
    title = f"{row['title']}: CPU" if comparison["figure"] == "cpu" else row["title"]
    ratio = f"{value['median']:.2f} ({value['low']:.2f} to {value['high']:.2f})"
    return [
        title,
        rate(ours),
        cpu(ours),
        comparison["theirs"],
        rate(theirs),
        cpu(theirs),
        ratio,
        wanted,
    ]


def rate(result: Row) -> str:
    """Return how many a second."""
    return f"{short(result['rate']['median'])}/s"


def cpu(result: Row) -> str:
    """Return the CPU time for each."""
    return f"{three_digits(result['cpu']['median'])} us"


def short(number: float) -> str:
    """Return a number with three digits that count."""
    for unit, factor in (("M", 1e6), ("k", 1e3)):
        if number >= factor * 0.9995:
            return f"{three_digits(number / factor)} {unit}"
    return f"{number:.0f}"


def three_digits(number: float) -> str:
    """Return a number with three digits that count, and no exponent."""
    return f"{float(f'{number:.3g}'):,g}"


def origin(results: Row, rows: list[Row]) -> str:
    """Return what belongs under the tables: where, with what and when."""
    machine, python = results["machine"], results["pythons"][rows[0]["python"]]
    versions = ", ".join(f"{name} {version}" for name, version in python["packages"].items())
    dates = sorted({row["date"] for row in rows})
    rounds = sorted({len(result["rounds"]) for row in rows for result in row.get("results", [])})
    failed = [
        f"- not measured: {row['title']}: {name}: {error}"
        for row in rows
        for name, error in row.get("failed", {}).items()
    ]
    parts = [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['architecture']}",
        machine["system"],
        f"{python['implementation']} {python['version']}, event loop {rows[0]['loop']}",
        python["openssl"],
        versions,
        f"{dates[0]} to {dates[-1]}" if len(dates) > 1 else dates[0],
    ]
    text = _LEGEND.format(rounds=" or ".join(map(str, rounds)))
    return "\n".join([text, "; ".join(parts) + ".", *([""] if failed else []), *failed]) + "\n"


def details(rows: list[Row]) -> str:
    """Return what has no room in the table: every competitor, and what stands alone."""
    parts = []
    for row in rows:
        if "data" in row:
            title = (ALONE[row["row"]].__doc__ or "").splitlines()[0].rstrip(".")
            parts.append(f"### {title}\n\n```\n{ALONE[row['row']].show(row['data'])}\n```\n")
            continue
        lines = [f"### {row['title']}", "", "| | median | lowest | highest | CPU |"]
        lines.append("| --- | ---: | ---: | ---: | ---: |")
        for result in row["results"]:
            figure = result.get("rate") or result["memory"]
            values = [f"{figure[name]:,.0f}" for name in ("median", "low", "high")]
            used = cpu(result) if "cpu" in result else ""
            lines.append(f"| {' | '.join([result['competitor'], *values, used])} |")
        parts.append("\n".join(lines) + f"\n\nIn {row['unit']}.\n")
    return "\n".join(parts)


# The chart, in pixels.
_PANEL: Final = 470
_LABELS: Final = 196
_BARS: Final = 190
_LINE: Final = 17
_THICK: Final = 12
_TOP: Final = 68
_GAP: Final = 32

_STYLE: Final = """\
text { font: 11px system-ui, sans-serif; fill: #3d444d }
.head { font-size: 15px; font-weight: 600 }
.group { font-weight: 600 }
.us { fill: #0969da }
.pure { fill: #74b0ee }
.them { fill: #8c959f }
@media (prefers-color-scheme: dark) {
text { fill: #d1d7e0 }
.us { fill: #4493f8 }
.pure { fill: #2b5f9e }
.them { fill: #6b7480 }
}"""


def chart(rows: list[Row]) -> str:
    """Return a bar chart of the rates one way, plain and sealed, as SVG."""
    shown = [row for row in rows if row.get("workload") == "one_way" and not row["batch"]]
    shown.sort(key=lambda row: row["size"])
    body, bottom = [], 0
    for place, sealed in enumerate((False, True)):
        left, y = place * _PANEL, _TOP
        body.append(text(left, 60, "encrypted" if sealed else "plain", "head"))
        for row in shown:
            results = [result for result in row["results"] if not result["bound"]]
            if row["sealed"] == sealed and results:
                y += _GAP
                body.append(text(left, y - 8, f"{size(row['size'])} messages", "group"))
                longest = max(result["rate"]["median"] for result in results)
                for result in results:
                    body += bar(left, y, result, longest)
                    y += _LINE
        bottom = max(bottom, y)
    title = "Messages per second, one way on one connection"
    subtitle = "Longer is better; each group has a scale of its own."
    width, height = 2 * _PANEL, bottom + 14
    place_and_size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {place_and_size} role="img">'
    head = [opening, f"<title>{title}</title>", f"<style>\n{_STYLE}\n</style>"]
    head += [text(0, 18, title, "head"), text(0, 36, subtitle)]
    return "\n".join([*head, *body, "</svg>\n"])


def bar(left: int, y: int, result: Row, longest: float) -> list[str]:
    """Return one competitor's line."""
    share = result["rate"]["median"] / longest
    kind = "them" if result["peer"] != "sealframe" else "pure" if result["pure"] else "us"
    start, length = left + _LABELS, max(1.0, share * _BARS)
    return [
        text(left + 6, y + 10, result["competitor"]),
        f'<rect class="{kind}" x="{start}" y="{y}" width="{length:.1f}" height="{_THICK}" rx="2"/>',
        text(start + length + 5, y + 10, short(result["rate"]["median"])),
    ]


def text(x: float, y: int, content: str, kind: str = "") -> str:
    """Return a text element."""
    attribute = f' class="{kind}"' if kind else ""
    return f'<text{attribute} x="{x:g}" y="{y}">{escape(content)}</text>'


def size(count: int) -> str:
    """Return a number of bytes."""
    for unit, factor in (("MiB", 1024**2), ("KiB", 1024)):
        if count >= factor:
            return f"{count // factor} {unit}"
    return f"{count} B"


def parse() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("results", type=Path, help="what run.py --json has written")
    add(
        "--readme",
        type=Path,
        help="a file in which the table stands between marks",
    )
    add("--page", type=Path, help="where the page of all figures goes")
    add("--svg", type=Path, help="where the chart goes")
    return parser.parse_args()


if __name__ == "__main__":
    main()
