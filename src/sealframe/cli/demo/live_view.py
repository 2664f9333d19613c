"""What the demo shows on a terminal: lines in colour, and below them a table that is live."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence

from rich import box
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..output import Output
from ..text import size, visible
from .room import Member
from .view import View

_COLOURS = {"north": "cyan", "east": "magenta", "south": "blue", "west": "yellow"}
_STATES = {"here": "green", "left": "dim"}


class LiveView(View):
    """Shows the story on a terminal, and the members in a table.

    :param title: of the table
    """

    def __init__(self, output: Output, title: str) -> None:
        super().__init__(output)
        self._output = output
        self._title = title

    def chapter(self, title: str) -> None:
        """Begin a part of the story."""
        self._output.line(f"── {title}", "bold")

    def event(self, who: str, text: str) -> None:
        """Tell that something happened."""
        line = Text(f"{self._elapsed():5.2f}s ", style="dim")
        line.append(f"{who:>6}  ", style=_COLOURS.get(who, "bold"))
        line.append(visible(text), style="not dim")
        # One line each, so that the table below keeps its place.
        line.truncate(self._output.console.width - 1, overflow="ellipsis")
        self._output.line(line)

    @contextlib.contextmanager
    def live(self, members: Sequence[Member]) -> Iterator[None]:
        """Keep the table up to date meanwhile."""
        with Live(
            console=self._output.console,
            get_renderable=lambda: self._table(members),
            refresh_per_second=12,
            redirect_stdout=False,
            redirect_stderr=sys.stderr.isatty(),
        ):
            yield

    def summary(self, rows: Sequence[tuple[str, str]], verdict: str, *, good: bool) -> None:
        """Print the outcome."""
        self._output.line("")
        for name, value in rows:
            line = Text(f"{name:>10}  ", style="bold")
            line.append(value, style="not bold")
            self._output.line(line)
        self._output.line(verdict, "bold green" if good else "bold red")

    def _table(self, members: Sequence[Member]) -> Table:
        table = Table(
            title=self._title, title_style="bold", box=box.ROUNDED, width=_width(self._output)
        )
        for heading in ("client", "id", "state"):
            table.add_column(heading, ratio=1, no_wrap=True)
        for heading in ("links", "messages", "received"):
            table.add_column(heading, justify="right", no_wrap=True, min_width=len(heading))
        for member in members:
            table.add_row(
                Text(member.name, style=_COLOURS.get(member.name, "")),
                member.id,
                Text(f"● {member.state}", style=_STATES.get(member.state, "red")),
                str(member.joined),
                f"{len(member.got):,}",
                size(member.bytes_received),
            )
        return table


def _width(output: Output) -> int:
    return min(output.console.width, 96)
