"""Two ends of a session on this machine, whose links a test cuts and lets through."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import sealframe
from sealframe import ClientOptions, Connection, Server, ServerOptions, Sessions
from sealframe.aio.connection import protocol_of

from .ends import PATIENCE, TCP, Api, Mode, handing_out, keep


class Road:
    """What a client connects through: opens sockets as long as it is open."""

    def __init__(self) -> None:
        self.target = 0
        """The port of the server."""
        self.asked = 0
        """How often a socket was asked for."""
        self._open = asyncio.Event()
        self._open.set()

    def shut(self) -> None:
        """Let nobody through from now on; what is there goes on."""
        self._open.clear()

    def open(self) -> None:
        """Let everybody through again."""
        self._open.set()

    async def connect(self) -> socket.socket:
        """Return a socket that is connected to the server."""
        self.asked += 1
        await self._open.wait()
        sock = socket.socket()
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.target))
        except BaseException:
            sock.close()
            raise
        return sock


def cut(conn: Connection) -> None:
    """Cut the link of a session."""
    transport = protocol_of(conn).transport
    assert transport is not None
    transport.abort()


class SessionPair(NamedTuple):
    """Both ends of one session."""

    client: Connection
    accepted: Connection
    """The server's end; its handler does nothing until the session is over."""
    server: Server
    road: Road

    def lose_link(self) -> None:
        """Cut the link, and let no other come in its place before the road is open again."""
        self.road.shut()
        cut(self.client)


@contextlib.asynccontextmanager
async def open_session(
    mode: Mode,
    *,
    sessions: Sessions | None = None,
    server_options: ServerOptions | None = None,
    client_options: ClientOptions | None = None,
    at_server: dict[str, Any] | None = None,
    at_client: dict[str, Any] | None = None,
    api: Api = Api.RECV,
) -> AsyncIterator[SessionPair]:
    """Open a session and hand out both ends; close both at the end.

    :param api: how both ends get their messages
    :param at_server: further arguments of ``serve()``
    :param at_client: the same of ``connect()``
    """
    serving, arrived = handing_out(api)
    road = Road()
    if client_options is None:
        client_options = ClientOptions(backoff_initial=0.001, backoff_maximum=0.01)
    async with asyncio.timeout(PATIENCE):
        server = await sealframe.serve(
            **{**serving, **TCP.listen, **mode.server, **(at_server or {})},
            sessions=sessions or Sessions(),
            options=server_options,
        )
    road.target = server.port
    try:
        async with asyncio.timeout(PATIENCE):
            client = await sealframe.connect(
                **{**TCP.target(server), **mode.client, **(at_client or {})},
                sock=road.connect,
                session=True,
                on_message=keep if api is Api.ON_MESSAGE else None,
                options=client_options,
            )
            accepted = await arrived.get()
        yield SessionPair(client, accepted, server, road)
    finally:
        road.open()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(client.close(), accepted.close())
            await server.close()
