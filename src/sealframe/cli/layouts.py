"""``sealframe layouts``: the layouts of protocols that exist."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.table import Table

from ..framing import layouts as catalogue
from .errors import EXIT_CODES, CommandError
from .frame_drawing import draw
from .output import Output

_TEXTS = {
    "Pipelining": "pipelining",
    "Empty frames": "empty_frames",
    "First packet": "first_packet",
    "Heartbeats": "heartbeats",
    "Limits": "limits",
    "Notes": "notes",
}


@click.command(epilog=EXIT_CODES)
@click.argument("text", nargs=-1)
def layouts(text: tuple[str, ...]) -> None:
    """List the layouts of protocols that exist, search them, explain one.

    TEXT is a name, which is explained, or words or a port to look for: "modbus-tcp",
    "dicom", "502". All words have to be there. Without TEXT all are listed.
    """
    output = Output()
    wanted = " ".join(text)
    found = catalogue.search(wanted)
    exact = [entry for entry in found if entry.name == wanted.lower().replace("_", "-")]
    if not found:
        raise CommandError(f"no layout has {wanted!r}; sealframe layouts without a text lists all")
    if exact or len(found) == 1:
        _explain((exact or found)[0], output)
    else:
        _list(found, output)


def _list(entries: Sequence[catalogue.Entry], output: Output) -> None:
    for field, members in catalogue.FIELDS.items():
        shown = [entry for entry in members if entry in entries]
        if not shown:
            continue
        output.line(field, "bold")
        if output.terminal:
            table = Table.grid(padding=(0, 2))
            for entry in shown:
                table.add_row(f"  {entry.name}", entry.title)
            table.columns[0].style = "cyan"
            table.columns[0].no_wrap = True
            output.console.print(table, soft_wrap=False)
        else:
            for entry in shown:
                output.line(f"  {entry.name}: {entry.title}")
    if output.terminal:
        output.line("sealframe layouts NAME explains one.", "dim")


def _explain(entry: catalogue.Entry, output: Output) -> None:
    output.line(entry.name, "bold cyan")
    output.line(entry.title)
    output.line("")
    output.line(f"from sealframe.framing.layouts import {entry.constant}", "green")
    if entry.expression:
        output.line(entry.expression, "green")
    output.line("")
    drawing = draw(entry.layout)
    for line in drawing:
        output.line(f"  {line}")
    if drawing:
        output.line("")
    rows = [("Source", f"{entry.source}.")]
    if entry.ports:
        rows.append(("Ports", f"{', '.join(map(str, entry.ports))}."))
    rows += [(name, text) for name, field in _TEXTS.items() if (text := getattr(entry, field))]
    rows.append(("Held to bytes of", ", ".join(entry.recorded) or "no real program"))
    if output.terminal:
        table = Table.grid(padding=(0, 2))
        for name, text in rows:
            table.add_row(name, text)
        table.columns[0].style = "bold"
        table.columns[0].no_wrap = True
        output.console.print(table, soft_wrap=False)
    else:
        for name, text in rows:
            output.line(f"{name}: {text}")
