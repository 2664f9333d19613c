"""Which connections are post-quantum: by default all, else as either end was told."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import sealframe
import sealframe.sync
from sealframe import (
    ClientIdentity,
    CloseCode,
    ConfigurationError,
    Connection,
    HandshakeError,
    MissingExtraError,
    PrivateKey,
    SealframeError,
    ServerIdentity,
    SharedKey,
)
from sealframe.noise.kem import DecapsulationKey

PATIENCE = 20.0
SERVER, ANNA = PrivateKey(bytes(range(32))), PrivateKey(bytes(range(32, 64)))


def shared(folder: Path, *, post_quantum: bool) -> tuple[Any, Any]:
    raw = SharedKey.generate().secret_bytes()
    return SharedKey(raw), SharedKey(raw, post_quantum=post_quantum)


def pinned(folder: Path, *, post_quantum: bool) -> tuple[Any, Any]:
    server = ServerIdentity(SERVER, {"anna": ANNA.public_key})
    return server, ClientIdentity(ANNA, server=SERVER.public_key, post_quantum=post_quantum)


def first_use(folder: Path, *, post_quantum: bool) -> tuple[Any, Any]:
    server = ServerIdentity(SERVER, {"anna": ANNA.public_key}, patterns=["XX"])
    client = ClientIdentity(
        ANNA, known_servers=folder / "known", trust_first_use=True, post_quantum=post_quantum
    )
    return server, client


ways = pytest.mark.parametrize("make", [shared, pinned, first_use])


async def echo(conn: Connection) -> None:
    async for message in conn:
        await conn.send(message)


@ways
@pytest.mark.parametrize("post_quantum", [True, False])
async def test_both_ends_and_the_statistics_say_what_it_is(
    make: Any, post_quantum: bool, tmp_path: Path
) -> None:
    server_side, client_side = make(tmp_path, post_quantum=post_quantum)
    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(echo, "127.0.0.1", 0, security=server_side) as server,
        sealframe.connect("127.0.0.1", server.port, security=client_side) as conn,
    ):
        await conn.send(b"hello")
        assert await conn.recv() == b"hello"
        (theirs,) = server.clients.values()
        (figures,) = server.stats()["clients"].values()
        assert conn.post_quantum is theirs.post_quantum is post_quantum
        assert figures["post_quantum"] is post_quantum
        assert conn.sealed


async def test_it_is_the_default(tmp_path: Path) -> None:
    key = SharedKey.generate()
    key.save(tmp_path / "key")
    for security in (
        key,
        SharedKey.load(tmp_path / "key"),
        SharedKey.from_text(key.to_text()),
        SharedKey(key.secret_bytes()),
    ):
        async with (
            asyncio.timeout(PATIENCE),
            sealframe.serve(echo, "127.0.0.1", 0, security=security) as server,
            sealframe.connect("127.0.0.1", server.port, security=security) as conn,
        ):
            assert conn.post_quantum


async def test_each_way_to_a_shared_key_can_be_classic(tmp_path: Path) -> None:
    key = SharedKey.generate(post_quantum=False)
    key.save(tmp_path / "key")
    for security in (
        key,
        SharedKey.load(tmp_path / "key", post_quantum=False),
        SharedKey.from_text(key.to_text(), post_quantum=False),
    ):
        assert security == key
        async with (
            asyncio.timeout(PATIENCE),
            sealframe.serve(echo, "127.0.0.1", 0, security=security) as server,
            sealframe.connect("127.0.0.1", server.port, security=security) as conn,
        ):
            assert not conn.post_quantum


async def test_a_plain_connection_is_not() -> None:
    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(echo, "127.0.0.1", 0) as server,
        sealframe.connect("127.0.0.1", server.port) as conn,
    ):
        assert not conn.post_quantum


def test_without_asyncio() -> None:
    key = SharedKey.generate()

    def handler(conn: sealframe.sync.Connection) -> None:
        assert conn.post_quantum

    with (
        sealframe.sync.serve(handler, "127.0.0.1", 0, security=key) as server,
        sealframe.sync.connect("127.0.0.1", server.port, security=key) as conn,
    ):
        assert conn.post_quantum


@ways
async def test_a_server_may_insist(make: Any, tmp_path: Path) -> None:
    server_side, hybrid = make(tmp_path, post_quantum=True)
    if make is shared:
        server_side = SharedKey(server_side.secret_bytes(), patterns=["NNhfs+psk0"])
        hybrid = SharedKey(server_side.secret_bytes())
        classic = SharedKey(server_side.secret_bytes(), post_quantum=False)
    else:
        name = "XKhfs" if make is pinned else "XXhfs"
        server_side = ServerIdentity(SERVER, {"anna": ANNA.public_key}, patterns=[name])
        _, classic = make(tmp_path, post_quantum=False)
    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(echo, "127.0.0.1", 0, security=server_side) as server,
    ):
        with pytest.raises(HandshakeError, match="it takes post-quantum handshakes alone") as no:
            await sealframe.connect("127.0.0.1", server.port, security=classic)
        assert no.value.code == CloseCode.VERSION
        async with sealframe.connect("127.0.0.1", server.port, security=hybrid) as conn:
            assert conn.post_quantum


async def test_each_way_to_a_shared_key_can_insist(tmp_path: Path) -> None:
    """What such a key asks for as a client is another matter."""
    demanded = {"patterns": ["NNhfs+psk0"], "post_quantum": False}
    key = SharedKey.generate(**demanded)  # type: ignore[arg-type]
    key.save(tmp_path / "key")
    words = "correct horse battery staple, and some more"
    for security in (
        key,
        SharedKey.load(tmp_path / "key", **demanded),  # type: ignore[arg-type]
        SharedKey.from_text(key.to_text(), **demanded),  # type: ignore[arg-type]
        SharedKey.from_passphrase(words, **demanded),  # type: ignore[arg-type]
    ):
        async with (
            asyncio.timeout(PATIENCE),
            sealframe.serve(echo, "127.0.0.1", 0, security=security) as server,
        ):
            with pytest.raises(HandshakeError):
                await sealframe.connect("127.0.0.1", server.port, security=security)
            hybrid = SharedKey(security.secret_bytes())
            async with sealframe.connect("127.0.0.1", server.port, security=hybrid) as conn:
                assert conn.post_quantum


@pytest.mark.parametrize(
    "patterns",
    [
        [],
        "NNhfs+psk0",
        ["XKhfs"],
        ["NNpsk0", "NN"],
        None,
        5,
        [["NNpsk0"]],
        (name for name in ["NNpsk0"]),
    ],
)
def test_what_no_server_with_a_shared_key_can_demand(patterns: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"use \('NNpsk0',\), or post-quantum alone"):
        SharedKey.generate(patterns=patterns)


@ways
async def test_at_a_server_without_it_a_client_is_told_and_does_not_fall_back(
    make: Any, tmp_path: Path
) -> None:
    """Which is also what a forged answer can do, and no more: the reconnecting loop ends."""
    server_side, client_side = make(tmp_path, post_quantum=True)
    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(echo, "127.0.0.1", 0, security=server_side) as server,
    ):
        with (
            patch("sealframe.noise.handshake_driver.kem.is_available", return_value=False),
            pytest.raises(HandshakeError, match="give post_quantum=False") as refusal,
        ):
            async for _ in sealframe.connect("127.0.0.1", server.port, security=client_side):
                pytest.fail("it was let in")
        assert refusal.value.code == CloseCode.VERSION
        assert server.counters.accepted == 1
        _, classic = make(tmp_path, post_quantum=False)
        if make is not shared:
            async with sealframe.connect("127.0.0.1", server.port, security=classic) as conn:
                assert not conn.post_quantum


@ways
async def test_without_ml_kem_a_client_is_told_at_once_and_a_server_serves_classic_ones(
    make: Any, tmp_path: Path
) -> None:
    with patch("sealframe.noise.kem.primitives", return_value=None):
        with pytest.raises(MissingExtraError, match=r"newer\), or give post_quantum=False\n"):
            _, hybrid = make(tmp_path, post_quantum=True)
            sealframe.connect("127.0.0.1", 1, security=hybrid)
        server_side, client_side = make(tmp_path, post_quantum=False)
        async with (
            asyncio.timeout(PATIENCE),
            sealframe.serve(echo, "127.0.0.1", 0, security=server_side) as server,
            sealframe.connect("127.0.0.1", server.port, security=client_side) as conn,
        ):
            assert not conn.post_quantum
        with pytest.raises(MissingExtraError, match=r"newer\), or give patterns= without hfs\n"):
            ServerIdentity(SERVER, {}, patterns=["XKhfs"])
        with pytest.raises(MissingExtraError, match=r"newer\), or give patterns= without hfs\n"):
            key = SharedKey.generate(patterns=["NNhfs+psk0"])
            sealframe.serve(echo, "127.0.0.1", 0, security=key)


def decapsulation_keys() -> list[Any]:
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, DecapsulationKey)]


@pytest.mark.parametrize("end", ["time-out", "cancellation", "EOF"])
async def test_no_decapsulation_key_outlives_its_handshake(end: str) -> None:
    """Also for who keeps the error, which leads to the frames that had the connection."""
    before = decapsulation_keys()
    asked, over = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.readexactly(1263)
            asked.set()
            if end != "EOF":
                await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        over.set()

    async with asyncio.timeout(5.0), await asyncio.start_server(serve, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        options = sealframe.ClientOptions(handshake_timeout=0.3 if end == "time-out" else PATIENCE)

        async def connect() -> Connection:
            return await sealframe.connect(
                "127.0.0.1", port, security=SharedKey.generate(), options=options
            )

        task = asyncio.create_task(connect())
        if end == "cancellation":
            await asked.wait()
            task.cancel()
        with pytest.raises((SealframeError, asyncio.CancelledError)) as kept:
            await task
        left = [one for one in decapsulation_keys() if not any(one is old for old in before)]
        assert left == []
        await over.wait()
        assert kept.value.__traceback__ is not None
