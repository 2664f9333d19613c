"""The figures in the documents are those that were measured, and the suite still runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"


def run(*arguments: str | Path) -> str:
    """Run a script of the benchmarks; return what it printed."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, timeout=100, check=True, encoding="utf-8"
    )
    return done.stdout


def test_the_documents_are_made_from_the_results(tmp_path: Path) -> None:
    made = {"--readme": "README.md", "--page": "docs/BENCHMARKS.md", "--svg": "docs/benchmarks.svg"}
    arguments: list[str | Path] = []
    for option, name in made.items():
        copy = tmp_path / Path(name).name
        copy.write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
        arguments += [option, copy]
    run("benchmarks/report.py", RESULTS, *arguments)
    for name in made.values():
        copy = tmp_path / Path(name).name
        expected = (ROOT / name).read_text(encoding="utf-8")
        assert copy.read_text(encoding="utf-8") == expected, (
            f"{name} does not show benchmarks/results.json; CONTRIBUTING.md says how to make it"
        )


def test_the_results_name_no_machine() -> None:
    """Neither a host nor a path: only what the figures depend on."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert set(results["machine"]) == {"cpu", "cores", "architecture", "system"}
    assert '"/' not in RESULTS.read_text(encoding="utf-8")


@pytest.mark.parametrize("row", ["one_way-128", "round_trip-1", "connect"])
def test_the_suite_measures_and_checks(row: str, tmp_path: Path) -> None:
    """The smallest run there is, both backends and both ends sealed where the row is."""
    found = tmp_path / "results.json"
    options = ["--peers", "sealframe,streams", "--rounds", "1", "--seconds", "0.002"]
    text = run("benchmarks/run.py", "--rows", row, "--loops", "asyncio", "--json", found, *options)
    assert "FAILED" not in text
    rows = json.loads(found.read_text(encoding="utf-8"))["rows"]
    assert rows
    for measured in rows:
        assert not measured["failed"]
        names = [result["competitor"] for result in measured["results"]]
        sealed = ", sealed" if measured["sealed"] else ""
        assert f"sealframe{sealed}" in names
        assert f"sealframe{sealed}, pure Python" in names
