"""The server: stores readings, and with them how many of a session it has, in one transaction."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from pathlib import Path
from typing import Any

import sealframe
from sealframe import Connection, ServerOptions, SessionInfo, Sessions

from .part import Part, run

_TABLES = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;  -- programs are killed here, and machines are not
    CREATE TABLE IF NOT EXISTS sessions (name TEXT PRIMARY KEY, position INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS readings (id INTEGER PRIMARY KEY, message BLOB NOT NULL);
"""


class Store:
    """The database.

    :param most: how many messages one transaction takes; 1: each is taken by itself
    """

    def __init__(self, database: sqlite3.Connection, most: int) -> None:
        self._database = database
        self._most = most
        database.executescript(_TABLES)

    async def load(self, session: SessionInfo) -> int:
        """Return how many messages of a session are stored."""
        with self._database as db:
            db.execute("INSERT OR IGNORE INTO sessions VALUES (?, 0)", (session.name,))
            found = db.execute("SELECT position FROM sessions WHERE name = ?", (session.name,))
            return int(found.fetchone()[0])

    async def serve(self, conn: Connection) -> None:
        """Store what comes."""
        if self._most == 1:
            async for message in conn:
                self._store(conn, [message])
        else:
            while True:
                self._store(conn, await conn.recv_many(self._most))

    def _store(self, conn: Connection, messages: list[bytes]) -> None:
        position, name = conn.position, conn.session.name
        with self._database as db:
            db.executemany("INSERT INTO readings (message) VALUES (?)", [(m,) for m in messages])
            moved = db.execute(
                "UPDATE sessions SET position = ? WHERE name = ? AND position = ?",
                (position, name, position - len(messages)),
            )
            if moved.rowcount != 1:
                raise RuntimeError(f"{position} is not the next position of session {name}")


def stored(path: Path) -> list[bytes]:
    """Return the messages that the database has, in order."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        return [row[0] for row in database.execute("SELECT message FROM readings ORDER BY id")]


async def main(part: Part, rng: random.Random, stopping: asyncio.Event) -> None:
    most = rng.choice((1, 1, 5, 100))
    security: dict[str, Any] = {} if part.security is None else {"security": part.security}
    with contextlib.closing(sqlite3.connect(part.folder / "readings.db")) as database:
        store = Store(database, most)
        serving = sealframe.serve(
            store.serve,
            "127.0.0.1",
            0,
            sessions=Sessions(
                position=store.load,
                # A position says as much already.
                acknowledge=rng.choice((None, "taken")),
            ),
            options=ServerOptions(
                handshake_timeout=2.0, keepalive_interval=0.5, keepalive_timeout=0.5
            ),
            **security,
        )
        async with serving as server:
            print("ready", server.port, flush=True)
            await stopping.wait()


if __name__ == "__main__":
    run(main)
