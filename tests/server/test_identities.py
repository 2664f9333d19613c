"""Who is let in by which key, who is not, and what each end knows of the other."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from aio.ends import PATIENCE
from aio.identities import (
    ANNA,
    BERT,
    BOTH,
    SERVER,
    STRANGER,
    Host,
    Way,
    check_alive,
    hosting,
    identity,
    let_in,
    static,
)
from aio.scripted import Raw, close_frame

from sealframe import (
    ClientIdentity,
    ClientOptions,
    CloseCode,
    HandshakeError,
    Peer,
    PrivateKey,
    PublicKey,
    ServerIdentity,
    SharedKey,
    UnauthorizedError,
    is_fatal,
)
from sealframe.noise.handshake import Handshake
from sealframe.wire import MAGIC, VERSION, Control, Opcode, Pattern, control
from sealframe.wire.control import Close, Hello

pytest.importorskip("cryptography", reason="cryptography is not installed")

pytestmark = pytest.mark.usefixtures("no_leaks")

WAYS = ["XK", "XX", "invitation"]
REFUSED = close_frame(CloseCode.REFUSED, counted=False)


@pytest.fixture
def server(tmp_path: Path) -> ServerIdentity:
    """A server that lets Anna and Bert in, by either pattern."""
    path = let_in(tmp_path / "clients", anna=ANNA, bert=BERT)
    return ServerIdentity(SERVER, path, patterns=BOTH)


def check_nobody_came(host: Host) -> None:
    assert host.arrived.empty()
    assert host.server.clients == {}


# Who is let in


@pytest.mark.parametrize("way", WAYS)
async def test_both_ends_know_who_the_other_is(
    server: ServerIdentity, way: Way, tmp_path: Path
) -> None:
    bindings = set()
    async with hosting(server, context="chat") as host:
        for key, name in ((ANNA, "anna"), (BERT, "bert"), (STRANGER, "invited")):
            if key is STRANGER and way != "invitation":
                continue
            security = identity(way, key, server, tmp_path)
            conn = await host.connect(security, context="chat")
            accepted = await host.next()
            assert accepted.peer == Peer(name, key.public_key)
            assert conn.peer == Peer(host.name, SERVER.public_key)
            assert conn.sealed
            assert accepted.sealed
            assert conn.id == accepted.id
            assert len(conn.channel_binding) == 32
            assert conn.channel_binding == accepted.channel_binding
            bindings.add(conn.channel_binding)
            await conn.send(large := bytes(range(256)) * 4096)
            assert await conn.recv() == large
            assert await conn.close()
    assert len(bindings) == (3 if way == "invitation" else 2)


async def test_with_a_shared_key_no_one_has_a_name() -> None:
    key = SharedKey.generate()
    async with hosting(key) as host, host.dial(key) as conn:
        accepted = await host.next()
        assert conn.peer is accepted.peer is None
        assert conn.channel_binding == accepted.channel_binding != b""


async def test_a_table_of_clients() -> None:
    server = ServerIdentity(SERVER, {"anna": ANNA.public_key})
    client = ClientIdentity(ANNA, server=server.public_key)
    async with hosting(server) as host, host.dial(client):
        assert (await host.next()).peer == Peer("anna", ANNA.public_key)


async def test_one_client_may_come_twice(server: ServerIdentity) -> None:
    client = ClientIdentity(ANNA, server=server.public_key)
    async with hosting(server) as host, host.dial(client) as one, host.dial(client) as two:
        assert one.id != two.id
        assert len(host.server.clients) == 2
        await check_alive(one)
        await check_alive(two)


# Who is not


@pytest.mark.parametrize("way", BOTH)
async def test_a_stranger_is_told_inside_the_seal(
    server: ServerIdentity, way: Way, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with hosting(server) as host:
        for attempt in (1, 2):
            with pytest.raises(UnauthorizedError, match="does not have this client's key") as why:
                await host.connect(identity(way, STRANGER, server, tmp_path))
            assert why.value.code == CloseCode.UNAUTHORIZED
            assert is_fatal(why.value)
            await host.emptied()
            assert host.server.counters.failed_handshakes == attempt
        check_nobody_came(host)
    # Whoever runs the server reads which key to add.
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert f"not among the authorised ones: {STRANGER.public_key}" in caplog.text


async def test_a_loop_that_reconnects_stops_at_once_if_it_is_not_let_in(
    server: ServerIdentity,
) -> None:
    async with hosting(server) as host, asyncio.timeout(PATIENCE):
        with pytest.raises(UnauthorizedError):
            async for _ in host.dial(ClientIdentity(STRANGER, server=SERVER.public_key)):
                pytest.fail("it was let in")
        assert host.server.counters.accepted == 1


@pytest.mark.parametrize("pattern", [Pattern.XK, Pattern.XX])
async def test_the_refusal_is_of_the_size_of_welcome(
    server: ServerIdentity, pattern: Pattern
) -> None:
    """So that nobody on the way sees which it was."""
    sizes = []
    async with hosting(server) as host:
        for key in (ANNA, STRANGER):
            peer = await host.script(static(pattern, key))
            await peer.shake_hands()
            await peer.write(hello_frame())
            head = await peer.raw.receive_exactly(4)
            sizes.append(int.from_bytes(head, "little"))
            await peer.raw.receive_exactly(sizes[-1])
            peer.raw.finish()
            assert await peer.raw.receive_to_end() == b""
            peer.raw.close()
        await host.emptied()
        assert host.server.counters.failed_handshakes == 1
    assert sizes[0] == sizes[1] > 50


@pytest.mark.parametrize("pattern", [Pattern.XK, Pattern.XX])
async def test_a_refused_client_reads_the_code_and_no_reason(
    server: ServerIdentity, pattern: Pattern
) -> None:
    async with hosting(server) as host:
        peer = await host.script(static(pattern, STRANGER))
        await peer.shake_hands()
        await peer.write(hello_frame())
        frame = await peer.read()
        assert isinstance(frame, Control)
        assert frame.opcode == Opcode.CLOSE
        assert Close.decode(frame.body) == Close(CloseCode.UNAUTHORIZED, "", 0)
        assert await peer.read() is None
        peer.raw.close()
        check_nobody_came(host)


@pytest.mark.parametrize("pattern", [Pattern.XK, Pattern.XX])
async def test_the_servers_own_key_is_no_client(
    server: ServerIdentity, pattern: Pattern, tmp_path: Path
) -> None:
    """Whoever stole it cannot come in by it, even if it got into the file somehow."""
    let_in(tmp_path / "clients", anna=ANNA, me=SERVER)
    server.clients.refresh(server.clients.refresh())
    assert server.clients.lookup(bytes(SERVER.public_key)) is not None
    async with hosting(server) as host:
        peer = await host.script(static(pattern, SERVER))
        await peer.shake_hands()
        await peer.write(hello_frame())
        assert (await peer.read_close()).code == CloseCode.UNAUTHORIZED
        peer.raw.close()
        check_nobody_came(host)


LOW_ORDER = [
    bytes(32),
    bytes([1, *bytes(31)]),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
]


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    "claimed",
    [bytes(ANNA.public_key), *LOW_ORDER],
    ids=["anna", *(f"low order {number}" for number in range(len(LOW_ORDER)))],
)
async def test_a_public_key_without_its_private_key_is_refused(
    name: Way, claimed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one of low order, with which everyone agrees on the same secret, is let in
    if it stands among the clients."""
    clients = {"anna": ANNA.public_key, "evil": PublicKey(LOW_ORDER[0])}
    server = ServerIdentity(SERVER, clients, patterns=BOTH)
    async with hosting(server) as host, await Raw.dial(host.server.port) as raw:
        preamble = MAGIC + bytes((VERSION, Pattern[name]))
        attack = Handshake(
            name,
            initiator=True,
            prologue=preamble + bytes(2),
            static=STRANGER.secret_bytes(),
            remote_static=bytes(SERVER.public_key) if name == "XK" else None,
        )
        await raw.send(handshake_frame(preamble + attack.write_message()))
        answer = await raw.receive_exactly(5 + (48 if name == "XK" else 96))
        attack.read_message(answer[5:])
        with monkeypatch.context() as patches:
            patches.setattr(attack.local["s"], "public", claimed)
            third = attack.write_message()
        assert len(third) == 64
        await raw.send(handshake_frame(third))
        assert await raw.receive_to_end() == REFUSED
        raw.close()
        check_nobody_came(host)
        await host.emptied()
        assert host.server.counters.failed_handshakes == 1


