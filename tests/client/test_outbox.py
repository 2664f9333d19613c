"""What a client sends is in a file until the server has it, over the end of either program."""

from __future__ import annotations

import asyncio
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import pytest
from aio.ends import PATIENCE
from aio.scripted import close_frame, listening, until
from aio.session_peers import SessionServer, ack, read_message, welcome

import sealframe
from sealframe import (
    ClientOptions,
    CloseCode,
    ConfigurationError,
    Connection,
    ConnectionClosed,
    ConnectionClosedError,
    Disconnect,
    MessageTooLargeError,
    NotSupportedError,
    Outbox,
    OutboxCorruptError,
    OutboxLockedError,
    Server,
    ServerOptions,
    SessionLostError,
    Sessions,
)
from sealframe.codecs import Json

from .programs import IMPATIENT, QUICK, Program

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "readings.db")


def connect(server: Server[Any, Any], outbox: Outbox, **more: Any) -> Any:
    return sealframe.connect(
        "127.0.0.1", server.port, **({"options": QUICK} | more), session=outbox
    )


async def test_a_closed_session_is_followed_by_another_one(outbox: Outbox) -> None:
    program = Program()
    names = set()
    async with program.serving(sessions=Sessions(acknowledge="taken")) as server:
        for count in range(3):
            async with connect(server, outbox, options=QUICK) as conn:
                await conn.send(bytearray(b"one"))
                await conn.send_many([b"two", memoryview(b"three")])
                await conn.send_many([])
            assert await conn.close()
            assert program.stored == [b"one", b"two", b"three"] * (count + 1)
            names.add(program.conns[-1].session.name)
            with pytest.raises(ConnectionClosed):
                await conn.send(b"late")
    assert len(names) == 3
    # One that has never heard of it.
    async with program.serving(sessions=Sessions()) as server:
        async with connect(server, outbox) as conn:
            await conn.send(b"four")
        assert await conn.close()
    assert program.stored[-1] == b"four"


async def test_messages_are_checked_before_they_are_stored(outbox: Outbox) -> None:
    program = Program()
    async with (
        program.serving(options=ServerOptions(max_message_size=100)) as server,
        connect(server, outbox, codec=Json()) as conn,
    ):
        with pytest.raises(MessageTooLargeError):
            await conn.send("x" * 100)
        with pytest.raises(MessageTooLargeError):
            await conn.send_many(["short", "x" * 100])
        with pytest.raises(NotSupportedError, match="send_nowait"):
            conn.send_nowait("now")
        with pytest.raises(OutboxLockedError):
            await connect(server, outbox)
        await conn.send({"a": 1})
        await conn.send_many(["b"])
    assert program.stored == [b'{"a":1}', b'"b"']


async def test_the_file_is_there_for_the_next_connection_once_one_is_over(outbox: Outbox) -> None:
    program = Program()
    async with program.serving() as server:
        for _ in range(5):
            program.conns.clear()
            conn = await connect(server, outbox)
            closing = asyncio.create_task(conn.close())
            await conn.wait_closed()
            following = await connect(server, outbox)
            assert await closing
            await until(lambda: len(program.conns) == 2)
            server.kick(program.conns[-1].id)
            with pytest.raises(SessionLostError):
                await following.recv()
            await outbox.begin_anew(resend_unknown=False)


async def test_what_is_not_acknowledged_in_time_goes_with_the_next_start(outbox: Outbox) -> None:
    program = Program()
    program.hold.clear()
    async with program.serving() as server:
        conn = await connect(server, outbox, options=IMPATIENT)
        for number in range(5):
            await conn.send(b"%d" % number)
        assert not await conn.close()
        assert not program.stored
        program.hold.set()
        async with connect(server, outbox) as conn:
            await conn.send(b"5")
        assert await conn.close()
    assert program.stored == [b"%d" % number for number in range(6)]


async def test_messages_wait_for_a_server_that_was_lost(outbox: Outbox, port: int) -> None:
    program = Program()
    async with program.serving(port) as server:
        conn = await connect(server, outbox)
        await conn.send(b"first")
        await until(lambda: program.stored == [b"first"])
    # Stopped and, by another one, started again: another numbering.
    await conn.send_many([b"a", b"b"])
    assert not conn.connected
    async with program.serving(port) as server:
        await conn.send(b"c")
        assert await conn.close()
    assert program.stored == [b"first", b"a", b"b", b"c"]


