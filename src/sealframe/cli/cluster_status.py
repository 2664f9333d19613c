"""``sealframe cluster status``: the servers of a cluster and how they are."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TextIO

import click
from rich import box
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .cluster_rates import Looks, Rates
from .cluster_watching import nobody
from .errors import EXIT_CODES, CommandError, Exit
from .logs import tell_errors_once
from .output import Output
from .running import run
from .stopping import stop_signals
from .tables import aligned
from .text import size, visible

if TYPE_CHECKING:
    from ..cluster.observer import Observer, SeenServer

_DEFAULT: Final = "nats://127.0.0.1:4222"
_EVERY: Final = 1.0
"""Seconds between two looks: rates are of that time."""
_HEADS: Final = ("server", "up", "clients", "sessions", "in/s", "in B/s", "out/s", "out B/s")
_HEADS_MORE: Final = ("queued", "RTT", "between/s", "lost", "answer", "state")
_STYLES: Final = {"here": "", "leaving": "yellow", "hangs": "bold red", "gone": "dim"}


@click.group(no_args_is_help=False)  # one line, as other wrong arguments are
def cluster() -> None:
    """Look at many servers that are one."""


@cluster.command(epilog=EXIT_CODES)
@click.argument("url", default=_DEFAULT, envvar="SEALFRAME_NATS")
@click.option(
    "--url-file",
    type=click.File(),
    help='A file that has the URL in it, in place of URL. What "serve --workers N" says.',
)
@click.option("--name", default="default", show_default=True, help="The name of the cluster.")
@click.option("--once", is_flag=True, help="Print the table once, and exit.")
def status(url: str, url_file: TextIO | None, name: str, once: bool) -> None:
    """Show the servers of a cluster, each second.

    URL is that of NATS, as in "serve --cluster URL"; what lets one in may stand in it. So that no
    list of processes shows that, it may be in the environment variable SEALFRAME_NATS instead.

    Of each server: how long it is up, its clients and sessions (those without a link in brackets),
    messages and bytes per second from and to its clients, bytes that wait for them, the longest
    round trip to one of them, messages per second from and to other servers, those that were lost,
    how long it took to answer, and whether it is here, leaving, hangs or is gone. A hyphen is not
    known.

    It is printed once where the output is no terminal; that takes two seconds. A server that hung
    before is not seen there.
    """
    tell_errors_once()
    if url_file is not None:
        url = url_file.read().strip()
    sys.exit(run(_status(url, name, once=once or not sys.stdout.isatty()), terminated=Exit.DONE))


async def _status(url: str, name: str, *, once: bool) -> Exit:
    from ..cluster.observer import Observer

    output = Output(asyncio.current_task())
    async with Observer(url, name=name) as observer:
        looks = Looks()
        servers = await _rows(observer, looks)
        if not servers:
            raise CommandError(nobody(observer, name))
        if once:
            await asyncio.sleep(_EVERY)
            for line in aligned([(*_HEADS, *_HEADS_MORE), *await _rows(observer, looks)]):
                output.line(line)
            return Exit.DONE
        stopped = stop_signals(lambda: output.console.show_cursor(True))
        with Live(console=output.console, auto_refresh=False, transient=True) as live:
            while not stopped.done():
                output.make_room()
                rows = await _rows(observer, looks)
                live.update(_table(rows, connected=observer.connected), refresh=True)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_EVERY):
                        await asyncio.shield(stopped)
        return stopped.result()


async def _rows(observer: Observer, looks: Looks) -> list[tuple[str, ...]]:
    """Look at a cluster; return a row of cells for each server."""
    servers = await observer.look()
    rates = looks.rates(servers)
    return [_row(server, rates[server.id]) for server in servers]


def _row(server: SeenServer, rates: Rates) -> tuple[str, ...]:
    status, figures = server.status, server.figures
    state = server.state.value
    if state == "hangs" or state == "gone":
        state = f"{state}, silent for {server.silent_for:.0f} s"
    sessions = queued = latency = "-"
    if status is not None:
        sessions = f"{status.sessions} ({status.detached})"
        queued = size(status.waiting_bytes)
        latency = _milliseconds(status.latency or None)
    cells = (
        server.label,
        str(timedelta(seconds=max(0, int(time.time() - server.started)))),
        f"{figures.get('clients', 0):.0f}",
        sessions,
        _rate(rates.messages_in),
        _bytes(rates.bytes_in),
        _rate(rates.messages_out),
        _bytes(rates.bytes_out),
        queued,
        latency,
        _rate(rates.between),
        f"{figures.get('lost', 0):.0f}",
        _milliseconds(server.round_trip),
        state,
    )
    return tuple(map(visible, cells))


def _table(rows: Iterable[tuple[str, ...]], *, connected: bool) -> Table:
    rows = list(rows)
    table = Table(box=box.SIMPLE, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for head in (*_HEADS, *_HEADS_MORE):
        left = head in ("server", "state")
        table.add_column(head, justify="left" if left else "right", no_wrap=head != "state")
    for row in rows:
        style = _STYLES[row[-1].partition(",")[0]]
        # Text is no markup, and a server chose its label.
        table.add_row(*(Text(cell, overflow="ellipsis") for cell in row), style=style)
    here = sum(row[-1] == "here" for row in rows)
    clients = sum(int(row[2]) for row in rows if not row[-1].startswith("gone"))
    table.caption = f"{here} servers here, {clients} clients"
    if not connected:
        table.caption += "; NATS is away"
    return table


def _rate(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if 0 < value < 10 else f"{value:.0f}"


def _bytes(value: float | None) -> str:
    return "-" if value is None else size(value)


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"
