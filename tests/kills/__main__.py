"""Kills a client with an outbox and a server with positions, and says what came of it.

Usage: python -m kills [--seed N] [--runs N] [--kills N] [--mode MODE]

Between the two is a proxy that cuts their connections. Exit status 1 says that a reading was lost,
doubled, out of order or made up, or that a program ended by itself. The same seed kills after the
same times and cuts at the same bytes; what the programs do until then is not repeated.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from .run import Run, Scenario


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m kills", description="Kill both programs of a session, again and again."
    )
    parser.add_argument("--seed", type=int, default=1, help="of the first run (1)")
    parser.add_argument("--runs", type=int, default=1, help="each with the next seed (1)")
    parser.add_argument("--kills", type=int, default=50, help="in a run, half of each (50)")
    parser.add_argument("--mode", choices=["extended", "sealed"], action="append", help="(both)")
    arguments = parser.parse_args()
    clean = True
    for seed in range(arguments.seed, arguments.seed + arguments.runs):
        for mode in arguments.mode or ["extended", "sealed"]:
            with tempfile.TemporaryDirectory() as directory:
                scenario = Scenario(seed, arguments.kills, mode)
                figures = asyncio.run(Run(scenario, Path(directory)).run())
            print(f"{mode}, {figures}", flush=True)
            clean = clean and figures.clean
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
