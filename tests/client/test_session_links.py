"""Where the next link of a session is made, and when: addresses, keys, what a server asks for."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aio.cutting import CuttingProxy, Fault, Plan, always
from aio.ends import PATIENCE, Mode
from aio.identities import ANNA, SERVER, STRANGER
from aio.links import cut
from aio.scripted import listening, until
from aio.session_peers import SessionServer
from mitm.middle import Way

import sealframe
from sealframe import (
    ClientIdentity,
    ClientOptions,
    CloseCode,
    Connection,
    HandshakeError,
    KnownServers,
    PrivateKey,
    Server,
    ServerIdentity,
    ServerOptions,
    SessionLostError,
    Sessions,
)
from sealframe.wire import Opcode, control
from sealframe.wire.control import Close

pytestmark = pytest.mark.usefixtures("no_leaks")

ANY_LOOP = True

CLOSED = always(Plan(Fault.RESET))
"""Ends every further connection."""
QUICK = ClientOptions(backoff_initial=0.001, backoff_maximum=0.01, close_timeout=0.5)


@pytest.fixture(autouse=True)
def first_of_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have clients begin with the first address."""
    monkeypatch.setattr(random, "randrange", lambda _: 0)


class Echo:
    """A server with sessions, whose handlers say what they got and by which server."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sessions = 0
        self.server: Server

    async def handler(self, conn: Connection) -> None:
        self.sessions += 1
        async for message in conn:
            await conn.send(self.name.encode() + b" " + message)

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def serving(
    name: str = "a", *, port: int = 0, sessions: Sessions | None = None, **more: Any
) -> AsyncIterator[Echo]:
    echo = Echo(name)
    async with sealframe.serve(
        echo.handler, "127.0.0.1", port, sessions=sessions or Sessions(), **more
    ) as echo.server:
        yield echo


def carrying(target: Echo) -> CuttingProxy:
    """Return a way to a server that can be closed."""
    return CuttingProxy(target.port, plans=always(Plan()))


def at(proxy: CuttingProxy) -> str:
    return f"127.0.0.1:{proxy.port}"


async def ask(conn: Connection, text: bytes) -> bytes:
    """Have a message come back."""
    async with asyncio.timeout(PATIENCE):
        await conn.send(text)
        return await conn.recv()


async def test_it_goes_on_over_another_way_to_the_same_server() -> None:
    async with serving() as echo, carrying(echo) as way, carrying(echo) as spare:
        addresses = [at(way), at(spare)]
        async with sealframe.connect(addresses, session=True, options=QUICK) as conn:
            assert await ask(conn, b"1") == b"a 1"
            assert spare.connections == 0
            way.plans = CLOSED
            cut(conn)
            assert await ask(conn, b"2") == b"a 2"
            assert (way.connections, spare.connections) == (2, 1)
            # From now on that one comes first.
            cut(conn)
            assert await ask(conn, b"3") == b"a 3"
            assert (way.connections, spare.connections) == (2, 2)
        assert echo.sessions == 1


async def test_a_ping_waits_for_a_link_as_long_as_it_is_told() -> None:
    async with (
        serving() as echo,
        carrying(echo) as way,
        sealframe.connect("127.0.0.1", way.port, session=True, options=QUICK) as conn,
    ):
        way.plans = CLOSED
        cut(conn)
        await until(lambda: not conn.connected)
        with pytest.raises(TimeoutError):
            await conn.ping(timeout=0.01)
        way.calm()
        assert await conn.ping(timeout=PATIENCE) < PATIENCE
        for wrong in (0, -1.0, float("nan")):
            with pytest.raises(ValueError, match="timeout"):
                await conn.ping(timeout=wrong)


async def test_a_server_that_never_had_the_session_does_not_end_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving("a") as one, serving("b") as two, carrying(one) as way:
        addresses = [at(way), two.address]
        async with sealframe.connect(addresses, session=True, options=QUICK) as conn:
            assert await ask(conn, b"1") == b"a 1"
            way.plans = CLOSED
            cut(conn)
            # It is asked once, the other again and again.
            await until(lambda: way.connections >= 4)
            assert two.server.counters.accepted == 1
            way.calm()
            assert await ask(conn, b"2") == b"a 2"
            # However often it was tried.
            (warning,) = (
                record.getMessage()
                for record in caplog.records
                if record.name == "sealframe.client" and record.levelno == logging.WARNING
            )
            assert "SESSION_LOST" in warning
        assert (one.sessions, two.sessions) == (1, 0)


async def test_nor_does_one_that_says_how_it_ended() -> None:
    """Only the session's own server knows."""
    async with serving() as one, carrying(one) as way, listening() as listener:
        addresses = [at(way), f"127.0.0.1:{listener.port}"]
        async with sealframe.connect(addresses, session=True, options=QUICK) as conn:
            assert await ask(conn, b"1") == b"a 1"
            way.plans = CLOSED
            cut(conn)
            peer, _ = await SessionServer(listener).accept()
            await peer.write(control.frame(Opcode.CLOSE, Close(frames_received=1).encode()))
            await until(lambda: way.connections >= 4)
            way.calm()
            assert await ask(conn, b"2") == b"a 2"
            assert not listener.has_waiting()
            peer.raw.close()
        assert one.sessions == 1