# Ends that do not fit


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("XX", "XK"), ("XK", "XX"), ("shared", "XK"), ("shared", "XX"), ("XK", "shared")],
)
async def test_another_kind_of_key_is_told_so(ours: Any, theirs: str, tmp_path: Path) -> None:
    clients = {"anna": ANNA.public_key}
    accepting = ServerIdentity(SERVER, clients, patterns=(theirs,) if theirs != "shared" else BOTH)
    security = SharedKey.generate() if theirs == "shared" else accepting
    client = SharedKey.generate() if ours == "shared" else identity(ours, ANNA, accepting, tmp_path)
    async with hosting(security) as host:
        with pytest.raises(HandshakeError, match="this kind of handshake") as why:
            await host.connect(client)
        assert type(why.value) is HandshakeError
        assert why.value.code == CloseCode.VERSION
        assert is_fatal(why.value)
        check_nobody_came(host)
    assert not (tmp_path / "known").exists()


@pytest.mark.parametrize("way", WAYS)
async def test_another_context_is_refused(server: ServerIdentity, way: Way, tmp_path: Path) -> None:
    async with hosting(server, context="chat") as host:
        for context in ("", "chat2"):
            with pytest.raises(HandshakeError, match=r"check the .*context at both ends") as why:
                await host.connect(identity(way, ANNA, server, tmp_path), context=context)
            # Under XX neither has a key of the other that could be wrong.
            assert ("key" in str(why.value)) is (way != "XX")
            assert why.value.code == CloseCode.REFUSED
        check_nobody_came(host)
    assert not (tmp_path / "known").exists()


