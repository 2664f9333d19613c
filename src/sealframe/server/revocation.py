"""Ends the connections of clients whose keys were taken out of the file of clients."""

from __future__ import annotations

import asyncio
import weakref

from ..aio.connection import AnyConnection, protocol_of
from ..errors import ConnectionClosedError
from ..trust.authorized import AuthorizedClients
from ..trust.clients_file_watcher import ClientsFileWatcher
from ..wire import CloseCode
from ..wire.control import Close


class Revocation:
    """Checks the clients of a server whenever its file of them changes.

    :param clients: what is read from that file
    """

    def __init__(self, clients: AuthorizedClients) -> None:
        self._clients = clients
        # Those that are closed too, as long as somebody can read what they received.
        self._connections: weakref.WeakSet[AnyConnection] = weakref.WeakSet()
        self._watcher: ClientsFileWatcher | None = None

    async def refresh(self) -> None:
        """Read the file: it may have changed since the program made its identity."""
        # A version counts once two looks have seen it.
        seen = await asyncio.to_thread(self._clients.refresh)
        await asyncio.to_thread(self._clients.refresh, seen)

    def start(self) -> None:
        """Begin to watch the file."""
        self._watcher = ClientsFileWatcher(self._clients, self._check)

    def add(self, conn: AnyConnection) -> None:
        """Add the connection of a client, which may be one that was just invited."""
        self._connections.add(conn)
        if self._watcher is not None:
            self._watcher.write_admitted_soon()

    async def stop(self) -> None:
        """Watch the file no longer, once those who were invited are in it."""
        if self._watcher is not None:
            await self._watcher.stop()

    def _check(self) -> None:
        failures: list[Exception] = []
        for conn in list(self._connections):
            if conn.peer is None or self._clients.lookup(bytes(conn.peer.key)) is not None:
                continue
            try:
                _revoke(conn, conn.peer.name)
            except Exception as failure:  # noqa: BLE001 - the others must not stay in for it
                failures.append(failure)
        if failures:
            # The watcher logs it, and tries again.
            raise ExceptionGroup("cannot end connections of withdrawn keys", failures)


def _revoke(conn: AnyConnection, name: str) -> None:
    code = CloseCode.UNAUTHORIZED
    error = ConnectionClosedError(f"the key of {name} was withdrawn", code=code)
    closer = protocol_of(conn).closer
    try:
        closer.put_out(error, Close(code, "the key was withdrawn"), drop_unsent=True)
    except Exception:
        # It is told nothing, but it goes.
        closer.abort(error)
        raise
