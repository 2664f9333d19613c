"""Makes tables and a chart from the file that ``run.py --json`` has written, and nothing else.

The same file always gives the same tables and the same chart.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from suite import aes_gcm, decoder, foreign, growth, latency, long_links, sessions
from suite.rows import OURS as OUR_PEERS
from suite.rows import ROWS

Row: TypeAlias = dict[str, Any]
"""One of ``rows`` in the file; :mod:`suite.results` says what it has."""

ALONE: Final = {
    "decoder": decoder,
    "foreign": foreign,
    "latency": latency,
    "aes_gcm": aes_gcm,
    "growth": growth,
    "long_links": long_links,
    "sessions": sessions,
}
OURS: Final = {peer.name for peer in OUR_PEERS}
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

<!-- not run: measures for half an hour, on a machine that does nothing else -->
```sh
tox -e benchmarks -- --json results.json         # --list names the lines; --help has the rest
tox -e benchmarks -- --json results.json --against HEAD~10        # beside another commit
python benchmarks/report.py results.json --page page.md --svg chart.svg
```

On a machine with few cores a rate says as much of how two processes wake each other as of what
they do; the CPU time does not, so look at both. `aims` are what sealframe was built to reach.

Two servers of a cluster are measured by themselves, beside python-socketio with its Redis manager
where `redis-server` is installed, in some two minutes: `python benchmarks/servers.py`. Medians of
3 rounds and of 5, Python 3.11, asyncio, all processes on the same two cores:

| from a client at one server | sealframe | python-socketio |
| --- | ---: | ---: |
| to one at another server, one message at a time, p50 | 0.48 and 0.52 ms | 1.15 and 1.20 ms |
| to one at the same server, one at a time, p50 | 0.21 and 0.26 ms | 0.78 and 1.02 ms |
| to one at another server, 128 B | 298 k/s and 315 k/s | 2.5 k/s and 2.5 k/s |
| to one at another server, 4 KiB | 26 k/s and 36 k/s | 2.1 k/s and 1.7 k/s |
| to a group of 1,000 at each of both | 1.39 M/s and 1.44 M/s | 3.5 k/s and 4 k/s |
| a killed server's clients are gone after | 0.44 s | |

One message at a time waits for four processes to wake up, one after the other: a server without a
cluster that only hands messages from one client to another takes 0.19 to 0.21 ms here, for two. So
0.35 ms and five times python-socketio, which were aimed at, are both missed; the rates are above
their aims, 150 k/s and five times. Under uvloop it takes 0.38 to 0.48 ms, and 380 k/s go to one.

The post-quantum handshake beside that of TLS 1.3 takes a Python with OpenSSL 3.5 or newer, which
has X25519MLKEM768. With Python 3.14, OpenSSL 3.6.5 and uvloop:

<!-- not run: takes minutes, and another Python -->
```sh
python benchmarks/run.py --rows connect-sealed,connect-identity --rounds 7 --seconds 0.4 --peers \\
    sealframe,tls-X25519MLKEM768-P-256,tls-X25519MLKEM768-RSA-2048,tls-X25519MLKEM768-mutual
```

| CPU of a connection, both ends | first run | second run |
| --- | ---: | ---: |
| sealframe, shared key, beside the next | 1,850 us | 2,040 us |
| TLS, X25519MLKEM768, the server's certificate P-256 | 1,520 us | 1,700 us |
| the same, RSA-2048 | 2,300 us | |
| sealframe, identities, beside the next | 2,100 us | 2,500 us |
| TLS, X25519MLKEM768, certificates P-256 at both ends | 1,820 us | 2,070 us |
| TLS, X25519MLKEM768, the server's certificate P-256 | 1,450 us | 1,830 us |
| the same, RSA-2048 | 2,120 us | |

So a shared key costs 1.22 and 1.20 times TLS, and identities 1.16 and 1.21 times TLS that proves
both ends as they do; the aim is 1.3. They cost 1.45 and 1.37 times TLS that proves the server
alone. These are medians of 7 rounds of 0.4 s, which differ by a third; an empty cell was not
measured.

What a server spends on a first message of a handshake, in CPU, by what is wrong with it; medians of
1,500 of each, in turns, Python 3.11:

| first message | CPU |
| --- | ---: |
| its encapsulation key is malformed | 80 us |
| its tag is wrong | 78 to 198 us |
| its X25519 key is of low order, in XXhfs | 242 us |
| nothing: it is answered | 356 to 387 us |

Two event loops in two threads, by themselves too, `benchmarks/two_loops.py --messages 100000`:
without the GIL, in a CPython 3.13.5 built with `--disable-gil`, two give 1.61, 1.96 and 1.76 times
the messages per second of one, for 1.03, 0.97 and 1.01 times the CPU of a message. With the GIL, in
3.13.0, they give 0.90 times as many.

What a session costs a message is counted too, in instructions, since its time scatters by more:
`python benchmarks/instructions.py`, with valgrind, counts what both processes execute, and their
system calls. For 128 bytes one way both ends together execute 1.04 times as many with a session
(extended, uvloop: 4,646 and 4,476; asyncio: 4,754 and 4,585), where it is sealed 1.02 times
(uvloop: 5,337 and 5,249). The sender executes 1.05 times as many, sealed 1.03 times, the receiver
1.03 times, sealed as many. For 1,000 messages both make 14 system calls in place of 12 or 13
(asyncio: 19 in place of 18; sealed, uvloop: 11 in place of 10).

![sealframe beside the best of its competitors](benchmarks.svg)
"""

