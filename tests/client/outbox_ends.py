"""Both ends of a session with an outbox, as programs that are killed.

``outbox_ends.py send PORT OUTBOX FIRST LAST`` sends texts that count up from FIRST to LAST, prints
each that was accepted, closes, and prints ``closed``. ``outbox_ends.py serve PORT DATABASE`` prints
its port, and stores each message with its position and its writer in an SQLite database, in one
transaction. A sender that finds that there is a copy of its file prints ``copy``.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import sys
from contextlib import closing
from typing import Any

import sealframe
from sealframe import (
    ClientOptions,
    CloseCode,
    Connection,
    ConnectionClosed,
    Outbox,
    SessionInfo,
    SessionLostError,
    Sessions,
    is_fatal,
)

_SENDERS = 4
_QUICK = ClientOptions(backoff_initial=0.01, backoff_maximum=0.1, close_timeout=20)


def _tell(text: str) -> None:
    # At once, and whole: the next moment may be the last.
    os.write(1, f"{text}\n".encode())


async def _send(port: int, path: str, first: int, last: int) -> None:
    numbers = itertools.count(first)

    async def sender(conn: Connection) -> None:
        for number in numbers:
            if number > last:
                return
            await conn.send(b"%d" % number)
            _tell(str(number))

    def decide(error: Exception) -> bool:
        return is_fatal(error) and not isinstance(error, ConnectionClosed)

    outbox = Outbox(path)
    async for conn in sealframe.connect(
        "127.0.0.1", port, session=outbox, options=_QUICK, is_fatal=decide
    ):
        async with asyncio.TaskGroup() as group:
            for _ in range(_SENDERS):
                group.create_task(sender(conn))
        _tell("closed" if await conn.close() else "not closed")
        return


async def _serve(port: int, path: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        # Programs are killed here, and power does not fail.
        database.execute("PRAGMA synchronous=OFF")
        database.execute(
            "CREATE TABLE IF NOT EXISTS message"
            "(session TEXT, position INTEGER, body TEXT, writer TEXT,"
            " PRIMARY KEY (session, position))"
        )

        async def position(session: SessionInfo) -> Any:
            return database.execute(
                "SELECT position, writer FROM message WHERE session = ?"
                " ORDER BY position DESC LIMIT 1",
                (session.name,),
            ).fetchone()

        async def handler(conn: Connection) -> None:
            async for message in conn:
                database.execute(
                    "INSERT INTO message VALUES (?, ?, ?, ?)",
                    (conn.session.name, conn.position, message.decode(), conn.session.writer),
                )

        async with sealframe.serve(
            handler, "127.0.0.1", port, sessions=Sessions(position=position)
        ) as server:
            _tell(str(server.port))
            await asyncio.Event().wait()


def leaves(error: BaseException) -> list[BaseException]:
    """Return the errors of a group."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["send", port, path, first, last]:
            try:
                asyncio.run(_send(int(port), path, int(first), int(last)))
            except* SessionLostError as lost:
                for error in leaves(lost):
                    assert isinstance(error, SessionLostError)
                    assert error.code == CloseCode.SUPERSEDED
                _tell("copy")
        case ["serve", port, path]:
            asyncio.run(_serve(int(port), path))
