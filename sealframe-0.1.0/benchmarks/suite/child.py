"""One side of one measurement, in a process of its own; see :mod:`suite.pair`."""

from __future__ import annotations

import argparse
import importlib
import json

from .job import Job


def main() -> None:
    """Run one side and print what it measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=["server", "client"])
    parser.add_argument("job", type=json.loads)
    arguments = parser.parse_args()
    job = Job(**arguments.job)
    peer = importlib.import_module(f"suite.peers.{job.peer}")
    if job.sealframe:
        check_origin(job)
    getattr(peer, f"{job.workload}_{arguments.side}")(job)
    job.report()


def check_origin(job: Job) -> None:
    """End unless the sealframe that was imported is the one that is to be measured."""
    import sealframe

    found = sealframe.__file__, sealframe.IMPLEMENTATION
    if found != (job.sealframe, job.implementation):
        wanted = job.sealframe, job.implementation
        raise SystemExit(f"this process has the wrong sealframe: {found}, not {wanted}")


if __name__ == "__main__":
    main()
