"""The figures in the documents are those that were measured, and the suite still runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from suite.job import Job
from suite.pair import FailedError, run_pair
from suite.sources import sources_of, without_words

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


def test_the_figures_are_of_these_sources() -> None:
    """A change of what a row exercises makes its figures old, until somebody measures again."""
    stale = run("benchmarks/run.py", "--stale", "--list", "--json", RESULTS)
    assert stale == "", (
        f"The figures in the documents are those of other sources than these:\n{stale}"
        "After the last change, on a quiet machine (all rows take some 25 minutes):\n"
        "  python benchmarks/run.py --stale --json benchmarks/results.json\n"
        "  python benchmarks/report.py benchmarks/results.json --readme README.md "
        "--page docs/BENCHMARKS.md --svg docs/benchmarks.svg"
    )


def test_words_do_not_make_figures_old() -> None:
    before = 'def f(x):\n    return "# no" + x\n'
    after = (
        "# A comment.\n\n"
        "def f(x):  # another\n"
        '    """Docstring: it\'s "# one" of two lines.\n\n    The other."""\n'
        '    return "# no" + x\n'
    )
    assert without_words(after) == without_words(before)
    assert without_words(before.replace("# no", "#no")) != without_words(before)
    assert without_words('TEXT = """\n# kept\n"""\n') == 'TEXT = """\n# kept\n"""'


def test_the_sources_of_every_row_are_there() -> None:
    """A package that was moved would leave a hash of nothing, which never changes."""
    hashes = {
        sources_of(row) for row in ["one_way-128", "connect-sealed", "file-sealed", "decoder"]
    }
    assert len(hashes) == 4
    assert sources_of("aes_gcm") not in hashes


def test_the_wrong_sealframe_is_not_measured() -> None:
    job = Job("one_way", "sealframe_", loop="asyncio", sealframe="/elsewhere/sealframe/__init__.py")
    with pytest.raises(FailedError, match="wrong sealframe"):
        run_pair(job, pure=True)


def test_without_a_history_the_speed_check_is_skipped(tmp_path: Path) -> None:
    """In a copy of the sources, as CI has one for its first run."""
    copy = tmp_path / "benchmarks"
    shutil.copytree(ROOT / "benchmarks", copy, ignore=shutil.ignore_patterns("__pycache__"))
    text = run(copy / "speed.py", "--against", "0" * 40)
    assert text.splitlines()[-1].startswith("skipped: ")


@pytest.mark.parametrize(
    "rows",
    ["one_way-128", "round_trip-1", "request,connect", "beside,broadcast", "idle,file"],
)
def test_every_row_moves_what_it_says(rows: str) -> None:
    """Each way to talk, both backends, every byte checked; nothing is timed."""
    options = ["--peers", "sealframe,callbacks", "--loops", "asyncio", "--mib", "1"]
    text = run("benchmarks/run.py", "--smoke", "--rows", rows, *options)
    assert "FAILED" not in text
    for row in rows.split(","):
        assert f"\n{row}" in text


def test_a_row_is_measured_and_kept(tmp_path: Path) -> None:
    """The smallest run there is, both backends, whose results are those that are stored."""
    found = tmp_path / "results.json"
    options = ["--peers", "sealframe,streams", "--rounds", "1", "--seconds", "0.002"]
    options += ["--rows", "round_trip-1-sealed", "--loops", "asyncio"]
    text = run("benchmarks/run.py", "--json", found, *options)
    assert "FAILED" not in text
    [row] = json.loads(found.read_text(encoding="utf-8"))["rows"]
    assert not row["failed"]
    assert row["sources"] == sources_of("round_trip-1-sealed")
    assert [result["competitor"] for result in row["results"]] == [
        "sealframe, sealed",
        "sealframe, sealed, pure Python",
        "asyncio streams, TLS",
    ]
    [comparison] = row["comparisons"]
    assert comparison["ours"] == "sealframe, sealed, pure Python"