async def test_a_server_with_another_key_than_the_pinned_one_is_refused(
    server: ServerIdentity,
) -> None:
    async with hosting(server) as host:
        other = PrivateKey.generate().public_key
        with pytest.raises(HandshakeError) as why:
            await host.connect(ClientIdentity(ANNA, server=other))
        assert type(why.value) is HandshakeError
        assert why.value.code == CloseCode.REFUSED
        check_nobody_came(host)


async def test_a_client_without_a_key_at_a_server_with_an_identity(
    server: ServerIdentity, caplog: pytest.LogCaptureFixture
) -> None:
    async with hosting(server) as host, await Raw.dial(host.server.port) as raw:
        await raw.send(b"\x05\0\0\0hello")
        assert await raw.receive_to_end() == bytes.fromhex("0400008044100000")
        check_nobody_came(host)
    assert "a client that is not sealed connected to a sealed server" in caplog.text


@pytest.mark.parametrize("way", WAYS)
async def test_a_client_that_goes_silent_in_the_handshake_is_dropped(
    server: ServerIdentity, way: Way, tmp_path: Path
) -> None:
    """And one that is cancelled there leaves nothing behind."""
    async with hosting(server) as host:
        dialling = asyncio.ensure_future(
            host.connect(
                identity(way, ANNA, server, tmp_path),
                options=ClientOptions(handshake_timeout=3600),
            )
        )
        while not dialling.done() and not host.server.counters.accepted:  # noqa: ASYNC110
            await asyncio.sleep(0)
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
        await host.emptied()


def hello_frame() -> bytes:
    return control.frame(Opcode.HELLO, Hello().encode())


def handshake_frame(body: bytes) -> bytes:
    return control.frame(Opcode.HANDSHAKE, body)
