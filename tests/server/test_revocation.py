"""The authorised-clients file changes while the server runs."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aio.ends import PATIENCE
from aio.identities import ANNA, BERT, BOTH, SERVER, STRANGER, check_alive, hosting, let_in, static
from aio.scripted import Raw, until

import sealframe
from sealframe import (
    ClientIdentity,
    ClientOptions,
    CloseCode,
    Connection,
    ConnectionClosed,
    ConnectionClosedError,
    Peer,
    SendQueueFullError,
    ServerIdentity,
    ServerOptions,
    Stream,
    UnauthorizedError,
)
from sealframe.aio.closer import Closer
from sealframe.aio.connection import protocol_of
from sealframe.aio.stream import endpoint_of
from sealframe.trust.keylist import Version
from sealframe.wire import Pattern

pytest.importorskip("cryptography", reason="cryptography is not installed")

pytestmark = pytest.mark.usefixtures("no_leaks")

QUICK = ClientOptions(backoff_initial=0.001, backoff_maximum=0.002)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let servers look at the file a hundred times a second."""
    monkeypatch.setattr("sealframe.trust.clients_file_watcher._INTERVAL", 0.01)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Anna and Bert are authorised."""
    return let_in(tmp_path / "clients", anna=ANNA, bert=BERT)


@pytest.fixture
def server(path: Path) -> ServerIdentity:
    return ServerIdentity(SERVER, path, patterns=BOTH)


anna = ClientIdentity(ANNA, server=SERVER.public_key)
bert = ClientIdentity(BERT, server=SERVER.public_key)
stranger = ClientIdentity(STRANGER, server=SERVER.public_key)


async def test_a_key_that_is_taken_out_ends_its_connections(
    server: ServerIdentity, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All of them, at both ends, with UNAUTHORIZED; the others do not notice."""
    async with hosting(server) as host:
        first, second, other = [await host.connect(who) for who in (anna, anna, bert)]
        accepted = [await host.next() for _ in range(3)]
        let_in(path, bert=BERT)
        for conn in (first, second):
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(ConnectionClosedError, match="the key was withdrawn") as why:
                    await conn.recv()
            assert why.value.code == conn.close_code == CloseCode.UNAUTHORIZED
            with pytest.raises(ConnectionClosedError):
                await conn.send(b"more")
            await conn.close()
        await until(lambda: list(host.server.clients) == [other.id])
        await until(lambda: len(host.errors) == 2)
        assert {getattr(error, "code", None) for error in host.errors} == {CloseCode.UNAUTHORIZED}
        await check_alive(other)
        for end in accepted[:2]:
            with pytest.raises(ConnectionClosedError, match="the key of anna was withdrawn"):
                await end.send(b"secret")
        with pytest.raises(UnauthorizedError):
            await host.connect(anna)
        await other.close()
    withdrawn = [text for text in caplog.messages if "the key of anna was withdrawn" in text]
    assert len(withdrawn) == 2


async def test_a_loop_that_reconnects_stops_when_its_key_is_taken_out(
    server: ServerIdentity, path: Path
) -> None:
    async with hosting(server) as host, host.dial(bert) as other:
        rounds = 0
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(UnauthorizedError):
                async for conn in host.dial(anna, options=QUICK):
                    rounds += 1
                    let_in(path, bert=BERT)
                    with pytest.raises(ConnectionClosed):
                        await conn.recv()
        assert rounds == 1
        await check_alive(other)


async def test_a_key_that_is_added_may_connect_without_a_restart(
    server: ServerIdentity, path: Path
) -> None:
    async with hosting(server) as host:
        with pytest.raises(UnauthorizedError):
            await host.connect(stranger)
        async with host.dial(anna) as conn:
            let_in(path, anna=ANNA, carl=STRANGER)
            await until(lambda: len(server.clients) == 2 and server.clients.generation == 2)
            async with host.dial(stranger) as new:
                assert (await host.next()).peer == Peer("anna", ANNA.public_key)
                assert (await host.next()).peer == Peer("carl", STRANGER.public_key)
                await check_alive(new)
            await check_alive(conn)


