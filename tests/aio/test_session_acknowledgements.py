"""What an end of a session acknowledges, and what each link says again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mitm.middle import Way

import sealframe
from sealframe import ClientOptions, Connection, ServerOptions, Sessions
from sealframe.aio.connection import protocol_of
from sealframe.wire import MIN_ACK_BY, CloseCode, Control, Opcode, control
from sealframe.wire.control import Close

from .cutting import CuttingProxy, Fault, Plan
from .ends import PATIENCE, TCP, Mode
from .scripted import Peer, listening, message, until
from .session_peers import (
    EXTENDED,
    SessionServer,
    ack,
    cost,
    read_message,
    read_welcome,
    say_hello,
    welcome,
)

ANY_LOOP = True

pytestmark = pytest.mark.usefixtures("no_leaks")


async def read_until(peer: Peer, opcode: Opcode) -> Control:
    """Return the next control frame of that kind."""
    while True:
        frame = await peer.read()
        assert frame is not None
        if isinstance(frame, Control) and frame.opcode == opcode:
            return frame


async def test_close_does_not_acknowledge_what_came_with_the_last_word(control_mode: Mode) -> None:
    """Messages that nobody takes any more come before the acknowledgement for which the server's
    CLOSE has waited, and in the same read. What nobody has taken before is told besides."""
    may_return = asyncio.Event()

    async def handler(conn: Connection) -> None:
        await conn.send(b"not acknowledged yet")
        await may_return.wait()

    arguments: dict[str, Any] = {**TCP.listen, **control_mode.server}
    async with asyncio.timeout(PATIENCE):
        async with sealframe.serve(
            handler,
            **arguments,
            sessions=Sessions(),
            options=ServerOptions(inbox_limit=20_000),
        ) as server:
            peer = await say_hello(server, mode=control_mode)
            with contextlib.closing(peer.raw):
                assert (await read_welcome(peer)).credit == 20_000
                await peer.write(message(bytes(15_000)))
                assert await read_until(peer, Opcode.ACK) == Control(Opcode.ACK, ack(1)[5:])
                may_return.set()
                # Nothing is held back any more: the whole window is given again.
                await read_until(peer, Opcode.CREDIT)
                await peer.write(message(bytes(15_000)))
                await peer.write(message(b"too late") + ack(1))
                close = Close.decode((await read_until(peer, Opcode.CLOSE)).body)
                assert close.frames_received == 1
                assert close.messages_discarded == 1


@contextlib.asynccontextmanager
async def client_of_a_script(credit: int) -> AsyncIterator[tuple[Connection, SessionServer, Peer]]:
    """Begin a session with a scripted server that gives so much credit."""
    options = ClientOptions(backoff_initial=0.001, backoff_maximum=0.01, close_timeout=2)
    async with asyncio.timeout(PATIENCE), listening() as listener:
        script = SessionServer(listener)
        connecting = sealframe.connect(
            "127.0.0.1", listener.port, session=True, options=options, **EXTENDED.client
        )
        dialling = asyncio.ensure_future(connecting.__aenter__())
        peer, _ = await script.accept()
        await welcome(peer, 7, credit=credit)
        conn = await dialling
        try:
            yield conn, script, peer
        finally:
            await conn.close(CloseCode.KICKED)


async def test_credit_that_was_lost_with_its_link_is_made_up_for() -> None:
    """WELCOME says the total; the first message has used up all that there was."""
    async with client_of_a_script(cost(b"one")) as (conn, script, peer):
        await conn.send(b"one")
        await conn.send(b"two")
        assert await read_message(peer) == b"one"
        peer.raw.reset()
        second, hello = await script.accept()
        assert (hello.numbering, hello.received) == (7, 0)
        await welcome(second, 7, received=1, credit=cost(b"one", b"two"))
        assert await read_message(second) == b"two"
        second.raw.close()


async def test_close_is_said_again_on_the_next_link() -> None:
    """With what it acknowledges."""
    async with client_of_a_script(65536) as (conn, script, first):
        peer = first
        await peer.write(message(b"one"))
        assert await conn.recv() == b"one"
        closing = asyncio.ensure_future(conn.close())
        for _ in range(2):
            close = Close.decode((await read_until(peer, Opcode.CLOSE)).body)
            assert close == Close(frames_received=1)
            peer.raw.reset()
            peer, hello = await script.accept()
            assert hello.acknowledged == 1
            await welcome(peer, 7)
        await read_until(peer, Opcode.CLOSE)
        await peer.write(control.frame(Opcode.CLOSE, Close(frames_received=0).encode()))
        peer.raw.finish()
        assert await closing is True
        peer.raw.close()


async def test_a_dead_link_is_noticed_while_what_it_swallowed_is_waited_for() -> None:
    """The client closes, and waits for acknowledgements that cannot come over this link."""
    options: dict[str, Any] = {"keepalive_interval": 0.1, "keepalive_timeout": 0.1}

    async def echo(conn: Connection) -> None:
        async for received in conn:
            await conn.send(received)

    def plans(number: int) -> Plan:
        return Plan(Fault.STRAND, Way.DOWN, 200) if number == 0 else Plan()

    async with asyncio.timeout(PATIENCE):
        async with (
            sealframe.serve(echo, **TCP.listen, sessions=Sessions()) as server,
            CuttingProxy(server.port, plans=plans) as proxy,
            sealframe.connect(
                "127.0.0.1",
                proxy.port,
                session=True,
                options=ClientOptions(**options, close_timeout=PATIENCE, backoff_initial=0.01),
            ) as conn,
        ):
            await conn.send(bytes(500))
            await until(lambda: bool(proxy.faults))
            assert await conn.close()
            assert proxy.connections == 2


async def test_one_acknowledgement_waits_for_a_peer_that_does_not_read(control_mode: Mode) -> None:
    """The last, which says what those before it would."""
    count = 50
    stuck, taken = asyncio.Event(), asyncio.Event()

    async def handler(conn: Connection) -> None:
        while not protocol_of(conn).sender.write_paused:
            await conn.send(bytes(30_000))
        stuck.set()
        for _ in range(count):
            await conn.recv()
            taken.set()
        await conn.wait_closed()

    arguments: dict[str, Any] = {**TCP.listen, **control_mode.server}
    options = ServerOptions(outbox_limit=2**26, close_timeout=0.1)
    async with asyncio.timeout(PATIENCE):
        async with sealframe.serve(
            handler, **arguments, sessions=Sessions(), options=options
        ) as server:
            peer = await say_hello(server, mode=control_mode, ack_by=MIN_ACK_BY)
            with contextlib.closing(peer.raw):
                await read_welcome(peer)
                await peer.write(control.frame(Opcode.CREDIT, (2**26).to_bytes(4, "little")))
                await stuck.wait()
                for _ in range(count):
                    # So that each of them is due to be acknowledged when it comes.
                    await peer.write(message(bytes(MIN_ACK_BY)))
                    await taken.wait()
                    taken.clear()
                assert await read_until(peer, Opcode.ACK) == Control(Opcode.ACK, ack(count)[5:])
