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


def test_what_is_left_out_is_there(tox: ConfigParser) -> None:
    """What has another name by now would run again, and nobody would see why it takes so long."""
    options = re.findall(r"--(?:ignore|deselect)=(\S+)", (PROJECT / "tox.ini").read_text("utf-8"))
    assert len(options) > 100
    for option in options:
        path, _, name = option.partition("::")
        assert (PROJECT / path).exists(), option
        name = name.rpartition("::")[2]
        text = "" if not name else (PROJECT / path).read_text("utf-8")
        assert not name or f" {name}(" in text or f"class {name}:" in text, option


def test_what_py313_pure_leaves_to_the_extensions_environment_is_run_by_it(
    tox: ConfigParser,
) -> None:
    commands = tox["testenv"]["commands"]
    assert re.search(r"py313-ext: .*\{\[testenv\]core_and_backends\}", commands)
    ran = tox["testenv"]["core_and_backends"].split()
    out = left_out(tox, "testenv", "core_and_backends")
    for one in left_out(tox, "testenv", "in_py313_ext"):
        assert any(one == folder or one.startswith(f"{folder}/") for folder in ran), one
        assert one not in out


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
