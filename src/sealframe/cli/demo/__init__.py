"""``sealframe demo``: a sealed server and four clients, live."""

from __future__ import annotations

import asyncio
import logging

import click

import sealframe

from ..errors import EXIT_CODES, log_text
from ..logs import log_to
from ..output import Output
from ..running import event_loop, run
from .room import Room
from .story import Story
from .view import View


@click.command(epilog=EXIT_CODES)
def demo() -> None:
    """Watch a sealed server and four clients on this machine, for some seconds.

    They exchange text, many small messages and a file, and one of them is cut off and
    comes back. Needs no configuration, and exits with 1 if anything was lost or
    changed on the way.
    """
    run(_demo())


async def _demo() -> None:
    _, loop_name = event_loop()
    title = f"sealframe {sealframe.__version__} · sealed · codec: {sealframe.IMPLEMENTATION}"
    view = View(Output(asyncio.current_task()), f"{title} · {loop_name}")
    log_to(_Events(view))
    await Story(view, Room(), loop_name).tell()


class _Events(logging.Handler):
    """Shows what the library logs among the other events."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self._view = view

    def emit(self, record: logging.LogRecord) -> None:
        self._view.event("server", log_text(record))
