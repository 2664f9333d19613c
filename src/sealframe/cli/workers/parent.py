"""Runs the parent of several workers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing

from ..address import TcpAddress
from ..announcing import announce
from ..cluster import nats_of_workers
from ..errors import Exit
from ..exporting import url
from ..notifying import READY, STOPPING, notify
from ..output import Output
from ..pages import Page, note_on
from ..relay import ALLOWED, JOINING, RelaySettings
from ..running import run
from ..stopping import say_closing, stop_signals, until_stopped
from .crew import Crew
from .job import Job, metrics_of
from .port import Reservation, check_platform


def run_workers(settings: RelaySettings, count: int, arguments: tuple[str, ...]) -> Exit:
    """Run a relay of several processes until it is told to stop.

    :param arguments: of ``sealframe``, for each of them
    :return: the exit code
    :raises CommandError: a worker does not start, or ends at once again and again
    """
    check_platform()
    assert isinstance(settings.address, TcpAddress)
    with closing(Reservation(settings.address)) as reservation:
        work = _run(settings, count, arguments, reservation)
        return run(work, terminated=Exit.DONE)


async def _run(
    settings: RelaySettings, count: int, arguments: tuple[str, ...], reservation: Reservation
) -> Exit:
    output = Output(asyncio.current_task())
    numbers = range(1, count + 1)
    where = [address for number in numbers if (address := metrics_of(number, settings.metrics))]
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(nats_of_workers(settings.nats, output))
        jobs = [Job(number, reservation.port, nats, arguments) for number in numbers]
        crew = Crew(jobs)
        stopped = stop_signals(crew.kill)
        in_order = True
        try:
            await until_stopped(stopped, crew.start())
            reservation.close()
            if not stopped.done():
                ids = ", ".join(map(str, crew.processes))
                output.line(f"workers 1 to {count} are the processes {ids}", "dim")
                announce(
                    reservation.addresses,
                    output,
                    settings.security,
                    settings.invitations,
                    what=f"relay of {count} processes",
                    joining=JOINING,
                    allowed=ALLOWED,
                    metrics=_figures(where),
                )
                notify(READY)
                await until_stopped(stopped, crew.keep())
        finally:
            notify(STOPPING)
            say_closing(output, settings.grace)
            in_order = await crew.stop(settings.grace)
        if in_order:
            output.line(f"all {count} processes have stopped in order", "dim")
        return stopped.result() if in_order else Exit.FAILED


def _figures(where: Sequence[TcpAddress]) -> Page | None:
    """Return where the workers serve their figures, if they do: at one host, each at a port."""
    if not where:
        return None
    urls = ", ".join(url(one.host, one.port) for one in where)
    return Page(urls, note_on(where[0].host))
