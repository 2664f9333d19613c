"""The client: stores readings in its outbox until its input ends, and then waits for the server."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import sealframe
from sealframe import ClientOptions, Connection, Outbox

from .part import Part, run
from .readings import Note, Notes, Reading

LANES = 3


class Client:
    """What it sends, in this start and in earlier ones.

    :param stopping: set once no further reading is to begin
    """

    def __init__(self, part: Part, rng: random.Random, stopping: asyncio.Event) -> None:
        path = part.folder / "notes"
        begun = Notes.read(path)[Note.BEGUN]
        self._last = {lane: max(begun[lane], default=0) for lane in range(LANES)}
        self._notes = Notes(path)
        self._rng = rng
        self._stopping = stopping

    async def send(self, conn: Connection) -> None:
        """Send readings in all lanes at a time."""
        async with asyncio.TaskGroup() as tasks:
            for lane in range(LANES):
                tasks.create_task(self._send(conn, lane))

    async def _send(self, conn: Connection, lane: int) -> None:
        rng = self._rng
        while not self._stopping.is_set():
            first = self._last[lane] + 1
            last = self._last[lane] = first + (rng.randrange(20) if rng.random() < 0.3 else 0)
            messages = [Reading(lane, number).message() for number in range(first, last + 1)]
            self._notes.write(Note.BEGUN, lane, first, last)
            if len(messages) > 1:
                await conn.send_many(messages)
            else:
                await conn.send(messages[0])
            self._notes.write(Note.ACCEPTED, lane, first, last)
            if rng.random() < 0.3:
                await asyncio.sleep(rng.random() * 0.01)


async def main(part: Part, rng: random.Random, stopping: asyncio.Event) -> None:
    client = Client(part, rng, stopping)
    security: dict[str, Any] = {} if part.security is None else {"security": part.security}
    connecting = sealframe.connect(
        "127.0.0.1",
        part.port,
        session=Outbox(part.folder / "outbox", durable="process", max_bytes=128 * 1024),
        options=ClientOptions(
            connect_timeout=2.0,
            handshake_timeout=2.0,
            keepalive_interval=0.5,
            keepalive_timeout=0.5,
            close_timeout=60.0,
            backoff_initial=0.005,
            backoff_maximum=0.1,
        ),
        **security,
    )
    async for conn in connecting:
        print("ready", flush=True)
        await client.send(conn)
        print("all are stored" if await conn.close() else "not all are stored", flush=True)
        break


if __name__ == "__main__":
    run(main)
