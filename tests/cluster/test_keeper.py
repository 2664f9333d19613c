"""What the keeper runs ends with it, however early it is told to."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sealframe.cluster import keeper

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM does not end it there")

SCRIPT = 'echo $$ > "$0"; kill -TERM $PPID; exec sleep 60'


def is_running(process: int) -> bool:
    """Return whether there is such a process; nobody waits for it but init."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_program_ends_though_the_keeper_is_told_as_it_begins(tmp_path: Path) -> None:
    for number in range(10):
        file = tmp_path / str(number)
        command = [sys.executable, "-I", keeper.__file__, "sh", "-c", SCRIPT, str(file)]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            process.wait(30)
        program, until = int(file.read_text()), time.monotonic() + 10
        while is_running(program) and time.monotonic() < until:
            time.sleep(0.01)
        assert not is_running(program)
