"""Stores readings in a database, each once and in order, however often it is killed.

Run it: python examples/meter_server.py DATABASE [HOST [PORT]]

The number of the last reading is stored in the transaction that stores the reading. Killed at any
moment, the server knows after its next start which readings it has; the meters come back and go on
behind those.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys

import sealframe
from sealframe import Connection, SessionInfo, Sessions

TABLES = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;  -- what a meter was told is stored also outlives a loss of power
    CREATE TABLE IF NOT EXISTS sessions (
        name TEXT PRIMARY KEY, position INTEGER NOT NULL, writer TEXT
    );
    CREATE TABLE IF NOT EXISTS readings (id INTEGER PRIMARY KEY, reading TEXT NOT NULL);
"""


class Readings:
    """The database."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        database.executescript(TABLES)

    async def load(self, session: SessionInfo) -> tuple[int, str | None]:
        """Return how many messages of a session are stored, and who wrote the last."""
        with self._database as db:
            db.execute("INSERT OR IGNORE INTO sessions VALUES (?, 0, NULL)", (session.name,))
            stored = "SELECT position, writer FROM sessions WHERE name = ?"
            position, writer = db.execute(stored, (session.name,)).fetchone()
            return position, writer

    async def serve(self, conn: Connection) -> None:
        """Store the readings of one meter, as many at a time as are there."""
        while True:
            readings = await conn.recv_many(100)
            self._store(conn.session, readings, conn.position)

    def _store(self, session: SessionInfo, readings: list[bytes], position: int) -> None:
        with self._database as db:
            rows = [(reading.decode(),) for reading in readings]
            db.executemany("INSERT INTO readings (reading) VALUES (?)", rows)
            # Nothing is stored twice, even if an earlier server of this database still runs.
            moved = db.execute(
                "UPDATE sessions SET position = ?, writer = ? WHERE name = ? AND position = ?",
                (position, session.writer, session.name, position - len(readings)),
            )
            if moved.rowcount != 1:
                raise RuntimeError(f"another server has stored readings of session {session.name}")


async def main(database: str, host: str = "127.0.0.1", port: str = "1234") -> None:
    with contextlib.closing(sqlite3.connect(database)) as db:
        readings = Readings(db)
        sessions = Sessions(position=readings.load)
        async with sealframe.serve(readings.serve, host, int(port), sessions=sessions) as server:
            print(f"listening on {host}:{server.port}")
            await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
