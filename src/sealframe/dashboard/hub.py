"""One look a second for everybody who watches, and none while nobody does."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from .source import Source, SourceError
from .views import View

logger = logging.getLogger("sealframe.dashboard")

MAX_VIEWERS: Final = 16
"""Pages at most that watch at the same time."""

_INTERVAL: Final = 1.0
"""Seconds from one look to the next."""

_RETRY: Final = 1000
"""Milliseconds after which a page whose connection is lost comes again."""

_BETWEEN: Final = 0.5
"""Seconds at least between two looks, where a new page hurries the next one: also of pages that
come again and again there are no more than two looks a second."""

_REMEMBERED: Final = 300
"""Looks whose points new pages get, for their charts."""

POINT: Final = (
    *("time", "clients", "sessions_detached", "rates"),
    *("inbox_cost", "outbox_cost", "round_trip", "refused", "dropped"),
)
"""What of a summary a point of the charts is made of."""


class TooManyViewersError(Exception):
    """As many pages watch as may."""


class Viewer:
    """One page. It has the newest event and no older one, however slowly it reads.

    :param view: of the table of clients
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self._event: bytes | None = None
        self._there = asyncio.Event()

    def put(self, event: bytes | None) -> None:
        """Set the next event, None for the end; one that was not taken is lost."""
        self._event = event
        self._there.set()

    async def next(self) -> bytes | None:
        """Wait for the next event, as it goes over the wire; None once there are no more."""
        await self._there.wait()
        self._there.clear()
        return self._event


class Hub:
    """Hands what a source sees to all viewers: it looks once, however many they are."""

    def __init__(self, source: Source) -> None:
        self.title = source.title
        self._source = source
        self._viewers: set[Viewer] = set()
        self._watched = asyncio.Event()
        self._hurried = asyncio.Event()
        self._points: deque[dict[str, Any]] = deque(maxlen=_REMEMBERED)
        self._failing = False
        self._over = False

    @property
    def full(self) -> bool:
        """Whether as many pages watch as may."""
        return len(self._viewers) >= MAX_VIEWERS

    @contextmanager
    def viewing(self, view: View) -> Iterator[Viewer]:
        """Be a viewer meanwhile.

        :raises TooManyViewersError: :data:`MAX_VIEWERS` are there
        """
        if self.full:
            raise TooManyViewersError
        viewer = Viewer(view)
        if self._over:
            viewer.put(None)
        self._viewers.add(viewer)
        self._watched.set()
        self._hurried.set()
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)
            if not self._viewers:
                self._watched.clear()
                self._source.rest()

    def history(self, after: float) -> bytes:
        """Return an event with the points of the charts behind a time, in seconds of the epoch."""
        points = [point for point in self._points if point["time"] > after]
        return b"retry: %d\n" % _RETRY + _event("history", json.dumps(points))

    async def run(self) -> None:
        """Look whenever somebody watches, until it is cancelled."""
        while True:
            await self._watched.wait()
            self._hurried.clear()
            await self._look()
            await asyncio.sleep(_BETWEEN)
            with suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL - _BETWEEN):
                    await self._hurried.wait()

    def close(self) -> None:
        """End every viewer, and those that are still to come."""
        self._over = True
        for viewer in self._viewers:
            viewer.put(None)

    async def _look(self) -> None:
        views = list({viewer.view: None for viewer in self._viewers})
        try:
            self._put_look(views, await self._source.look(views))
        except SourceError as error:
            self._put_lost(str(error))
        except Exception:
            # Whatever it is, those that watch are told, and the next look may do.
            if not self._failing:
                logger.exception("the dashboard could not look at its server")
            self._failing = True
            self._put_lost("the dashboard failed; its log has the reason")
            return
        self._failing = False

    def _put_look(self, views: Sequence[View], look: dict[str, Any]) -> None:
        summary = look["summary"]
        if not self._points or self._points[-1]["time"] != summary["time"]:
            self._points.append({name: summary[name] for name in POINT})
        # Each is encoded once, whoever gets it.
        encoded = json.dumps(summary)
        tables = dict(zip(views, map(json.dumps, look["tables"]), strict=True))
        events = {
            view: _event("look", f'{{"summary": {encoded}, "table": {table}}}', summary["time"])
            for view, table in tables.items()
        }
        for viewer in self._viewers:
            # One that has come meanwhile is in the next look.
            if (event := events.get(viewer.view)) is not None:
                viewer.put(event)

    def _put_lost(self, reason: str) -> None:
        event = _event("lost", json.dumps({"reason": reason}))
        for viewer in self._viewers:
            viewer.put(event)


def _event(name: str, data: str, id: float | None = None) -> bytes:
    """Return a server-sent event (HTML Living Standard, section 9.2); JSON is one line."""
    head = "" if id is None else f"id: {id}\n"
    return f"{head}event: {name}\ndata: {data}\n\n".encode()
