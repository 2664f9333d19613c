"""The exchange with which multiprocessing.connection proves that both ends have ``authkey``.

The standard library's own functions do it, over a connection of sealframe: they know what each
release of Python says.
"""

from __future__ import annotations

import asyncio
from multiprocessing import connection

import sealframe


class Blocking:
    """What those functions need of a connection; they block, and so run in a thread."""

    def __init__(self, conn: sealframe.Connection) -> None:
        self._conn = conn
        self._loop = asyncio.get_running_loop()

    def send_bytes(self, message: bytes) -> None:
        asyncio.run_coroutine_threadsafe(self._conn.send(message), self._loop).result()

    def recv_bytes(self, limit: int | None = None) -> bytes:
        return asyncio.run_coroutine_threadsafe(self._conn.recv(), self._loop).result(10)


async def as_listener(conn: sealframe.Connection, key: bytes) -> None:
    """Do what a Listener does with a client that it has accepted.

    :raises multiprocessing.AuthenticationError: the client has another key
    """
    blocking = Blocking(conn)
    await asyncio.to_thread(connection.deliver_challenge, blocking, key)  # type: ignore[arg-type]
    await asyncio.to_thread(connection.answer_challenge, blocking, key)  # type: ignore[arg-type]


async def as_client(conn: sealframe.Connection, key: bytes) -> None:
    """Do what a Client does once it is connected.

    :raises multiprocessing.AuthenticationError: the listener has another key
    """
    blocking = Blocking(conn)
    await asyncio.to_thread(connection.answer_challenge, blocking, key)  # type: ignore[arg-type]
    await asyncio.to_thread(connection.deliver_challenge, blocking, key)  # type: ignore[arg-type]
