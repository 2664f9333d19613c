"""Reads what tox reported, names what was skipped and fails if too little ran.

Usage: check_environments.py REPORT.json

The report is what tox writes with ``--result-json``. At least three versions of
Python must have run the tests, each with the extension and in pure Python, and
those that run all of them, not only the core of tox.ini, must be among them.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

MINIMUM = 3
IN_FULL = {"ext": "11", "pure": "13"}
MATRIX = re.compile(r"py3(\d+)-(ext|pure)")
COUNT = re.compile(r"(\d+) (passed|failed|error|skipped)")


def closing_line(environment: dict[str, Any]) -> str | None:
    """Return pytest's last line of a run that succeeded, ``None`` if there is none."""
    for command in environment.get("test", []):
        lines = command["output"].splitlines()
        if command["retcode"] == 0 and lines and " passed" in lines[-1]:
            return str(lines[-1])
    return None


def main(report: str) -> int:
    environments = json.loads(Path(report).read_text(encoding="utf-8"))["testenvs"]
    ran: dict[str, set[str]] = {"ext": set(), "pure": set()}
    totals = {"passed": 0, "failed": 0, "error": 0, "skipped": 0}
    for name, environment in sorted(environments.items()):
        line = closing_line(environment)
        if line is not None:
            for number, kind in COUNT.findall(line):
                totals[kind] += int(number)
        if match := MATRIX.fullmatch(name):
            version, implementation = match.groups()
            if line is None:
                print(f"{name}: not run")
            else:
                ran[implementation].add(version)
    both = ran["ext"] & ran["pure"]
    versions = ", ".join(f"3.{version}" for version in sorted(both, key=int)) or "none"
    print(f"Pythons that ran the tests with the extension and without: {versions}")
    failed = totals["failed"] + totals["error"]
    print(f"{totals['passed']} passed, {failed} failed, {totals['skipped']} skipped")
    if len(both) < MINIMUM:
        print(f"at least {MINIMUM} are needed; are the others on PATH?", file=sys.stderr)
        return 1
    for implementation, version in IN_FULL.items():
        if version not in ran[implementation]:
            print(f"py3{version}-{implementation} is needed, for all tests", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
