"""A man in the middle: carries outer frames between a client and a server, as a script says."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Self, TypeAlias, TypedDict, cast

from aio.ends import Family

from sealframe import Server
from sealframe.wire import HEAD_SIZE, LENGTH_MASK


class Address(TypedDict, total=False):
    """Where to connect, as arguments of ``connect()``."""

    host: str
    port: int
    path: Path


class Way(Enum):
    """A direction."""

    UP = "to the server"
    DOWN = "to the client"

    @property
    def back(self) -> Way:
        """The other one."""
        return Way.DOWN if self is Way.UP else Way.UP


Script: TypeAlias = Callable[["Tapped", Way, int, bytes], bytes]
"""Says what goes on in place of a frame: gets the connection, the direction, the number of the
frame there, from 0, and the frame with its head."""


def carry(tapped: Tapped, way: Way, number: int, frame: bytes) -> bytes:
    """Change nothing."""
    return frame


def changing(way: Way, number: int, change: Callable[[bytes], bytes]) -> Script:
    """Return a script that changes one frame and no other."""

    def script(tapped: Tapped, frame_way: Way, frame_number: int, frame: bytes) -> bytes:
        return change(frame) if (frame_way, frame_number) == (way, number) else frame

    return script


def replacing(way: Way, number: int, data: bytes) -> Script:
    """Return a script that sends something else in place of one frame."""
    return changing(way, number, lambda _: data)


def adding(way: Way, number: int, *, before: bytes = b"", behind: bytes = b"") -> Script:
    """Return a script that sends more beside one frame."""
    return changing(way, number, lambda frame: before + frame + behind)


class Tapped:
    """One connection that goes through the man in the middle."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.seen: dict[Way, list[bytes]] = {Way.UP: [], Way.DOWN: []}
        """The frames that each end sent, as it sent them."""
        self.faults = 0
        """How often the script did its harm."""
        self.sides = {Way.UP: _Side(self, Way.UP), Way.DOWN: _Side(self, Way.DOWN)}
        self._finished: set[Way] = set()
        self.connected = False
        """Whether there is a server to carry to."""

    @property
    def over(self) -> bool:
        """Whether both sockets are closed."""
        return all(side.lost for side in self.sides.values())

    def sent(self, way: Way) -> bytes:
        """Return all that an end sent in that direction, a cut frame at its end included."""
        return b"".join(self.seen[way]) + bytes(self.sides[way].rest)

    def write(self, way: Way, data: bytes) -> None:
        """Send bytes in that direction, as if the end there had sent them."""
        target = self.sides[way.back]
        if data and way not in self._finished:
            target.write(data)

    def finish(self, way: Way) -> None:
        """Send FIN in that direction; nothing follows it."""
        if way in self._finished:
            return
        self._finished.add(way)
        self.sides[way.back].finish()
        if len(self._finished) == 2:
            for side in self.sides.values():
                side.close()

    def reset(self) -> None:
        """Send RST to both ends; what is no TCP is closed at once."""
        self._finished.update(Way)
        for side in self.sides.values():
            side.reset()

    # Called by the two sides

    def begin(self) -> None:
        """Take in that the server has accepted."""
        self.connected = True
        self.sides[Way.UP].forward()

    def arrived(self, way: Way, frame: bytes) -> None:
        """Take in a whole frame."""
        seen = self.seen[way]
        seen.append(frame)
        self.write(way, self.script(self, way, len(seen) - 1, frame))

    def ended(self, way: Way, rest: bytes) -> None:
        """Take in the end of a stream, and what stood before it and is no frame."""
        self.write(way, rest)
        self.finish(way)

    def lost(self) -> None:
        """Take in that a socket is gone."""
        self._finished.update(Way)
        for side in self.sides.values():
            side.close()


class Outlet(asyncio.Protocol):
    """A socket of a proxy: what goes out at it, as long as it is there."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def finish(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            # The other end may have gone meanwhile.
            with contextlib.suppress(OSError):
                self._transport.write_eof()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        if self._transport is None:
            return
        sock = self._transport.get_extra_info("socket")
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


class _Side(Outlet):
    """A socket, and the bytes that come from it: in direction ``way``."""

    def __init__(self, tapped: Tapped, way: Way) -> None:
        super().__init__()
        self._tapped = tapped
        self._way = way
        self.rest = bytearray()
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._way is Way.DOWN:
            self._tapped.begin()

    def data_received(self, data: bytes) -> None:
        self.rest += data
        self.forward()

    def forward(self) -> None:
        while self._tapped.connected and len(self.rest) >= HEAD_SIZE:
            head = int.from_bytes(self.rest[:HEAD_SIZE], "little")
            size = HEAD_SIZE + (head & LENGTH_MASK)
            if len(self.rest) < size:
                break
            frame = bytes(self.rest[:size])
            del self.rest[:size]
            self._tapped.arrived(self._way, frame)

    def eof_received(self) -> bool:
        self._tapped.ended(self._way, bytes(self.rest))
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost = True
        self._tapped.lost()


class Middle:
    """Listens where the client believes the server to be."""

    def __init__(self, server: Server, family: Family) -> None:
        self._server = server
        self._family = family
        self._own = family
        if family.path is not None:
            self._own = Family(family.name, family.path.with_name("middle"))
        self._listener: asyncio.Server | None = None
        self._dialling: set[asyncio.Task[None]] = set()
        self.script: Script = carry
        """For each connection that begins from now on."""
        self.connections: list[Tapped] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if self._own.path is not None:
            self._listener = await loop.create_unix_server(self._accept, str(self._own.path))
        else:
            self._listener = await loop.create_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.close()
        for tapped in self.connections:
            tapped.reset()
        await self._listener.wait_closed()

    @property
    def address(self) -> Address:
        """What ``connect()`` needs."""
        if self._own.path is not None:
            return {"path": self._own.path}
        assert self._listener is not None
        return {"host": "127.0.0.1", "port": self._listener.sockets[0].getsockname()[1]}

    def route(self, server: Server) -> None:
        """Lead the connections that begin from now on to another server."""
        self._server = server

    def _accept(self) -> asyncio.Protocol:
        tapped = Tapped(self.script)
        self.connections.append(tapped)
        task = asyncio.get_running_loop().create_task(self._dial(tapped))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)
        return tapped.sides[Way.UP]

    async def _dial(self, tapped: Tapped) -> None:
        loop = asyncio.get_running_loop()
        address = self._family.target(self._server)
        side = tapped.sides[Way.DOWN]
        if "path" in address:
            await loop.create_unix_connection(lambda: side, str(address["path"]))
        else:
            await loop.create_connection(lambda: side, address["host"], address["port"])
