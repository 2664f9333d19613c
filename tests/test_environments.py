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


def test_what_is_named_is_there(tox: ConfigParser) -> None:
    """What has another name by now would run again, and nobody would see why it takes so long."""
    text = (PROJECT / "tox.ini").read_text("utf-8")
    named = re.findall(r"^    (?:--(?:ignore|deselect)=)?(tests/\S+)$", text, re.MULTILINE)
    assert len(named) > 100
    for one in named:
        path, _, name = one.partition("::")
        assert (PROJECT / path).exists(), one
        name = name.rpartition("::")[2]
        text = "" if not name else (PROJECT / path).read_text("utf-8")
        assert not name or f" {name}(" in text or f"class {name}:" in text, one


@pytest.mark.parametrize(
    ("backend", "pythons", "repeated"),
    [
        ("ext", [12, 13, 14, 15], "{[testenv]repeated_with_extension}"),
        ("pure", [11, 12, 13, 14, 15], "{[testenv]repeated}"),
    ],
)
def test_the_pythons_share_what_is_repeated_and_leave_out_none(
    tox: ConfigParser, backend: str, pythons: list[int], repeated: str
) -> None:
    line = rf"^py3(\d+)-{backend}: pytest --part=(\S+) .*\{{posargs:(.*)\}}$"
    found = re.findall(line, tox["testenv"]["commands"], re.MULTILINE)
    parts = len(pythons)
    assert found == [
        (str(python), f"{number}/{parts}", repeated) for number, python in enumerate(pythons, 1)
    ]


def test_what_is_built_upon_connections_runs_once_in_pure_python(tox: ConfigParser) -> None:
    command = 'py313-pure: pytest --numprocesses=auto -k "not uvloop" {posargs:{[testenv]in_pure}}'
    assert command in tox["testenv"]["commands"].splitlines()
    # With all parameters: of its folders none is one of which a part is run.
    assert not {*tox["testenv"]["in_pure"].split()} & {*tox["testenv"]["repeated"].split()}


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
