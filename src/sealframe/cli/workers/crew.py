"""The parent: starts workers, starts them anew, and stops them."""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Sequence
from typing import Final, NoReturn

from ..errors import CommandError, Exit, complain
from .job import Job
from .process import WorkerProcess, how_ended

AT_ONCE: Final = 5.0
"""Seconds within which the end of a worker is one at once. One that does not find NATS takes as
long, and is started again for ever: the others serve on."""
_HOPELESS: Final = (Exit.USAGE, Exit.KEY)
"""Exit codes of what no other start cures, however long this one took."""
TIMES: Final = 5
"""How often in a row a worker may end at once."""
_PAUSE: Final = 0.05
"""Seconds before a worker is started again; twice as long after each end at once."""
_PAUSE_WITHOUT_ROOM: Final = 1.0
"""Seconds before another try, where the system has no room for a process or its files."""
_OUTPUT: Final = 1
"""The descriptor that all of them print to."""
_BEYOND_GRACE: Final = 2.0
"""Seconds that workers have to stop, beside the grace of their clients: to leave the cluster."""


class Crew:
    """The workers of one relay.

    :param jobs: one for each
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._workers: list[WorkerProcess] = []

    async def start(self) -> None:
        """Start all of them; return when they listen.

        :raises CommandError: one has ended before; it has said why
        """
        # One alone, so that what is wrong for all of them is told once.
        for jobs in (self._jobs[:1], self._jobs[1:]):
            started = [await self._start(job) for job in jobs]
            for worker in started:
                if not await worker.listens():
                    code = await worker.ended()
                    raise _failure(f"{worker} {how_ended(code)} before it listened", code)

    @property
    def processes(self) -> list[int]:
        """Their numbers, as the system has them."""
        return [worker.id for worker in self._workers]

    async def keep(self) -> NoReturn:
        """Start each one anew that has ended, until this is cancelled.

        :raises CommandError: one of them ends at once again and again, or nobody reads what they
            print
        """
        keeping = [asyncio.create_task(self._keep(worker)) for worker in list(self._workers)]
        try:
            await asyncio.gather(*keeping)
            raise AssertionError
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)

    async def _keep(self, worker: WorkerProcess) -> NoReturn:
        times = 0
        while True:
            if not worker.listening:
                await worker.listens()
            code = await worker.ended()
            self._workers.remove(worker)
            if _nobody_reads():
                # Each one that says something ends by that, with its clients.
                raise _failure(f"{worker} {how_ended(code)}, nobody reads the output", code)
            at_once = time.monotonic() - worker.started < AT_ONCE or code in _HOPELESS
            times = times + 1 if at_once else 0
            if times == TIMES:
                often = f"the {TIMES}th time in a row that it ends at once"
                raise _failure(f"{worker} {how_ended(code)}, {often}", code)
            complain(f"{worker} {how_ended(code)}; it is started again")
            await asyncio.sleep(_PAUSE * 2**times)
            worker = await self._start_again(worker.job)

    async def _start_again(self, job: Job) -> WorkerProcess:
        while True:
            try:
                return await self._start(job)
            except OSError as error:
                # The others serve on.
                text = f"worker {job.number} cannot be started: {error.strerror or error}"
                complain(f"{text}; it is tried again")
                await asyncio.sleep(_PAUSE_WITHOUT_ROOM)

    async def _start(self, job: Job) -> WorkerProcess:
        worker = await WorkerProcess.start(job)
        self._workers.append(worker)
        return worker

    async def stop(self, grace: float) -> bool:
        """Stop all of them: each waits for its clients, and those that take too long are killed.

        :param grace: seconds that clients have
        :return: whether each has ended by itself, in order
        """
        for worker in self._workers:
            worker.stop()
        timeout = grace + _BEYOND_GRACE
        ends = {asyncio.create_task(worker.ended()): worker for worker in self._workers}
        in_order = True
        if ends:
            _, late = await asyncio.wait(ends, timeout=timeout)
            for end in late:
                complain(f"{ends[end]} did not stop within {timeout:g} s, and is killed")
                ends[end].kill()
            await asyncio.wait(ends)
        for end, worker in ends.items():
            code = end.result()
            if not worker.listening:
                continue
            if code != Exit.DONE and end not in late:
                complain(f"{worker} {how_ended(code)} while it was stopped")
            in_order = in_order and code == Exit.DONE
        self._workers.clear()
        return in_order

    def kill(self) -> None:
        """End all of them at once."""
        for worker in self._workers:
            worker.kill()


def _nobody_reads() -> bool:
    output = select.poll()
    output.register(_OUTPUT, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in output.poll(0))


def _failure(text: str, code: int) -> CommandError:
    return CommandError(
        f"{text}: all of them are stopped", Exit.KEY if code == Exit.KEY else Exit.FAILED
    )
