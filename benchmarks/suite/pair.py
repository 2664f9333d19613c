"""Runs both sides of one measurement, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import IO, Any, TypeAlias

from .job import Job
from .links.emulator import FAR, Link
from .tls import make_certificate, take_group

Side: TypeAlias = dict[str, Any]
"""What one side reports: wall, cpu, checksum and more."""

BENCHMARKS = Path(__file__).parent.parent
MEMORY = Path("/dev/shm")
"""A file system in memory, where there is one."""


class FailedError(Exception):
    """A measurement came to nothing; the message has what the processes said."""


def run_pair(
    job: Job,
    *,
    pure: bool = False,
    source: Path | None = None,
    checked: bool = True,
    limit: float = 60,
    link: Link | None = None,
) -> tuple[Side, Side]:
    """Run one measurement and return what server and client report.

    :param pure: whether sealframe is to run without its extension
    :param source: a folder that has another sealframe than the one imported here
    :param checked: whether the side that receives has made a checksum
    :param limit: seconds after which the processes are killed
    :param link: what the client is at the near end of, and the server at the far one
    :raises FailedError: one of them failed, or messages got lost or changed
    """
    environment = dict(os.environ)
    environment.pop("SEALFRAME_NO_EXTENSIONS", None)
    if pure:
        environment["SEALFRAME_NO_EXTENSIONS"] = "1"
    if source is not None:
        before = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([str(source), *([before] if before else [])])
    # What is measured of a file is not a disk.
    memory = str(MEMORY) if job.workload == "file" and MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        if job.sealed:
            make_certificate(directory, job.certificate)
        if job.group:
            environment["OPENSSL_CONF"] = str(take_group(directory, job.group))
        job = replace(job, directory=directory, host=FAR if link else job.host)
        with Path(directory, "errors").open("w+") as errors:
            try:
                server, client = _run(job, environment, errors, limit, link)
            except (OSError, ValueError) as error:
                errors.seek(0)
                raise FailedError(f"{error}\n{errors.read()}".strip()) from None
    if checked:
        _compare(job, server, client)
    return server, client


def _run(
    job: Job,
    environment: dict[str, str],
    errors: IO[str],
    limit: float,
    link: Link | None,
) -> tuple[Side, Side]:
    processes: list[subprocess.Popen[str]] = []
    timed_out = threading.Event()

    def start(side: str, job: Job) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "suite.child", side, job.to_json()]
        if link is not None:
            command = link.command(link.far if side == "server" else link.near, command)
        process = subprocess.Popen(
            command,
            cwd=BENCHMARKS,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        processes.append(process)
        return process

    def time_out() -> None:
        timed_out.set()
        for process in processes:
            process.kill()

    timer = threading.Timer(limit, time_out)
    timer.start()
    try:
        server = start("server", job)
        assert server.stdout is not None
        port = json.loads(server.stdout.readline())["port"]
        client = start("client", replace(job, port=port))
        theirs = _result(client)
        return _result(server), theirs
    except ValueError:
        reason = f"not done after {limit:.0f} s" if timed_out.is_set() else "a side has failed"
        raise ValueError(reason) from None
    finally:
        timer.cancel()
        for process in processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _result(process: subprocess.Popen[str]) -> Side:
    output, _ = process.communicate()
    if process.returncode:
        raise ValueError
    result: Side = json.loads(output)
    return result


def _compare(job: Job, server: Side, client: Side) -> None:
    if job.workload == "one_way":
        found, count = server["checksum"], job.warm_up + job.count
    elif job.workload in ("round_trip", "request"):
        found, count = client["checksum"], (job.warm_up + job.count) // job.connections
    elif job.workload == "broadcast":
        found, count = client["checksum"], job.warm_up + job.count
    else:
        return
    if found != _expected(job.size, job.thorough, count):
        raise FailedError(f"messages were lost or changed: their checksum is {found}")


@cache
def _expected(size: int, thorough: bool, count: int) -> int:
    return Job("", "", size=size, thorough=thorough).expected(count)
