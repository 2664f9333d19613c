"""``serve --status``: a table of the clients that is drawn again each second."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from rich import box
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .. import Connection, ConnectionClosed, NotSupportedError, Server
from .address import shown
from .output import Output
from .text import seal, size, visible

_DRAWN_EVERY = 1.0
_PINGED_EVERY = 3.0

_AROUND = 7
"""Lines of the terminal that are not for clients: heads, rules, the total, what is missing."""

_WIDE = 100
"""Columns of a terminal that has room for gaps."""


@dataclass(frozen=True)
class Traffic:
    """What goes through in a second, each way."""

    messages_received: float
    bytes_received: float
    messages_sent: float
    bytes_sent: float

    @classmethod
    def between(cls, before: dict[str, Any], now: dict[str, Any], seconds: float) -> Traffic:
        """Work it out from the counters at two times."""
        return cls(
            *((now[name] - before.get(name, 0)) / seconds for name in cls.__dataclass_fields__)
        )

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """What stands in the table."""
        return (
            _rate(self.messages_received),
            size(self.bytes_received),
            _rate(self.messages_sent),
            size(self.bytes_sent),
        )


class Board:
    """Shows who is connected and what they do, until it is cancelled."""

    def __init__(self, server: Server, output: Output) -> None:
        self._server = server
        self._output = output
        self._console = output.console
        self._before = server.stats()
        self._looked = asyncio.get_running_loop().time()

    async def run(self) -> None:
        """Draw it again and again. Other lines of the same console stand above it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._ping_all())
            with Live(
                self.table(),
                console=self._console,
                auto_refresh=False,
                transient=True,
                # What goes elsewhere is to stay there.
                redirect_stderr=sys.stderr.isatty(),
            ) as live:
                while True:
                    self._output.make_room()
                    live.update(self.table(), refresh=True)
                    await asyncio.sleep(_DRAWN_EVERY)

    def table(self) -> Table:
        """Return the figures of now, and of what went through since the last time."""
        now, before = self._server.stats(), self._before
        looked = asyncio.get_running_loop().time()
        # The clock may stand still between two looks.
        seconds = max(looked - self._looked, 0.001)
        self._before, self._looked = now, looked
        clients = now["clients"]
        traffic = {
            id: Traffic.between(before["clients"].get(id, {}), figures, seconds)
            for id, figures in clients.items()
        }
        fitting = self._fitting(traffic)
        total = Traffic.between(before, now, seconds)
        queued = sum(figures["outbox_cost"] for figures in clients.values())
        missing = len(clients) - len(fitting)
        table = _heads(len(clients), total, queued)
        table.padding = (0, 1 if self._console.width >= _WIDE else 0, 0, 0)
        adopting = now["sessions_adopting"]
        notes = [f"{missing} more than fit"] if missing else []
        notes += [f"{adopting} sessions wait for their position"] if adopting else []
        table.caption = ", ".join(notes) or None
        for id, figures in clients.items():
            if id in fitting:
                table.add_row(*_row(id, figures, traffic[id]))
        return table

    def _fitting(self, traffic: dict[str, Traffic]) -> set[str]:
        room = max(1, self._console.size.height - _AROUND)

        def busy(id: str) -> float:
            return traffic[id].bytes_received + traffic[id].bytes_sent

        # Where not all of them fit, those are shown that have the most to do.
        return set(sorted(traffic, key=busy, reverse=True)[:room])

    async def _ping_all(self) -> None:
        while True:
            await asyncio.gather(*map(_ping, list(self._server.clients.values())))
            await asyncio.sleep(_PINGED_EVERY)


async def _ping(conn: Connection) -> None:
    if not conn.connected:
        return
    # The time it took is the connection's latency from now on.
    with contextlib.suppress(TimeoutError, ConnectionClosed, NotSupportedError):
        await conn.ping(timeout=_PINGED_EVERY)


def _heads(count: int, total: Traffic, queued: int) -> Table:
    table = Table(box=box.SIMPLE, show_footer=True, pad_edge=False, header_style="bold")
    clients = "1 client" if count == 1 else f"{count} clients"
    table.add_column("client", clients, style="cyan", no_wrap=True)
    for head in ("name", "address"):
        table.add_column(head)
    heads = ("in/s", "in B/s", "out/s", "out B/s", "queue", "RTT", "for")
    for head, foot in zip(heads, (*total.cells, size(queued), "", ""), strict=True):
        table.add_column(head, foot, justify="right", no_wrap=True)
    table.add_column("seal", no_wrap=True)
    return table


def _row(id: str, figures: dict[str, Any], traffic: Traffic) -> list[Text]:
    cells = (
        id,
        figures["name"] or "-",
        shown(figures["address"]),
        *traffic.cells,
        size(figures["outbox_cost"]),
        _round_trip(figures),
        str(timedelta(seconds=int(figures["connected_for"]))),
        seal(figures),
    )
    # Text is no markup, and what a peer chose is made visible.
    return [Text(visible(cell), no_wrap=True, overflow="ellipsis") for cell in cells]


def _round_trip(figures: dict[str, Any]) -> str:
    if not figures["connected"]:
        return "detached"
    latency = figures["latency"]
    return "-" if latency is None else f"{latency * 1000:.2f} ms"


def _rate(value: float) -> str:
    return f"{value:.1f}" if 0 < value < 10 else f"{value:.0f}"
