"""Measures the competitors of a row in turn, so that all see the machine in the same state."""

from __future__ import annotations

import importlib
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from .against import Build, current
from .job import Job
from .pair import FailedError, Side, run_pair
from .rows import BEST, OURS, PEERS, Competitor, Figure, Peer, Row, Target
from .tls import lacks_hybrid

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

    def figures(self, name: Figure) -> list[float]:
        """Return a figure (see :data:`suite.rows.Figure`) of each round, or nothing."""
        if name not in _FIGURES_OF.get(self.job.workload, ("rate", "cpu")):
            return []
        return [_FIGURES[name](self.job, server, client) for server, client in self.rounds]


@dataclass
class Comparison:
    """How sealframe stands to a target."""

    target: Target
    ours: str
    theirs: str
    value: float
    """The ratio of the medians, or the median."""
    low: float
    """Of a round."""
    high: float

    @property
    def met(self) -> bool:
        """Whether the value is good enough."""
        return self.target.met_by(self.value)


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
        if peer.group and (lack := lacks_hybrid()):
            missing[peer.name] = lack
            continue
        try:
            importlib.import_module(f"suite.peers.{peer.module}")
        except ImportError as error:
            missing[peer.name] = str(error)
    return missing


def competitors(
    row: Row, names: list[str], against: Sequence[Build] = ()
) -> tuple[list[Competitor], dict[str, str]]:
    """Return who takes part in a row, and why which sealframe does not.

    :param names: of the peers that may
    :param against: other commits of sealframe
    """
    found: list[Competitor] = []
    left_out: dict[str, str] = {}
    with_pure = any(target.pure for target in row.targets)
    for peer in [*OURS, *PEERS]:
        if peer.name not in names or peer.name in row.without:
            continue
        module = importlib.import_module(f"suite.peers.{peer.module}")
        if row.sealed and not getattr(module, "SEALED", False):
            continue
        if row.connections > 1 and peer.one_connection:
            continue
        if peer.group and not (row.sealed and row.workload == "connect"):
            continue
        if not hasattr(module, f"{row.workload}_server"):
            continue
        one = Competitor(peer, row.sealed, row.batch and getattr(module, "BATCH", False))
        if peer not in OURS:
            # What sealframe alone can do is compared with sealframe.
            if row.way != "extended" or row.workload != "one_way":
                found.append(one)
            continue
        for build in (current(), *against):
            ours = replace(one, build=build)
            if missing := (row.needs | ({peer.needs} - {""})) - build.features:
                left_out[ours.title] = f"it has no {' and no '.join(sorted(missing))}"
                continue
            found.append(ours)
            if with_pure and peer.name == "sealframe" and not build.commit:
                found.append(replace(ours, pure=True))
    return found, left_out


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


def try_row(row: Row, taking_part: list[Competitor], *, loop: str) -> dict[str, str]:
    """Let everyone do a little of a row's work once; return who failed, and how.

    Every byte is checked, and nothing is timed.
    """
    row = replace(row, connections=min(row.connections, 4), step=min(row.step, 4))
    warm_up, count = min(row.fixed or (4, 40), (4, 40))
    failed: dict[str, str] = {}
    for competitor in taking_part:
        job = replace(_job(row, competitor, loop), warm_up=warm_up, count=count, thorough=True)
        try:
            _run(job, competitor)
        except FailedError as error:
            failed[competitor.title] = str(error)
    return failed


def compare_cpu(
    row: Row, ours: Competitor, theirs: Competitor, count: int, *, loop: str, rounds: int
) -> float:
    """Return how many times the CPU time of ours theirs takes for the same work.

    What counts is the least of the rounds. Whatever else happens on the machine only adds to CPU
    time, and of large messages, which the kernel copies, it makes three times as much: with the
    same code at both sides, medians of seven rounds differ by 1.4 in one comparison of thirty.

    :param count: how many messages; they do not depend on the speed
    :raises FailedError: one of them fails
    """
    both = [Measured(one, _with_count(_job(row, one, loop), row, count)) for one in (ours, theirs)]
    for number in range(rounds):
        # Each is the first as often as it is the second.
        for one in both if number % 2 else reversed(both):
            one.rounds.append(_run(one.job, one.competitor))
    mine, other = (min(one.figures("cpu")) for one in both)
    return other / mine