SUMMARY: Final = (
    *("one_way-128", "one_way-128-sealed", "one_way-65536-sealed"),
    *("round_trip-1", "request-sealed", "broadcast-1000-sealed", "connect-sealed"),
    "idle-sealed",
)
"""The rows that README shows: where sealframe is ahead, and where it is not."""

_SUMMARY: Final = """\
Medians of {rounds} rounds on two cores, Python {python}, {loop}, measured at commit {commits} with
`tox -e benchmarks`. Each row names the best of its competitors: fastest, or smallest.
[Every figure](docs/BENCHMARKS.md) has the machine, all competitors, and what was aimed at.
"""

_LEGEND: Final = """\
Medians of {rounds} rounds; in brackets the lowest and the highest ratio of a round. Rates are
messages, round trips, requests or connections a second of wall-clock time, in a broadcast messages
received, of a file MiB; CPU is what both processes together used for each.
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
        arguments.readme.write_text(before + BEGIN + summary(first) + END + after)
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
        parts.append(table(rows))
        parts.append("Without its extensions, in pure Python:\n")
        parts.append(table(rows, pure=True))
        for commit in commits(rows):
            parts.append(f"Beside sealframe at commit {commit}:\n")
            parts.append(table(rows, commit=commit))
        parts.append(origin(results, rows))
        if place == 0:
            parts.append(details(rows))
    return "\n".join(parts)


def summary(rows: list[Row]) -> str:
    """Return a short table, and what a reader has to know of it."""
    shown = [row for row in rows if row["row"] in SUMMARY]
    lines = ["| | sealframe | the best of the others | |", "| --- | ---: | ---: | --- |"]
    for row in shown:
        ours = next(one for one in row["results"] if one["peer"] in OURS and not one["pure"])
        if (best := best_of_others(row)) is not None:
            cells = (row["title"], amount(row, ours), amount(row, best), best["competitor"])
            lines.append(f"| {' | '.join(cells)} |")
    text = _SUMMARY.format(
        rounds=rounds(shown),
        python=rows[0]["python"],
        loop=rows[0]["loop"],
        commits=measured_at(shown),
    )
    return "\n".join(lines) + f"\n\n{text}"


def commits(rows: list[Row]) -> list[str]:
    """Return the other commits that sealframe is compared with."""
    found = [result.get("commit", "") for row in rows for result in row.get("results", [])]
    return list(dict.fromkeys(commit for commit in found if commit))


def table(rows: list[Row], *, pure: bool = False, commit: str = "") -> str:
    """Return the comparisons, a line each, as Markdown.

    :param pure: of sealframe in pure Python, or else of the compiled one
    :param commit: with this commit of sealframe, or else with its peers
    """
    heads = ["", "sealframe", "CPU", "compared with", "its rate", "CPU", "ratio", "aim"]
    lines = [f"| {' | '.join(heads)} |", "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |"]
    # Two aims may meet in one line: the best peer is also one of those with an aim of its own.
    wanted: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        results = {result["competitor"]: result for result in row.get("results", [])}
        for comparison in row.get("comparisons", []):
            ours, theirs = results[comparison["ours"]], results.get(comparison["theirs"], {})
            if ours["pure"] != pure or theirs.get("commit", "") != commit:
                continue
            *cells, aim = compared(row, comparison, ours, results)
            wanted.setdefault(tuple(cells), []).append(aim)
    for line, found in wanted.items():
        lines.append(f"| {' | '.join([*line, '; '.join(filter(None, found))])} |")
    return "\n".join(lines) + "\n"


def compared(row: Row, comparison: Row, ours: Row, results: dict[str, Row]) -> list[str]:
    """Return one line's cells."""
    wanted = ""
    if comparison["target"] is not None:
        sign = "at most" if comparison["at_most"] else "at least"
        wanted = f"{sign} {comparison['target']:,g}" + ("" if comparison["met"] else ": missed")
    value, title = comparison["value"], row["title"]
    if ours["peer"] == "callbacks":
        title += ", callbacks"
    if comparison["figure"] == "memory" and not comparison["theirs"]:
        others = [
            f"{name} {other['memory']['median']:,.0f}"
            for name, other in results.items()
            if not other["pure"] and not other.get("commit") and other["peer"] not in OURS
        ]
        return [title, f"{value['median']:,.0f} B", "", "; ".join(others), "", "", "", wanted]
    theirs = results[comparison["theirs"]]
    if comparison["figure"] == "cpu":
        title += ": CPU"
    ratio = f"{value['median']:.2f} ({value['low']:.2f} to {value['high']:.2f})"
    return [
        title,
        amount(row, ours),
        cpu(ours),
        comparison["theirs"],
        amount(row, theirs),
        cpu(theirs),
        ratio,
        wanted,
    ]


