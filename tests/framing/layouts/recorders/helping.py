"""For the recorders: programs that run until the block ends, and what Debian calls its versions."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def running(
    *command: str, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that says nothing; it is stopped at the end, whatever happens."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, env=env)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def debian(name: str, shown: str = "") -> str:
    """Return the version of a package of Debian, as ``by`` of a stream.

    :param shown: what it is called, if not as its package is
    """
    told = subprocess.run(["dpkg", "-s", name], capture_output=True, text=True, check=True).stdout
    found = re.search(r"^Version: (?:\d+:)?(\d[\d.]*\d)", told, re.MULTILINE)
    assert found
    return f"{shown or name} {found[1]} (Debian)"
