"""A client of a server that keeps sessions, which says of its own whatever a test wants."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aio.ends import Mode
from aio.scripted import Peer, Raw

import sealframe
from sealframe import ClientIdentity, Connection, Server, ServerIdentity, ServerOptions, Sessions
from sealframe.aio.connection import protocol_of
from sealframe.core.session import Session
from sealframe.trust.identity import credentials_of
from sealframe.wire import Control, Opcode, control
from sealframe.wire.control import Close, Hello, SessionHello, SessionWelcome

KIB = 1024
WINDOW = 64 * KIB


def hello(session: SessionHello) -> bytes:
    body = Hello(window=WINDOW, session=session.encode(), max_streams=8, max_requests=8).encode()
    return control.frame(Opcode.HELLO, body)


@dataclass
class Thief:
    """A client that says of its session whatever a test wants."""

    server: Server
    mode: Mode
    token: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    link: int = 0
    numbering: int = 0
    identity: ClientIdentity | None = None
    """In place of the shared key."""

    def hello(self, **fields: Any) -> SessionHello:
        """Return the next HELLO of a client that has received nothing, but for these fields."""
        self.link += 1
        values: dict[str, Any] = {
            "token": self.token,
            "start": 1,
            "link": self.link,
            "numbering": self.numbering,
            "received": 0,
            "acknowledged": 0,
            "credit": WINDOW,
            "ack_by": 64 * KIB,
            "known": bool(self.numbering),
        }
        return SessionHello(**{**values, **fields})

    async def dial(self) -> Peer:
        """Connect; HELLO is to come next."""
        raw = await Raw.dial(self.server.port)
        credentials = None if self.identity is None else credentials_of(self.identity)
        peer = Peer(raw, self.mode, client=True, credentials=credentials)
        if self.mode.sealed:
            await peer.shake_hands()
        return peer

    async def ask(self, **fields: Any) -> tuple[Peer, Close | SessionWelcome]:
        """Connect, say HELLO, and return what the server says to it."""
        peer = await self.dial()
        await peer.write(hello(self.hello(**fields)))
        return peer, await self.answer(peer)

    async def answer(self, peer: Peer) -> Close | SessionWelcome:
        """Return what the server says to HELLO."""
        frame = await peer.read()
        assert isinstance(frame, Control)
        if frame.opcode == Opcode.CLOSE:
            return Close.decode(frame.body)
        assert frame.opcode == Opcode.WELCOME
        return SessionWelcome.decode(Hello.decode(frame.body).session)

    async def join(self, **fields: Any) -> Peer:
        """Begin the session, or go on with it."""
        peer, answer = await self.ask(**fields)
        assert isinstance(answer, SessionWelcome)
        self.numbering = answer.numbering
        return peer

    async def is_refused(self, **fields: Any) -> Close:
        """Return the CLOSE with which HELLO is answered, before the end of the stream."""
        peer, answer = await self.ask(**fields)
        assert isinstance(answer, Close)
        assert await peer.read() is None
        peer.raw.close()
        return answer


@contextlib.asynccontextmanager
async def site(
    mode: Mode,
    handler: Callable[[Connection], Awaitable[None]] | None = None,
    *,
    sessions: Sessions | None = None,
    security: ServerIdentity | None = None,
    **limits: Any,
) -> AsyncIterator[tuple[Server, Thief]]:
    async def echo(conn: Connection) -> None:
        async for data in conn:
            await conn.send(data)

    options = ServerOptions(**{"close_timeout": 1.0, "keepalive_interval": None, **limits})
    async with sealframe.serve(
        handler or echo,
        "127.0.0.1",
        0,
        **(mode.server if security is None else {"security": security}),
        sessions=sessions or Sessions(),
        options=options,
    ) as server:
        yield server, Thief(server, mode)


def the_client(server: Server) -> Connection:
    (conn,) = server.clients.values()
    return conn


def is_detached(conn: Connection) -> bool:
    return protocol_of(conn).detached


def session_of(conn: Connection) -> Session:
    """Return the server's counts of a session."""
    session = protocol_of(conn).machine.session
    assert session is not None
    return session
