"""Environments share the sets of parameters of a test, and none leaves out a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from parameter_sets import part, tried

NAMES = ["a.py::alone", *(f"a.py::test[{number}]" for number in range(12)), "b.py::test[x]"]


def test_all_parts_are_all() -> None:
    found = [tried(NAMES, number, 5) for number in range(1, 6)]
    assert set().union(*found) == set(NAMES)
    assert [len(one) for one in found] == [2 + 3, 2 + 3, 2 + 2, 2 + 2, 2 + 2]


def test_of_two_sets_each_part_runs_one() -> None:
    names = ["a.py::test[x]", "a.py::test[y]"]
    assert tried(names, 4, 5) == {"a.py::test[y]"}
    assert tried(names, 5, 5) == {"a.py::test[x]"}


def test_under_each_event_loop_there_is_one() -> None:
    names = ["a.py::test[asyncio-x]", "a.py::test[uvloop-x]", "a.py::test[asyncio-y]"]
    assert tried(names, 1, 5) == set(names[:2])


@pytest.mark.parametrize("text", ["0/5", "6/5", "1", "1/0", "a/b", "-1/5"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a part is written as 2/5"):
        part(text)


def collected(*options: str) -> str:
    """Return what pytest says that it would run of a test with six sets of parameters."""
    test = f"{Path(__file__).name}::test_what_is_no_part_is_refused"
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", *options, test]
    found = subprocess.run(
        command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return found.stdout + found.stderr


def test_pytest_runs_that_part() -> None:
    assert "6 tests collected" in collected()
    assert "2/6 tests collected (4 deselected)" in collected("--part=1/5")


def test_it_is_a_part_of_what_k_leaves() -> None:
    assert "1/6 tests collected (5 deselected)" in collected("--part=1/2", "-k", "6/5 or 1/0")


def test_pytest_refuses_what_is_no_part() -> None:
    assert "a part is written as 2/5, the second of five, not '6/5'" in collected("--part=6/5")
