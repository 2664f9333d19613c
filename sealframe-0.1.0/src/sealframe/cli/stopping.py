"""Ctrl-C and SIGTERM for a command that has something to finish."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable

from .errors import Exit

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
