"""A client that keeps a file of known servers: whom it trusts, and what it shows to others."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from aio import scripted
from aio.ends import PATIENCE, Family, Mode
from aio.identities import ANNA, SERVER, STRANGER, check_alive, hosting
from aio.scripted import Raw, ScriptedListener, close_frame, listening, until

import sealframe
from sealframe import (
    ClientIdentity,
    ClientOptions,
    CloseCode,
    Connecting,
    HandshakeError,
    KeyFileError,
    KeyFormatError,
    KnownServers,
    Peer,
    PrivateKey,
    PublicKey,
    ServerIdentity,
    ServerKeyChangedError,
    UnauthorizedError,
    UnknownServerError,
)
from sealframe.noise.credentials import Credentials
from sealframe.trust.known_servers import ServerVerifier
from sealframe.wire import Pattern
from sealframe.wire.control import Hello, frame

pytest.importorskip("cryptography", reason="cryptography is not installed")

pytestmark = pytest.mark.usefixtures("no_leaks")

REFUSED = close_frame(CloseCode.REFUSED, counted=False)
QUICK = ClientOptions(backoff_initial=0.001, backoff_maximum=0.002)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file of known servers will be."""
    return tmp_path / "known"


def server(key: PrivateKey = SERVER) -> ServerIdentity:
    return ServerIdentity(key, {"anna": ANNA.public_key}, patterns=("XX",))


def client(path: Path, *, trust: bool = False, key: PrivateKey = ANNA) -> ClientIdentity:
    return ClientIdentity(key, known_servers=path, trust_first_use=trust)


def dial(listener: ScriptedListener, security: ClientIdentity) -> Connecting:
    return sealframe.connect("127.0.0.1", listener.port, security=security)


def scripted_server(raw: Raw, key: PrivateKey = SERVER) -> scripted.Peer:
    credentials = Credentials(Pattern.XX, Pattern.XXHFS, static=key.secret_bytes())
    return scripted.Peer(raw, Mode("sealed"), client=False, credentials=credentials)


# Trust on first use


async def test_a_server_is_trusted_once_and_known_from_then_on(path: Path, family: Family) -> None:
    async with hosting(server(), family=family) as host:
        for trust in (True, False, True):
            async with host.dial(client(path, trust=trust)) as conn:
                assert conn.peer == Peer(host.name, SERVER.public_key)
                await check_alive(conn)
        assert KnownServers(path).lookup(host.name) == SERVER.public_key
        assert len(path.read_text().splitlines()) == 2


async def test_a_socket_with_an_odd_name(path: Path, tmp_path_factory: Any) -> None:
    family = Family("unix", tmp_path_factory.mktemp("s") / "ž 1:2 #")
    async with hosting(server(), family=family) as host:
        for trust in (True, False):
            async with host.dial(client(path, trust=trust)) as conn:
                await check_alive(conn)


async def test_it_is_recorded_when_it_has_welcomed_us_and_not_before(path: Path) -> None:
    async with listening() as listener:
        dialling = asyncio.ensure_future(_wait(dial(listener, client(path, trust=True))))
        peer = scripted_server(await listener.accept())
        await peer.shake_hands()
        hello = await peer.read()
        assert hello is not None
        assert not path.exists()
        welcome = Hello(client_id="scripted")
        await peer.write(frame(sealframe.wire.Opcode.WELCOME, welcome.encode()))
        conn = await dialling
        assert KnownServers(path).lookup(f"127.0.0.1:{listener.port}") == SERVER.public_key
        peer.raw.close()
        await conn.close()


async def _wait(connecting: Connecting) -> sealframe.Connection:
    async with asyncio.timeout(PATIENCE):
        return await connecting