def _job(row: Row, competitor: Competitor, loop: str) -> Job:
    job = Job(
        row.workload,
        competitor.peer.module,
        way=row.way,
        loop=loop,
        size=row.size,
        connections=row.connections,
        batch=competitor.batch,
        group=competitor.peer.group,
        certificate=competitor.peer.certificate,
        mutual=competitor.peer.mutual,
    )
    if not competitor.build:
        return job
    implementation = "python" if competitor.pure else "c"
    return replace(job, sealframe=competitor.build.file, implementation=implementation)


def _calibrated(row: Row, competitor: Competitor, loop: str, seconds: float) -> Job:
    job = _job(row, competitor, loop)
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
    # A file is written and read back beside what is timed.
    return run_pair(
        job,
        pure=competitor.pure,
        source=competitor.source,
        checked=not competitor.peer.bound,
        limit=60 + job.count / 5 if job.workload == "file" else 120,
    )


def _timed(job: Job, server: Side, client: Side) -> Side:
    side = server if job.workload == "one_way" else client
    if not side["wall"]:
        raise FailedError("nothing was timed")
    return side


def _rate(job: Job, server: Side, client: Side) -> float:
    return _messages(job) / float(_timed(job, server, client)["wall"])


def _cpu(job: Job, server: Side, client: Side) -> float:
    # There the server's clock does not stop between the warm-up and the rest.
    throughout = job.workload in ("round_trip", "request", "connect")
    share = job.count / (job.warm_up + job.count) if throughout else 1
    return 1e6 * (float(server["cpu"]) * share + float(client["cpu"])) / _messages(job)


def _memory(job: Job, server: Side, client: Side) -> float:
    return float(server["bytes_per_connection"])


def _messages(job: Job) -> int:
    return job.count * job.connections if job.workload == "broadcast" else job.count


def _latency(job: Job, server: Side, client: Side) -> float:
    return float(client["p99"])


_FIGURES: Final[dict[Figure, Callable[[Job, Side, Side], float]]] = {
    "rate": _rate,
    "cpu": _cpu,
    "memory": _memory,
    "latency": _latency,
}
_FIGURES_OF: Final[dict[str, tuple[Figure, ...]]] = {"idle": ("memory",), "beside": ("latency",)}
"""Of the workloads that have other ones than ``rate`` and ``cpu``."""


def _compare(row: Row, measured: list[Measured]) -> list[Comparison]:
    ours = [one for one in measured if one.competitor.peer in OURS and not one.competitor.commit]
    others = [one for one in measured if one not in ours and not one.competitor.peer.bound]
    comparisons: list[Comparison] = []
    for target in row.targets:
        mine = _named(ours, target.ours, pure=target.pure)
        theirs = [one for one in others if not one.competitor.commit]
        if not target.theirs:
            comparisons += [_comparison(target, one, None) for one in mine]
        elif target.theirs == BEST:
            best = sorted(theirs, key=lambda one: -statistics.median(one.figures("rate")))[:1]
            comparisons += [_comparison(target, one, other) for one in mine for other in best]
        else:
            named = _named(theirs, target.theirs)
            comparisons += [_comparison(target, one, other) for one in mine for other in named]
    # With each other commit everything is compared, whether there is an aim or not.
    for other in others:
        commit = other.competitor.commit
        for one in ours if commit else ():
            if one.competitor.pure or one.competitor.peer != other.competitor.peer:
                continue
            figure = _FIGURES_OF.get(row.workload, ("rate",))[0]
            aims = [
                target
                for target in row.targets
                if target.theirs == commit and target.ours == one.competitor.peer.name
            ]
            target = aims[0] if aims else Target(None, commit, figure, at_most=figure != "rate")
            comparisons.append(_comparison(target, one, other))
    return comparisons


def _named(measured: list[Measured], name: str, *, pure: bool = False) -> list[Measured]:
    return [
        one for one in measured if one.competitor.peer.name == name and one.competitor.pure == pure
    ]


def _comparison(target: Target, ours: Measured, theirs: Measured | None) -> Comparison:
    values = ours.figures(target.figure)
    value, title = statistics.median(values), ""
    if theirs is not None:
        others, title = theirs.figures(target.figure), theirs.competitor.title
        value /= statistics.median(others)
        values = [mine / other for mine, other in zip(values, others, strict=True)]
    return Comparison(target, ours.competitor.title, title, value, min(values), max(values))


def summary(values: list[float]) -> dict[str, Any]:
    """Return the median of values and between what they lie."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}
