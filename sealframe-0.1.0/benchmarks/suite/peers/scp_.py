"""scp, to an sshd of its own. The time of its start and of its handshake is part of it."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Final

from ..files import check_file, make_file, received
from ..job import Job
from ..ssh import SshClient, Sshd

SEALED: Final = True

SSHD: Final = shutil.which("sshd") or shutil.which("/usr/sbin/sshd")
if SSHD is None or shutil.which("scp") is None:
    raise ImportError("there is no sshd here, or no scp")
_SETTLE: Final = 0.1
"""Seconds for sshd to wait for its children."""


def file_server(job: Job) -> None:
    """Run sshd until the client is done; its CPU time is that of all that it started."""
    assert SSHD is not None
    sshd, done = Sshd(Path(job.directory), SSHD), done_file(job)
    try:
        before = sshd.cpu()
        job.listening(sshd.port)
        while not done.exists():
            time.sleep(_SETTLE)
        time.sleep(_SETTLE)
        job.meter.cpu = sshd.cpu() - before
    finally:
        sshd.close()


def file_client(job: Job) -> None:
    """Send a file of ``count`` MiB."""
    source, target = make_file(job), received(job) / "file"
    try:
        taken = SshClient(Path(job.directory), job.port).scp(source, target)
        job.meter.wall, job.meter.cpu = taken.wall, taken.cpu
        check_file(job)
    finally:
        done_file(job).touch()


def done_file(job: Job) -> Path:
    """Return the file that is there once the client is done."""
    return Path(job.directory, "done")
