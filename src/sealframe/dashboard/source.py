"""Where a dashboard has its figures from."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from ..errors import WrongLoopError
from ..server.server import Server
from .census import Census
from .views import View, select


class SourceError(Exception):
    """There are no figures now; the text says why. A dashboard shows it, and asks again."""


class Source(ABC):
    """Looks at something once for all who watch."""

    title: str
    """What is watched, for the head of the page."""

    @abstractmethod
    async def look(self, views: Sequence[View]) -> dict[str, Any]:
        """Return ``summary``, and under ``tables`` what `views.select()` makes of each view,
        in their order: plain data for ``json.dumps()``.

        :raises SourceError: there is nothing to be seen
        """

    @abstractmethod
    def rest(self) -> None:
        """Nobody watches any more: let go of what is there for the next look alone."""


class ServerSource(Source):
    """A server of this event loop.

    :raises WrongLoopError: it belongs to another one
    """

    def __init__(self, server: Server[Any, Any], title: str = "sealframe server") -> None:
        self.title = title
        self._census = Census(server)
        if self._census.loop is not asyncio.get_running_loop():
            raise WrongLoopError(
                "the server belongs to another event loop: start its dashboard in that one"
            )

    async def look(self, views: Sequence[View]) -> dict[str, Any]:
        """Count the clients, at most once a second."""
        count = await self._census.take()
        tables = []
        for view in views:
            tables.append(await select(count.rows, view))
            await asyncio.sleep(0)
        return {"summary": count.summary, "tables": tables}

    def rest(self) -> None:
        """Forget the clients."""
        self._census.forget()
