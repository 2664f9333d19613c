"""The table of mutations is about the source as it is, and the check itself can say no."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mutations.check import (
    PACKAGE,
    PROJECT,
    TABLE,
    Bench,
    Mutation,
    MutationError,
    load,
    try_to_apply,
)

pytest.importorskip("cryptography", reason="cryptography is not installed")

SURVIVOR = """
[[mutation]]
name = "survivor"
file = "aio/stats.py"
old = "from __future__"
new = "from  __future__"
tests = ["tests/aio/test_stats.py"]
"""

mutations = load(TABLE)

CIPHER = "noise/cipher.py"


@pytest.mark.parametrize("mutation", mutations, ids=[mutation.name for mutation in mutations])
def test_each_mutation_can_be_applied_and_names_tests_that_exist(
    mutation: Mutation, tmp_path: Path
) -> None:
    assert try_to_apply(mutation, tmp_path) == ""
    for test in mutation.tests:
        path, _, name = test.partition("[")[0].partition("::")
        assert (PROJECT / path).exists(), test
        name = name.rpartition("::")[2]  # without the class
        assert not name or f"def {name}(" in (PROJECT / path).read_text(encoding="utf-8"), test


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("no such text", "other", "in noise/cipher.py 0 times, not once"),
        ("", "other", "in noise/cipher.py 0 times, not once"),
        ("self.next_nonce", "other", "times, not once"),
        ("def _claim(self)", "def _claim(self)", "the same"),
        ("def _claim(self)", "def _claim(self", "not Python"),
    ],
)
def test_a_mutation_that_cannot_be_applied_is_told(
    old: str, new: str, complaint: str, tmp_path: Path
) -> None:
    mutation = Mutation("one", CIPHER, old, new)
    assert complaint in try_to_apply(mutation, tmp_path)
    assert "one: " in try_to_apply(mutation, tmp_path)
    assert "No such file" in try_to_apply(Mutation("one", "no.py", old, new), tmp_path)


def suite(folder: Path, body: str) -> str:
    """Write a test file and return its path."""
    path = folder / "test_suite.py"
    path.write_text(
        f"from sealframe import version\nfrom sealframe.noise import cipher\n\n\n{body}"
    )
    shutil.copy(PROJECT / "pyproject.toml", folder)
    return str(path)


GOOD = "def test_one():\n    assert cipher.TAG_SIZE == 16\n"


def test_what_a_test_notices_is_caught_and_else_it_survives(tmp_path: Path) -> None:
    tests = (suite(tmp_path, GOOD),)
    with Bench(tmp_path / "bench") as bench:
        bench.check_green(tests)
        noticed = bench.run(Mutation("a", CIPHER, "_SIZE: Final = 16", "_SIZE: Final = 15", tests))
        unseen = bench.run(Mutation("b", CIPHER, "_SIZE: Final = 12", "_SIZE: Final = 13", tests))
    assert noticed.caught
    assert noticed.detail.endswith("test_suite.py::test_one")
    assert not unseen.caught
    assert "TAG_SIZE: Final = 16" in (PACKAGE / "noise" / "cipher.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("body", "new"),
    [
        (GOOD, "_SIZE: Final = sixteen"),
        (GOOD.replace("cipher.TAG_SIZE == 16", "nothing_of_this_name"), "_SIZE: Final = 15"),
        ("import nothing_of_this_name\n", "_SIZE: Final = 15"),
    ],
    ids=["mutation does not run", "test does not run", "test not collected"],
)
def test_red_for_another_reason_does_not_count(body: str, new: str, tmp_path: Path) -> None:
    tests = (suite(tmp_path, body),)
    with Bench(tmp_path / "bench") as bench, pytest.raises(MutationError):
        bench.run(Mutation("one", CIPHER, "_SIZE: Final = 16", new, tests))


def test_red_without_a_mutation_is_told(tmp_path: Path) -> None:
    with Bench(tmp_path / "bench") as bench, pytest.raises(MutationError, match="not green"):
        bench.check_green((suite(tmp_path, GOOD.replace("16", "15")),))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TABLE.with_name("check.py")), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_further_mutations_come_from_the_command_line_or_a_file(tmp_path: Path) -> None:
    table = tmp_path / "more.toml"
    table.write_text(SURVIVOR)
    result = run("--table", str(table))
    assert result.returncode == 1, result.stdout + result.stderr
    assert "SURVIVED" in result.stdout
    assert "0 of 1 mutations caught" in result.stdout
    assert result.stdout.endswith("\nnot caught: survivor\n")
    # A log of warnings would hide it.
    assert result.stderr == ""
    given = ["--file", "aio/stats.py", "--old", "from __future__", "--new", "raise", "--test"]
    result = run(*given, "tests/aio/test_stats.py")
    assert result.returncode == 2
    assert "not Python" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["no-such-mutation"], "no mutation named no-such-mutation"),
        (["--file", "aio/stats.py"], "go together"),
        (["--table", "no-such-file"], "no table of mutations"),
    ],
)
def test_what_cannot_be_run_is_told(arguments: list[str], complaint: str) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert complaint in result.stderr
