"""What a server does with HELLO and CLOSE of a session that the library's client never sends.

The rules are docs/PROTOCOL.md, section 12.
"""

from __future__ import annotations

import asyncio

import pytest
from aio.ends import PATIENCE, Api, handing_out
from aio.scripted import Peer, message, until
from aio.session_peers import WINDOW, ack, cost, read_message, read_welcome, say_hello

import sealframe
from sealframe import CloseCode, Connection, Server, Sessions
from sealframe.aio.connection import protocol_of
from sealframe.wire import Control, Opcode, control
from sealframe.wire.control import Close

pytestmark = pytest.mark.usefixtures("no_leaks")


def acknowledged(conn: Connection) -> int:
    session = protocol_of(conn).machine.session
    assert session is not None
    return session.retention.acknowledged


async def read_close(peer: Peer) -> Close:
    """Read up to CLOSE."""
    async with asyncio.timeout(PATIENCE):
        while True:
            frame = await peer.read()
            if isinstance(frame, Control) and frame.opcode == Opcode.CLOSE:
                return Close.decode(frame.body)


async def leave(peer: Peer, server: Server) -> None:
    """Cut the link of the only client."""
    peer.raw.close()
    await until(lambda: not any(conn.connected for conn in server.clients.values()))


class Site:
    """A server, and the ends that it has got."""

    def __init__(self) -> None:
        serving, self.arrived = handing_out(Api.RECV)
        self.serving = sealframe.serve(**serving, host="127.0.0.1", port=0, sessions=Sessions())


async def test_a_close_without_a_count_acknowledges_nothing() -> None:
    """It ends its sender's direction as any other; ACK may still follow."""
    site = Site()
    async with site.serving as server:
        peer = await say_hello(server)
        numbering = (await read_welcome(peer)).numbering
        assert numbering
        conn = await site.arrived.get()
        await conn.send(b"kept")
        assert await read_message(peer) == b"kept"
        await peer.write(message(b"last") + control.frame(Opcode.CLOSE, Close().encode()))
        assert await conn.recv() == b"last"
        with pytest.raises(sealframe.ConnectionClosedOK):
            await conn.recv()
        assert acknowledged(conn) == 0
        closing = asyncio.create_task(conn.close())
        await peer.write(ack(1))
        close = await read_close(peer)
        assert (close.code, close.frames_received) == (CloseCode.NORMAL, 1)
        assert await closing
        peer.raw.close()


@pytest.mark.parametrize("known", [False, True])
async def test_counts_without_a_numbering_mean_nothing(known: bool) -> None:
    """At the first HELLO, and where its WELCOME was lost: credit is the window of field 3."""
    site = Site()
    async with site.serving as server:
        for link in (1, 2):
            peer = await say_hello(
                server, link=link, received=7, acknowledged=5, credit=1, known=known and link > 1
            )
            welcome = await read_welcome(peer)
            assert (welcome.received, welcome.acknowledged, welcome.taken) == (0, 0, 0)
            if link == 1:
                await (await site.arrived.get()).send(bytes(1000))
            assert await read_message(peer) == bytes(1000)
            (conn,) = server.clients.values()
            assert acknowledged(conn) == 0
            await leave(peer, server)
        assert WINDOW > cost(bytes(1000)) > 1
