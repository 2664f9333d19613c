"""A worker's process."""

from __future__ import annotations

from ..commands import run
from ..text import speak_as
from .worker import Worker

if __name__ == "__main__":
    worker = Worker.from_stdin()
    speak_as(f"[{worker.job.number}] ")
    run(worker.job.arguments, worker)
