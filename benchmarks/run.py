"""Measures sealframe side by side with what one would use instead of it."""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from suite.against import Build, NoSuchCommitError, built
from suite.machine import describe_machine, describe_python
from suite.pair import FailedError
from suite.results import KNOWN, Entry, entry, entry_of, merge, show, show_comparison
from suite.rounds import Comparison, competitors, measure_row, missing_peers, try_row
from suite.rows import ALONE, FILE_SIZE, OURS, PEERS, ROWS, Row
from suite.sources import sources_of

import sealframe

NAMES = [peer.name for peer in [*OURS, *PEERS]]


def main() -> int:
    """Measure what is wanted; return 1 if something failed."""
    arguments = parse()
    rows = [with_size(row, arguments.mib) for row in ROWS if wanted(row, arguments)]
    alone = [name for name in ALONE if not arguments.sizes and begins(name, arguments)]
    if arguments.list:
        for row in rows:
            print(f"{row.id:28}{row.title}")
        for name in alone:
            print(name)
        return 0
    print(describe_machine() | describe_python())
    if sealframe.IMPLEMENTATION != "c":
        print("sealframe is installed without its extension: both its lines are pure Python")
    missing = missing_peers([p for p in [*OURS, *PEERS] if p.name in arguments.peers])
    for name, reason in missing.items():
        print(f"{name} is left out: {reason}")
    with ExitStack() as stack:
        try:
            against = [stack.enter_context(built(commit)) for commit in arguments.against]
        except NoSuchCommitError as error:
            print(error)
            return 2
        return measure(arguments, rows, alone, against, missing)


def measure(
    arguments: argparse.Namespace,
    rows: list[Row],
    alone: list[str],
    against: list[Build],
    missing: dict[str, str],
) -> int:
    """Measure the rows; return 1 if something failed."""
    names = [name for name in arguments.peers if name not in missing]
    if arguments.smoke:
        return try_all(arguments, rows, names, against)
    started = time.monotonic()
    compared: list[tuple[str, str, Comparison]] = []
    failed = False

    def keep(found: Entry) -> None:
        if arguments.json:
            merge(arguments.json, [found])

    for loop in arguments.loops:
        print(f"\nevent loop: {loop}")
        for row in rows:
            taking_part, left_out = competitors(row, names, against)
            outcome = measure_row(
                row,
                taking_part,
                loop=loop,
                rounds=arguments.rounds,
                seconds=arguments.seconds,
            )
            print(show(outcome), flush=True)
            for title, reason in left_out.items():
                print(f"  {title} is left out: {reason}")
            compared += [(loop, row.title, comparison) for comparison in outcome.comparisons]
            failed = failed or bool(outcome.failed)
            keep(entry_of(outcome, loop))
        for name in alone:
            module = importlib.import_module(f"suite.{name}")
            print(f"\n{(module.__doc__ or name).splitlines()[0]} [{name}]")
            try:
                data = module.measure(
                    seconds=arguments.seconds,
                    rounds=arguments.rounds,
                    loop=loop,
                    quick=not arguments.long,
                )
            except (FailedError, OSError, subprocess.SubprocessError) as error:
                print(f"  FAILED: {error}")
                failed = True
                continue
            print(module.show(data), flush=True)
            keep(entry(name, loop, data=data))
    print(f"\nall targets, after {(time.monotonic() - started) / 60:.0f} minutes")
    for loop, title, comparison in compared:
        print(f"  {loop}, {title}: {show_comparison(comparison)}")
    return 1 if failed else 0


def try_all(
    arguments: argparse.Namespace, rows: list[Row], names: list[str], against: list[Build]
) -> int:
    """Try every row once; return 1 if something failed."""
    failed = False
    for loop in arguments.loops:
        for row in rows:
            taking_part, _ = competitors(row, names, against)
            failures = try_row(row, taking_part, loop=loop)
            print(f"{row.id}: {', '.join(one.title for one in taking_part)}", flush=True)
            for title, error in failures.items():
                print(f"  {title} FAILED: {error}")
                failed = True
    return 1 if failed else 0


def wanted(row: Row, arguments: argparse.Namespace) -> bool:
    """Return whether a row is asked for."""
    return begins(row.id, arguments) and (not arguments.sizes or row.size in arguments.sizes)


def begins(name: str, arguments: argparse.Namespace) -> bool:
    """Return whether a name begins with one of those asked for, and is stale if that is asked."""
    prefixes = arguments.rows
    if prefixes and not any(name.startswith(prefix) for prefix in prefixes):
        return False
    return not arguments.stale or name in stale(arguments.json)


def stale(path: Path) -> set[str]:
    """Return the rows that are not in a file, or of other sources than those here."""
    found = json.loads(path.read_text())["rows"] if path.exists() else []
    fresh = {row["row"] for row in found if row.get("sources") == sources_of(row["row"])}
    return KNOWN - fresh


def with_size(row: Row, mib: int) -> Row:
    """Return the row with a file of another size, if it is about one."""
    if row.workload != "file":
        return row
    return replace(row, fixed=(0, mib), title=f"a file of {mib:,} MiB in memory, {row.way}")


def parse() -> argparse.Namespace:
    """Return the arguments."""

    def words(text: str) -> list[str]:
        return text.split(",")

    def numbers(text: str) -> list[int]:
        return [int(word) for word in words(text)]

    def peers(text: str) -> list[str]:
        for name in words(text):
            if name not in NAMES:
                raise argparse.ArgumentTypeError(f"no peer {name}; there are {', '.join(NAMES)}")
        return words(text)

    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--rows", type=words, default=[], help="those whose ids begin so, such as one_way,idle")
    add("--sizes", type=numbers, default=[], help="those with messages of so many bytes")
    add("--peers", type=peers, default=NAMES, help=f"of {','.join(NAMES)}")
    add("--loops", type=words, default=["uvloop"], help="uvloop, asyncio or uvloop,asyncio")
    add("--rounds", type=int, default=5, help="of everyone in turn (default: 5)")
    add("--seconds", type=float, default=0.6, help="of each measurement (default: 0.6)")
    add(
        "--against",
        type=words,
        default=[],
        metavar="COMMIT",
        help="of this repository, built and measured in turn with what is here; or several",
    )
    add("--json", type=Path, help="a file to write, or to add to")
    add("--stale", action="store_true", help="only what --json lacks, or has of other sources")
    add("--mib", type=int, default=FILE_SIZE, help=f"of a file (default: {FILE_SIZE})")
    add("--smoke", action="store_true", help="try every row once, and measure nothing")
    add("--long", action="store_true", help="let the row `growth` grow further")
    add("--list", action="store_true", help="name the rows and end")
    arguments = parser.parse_args()
    if arguments.stale and not arguments.json:
        parser.error("--stale needs --json")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
