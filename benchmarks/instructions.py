"""What a session costs a message, in instructions: counted by callgrind, not timed.

The time of a message scatters by more than the few percent that a session may cost; the
instructions that both processes execute for it hardly do, whatever else the machine does. A sender
and a receiver are those of the benchmarks, without and with a session in turns. Each is counted for
two numbers of messages, and the difference is divided: what a start and an end cost drops out.

The kernel's instructions are not counted, so the system calls are told too. Needs valgrind, its
headers and a C compiler. One round of all takes some three minutes of CPU time.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeAlias

from suite.job import Job, Meter
from suite.peers import sealframe_

SOURCE: Final = Path(__file__).with_suffix(".c")
WAYS: Final = ("extended", "sealed")
LOOPS: Final = ("uvloop", "asyncio")
SIDES: Final = ("server", "client")
_WARM_UP: Final = 2000
"""Messages before those that are counted."""
_SLOWER: Final = 50
"""How much slower a program runs under callgrind, about. A timer of the library waits as much
longer: else it would fire more often than it does, for each message."""

Counts: TypeAlias = dict[tuple[int, bool], list[dict[str, tuple[int, int]]]]
"""Instructions and system calls of each side, round after round, by messages and session."""


@dataclass
class Counter(Meter):
    """Counts what this process executes, in place of its time."""

    name: str = ""

    def start(self) -> None:
        """Begin to count."""
        _callgrind().begin()

    def stop(self) -> None:
        """Write what was counted into a file of callgrind."""
        _callgrind().end(self.name.encode())


def main() -> None:
    """Measure, or be one side of it."""
    arguments = parse()
    if arguments.side:
        run_side(arguments.side, arguments.jobs)
        return
    order = [(count, session) for count in arguments.messages for session in (False, True)]
    for way in arguments.ways:
        for loop in arguments.loops:
            job = Job("one_way", "sealframe_", way=way, loop=loop, size=arguments.size)
            counts = measure(job, arguments.rounds * order, arguments.keep)
            print(f"{way}, {loop}: instructions and system calls for a message")
            show(counts, *arguments.messages)


def parse() -> argparse.Namespace:
    """Return the arguments."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("--loops", nargs="+", default=LOOPS, choices=LOOPS)
    parser.add_argument("--size", type=int, default=128, help="bytes of a message")
    parser.add_argument("--messages", type=int, nargs=2, default=(30_000, 120_000))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="a directory for callgrind's files")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--jobs", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args()


def run_side(side: str, jobs: list[dict[str, Any]]) -> None:
    """Run one side of each job in turn, in this process; a client reads the ports from stdin."""
    from sealframe.aio import acknowledger

    vars(acknowledger)["ACK_DELAY"] *= _SLOWER
    for number, told in enumerate(jobs):
        job = Job(**told, meter=Counter(name=str(number)))
        if side == "client":
            job.port = json.loads(sys.stdin.readline())["port"]
        getattr(sealframe_, f"one_way_{side}")(job)


def _callgrind() -> ctypes.CDLL:
    return ctypes.CDLL(os.environ["CALLGRIND_REQUESTS"])


def measure(job: Job, order: list[tuple[int, bool]], keep: Path | None) -> Counts:
    """Return what is counted of a job, with these numbers of messages, without or with a session.

    :param keep: where callgrind's files stay
    """
    # What is imported and compiled at its first use belongs to none of them.
    order = [(_WARM_UP, False), (_WARM_UP, True), *order]
    jobs = [
        json.loads(replace(job, warm_up=_WARM_UP, count=count, session=session).to_json())
        for count, session in order
    ]
    counts: Counts = defaultdict(list)
    with tempfile.TemporaryDirectory() as directory:
        place = keep / f"{job.way}-{job.loop}" if keep else Path(directory)
        place.mkdir(parents=True, exist_ok=True)
        library = Path(directory, "requests.so")
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
        _run_both(json.dumps(jobs), place, library)
        for number, what in enumerate(order[2:], 2):
            counts[what].append({side: _counted(place, side, number) for side in SIDES})
    return counts


def _run_both(jobs: str, place: Path, library: Path) -> None:
    environment = os.environ | {"PYTHONHASHSEED": "0", "CALLGRIND_REQUESTS": str(library)}
    processes: list[subprocess.Popen[bytes]] = []
    for side in SIDES:
        for old in place.glob(f"{side}*"):
            old.unlink()
        processes.append(
            subprocess.Popen(
                [
                    *("valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no"),
                    *("--collect-systime=yes", f"--callgrind-out-file={place / side}"),
                    *(sys.executable, __file__, "--side", side, "--jobs", jobs),
                ],
                env=environment,
                stdin=processes[0].stdout if processes else None,
                stdout=subprocess.DEVNULL if processes else subprocess.PIPE,
            )
        )
    try:
        # A client whose server has failed reads the end of its ports.
        for process in reversed(processes):
            if process.wait():
                raise SystemExit("a side has failed")
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _counted(place: Path, side: str, number: int) -> tuple[int, int]:
    for path in place.glob(f"{side}.*"):
        text = path.read_text()
        if f"\ndesc: Trigger: Client Request: {number}\n" in text:
            found = re.search(r"^(?:summary|totals): (\d+) (\d+)", text, re.MULTILINE)
            assert found is not None
            return int(found[1]), int(found[2])
    raise SystemExit(f"callgrind has counted nothing of job {number} at the {side}")


def show(counts: Counts, few: int, many: int) -> None:
    """Print medians of the rounds, and in brackets the lowest and the highest."""
    for sides in (("server",), ("client",), SIDES):
        each: dict[bool, list[float]] = {}
        calls: dict[bool, float] = {}
        for session in (False, True):
            rounds = zip(counts[few, session], counts[many, session], strict=True)
            found = [
                [sum(b[side][n] - a[side][n] for side in sides) / (many - few) for n in (0, 1)]
                for a, b in rounds
            ]
            each[session] = [instructions for instructions, _ in found]
            calls[session] = median(called for _, called in found)
        ratio = median(each[True]) / median(each[False])
        print(
            f"{' and '.join(sides):>17}  without {_spread(each[False])}  with {_spread(each[True])}"
            f"  {ratio:.3f} times; {calls[False]:.4f} and {calls[True]:.4f} calls",
            flush=True,
        )


def _spread(values: list[float]) -> str:
    return f"{median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


if __name__ == "__main__":
    main()