async def test_a_client_that_was_stopped_without_a_server(outbox: Outbox, port: int) -> None:
    program = Program()
    async with program.serving(port) as server:
        conn = await connect(server, outbox, options=IMPATIENT)
    await conn.send(b"kept")
    assert not await conn.close()
    async with program.serving(port) as server:
        async for conn in connect(server, outbox):
            assert await conn.close()
            break
    assert program.stored == [b"kept"]


async def test_a_session_that_the_server_lost_is_lost_until_the_program_decides(
    outbox: Outbox, tmp_path: Path, port: int
) -> None:
    program = Program()
    program.hold.clear()
    async with program.serving(port, sessions=Sessions(acknowledge="taken")) as server:
        conn = await connect(server, outbox, options=IMPATIENT)
        await conn.send_many([b"1", b"2"])
        await until(lambda: bool(program.conns))
    with pytest.raises(ConnectionClosed):
        async with asyncio.timeout(PATIENCE):
            # A server that does not know the session.
            async with program.serving(port, sessions=Sessions()) as server:
                await conn.recv()
    assert not await conn.close()
    shutil.copy(outbox.path, tmp_path / "copy.db")
    other = Outbox(tmp_path / "copy.db")
    program.hold.set()
    async with program.serving(sessions=Sessions()) as server:
        for _ in range(2):
            with pytest.raises(SessionLostError, match="begin_anew") as caught:
                await connect(server, outbox)
            error = caught.value
            assert (error.arrived, error.unknown, error.unsent) == (0, 2, 0)
            assert error.code == CloseCode.SESSION_LOST
        with pytest.raises(SessionLostError):
            async for _ in connect(server, outbox):
                pass
        await outbox.begin_anew(resend_unknown=True)
        await other.begin_anew(resend_unknown=False)
        for box in (other, outbox):
            async with connect(server, box) as conn:
                await conn.send(b"3")
    assert program.stored == [b"3", b"1", b"2", b"3"]


async def test_a_copy_of_the_file_is_superseded(outbox: Outbox, tmp_path: Path, port: int) -> None:
    program = Program()
    async with program.serving(port) as server:
        conn = await connect(server, outbox, options=IMPATIENT)
    await conn.send(b"1")
    assert not await conn.close()
    shutil.copy(outbox.path, tmp_path / "copy.db")
    async with program.serving(port) as server:
        async with connect(server, outbox) as conn:
            with pytest.raises(SessionLostError, match="copy") as caught:
                await connect(server, Outbox(tmp_path / "copy.db"))
            assert caught.value.code == CloseCode.SUPERSEDED
            assert (await Outbox(tmp_path / "copy.db").look()).session == "superseded"
            # The next start would be a later one than that of the file that goes on.
            with pytest.raises(SessionLostError, match="begin_anew") as caught:
                await connect(server, Outbox(tmp_path / "copy.db"))
            assert caught.value.code == CloseCode.SUPERSEDED
            assert (caught.value.arrived, caught.value.unknown, caught.value.unsent) == (0, 0, 1)
            assert conn.connected
            await conn.send(b"2")
        assert await conn.close()
    assert program.stored == [b"1", b"2"]


async def test_what_was_given_to_no_link_is_unsent(outbox: Outbox, port: int) -> None:
    program = Program()
    async with program.serving(port) as server:
        conn = await connect(server, outbox, options=IMPATIENT)
        await conn.send(b"1")
        await until(lambda: program.stored == [b"1"])
        await conn.ping()
    await until(lambda: not conn.connected)
    await conn.send_many([b"2", b"3"])
    await conn.send(b"4")
    with closing(sqlite3.connect(outbox.path)) as database:
        # What a program leaves that is killed now. The reader waited as the first two came.
        (given,) = database.execute("SELECT given FROM session").fetchone()
        assert 1 <= given < 4
    assert not await conn.close()
    async with program.serving(port, sessions=Sessions()) as server:
        with pytest.raises(SessionLostError) as caught:
            await connect(server, outbox)
        error = caught.value
        assert error.arrived + error.unknown == 1
        assert error.unsent == 3
        await outbox.begin_anew(resend_unknown=False)
        async with connect(server, outbox):
            pass
    assert program.stored == [b"1", b"2", b"3", b"4"]


