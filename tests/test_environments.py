"""What one environment of tox.ini leaves to another one runs there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tox() -> ConfigParser:
    parser = ConfigParser(interpolation=None)
    parser.read(PROJECT / "tox.ini", encoding="utf-8")
    return parser


def left_out(tox: ConfigParser, section: str, name: str) -> list[str]:
    """Return the files, folders and tests that an environment does not run."""
    return [line.partition("=")[2] for line in tox[section][name].split()]


def test_what_py311_ext_leaves_to_the_coverage_is_run_by_it(tox: ConfigParser) -> None:
    """With the same event loop: none of it would run under uvloop."""
    tests = left_out(tox, "testenv", "in_coverage")
    for one in tests:
        assert (PROJECT / one.partition("::")[0]).exists(), one
        for other in left_out(tox, "testenv:coverage", "but"):
            assert one != other, one
            assert not one.startswith((f"{other}/", f"{other}::")), one
            assert not other.startswith((f"{one}/", f"{one}::")), one
    # Nor may the coverage's -k leave any out: of its opposite there is nothing here.
    command = re.search(r'coverage run .* -k "(.*)"', tox["testenv:coverage"]["commands"])
    alone = re.search(r"SEALFRAME_UVLOOP_ALONE = (.*)", tox["testenv"]["set_env"])
    assert command is not None
    assert alone is not None
    found = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--collect-only",
            "-k",
            f"not ({command[1]})",
            *tests,
        ],
        cwd=PROJECT,
        env={**os.environ, "SEALFRAME_UVLOOP_ALONE": alone[1]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, found.stdout + found.stderr
    assert "deselected" in found.stdout
