"""Keeps a server in step with its file of clients: withdraws keys, writes down who was invited."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from ..aio.connection import Connection
from ..errors import ConnectionClosedError
from ..trust.authorized import AuthorizedClients
from ..trust.keylist import Version
from ..wire import CloseCode
from ..wire.control import Close

logger = logging.getLogger("sealframe.withdrawal")

_INTERVAL: Final = 0.5
"""Seconds between two looks at the file."""

_LAST_WRITE: Final = 5.0
"""Seconds that the end of a server waits for the disk."""

_T = TypeVar("_T")


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
        self._invited = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name="sealframe authorised clients"
        )

    def came(self) -> None:
        """Note that a client came: one that was invited is written down at once."""
        if self._clients.unwritten:
            self._invited.set()

    async def stop(self) -> None:
        """End the looks, once who was invited is in the file."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        try:
            async with asyncio.timeout(_LAST_WRITE):
                await self._call(self._clients.write_admitted)
        except Exception:
            logger.exception("cannot write down who was invited last")
        if self._clients.unwritten:
            logger.error("who was invited last is not in the file: it was being changed")
        self._executor.shutdown(wait=False)

    async def _run(self) -> None:
        checked = -1
        seen: Version | None = None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL):
                    await self._invited.wait()
            try:
                if self._invited.is_set():
                    self._invited.clear()
                    # And no look: it counts only if it comes long after the last one.
                    await self._call(self._clients.write_admitted)
                else:
                    seen = await self._call(functools.partial(self._clients.refresh, seen))
                if self._clients.generation != checked:
                    checked = self._clients.generation
                    self._check()
            except Exception:
                logger.exception("cannot look at the clients; trying again")

    async def _call(self, function: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)

    def _check(self) -> None:
        for conn in list(self._connections):
            if conn.peer is not None and self._clients.lookup(bytes(conn.peer.key)) is None:
                _withdraw(conn, conn.peer.name)


def _withdraw(conn: Connection, name: str) -> None:
    code = CloseCode.UNAUTHORIZED
    error = ConnectionClosedError(f"the key of {name} was withdrawn", code=code)
    conn._link.expel(error, Close(code, "the key was withdrawn"), drop=True)