def amount(row: Row, result: Row) -> str:
    """Return the figure that a row is about."""
    if "memory" in result:
        return f"{result['memory']['median']:,.0f} B"
    if "latency" in result:
        return f"{three_digits(result['latency']['median'])} us"
    if row["workload"] == "file":
        return f"{result['rate']['median']:,.0f} MiB/s"
    return f"{short(result['rate']['median'])}/s"


def cpu(result: Row) -> str:
    """Return the CPU time for each, where that was measured."""
    return "" if "cpu" not in result else f"{three_digits(result['cpu']['median'])} us"


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
    text = _LEGEND.format(rounds=rounds(rows))
    text += f"\nMeasured at commit {measured_at(rows)}: the figures are those of its sources.\n"
    return "\n".join([text, "; ".join(parts) + ".", *([""] if failed else []), *failed]) + "\n"


def rounds(rows: list[Row]) -> str:
    """Return how many there were of each result."""
    found = {len(result["rounds"]) for row in rows for result in row.get("results", [])}
    return " or ".join(map(str, sorted(found)))


def measured_at(rows: list[Row]) -> str:
    """Return the commit whose sources the figures are of, or several."""
    return ", ".join(dict.fromkeys(row.get("commit") or "unknown" for row in rows))


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
            figure = result.get("rate") or result.get("latency") or result["memory"]
            values = [f"{figure[name]:,.0f}" for name in ("median", "low", "high")]
            lines.append(f"| {' | '.join([result['competitor'], *values, cpu(result)])} |")
        parts.append("\n".join(lines) + f"\n\nIn {row['unit']}.\n")
    return "\n".join(parts)


# The chart, in pixels.
_LABELS: Final = 330
_BARS: Final = 330
_NAMES: Final = 220
_LINE: Final = 20
_THICK: Final = 13
_TOP: Final = 58
_TICKS: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)

_STYLE: Final = """\
text { font: 12px system-ui, sans-serif; fill: #3d444d }
.head { font-size: 15px; font-weight: 600 }
.group { font-weight: 600 }
.tick { text-anchor: middle; font-size: 11px }
.ahead { fill: #1a7f37 }
.even { fill: #8c959f }
.behind { fill: #bc4c00 }
line { stroke: #d1d9e0 }
.one { stroke: #3d444d; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
text { fill: #d1d7e0 }
.ahead { fill: #3fb950 }
.even { fill: #6b7480 }
.behind { fill: #f0883e }
line { stroke: #3d444d }
.one { stroke: #d1d7e0 }
}"""