async def test_a_message_that_the_next_server_does_not_take_is_named(
    outbox: Outbox, port: int
) -> None:
    program = Program()
    async with program.serving(port) as server:
        conn = await connect(server, outbox, options=IMPATIENT)
        await conn.send(b"fits")
        await until(lambda: len(program.stored) == 1)
    await conn.send_many([b"too", b"large" * 100])
    await conn.close()
    async with program.serving(port, options=ServerOptions(max_message_size=100)) as server:
        conn = await connect(server, outbox)
        with pytest.raises(SessionLostError, match=r"message 3 of it has 500 bytes") as caught:
            await conn.recv()
        assert caught.value.arrived + caught.value.unknown + caught.value.unsent == 3
        assert not await conn.close()


async def test_a_server_that_closes_first_leaves_the_rest_in_the_file(outbox: Outbox) -> None:
    program = Program()

    async def taking_one(conn: Connection) -> None:
        program.stored.append(await conn.recv())

    async with (
        program.serving() as server,
        sealframe.serve(
            taking_one, "127.0.0.1", 0, sessions=Sessions(position=program.position)
        ) as brief,
    ):
        conn = await connect(brief, outbox)
        await conn.send_many([b"1", b"2", b"3"])
        await conn.wait_closed()
        assert not await conn.close()
        async with connect(server, outbox):
            pass
    assert program.stored == [b"1", b"2", b"3"]


async def test_the_file_is_read_on_where_the_server_after_one_that_closed_counts_anew(
    outbox: Outbox,
) -> None:
    messages = [bytes([number]) * 1000 for number in range(250)]
    options = ClientOptions(
        backoff_initial=0.001, backoff_maximum=0.01, outbox_limit=100_000, close_timeout=PATIENCE
    )
    async with listening() as listener, asyncio.timeout(PATIENCE):
        server = SessionServer(listener)
        connecting = asyncio.ensure_future(
            sealframe.connect("127.0.0.1", listener.port, session=outbox, options=options)
        )
        peer, _ = await server.accept()
        await welcome(peer, 1, credit=1000)
        conn = await connecting
        await conn.send_many(messages)
        assert await read_message(peer) == messages[0]
        # What is kept at most comes without credit then; of the rest, more than is read of the
        # file at a time is still there.
        await peer.write(close_frame(counted=False))
        for message in messages[1:90]:
            assert await read_message(peer) == message
        peer.raw.reset()
        peer, _ = await server.accept()
        await welcome(peer, 2, credit=1_000_000)
        for count, message in enumerate(messages, 1):
            assert await read_message(peer) == message
            await peer.write(ack(count))
        await peer.await_end()
        await peer.write(close_frame(counted=False))
        peer.raw.finish()
        assert await conn.close()
        peer.raw.close()


async def test_a_server_that_has_less_than_it_acknowledged_is_told_so(
    outbox: Outbox, port: int
) -> None:
    program = Program()
    async with program.serving(port) as server:
        conn = await connect(server, outbox, options=IMPATIENT)
        await conn.send_many([b"1", b"2"])
        await until(lambda: len(program.stored) == 2)
        # It is asked for the third one, and has finished the two before.
        program.hold.clear()
        await conn.send(b"3")
        await conn.close()
    del program.stored[:]
    async with program.serving(port) as server:
        for _ in range(2):
            with pytest.raises(SessionLostError, match="has 0 messages of this session") as caught:
                await connect(server, outbox)
            assert caught.value.arrived == 2
            assert caught.value.unknown == 1


@pytest.mark.parametrize("taken", [2**63 - 1, 2**63, 2**63 + 1])
async def test_a_server_that_has_more_than_can_be_counted(outbox: Outbox, taken: int) -> None:
    """The last number that SQLite has is taken, one that it has not is refused as such."""
    async with asyncio.timeout(PATIENCE), listening() as listener:
        connecting = asyncio.ensure_future(open_outbox(listener.port, outbox))
        peer, _ = await SessionServer(listener).accept()
        await welcome(peer, 7, taken=taken)
        if taken < 2**63:
            conn = await connecting
            await conn.send(b"1")
            assert await read_message(peer) == b"1"
            peer.raw.close()
            await conn.close()
        else:
            await peer.read_close()
            peer.raw.close()
            with pytest.raises(ConnectionClosedError, match=str(taken)):
                await connecting


