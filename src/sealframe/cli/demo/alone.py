"""The demo where the other commands cannot run, for want of click or rich."""

from __future__ import annotations

import asyncio
import sys
from typing import NoReturn

from ..ending import ended, show_all_characters
from ..lines import Lines
from ..running import event_loop, run
from . import perform
from .links import links
from .view import View


def run_alone() -> NoReturn:
    """Run it, print an error as one line, and exit."""
    show_all_characters()
    sys.exit(ended(lambda: run(_demo())))


async def _demo() -> None:
    _, loop_name = event_loop()
    await perform(View(Lines(asyncio.current_task())), links(), loop_name)
