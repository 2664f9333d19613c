"""What a session costs: messages and idle connections with one and without, and coming back.

Both ends are processes of their own. With and without are measured in turns.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import Any, Final

from .job import Job, Way
from .pair import Side, run_pair

PEER: Final = "sealframe_"
WAYS: Final[tuple[Way, ...]] = ("extended", "sealed")
_MESSAGES: Final = 300_000
_IDLE: Final = 500
_RESUMED: Final = 500


def measure(*, seconds: float, rounds: int, loop: str, quick: bool) -> dict[str, Any]:
    """Return the rows of the three tables."""
    del seconds, quick
    data: dict[str, Any] = {"messages": [], "idle": [], "resumed": []}
    for way in WAYS:
        job = Job("one_way", PEER, way=way, loop=loop, warm_up=2000, count=_MESSAGES)
        data["messages"].append(_measure_messages(job, rounds))
        job = Job("idle", PEER, way=way, loop=loop, warm_up=50, count=_IDLE, connections=10)
        data["idle"].append(_measure_idle(job, rounds))
        job = Job("resume", "sealframe_resume", way=way, loop=loop, count=_RESUMED)
        data["resumed"].append(_measure_resumed(job, rounds))
    return data


def show(data: dict[str, Any]) -> str:
    """Return the results as text."""
    lines = ["128 B one way, CPU of both ends for a message, without and with a session", ""]
    for row in data["messages"]:
        without, with_one = row["without"], row["with"]
        lines.append(
            f"{row['way']:>8} {without['cpu']:>6.2f} us {with_one['cpu']:>6.2f} us, "
            f"{row['ratio']:.2f} times; {without['rate']:,.0f} and {with_one['rate']:,.0f} "
            f"messages/s, {row['rate_ratio']:.2f} times"
        )
    lines += ["", "memory of an idle connection at the server, without and with", ""]
    lines += [
        f"{row['way']:>8} {row['without']:>6,.0f} B {row['with']:>6,.0f} B" for row in data["idle"]
    ]
    lines += ["", "sessions that all lose their links at once: until the last is there again", ""]
    lines += [
        f"{row['way']:>8} {row['count']:>4} sessions {row['seconds']:>6.2f} s, CPU of each "
        f"{row['client_cpu']:>5.0f} us at the client, {row['server_cpu']:>5.0f} us at the server"
        for row in data["resumed"]
    ]
    return "\n".join(lines)


def _measure_messages(job: Job, rounds: int) -> dict[str, Any]:
    taken: dict[bool, list[tuple[Side, Side]]] = {False: [], True: []}
    for _ in range(rounds):
        for session in taken:
            taken[session].append(run_pair(replace(job, session=session)))
    figures = [
        {
            "cpu": median(s["cpu"] + c["cpu"] for s, c in sides) / job.count * 1e6,
            "rate": job.count / median(s["wall"] for s, _ in sides),
        }
        for sides in taken.values()
    ]
    return {
        "way": job.way,
        "without": figures[0],
        "with": figures[1],
        "ratio": figures[1]["cpu"] / figures[0]["cpu"],
        "rate_ratio": figures[1]["rate"] / figures[0]["rate"],
    }


def _measure_idle(job: Job, rounds: int) -> dict[str, Any]:
    found: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(min(rounds, 2)):
        for session in found:
            server, _ = run_pair(replace(job, session=session), checked=False)
            found[session].append(server["bytes_per_connection"])
    return {"way": job.way, "without": median(found[False]), "with": median(found[True])}


def _measure_resumed(job: Job, rounds: int) -> dict[str, Any]:
    sides = [run_pair(job, checked=False) for _ in range(min(rounds, 3))]
    return {
        "way": job.way,
        "count": job.count,
        "seconds": median(client["wall"] for _, client in sides),
        "client_cpu": median(client["cpu"] for _, client in sides) / job.count * 1e6,
        "server_cpu": median(server["cpu"] for server, _ in sides) / job.count * 1e6,
    }
