"""Runs the fuzz targets for a while, two at a time, and says what they found.

Usage: python -m fuzzing [--seconds N] [--target NAME]... [--corpus FOLDER]

An input that breaks an invariant is kept in ``finds/<target>/``, where the ordinary tests
run it again ever after. Exit status 1 says that there was one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from .targets import TARGETS, finds, inputs

_SUMMARY = "Run the fuzz targets for a while, two at a time, and say what they found."
_MAX_INPUT = 2048
_GRACE = 60.0
"""Seconds that a target may take longer than it was told, before it counts as stuck."""


def fuzz(target: str, *, seconds: int, corpus: Path) -> bool:
    """Fuzz one target in a process of its own; return whether nothing was found."""
    folder = corpus / target
    folder.mkdir(parents=True, exist_ok=True)
    for place, data in enumerate(inputs(target).values()):
        (folder / f"kept-{place:05}").write_bytes(data)
    finds(target).mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "fuzzing.worker", target),
        f"-max_total_time={seconds}",
        f"-max_len={_MAX_INPUT}",
        "-timeout=20",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
        f"-artifact_prefix={finds(target)}/",
        str(folder),
    ]
    try:
        ended = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds + _GRACE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        print(f"{target}: stuck, {_GRACE:.0f} s over its time", flush=True)
        return False
    lines = ended.stdout.splitlines()
    runs = [line.split()[-1] for line in lines if "number_of_executed_units" in line]
    if ended.returncode == 0 and runs and int(runs[0]) > 0:
        print(f"{target}: {runs[0]} runs, nothing found", flush=True)
        return True
    print(*lines[-60:], f"{target}: failed with status {ended.returncode}", sep="\n", flush=True)
    return False


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m fuzzing", description=_SUMMARY)
    parser.add_argument("--seconds", type=int, default=10, help="for each target (10)")
    parser.add_argument("--target", action="append", choices=TARGETS, help="only this one")
    parser.add_argument("--corpus", type=Path, help="a folder that is read, and added to")
    arguments = parser.parse_args()
    if find_spec("atheris") is None:
        print("nothing was fuzzed: atheris is not installed, and has wheels for few machines")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        corpus = arguments.corpus or Path(scratch)
        run = partial(fuzz, seconds=arguments.seconds, corpus=corpus)
        # Each is one busy process; a third would only take time from the other two.
        with ThreadPoolExecutor(2) as pool:
            clean = list(pool.map(run, arguments.target or TARGETS))
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main())
