"""Runs a program, and kills it when standard input ends. Started as a script of its own.

Standard input is a pipe that nobody writes to. When the process at its other end is gone, the
kernel closes it, also after ``kill -9``: on Linux, macOS and Windows alike, and when the process is
gone, not the thread that started this one, which is what ``PR_SET_PDEATHSIG`` tells of.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from types import FrameType


def keep(command: list[str]) -> int:
    """Run a program to its end, or until standard input ends or SIGTERM comes.

    :return: its exit code, which is negative after a signal
    """
    program: subprocess.Popen[bytes] | None = None
    ended = False

    # Set before there is a program: SIGTERM that came between would end this process alone.
    def end(_number: int, _frame: FrameType | None) -> None:
        nonlocal ended
        ended = True
        if program is not None:
            program.kill()

    signal.signal(signal.SIGTERM, end)
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    if ended:
        program.kill()

    def end_with_input() -> None:
        while os.read(0, 1):
            pass
        program.kill()

    threading.Thread(target=end_with_input, daemon=True).start()
    return program.wait()


if __name__ == "__main__":
    sys.exit(abs(keep(sys.argv[1:])))
