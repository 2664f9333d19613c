"""Reads what tox reported, names what was skipped and fails if too little ran.

Usage: check_environments.py [--alone] REPORT.json...

The reports are what tox writes with ``--result-json``. At least three versions of
Python must have run the tests, each with the extension and in pure Python, and
those that run all of them, not only the core of tox.ini, must be among them; so must
each environment that is there once for all Pythons. One of those may say in its last line that
it was ``skipped:``, and why, which is passed on.

With ``--alone`` one Python is all there was: it must have run the tests both ways, and
those other environments. Prints which ran, as ``TOX_SKIP_ENV`` takes it; what was skipped
is not among them, and is tried again.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

MINIMUM = 3
IN_FULL = {"ext": "11", "pure": "13"}
MATRIX = re.compile(r"py3(\d+)-(ext|pure)")
COUNT = re.compile(r"(\d+) (passed|failed|error|skipped)")
TOX = Path(__file__).parents[1] / "tox.ini"


def closing_lines(environment: dict[str, Any]) -> list[str]:
    """Return pytest's last line of each run that succeeded."""
    outputs = [
        command["output"].splitlines()
        for command in environment.get("test", [])
        if command["retcode"] == 0
    ]
    return [lines[-1] for lines in outputs if lines and " passed" in lines[-1]]


def succeeded(environment: dict[str, Any]) -> bool:
    """Return whether all commands of an environment ran, and none failed."""
    commands = environment.get("test", [])
    return (
        environment.get("result", {}).get("success", False)
        and bool(commands)
        and all(command["retcode"] == 0 for command in commands)
    )


def skipped(environment: dict[str, Any]) -> str:
    """Return why an environment did nothing, or nothing if it did something."""
    for command in environment.get("test", []):
        lines = command["output"].splitlines()
        if lines and lines[-1].startswith("skipped: "):
            return str(lines[-1])
    return ""


def once() -> set[str]:
    """Return the environments that are there once for all Pythons, by tox.ini."""
    tox = ConfigParser(interpolation=None)
    tox.read(TOX, encoding="utf-8")
    return {name for name in tox["tox"]["env_list"].split() if not name.startswith("py3")}


def check(reports: list[str], *, alone: bool) -> int:
    environments: dict[str, dict[str, Any]] = {}
    for report in reports:
        found = json.loads(Path(report).read_text(encoding="utf-8"))["testenvs"]
        # An environment that was skipped is named in a report, and that is all.
        environments |= {name: one for name, one in found.items() if one.get("test")}
    ran: dict[str, set[str]] = {"ext": set(), "pure": set()}
    totals = {"passed": 0, "failed": 0, "error": 0, "skipped": 0}
    complete = {name for name, environment in environments.items() if succeeded(environment)}
    reasons = {name: skipped(environments[name]) for name in complete & once()}
    for name, reason in sorted(reasons.items()):
        if reason:
            print(f"{name}: {reason}", file=sys.stderr)
    for name, environment in environments.items():
        closing = closing_lines(environment)
        for number, kind in COUNT.findall(" ".join(closing)):
            totals[kind] += int(number)
        if match := MATRIX.fullmatch(name):
            version, implementation = match.groups()
            if not closing:
                print(f"{name}: no tests ran", file=sys.stderr)
            else:
                ran[implementation].add(version)
    both = ran["ext"] & ran["pure"]
    versions = ", ".join(f"3.{version}" for version in sorted(both, key=int)) or "none"
    text = f"Pythons that ran the tests with the extension and without: {versions}"
    print(text, file=sys.stderr)
    if missing := once() - complete:
        print(f"not run: {', '.join(sorted(missing))}", file=sys.stderr)
        return 1
    if alone:
        done = sorted(name for name in complete if not reasons.get(name))
        print(f"(?:{'|'.join(done)})$")
        return 0 if both else 1
    failed = totals["failed"] + totals["error"]
    print(f"{totals['passed']} passed, {failed} failed, {totals['skipped']} skipped", flush=True)
    if len(both) < MINIMUM:
        print(f"at least {MINIMUM} are needed; are the others on PATH?", file=sys.stderr)
        return 1
    for implementation, version in IN_FULL.items():
        if version not in ran[implementation]:
            print(f"py3{version}-{implementation} is needed, for all tests", file=sys.stderr)
            return 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--alone", action="store_true", help="one Python is all there was")
    parser.add_argument("report", nargs="+", help="what tox wrote")
    arguments = parser.parse_args()
    return check(arguments.report, alone=arguments.alone)


if __name__ == "__main__":
    sys.exit(main())
