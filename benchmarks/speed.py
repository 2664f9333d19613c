"""Fails if sealframe needs much more CPU time than at the commit that baseline.txt names.

Both are measured in turn, with the same number of messages, and what counts is the CPU time of
both ends for each message, the least of several rounds: another program that runs meanwhile takes
wall time from both, and adds CPU time to some rounds only. A row below the limit is measured
again, for longer, and fails if it is below it once more.

Where the history does not have that commit (a copy without one, a shallow clone) nothing is
measured, which the last line says.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from suite.against import Build, NoSuchCommitError, built, current
from suite.pair import FailedError
from suite.rounds import compare_cpu
from suite.rows import ROWS, SEALFRAME, Competitor

import sealframe

BASELINE: Final = Path(__file__).parent / "baseline.txt"
LIMIT: Final = 0.7
ROUNDS: Final = 4
AGAIN: Final = 16
"""Rounds of the second measurement."""
COUNTS: Final = {
    "one_way-128": 60_000,
    "one_way-128-sealed": 60_000,
    "one_way-4096-extended": 25_000,
    "one_way-4096-sealed": 20_000,
    "one_way-65536": 3_000,
    "one_way-65536-extended": 3_000,
    "one_way-65536-sealed": 2_500,
    "round_trip-1": 2_000,
    "round_trip-1-sealed": 1_500,
    "request-sealed": 1_000,
    "connect-sealed": 100,
}
"""How many messages each row has: a quarter of a second, or less."""


def main() -> int:
    """Compare; return 1 if a row is too slow."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", nargs="+", choices=COUNTS, default=list(COUNTS), metavar="ROW")
    parser.add_argument("--against", metavar="COMMIT", default=BASELINE.read_text().strip())
    arguments = parser.parse_args()
    if sealframe.IMPLEMENTATION != "c":
        print("sealframe is installed without its extensions, which are to be measured")
        return 1
    started = time.monotonic()
    try:
        with built(arguments.against) as baseline:
            slow = [name for name in arguments.rows if is_slow(name, baseline)]
    except NoSuchCommitError as error:
        print(f"skipped: {error}")
        return 0
    print(f"{len(arguments.rows)} rows in {time.monotonic() - started:.0f} s")
    if slow:
        print(
            f"Slower than at {arguments.against}, twice in a row: {', '.join(slow)}.\n"
            "CONTRIBUTING.md, Measure, says how to find out why."
        )
    return 1 if slow else 0


def is_slow(name: str, baseline: Build) -> bool:
    """Return whether a row is below the limit, and again."""
    (row,) = [row for row in ROWS if row.id == name]
    ours, theirs = (
        Competitor(SEALFRAME, row.sealed, build=build) for build in (current(), baseline)
    )
    loop = "uvloop" if find_spec("uvloop") else "asyncio"
    for rounds in (ROUNDS, AGAIN):
        try:
            ratio = compare_cpu(row, ours, theirs, COUNTS[name], loop=loop, rounds=rounds)
        except FailedError as error:
            print(f"{name:24} FAILED: {error}")
            return True
        below = ratio < LIMIT
        verdict = f" BELOW {LIMIT}" if below else ""
        print(f"{name:24} {ratio:5.2f} times as fast as {baseline.commit}{verdict}", flush=True)
        if not below:
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
