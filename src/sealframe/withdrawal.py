"""Closes live connections whose client is no longer authorised."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from .authorized import AuthorizedClients
from .connection import Connection
from .control import Close
from .errors import ConnectionClosedError
from .keylist import Version
from .wire import CloseCode

logger = logging.getLogger("sealframe.withdrawal")

_INTERVAL: Final = 0.5
"""Seconds between two looks at the file."""


class Withdrawal:
    """Looks at the file of clients again and again, from the first look to `stop`.

    :param clients: whose file it is
    :param connections: those that are live at the time
    """

    def __init__(self, clients: AuthorizedClients, connections: Iterable[Connection]) -> None:
        self._clients = clients
        self._connections = connections
        # Its own thread: handlers may keep those of the event loop busy.
        self._executor = ThreadPoolExecutor(1, "sealframe authorised clients")
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name="sealframe authorised clients"
        )

    async def stop(self) -> None:
        """End the looks, once who was invited is in the file."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._look(None)
        self._executor.shutdown(wait=False)

    async def _run(self) -> None:
        checked, seen = -1, None
        while True:
            await asyncio.sleep(_INTERVAL)
            try:
                seen = await self._look(seen)
                if self._clients.generation != checked:
                    checked = self._clients.generation
                    self._check()
            except Exception:
                logger.exception("cannot look at the clients; trying again")

    async def _look(self, seen: Version | None) -> Version | None:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._clients.refresh, seen)

    def _check(self) -> None:
        for conn in list(self._connections):
            if conn.peer is not None and self._clients.lookup(bytes(conn.peer.key)) is None:
                _withdraw(conn, conn.peer.name)


def _withdraw(conn: Connection, name: str) -> None:
    code = CloseCode.UNAUTHORIZED
    error = ConnectionClosedError(f"the key of {name} was withdrawn", code=code)
    conn._link.expel(error, Close(code, "the key was withdrawn"), drop=True)
