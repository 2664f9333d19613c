"""A client that is invited: let in once, and a client like any other from then on."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from aio.ends import PATIENCE
from aio.identities import ANNA, BOTH, SERVER, STRANGER, check_alive, hosting, let_in, static
from aio.scripted import until

from sealframe import (
    ClientIdentity,
    ClientOptions,
    ConnectionClosed,
    ConnectionClosedError,
    Invitation,
    Peer,
    PrivateKey,
    ServerIdentity,
    UnauthorizedError,
)
from sealframe.wire import CloseCode, Opcode, Pattern, control
from sealframe.wire.control import Hello

pytest.importorskip("cryptography", reason="cryptography is not installed")

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Anna is authorised."""
    return let_in(tmp_path / "clients", anna=ANNA)


@pytest.fixture
def server(path: Path) -> ServerIdentity:
    return ServerIdentity(SERVER, path, patterns=BOTH)


def invited(invitation: Invitation, key: PrivateKey = STRANGER) -> ClientIdentity:
    """Return a client that got the invitation as text."""
    return ClientIdentity(key, invitation=Invitation.from_text(invitation.to_text()))


async def test_it_lets_one_client_in_for_good(server: ServerIdentity, path: Path) -> None:
    """The client's own invitation does no harm later; nobody else's key can use it."""
    invitation = server.invite("carl")
    async with hosting(server) as host:
        for security in (
            invited(invitation),
            invited(invitation),
            ClientIdentity(STRANGER, server=SERVER.public_key),
        ):
            async with host.dial(security) as conn:
                await check_alive(conn)
                assert (await host.next()).peer == Peer("carl", STRANGER.public_key)
        with pytest.raises(UnauthorizedError):
            await host.connect(invited(invitation, PrivateKey.generate()))
        assert host.arrived.empty()
    assert path.read_text().splitlines()[1:] == [f"{STRANGER.public_key} carl"]
    # Another server with the same file knows the client too.
    async with (
        hosting(ServerIdentity(SERVER, path)) as host,
        host.dial(ClientIdentity(STRANGER, server=SERVER.public_key)) as conn,
    ):
        await check_alive(conn)


async def test_of_two_at_once_one_is_let_in(server: ServerIdentity) -> None:
    invitation = server.invite("carl")
    keys = [PrivateKey.generate() for _ in range(4)]
    async with hosting(server) as host:
        results = await asyncio.gather(
            *(host.connect(invited(invitation, key)) for key in keys), return_exceptions=True
        )
        (winner,) = [result for result in results if not isinstance(result, BaseException)]
        assert sum(isinstance(result, UnauthorizedError) for result in results) == 3
        await check_alive(winner)
        await winner.close()
    assert len(server.clients) == 2


async def test_a_wrong_token_is_refused_inside_the_seal(server: ServerIdentity) -> None:
    invitation = server.invite("carl")
    wrong = Invitation(SERVER.public_key, bytes(byte ^ 1 for byte in invitation.token))
    async with hosting(server) as host:
        with pytest.raises(UnauthorizedError):
            await host.connect(invited(wrong))
        async with host.dial(invited(invitation)) as conn:
            await check_alive(conn)


async def test_a_token_may_be_shown_by_a_client_that_learned_the_servers_key(
    server: ServerIdentity,
) -> None:
    invitation = server.invite("carl")
    async with hosting(server) as host:
        peer = await host.script(static(Pattern.XX, STRANGER))
        await peer.shake_hands()
        hello = Hello(invitation=invitation.token)
        await peer.write(control.frame(Opcode.HELLO, hello.encode()))
        assert (await host.next()).peer == Peer("carl", STRANGER.public_key)
        peer.raw.close()
        await host.emptied()


@pytest.mark.parametrize("size", [1, 7, 9, 16])
async def test_a_token_of_another_size_is_no_hello(server: ServerIdentity, size: int) -> None:
    async with hosting(server) as host:
        peer = await host.script(static(Pattern.XK, ANNA))
        await peer.shake_hands()
        hello = Hello(invitation=bytes(size))
        await peer.write(control.frame(Opcode.HELLO, hello.encode()))
        assert (await peer.read_close()).code == CloseCode.PROTOCOL
        peer.raw.close()
        assert host.arrived.empty()


async def test_it_expires(server: ServerIdentity, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(
        "sealframe.trust.identity.time",
        SimpleNamespace(monotonic=lambda: clock.now, time=lambda: 0.0),
    )
    invitation = server.invite("carl", valid_for=10)
    async with hosting(server) as host:
        clock.now = 10.0
        with pytest.raises(UnauthorizedError):
            await host.connect(invited(invitation))
        assert host.arrived.empty()


async def test_a_restart_forgets_it(server: ServerIdentity, path: Path) -> None:
    invitation = server.invite("carl")
    async with hosting(ServerIdentity(SERVER, path)) as host:
        with pytest.raises(UnauthorizedError):
            await host.connect(invited(invitation))


async def test_who_is_authorised_already_does_not_use_it_up(server: ServerIdentity) -> None:
    invitation = server.invite("carl")
    async with hosting(server) as host:
        async with host.dial(invited(invitation, ANNA)) as conn:
            await check_alive(conn)
            assert (await host.next()).peer == Peer("anna", ANNA.public_key)
        async with host.dial(invited(invitation)) as conn:
            await check_alive(conn)
            assert (await host.next()).peer == Peer("carl", STRANGER.public_key)


async def test_who_cannot_be_written_down_is_not_let_in(
    server: ServerIdentity,
    path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is not kept waiting for the disk, and so it is in for a moment."""
    monkeypatch.setattr("sealframe.trust.clients_file_watcher._INTERVAL", 0.01)
    invitation = server.invite("carl")
    # A folder where the lock should be: also whoever may write everything cannot.
    obstacle = path.with_name("clients.lock")
    obstacle.mkdir()
    async with hosting(server) as host, asyncio.timeout(PATIENCE):
        async with host.dial(invited(invitation)) as conn:
            with pytest.raises(ConnectionClosedError) as why:
                await conn.recv()
        assert why.value.code == CloseCode.UNAUTHORIZED
        (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert "carl is not let in: invite it again" in error.getMessage()
        assert invitation.to_text()[20:] not in caplog.text
        with pytest.raises(UnauthorizedError):
            await host.connect(invited(invitation))
        obstacle.rmdir()
        async with host.dial(invited(server.invite("carl"))) as conn:
            await check_alive(conn)


async def test_who_came_by_invitation_can_be_withdrawn(
    server: ServerIdentity, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealframe.trust.clients_file_watcher._INTERVAL", 0.01)
    invitation = server.invite("carl")
    quick = ClientOptions(backoff_initial=0.001, backoff_maximum=0.002)
    async with hosting(server) as host, asyncio.timeout(PATIENCE):
        with pytest.raises(UnauthorizedError):
            async for conn in host.dial(invited(invitation), options=quick):
                await check_alive(conn)
                await until(lambda: "carl" in path.read_text())
                let_in(path, anna=ANNA)
                with pytest.raises(ConnectionClosedError) as why:
                    await conn.recv()
                assert why.value.code == CloseCode.UNAUTHORIZED
                assert isinstance(why.value, ConnectionClosed)
