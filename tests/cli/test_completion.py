"""The shells complete commands and options, with the scripts that are shipped."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from sealframe.cli.commands import sealframe_command

from .commands import PATIENCE

ROOT = Path(__file__).parents[2]
SHARE = ROOT / "share"
LOCK = ROOT / ".ci" / "requirements" / "test.txt"
SCRIPTS = {
    "bash": SHARE / "bash-completion" / "completions" / "sealframe",
    "zsh": SHARE / "zsh" / "site-functions" / "_sealframe",
    "fish": SHARE / "fish" / "vendor_completions.d" / "sealframe.fish",
}
SET_UP = {
    "bash": f"source {SCRIPTS['bash']}",
    "zsh": f"fpath=({SCRIPTS['zsh'].parent} $fpath); autoload -U compinit; compinit -u -D",
}
PLAIN = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}


def needs(shell: str) -> None:
    """Skip where a shell is missing."""
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not here")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which sealframe is the command of this interpreter."""
    command = tmp_path / "bin" / "sealframe"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sealframe "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    home = {"HOME": str(tmp_path), "TERM": "dumb", "PS1": "$ "}
    return {**os.environ, **home, "PATH": path}


@pytest.mark.parametrize("shell", SCRIPTS)
def test_what_is_shipped_is_what_the_command_prints(shell: str) -> None:
    needs("bash")  # click looks which bash it is
    locked = re.search(r"^click==(\S+)", LOCK.read_text("utf-8"), re.MULTILINE)
    assert locked is not None
    printed = CliRunner().invoke(sealframe_command, ["completion", shell])
    assert printed.exit_code == 0
    shipped = SCRIPTS[shell].read_text()
    if version("click") == locked[1]:
        assert shipped == printed.stdout, f"run: sealframe completion {shell}"
    # Each release of click words its scripts in its own way; how they ask the program is the same.
    asking = f"_SEALFRAME_COMPLETE={shell}_complete"
    assert asking in shipped
    assert asking in printed.stdout


def typed(shell: str, environment: dict[str, str], line: str, completed: str) -> str:
    """Type a line and Tab into a shell; return what it shows, at the latest when that is there."""
    import pty  # Not on Windows.

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        PLAIN[shell],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    shown = ""
    try:
        # In one piece: the terminal keeps it until the shell reads it.
        typing = ((f"{SET_UP[shell]}; echo re''ady\n", "ready"), (f"{line}\t", completed))
        for text, until in typing:
            os.write(ours, text.encode())
            deadline = time.monotonic() + PATIENCE
            while until not in shown and time.monotonic() < deadline:
                if select.select([ours], [], [], 0.5)[0]:
                    shown += os.read(ours, 4096).decode(errors="replace")
        return shown
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of POSIX")
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_tab_completes(shell: str, environment: dict[str, str]) -> None:
    needs(shell)
    completed = "serve --metrics"
    assert completed in typed(shell, environment, "sealframe serve --metr", completed)


def test_fish_completes(environment: dict[str, str]) -> None:
    needs("fish")
    asked = f'source {SCRIPTS["fish"]}; complete --do-complete "sealframe serve --metr"'
    done = subprocess.run(
        ["fish", "--no-config", "-c", asked],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # Behind it is its help.
    (offered,) = done.stdout.splitlines()
    assert (done.returncode, offered.split()[0], done.stderr) == (0, "--metrics", "")
