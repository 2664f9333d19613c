"""``sealframe clients``: who is connected to a running server."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from .address import shown
from .control import ask, controlling_option
from .errors import EXIT_CODES
from .output import Output
from .tables import aligned
from .text import seal, size, visible

_HEADS = ("client", "name", "address", "for", "in", "in B", "out", "out B", "seal")


@click.command(epilog=EXIT_CODES)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print an object of JSON instead: for each client by its id, what Server.stats() has "
    "of it. Times are seconds.",
)
@click.option(
    "--count",
    is_flag=True,
    help="Print how many there are, and no more; the server then looks at none of them. For "
    "health checks.",
)
@controlling_option
def clients(as_json: bool, count: bool, control: Path) -> None:
    """List the clients of a server that runs.

    The server is a "sealframe serve" or "sealframe receive" with --control. There is a line for
    each client: its id, the name of its key, its address, for how long it has been connected,
    how many messages and bytes came in from it and went out to it, and how it is sealed: hybrid
    is post-quantum, classic is not.
    """
    output = Output()
    if count:
        if as_json:
            raise click.UsageError("--count prints a number alone: give --json or --count")
        output.line(str(ask(control, {"do": "count"})))
        return
    found: dict[str, dict[str, Any]] = ask(control, {"do": "clients"})
    if as_json:
        output.line(json.dumps(found, indent=2))
        return
    for line in aligned([_HEADS, *(_row(id, figures) for id, figures in found.items())]):
        output.line(line)


def _row(id: str, figures: dict[str, Any]) -> tuple[str, ...]:
    address = figures["address"]
    cells = (
        id,
        figures["name"] or "-",
        # JSON has no tuples.
        shown(tuple(address) if isinstance(address, list) else address),
        str(timedelta(seconds=int(figures["connected_for"]))),
        str(figures["messages_received"]),
        size(figures["bytes_received"]),
        str(figures["messages_sent"]),
        size(figures["bytes_sent"]),
        seal(figures),
    )
    return tuple(map(visible, cells))
