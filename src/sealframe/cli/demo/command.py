"""The demo as one of the commands."""

from __future__ import annotations

import asyncio

import click

import sealframe

from ..errors import EXIT_CODES
from ..output import Output
from ..running import event_loop, run
from . import perform
from .links import links
from .live_view import LiveView
from .view import View


@click.command(epilog=EXIT_CODES)
def demo() -> None:
    """Watch a server and four clients on this machine, for some seconds.

    They are sealed, with cryptography. They exchange text, many small messages and a file, and
    one of them is cut off and comes back. Needs no configuration, and exits with 1 if anything
    was lost or changed on the way.
    """
    run(_demo())


async def _demo() -> None:
    _, loop_name = event_loop()
    protected = links()
    output = Output(asyncio.current_task())
    if not output.terminal:
        await perform(View(output), protected, loop_name)
        return
    about = f"sealframe {sealframe.__version__} · {protected.name}"
    title = f"{about} · codec: {sealframe.IMPLEMENTATION} · {loop_name}"
    await perform(LiveView(output, title), protected, loop_name)
