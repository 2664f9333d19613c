"""The two ends of a connection on this machine, in every way to talk and to reach a peer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict
from weakref import WeakKeyDictionary

import sealframe
from sealframe import (
    ClientOptions,
    Connection,
    ConnectionClosedOK,
    Server,
    ServerOptions,
    Serving,
    SharedKey,
    Stream,
)
from sealframe.aio.connection import protocol_of
from sealframe.framing import FrameLayout
from sealframe.server.handlers import Handler

ModeName = Literal["packets", "extended", "sealed"]
FamilyName = Literal["tcp4", "tcp6", "unix"]

_DESCRIPTORS = "/proc/self/fd"

PATIENCE = float(os.environ.get("SEALFRAME_PATIENCE", "30"))
"""Seconds after which a test that waits for something gives up; never what it measures. The
mutations have less: there many a test waits in vain."""


class _ServerArguments(TypedDict, total=False):
    security: SharedKey
    framing: FrameLayout


class _ClientArguments(TypedDict, total=False):
    security: SharedKey
    extended: bool
    framing: FrameLayout


class Services(TypedDict, total=False):
    """What an end does with what the other asks for."""

    on_stream: Callable[[Stream], Awaitable[None]]
    on_request: Callable[[Connection, bytes], Any]


class _Address(TypedDict, total=False):
    host: str
    port: int
    path: Path


@cache
def shared_key() -> SharedKey:
    """Return one key for all sealed tests."""
    return SharedKey.generate()


@dataclass(frozen=True)
class Mode:
    """A way to talk, as the arguments of ``serve()`` and ``connect()``."""

    name: ModeName = "packets"
    framing: FrameLayout | None = None
    """A foreign layout, in place of sealframe's own packets."""

    @property
    def sealed(self) -> bool:
        """Whether bytes are encrypted."""
        return self.name == "sealed"

    @property
    def has_control(self) -> bool:
        """Whether control frames flow: PING, CLOSE and the like."""
        return self.name != "packets"

    @property
    def server(self) -> _ServerArguments:
        """What ``serve()`` needs."""
        if self.framing is not None:
            return {"framing": self.framing}
        return {"security": shared_key()} if self.sealed else {}

    @property
    def client(self) -> _ClientArguments:
        """What ``connect()`` needs."""
        if self.framing is not None:
            return {"framing": self.framing}
        if self.sealed:
            return {"security": shared_key()}
        return {"extended": True} if self.name == "extended" else {}


@dataclass(frozen=True)
class Family:
    """A way to reach a server on this machine."""

    name: FamilyName = "tcp4"
    path: Path | None = None
    """Where the Unix socket is, if it is one."""

    @property
    def listen(self) -> _Address:
        """What ``serve()`` needs."""
        if self.path is not None:
            return {"path": self.path}
        return {"host": "::1" if self.name == "tcp6" else "127.0.0.1", "port": 0}

    def target(self, server: Server[Any, Any]) -> _Address:
        """Return what ``connect()`` needs to reach that server."""
        if self.path is not None:
            return {"path": self.path}
        return {"host": "::1" if self.name == "tcp6" else "127.0.0.1", "port": server.port}


TCP = Family()


def has_ipv6() -> bool:
    """Return whether this machine has the loopback address ::1."""
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def count_sockets() -> int:
    """Return how many sockets this process has, 0 where the platform does not list them."""
    count = 0
    # Before and after every test: paths as objects would take a tenth of the tests' time.
    with contextlib.suppress(FileNotFoundError), os.scandir(_DESCRIPTORS) as entries:
        for entry in entries:
            # Another thread may have closed it meanwhile.
            with contextlib.suppress(OSError):
                count += stat.S_ISSOCK(os.fstat(int(entry.name)).st_mode)
    return count


def is_held_back(conn: Connection) -> bool:
    """Return whether the peer sends nothing before messages are taken: it has no credit for
    more, or, where there are no windows, its bytes are not read."""
    protocol = protocol_of(conn)
    window = protocol.receiver.window
    return protocol.receiver.paused or (window is not None and window.left <= 0)


