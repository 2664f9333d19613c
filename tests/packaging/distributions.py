"""What the tests of distributions share: copies of the project, and commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

NOT_SOURCES = (
    *(".git", ".tox", ".venv", ".hypothesis", ".*_cache", "__pycache__"),
    *("build", "dist", "sealframe-*", "*.egg-info"),
)
"""What a copy of the project does without. What compilers left is copied, but not to be packed."""

QUICKLY = {"CFLAGS": "-O0"}
"""Environment variables of a build whose extensions nobody runs."""


def copy_project(folder: Path) -> Path:
    """Return a copy to build from: in the project's own folder tox may be doing so meanwhile."""
    shutil.copytree(ROOT, folder, symlinks=True, ignore=shutil.ignore_patterns(*NOT_SOURCES))
    return folder


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command; its output, both streams in one, is in ``stdout``."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONPATH" and not name.startswith("SEALFRAME_")
    }
    return subprocess.run(
        [str(word) for word in command],
        env=clean | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )


def make_wheels(
    folder: Path, *, extras: Sequence[str] = ("cli", "crypto"), more: Sequence[str] = ()
) -> Path:
    """Make the wheels of sealframe, in pure Python, and of what its extras need; return the folder.

    :param more: further requirements
    """
    known = PROJECT["project"]["optional-dependencies"]
    needed = [each for name in extras for each in known[name] if "sealframe[" not in each]
    project = copy_project(folder.with_name(f"{folder.name}-project"))
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", folder)
    for what in ([*needed, *more], ["--no-deps", "--no-build-isolation", project]):
        done = run(*pip, *what, SEALFRAME_EXTENSION="no")
        assert done.returncode == 0, done.stdout
    return folder