async def test_nor_does_it_wait_for_ever_for_one_that_has_forgotten_it_by_then() -> None:
    sessions = Sessions(keep=0.1)
    async with (
        serving("a", sessions=sessions) as one,
        serving("b") as two,
        carrying(one) as way,
        sealframe.connect([at(way), two.address], session=True, options=QUICK) as conn,
    ):
        assert await ask(conn, b"1") == b"a 1"
        way.plans = CLOSED
        cut(conn)
        await check_lost(conn, CloseCode.SESSION_LOST)


async def test_the_server_that_had_it_and_has_forgotten_it_ends_it(port: int) -> None:
    """Though another one is not to be asked."""
    async with serving("a", port=port) as one, carrying(one) as way:
        way.plans = CLOSED
        addresses = [one.address, at(way)]
        conn = await sealframe.connect(addresses, session=True, options=QUICK)
        assert await ask(conn, b"1") == b"a 1"
        await one.server.close()
        async with serving("c", port=port) as again:
            await check_lost(conn, CloseCode.SESSION_LOST)
            assert again.sessions == 0


def identity(key: PrivateKey) -> ServerIdentity:
    return ServerIdentity(key, {"anna": ANNA.public_key}, patterns=["XX"])


def knowing(folder: Path, keys: dict[str, PrivateKey]) -> ClientIdentity:
    """Return a client that knows these servers, by address."""
    path = folder / "known"
    path.unlink(missing_ok=True)
    for address, key in keys.items():
        KnownServers(path).add(address, key.public_key)
    return ClientIdentity(ANNA, known_servers=path)


async def test_one_with_the_same_key_speaks_for_all(tmp_path: Path) -> None:
    async with (
        serving("a", security=identity(SERVER)) as one,
        serving("b", security=identity(SERVER)) as two,
        carrying(one) as way,
    ):
        security = knowing(tmp_path, {at(way): SERVER, two.address: SERVER})
        conn = await sealframe.connect(
            [at(way), two.address], session=True, security=security, options=QUICK
        )
        assert await ask(conn, b"1") == b"a 1"
        way.plans = CLOSED
        cut(conn)
        await check_lost(conn, CloseCode.SESSION_LOST)


async def test_nothing_goes_to_a_server_of_another_key(tmp_path: Path) -> None:
    """Though the client knows that one too, by its own address."""
    async with (
        serving("a", security=identity(SERVER)) as one,
        serving("b", security=ServerIdentity(STRANGER, {}, patterns=["XX"])) as two,
        carrying(one) as way,
    ):
        security = knowing(tmp_path, {at(way): SERVER, two.address: STRANGER})
        addresses = [at(way), two.address]
        async with sealframe.connect(
            addresses, session=True, security=security, options=QUICK
        ) as conn:
            assert await ask(conn, b"1") == b"a 1"
            way.plans = CLOSED
            cut(conn)
            await conn.send(b"2")
            await until(lambda: two.server.counters.failed_handshakes == 1)
            # It was refused before the client has shown its own key.
            assert two.server.counters.unauthorized == 0
            way.calm()
            async with asyncio.timeout(PATIENCE):
                assert await conn.recv() == b"a 2"
        assert two.sessions == 0


