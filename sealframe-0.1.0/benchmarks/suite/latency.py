"""Round trips under load: how long a request takes while others are on their way.

Requests go out at a fixed rate, whether the ones before are answered or not, and each is
timed from the moment at which it was due, not from when it could be sent: a stall makes
all requests late that were due meanwhile, as it would be for real users.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from statistics import median
from typing import Any, Final, TypeAlias

from .job import Job, Way
from .pair import run_pair

Send: TypeAlias = Callable[[bytes], Awaitable[None]]

PEERS: Final = {
    "sealframe_": "sealframe",
    "streams": "asyncio streams",
    "picows_latency": "picows",
}
"""Modules, and what they are called."""
CONNECTIONS: Final = 100
SIZE: Final = 128
LOADS: Final = (0.25, 0.5, 0.75)
"""Of the rate that the slowest reaches when each connection waits for its answers."""
PERCENTILES: Final = (50.0, 99.0, 99.9)
_CLOSED_LOOP: Final = 20_000
"""Round trips from which that rate is known."""


def measure(*, seconds: float, rounds: int, loop: str, quick: bool) -> dict[str, Any]:
    """Return the percentiles of each peer at each load, in microseconds."""
    rows = []
    ways: tuple[Way, ...] = ("plain", "sealed")
    for way in ways:
        job = Job("latency", "", way=way, loop=loop, size=SIZE, connections=CONNECTIONS)
        limits = {peer: _closed_loop_rate(replace(job, peer=peer)) for peer in _installed()}
        for load in LOADS[1:2] if quick else LOADS:
            rate = load * min(limits.values())
            count = int(rate * seconds)
            job = replace(job, count=count, warm_up=count // 5, extra={"rate": rate})
            found: dict[str, list[list[float]]] = {peer: [] for peer in limits}
            for _ in range(rounds):
                for peer, percentiles in found.items():
                    _, client = run_pair(replace(job, peer=peer))
                    percentiles.append(client["percentiles"])
            for peer, percentiles in found.items():
                medians = [median(column) for column in zip(*percentiles, strict=True)]
                rows.append(
                    {
                        "sealed": job.sealed,
                        "load": load,
                        "rate": rate,
                        "peer": PEERS[peer],
                        "closed_loop_rate": limits[peer],
                        "microseconds": dict(zip(map(str, PERCENTILES), medians, strict=True)),
                    }
                )
    return {"connections": CONNECTIONS, "size": SIZE, "rows": rows}


def _installed() -> list[str]:
    installed = []
    for peer in PEERS:
        with suppress(ImportError):
            importlib.import_module(f"suite.peers.{peer}")
            installed.append(peer)
    return installed


def _closed_loop_rate(job: Job) -> float:
    job = replace(job, workload="round_trip", warm_up=10 * CONNECTIONS, count=_CLOSED_LOOP)
    _, client = run_pair(job)
    rate: float = job.count / client["wall"]
    return rate


def show(data: dict[str, Any]) -> str:
    """Return the results as text."""
    heads = "".join(f"{f'p{percentile:g}':>12}" for percentile in PERCENTILES)
    lines = [f"{'':>6} {'requests/s':>11} {'':>16}{heads}"]
    for row in data["rows"]:
        line = f"{'sealed' if row['sealed'] else 'plain':>6} {row['rate']:>11.0f} "
        line += f"{row['peer']:>16}"
        line += "".join(f"{value:>9.0f} us" for value in row["microseconds"].values())
        lines.append(line)
    return "\n".join(lines)


class OpenLoop:
    """Sends a job's messages at its rate on several connections in turn, and times echoes."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._rate: float = job.extra.pop("rate")
        self._pending = [deque[tuple[float, bytes]]() for _ in range(job.connections)]
        self._latencies: list[float] = []
        self._missing = job.warm_up + job.count
        self._done = asyncio.Event()

    def answered(self, place: int, message: bytes) -> None:
        """Take in an echo that came on the connection at ``place``."""
        due, expected = self._pending[place].popleft()
        self._latencies.append(time.perf_counter() - due)
        if message != expected:
            raise RuntimeError("the echo is another message")
        self._missing -= 1
        if not self._missing:
            self._done.set()

    async def run(self, sends: Sequence[Send]) -> None:
        """Send on each connection in turn, until all is answered."""
        job, pending, rate, now = self._job, self._pending, self._rate, time.perf_counter
        payloads, different = job.payloads, len(job.payloads)
        start = now()
        for number in range(job.warm_up + job.count):
            due = start + number / rate
            while now() < due:  # noqa: ASYNC110
                # Timers are too coarse: this turns with the event loop instead.
                await asyncio.sleep(0)
            place, message = number % len(sends), payloads[number % different]
            pending[place].append((due, message))
            await sends[place](message)
        await self._done.wait()
        # Nearly in order, which is enough to leave out the warm-up.
        timed = sorted(self._latencies[job.warm_up :])
        job.extra["percentiles"] = [
            timed[int(len(timed) * percentile / 100)] * 1e6 for percentile in PERCENTILES
        ]
