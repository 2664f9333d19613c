"""Runs sessions through a proxy that cuts their connections, and says what came of it.

Usage: python -m soak [--seed N] [--runs N] [--cuts N] [--pairs N] [--mode MODE] [--loop LOOP]
                      [--acknowledge WHAT]

Exit status 1 says that something was lost, doubled, out of order or left over. The same seed cuts
the same connections at the same bytes; what the event loop does in between is not repeated.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from loops import FACTORIES

from .run import Figures, Run, Scenario


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m soak", description="Run sessions over connections that are cut."
    )
    parser.add_argument("--seed", type=int, default=1, help="of the first run (1)")
    parser.add_argument("--runs", type=int, default=1, help="each with the next seed (1)")
    parser.add_argument("--cuts", type=int, default=500, help="connections to cut in a run (500)")
    parser.add_argument("--mode", choices=["extended", "sealed"], action="append", help="(both)")
    parser.add_argument("--loop", choices=FACTORIES, action="append", help="(all that are there)")
    parser.add_argument("--pairs", type=int, default=4, help="clients at a time (4)")
    parser.add_argument(
        "--acknowledge", choices=["received", "taken"], default="received", help="(received)"
    )
    arguments = parser.parse_args()
    clean = True
    for seed in range(arguments.seed, arguments.seed + arguments.runs):
        for mode in arguments.mode or ["extended", "sealed"]:
            scenario = Scenario(
                seed,
                arguments.cuts,
                mode,
                arguments.pairs,
                acknowledge=arguments.acknowledge,
            )
            for loop in arguments.loop or FACTORIES:
                figures = run(scenario, loop)
                print(f"{mode}, {loop}, {figures}", flush=True)
                clean = clean and figures.clean
    return 0 if clean else 1


def run(scenario: Scenario, loop: str) -> Figures:
    """Run one, on an event loop of its own."""
    with (
        tempfile.TemporaryDirectory() as directory,
        asyncio.Runner(loop_factory=FACTORIES[loop]) as runner,
    ):
        return runner.run(Run(scenario, Path(directory)).run())


if __name__ == "__main__":
    sys.exit(main())