def start(
    handler: Handler,
    mode: Mode,
    family: Family = TCP,
    options: ServerOptions | None = None,
) -> Serving:
    """Serve on loopback."""
    return sealframe.serve(handler, **family.listen, **mode.server, options=options)


def dial(
    server: Server,
    mode: Mode,
    family: Family = TCP,
    options: ClientOptions | None = None,
) -> sealframe.Connecting:
    """Connect to a server that :func:`start` made."""
    return sealframe.connect(**family.target(server), **mode.client, options=options)


class Api(Enum):
    """How a program gets its messages."""

    RECV = "recv"
    ON_MESSAGE = "on_message"


_called: WeakKeyDictionary[Connection, deque[bytes]] = WeakKeyDictionary()
"""What ``on_message`` was called with, and the test has not taken."""


def keep(conn: Connection, message: bytes) -> None:
    """Be the ``on_message`` of a connection whose messages :func:`receive` returns."""
    _called.setdefault(conn, deque()).append(message)


async def receive(conn: Connection) -> bytes:
    """Return the next message, from ``recv`` or from what ``on_message`` was called with.

    :raises ConnectionClosed: there is none, nor will there be
    """
    receiver = protocol_of(conn).receiver
    if not receiver.calls_back:
        return await conn.recv()
    called = _called.setdefault(conn, deque())
    while not called:
        if receiver.error is not None and receiver.all_called:
            raise receiver.error
        await asyncio.sleep(0)
    return called.popleft()


async def take(conn: Connection, count: int) -> list[bytes]:
    """Receive that many messages."""
    async with asyncio.timeout(PATIENCE):
        return [await receive(conn) for _ in range(count)]


async def collect(conn: Connection) -> list[bytes]:
    """Return all messages up to a clean end."""
    got = []
    async with asyncio.timeout(PATIENCE):
        if not protocol_of(conn).receiver.calls_back:
            return [message async for message in conn]
        with contextlib.suppress(ConnectionClosedOK):
            while True:
                got.append(await receive(conn))
    return got


class Pair(NamedTuple):
    """Both ends of one connection."""

    client: Connection
    accepted: Connection
    """The server's end; its handler does nothing until the connection is closed."""
    server: Server


def handing_out(api: Api) -> tuple[dict[str, Any], asyncio.Queue[Connection]]:
    """Return how a server is to take messages so that it does nothing with its connections, and
    where it puts each."""
    arrived: asyncio.Queue[Connection] = asyncio.Queue()

    async def handler(conn: Connection) -> None:
        arrived.put_nowait(conn)
        await conn.wait_closed()

    serving: dict[str, Any] = {"handler": handler}
    if api is Api.ON_MESSAGE:
        serving = {"on_message": keep, "on_connect": arrived.put_nowait}
    return serving, arrived


@contextlib.asynccontextmanager
async def open_pair(
    mode: Mode,
    family: Family = TCP,
    *,
    server_options: ServerOptions | None = None,
    client_options: ClientOptions | None = None,
    at_server: Services | None = None,
    at_client: Services | None = None,
    api: Api = Api.RECV,
) -> AsyncIterator[Pair]:
    """Open a connection and hand out both ends; close both at the end.

    :param api: how both ends get their messages
    :param at_server: what the server does with streams and requests
    :param at_client: the same of the client
    """
    serving, arrived = handing_out(api)
    async with asyncio.timeout(PATIENCE):
        server = await sealframe.serve(
            **serving, **family.listen, **mode.server, **(at_server or {}), options=server_options
        )
    try:
        async with asyncio.timeout(PATIENCE):
            client = await sealframe.connect(
                **family.target(server),
                **mode.client,
                **(at_client or {}),
                on_message=keep if api is Api.ON_MESSAGE else None,
                options=client_options,
            )
            accepted = await arrived.get()
        yield Pair(client, accepted, server)
    finally:
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(client.close(), accepted.close())
            await server.close()
