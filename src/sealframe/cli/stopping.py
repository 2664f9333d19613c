"""Ctrl-C and SIGTERM for a command that has something to finish."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from .errors import Exit
from .output import Output

_CODES = {signal.SIGINT: Exit.INTERRUPTED, signal.SIGTERM: Exit.DONE}


def stop_signals(at_once: Callable[[], object]) -> asyncio.Future[Exit]:
    """Return what the first signal gives its exit code to; a second one ends the process.

    :param at_once: called before the process ends so
    """
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[Exit] = loop.create_future()

    def heed(code: Exit) -> None:
        if stopped.done():
            at_once()
            # No task, no thread and no client is waited for.
            os._exit(code)
        stopped.set_result(code)

    for number, code in _CODES.items():
        # Windows has no such handlers; there Ctrl-C cancels the command.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, heed, code)
    return stopped


async def until_stopped(stopped: asyncio.Future[Exit], work: Coroutine[Any, Any, object]) -> None:
    """Do some work; leave it when the command is to stop. What the work raises is raised."""
    task = asyncio.create_task(work)
    try:
        either: set[asyncio.Future[Any]] = {stopped, task}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def say_closing(output: Output, grace: float) -> None:
    """Say on a terminal that the command closes, and how to have it end at once.

    :param grace: seconds that it takes at most
    """
    if output.terminal:
        output.line(f"closing, {grace:g} s at most; Ctrl-C again ends it at once", "dim")
