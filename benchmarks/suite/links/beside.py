"""Requests beside messages and files, over a link that is slow enough to make them wait."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from ..job import Job, Way
from ..pair import run_pair
from .emulator import open_link
from .requests import EVERY

ROUND_TRIP: Final = 0.05
"""Seconds."""
RATE: Final = 20e6 / 8
"""Bytes a second: 20 Mbit/s."""
QUEUE: Final = 125_000
"""Bytes that wait for the link at most: what one round trip carries."""
_WARM_UP: Final = 20
"""Requests in the first two seconds."""
_FILE: Final = 64
"""MiB of the file: more than can be sent meanwhile."""


@dataclass(frozen=True)
class Line:
    """Who asks, and beside what."""

    name: str
    peer: str
    way: Way
    beside: str
    aims: tuple[float | None, float | None] = (None, None)
    """p50 and p99 at most, in milliseconds."""


LINES: Final = (
    Line("sealframe", "link_sealframe", "extended", "nothing"),
    Line("sealframe", "link_sealframe", "extended", "messages", (130, 300)),
    Line("sealframe, sealed", "link_sealframe", "sealed", "messages", (130, 300)),
    Line("websockets' ping", "link_websockets", "plain", "messages"),
    Line("sealframe", "link_sealframe", "extended", "file", (100, None)),
    Line("sealframe, sealed", "link_sealframe", "sealed", "file", (100, None)),
)


def measure_beside(
    rounds: int,
    loop: str,
    count: int,
    *,
    lines: tuple[Line, ...] = LINES,
    warm_up: int = _WARM_UP,
) -> list[dict[str, Any]]:
    """Return how long a request takes, p50 and p99 in milliseconds.

    :param count: requests in a round
    :param warm_up: requests before these, until the link is full
    """
    found: dict[Line, list[tuple[float, float]]] = {line: [] for line in lines}
    with open_link(round_trip=ROUND_TRIP, rate=RATE, queue=QUEUE) as link:
        for _ in range(rounds):
            for line, results in found.items():
                job = Job(
                    "beside",
                    line.peer,
                    way=line.way,
                    loop=loop,
                    size=65536,
                    warm_up=warm_up,
                    count=count,
                    extra={"beside": line.beside, "mib": _FILE},
                )
                limit = 60 + (warm_up + count) * EVERY
                _, client = run_pair(job, link=link, checked=False, limit=limit)
                results.append((client["p50"], client["p99"]))
    return [
        {
            "name": line.name,
            "beside": line.beside,
            "p50": median(p50 for p50, _ in results),
            "p99": median(p99 for _, p99 in results),
            "aims": line.aims,
        }
        for line, results in found.items()
    ]


def show_beside(rows: list[dict[str, Any]]) -> list[str]:
    """Return the results as lines of text."""
    lines = [f"{'':36}{'p50':>9}{'p99':>9}"]
    for row in rows:
        name = f"beside {row['beside']}, {row['name']}"
        line = f"{name:36}{row['p50']:6.0f} ms{row['p99']:6.0f} ms"
        aims = [
            f"{name} at most {aim:g}" + ": missed" * (row[name] > aim)
            for name, aim in zip(("p50", "p99"), row["aims"], strict=True)
            if aim is not None
        ]
        lines.append("  ".join([line, ", ".join(aims)]).rstrip())
    return lines