async def test_a_client_with_a_new_name_stays(server: ServerIdentity, path: Path) -> None:
    async with hosting(server) as host, host.dial(anna) as conn:
        generation = server.clients.generation
        let_in(path, anna_of_the_office=ANNA)
        await until(lambda: server.clients.generation > generation)
        await check_alive(conn)
        async with host.dial(anna):
            await host.next()
            assert (await host.next()).peer == Peer("anna_of_the_office", ANNA.public_key)


@pytest.mark.parametrize("damage", ["missing", "half a line", "nonsense"])
async def test_a_damaged_file_ends_no_connection(
    server: ServerIdentity, path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with hosting(server) as host, host.dial(anna) as conn, host.dial(bert) as other:
        whole = path.read_bytes()
        match damage:
            case "missing":
                path.unlink()
            case "half a line":
                path.write_bytes(whole[: len(whole) // 2 + 10])
            case _:
                path.write_bytes(b"nonsense\n")
        await until(lambda: "the clients authorised before stay so" in caplog.text)
        await check_alive(conn)
        await check_alive(other)
        async with host.dial(anna) as again:
            await check_alive(again)
        let_in(path, bert=BERT)
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(ConnectionClosedError):
                await conn.recv()
        await check_alive(other)
    assert [record.levelno for record in caplog.records].count(logging.ERROR) == 1


async def test_two_servers_may_share_one_set_of_clients(server: ServerIdentity, path: Path) -> None:
    async with hosting(server) as one, hosting(server) as two:
        conns = [await host.connect(who) for host in (one, two) for who in (anna, bert)]
        let_in(path, bert=BERT)
        async with asyncio.timeout(PATIENCE):
            for conn in conns[::2]:
                with pytest.raises(ConnectionClosedError) as why:
                    await conn.recv()
                assert why.value.code == CloseCode.UNAUTHORIZED
        for conn in conns[1::2]:
            await check_alive(conn)
        await asyncio.gather(*(conn.close() for conn in conns))


async def test_a_client_that_ignores_its_withdrawal_is_dropped(
    server: ServerIdentity, path: Path
) -> None:
    options = ServerOptions(close_timeout=0.05)
    async with hosting(server, options=options) as host:
        peer = await host.script(static(Pattern.XK, ANNA))
        await peer.introduce()
        accepted = await host.next()
        let_in(path, bert=BERT)
        assert (await peer.read_close()).code == CloseCode.UNAUTHORIZED
        await peer.write(b"\x01\0\0\0x")
        await host.emptied()
        assert accepted.stats.messages_received == 0
        peer.raw.close()


async def test_the_client_that_the_handler_talks_to_is_gone_for_good(
    server: ServerIdentity, path: Path
) -> None:
    """Nothing of it is delivered any more, not even what had come before."""
    ended: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def handler(conn: Connection) -> None:
        await until(lambda: conn.stats.messages_received == 2)
        let_in(path, bert=BERT)
        await conn.wait_closed()
        try:
            await conn.recv()
        except ConnectionClosedError as error:
            ended.set_result(error)

    async with (
        hosting(server, handler=handler) as host,
        host.dial(anna) as conn,
        asyncio.timeout(PATIENCE),
    ):
        await conn.send_many([b"1", b"2"])
        error = await ended
    assert getattr(error, "code", None) == CloseCode.UNAUTHORIZED


async def test_busy_threads_of_the_event_loop_do_not_put_it_off(
    server: ServerIdentity, path: Path
) -> None:
    """Handlers may keep them all at work."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    done = threading.Event()
    async with hosting(server) as host, host.dial(anna) as conn, asyncio.timeout(PATIENCE):
        busy = loop.run_in_executor(None, done.wait)
        try:
            let_in(path, bert=BERT)
            with pytest.raises(ConnectionClosedError, match="the key was withdrawn"):
                await conn.recv()
        finally:
            done.set()
            await busy
    await loop.shutdown_default_executor()


async def test_a_look_that_fails_is_logged_and_not_the_last(
    server: ServerIdentity,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real = server.clients.refresh
    failures = [RuntimeError("a fault of our own")]

    def refresh(seen: Version | None = None) -> Version | None:
        if failures:
            raise failures.pop()
        return real(seen)

    async with hosting(server) as host, host.dial(anna) as conn, asyncio.timeout(PATIENCE):
        monkeypatch.setattr(server.clients, "refresh", refresh)
        await until(lambda: not failures)
        let_in(path, bert=BERT)
        with pytest.raises(ConnectionClosedError, match="the key was withdrawn"):
            await conn.recv()
    assert "cannot look at the clients; trying again" in caplog.text


async def test_one_that_cannot_be_ended_does_not_keep_the_others_in(
    server: ServerIdentity,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And it is tried again until it has ended, if need be by its socket alone."""
    put_out, abort = Closer.put_out, Closer.abort
    broken = {"put_out", "abort"}
    tried: list[str] = []

    def fail(name: str, end: Callable[..., None]) -> Callable[..., None]:
        def ending(closer: Closer, *args: Any, **options: Any) -> None:
            if closer is stubborn and name in broken:
                tried.append(name)
                raise RuntimeError("a fault of our own")
            end(closer, *args, **options)

        return ending

    async with hosting(server) as host, asyncio.timeout(PATIENCE):
        conns = [await host.connect(anna) for _ in range(6)]
        accepted = [await host.next() for _ in conns]
        stubborn = protocol_of(accepted[0]).closer
        monkeypatch.setattr(Closer, "put_out", fail("put_out", put_out))
        monkeypatch.setattr(Closer, "abort", fail("abort", abort))
        let_in(path, bert=BERT)
        for conn in [*conns[1:], conns[0]]:
            if conn is conns[0]:
                await until(lambda: tried.count("abort") > 1)
                broken.remove("abort")
            with pytest.raises(ConnectionClosedError):
                await conn.recv()
            await conn.close()
    assert "cannot look at the clients; trying again" in caplog.text


async def test_what_waits_for_a_client_is_not_sent_to_it_any_more(
    server: ServerIdentity, path: Path
) -> None:
    async with hosting(server) as host, asyncio.timeout(PATIENCE):
        conn = await host.connect(anna)
        accepted = await host.next()
        with pytest.raises(SendQueueFullError):
            while True:
                accepted.send_nowait(bytes(100_000))
        let_in(path, bert=BERT)
        await until(lambda: accepted.closed)
        with pytest.raises(ConnectionClosedError):
            while True:
                await conn.recv()
        assert accepted.stats.unsent > 0
        await conn.close()


async def test_nothing_of_a_stream_outlives_its_key(server: ServerIdentity, path: Path) -> None:
    """Also where the connection is closed already."""
    begun: list[Stream] = []
    leave = asyncio.Event()

    async def on_stream(stream: Stream) -> None:
        begun.append(stream)
        await leave.wait()

    async def handler(conn: Connection) -> None:
        await conn.wait_closed()

    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(handler, "127.0.0.1", 0, security=server, on_stream=on_stream) as host,
    ):
        clients = []
        for _ in range(2):
            clients.append(await sealframe.connect("127.0.0.1", host.port, security=anna))
            async with await clients[-1].open_stream() as stream:
                await stream.write(b"do it")
        await until(lambda: [endpoint_of(each).buffered for each in begun] == [5, 5])
        await clients[0].close()
        let_in(path, bert=BERT)
        await clients[1].wait_closed()
        for stream in begun:
            with pytest.raises(ConnectionClosedError) as why:
                await stream.read()
            assert why.value.code == CloseCode.UNAUTHORIZED
        leave.set()
        await clients[1].close()


async def test_those_who_knock_with_anything_do_not_hide_a_stranger_with_a_key(
    server: ServerIdentity, caplog: pytest.LogCaptureFixture
) -> None:
    async with hosting(server) as host:
        for _ in range(25):
            async with await Raw.dial(host.server.port) as raw:
                await raw.send(b"GET / HTTP/1.1\r\n\r\n")
                await raw.receive_to_end()
        with pytest.raises(UnauthorizedError):
            await host.connect(stranger)
        await until(lambda: host.server.counters.unauthorized == 1)
        assert host.server.counters.failed_handshakes == 26
    assert str(STRANGER.public_key) in caplog.text


@pytest.mark.parametrize("closing", [True, False])
async def test_who_is_invited_is_in_the_file_at_once(
    server: ServerIdentity, path: Path, monkeypatch: pytest.MonkeyPatch, closing: bool
) -> None:
    """However seldom the server looks at it, and if it is closed in the same moment too."""
    monkeypatch.setattr("sealframe.trust.clients_file_watcher._INTERVAL", 1000.0)
    invited = ClientIdentity(STRANGER, invitation=server.invite("carl"))
    async with hosting(server) as host, host.dial(invited):
        if not closing:
            await until(lambda: "carl" in path.read_text())
    assert path.read_text().endswith(f"{STRANGER.public_key} carl\n")


async def test_what_a_client_left_in_the_queue_is_withdrawn_too(
    server: ServerIdentity, path: Path
) -> None:
    """It may queue its commands and go, before its key is taken out."""
    left: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
    withdrawn = asyncio.Event()
    received: list[bytes] = []

    async def handler(conn: Connection) -> None:
        await until(lambda: conn.stats.messages_received == 3)
        received.append(await conn.recv())
        await conn.close()
        left.set_result(conn)
        await withdrawn.wait()
        received.extend([message async for message in conn])

    async with hosting(server, handler=handler) as host, asyncio.timeout(PATIENCE):
        async with host.dial(anna) as client:
            await client.send_many([b"1", b"2", b"3"])
        conn = await left
        let_in(path, bert=BERT)
        await until(lambda: conn.stats.discarded == 2)
        withdrawn.set()
        await until(lambda: not host.server.clients)
    assert received == [b"1"]


async def test_a_key_that_was_taken_out_while_no_server_ran_is_refused(
    server: ServerIdentity, path: Path
) -> None:
    """By the first server that runs with the same identity, and from the start."""
    let_in(path, bert=BERT)
    async with hosting(server) as host:
        with pytest.raises(UnauthorizedError):
            await host.connect(anna)


async def test_a_last_write_that_fails_does_not_hold_up_the_end(
    server: ServerIdentity,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise RuntimeError("a fault of our own")

    async with hosting(server) as host, host.dial(anna):
        monkeypatch.setattr(server.clients, "write_admitted", fail)
        async with asyncio.timeout(PATIENCE):
            await host.server.close()
            await host.server.wait_closed()
    assert "cannot write down who was invited last" in caplog.text


async def test_who_is_invited_while_the_file_is_being_changed_waits_for_its_line(
    server: ServerIdentity, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Added to half a file, it would make that count."""
    monkeypatch.setattr("sealframe.trust.clients_file_watcher._INTERVAL", 1000.0)
    invited = ClientIdentity(STRANGER, invitation=server.invite("carl"))
    async with hosting(server) as host:
        whole = path.read_text()
        with path.open("w") as file:
            file.write(whole[:30])
            file.flush()
            async with host.dial(invited) as conn:
                await check_alive(conn)
                await asyncio.to_thread(server.clients.write_admitted)
                assert path.read_text() == whole[:30]
                assert server.clients.unwritten
            file.write(whole[30:])
        server.clients.refresh(server.clients.refresh())
        server.clients.write_admitted()
        assert path.read_text() == f"{whole}{STRANGER.public_key} carl\n"
