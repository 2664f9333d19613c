"""What more work costs: sealframe against itself, with ever more of one thing.

Time per message, time and memory per connection and memory of both sides ought to stay
as they are, however many messages or connections there are.
"""

from __future__ import annotations

import resource
from dataclasses import replace
from statistics import median
from typing import Any, Final

from .job import Job, Way
from .pair import Side, run_pair

PEER: Final = "sealframe_"
SMALL: Final = 128
MESSAGES: Final = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
CONNECTIONS: Final = (10, 100, 1_000, 10_000)
SIZES: Final = (*(16 * 4**step for step in range(11)), 64 * 1024 * 1024)
"""16 bytes to 16 MiB, and 64 MiB."""
QUICK_MESSAGES: Final = 100_000
QUICK_CONNECTIONS: Final = 1_000
_VOLUME: Final = 1024 * 1024 * 1024
_QUICK_VOLUME: Final = 128 * 1024 * 1024
"""Bytes that are sent of one size, unless that were too many messages."""
_AT_A_TIME: Final = 10
_OTHER_FILES: Final = 100
"""Open files of a process that are no connections, generously."""
_ROUNDS: Final = 3
"""At most; a trend over powers of ten needs no more."""
_LIMIT: Final = 240.0


def measure(*, seconds: float, rounds: int, loop: str, quick: bool) -> dict[str, Any]:
    """Return the rows of the three tables."""
    del seconds
    rounds = min(rounds, _ROUNDS)
    volume = _QUICK_VOLUME if quick else _VOLUME
    data: dict[str, Any] = {"messages": [], "connections": [], "sizes": []}
    ways: tuple[Way, ...] = ("plain", "sealed")
    for way in ways:
        growth = Job("growth", PEER, way=way, loop=loop, size=SMALL, warm_up=1000)
        for count in MESSAGES:
            if not quick or count <= QUICK_MESSAGES:
                data["messages"].append(_measure_messages(replace(growth, count=count), rounds))
        idle = Job("idle", PEER, way=way, loop=loop, warm_up=10, connections=_AT_A_TIME)
        for count in CONNECTIONS:
            if not quick or count <= QUICK_CONNECTIONS:
                data["connections"].append(_measure_connections(replace(idle, count=count)))
        for size in SIZES:
            count = max(4, min(QUICK_MESSAGES, volume // size))
            job = replace(growth, size=size, count=count, warm_up=2)
            data["sizes"].append(_measure_messages(job, rounds))
    return data


def show(data: dict[str, Any]) -> str:
    """Return the results as text."""
    lines = ["", f"{'messages':>15} {'each':>10} {'memory, server and client':>30}"]
    lines += [
        f"{_mode(row)} {row['count']:>8} {row['microseconds']:>7.2f} us {_peaks(row)}"
        for row in data["messages"]
    ]
    lines += ["", f"{'connections':>15} {'each':>10} {'memory of each':>30}"]
    for row in data["connections"]:
        line = f"{_mode(row)} {row['count']:>8} "
        if "skipped" in row:
            lines.append(line + row["skipped"])
        else:
            lines.append(
                line + f"{row['microseconds']:>7.0f} us {row['bytes_per_connection']:>24.0f} bytes"
            )
    lines += ["", f"{'size':>15} {'rate':>10} {'memory, server and client':>30}"]
    lines += [
        f"{_mode(row)} {row['size']:>8} {_megabytes(row):>5.0f} MB/s {_peaks(row)}"
        for row in data["sizes"]
    ]
    return "\n".join(lines)


def _mode(row: dict[str, Any]) -> str:
    return f"{'sealed' if row['sealed'] else 'plain':>6}"


def _megabytes(row: dict[str, Any]) -> float:
    rate: float = row["size"] / row["microseconds"]
    return rate


def _peaks(row: dict[str, Any]) -> str:
    server, client = row["peak_server"] / 1e6, row["peak_client"] / 1e6
    return f"{server:>20.1f} MB {client:>9.1f} MB"


def _measure_messages(job: Job, rounds: int) -> dict[str, Any]:
    sides: list[tuple[Side, Side]] = [run_pair(job, limit=_LIMIT) for _ in range(rounds)]
    return {
        "sealed": job.sealed,
        "size": job.size,
        "count": job.count,
        "microseconds": median(server["wall"] for server, _ in sides) / job.count * 1e6,
        "peak_server": median(server["peak"] for server, _ in sides),
        "peak_client": median(client["peak"] for _, client in sides),
    }


def _measure_connections(job: Job) -> dict[str, Any]:
    row: dict[str, Any] = {"sealed": job.sealed, "count": job.count}
    _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    if job.warm_up + job.count + _OTHER_FILES > allowed:
        return {**row, "skipped": f"skipped: a process may open {allowed} files here"}
    server, client = run_pair(job, limit=_LIMIT)
    row["microseconds"] = client["wall"] / job.count * 1e6
    row["bytes_per_connection"] = server["bytes_per_connection"]
    return row
