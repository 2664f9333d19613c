"""The demo's program: a room whose messages everybody gets, in one order, after a cut too.

The connection loses nothing while it lasts. What is said while it is cut, a
program has to ask for: here a member says how many messages it has, and the
room goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sealframe

from ... import Connection, ConnectionClosed, ConnectionClosedOK, Server, SharedKey


class Room:
    """The server's side: numbers each message, keeps it, and passes it to all members."""

    def __init__(self) -> None:
        self.said: list[bytes] = []
        """All messages, in the one order that holds for everybody."""
        self.server: Server | None = None
        self._catching_up: set[Connection] = set()

    def say(self, message: bytes) -> None:
        """Give a message to all members that are there."""
        assert self.server is not None
        self.said.append(message)
        self.server.broadcast(message, exclude=self._catching_up)

    async def handle(self, conn: Connection) -> None:
        """Serve one member, whose first message is the number of those it has."""
        self._catching_up.add(conn)
        try:
            position = int(await conn.recv())
            while position < len(self.said):
                missed = self.said[position:]
                position = len(self.said)
                await conn.send_many(missed)
        finally:
            # Nothing is awaited after the last look at what was said, so that
            # from here on the member gets every broadcast.
            self._catching_up.discard(conn)
        async for message in conn:
            self.say(message)


class Member:
    """The client's side: stays in the room, however often the link is cut.

    :param report: is told in words when the link goes and comes back
    """

    def __init__(
        self,
        name: str,
        port: int,
        security: SharedKey | None,
        report: Callable[[str, str], None],
    ) -> None:
        self.name = name
        self.got: list[bytes] = []
        """All messages of the room, as they came."""
        self.id = ""
        """The id that the server gave it, the latest."""
        self.state = "joining"
        self.bytes = 0
        """Bytes that came over earlier connections."""
        self.conn: Connection | None = None
        self.joined = 0
        """How many times it was connected."""
        self._port = port
        self._security = security
        self._report = report
        self._changed = asyncio.Event()

    @property
    def bytes_received(self) -> int:
        """Bytes that came over all its connections, heads and seals included."""
        return self.bytes + (self.conn.stats.bytes_received if self.conn is not None else 0)

    async def say(self, message: bytes) -> None:
        """Say something to the room, once it is there."""
        await self.until(lambda: self.conn is not None)
        assert self.conn is not None
        await self.conn.send(message)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds for this member."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def stay(self) -> None:
        """Connect, receive, and connect again; ends when the room closes."""
        async for conn in sealframe.connect(
            "127.0.0.1",
            self._port,
            security=self._security,
            # Without it a plain link has no ids.
            extended=True,
            is_fatal=self._is_fatal,
        ):
            self.conn, self.id = conn, conn.id
            self.joined += 1
            self.state = "here"
            self._changed.set()
            try:
                await conn.send(b"%d" % len(self.got))
                async for message in conn:
                    self.got.append(message)
                    self._changed.set()
            except ConnectionClosedOK:
                self.state = "left"
            except ConnectionClosed:
                self.state = "cut off"
                self._report(self.name, "lost the link; tries again by itself")
            else:
                self.state = "left"
            finally:
                self.bytes += conn.stats.bytes_received
                self.conn = None
                self._changed.set()
            if self.state == "left":
                return

    def _is_fatal(self, error: Exception) -> bool:
        if not self.joined:
            return True
        self.state = "trying again"
        return False


@dataclass(frozen=True)
class Difference:
    """What is wrong with the messages that somebody got."""

    lost: int
    differing: int
    surplus: int

    def __bool__(self) -> bool:
        return bool(self.lost or self.differing or self.surplus)


def difference(said: Sequence[bytes], got: Sequence[bytes]) -> Difference:
    """Compare what came with what was said: number, order and every byte."""
    return Difference(
        lost=max(0, len(said) - len(got)),
        differing=sum(a != b for a, b in zip(said, got, strict=False)),
        surplus=max(0, len(got) - len(said)),
    )
