"""Hybrid handshakes: sealframe and a peer that was written from docs/PROTOCOL.md alone."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kyber_py.ml_kem import ML_KEM_768

import sealframe
from sealframe import ClientIdentity, PrivateKey, PublicKey, ServerIdentity, SharedKey

from .hybrid_noise import PATTERNS, Handshake, RefusedError, public
from .hybrid_peer import (
    CLOSE,
    FRAMES_RECEIVED,
    HANDSHAKE,
    NORMAL,
    REFUSED,
    UNAUTHORIZED,
    VERSION,
    Peer,
    close,
    frame,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

pytestmark = pytest.mark.timeout(60)


@dataclass
class Keys:
    """What each end has, and what sealframe is told of it."""

    pattern: int
    folder: Path

    def __post_init__(self) -> None:
        self.psk, self.server, self.client = (os.urandom(32) for _ in range(3))

    def ours(self, end: str, **changed: Any) -> Handshake:
        """Return one of our ends."""
        own = {"psk": self.psk, "static": getattr(self, end), "server": public(self.server)}
        return Handshake(self.pattern, end == "client", b"demo", **own | changed)

    def serve(self, handler: Callable[[Any], Awaitable[None]]) -> sealframe.Serving[Any, Any]:
        """Serve with the pattern alone where it can be said."""
        security: SharedKey | ServerIdentity = SharedKey(self.psk)
        if self.pattern != 4:
            clients = {"ours": PublicKey(public(self.client))}
            only = (PATTERNS[self.pattern].name,)
            security = ServerIdentity(PrivateKey(self.server), clients, patterns=only)
        return sealframe.serve(handler, "127.0.0.1", 0, security=security, context="demo")

    def connect(self, port: int, *, trust: bool = True) -> sealframe.Connecting[Any, Any]:
        """Connect with the pattern, which is what a client asks for when nothing else is said."""
        security: SharedKey | ClientIdentity = SharedKey(self.psk)
        if self.pattern == 5:
            server = PublicKey(public(self.server))
            security = ClientIdentity(PrivateKey(self.client), server=server)
        elif self.pattern == 6:
            known = self.folder / "known.txt"
            security = ClientIdentity(
                PrivateKey(self.client), known_servers=known, trust_first_use=trust
            )
        return sealframe.connect("127.0.0.1", port, security=security, context="demo")


SMALL, LARGE = [b"", b"x"], os.urandom(100_000)
MANY = [b"%04d" % number for number in range(4200)]
"""One record each, they are more than one key's worth."""


@pytest.fixture(params=list(PATTERNS), ids=[each.name for each in PATTERNS.values()])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> Keys:
    return Keys(request.param, tmp_path)


async def echo(conn: sealframe.Connection) -> None:
    """Send back what comes, each in a record of its own."""
    async for message in conn:
        await conn.send(message)
        await asyncio.sleep(0)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def serving(talk: Callable[[Peer], Awaitable[None]]) -> AsyncIterator[int]:
    """Serve one client with our end. What goes wrong there ends the test at once."""
    streams: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
    streams = asyncio.get_running_loop().create_future()

    async def serve_one() -> None:
        reader, writer = await streams
        try:
            await talk(Peer(reader, writer))
        finally:
            writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(lambda *both: streams.set_result(both), "127.0.0.1", 0)
    async with server, asyncio.TaskGroup() as group:
        group.create_task(serve_one())
        yield server.sockets[0].getsockname()[1]


