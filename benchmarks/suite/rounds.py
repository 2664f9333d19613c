"""Measures the competitors of a row in turn, so that all see the machine in the same state."""

from __future__ import annotations

import importlib
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from .job import Job
from .pair import FailedError, Side, run_pair
from .rows import BEST, PEERS, SEALFRAME, Competitor, Peer, Row, Target

_WARM_UP: Final = 0.1
"""Of what is timed."""
_LONG_ENOUGH: Final = 0.3
"""A run that takes this share of the wanted time says how many messages fill all of it."""


@dataclass
class Measured:
    """What one competitor did in one row."""

    competitor: Competitor
    job: Job
    rounds: list[tuple[Side, Side]] = field(default_factory=list)
    """What server and client reported."""

    def figures(self, name: str) -> list[float]:
        """Return a figure (see :data:`suite.rows.Figure`) of each round, or nothing."""
        if (self.job.workload == "idle") != (name == "memory"):
            return []
        return [_FIGURES[name](self.job, server, client) for server, client in self.rounds]


@dataclass
class Comparison:
    """How sealframe stands to a target."""

    target: Target
    ours: str
    theirs: str
    values: list[float]
    """Of each round."""

    @property
    def met(self) -> bool:
        """Whether the median is good enough."""
        return self.target.met_by(statistics.median(self.values))


@dataclass
class Outcome:
    """A row, measured."""

    row: Row
    measured: list[Measured]
    comparisons: list[Comparison]
    failed: dict[str, str]
    """Which competitors failed, and how."""


def missing_peers(peers: list[Peer]) -> dict[str, str]:
    """Return the names of the peers that are not installed, and what they lack."""
    missing: dict[str, str] = {}
    for peer in peers:
        try:
            importlib.import_module(f"suite.peers.{peer.module}")
        except ImportError as error:
            missing[peer.name] = str(error)
    return missing


def competitors(row: Row, names: list[str]) -> list[Competitor]:
    """Return who takes part in a row, of the peers with these names."""
    found: list[Competitor] = []
    for peer in [SEALFRAME, *PEERS]:
        if peer.name not in names:
            continue
        module = importlib.import_module(f"suite.peers.{peer.module}")
        if row.sealed and not getattr(module, "SEALED", False):
            continue
        if row.connections > 1 and peer.one_connection:
            continue
        if hasattr(module, f"{row.workload}_server"):
            batch = row.batch and getattr(module, "BATCH", False)
            found.append(Competitor(peer, row.sealed, batch))
    if found and found[0].peer is SEALFRAME:
        found.insert(1, replace(found[0], pure=True))
    return found


def measure_row(
    row: Row, taking_part: list[Competitor], *, loop: str, rounds: int, seconds: float
) -> Outcome:
    """Measure everyone, one round after the other; who fails is out."""
    measured: list[Measured] = []
    failed: dict[str, str] = {}
    for competitor in taking_part:
        try:
            measured.append(Measured(competitor, _calibrated(row, competitor, loop, seconds)))
        except FailedError as error:
            failed[competitor.title] = str(error)
    for _ in range(min(rounds, row.rounds or rounds)):
        for one in list(measured):
            try:
                one.rounds.append(_run(one.job, one.competitor))
            except FailedError as error:
                failed[one.competitor.title] = str(error)
                measured.remove(one)
    return Outcome(row, measured, _compare(row, measured), failed)


def _calibrated(row: Row, competitor: Competitor, loop: str, seconds: float) -> Job:
    job = Job(
        row.workload,
        competitor.peer.module,
        sealed=competitor.sealed,
        loop=loop,
        size=row.size,
        connections=row.connections,
        batch=competitor.batch,
    )
    if row.fixed:
        warm_up, count = row.fixed
        return replace(job, warm_up=warm_up, count=count)
    # Every byte is checked once, in a run that is not timed.
    job = _with_count(job, row, row.first)
    _run(replace(job, thorough=True), competitor)
    while True:
        server, client = _run(job, competitor)
        wall = _timed(job, server, client)["wall"]
        enough = wall >= seconds * _LONG_ENOUGH
        # What a short run says about a long one is vague.
        job = _with_count(job, row, job.count * min(seconds / wall, math.inf if enough else 20))
        if enough:
            return job


def _with_count(job: Job, row: Row, count: float) -> Job:
    def multiple(count: float) -> int:
        return max(1, round(count / row.step)) * row.step

    return replace(job, warm_up=multiple(count * _WARM_UP), count=multiple(count))


def _run(job: Job, competitor: Competitor) -> tuple[Side, Side]:
    return run_pair(job, pure=competitor.pure, checked=not competitor.peer.bound)


def _timed(job: Job, server: Side, client: Side) -> Side:
    side = server if job.workload == "one_way" else client
    if not side["wall"]:
        raise FailedError("nothing was timed")
    return side


def _rate(job: Job, server: Side, client: Side) -> float:
    return _messages(job) / float(_timed(job, server, client)["wall"])


def _cpu(job: Job, server: Side, client: Side) -> float:
    # There the server's clock does not stop between the warm-up and the rest.
    throughout = job.workload in ("round_trip", "connect")
    share = job.count / (job.warm_up + job.count) if throughout else 1
    return 1e6 * (float(server["cpu"]) * share + float(client["cpu"])) / _messages(job)


def _memory(job: Job, server: Side, client: Side) -> float:
    return float(server["bytes_per_connection"])


def _messages(job: Job) -> int:
    return job.count * job.connections if job.workload == "broadcast" else job.count


_FIGURES: Final[dict[str, Callable[[Job, Side, Side], float]]] = {
    "rate": _rate,
    "cpu": _cpu,
    "memory": _memory,
}


def _compare(row: Row, measured: list[Measured]) -> list[Comparison]:
    comparisons: list[Comparison] = []
    peers = [m for m in measured if m.competitor.peer != SEALFRAME and not m.competitor.peer.bound]
    for target in row.targets:
        ours = [
            m
            for m in measured
            if m.competitor.peer == SEALFRAME and m.competitor.pure == target.pure
        ]
        if target.theirs == BEST:
            theirs = sorted(peers, key=lambda m: -statistics.median(m.figures("rate")))[:1]
        else:
            theirs = [m for m in peers if m.competitor.peer.name == target.theirs]
        if not ours or (target.theirs and not theirs):
            continue
        values = ours[0].figures(target.figure)
        if target.theirs:
            others = theirs[0].figures(target.figure)
            values = [mine / other for mine, other in zip(values, others, strict=True)]
        title = theirs[0].competitor.title if target.theirs else ""
        comparisons.append(Comparison(target, ours[0].competitor.title, title, values))
    return comparisons


def summary(values: list[float]) -> dict[str, Any]:
    """Return the median of values and between what they lie."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}
