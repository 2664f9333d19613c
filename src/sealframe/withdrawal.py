"""Closes live connections whose client is no longer authorised."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from .authorized import AuthorizedClients
from .connection import Connection
from .control import Close
from .errors import ConnectionClosedError
from .wire import CloseCode

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
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name="sealframe authorised clients"
        )

    async def stop(self) -> None:
        """End the looks."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        checked, seen = -1, None
        while True:
            await asyncio.sleep(_INTERVAL)
            seen = await asyncio.to_thread(self._clients.refresh, seen)
            if self._clients.generation == checked:
                continue
            checked = self._clients.generation
            for conn in list(self._connections):
                if conn.peer is not None and self._clients.lookup(bytes(conn.peer.key)) is None:
                    _withdraw(conn, conn.peer.name)


def _withdraw(conn: Connection, name: str) -> None:
    code = CloseCode.UNAUTHORIZED
    # What waits to be sent is for a client that may have it no more.
    conn._link.drop_outbox()
    conn._link.expel(
        ConnectionClosedError(f"the key of {name} was withdrawn", code=code),
        Close(code, "the key was withdrawn"),
    )
