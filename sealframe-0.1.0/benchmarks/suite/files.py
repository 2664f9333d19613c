"""The file of the ``file`` workload: made, received and compared, none of which is timed."""

from __future__ import annotations

import filecmp
import random
from pathlib import Path
from typing import Final

from .job import Job

_MIB: Final = 1 << 20
_NAME: Final = "file"


def make_file(job: Job) -> Path:
    """Make a file of ``count`` MiB; return its path."""
    path = Path(job.directory, _NAME)
    block = bytearray(random.Random(job.count).randbytes(_MIB))
    with path.open("wb") as file:
        for number in range(job.count):
            # No two are the same.
            block[:8] = number.to_bytes(8, "little")
            file.write(block)
    return path


def received(job: Job) -> Path:
    """Return the folder for what is received, which is there then."""
    folder = Path(job.directory, "received")
    folder.mkdir(exist_ok=True)
    return folder


def check_file(job: Job) -> None:
    """Compare what was received with what was sent, and delete both.

    :raises RuntimeError: they differ
    """
    sent, came = Path(job.directory, _NAME), received(job) / _NAME
    if not filecmp.cmp(sent, came, shallow=False):
        raise RuntimeError("the file was changed on its way")
    sent.unlink()
    came.unlink()