class TestOurClient:
    async def test_messages_and_the_close(self, keys: Keys) -> None:
        sent = [*SMALL, LARGE]
        async with keys.serve(echo) as server, connected(server.port) as peer:
            await peer.connect(keys.ours("client"))
            # Frames share records, and one spans several.
            peer.write_stream(b"".join(frame(None, message) for message in sent), 30_000)
            for message in sent:
                assert await peer.receive() == (None, message)
            code, fields = await peer.finish()
            assert (code, int.from_bytes(fields[FRAMES_RECEIVED], "little")) == (NORMAL, 3)

    async def test_keys_change_in_both_directions(self, keys: Keys) -> None:
        async with keys.serve(echo) as server, connected(server.port) as peer:
            await peer.connect(keys.ours("client"))
            peer.write_stream(b"".join(frame(None, message) for message in MANY), 8)
            for message in MANY:
                assert await peer.receive() == (None, message)
            assert min(peer.sealing.count, peer.opening.count) > 4096
            await peer.finish()

    async def test_the_channel_binding_is_the_hash(self, keys: Keys) -> None:
        async def tell(conn: sealframe.Connection) -> None:
            await conn.send(conn.channel_binding)

        handshake = keys.ours("client")
        async with keys.serve(tell) as server, connected(server.port) as peer:
            await peer.connect(handshake)
            assert await peer.receive() == (None, handshake.noise.h)
            await peer.finish()


class TestOurServer:
    async def test_messages_and_the_close(self, keys: Keys) -> None:
        sent = [*SMALL, LARGE]

        async def talk(peer: Peer) -> None:
            await peer.accept(keys.ours("server"))
            for message in sent:
                assert await peer.receive() == (None, message)
            peer.write_stream(b"".join(frame(None, message) for message in sent), 30_000)
            code, fields = await peer.finish()
            assert (code, int.from_bytes(fields[FRAMES_RECEIVED], "little")) == (NORMAL, 3)

        async with serving(talk) as port, keys.connect(port) as conn:
            for message in sent:
                await conn.send(message)
            assert [await conn.recv() for _ in sent] == sent
            assert conn.post_quantum
            assert [message async for message in conn] == []

    async def test_keys_change_in_both_directions(self, keys: Keys) -> None:
        async def talk(peer: Peer) -> None:
            await peer.accept(keys.ours("server"))
            for message in MANY:
                assert await peer.receive() == (None, message)
            peer.write_stream(b"".join(frame(None, message) for message in MANY), 8)
            assert min(peer.sealing.count, peer.opening.count) > 4096
            await peer.finish()

        async with serving(talk) as port, keys.connect(port) as conn:
            for message in MANY:
                await conn.send(message)
                await asyncio.sleep(0)
            assert [await conn.recv() for _ in MANY] == MANY


# What goes wrong: the answer is what the text says, and nothing more


def with_coefficient(key: bytes, index: int, value: int) -> bytes:
    """Return an encapsulation key with another coefficient, 12 bits each (FIPS 203, ByteEncode)."""
    bits = int.from_bytes(key[:1152], "little")
    bits &= ~(0xFFF << 12 * index)
    return (bits | value << 12 * index).to_bytes(1152, "little") + key[1152:]


async def answer_to(port: int, message: bytes) -> bytes:
    """Return all that comes for a first handshake message, up to the end of the stream."""
    async with connected(port) as peer:
        peer.writer.write(frame(HANDSHAKE, message))
        peer.writer.write_eof()
        return await peer.reader.read()


async def answer(
    peer: Peer,
    handshake: Handshake,
    *,
    encapsulation_key: bytes | None = None,
    change: Callable[[bytes], bytes] = bytes,
) -> None:
    """Answer message 1 with a message 2, under that key of ML-KEM where one is given."""
    handshake.read((await peer.read_handshake())[len(handshake.preamble) :])
    if encapsulation_key is not None:
        handshake.encapsulation_key = encapsulation_key
    peer.writer.write(frame(HANDSHAKE, change(handshake.write())))


def longer(message: bytes) -> bytes:
    return message + b"\0"


def shorter(message: bytes) -> bytes:
    return message[:-1]


def flipped(message: bytes) -> bytes:
    """Change a byte of the ciphertext."""
    return message[:600] + bytes([message[600] ^ 1]) + message[601:]


