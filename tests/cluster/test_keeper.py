"""What the keeper runs ends with it, however early it is told to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sealframe.cluster import keeper

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM does not end it there")

SCRIPT = 'echo $$ > "$0"; kill -TERM $PPID; exec sleep 60'


def test_a_program_ends_though_the_keeper_is_told_as_it_begins(tmp_path: Path) -> None:
    for number in range(10):
        file = tmp_path / str(number)
        command = [sys.executable, "-I", keeper.__file__, "sh", "-c", SCRIPT, str(file)]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            process.wait(30)
        # The keeper has waited for it.
        with pytest.raises(ProcessLookupError):
            os.kill(int(file.read_text()), 0)