@pytest.mark.parametrize("stage", ["message 1", "message 2", "message 3", "HELLO"])
async def test_a_server_that_goes_away_too_early_is_not_recorded(path: Path, stage: str) -> None:
    async with listening() as listener:
        dialling = asyncio.ensure_future(_wait(dial(listener, client(path, trust=True))))
        raw = await listener.accept()
        peer = scripted_server(raw)
        if stage == "message 2":
            peer.feed(await raw.receive_exactly(4 + 1 + 10 + 1216))
            assert peer.records is not None
            (answer,) = peer.records.output
            await raw.send(answer)
        elif stage != "message 1":
            await peer.shake_hands()
        if stage == "HELLO":
            await peer.read()
            await peer.write(close_frame(CloseCode.BUSY))
        raw.finish()
        with pytest.raises(HandshakeError):
            await dialling
        raw.close()
    assert not path.exists()


async def test_a_server_that_does_not_let_us_in_is_not_recorded(path: Path) -> None:
    async with hosting(server()) as host:
        with pytest.raises(UnauthorizedError):
            await host.connect(client(path, trust=True, key=STRANGER))
    assert not path.exists()


async def test_two_clients_at_once_record_a_server_once(path: Path) -> None:
    async with hosting(server()) as host:
        conns = await asyncio.gather(*(host.connect(client(path, trust=True)) for _ in range(4)))
        assert KnownServers(path).lookup(host.name) == SERVER.public_key
        assert len(path.read_text().splitlines()) == 2
        await asyncio.gather(*(conn.close() for conn in conns))


# Servers that are not trusted


@pytest.mark.parametrize("known", [None, STRANGER])
async def test_who_we_are_is_not_shown_to_a_server_that_is_not_trusted(
    path: Path, known: PrivateKey | None
) -> None:
    """After message 2 it gets a refusal, and no message 3."""
    async with listening() as listener:
        if known is not None:
            KnownServers(path).add(f"127.0.0.1:{listener.port}", known.public_key)
        before = path.read_bytes() if path.exists() else None
        dialling = asyncio.ensure_future(_wait(dial(listener, client(path, trust=bool(known)))))
        raw = await listener.accept()
        peer = scripted_server(raw)
        peer.feed(await raw.receive_exactly(4 + 1 + 10 + 1216))
        assert peer.records is not None
        (answer,) = peer.records.output
        await raw.send(answer)
        assert await raw.receive_exactly(len(REFUSED)) == REFUSED
        raw.finish()
        assert await raw.receive_to_end() == b""
        with pytest.raises(UnknownServerError if known is None else ServerKeyChangedError) as why:
            await dialling
        error: Any = why.value
        assert error.name == f"127.0.0.1:{listener.port}"
        assert (error.key if known is None else error.offered) == SERVER.public_key
        assert known is None or error.known == known.public_key
        raw.close()
    assert (path.read_bytes() if path.exists() else None) == before


async def test_a_server_logs_no_client_that_did_not_trust_it(path: Path) -> None:
    async with hosting(server()) as host:
        with pytest.raises(UnknownServerError) as why:
            await host.connect(client(path))
        assert why.value.key == SERVER.public_key
        await host.emptied()
        assert host.arrived.empty()
        # As the error says, whoever has compared the key writes it down.
        path.write_text(str(why.value).rpartition("add to ")[2].partition(": ")[2] + "\n")
        path.chmod(0o600)
        async with host.dial(client(path)) as conn:
            await check_alive(conn)


@pytest.mark.parametrize("known", [True, False])
async def test_a_loop_that_reconnects_stops_at_once_if_it_must_not_trust(
    path: Path, known: bool
) -> None:
    async with hosting(server()) as host, asyncio.timeout(PATIENCE):
        if known:
            KnownServers(path).add(host.name, STRANGER.public_key)
        with pytest.raises(ServerKeyChangedError if known else UnknownServerError):
            async for _ in host.dial(client(path)):
                pytest.fail("it trusted")
        assert host.server.counters.accepted == 1


