"""A session begins to count anew: its server has lost its memory, or the client's program was
started again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

import sealframe
from sealframe import (
    ClientOptions,
    CloseCode,
    Connection,
    ConnectionClosedError,
    Server,
    SessionLostError,
    Sessions,
)
from sealframe.aio.connection import protocol_of
from sealframe.wire import Control, Opcode
from sealframe.wire.control import Close

from .ends import PATIENCE
from .scripted import Peer, listening, until
from .session_peers import (
    WINDOW,
    SessionServer,
    ack,
    cost,
    read_message,
    read_welcome,
    say_hello,
    welcome,
)

pytestmark = pytest.mark.usefixtures("no_leaks")

ANY_LOOP = True

QUICK = ClientOptions(backoff_initial=0.001, backoff_maximum=0.01, close_timeout=0.5)
FIRST, SECOND = 11, 22
"""Two numberings."""


@asynccontextmanager
async def client(
    options: ClientOptions = QUICK, *, first: int = WINDOW
) -> AsyncIterator[tuple[Connection, Peer, SessionServer]]:
    """Yield a client, its scripted server on the first link, and what accepts the next one.

    :param first: the server's window
    """
    async with listening() as listener:
        server = SessionServer(listener)
        dialling = asyncio.ensure_future(
            sealframe.connect("127.0.0.1", listener.port, session=True, options=options)
        )
        peer, _ = await server.accept()
        await welcome(peer, FIRST, credit=first)
        conn = await dialling
        try:
            yield conn, peer, server
        finally:
            async with asyncio.timeout(PATIENCE):
                await conn.close()


async def cut_and_welcome(peer: Peer, server: SessionServer, taken: int, **more: int) -> Peer:
    """Cut the link; be a server without memory on the next."""
    peer.raw.reset()
    peer, hello = await server.accept()
    assert hello.numbering == FIRST
    await welcome(peer, SECOND, taken=taken, **more)
    return peer


async def test_what_a_new_server_has_not_taken_is_sent_again_first() -> None:
    async with client() as (conn, link, server):
        peer = link
        for message in (b"one", b"two", b"three", b"four"):
            await conn.send(message)
            assert await read_message(peer) == message
        await peer.write(ack(1))
        await peer.write(b"\3\0\0\0abc")
        assert await conn.recv() == b"abc"
        peer = await cut_and_welcome(peer, server, taken=2)
        await conn.send(b"five")
        assert [await read_message(peer) for _ in range(3)] == [b"three", b"four", b"five"]
        # Three frames were given in this numbering, and one of the peer counts.
        await peer.write(ack(3))
        await peer.write(b"\3\0\0\0def")
        assert await conn.recv() == b"def"
        assert int.from_bytes(await peer.read_opcode(Opcode.ACK), "little") == 1
        # The first numbering is over: the next link tells of the second alone.
        peer.raw.reset()
        peer, hello = await server.accept()
        assert (hello.numbering, hello.received, hello.acknowledged) == (SECOND, 1, 1)
        await welcome(peer, SECOND, received=3, acknowledged=3)
        await conn.send(b"six")
        assert await read_message(peer) == b"six"
        peer.raw.close()
        await peer_lost(conn, server)


async def peer_lost(conn: Connection, server: SessionServer) -> None:
    """End the session at the next link."""
    peer, _ = await server.accept()
    await peer.write(_close(CloseCode.SESSION_LOST))
    await until(lambda: conn.closed)
    peer.raw.close()


def _close(code: CloseCode) -> bytes:
    return sealframe.wire.control.frame(Opcode.CLOSE, Close(code).encode())


async def test_requests_and_streams_fail_and_new_ones_go_on() -> None:
    async with client() as (conn, link, server), asyncio.timeout(PATIENCE):
        peer = link
        asking = asyncio.ensure_future(conn.request(b"question"))
        await peer.read_opcode(Opcode.REQUEST)
        stream = await conn.open_stream()
        await stream.write(b"data")
        await peer.read_opcode(Opcode.STREAM_DATA)
        peer = await cut_and_welcome(peer, server, taken=0)
        with pytest.raises(ConnectionClosedError, match="streams and requests cannot go on") as one:
            await asking
        with pytest.raises(ConnectionClosedError, match="streams and requests cannot go on"):
            await stream.read()
        assert one.value.code == CloseCode.SESSION_LOST
        assert not conn.closed
        # Nothing that was kept of them is sent; the next request is the first of all.
        again = asyncio.ensure_future(conn.request(b"again"))
        body = await peer.read_opcode(Opcode.REQUEST)
        assert int.from_bytes(body[:4], "little") == 0
        again.cancel()
        peer.raw.close()
        await peer_lost(conn, server)


@pytest.mark.parametrize("taken", [0, 4])
async def test_what_cannot_be_ends_the_session(taken: int) -> None:
    """One was acknowledged, and three were given."""
    async with client() as (conn, link, server):
        peer = link
        for _ in range(3):
            await conn.send(b"x")
            await read_message(peer)
        await peer.write(ack(1))
        await peer.write(b"\0\0\0\0")
        await conn.recv()
        peer = await cut_and_welcome(peer, server, taken=taken)
        close = await peer.read_close()
        assert close.code == CloseCode.SESSION_LOST
        with pytest.raises(SessionLostError, match=f"has taken {taken} messages for good") as lost:
            await conn.recv()
        assert (lost.value.arrived, lost.value.unknown, lost.value.unsent) == (1, 2, 0)
        peer.raw.close()


async def test_a_message_over_the_new_limit_ends_the_session() -> None:
    async with client() as (conn, link, server):
        peer = link
        for size in (10, 20, 5000):
            await conn.send(bytes(size))
            await read_message(peer)
        peer = await cut_and_welcome(peer, server, taken=1, max_frame=1000)
        assert (await peer.read_close()).code == CloseCode.SESSION_LOST
        with pytest.raises(SessionLostError, match="message 3 of it has 5,000 bytes") as lost:
            await conn.recv()
        assert (lost.value.arrived, lost.value.unknown, lost.value.unsent) == (1, 2, 0)
        peer.raw.close()


async def test_credit_begins_anew() -> None:
    """What is sent again waits for the credit of the new numbering, as all else does."""
    message = bytes(936)
    async with client() as (conn, link, server):
        peer = link
        for _ in range(20):
            await conn.send(message)
            await read_message(peer)
        peer = await cut_and_welcome(peer, server, taken=5, credit=cost(message) * 3)
        for _ in range(3):
            await read_message(peer)
        await peer.write(sealframe.wire.control.frame(Opcode.PING, b""))
        # Nothing but the answer: there is no credit for a fourth.
        frame = await peer.read()
        assert isinstance(frame, sealframe.wire.Control)
        assert frame.opcode == Opcode.PONG
        credit = (cost(message) * 12).to_bytes(4, "little")
        await peer.write(sealframe.wire.control.frame(Opcode.CREDIT, credit))
        for _ in range(12):
            await read_message(peer)
        peer.raw.close()
        await peer_lost(conn, server)


async def test_what_waits_for_its_new_number_is_not_known_to_have_arrived() -> None:
    message = bytes(936)
    async with client() as (conn, link, server):
        peer = link
        for _ in range(4):
            await conn.send(message)
            await read_message(peer)
        peer = await cut_and_welcome(peer, server, taken=1, credit=cost(message))
        await read_message(peer)
        await conn.send(b"never given")
        # A third server, which has got more of the earlier ones than are given in this numbering.
        peer.raw.reset()
        peer, hello = await server.accept()
        assert hello.numbering == SECOND
        await welcome(peer, FIRST, taken=3)
        assert await read_message(peer) == message
        assert await read_message(peer) == b"never given"
        peer.raw.close()
        peer, _ = await server.accept()
        await welcome(peer, SECOND, taken=4, credit=1)
        assert await read_message(peer) == b"never given"
        peer.raw.close()
        await peer_lost(conn, server)
        with pytest.raises(SessionLostError) as lost:
            await conn.recv()
        assert (lost.value.arrived, lost.value.unknown, lost.value.unsent) == (4, 1, 0)


class TestCloses:
    """What the old server has said, and was told, of the end counts no more: neither has the new
    one."""

    SENT = tuple(bytes([number]) * 900 for number in range(12))

    async def _end(self, peer: Peer, sent: Sequence[bytes]) -> None:
        """Be the new server: take these, and nothing but CLOSE after them; end in order."""
        assert [await read_message(peer) for _ in sent] == list(sent)
        await peer.write(ack(len(sent)))
        assert not [frame for frame in await peer.await_end() if isinstance(frame, bytes)]
        await peer.write(_close(CloseCode.NORMAL))
        # Neither a message nor CREDIT after CLOSE.
        peer.raw.finish()
        assert await peer.read_to_end() == []
        peer.raw.close()

    async def test_what_is_sent_again_comes_before_the_close(self) -> None:
        async with client() as (conn, link, server), asyncio.timeout(PATIENCE):
            peer = link
            await conn.send_many(self.SENT)
            for _ in self.SENT:
                await read_message(peer)
            # It had got them, and is lost before it acknowledges any.
            await peer.write(_close(CloseCode.NORMAL))
            await peer.await_end()
            peer = await cut_and_welcome(peer, server, taken=0)
            await self._end(peer, self.SENT)
            assert await conn.close()

    async def test_what_was_not_given_to_the_old_server_follows(self) -> None:
        """The link is cut while the client cannot say CLOSE yet."""
        options = ClientOptions(
            backoff_initial=0.001, backoff_maximum=0.01, outbox_limit=4000, close_timeout=PATIENCE
        )
        async with client(options) as (conn, link, server), asyncio.timeout(PATIENCE):
            peer = link
            await conn.send_many(self.SENT)
            await peer.write(_close(CloseCode.NORMAL))
            await until(lambda: protocol_of(conn).closer.closing)
            peer = await cut_and_welcome(peer, server, taken=0)
            got = 0
            while isinstance(frame := await peer.read(), bytes):
                assert frame == self.SENT[got]
                got += 1
                await peer.write(ack(got))
            assert got == len(self.SENT)
            await peer.write(_close(CloseCode.NORMAL))
            peer.raw.finish()
            assert await conn.close()
            peer.raw.close()

    async def test_no_credit_after_the_close(self) -> None:
        message = bytes(936)
        async with client() as (conn, link, server), asyncio.timeout(PATIENCE):
            peer = link
            closing = asyncio.ensure_future(conn.close())
            await peer.await_end()
            peer = await cut_and_welcome(peer, server, taken=0)
            await peer.await_end()
            taking = asyncio.ensure_future(_count(conn))
            for _ in range(400):
                await peer.write(framed(message))
            await peer.write(_close(CloseCode.NORMAL))
            peer.raw.finish()
            rest = [frame for frame in await peer.read_to_end() if isinstance(frame, Control)]
            assert {frame.opcode for frame in rest} <= {Opcode.ACK}
            assert await closing
            assert await taking == 400
            peer.raw.close()

    async def test_all_credit_is_told_after_the_close(self) -> None:
        message = bytes(936)
        async with client() as (conn, link, server), asyncio.timeout(PATIENCE):
            link.raw.reset()
            peer, hello = await server.accept()
            await welcome(peer, FIRST)
            first = hello.credit
            for _ in range(first // cost(message)):
                await peer.write(framed(message))
                await conn.recv()
            closing = asyncio.ensure_future(conn.close())
            given = 0
            for frame in await peer.await_end():
                if isinstance(frame, Control) and frame.opcode == Opcode.CREDIT:
                    given += int.from_bytes(frame.body, "little")
            assert given
            peer.raw.reset()
            peer, hello = await server.accept()
            assert hello.credit == first + given
            await peer.write(_close(CloseCode.SESSION_LOST))
            assert not await closing
            peer.raw.close()


async def _count(conn: Connection) -> int:
    return len([message async for message in conn])


class Served:
    """Clients of a server, with what each handler has got and how it ended."""

    def __init__(self) -> None:
        self.conns: list[Connection] = []
        self.got: list[list[bytes]] = []
        self.ends: list[BaseException | None] = []
        self.hold = asyncio.Event()

    async def handler(self, conn: Connection) -> None:
        self.conns.append(conn)
        got: list[bytes] = []
        self.got.append(got)
        try:
            async for message in conn:
                got.append(message)
                if message == b"hold":
                    await self.hold.wait()
        except ConnectionClosedError as error:
            self.ends.append(error)
            raise
        else:
            self.ends.append(None)


@asynccontextmanager
async def serving(served: Served) -> AsyncIterator[Server[bytes, bytes]]:
    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(
            served.handler,
            "127.0.0.1",
            0,
            sessions=Sessions(),
            options=sealframe.ServerOptions(close_timeout=0.2),
        ) as server,
    ):
        yield server


def framed(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(4, "little") + message for message in messages)


async def test_a_later_start_ends_the_handler_and_the_next_gets_what_it_had_not_taken() -> None:
    served = Served()
    async with serving(served) as server:
        peer = await say_hello(server)
        first = await read_welcome(peer)
        await peer.write(framed(b"a", b"hold", b"c", b"d"))
        await until(lambda: bool(served.got) and served.got[0] == [b"a", b"hold"])
        await served.conns[0].send(b"one")
        assert await read_message(peer) == b"one"
        await served.conns[0].send(b"two")
        assert await read_message(peer) == b"two"
        await peer.write(ack(1))
        await until(lambda: served.conns[0].stats.messages_received == 4)
        await peer.write(sealframe.wire.control.frame(Opcode.PING, b""))
        await peer.read_opcode(Opcode.PONG)

        # The old link is still there: it is cut off first.
        again = await say_hello(server, start=2, link=1, known=True)
        second = await read_welcome(again)
        assert second.numbering != first.numbering
        assert (second.received, second.acknowledged, second.taken) == (0, 0, 4)
        await again.write(framed(b"e"))
        await until(lambda: len(served.got) == 2 and served.got[1] == [b"c", b"d", b"e"])
        served.hold.set()
        await until(lambda: bool(served.ends))
        ended = served.ends[0]
        assert isinstance(ended, SessionLostError)
        assert "was started again" in str(ended)
        assert (ended.arrived, ended.unknown, ended.unsent) == (1, 1, 0)
        # Two frames came in this numbering at most: one.
        assert int.from_bytes(await again.read_opcode(Opcode.ACK), "little") == 1
        # An earlier start is late.
        late = await say_hello(server, start=1, link=9, numbering=first.numbering, known=True)
        assert (await late.read_close()).code == CloseCode.SUPERSEDED
        for one in (peer, again, late):
            one.raw.close()


async def test_a_fault_after_hello_does_not_guess_what_the_peer_is() -> None:
    """It has said so, though no frame has counted yet."""
    async with serving(Served()) as server:
        peer = await say_hello(server)
        await read_welcome(peer)
        await peer.write(sealframe.wire.control.frame(Opcode.WELCOME, b""))
        close = await peer.read_close()
        assert close.code == CloseCode.PROTOCOL
        assert "extended" not in close.reason
        peer.raw.close()


async def test_a_welcome_that_was_lost_is_said_again() -> None:
    """The client comes back with an earlier numbering: for it, this one begins."""
    served = Served()
    async with serving(served) as server:
        peer = await say_hello(server)
        await read_welcome(peer)
        await peer.write(framed(b"a", b"b", b"c"))
        await until(lambda: bool(served.got) and len(served.got[0]) == 3)
        peer.raw.close()
        lost = await say_hello(server, start=2, link=1, known=True)
        first = await read_welcome(lost)
        assert first.taken == 3
        await until(lambda: len(served.conns) == 2)
        await served.conns[1].send(b"hello")
        assert await read_message(lost) == b"hello"
        lost.raw.close()
        # HELLO's counts and credit are of another numbering.
        again = await say_hello(
            server, start=2, link=2, numbering=77, received=9, acknowledged=9, credit=10**9
        )
        second = await read_welcome(again)
        assert (second.numbering, second.taken) == (first.numbering, 3)
        assert (second.received, second.acknowledged) == (0, 0)
        assert again.welcome is not None
        assert second.credit == again.welcome.window
        assert await read_message(again) == b"hello"
        # Of its window, not of the other credit.
        await served.conns[1].send(bytes(WINDOW))
        assert len(await read_message(again)) == WINDOW
        served.conns[1].send_nowait(b"waits")
        await again.write(sealframe.wire.control.frame(Opcode.PING, b""))
        frame = await again.read()
        assert isinstance(frame, sealframe.wire.Control)
        assert frame.opcode == Opcode.PONG
        again.raw.close()
