"""What the tests of distributions share: copies of the project, and commands."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]

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
