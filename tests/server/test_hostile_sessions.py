"""Clients that abuse sessions: what they cost is bounded, and only they suffer."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aio.ends import Mode
from aio.scripted import Peer, Raw, message, until

import sealframe
from sealframe import Connection, Server, ServerOptions, Sessions
from sealframe.aio.connection import protocol_of
from sealframe.wire import CloseCode, Control, Opcode, control
from sealframe.wire.control import Close, Hello, SessionHello, SessionWelcome

pytestmark = pytest.mark.usefixtures("no_leaks")

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

    async def dial(self, *, key: sealframe.SharedKey | None = None, small: bool = False) -> Peer:
        """Connect; HELLO is to come next."""
        raw = await Raw.dial(self.server.port, small_buffer=small)
        peer = Peer(raw, self.mode, client=True, key=key)
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
        **mode.server,
        sessions=sessions or Sessions(),
        options=options,
    ) as server:
        yield server, Thief(server, mode)


def the_client(server: Server) -> Connection:
    (conn,) = server.clients.values()
    return conn


def is_detached(conn: Connection) -> bool:
    return protocol_of(conn).detached


class TestLinksThatCross:
    async def test_a_reset_in_the_turn_in_which_the_next_link_comes(
        self, control_mode: Mode
    ) -> None:
        """The loss of the old socket is told after the next link is there, and is not its own."""
        async with site(control_mode) as (server, _):
            for _ in range(10):
                thief = Thief(server, control_mode)
                old = await thief.join()
                new = await thief.dial()
                frames = hello(thief.hello())
                data = frames if new.records is None else b"".join(new.records.seal(frames))
                # The event loop finds both when it looks next.
                old.raw.reset()
                new.raw.sock.send(data)
                assert isinstance(await thief.answer(new), SessionWelcome)
                await new.write(message(b"still there"))
                assert await new.read_message() == b"still there"
                new.raw.close()

    async def test_a_late_hello_does_not_end_a_session_that_closes(
        self, control_mode: Mode
    ) -> None:
        async def handler(conn: Connection) -> None:
            await conn.recv()

        async with site(control_mode, handler) as (server, thief):
            peer = await thief.join()
            conn = the_client(server)
            await peer.write(message(b"go"))
            await peer.read_opcode(Opcode.CLOSE)
            assert (await thief.is_refused(link=1)).code == CloseCode.SUPERSEDED
            assert not conn.closed
            await peer.write(control.frame(Opcode.CLOSE, Close(0, "", 0).encode()))
            await until(lambda: conn.closed)
            assert protocol_of(conn).closer.clean
            peer.raw.close()
