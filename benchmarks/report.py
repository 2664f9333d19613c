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


_LEGEND: Final = """\
Medians of {rounds} rounds; in brackets the lowest and the highest ratio of a round. Rates are
messages, round trips or connections a second of wall-clock time, in a broadcast messages received;
CPU is what both processes together used for each.
"""


def main() -> None:
    """Write what is asked for."""
    arguments = parse()
    results = json.loads(arguments.results.read_text())
    rows = [
        row
        for row in results["rows"]
        if row["loop"] == arguments.loop and arguments.python in ("", row["python"])
    ]
    rows.sort(key=lambda row: ORDER.index(row["row"]))
    if not rows:
        raise SystemExit(f"{arguments.results} has nothing of {arguments.loop}")
    if len({row["python"] for row in rows}) > 1:
        raise SystemExit("there are several Pythons; choose with --python, for example 3.14")
    under = origin(results, rows)
    if arguments.markdown:
        arguments.markdown.write_text(table(rows, pure=False) + "\n" + under)
    if arguments.details:
        arguments.details.write_text(details(rows) + under)
    if arguments.svg:
        arguments.svg.write_text(chart(rows))


def table(rows: list[Row], *, pure: bool) -> str:
    """Return the comparisons, a line each, as Markdown.

    :param pure: of sealframe in pure Python, or else of the compiled one
    """
    lines = [
        "| | sealframe | CPU | compared with | its rate | CPU | ratio | wanted |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    # Two aims may meet in one line: the best peer is also one of those with an aim of its own.
    wanted: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        results = {result["competitor"]: result for result in row.get("results", [])}
        for comparison in row.get("comparisons", []):
            ours = results[comparison["ours"]]
            if ours["pure"] == pure:
                *cells, aim = compared(row, comparison, ours, results)
                wanted.setdefault(tuple(cells), []).append(aim)
    lines += [f"| {' | '.join([*cells, '; '.join(aims)])} |" for cells, aims in wanted.items()]
    return "\n".join(lines) + "\n"


def compared(row: Row, comparison: Row, ours: Row, results: dict[str, Row]) -> list[str]:
    """Return one line's cells."""
    sign = "at most" if comparison["at_most"] else "at least"
    wanted = f"{sign} {comparison['target']:,g}" + ("" if comparison["met"] else ", missed")
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
            parts.append(f"## {row['row']}\n\n```\n{ALONE[row['row']].show(row['data'])}\n```\n")
            continue
        lines = [f"## {row['title']}", "", "| | median | lowest | highest | CPU |"]
        lines.append("| --- | ---: | ---: | ---: | ---: |")
        for result in row["results"]:
            figure = result.get("rate") or result["memory"]
            values = [f"{figure[name]:,.0f}" for name in ("median", "low", "high")]
            used = cpu(result) if "cpu" in result else ""
            lines.append(f"| {' | '.join([result['competitor'], *values, used])} |")
        parts.append("\n".join(lines) + f"\n\nIn {row['unit']}.\n")
    pure = f"## sealframe in pure Python\n\n{table(rows, pure=True)}"
    return "\n".join([*parts, pure, ""])


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
    add("--markdown", type=Path, help="where the table goes")
    add("--details", type=Path, help="where everything else goes, as Markdown")
    add("--svg", type=Path, help="where the chart goes")
    add("--loop", default="uvloop", help="whose figures: uvloop (default) or asyncio")
    add("--python", default="", help="whose figures, such as 3.14, if there are several")
    return parser.parse_args()


if __name__ == "__main__":
    main()
