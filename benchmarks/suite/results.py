"""The results as text, and as a file that grows run by run.

The file is JSON: ``machine``; ``pythons``, by short version; ``rows``. A row is known by its
``row``, ``loop`` and ``python``, and one that is measured again replaces the old one as a whole,
since only what ran in turn may be compared. ``commit`` and ``sources`` say of which sealframe it is
(see :mod:`suite.sources`). It has ``results``, a competitor each, with every
round's reports and the median and limits of each figure; ``comparisons``; and ``failed``. The rows
``decoder``, ``foreign``, ``growth``, ``latency``, ``aes_gcm``, ``long_links`` and ``sessions`` have
``data`` instead, each in its own shape.
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any, Final, TypeAlias

from .machine import describe_machine, describe_python, python
from .rounds import Comparison, Measured, Outcome, summary
from .rows import ALONE, ROWS, Figure
from .sources import measured_commit, sources_of

Entry: TypeAlias = dict[str, Any]
"""A row of the file."""

KNOWN: Final = {*(row.id for row in ROWS), *ALONE}
"""All rows that there are."""
_FIGURES: Final[tuple[Figure, ...]] = ("rate", "cpu", "memory", "latency")


def entry(row: str, loop: str, **rest: Any) -> Entry:
    """Return a row for the file."""
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    names = {"row": row, "loop": loop, "python": python(), "date": date}
    return {**names, "commit": measured_commit(), "sources": sources_of(row), **rest}


def entry_of(outcome: Outcome, loop: str) -> Entry:
    """Return a measured row for the file."""
    row = outcome.row
    return entry(
        row.id,
        loop,
        title=row.title,
        workload=row.workload,
        unit=row.unit,
        size=row.size,
        way=row.way,
        sealed=row.sealed,
        batch=row.batch,
        connections=row.connections,
        results=[_result(measured) for measured in outcome.measured],
        comparisons=[_comparison(comparison) for comparison in outcome.comparisons],
        # What follows the first line may name folders of this machine.
        failed={title: error.partition("\n")[0] for title, error in outcome.failed.items()},
    )


def _result(measured: Measured) -> dict[str, Any]:
    competitor, job = measured.competitor, measured.job
    figures = {name: measured.figures(name) for name in _FIGURES}
    return {
        "competitor": competitor.title,
        "peer": competitor.peer.name,
        "pure": competitor.pure,
        "commit": competitor.commit,
        "batch": competitor.batch,
        "bound": competitor.peer.bound,
        "warm_up": job.warm_up,
        "count": job.count,
        **{name: summary(values) for name, values in figures.items() if values},
        "rounds": [{"server": server, "client": client} for server, client in measured.rounds],
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    target = comparison.target
    return {
        "figure": target.figure,
        "ours": comparison.ours,
        "theirs": comparison.theirs,
        "value": {
            "median": comparison.value,
            "low": comparison.low,
            "high": comparison.high,
        },
        "target": target.bound,
        "at_most": target.at_most,
        "met": comparison.met,
    }


def merge(path: Path, entries: list[Entry]) -> None:
    """Write rows to a file, in the place of what it has of the same."""
    machine = describe_machine()
    results: dict[str, Any] = {"machine": machine, "pythons": {}, "rows": []}
    if path.exists():
        results = json.loads(path.read_text())
        if results["machine"] != machine:
            raise SystemExit(f"{path} has the figures of another machine; name another file")
    results["pythons"][python()] = describe_python()
    # What the suite no longer measures cannot be brought up to date.
    results["rows"] = [row for row in results["rows"] if row["row"] in KNOWN]
    for new in entries:
        for index, old in enumerate(results["rows"]):
            if all(old[name] == new[name] for name in ("row", "loop", "python")):
                results["rows"][index] = new
                break
        else:
            results["rows"].append(new)
    path.write_text(json.dumps(results, indent=1) + "\n")


def show(outcome: Outcome) -> str:
    """Return a row as text."""
    row = outcome.row
    lines = ["", f"{row.title} [{row.id}]"]
    for measured in outcome.measured:
        line = f"  {measured.competitor.title:32}"
        if single := measured.figures("memory") or measured.figures("latency"):
            line += f"{_spread(single)} {row.unit}"
        else:
            rate, cpu = measured.figures("rate"), summary(measured.figures("cpu"))
            line += f"{_spread(rate)} {row.unit}, {cpu['median']:.3g} us of CPU each"
        lines.append(line)
    lines += [f"  {show_comparison(comparison)}" for comparison in outcome.comparisons]
    for title, error in outcome.failed.items():
        lines += [f"  {title} FAILED: " + error.replace("\n", "\n    ")]
    return "\n".join(lines)


def show_comparison(comparison: Comparison) -> str:
    """Return how sealframe stands, on one line."""
    target = comparison.target
    text = f"{target.figure} of {comparison.ours}"
    if comparison.theirs:
        text += f" / {comparison.theirs}"
        text += f": {comparison.value:.2f} ({comparison.low:.2f} to {comparison.high:.2f})"
    else:
        text += f": {comparison.value:,.0f}"
    if target.bound is None:
        return text
    return f"{text}, wanted {target}: {'met' if comparison.met else 'MISSED'}"


def _spread(values: list[float]) -> str:
    found = summary(values)
    between = f"({found['low']:,.0f} to {found['high']:,.0f})"
    return f"{found['median']:13,.0f} {between:>26}"