@pytest.mark.parametrize("file", ["kept", "lost"])
async def test_a_loop_that_was_there_before_waits_for_the_known_key_to_come_back(
    path: Path, port: int, caplog: pytest.LogCaptureFixture, file: str
) -> None:
    """Anyone on the way can show another key for a while: that must not end the program.

    Nor is a second key ever a first one, whatever became of the file.
    """
    caplog.set_level(logging.WARNING, "sealframe.client")
    connected: asyncio.Queue[sealframe.Connection] = asyncio.Queue()

    async def follow(connecting: Connecting) -> None:
        async for conn in connecting:
            connected.put_nowait(conn)
            await conn.wait_closed()

    async with hosting(server(), port=port) as host, asyncio.timeout(3 * PATIENCE):
        following = asyncio.ensure_future(
            follow(host.dial(client(path, trust=True), options=QUICK))
        )
        await check_alive(await connected.get())
        await host.server.close()
        if file == "lost":
            path.unlink()
        async with hosting(server(STRANGER), port=port) as impostor:
            await until(lambda: impostor.server.counters.accepted > 2 and "CHANGED" in caplog.text)
            assert impostor.arrived.empty()
            assert connected.empty()
        async with hosting(server(), port=port):
            await check_alive(await connected.get())
            following.cancel()
            with pytest.raises(asyncio.CancelledError):
                await following
    known = KnownServers(path).lookup(f"127.0.0.1:{port}")
    assert known == (SERVER.public_key if file == "kept" else None)


# The file


@pytest.mark.parametrize(
    ("content", "mode", "kind"),
    [(b"nonsense\n", 0o600, KeyFormatError), (b"", 0o622, KeyFileError)],
)
async def test_a_bad_file_is_told_before_anything_is_opened(
    path: Path, content: bytes, mode: int, kind: type[Exception]
) -> None:
    path.write_bytes(content)
    path.chmod(mode)
    async with listening() as listener:
        with pytest.raises(kind, match=str(path)):
            await _wait(dial(listener, client(path, trust=True)))
        with pytest.raises(kind):
            async for _ in dial(listener, client(path, trust=True)):
                pytest.fail("it trusted")
        assert not listener.has_waiting()


async def test_a_server_that_cannot_be_recorded_is_left_again(path: Path) -> None:
    """A folder where the lock should be: also whoever may write everything cannot."""
    path.with_name("known.lock").mkdir()
    async with hosting(server()) as host:
        with pytest.raises(KeyFileError, match=f"cannot write {path}"):
            await host.connect(client(path, trust=True))
        await host.next()
        await host.emptied()
        assert host.server.clients == {}
    assert not path.exists()


async def test_another_program_may_have_recorded_another_key_meanwhile(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ServerVerifier.record

    def record(self: ServerVerifier, key: PublicKey) -> None:
        KnownServers(path).add(host.name, STRANGER.public_key)
        real(self, key)

    monkeypatch.setattr(ServerVerifier, "record", record)
    async with hosting(server()) as host:
        with pytest.raises(ServerKeyChangedError) as why:
            await host.connect(client(path, trust=True))
        assert (why.value.known, why.value.offered) == (STRANGER.public_key, SERVER.public_key)
        await host.emptied()


@pytest.mark.parametrize("step", ["look_up", "record"])
async def test_a_cancelled_connect_leaves_nothing_behind(
    path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, released = threading.Event(), threading.Event()
    real = getattr(ServerVerifier, step)

    def slow(self: ServerVerifier, *arguments: Any) -> None:
        reached.set()
        assert released.wait(PATIENCE)
        real(self, *arguments)

    monkeypatch.setattr(ServerVerifier, step, slow)
    async with hosting(server()) as host:
        dialling = asyncio.ensure_future(host.connect(client(path, trust=True)))
        await until(reached.is_set)
        assert not dialling.done()
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
        if step == "record":
            await host.next()
            await host.emptied()
        else:
            assert host.server.counters.accepted == 0
        released.set()
