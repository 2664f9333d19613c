"""Runs a command's coroutine in an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .errors import Exit

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
_T = TypeVar("_T")


def run(work: Coroutine[Any, Any, _T], *, terminated: Exit = Exit.TERMINATED) -> _T:
    """Run to the end, or to Ctrl-C or SIGTERM, which cancel it and exit the process.

    :param terminated: the exit code after SIGTERM
    :return: what the work returns
    """
    try:
        factory, _ = event_loop()
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(_until_terminated(work, terminated))
    except asyncio.CancelledError:
        # Nobody reads what the command prints: see Output.
        sys.exit(Exit.FAILED)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    finally:
        # Ctrl-C may have come before it began.
        work.close()


def event_loop() -> tuple[LoopFactory | None, str]:
    """Return what makes an event loop, and its name: uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None, "asyncio"
    return uvloop.new_event_loop, "uvloop"


async def _until_terminated(work: Coroutine[Any, Any, _T], code: Exit) -> _T:
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    terminated = False

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        task.cancel()

    # Windows has no SIGTERM that could be handled.
    with contextlib.suppress(NotImplementedError):
        loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        return await task
    except asyncio.CancelledError:
        if terminated:
            sys.exit(code)
        raise
