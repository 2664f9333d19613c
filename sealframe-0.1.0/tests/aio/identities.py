"""A server with an identity, its clients, and the files that they keep."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import sealframe
from sealframe import (
    ClientIdentity,
    ClientOptions,
    Connecting,
    Connection,
    PrivateKey,
    Server,
    ServerIdentity,
    ServerOptions,
    SharedKey,
)
from sealframe.noise.credentials import Credentials
from sealframe.server.handlers import Handler
from sealframe.server.server import registry_of
from sealframe.wire import Pattern

from .ends import PATIENCE, TCP, Family, Mode
from .scripted import Peer, Raw, until

SERVER = PrivateKey(bytes(range(1, 33)))
ANNA = PrivateKey(bytes(range(33, 65)))
BERT = PrivateKey(bytes(range(65, 97)))
STRANGER = PrivateKey(bytes(range(97, 129)))
BOTH = ("XK", "XX")

Way = Literal["XK", "XX", "invitation"]
"""How a client knows the server."""


def let_in(path: Path, **clients: PrivateKey) -> Path:
    """Make these, by name, the authorised clients, in one step."""
    new = path.with_name("clients.new")
    new.write_text("".join(f"{key.public_key} {name}\n" for name, key in clients.items()))
    new.chmod(0o600)
    return new.replace(path)


def identity(way: Way, key: PrivateKey, server: ServerIdentity, folder: Path) -> ClientIdentity:
    """Return a client that comes to that server for the first time."""
    match way:
        case "XK":
            return ClientIdentity(key, server=server.public_key)
        case "XX":
            return ClientIdentity(key, known_servers=folder / "known", trust_first_use=True)
        case "invitation":
            return ClientIdentity(key, invitation=server.invite("invited"))


class Host:
    """A server whose handlers echo, and wait for the end of the connection."""

    server: Server

    def __init__(self, family: Family) -> None:
        self._family = family
        self.arrived: asyncio.Queue[Connection] = asyncio.Queue()
        self.errors: list[Exception] = []
        """What ended the handlers."""

    async def handler(self, conn: Connection) -> None:
        self.arrived.put_nowait(conn)
        try:
            async for message in conn:
                await conn.send(message)
        except sealframe.ConnectionClosed as error:
            self.errors.append(error)
            raise

    @property
    def name(self) -> str:
        """The address as clients know it."""
        path = self._family.path
        if path is not None:
            return str(path)
        host = "[::1]" if self._family.name == "tcp6" else "127.0.0.1"
        return f"{host}:{self.server.port}"

    def dial(
        self,
        security: ClientIdentity | SharedKey,
        *,
        context: str = "",
        options: ClientOptions | None = None,
    ) -> Connecting:
        target = self._family.target(self.server)
        return sealframe.connect(**target, security=security, context=context, options=options)

    async def connect(self, security: ClientIdentity | SharedKey, **more: Any) -> Connection:
        """Connect within reasonable time."""
        async with asyncio.timeout(PATIENCE):
            return await self.dial(security, **more)

    async def next(self) -> Connection:
        """Return the server's end of the next connection."""
        async with asyncio.timeout(PATIENCE):
            return await self.arrived.get()

    async def script(self, credentials: Credentials) -> Peer:
        """Connect a client that does what a test tells it, over TCP."""
        raw = await Raw.dial(self.server.port)
        return Peer(raw, Mode("sealed"), client=True, credentials=credentials)

    async def emptied(self) -> None:
        """Wait until no connection is left."""
        await until(
            lambda: self.server.counters.accepted > 0 and not registry_of(self.server).connections
        )


@contextlib.asynccontextmanager
async def hosting(
    security: ServerIdentity | SharedKey,
    *,
    family: Family = TCP,
    context: str = "",
    port: int = 0,
    options: ServerOptions | None = None,
    handler: Handler | None = None,
) -> AsyncIterator[Host]:
    """Serve on loopback.

    :param port: a free one by default
    :param handler: in place of the one that echoes
    """
    host = Host(family)
    where: Any = {**family.listen}
    if port:
        where["port"] = port
    host.server = await sealframe.serve(
        handler or host.handler, **where, security=security, context=context, options=options
    )
    try:
        yield host
    finally:
        async with asyncio.timeout(PATIENCE):
            await host.server.close()


def static(pattern: Pattern, key: PrivateKey) -> Credentials:
    """Return what a scripted client proves itself with."""
    remote = bytes(SERVER.public_key) if pattern is Pattern.XK else None
    return Credentials(pattern, static=key.secret_bytes(), remote_static=remote)


async def check_alive(conn: Connection) -> None:
    """Check that what is sent comes back."""
    async with asyncio.timeout(PATIENCE):
        await conn.send(b"are you there?")
        assert await conn.recv() == b"are you there?"
