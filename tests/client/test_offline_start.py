"""A client with an outbox starts while its server is not there, and accepts messages already."""

from __future__ import annotations

import asyncio
import errno
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aio.scripted import until

import sealframe
from sealframe import (
    ClientIdentity,
    CloseCode,
    ConnectError,
    Connection,
    ConnectionClosed,
    ConnectionClosedError,
    HandshakeError,
    LinkChange,
    NotSupportedError,
    Outbox,
    OutboxLockedError,
    PrivateKey,
    ServerIdentity,
    SessionLostError,
    Sessions,
    SharedKey,
    UnauthorizedError,
)

from .programs import IMPATIENT, QUICK, Program

pytestmark = pytest.mark.usefixtures("no_leaks")


class Unstarted(Program):
    """A server's program at a Unix socket, which is not there until it serves."""

    def __init__(self, folder: Path) -> None:
        super().__init__(path=str(folder / "socket"))
        self.outbox = Outbox(folder / "readings.db")

    def connect(self, outbox: Outbox | None = None, **more: Any) -> Any:
        return sealframe.connect(
            path=self.path, **({"options": QUICK} | more), session=outbox or self.outbox
        )


@pytest.fixture
def program(tmp_path: Path) -> Unstarted:
    return Unstarted(tmp_path)


async def test_messages_are_accepted_before_the_server_is_there(program: Unstarted) -> None:
    changes: list[LinkChange] = []
    met: list[bool] = []
    async with program.connect(
        on_connect=lambda conn: met.append(conn.connected),
        on_link=lambda _, change: changes.append(change),
    ) as conn:
        assert not conn.connected
        assert not conn.closed
        assert conn.remote_address is None
        assert conn.peer is None
        assert "detached" in repr(conn)
        await conn.send(b"1")
        await conn.send_many([b"2", b"3"])
        async with program.serving() as server:
            await conn.wait_connected()
            assert conn.connected
            assert conn.id in server.clients
            await conn.send(b"4")
            await until(lambda: len(program.stored) == 4)
            assert await conn.ping() >= 0
            assert await conn.close()
    assert program.stored == [b"1", b"2", b"3", b"4"]
    assert met == [False]
    lost, found = changes
    assert not lost.connected
    assert isinstance(lost.error, ConnectionClosedError)
    assert isinstance(lost.error.__cause__, ConnectError)
    assert found.connected
    assert found.after is not None


async def test_what_needs_an_answer_waits_for_the_first_link(program: Unstarted) -> None:
    async with program.connect() as conn:
        with pytest.raises(NotSupportedError, match="wait_connected"):
            await conn.request(b"?")
        with pytest.raises(NotSupportedError, match="wait_connected"):
            await conn.ping()
        receiving = asyncio.create_task(conn.recv())
        async with program.serving(on_request=lambda _, payload: payload + b"!") as server:
            await conn.wait_connected()
            assert await conn.request(b"?") == b"?!"
            await server.clients[conn.id].send(b"hello")
            assert await receiving == b"hello"
            assert await conn.close()


async def test_a_close_before_the_first_link_leaves_all_in_the_file(program: Unstarted) -> None:
    async with program.connect(options=IMPATIENT) as conn:
        await conn.send_many([b"1", b"2"])
        with pytest.raises(OutboxLockedError):
            await program.connect()
    assert not await conn.close()
    with pytest.raises(ConnectionClosed):
        await conn.send(b"late")
    conn = await program.connect()
    closing = asyncio.create_task(conn.close())
    # While it closes, it goes on connecting.
    async with program.serving():
        assert await closing
    assert program.stored == [b"1", b"2"]


async def test_a_loop_gets_the_connection_before_the_server_is_there(program: Unstarted) -> None:
    async for conn in program.connect():
        await conn.send(b"1")
        async with program.serving():
            assert await conn.close()
        break
    assert program.stored == [b"1"]


async def test_the_program_decides_which_errors_end_it(program: Unstarted) -> None:
    with pytest.raises(ConnectError):
        async for _ in program.connect(is_fatal=lambda _: True):
            pass
    with pytest.raises(ConnectError):
        await program.connect(is_fatal=lambda _: True)


@pytest.mark.parametrize("looped", [False, True])
async def test_an_error_that_no_retry_cures_reaches_every_call(
    program: Unstarted, looped: bool
) -> None:
    theirs, ours = SharedKey.generate(), SharedKey.generate()

    async def use(conn: Connection) -> None:
        await conn.send(b"1")
        receiving = asyncio.create_task(conn.recv())
        async with program.serving(security=theirs):
            with pytest.raises(HandshakeError):
                await conn.wait_connected()
        with pytest.raises(HandshakeError) as caught:
            await receiving
        assert not isinstance(caught.value, SessionLostError)
        with pytest.raises(HandshakeError):
            await conn.send(b"2")
        assert not await conn.close()

    if looped:
        with pytest.raises(HandshakeError):
            async for conn in program.connect(security=ours):
                await use(conn)
    else:
        await use(await program.connect(security=ours))
    # The message is there, for whoever has the right key.
    async with program.serving(security=theirs), program.connect(security=theirs):
        pass
    assert program.stored == [b"1"]


