"""As much as a link takes: messages, a stream and a file, beside a plain TCP socket."""

from __future__ import annotations

from dataclasses import dataclass
from operator import truediv
from statistics import median
from typing import Any, Final

from ..job import Job, Way
from ..pair import FailedError, run_pair
from .emulator import Link, open_link

ROUND_TRIPS: Final = (0.05, 0.2)
"""Seconds."""
_MIB: Final = 1 << 20
_PIECE: Final = 65536
"""Bytes that the TCP socket is given at a time."""
_AIM_MESSAGES: Final = 0.95
_AIM_STREAMS: Final = 0.85
_LIMIT: Final = 120.0


@dataclass(frozen=True)
class Kind:
    """Something that is sent."""

    title: str
    workload: str
    size: int
    aim: float


KINDS: Final = (
    Kind("messages of 1 KiB", "bulk", 1024, _AIM_MESSAGES),
    Kind("messages of 64 KiB", "bulk", 65536, _AIM_MESSAGES),
    Kind("messages of 1 MiB", "bulk", _MIB, _AIM_MESSAGES),
    Kind("a stream", "stream", 65536, _AIM_STREAMS),
    Kind("a file", "file", _MIB, _AIM_STREAMS),
)
WAYS: Final[tuple[Way, ...]] = ("extended", "sealed")


def measure_bulk(
    rounds: int,
    loop: str,
    mib: int,
    *,
    round_trips: tuple[float, ...] = ROUND_TRIPS,
    ways: tuple[Way, ...] = WAYS,
    kinds: tuple[Kind, ...] = KINDS,
) -> list[dict[str, Any]]:
    """Return MiB a second of each kind and way, and of a TCP socket in the same rounds.

    The time is that from the open connection to the answer that all has come: a round trip is
    in it, and the start, in which TCP finds out what the link takes.

    :param mib: how much is sent each time
    :param round_trips: of the links, in seconds
    """
    tcp = Job("bulk", "link_socket", size=_PIECE, count=mib * _MIB // _PIECE)
    rows = []
    for round_trip in round_trips:
        with open_link(round_trip=round_trip) as link:
            theirs: list[float] = []
            ours: dict[tuple[Kind, Way], list[float]] = {}
            for _ in range(rounds):
                theirs.append(_rate(mib, tcp, link))
                for kind in kinds:
                    for way in ways:
                        rate = _rate(mib, _job(kind, way, loop, mib), link)
                        ours.setdefault((kind, way), []).append(rate)
            dropped = link.dropped()
        if dropped:
            raise FailedError(f"the link dropped {dropped} packets: this machine is too busy")
        rows += [
            {
                "title": kind.title,
                "way": way,
                "round_trip": round_trip,
                "sealframe": median(rates),
                "tcp": median(theirs),
                "ratio": median(rates) / median(theirs),
                "low": min(map(truediv, rates, theirs)),
                "high": max(map(truediv, rates, theirs)),
                "aim": kind.aim,
            }
            for (kind, way), rates in ours.items()
        ]
    return rows


def show_bulk(rows: list[dict[str, Any]]) -> list[str]:
    """Return the results as lines of text."""
    lines = [f"{'':32}{'sealframe':>12}{'TCP socket':>13}{'ratio':>8}{'aim':>20}"]
    for row in rows:
        name = f"{row['round_trip'] * 1e3:.0f} ms, {row['title']}, {row['way']}"
        line = f"{name:36}{row['sealframe']:6.1f}{row['tcp']:9.1f} MiB/s{row['ratio']:7.2f}"
        line += f" ({row['low']:.2f} to {row['high']:.2f}) at least {row['aim']:g}"
        lines.append(line + ": missed" * (row["ratio"] < row["aim"]))
    return lines


def _job(kind: Kind, way: Way, loop: str, mib: int) -> Job:
    count = mib * _MIB // kind.size
    return Job(kind.workload, "link_sealframe", way=way, loop=loop, size=kind.size, count=count)


def _rate(mib: int, job: Job, link: Link) -> float:
    _, client = run_pair(job, link=link, checked=False, limit=_LIMIT)
    rate: float = mib / client["wall"]
    return rate