class Standing(NamedTuple):
    """How sealframe does in a row beside the best of the others."""

    title: str
    ratio: float
    """Above 1 it is ahead, whether more is better or less."""
    best: str
    """Who that is."""


def compiled(row: Row) -> list[Row]:
    """Return the results of this commit with the extension, and those of the others."""
    return [one for one in row["results"] if not one["pure"] and not one.get("commit")]


def figure_of(result: Row) -> str:
    """Return what was measured."""
    return next(name for name in ("rate", "latency", "memory") if name in result)


def best_of_others(row: Row) -> Row | None:
    """Return the best result that is not of sealframe and does the whole work, if there is one."""
    peers = [one for one in compiled(row) if one["peer"] not in OURS and not one["bound"]]
    if not peers:
        return None
    figure = figure_of(peers[0])
    ranked = sorted(peers, key=lambda one: float(one[figure]["median"]))
    return ranked[-1 if figure == "rate" else 0]


def standings(rows: list[Row], *, sealed: bool) -> list[Standing]:
    """Return a line for each row, and for each way to use sealframe in it."""
    found: list[Standing] = []
    for row in rows:
        if row.get("sealed") != sealed:
            continue
        best = best_of_others(row)
        if best is None:
            continue
        figure = figure_of(best)
        for ours in compiled(row):
            if ours["peer"] in OURS:
                ratio = ours[figure]["median"] / best[figure]["median"]
                title = re.sub(r", (plain|extended|sealed)\b", "", row["title"])
                title += ", callbacks" * (ours["peer"] == "callbacks")
                better = ratio if figure == "rate" else 1 / ratio
                found.append(Standing(title, better, best["competitor"]))
    return found


def chart(rows: list[Row]) -> str:
    """Return a chart of where sealframe is ahead and where not, as SVG."""
    groups = {
        "plain": standings(rows, sealed=False),
        "encrypted": standings(rows, sealed=True),
    }
    ratios = [standing.ratio for group in groups.values() for standing in group] or [1.0]
    low, high = 0.95 * min(0.5, *ratios), 1.05 * max(2.0, *ratios)

    def place(ratio: float) -> float:
        return _LABELS + _BARS * math.log(ratio / low) / math.log(high / low)

    body, y = list[str](), _TOP
    for name, group in groups.items():
        y += _LINE + 8
        body.append(text(0, y, name, "group"))
        y += 8
        for standing in group:
            body += bar(y, standing, place)
            y += _LINE
    ticks = list[str]()
    for tick in _TICKS:
        if low <= tick <= high:
            kind, x = "one" if tick == 1 else "", f"{place(tick):.1f}"
            ticks.append(f'<line class="{kind}" x1="{x}" x2="{x}" y1="{_TOP + 6}" y2="{y}"/>')
            ticks.append(text(place(tick), _TOP, f"{tick:g}x", "tick"))
    title = "sealframe beside the best of the others"
    subtitle = "How many times faster it is, or how many times less memory it needs. Log scale."
    width, height = _LABELS + _BARS + _NAMES, y + 10
    place_and_size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {place_and_size} role="img">'
    head = [opening, f"<title>{title}</title>", f"<style>\n{_STYLE}\n</style>"]
    head += [text(0, 16, title, "head"), text(0, 34, subtitle)]
    return "\n".join([*head, *ticks, *body, "</svg>\n"])


def bar(y: int, standing: Standing, place: Callable[[float], float]) -> list[str]:
    """Return one line: what, a bar from 1 to the ratio, and who is the best of the others."""
    start, end = sorted((place(1), place(standing.ratio)))
    kind = "ahead" if standing.ratio >= 1.05 else "behind" if standing.ratio < 0.95 else "even"
    size = f'x="{start:.1f}" y="{y}" width="{max(2.0, end - start):.1f}" height="{_THICK}"'
    return [
        text(10, y + 11, standing.title),
        f'<rect class="{kind}" {size} rx="2"/>',
        text(_LABELS + _BARS + 8, y + 11, f"{standing.ratio:.3g}x {standing.best}"),
    ]


def text(x: float, y: int, content: str, kind: str = "") -> str:
    """Return a text element."""
    attribute = f' class="{kind}"' if kind else ""
    return f'<text{attribute} x="{x:.4g}" y="{y}">{escape(content)}</text>'


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
