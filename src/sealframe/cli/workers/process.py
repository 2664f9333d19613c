"""One worker, as its parent has it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from typing import Final, Self

from .job import READY, STOP, Job

_COMMAND: Final = (sys.executable, "-P", "-m", __package__)


class WorkerProcess:
    """A process that works, or has worked.

    :ivar id: of the process
    :ivar started: when, by ``time.monotonic``
    :ivar listening: whether it has said that it listens
    """

    def __init__(
        self, job: Job, process: asyncio.subprocess.Process, channel: socket.socket
    ) -> None:
        self.job = job
        self.id = process.pid
        self.started = time.monotonic()
        self.listening = False
        self._process = process
        self._channel = channel

    @classmethod
    async def start(cls, job: Job) -> Self:
        """Start it.

        :raises OSError: there are too many processes, or too little memory
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *_COMMAND,
                    stdin=theirs.fileno(),
                    # Ctrl-C on a terminal is for the parent alone: it stops them in order.
                    start_new_session=True,
                    # The same modules as here, whatever the current directory is.
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )
            ours.setblocking(False)
            # A worker that dies before it has read it is seen by its end.
            with contextlib.suppress(ConnectionError):
                await asyncio.get_running_loop().sock_sendall(ours, job.encode())
        except BaseException:
            # One that has come about ends with it.
            ours.close()
            raise
        return cls(job, process, ours)

    def __str__(self) -> str:
        return f"worker {self.job.number} (process {self.id})"

    async def listens(self) -> bool:
        """Wait until it listens; False if it has ended before."""
        with contextlib.suppress(ConnectionError):
            said = await asyncio.get_running_loop().sock_recv(self._channel, 1)
            self.listening = said == READY
        return self.listening

    async def ended(self) -> int:
        """Wait for its end.

        :return: its exit code, or the number of the signal, negative
        """
        code = await self._process.wait()
        self._channel.close()
        return code

    def stop(self) -> None:
        """Tell it to stop in order; one that serves nobody yet ends at once."""
        if not self.listening:
            self.kill()
        with contextlib.suppress(OSError):
            self._channel.send(STOP)

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()


def how_ended(code: int) -> str:
    """Return what an exit code says."""
    if code < 0:
        return f"was ended by signal {-code} ({signal.strsignal(-code)})"
    return f"ended with status {code}"
