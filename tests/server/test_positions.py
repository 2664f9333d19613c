"""A server whose program stores how far it is: sessions go on after the server was lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aio.ends import PATIENCE, Mode
from aio.identities import ANNA, SERVER, let_in
from aio.scripted import Peer, until
from aio.session_peers import TOKEN, gone, read_welcome, say_hello

import sealframe
from sealframe import (
    ClientIdentity,
    ClientOptions,
    CloseCode,
    Connection,
    ConnectionClosedError,
    HandshakeError,
    NotSupportedError,
    Server,
    ServerIdentity,
    ServerOptions,
    SessionInfo,
    SessionLostError,
    Sessions,
    UnauthorizedError,
)
from sealframe.aio.connection import protocol_of
from sealframe.codecs import Json
from sealframe.wire import Opcode
from sealframe.wire.control import Close
from sealframe.wire.session_name import public_name

pytestmark = pytest.mark.usefixtures("no_leaks")

ANY_LOOP = True

QUICK = ClientOptions(backoff_initial=0.001, backoff_maximum=0.01, close_timeout=0.5)
BRIEF = ServerOptions(close_timeout=0.5)


class Program:
    """A program that stores a position, in memory that outlives its servers."""

    def __init__(self) -> None:
        self.stored: list[tuple[int, bytes]] = []
        self.asked: list[SessionInfo] = []
        self.answer = asyncio.Event()
        self.answer.set()
        self.error: Exception | None = None
        self.hold = asyncio.Event()
        self.hold.set()
        self.conns: list[Connection] = []
        self.ends: list[BaseException | None] = []

    @property
    def position(self) -> int:
        return self.stored[-1][0] if self.stored else 0

    async def load(self, session: SessionInfo) -> int | None:
        self.asked.append(session)
        await self.answer.wait()
        if self.error is not None:
            raise self.error
        return self.position

    async def handler(self, conn: Connection) -> None:
        self.conns.append(conn)
        try:
            async for message in conn:
                if message == b"raise":
                    raise ValueError("poison")
                await self.hold.wait()
                self.stored.append((conn.position, message))
        except ConnectionClosedError as error:
            self.ends.append(error)
            raise
        else:
            self.ends.append(None)

    @asynccontextmanager
    async def serving(self, port: int = 0, **more: Any) -> AsyncIterator[Server[bytes, bytes]]:
        arguments: dict[str, Any] = {"sessions": Sessions(position=self.load), "options": BRIEF}
        async with (
            asyncio.timeout(PATIENCE),
            sealframe.serve(self.handler, "127.0.0.1", port, **(arguments | more)) as server,
        ):
            yield server


def framed(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(4, "little") + message for message in messages)


async def read_ack(peer: Peer) -> int:
    return int.from_bytes(await peer.read_opcode(Opcode.ACK), "little")


async def test_a_client_is_told_where_to_look() -> None:
    program = Program()
    program.error = OSError("the database is locked")
    async with program.serving() as server:
        with pytest.raises(HandshakeError, match="log says why: try again later") as caught:
            await sealframe.connect("127.0.0.1", server.port, session=True)
        assert caught.value.code == CloseCode.BUSY


async def test_a_position_is_asked_for_and_told() -> None:
    program = Program()
    program.stored.append((7, b"of an earlier server"))
    async with program.serving() as server:
        peer = await say_hello(server, known=True, numbering=5, received=9, acknowledged=9)
        welcome = await read_welcome(peer)
        assert (welcome.taken, welcome.received, welcome.acknowledged) == (7, 0, 0)
        assert welcome.numbering != 5
        assert program.asked == [SessionInfo(public_name(TOKEN), None)]
        assert program.asked[0].name not in TOKEN.hex()
        await peer.write(framed(b"a", b"b"))
        await until(lambda: program.position == 9)
        assert program.stored[1:] == [(8, b"a"), (9, b"b")]
        assert program.conns[0].session == program.asked[0]
        # The handler has asked for the next: both are finished.
        assert await read_ack(peer) == 2
        # The same server has the session: nobody is asked.
        peer.raw.close()
        peer = await say_hello(
            server, link=2, numbering=welcome.numbering, acknowledged=0, known=True
        )
        again = await read_welcome(peer)
        assert (again.numbering, again.received, again.acknowledged, again.taken) == (
            welcome.numbering,
            2,
            2,
            0,
        )
        assert len(program.asked) == 1
        peer.raw.close()


async def test_what_is_not_finished_is_not_acknowledged() -> None:
    program = Program()
    async with program.serving() as server:
        peer = await say_hello(server)
        first = await read_welcome(peer)
        program.hold.clear()
        await peer.write(framed(b"a", b"b"))
        await until(lambda: bool(program.conns) and program.conns[0].position == 1)
        peer.raw.close()
        peer = await say_hello(server, link=2, numbering=first.numbering, known=True)
        welcome = await read_welcome(peer)
        assert (welcome.received, welcome.acknowledged) == (2, 0)
        program.hold.set()
        assert await read_ack(peer) == 2
        peer.raw.close()


async def test_a_later_start_waits_for_the_end_of_the_handler() -> None:
    """Its position would be read too early, and the message in hand stored twice."""
    program = Program()
    async with program.serving() as server:
        peer = await say_hello(server)
        await read_welcome(peer)
        program.hold.clear()
        await peer.write(framed(b"a", b"b", b"c"))
        await until(lambda: bool(program.conns) and program.conns[0].position == 1)
        again = await say_hello(server, start=2, known=True)
        await until(lambda: program.conns[0].closed)
        assert len(program.asked) == 1
        program.hold.set()
        # What the old handler had not finished is dropped, and comes again.
        assert (await read_welcome(again)).taken == 1
        assert isinstance(program.ends[0], SessionLostError)
        assert program.stored == [(1, b"a")]
        await again.write(framed(b"b"))
        await until(lambda: program.stored == [(1, b"a"), (2, b"b")])
        peer.raw.close()
        again.raw.close()


async def test_one_answer_serves_the_newest_link() -> None:
    program = Program()
    program.answer.clear()
    async with program.serving() as server:
        first = await say_hello(server, link=1)
        await until(lambda: len(program.asked) == 1)
        newest = await say_hello(server, link=3)
        # Cut off, without a word.
        assert await first.read() is None
        late = await say_hello(server, link=2)
        assert await gone(late) == CloseCode.SUPERSEDED
        program.answer.set()
        assert (await read_welcome(newest)).taken == 0
        assert len(program.asked) == 1
        assert len(server.clients) == 1
        for peer in (first, newest):
            peer.raw.close()


async def test_nothing_is_created_for_a_link_that_is_gone() -> None:
    program = Program()
    program.answer.clear()
    async with program.serving() as server:
        peer = await say_hello(server)
        await until(lambda: len(program.asked) == 1)
        peer.raw.reset()
        await until(lambda: server.stats()["connections"] == 0)
        program.answer.set()
        # The next one asks again: nothing was kept.
        peer = await say_hello(server, link=2)
        await read_welcome(peer)
        assert len(program.asked) == 2
        assert len(program.conns) <= 1
        peer.raw.close()


async def test_a_program_that_cannot_answer_is_asked_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    program = Program()
    program.error = OSError("the database is locked")
    async with program.serving() as server:
        with caplog.at_level(logging.ERROR, "sealframe.server"):
            assert await gone(await say_hello(server)) == CloseCode.BUSY
        assert public_name(TOKEN) in caplog.text
        assert "the database is locked" in caplog.text
        assert TOKEN.hex() not in caplog.text
        program.error = None
        peer = await say_hello(server, link=2)
        assert (await read_welcome(peer)).taken == 0
        peer.raw.close()


@pytest.mark.parametrize(
    "answer",
    [
        -1,
        2**63,
        "7",
        True,
        (7,),
        (True, None),
        (-1, None),
        (7, "x" * 16),
        (7, b"12345678"),
        (1, 2, 3),
        [7, None],
    ],
)
async def test_an_answer_that_is_no_position(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    program = Program()

    async def load(session: SessionInfo) -> Any:
        return answer

    async with program.serving(sessions=Sessions(position=load)) as server:
        assert await gone(await say_hello(server)) == CloseCode.BUSY
    assert "position returned" in caplog.text
    if isinstance(answer, list):
        assert "the tuple (number, writer)" in caplog.text


async def nothing_stored(session: SessionInfo) -> None:
    return None


@pytest.mark.parametrize("known", [False, True])
async def test_none_says_that_nothing_is_stored(known: bool) -> None:
    """Also of a session that was here before, and of which nothing was stored."""
    program = Program()
    async with program.serving(sessions=Sessions(position=nothing_stored)) as server:
        peer = await say_hello(server, known=known)
        assert (await read_welcome(peer)).taken == 0
        peer.raw.close()


async def test_a_client_tells_of_what_a_program_has_lost() -> None:
    """It was acknowledged, and the next server says that nothing is stored."""
    program = Program()
    async with program.serving() as server:
        port = server.port
        conn = await sealframe.connect("127.0.0.1", port, session=True, options=QUICK)
        await conn.send(b"1")
        await until(lambda: protocol_of(conn).sent_count == 1 and not unacknowledged(conn))
    await conn.send(b"2")
    async with program.serving(port, sessions=Sessions(position=nothing_stored)):
        with pytest.raises(SessionLostError, match="it has taken 0 messages for good") as caught:
            await conn.recv()
        assert (caught.value.arrived, caught.value.unknown, caught.value.unsent) == (1, 0, 1)
    assert len(program.conns) == 2


def unacknowledged(conn: Connection) -> int:
    session = protocol_of(conn).machine.session
    assert session is not None
    return session.retention.cost


async def test_a_function_that_is_not_async(caplog: pytest.LogCaptureFixture) -> None:
    program = Program()

    def load(session: SessionInfo) -> Any:
        return 7

    async with program.serving(sessions=Sessions(position=load)) as server:
        assert await gone(await say_hello(server)) == CloseCode.BUSY
    assert "position returned 7; make it an async function" in caplog.text


async def test_so_many_wait_and_no_more() -> None:
    program = Program()
    program.answer.clear()
    sessions = Sessions(position=program.load, max_detached=2)
    async with program.serving(sessions=sessions) as server:
        waiting = [await say_hello(server, token=bytes([n]) * 16) for n in (1, 2)]
        await until(lambda: len(program.asked) == 2)
        stats = server.stats()
        assert (stats["sessions_adopting"], stats["clients"], server.clients) == (2, {}, {})
        assert await gone(await say_hello(server, token=b"\3" * 16)) == CloseCode.BUSY
        program.answer.set()
        for peer in waiting:
            await read_welcome(peer)
            peer.raw.close()
        assert server.stats()["sessions_adopting"] == 0


async def test_what_is_sent_before_the_answer_is_bounded() -> None:
    program = Program()
    program.answer.clear()
    async with program.serving() as server:
        peer = await say_hello(server)
        await until(lambda: len(program.asked) == 1)
        for _ in range(3):
            await peer.write(framed(bytes(500_000)))
        assert await gone(peer) == CloseCode.PROTOCOL
        program.answer.set()


async def test_a_server_that_closes_asks_no_more() -> None:
    program = Program()
    program.answer.clear()
    async with program.serving() as server:
        peer = await say_hello(server)
        await until(lambda: len(program.asked) == 1)
        await server.close()
        assert await peer.read() is None
        assert not program.conns
        peer.raw.close()


async def test_a_handler_that_raises_ends_the_session() -> None:
    """Else its message would come again for ever."""
    program = Program()
    async with program.serving() as server:
        peer = await say_hello(server)
        first = await read_welcome(peer)
        await peer.write(framed(b"a", b"raise", b"b"))
        close = Close.decode(await peer.read_opcode(Opcode.CLOSE))
        assert close.code == CloseCode.HANDLER
        assert close.frames_received == 1
        peer.raw.close()
        await until(lambda: not server.clients)
        peer = await say_hello(server, link=2, numbering=first.numbering, known=True)
        assert await gone(peer) == CloseCode.HANDLER
        assert program.stored == [(1, b"a")]


async def test_a_handler_that_returns_has_finished() -> None:
    taken = []

    async def handler(conn: Connection) -> None:
        taken.append(await conn.recv())

    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(
            handler, "127.0.0.1", 0, sessions=Sessions(acknowledge="taken"), options=BRIEF
        ) as server,
    ):
        peer = await say_hello(server)
        await read_welcome(peer)
        await peer.write(framed(b"a"))
        close = Close.decode(await peer.read_opcode(Opcode.CLOSE))
        assert (close.code, close.frames_received) == (CloseCode.NORMAL, 1)
        assert taken == [b"a"]
        peer.raw.close()


async def test_a_session_that_was_given_up_is_adopted() -> None:
    program = Program()
    sessions = Sessions(position=program.load, keep=0.05)
    async with program.serving(sessions=sessions) as server:
        peer = await say_hello(server)
        first = await read_welcome(peer)
        await peer.write(framed(b"a"))
        assert await read_ack(peer) == 1
        peer.raw.close()
        await until(lambda: program.ends != [])
        peer = await say_hello(server, link=2, numbering=first.numbering, known=True)
        assert (await read_welcome(peer)).taken == 1
        peer.raw.close()


@pytest.mark.parametrize("codec", [None, Json()])
@pytest.mark.parametrize("way", ["recv", "recv_many", "for", "on_message", "async on_message"])
async def test_every_way_to_get_messages_counts_them(way: str, codec: Any) -> None:
    """The position is that of the message in hand, and the ACK goes up to the one before."""
    seen: list[tuple[int, int]] = []
    done = asyncio.Event()

    def note(conn: Connection, message: Any) -> None:
        seen.append((conn.position, int(message)))
        if int(message) == 3:
            done.set()

    async def handler(conn: Connection) -> None:
        if way == "recv":
            while True:
                note(conn, await conn.recv())
        elif way == "recv_many":
            while True:
                messages = await conn.recv_many()
                assert conn.position == int(messages[-1])
                for message in messages:
                    note(conn, message)
        else:
            async for message in conn:
                note(conn, message)

    async def each(conn: Connection, message: Any) -> None:
        await asyncio.sleep(0)
        note(conn, message)

    taker: dict[str, Any] = {"handler": handler}
    if "on_message" in way:
        taker = {"on_message": note if way == "on_message" else each}
    sessions = Sessions(acknowledge="taken")
    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(
            **taker, host="127.0.0.1", port=0, codec=codec, sessions=sessions, options=BRIEF
        ) as server,
    ):
        peer = await say_hello(server)
        await read_welcome(peer)
        await peer.write(framed(b"1", b"2", b"3"))
        await done.wait()
        acknowledged = 0
        while acknowledged < 3:
            acknowledged = await read_ack(peer)
        assert [number for _, number in seen] == [1, 2, 3]
        if way != "recv_many":
            assert [position for position, _ in seen] == [1, 2, 3]
        peer.raw.close()


async def test_only_such_a_server_has_positions() -> None:
    conns: list[Connection] = []

    async def handler(conn: Connection) -> None:
        conns.append(conn)
        await conn.wait_closed()

    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(handler, "127.0.0.1", 0, sessions=Sessions()) as server,
        sealframe.connect("127.0.0.1", server.port, session=True) as conn,
    ):
        await until(lambda: conns != [])
        for one in (conn, conns[0]):
            with pytest.raises(NotSupportedError, match="acknowledges what is taken"):
                _ = one.position
            with pytest.raises(NotSupportedError, match="acknowledges what is taken"):
                _ = one.session
    sessions = Sessions(acknowledge="taken")
    conns.clear()
    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(handler, "127.0.0.1", 0, sessions=sessions) as server,
        sealframe.connect("127.0.0.1", server.port, extended=True),
    ):
        await until(lambda: conns != [])
        with pytest.raises(NotSupportedError, match="connect with session"):
            _ = conns[0].position


@pytest.mark.parametrize("mode", [Mode("extended"), Mode("sealed")], ids=str)
async def test_a_client_goes_on_with_the_next_server(mode: Mode, port: int) -> None:
    """One that closes in order, and one that starts after it at the same port."""
    if mode.sealed:
        pytest.importorskip("cryptography", reason="cryptography is not installed")
    program = Program()
    async with program.serving(port, **mode.server) as server:
        conn = await sealframe.connect(
            "127.0.0.1", port, session=True, options=QUICK, **_sealing(mode)
        )
        for n in range(50):
            await conn.send(b"%d" % n)
        await until(lambda: program.position >= 10)
        program.hold.clear()
        closing = asyncio.ensure_future(server.close(timeout=1))
        await until(lambda: conn.going_away)
        for n in range(50, 100):
            await conn.send(b"%d" % n)
        program.hold.set()
        await closing
    async with program.serving(port, **mode.server):
        assert not conn.closed
        await conn.send(b"100")
        await until(lambda: program.position == 101)
        assert program.stored == [(n + 1, b"%d" % n) for n in range(101)]
        assert await conn.close()


def _sealing(mode: Mode) -> dict[str, Any]:
    return {"security": mode.server["security"]} if mode.sealed else {}


async def test_a_key_that_is_withdrawn_meanwhile_is_not_let_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    monkeypatch.setattr("sealframe.trust.clients_file_watcher._INTERVAL", 0.01)
    path = let_in(tmp_path / "clients", anna=ANNA)
    anna = ClientIdentity(ANNA, server=SERVER.public_key)
    program = Program()
    async with program.serving(security=ServerIdentity(SERVER, path)) as server:

        def dial() -> Awaitable[Connection]:
            return sealframe.connect(
                "127.0.0.1", server.port, session=True, security=anna, options=QUICK
            )

        there = await dial()
        program.answer.clear()
        waiting = asyncio.ensure_future(dial())
        await until(lambda: len(program.asked) == 2)
        assert [session.peer and session.peer.name for session in program.asked] == ["anna"] * 2
        let_in(path)
        with pytest.raises(ConnectionClosedError, match="withdrawn"):
            await there.recv()
        program.answer.set()
        with pytest.raises(UnauthorizedError):
            await waiting
        assert len(program.conns) == 1
        await there.close()