async def test_identities_prove_themselves_over_the_first_link(
    program: Unstarted, tmp_path: Path
) -> None:
    secret, stranger = PrivateKey.generate(), PrivateKey.generate()
    clients = tmp_path / "clients"
    clients.write_text(f"{secret.public_key} sensor\n")
    identity = ServerIdentity(PrivateKey.generate(), clients=clients, patterns=("XX",))
    known = tmp_path / "known"

    def connect(key: PrivateKey) -> Any:
        return program.connect(
            security=ClientIdentity(key, known_servers=known, trust_first_use=True)
        )

    conn = await connect(stranger)
    await conn.send(b"1")
    async with program.serving(security=identity):
        with pytest.raises(UnauthorizedError):
            await conn.wait_connected()
        await conn.close()
        with pytest.raises(UnauthorizedError):
            await connect(stranger)
    conn = await connect(secret)
    await conn.send(b"2")
    async with program.serving(security=identity):
        await conn.wait_connected()
        assert conn.peer is not None
        assert conn.peer.key == identity.public_key
        assert await conn.close()
    assert program.stored == [b"1", b"2"]


async def test_what_is_kept_goes_to_no_other_server_than_that_of_the_first_link(
    program: Unstarted, tmp_path: Path
) -> None:
    secret = PrivateKey.generate()

    def serving(place: str) -> Any:
        identity = ServerIdentity(
            PrivateKey.generate(), clients={"sensor": secret.public_key}, patterns=("XX",)
        )
        program.path = str(tmp_path / place)
        return program.serving(security=identity)

    conn: Connection = await sealframe.connect(
        [f"unix:{tmp_path}/{place}" for place in "ab"],
        session=program.outbox,
        options=IMPATIENT,
        security=ClientIdentity(secret, known_servers=tmp_path / "known", trust_first_use=True),
    )
    async with serving("a"):
        await conn.wait_connected()
    async with serving("b") as other:
        await conn.send(b"1")
        await until(lambda: other.counters.failed_handshakes == 1)
        assert not conn.connected
        assert not await conn.close()
    assert not program.stored


async def test_a_session_that_was_lost_says_so_at_its_first_link(program: Unstarted) -> None:
    async with program.serving():
        conn = await program.connect(options=IMPATIENT)
        await conn.send(b"1")
        await until(lambda: program.stored == [b"1"])
    await conn.send(b"2")
    await conn.close()
    conn = await program.connect()
    await conn.send(b"3")
    async with program.serving(sessions=Sessions()):
        with pytest.raises(SessionLostError, match="begin_anew") as caught:
            await conn.recv()
    assert caught.value.code == CloseCode.SESSION_LOST
    assert not await conn.close()


async def test_a_server_with_less_than_it_acknowledged_is_told_so(program: Unstarted) -> None:
    async with program.serving():
        conn = await program.connect(options=IMPATIENT)
        await conn.send_many([b"1", b"2"])
        await until(lambda: len(program.stored) == 2)
        # It asks for the third one, and so has acknowledged two.
        await conn.send(b"3")
        await until(lambda: len(program.stored) == 3)
    await conn.close()
    del program.stored[:]
    conn = await program.connect()
    async with program.serving():
        with pytest.raises(SessionLostError, match="has 0 messages of this session"):
            await conn.recv()
    await conn.close()


async def test_a_session_that_ended_in_order_is_followed_by_another(
    program: Unstarted, tmp_path: Path
) -> None:
    old = Outbox(tmp_path / "old.db")
    reachable = True

    async def dial() -> socket.socket:
        if not reachable:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "not yet")
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, program.path)
        return sock

    def connect(outbox: Outbox) -> Any:
        return sealframe.connect("sensor", 1, sock=dial, session=outbox, options=QUICK)

    async with program.serving(sessions=Sessions()):
        conn = await connect(program.outbox)
        await conn.send(b"1")
        with (
            closing(sqlite3.connect(program.outbox.path)) as database,
            closing(sqlite3.connect(old.path)) as copy,
        ):
            query = "SELECT acknowledged FROM session"
            await until(lambda: database.execute(query).fetchone() == (1,))
            # As a program leaves it that is killed before it has noted the end.
            database.backup(copy)
        Path(old.path).chmod(0o600)
        assert await conn.close()
        reachable = False
        conn = await connect(old)
        await conn.send(b"2")
        reachable = True
        assert await conn.close()
    assert program.stored == [b"1", b"2"]