async def test_a_server_that_got_another_key_ends_the_session(tmp_path: Path, port: int) -> None:
    """Though the file of known servers has the new one by then."""
    async with serving("a", port=port, security=identity(SERVER)) as one:
        address = one.address
        security = knowing(tmp_path, {address: SERVER})
        conn = await sealframe.connect([address], session=True, security=security, options=QUICK)
        assert await ask(conn, b"1") == b"a 1"
        await one.server.close(timeout=0)
        knowing(tmp_path, {address: STRANGER})
        async with serving("b", port=port, security=identity(STRANGER)) as two:
            error = await check_lost(conn, None)
            assert "another key than the server with which the session began" in str(error)
            assert two.sessions == 0


async def test_a_key_that_was_taken_out_ends_the_session(tmp_path: Path, port: int) -> None:
    async with serving("a", port=port, security=identity(SERVER)) as one:
        address = one.address
        security = knowing(tmp_path, {address: SERVER})
        conn = await sealframe.connect(address.split(":")[0], port, session=True, security=security)
        assert await ask(conn, b"1") == b"a 1"
        await one.server.close(timeout=0)
        nobody = ServerIdentity(SERVER, {}, patterns=["XX"])
        async with serving("b", port=port, security=nobody):
            await check_lost(conn, CloseCode.UNAUTHORIZED)


async def test_the_client_does_not_come_back_before_the_server_says(port: int) -> None:
    loop = asyncio.get_running_loop()
    async with serving("a", port=port) as one:
        conn = await sealframe.connect("127.0.0.1", port, session=True, options=QUICK)
        assert await ask(conn, b"1") == b"a 1"
        await one.server.close(retry_after=0.3)
        told = loop.time()
        assert not conn.closed
        async with serving("b", port=port) as again:
            await until(lambda: again.server.counters.accepted > 0)
            # Some of it may have gone by before close() returned.
            assert loop.time() - told > 0.2
            await check_lost(conn, CloseCode.SESSION_LOST)


@pytest.mark.parametrize("wrong", [-1, 4_294_968])
async def test_a_time_that_goaway_cannot_tell(wrong: float) -> None:
    async with serving() as echo:
        with pytest.raises(ValueError, match="retry_after"):
            await echo.server.close(retry_after=wrong)


async def test_a_server_that_is_full_is_asked_again() -> None:
    mode = Mode("sealed")
    options = ServerOptions(max_connections=1)
    async with (
        serving("a", options=options, **mode.server) as echo,
        carrying(echo) as way,
        sealframe.connect(
            "127.0.0.1", way.port, session=True, options=QUICK, **mode.client
        ) as conn,
    ):
        assert await ask(conn, b"1") == b"a 1"
        way.plans = CLOSED
        cut(conn)
        other = await dial_until_let_in(echo, mode)
        way.calm()
        await until(lambda: echo.server.counters.turned_away >= 2)
        await other.close()
        assert await ask(conn, b"2") == b"a 2"


async def dial_until_let_in(echo: Echo, mode: Mode) -> Connection:
    """Connect once the server has found that the link before is gone.

    The session asks meanwhile, and of two handshakes that are pending the server drops one.
    """
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await sealframe.connect("127.0.0.1", echo.port, **mode.client)
            except HandshakeError as error:
                if error.code not in (CloseCode.BUSY, None):
                    raise


async def test_a_link_that_does_not_last_is_not_made_again_at_once() -> None:
    options = replace(QUICK, backoff_initial=0.2, backoff_maximum=10.0)
    times: list[float] = []
    loop = asyncio.get_running_loop()
    async with serving() as echo:

        def plans(_: int) -> Plan:
            times.append(loop.time())
            return Plan(Fault.RESET, Way.DOWN, 200) if len(times) < 3 else Plan()

        async with (
            CuttingProxy(echo.port, plans=plans) as way,
            sealframe.connect("127.0.0.1", way.port, session=True, options=options) as conn,
        ):
            assert await ask(conn, bytes(1000)) == b"a " + bytes(1000)
    # Half the mean is the least: 0.2 s, then 0.4 s.
    assert times[1] - times[0] >= 0.1
    assert times[2] - times[1] >= 0.2


async def check_lost(conn: Connection, code: int | None) -> SessionLostError:
    """Check that the session ends by itself, with that code."""
    with pytest.raises(SessionLostError) as lost:
        async with asyncio.timeout(PATIENCE):
            await conn.recv()
    assert lost.value.code == code
    assert conn.closed
    return lost.value