async def open_outbox(port: int, outbox: Outbox) -> Connection:
    return await sealframe.connect("127.0.0.1", port, session=outbox, options=IMPATIENT)


async def test_a_damaged_file_ends_the_connection_and_not_the_session(
    outbox: Outbox, port: int
) -> None:
    program = Program()
    async with program.serving(port) as server:
        conn = await connect(server, outbox, options=IMPATIENT)
    await conn.send(b"1")
    await conn.close()
    with closing(sqlite3.connect(outbox.path)) as database:
        (whole,) = database.execute("SELECT data FROM batch").fetchone()
        database.execute("UPDATE batch SET data = 'torn'")
        database.commit()
        async with program.serving(port) as server:
            conn = await connect(server, outbox)
            with pytest.raises(ConnectionClosedError, match="the outbox failed") as caught:
                await conn.recv()
            assert isinstance(caught.value.__cause__, OutboxCorruptError)
            assert not await conn.close()
            database.execute("UPDATE batch SET data = ?", (whole,))
            database.commit()
            async with connect(server, outbox):
                pass
    assert program.stored == [b"1"]


async def all_acknowledged(outbox: Outbox) -> None:
    while True:
        if not (await outbox.look()).waiting:
            return
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("acknowledge", ["received", "taken"])
async def test_messages_that_no_handler_takes_are_told_of(
    outbox: Outbox, acknowledge: Literal["received", "taken"]
) -> None:
    """Acknowledged when they are received, they are gone; else they are still in the file."""
    done = asyncio.Event()

    async def handler(conn: Connection) -> None:
        await conn.recv()
        await done.wait()

    taken = acknowledge == "taken"
    ended: list[Disconnect] = []
    async with (
        asyncio.timeout(2 * PATIENCE),
        sealframe.serve(
            handler, "127.0.0.1", 0, sessions=Sessions(acknowledge=acknowledge)
        ) as server,
    ):
        conn = await connect(server, outbox, on_disconnect=lambda _, end: ended.append(end))
        await conn.send_many([b"1", b"2", b"3"])
        if not taken:
            await all_acknowledged(outbox)
        await until(lambda: server.stats()["messages_received"] == 3)
        done.set()
        with pytest.raises(SessionLostError) as caught:
            await conn.recv()
        assert not await conn.close()
        [end] = ended
        assert isinstance(end.error, SessionLostError)
        state = await outbox.look()
        assert (state.accepted, state.waiting) == (3, 2 if taken else 0)
        if taken:
            assert caught.value.unknown == 2
        else:
            assert (caught.value.arrived, caught.value.discarded) == (1, 2)
            assert "threw away: 2" in str(caught.value)
            # What was thrown away is forgotten: there is nothing to be decided.
            conn = await connect(server, outbox)
            assert await conn.close()


async def test_a_look_names_the_session_as_the_server_does(outbox: Outbox) -> None:
    program = Program()
    async with program.serving() as server, connect(server, outbox) as conn:
        await conn.send(b"one")
        await until(lambda: bool(program.stored))
        assert (await outbox.look()).name == program.conns[0].session.name


async def test_an_attempt_that_is_given_up_frees_the_file(outbox: Outbox) -> None:
    async with asyncio.timeout(PATIENCE):
        with closing(socket.create_server(("127.0.0.1", 0))) as silent:

            async def attempt_to_connect() -> None:
                await sealframe.connect("127.0.0.1", silent.getsockname()[1], session=outbox)

            attempt = asyncio.create_task(attempt_to_connect())
            await until(lambda: Path(outbox.path).exists())
            attempt.cancel()
            with pytest.raises(asyncio.CancelledError):
                await attempt
    program = Program()
    async with program.serving() as server, connect(server, outbox) as conn:
        await conn.send(b"there")
    assert program.stored == [b"there"]


def test_what_is_no_outbox_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="session"):
        sealframe.connect("127.0.0.1", 1, session="readings.db")  # type: ignore[call-overload]


def test_the_package_does_without_sqlite() -> None:
    # Where coverage measures this program, it has a database of its own.
    code = """
import sys
kept = sys.modules.get("sqlite3")
sys.modules["sqlite3"] = None
import sealframe
sys.modules["sqlite3"] = kept
"""
    subprocess.run([sys.executable, "-c", code], check=True)