class TestSealframeServes:
    @pytest.fixture
    async def port(self, keys: Keys) -> AsyncIterator[int]:
        async with keys.serve(echo) as server:
            yield server.port

    async def test_another_key(self, keys: Keys, port: int) -> None:
        wrong = keys.ours("client", psk=os.urandom(32), server=public(os.urandom(32)))
        if keys.pattern == 6:  # Our client sees it in message 2, and refuses in place of message 3.
            async with connected(port) as peer:
                with pytest.raises(RefusedError):
                    await peer.connect(wrong)
            assert peer.after_refusal == b""
        else:
            assert await answer_to(port, wrong.write()) == close(REFUSED)

    @pytest.mark.parametrize("index", [0, 767])
    async def test_a_coefficient_of_3329(self, keys: Keys, port: int, index: int) -> None:
        answers = []
        for value in (3328, 3329, 4095):
            wrong = keys.ours("client")
            wrong.encapsulation_key = with_coefficient(wrong.encapsulation_key, index, value)
            answers.append(await answer_to(port, wrong.write()))
        assert len(answers[0]) == len(frame(HANDSHAKE)) + keys.ours("server").lengths[1]
        assert answers[1:] == [close(REFUSED), close(REFUSED)]

    async def test_another_length(self, keys: Keys, port: int) -> None:
        right = keys.ours("client").write()
        for wrong in (right + b"\0", right[:-1], right[:10]):
            assert await answer_to(port, wrong) == close(REFUSED)

    async def test_another_pattern_or_none(self, keys: Keys, port: int) -> None:
        right = keys.ours("client").write()
        other = right[:9] + bytes([5 if keys.pattern == 4 else 4]) + right[10:]
        for wrong in (other, right[:9], right[:8]):
            assert await answer_to(port, wrong) == close(VERSION)
        assert await answer_to(port, right[:7]) == b"", "who does not know the magic gets none"

    @pytest.mark.parametrize("keys", [5, 6], ids=["XKhfs", "XXhfs"], indirect=True)
    async def test_a_client_that_is_not_on_the_list(self, keys: Keys, port: int) -> None:
        async with connected(port) as peer, connected(port) as stranger:
            await peer.connect(keys.ours("client"))
            await stranger.introduce(keys.ours("client", static=os.urandom(32)))
            opcode, body = await stranger.receive()
            assert (opcode, body[:3]) == (CLOSE, bytes([UNAUTHORIZED, 0, 0]))
            assert stranger.first_record == peer.first_record, "as long as WELCOME"
            assert await stranger.reader.read() == b""
            await peer.finish()


class TestSealframeConnects:
    async def test_another_key(self, keys: Keys) -> None:
        async def talk(peer: Peer) -> None:
            wrong = keys.ours("server", psk=os.urandom(32), static=os.urandom(32))
            if (
                keys.pattern == 6
            ):  # It sees the key in message 2, and refuses in place of message 3.
                await answer(peer, wrong)
                assert await peer.reader.read() == close(REFUSED)
            else:
                with pytest.raises(RefusedError):
                    await peer.accept(wrong)
                assert peer.after_refusal == b""

        async with serving(talk) as port:
            with pytest.raises(sealframe.HandshakeError):
                await keys.connect(port, trust=False)

    async def test_a_ciphertext_for_another_key(self, keys: Keys) -> None:
        async def talk(peer: Peer) -> None:
            other, _ = ML_KEM_768.keygen()
            await answer(peer, keys.ours("server"), encapsulation_key=other)
            assert await peer.reader.read() == close(REFUSED)

        async with serving(talk) as port:
            with pytest.raises(sealframe.HandshakeError):
                await keys.connect(port)

    @pytest.mark.parametrize("change", [longer, shorter, flipped])
    async def test_another_message_2(self, keys: Keys, change: Callable[[bytes], bytes]) -> None:
        async def talk(peer: Peer) -> None:
            await answer(peer, keys.ours("server"), change=change)
            assert await peer.reader.read() == close(REFUSED)

        async with serving(talk) as port:
            with pytest.raises(sealframe.HandshakeError):
                await keys.connect(port)
