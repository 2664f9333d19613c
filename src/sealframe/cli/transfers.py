"""Shows files on their way: bars on a terminal, a line for beginning and end elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID
from rich.table import Column
from rich.text import Text

from .errors import complain
from .output import Output
from .text import size, visible

_DRAWN_EVERY = 0.1
"""Seconds."""
_OVER = 5.0
"""Seconds that a rate is the mean of."""


class Transfers:
    """What a command shows of files.

    :param whole: bytes of all files that will come, where that is known
    """

    def __init__(self, output: Output, whole: int | None = None) -> None:
        self._output = output
        self._bars = _Bars(output, whole) if output.terminal else None

    @contextlib.asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Keep the bars up to date meanwhile."""
        if self._bars is None:
            yield
            return
        with self._bars.progress:
            drawing = asyncio.create_task(self._bars.draw())
            try:
                yield
            finally:
                drawing.cancel()
                await asyncio.gather(drawing, return_exceptions=True)

    def begin(self, name: str, whole: int, there: Callable[[], int], text: str) -> Transfer:
        """Show that a file begins.

        :param name: of the file
        :param whole: its bytes
        :param there: returns how many of them are there
        :param text: the line that says so, where there are no bars
        """
        if self._bars is not None:
            return Transfer(self._output, self._bars, self._bars.add(name, whole, there))
        self._output.line(visible(text))
        return Transfer(self._output)


class Transfer:
    """A file that has begun; one of the three ends it."""

    def __init__(self, output: Output, bars: _Bars | None = None, bar: _Bar | None = None) -> None:
        self._output = output
        self._bars = bars
        self._bar = bar

    def arrived(self, text: str) -> None:
        """Say that it is there."""
        self.paused(arrived=True)
        self._output.line(visible(text))

    def failed(self, text: str) -> None:
        """Say that it is not, on stderr."""
        self.paused()
        complain(text)

    def paused(self, *, arrived: bool = False) -> None:
        """Say nothing: it may go on later."""
        if self._bars is not None and self._bar is not None:
            self._bars.remove(self._bar, arrived=arrived)


class _Rate:
    """How fast something has grown lately."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()
        self._count = 0

    def add(self, count: int) -> None:
        now = time.monotonic()
        self._count += count
        self._samples.append((now, self._count))
        while now - self._samples[0][0] > _OVER:
            self._samples.popleft()

    def value(self) -> float:
        (began, before), (ended, after) = self._samples[0], self._samples[-1]
        return (after - before) / (ended - began) if ended > began else 0.0


class _Bar:
    def __init__(self, id: TaskID, whole: int, there: Callable[[], int], rate: _Rate) -> None:
        self.id = id
        self.whole = whole
        self.there = there
        self.rate = rate
        self.shown: int | None = None


class _Bars:
    """A bar for each file, below one for all of them."""

    def __init__(self, output: Output, whole: int | None) -> None:
        self.progress = Progress(
            _Cell(_name, Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            BarColumn(None, table_column=Column(ratio=1)),
            *(_Cell(part, Column(justify="right", no_wrap=True)) for part in _FIGURES),
            console=output.console,
            auto_refresh=False,
            transient=True,
            expand=True,
            # What goes elsewhere is to stay there.
            redirect_stdout=False,
            redirect_stderr=sys.stderr.isatty(),
        )
        self._output = output
        self._known = whole
        self._bars: set[_Bar] = set()
        self._rate = _Rate()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._done = 0
        self._rate = _Rate()
        self._rate.add(0)
        for id in self.progress.task_ids:
            self.progress.remove_task(id)
        # Where it is not known what comes, nothing is shown until something does.
        known = self._known is not None
        self._all = self.progress.add_task("total", total=self._known or 0, visible=known, rate=0.0)
        self._whole = self._known or 0

    def add(self, name: str, whole: int, there: Callable[[], int]) -> _Bar:
        if self._known is None:
            if not self._bars:
                self._begin_anew()
            self._whole += whole
        rate = _Rate()
        rate.add(0)
        bar = _Bar(self.progress.add_task(name, total=whole, rate=0.0), whole, there, rate)
        self._bars.add(bar)
        return bar

    def remove(self, bar: _Bar, *, arrived: bool) -> None:
        self._look(bar)
        self._bars.discard(bar)
        self.progress.remove_task(bar.id)
        if arrived:
            self._done += bar.whole
        elif self._known is None:
            self._whole -= bar.whole
        if self._known is None and not self._bars:
            self.progress.update(self._all, visible=False)

    async def draw(self) -> None:
        while True:
            for bar in self._bars:
                self._look(bar)
            self._rate.add(0)
            completed = self._done + sum(bar.shown or 0 for bar in self._bars)
            self.progress.update(
                self._all,
                completed=completed,
                total=self._whole,
                visible=self._known is not None or bool(self._bars),
                rate=self._rate.value(),
            )
            self._output.make_room()
            self.progress.refresh()
            await asyncio.sleep(_DRAWN_EVERY)

    def _look(self, bar: _Bar) -> None:
        there = bar.there()
        if bar.shown is not None:
            # What was there from an earlier attempt has not come at any rate.
            more = max(0, there - bar.shown)
            bar.rate.add(more)
            self._rate.add(more)
        if there:
            bar.shown = there
        self.progress.update(bar.id, completed=there, rate=bar.rate.value())


class _Cell(ProgressColumn):
    """One figure of a bar. It is text: what a peer chose is no markup."""

    max_refresh = None

    def __init__(self, show: Callable[[Task], str], column: Column) -> None:
        super().__init__(column)
        self._show = show

    def render(self, task: Task) -> Text:
        return Text(self._show(task), no_wrap=True, overflow="ellipsis")


def _name(task: Task) -> str:
    return visible(task.description)


def _amount(task: Task) -> str:
    return f"{size(task.completed)} of {size(task.total or 0)}"


def _speed(task: Task) -> str:
    return f"{size(task.fields['rate'])}/s"


def _left(task: Task) -> str:
    rate = task.fields["rate"]
    if not rate:
        return "-:--:--"
    return str(timedelta(seconds=round(max(0.0, (task.total or 0) - task.completed) / rate)))


_FIGURES = (_amount, _speed, _left)
