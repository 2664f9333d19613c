"""Programs that are killed, and programs that fork."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def run(script: str, *arguments: object) -> str:
    """Run a program of this folder, and return what it prints."""
    # Python 3.12 and newer warn of any fork beside threads.
    command = [sys.executable, "-W", "ignore::DeprecationWarning"]
    path = Path(__file__).with_name(script)
    done = subprocess.run(
        [*command, path, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_was_accepted_survives_a_hundred_kills(path: Path) -> None:
    """It arrives in order and once; of what was not accepted, some may."""
    accepted, arrived = map(int, run("killing.py", path, 100, 15).split())
    assert 100 < accepted <= arrived


def test_children_leave_the_outbox_alone(path: Path) -> None:
    assert run("forking.py", path, 12) == "done\n"
