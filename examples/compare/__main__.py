"""Run all programs, or some, and write what they found.

    python -m compare [--write] [PEER ...]

Without ``--write`` the table is printed. Each program runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import cast

from .page import PAGE, render, replaced
from .promises import PEERS, programs_of
from .results import RESULTS, Results, load, versions

TIMEOUT = 120
"""Seconds that one program may take."""


def measure(peer: str, program: str) -> dict[str, bool | int | str]:
    """Run one program; return what it found."""
    command = [sys.executable, "-m", "compare.one", peer, program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    fact: dict[str, bool | int | str] = json.loads(done.stdout)
    if program == "scanner":
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        fact |= {"lines": len(lines), "named": any("HTTP" in line for line in lines)}
    return fact


def main() -> None:
    parser = argparse.ArgumentParser(prog="compare", description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the results and mend the page")
    parser.add_argument("--only", help="one program")
    parser.add_argument("peers", nargs="*", metavar="PEER", help=", ".join(PEERS))
    options = parser.parse_args()
    peers = options.peers or list(PEERS)
    facts = load()["facts"] if RESULTS.exists() else {}
    for peer in peers:
        for program in [options.only] if options.only else programs_of(peer):
            fact = measure(peer, program)
            facts.setdefault(peer, {})[program] = fact
            print(f"{peer} {program}: {fact}", file=sys.stderr, flush=True)
    results = cast("Results", {"versions": versions(), "facts": facts})
    if options.write:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        if set(facts) == set(PEERS):
            PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    elif set(facts) == set(PEERS):
        print(render(results))


if __name__ == "__main__":
    main()
