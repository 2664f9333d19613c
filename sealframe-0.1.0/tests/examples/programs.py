"""Runs the programs of examples/ as their readers do, and reads what they print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from documents import ROOT

EXAMPLES = ROOT / "examples"


class Program:
    """One that runs.

    :param process: with pipes for stdin and stdout
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.id = process.pid

    def line(self, pattern: str) -> re.Match[str]:
        """Return the next line of output that matches; those before it are skipped."""
        assert self._process.stdout is not None
        skipped = []
        for text in self._process.stdout:
            if found := re.fullmatch(pattern, text.rstrip("\n")):
                return found
            skipped.append(text)
        raise AssertionError(f"no line is {pattern!r} in {''.join(skipped)!r}")

    def rest(self) -> str:
        """End the input; return the rest of the output, once the program has ended in order."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        output = self._read_all()
        assert self._process.wait(timeout=30) == 0, output
        return output

    def type(self, line: str) -> None:
        """Give the program a line of input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def kill(self) -> str:
        """End the program by force; return the rest of its output."""
        self._process.kill()
        return self._read_all()

    def _read_all(self) -> str:
        # Not by communicate(), which does not see what was read ahead with a line.
        assert self._process.stdout is not None
        return self._process.stdout.read()


@contextmanager
def started(name: str, *arguments: object) -> Iterator[Program]:
    """Start an example, until the end of the block."""
    with subprocess.Popen(
        [sys.executable, "-X", "utf8", "-W", "error", str(EXAMPLES / name), *map(str, arguments)],
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    ) as process:
        # What waits for a line that never comes fails then, and says what came instead.
        guard = threading.Timer(40, process.kill)
        guard.start()
        try:
            yield Program(process)
        finally:
            guard.cancel()
            process.kill()


@contextmanager
def serving(name: str, *arguments: object, port: int = 0) -> Iterator[tuple[Program, int]]:
    """Start one that listens; yield it and its port.

    :param port: 0 for one that is free
    """
    with started(name, *arguments, "127.0.0.1", port) as server:
        yield server, int(server.line(r"listening on 127\.0\.0\.1:(\d+)")[1])
