"""What a peer may make us hold, and for how long."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

import sealframe
from sealframe import (
    CloseCode,
    Connection,
    ConnectionClosedError,
    FrameTooLargeError,
    FrameTooSmallError,
    Framing,
    FramingError,
    HandshakeError,
    PeerTimeoutError,
    ProtocolError,
    ServerOptions,
)
from sealframe.noise.credentials import Credentials
from sealframe.noise.records import RecordLayer
from sealframe.server.server import registry_of
from sealframe.wire import (
    CONTROL_BIT,
    MAGIC,
    MAX_CONTROL,
    MAX_FIRST_RECORD,
    MAX_LENGTH,
    MAX_UNAUTHENTICATED,
    Control,
    Opcode,
    Pattern,
    control,
)

from .ends import PATIENCE, Mode, dial, shared_key, start
from .scripted import Peer, Raw, Role, close_frame, dialled, facing, listening, message, until

pytestmark = pytest.mark.usefixtures("no_leaks")

KIB = 1024
MIB = 1024 * KIB

SEALED = close_frame(CloseCode.SEALED, counted=False)
"""What a sealed server says to who does not begin a handshake."""


def head(length: int) -> bytes:
    """Return the head of a message, without the message."""
    return length.to_bytes(4, "little")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the server logged."""
    return [r.getMessage() for r in caplog.records if r.name == "sealframe.server"]


async def expect_failure(
    conn: Connection, peer: Peer, code: CloseCode, text: str, cause: type[FramingError] | None
) -> None:
    """Check that the connection failed with one typed error, and that the peer is told."""
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(ProtocolError, match=text) as caught:
            await conn.recv()
        assert caught.value.code == code
        assert type(caught.value.__cause__) is (cause or type(None))
        with pytest.raises(ProtocolError, match=text):
            await conn.send(b"too late")
        if peer.mode.has_control:
            told = await peer.read_close()
            assert told.code == code
        assert await peer.read() is None
        peer.raw.close()
        assert await conn.close() is False


class TestLength:
    async def test_over_the_limit(self, mode: Mode, role: Role) -> None:
        async with facing(role, mode, max_message_size=1000) as (conn, peer):
            await peer.write(message(bytes(1000)) + head(1001))
            assert await conn.recv() == bytes(1000)
            await expect_failure(
                conn, peer, CloseCode.TOO_LARGE, "1001.*limit of 1000 bytes", FrameTooLargeError
            )

    @pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
    async def test_negative(self, mode: Mode, role: Role, first: bool) -> None:
        """-1 as an int32 has the control bit, and is larger than any control frame."""
        async with facing(role, mode) as (conn, peer):
            if not first:
                await peer.write(message(b"fine"))
                assert await conn.recv() == b"fine"
            await peer.write(b"\xff\xff\xff\xff")
            await expect_failure(
                conn, peer, CloseCode.TOO_LARGE, "control frame.*over the limit", FrameTooLargeError
            )

    async def test_a_control_frame_without_opcode(self, mode: Mode, role: Role) -> None:
        async with facing(role, mode) as (conn, peer):
            await peer.write(head(CONTROL_BIT))
            await expect_failure(conn, peer, CloseCode.PROTOCOL, "opcode", FrameTooSmallError)

    @pytest.mark.parametrize(
        ("data", "text", "cause"),
        [
            (b"\x00\x00\x00\x02", "below the minimum of 3 bytes", FrameTooSmallError),
            (b"\x00\x00\x00\x65", "over the limit of 100 bytes", FrameTooLargeError),
            (b"\xff\xff\xff\xfe", "-2 as a signed 32-bit", FrameTooLargeError),
        ],
        ids=["below the minimum", "over the maximum", "negative"],
    )
    async def test_a_foreign_layout(
        self, data: bytes, text: str, cause: type[FramingError], role: Role
    ) -> None:
        foreign = Mode("packets", Framing(byteorder="big", minimum=3, maximum=100))
        async with facing(role, foreign) as (conn, peer):
            await peer.raw.send(b"\x00\x00\x00\x03abc" + data)
            assert await conn.recv() == b"abc"
            code = CloseCode.TOO_LARGE if cause is FrameTooLargeError else CloseCode.PROTOCOL
            await expect_failure(conn, peer, code, text, cause)

    async def test_others_do_not_notice(self, mode: Mode, caplog: pytest.LogCaptureFixture) -> None:
        async def echo(conn: Connection) -> None:
            async for data in conn:
                await conn.send(data)

        options = ServerOptions(max_message_size=1000)
        async with start(echo, mode, options=options) as server:
            async with dial(server, mode) as other, dialled(server, mode) as peer:
                await until(lambda: len(server.clients) == 2)
                await peer.write(message(b"fine"))
                assert await peer.read() == b"fine"
                await peer.write(head(1001))
                assert await peer.await_end() == []
                peer.raw.close()
                await until(lambda: len(server.clients) == 1)
                await other.send(bytes(1000))
                assert await other.recv() == bytes(1000)
        (logged,) = warnings(caplog)
        assert "1001" in logged

    @pytest.mark.parametrize("limit", [16 * MIB, MAX_LENGTH], ids=["over", "within"])
    async def test_what_is_declared_is_not_allocated(
        self, mode: Mode, role: Role, limit: int
    ) -> None:
        """2 GiB are announced; it makes no difference whether that is over the limit."""
        async with facing(role, mode, max_message_size=limit) as (conn, peer):
            # The first message is done with, so that its buffers are there.
            await peer.write(message(b"first"))
            assert await conn.recv() == b"first"
            tracemalloc.start()
            try:
                before = conn.stats.bytes_received
                await peer.write(head(MAX_LENGTH) + bytes(10))
                await until(lambda: conn.stats.bytes_received >= before + 14)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert peak < 2 * MIB
            peer.raw.close()
            with pytest.raises(ConnectionClosedError):
                await conn.recv()


class TestHandshakeDeadline:
    OPTIONS = ServerOptions(handshake_timeout=0.1)

    async def test_a_client_that_says_nothing(
        self, sealed: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with (
            start(unreached, sealed, options=self.OPTIONS) as server,
            await Raw.dial(server.port) as raw,
        ):
            assert await raw.receive_to_end() == SEALED
            await until(lambda: server.counters.failed_handshakes == 1)
        (logged,) = warnings(caplog)
        assert "handshake_timeout, 0.1 s" in logged

    async def test_one_byte_at_a_time_does_not_move_it(
        self, sealed: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        keys = Credentials(Pattern.NNPSK0, psk=shared_key().secret_bytes())
        layer = RecordLayer(initiator=True, credentials=keys)
        (first,) = layer.output
        loop = asyncio.get_running_loop()
        async with (
            start(unreached, sealed, options=self.OPTIONS) as server,
            await Raw.dial(server.port) as raw,
        ):
            started = loop.time()
            await until(lambda: server.counters.accepted == 1)
            sent = 0
            while registry_of(server).connections:
                assert sent < len(first) - 1, "it waited for the whole frame"
                if loop.time() - started >= sent * 0.01:
                    try:
                        await raw.send(first[sent : sent + 1])
                    except ConnectionError:
                        break
                    sent += 1
                await asyncio.sleep(0.001)
            await until(lambda: server.counters.failed_handshakes == 1)
        (logged,) = warnings(caplog)
        assert "handshake_timeout" in logged

    async def test_a_handshake_without_hello(self, sealed: Mode) -> None:
        """The client has proved that it has the key, and goes no further."""
        async with (
            start(unreached, sealed, options=self.OPTIONS) as server,
            await Raw.dial(server.port) as raw,
        ):
            await Peer(raw, sealed, client=True).shake_hands()
            assert await raw.receive_to_end() == b""
            await until(lambda: server.counters.failed_handshakes == 1)

    async def test_a_refused_client_that_stays(self, sealed: Mode) -> None:
        """The same deadline ends the time in which its input is discarded."""
        async with (
            start(unreached, sealed, options=self.OPTIONS) as server,
            await Raw.dial(server.port) as raw,
        ):
            await raw.send(b"GET / HTTP/1.1\r\n\r\n")
            assert await raw.receive_to_end() == SEALED
            await until(lambda: not registry_of(server).connections)

    async def test_it_does_not_concern_packets(self) -> None:
        options = ServerOptions(handshake_timeout=0.01)
        async with facing("server", Mode("packets"), handshake_timeout=0.01) as (conn, peer):
            await asyncio.sleep(options.handshake_timeout * 3)
            await peer.write(message(b"later"))
            assert await conn.recv() == b"later"
            await peer.say_end()

    async def test_nor_a_client_that_is_welcome(self, mode: Mode) -> None:
        async def echo(conn: Connection) -> None:
            async for data in conn:
                await conn.send(data)

        async with start(echo, mode) as server, dial(server, mode) as conn:
            (accepted,) = registry_of(server).connections
            await conn.send(b"welcome?")
            assert await conn.recv() == b"welcome?"
            assert not accepted.closer.timer_runs


async def unreached(conn: Connection) -> None:
    raise AssertionError("no client should get as far as the handler")


class TestIdle:
    async def test_who_says_nothing_is_closed(
        self, mode: Mode, role: Role, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with facing(role, mode, idle_timeout=0.1) as (conn, peer):
            with pytest.raises(PeerTimeoutError, match=r"idle_timeout, 0\.1 s") as caught:
                await conn.recv()
            assert caught.value.code == CloseCode.TIMEOUT
            with pytest.raises(sealframe.ConnectionClosed):
                await conn.send(b"too late")
            if mode.has_control:
                assert (await peer.read_close()).code == CloseCode.TIMEOUT
            await peer.say_end()
            assert await peer.read() is None
        if role == "server":
            (logged,) = warnings(caplog)
            assert "idle_timeout" in logged

    @pytest.mark.parametrize("direction", ["in", "out"])
    async def test_a_message_either_way_puts_it_off(self, direction: str) -> None:
        """Each pause is much shorter than the limit, all together are longer."""
        limit = 1.0
        loop = asyncio.get_running_loop()
        async with facing("server", Mode("packets"), idle_timeout=limit) as (conn, peer):
            started = loop.time()
            while loop.time() - started < 1.2 * limit:
                if direction == "in":
                    await peer.write(message(b"in"))
                    assert await conn.recv() == b"in"
                else:
                    await conn.send(b"out")
                    assert await peer.read() == b"out"
                await asyncio.sleep(0.01)

    async def test_control_frames_do_not(self, sealed: Mode, role: Role) -> None:
        async with facing(role, sealed, idle_timeout=0.1) as (conn, peer):

            async def ping_for_ever() -> None:
                while True:
                    await peer.write(control.frame(Opcode.PING, b""))
                    frame = await peer.read()
                    assert isinstance(frame, Control)
                    if frame.opcode == Opcode.CLOSE:
                        return
                    await asyncio.sleep(0.005)

            async with asyncio.timeout(PATIENCE):
                await ping_for_ever()
            with pytest.raises(PeerTimeoutError, match="idle_timeout"):
                await conn.recv()
            await peer.say_end()


class TestUnauthenticated:
    """Until a client has shown that it has the key, at most 1,280 of its bytes are held."""

    @pytest.mark.parametrize("size", [MAX_UNAUTHENTICATED, MAX_CONTROL])
    async def test_a_long_handshake_frame(self, sealed: Mode, size: int) -> None:
        """Its first bytes are enough to refuse it: here, that it is of another pattern."""
        start_of_frame = head(size | CONTROL_BIT) + bytes((Opcode.HANDSHAKE,)) + MAGIC + b"\1\2"
        async with start(unreached, sealed) as server, await Raw.dial(server.port) as raw:
            await raw.send(start_of_frame)
            assert await raw.receive_to_end() == close_frame(CloseCode.VERSION, counted=False)
            assert server.counters.failed_handshakes == 1

    @pytest.mark.parametrize("size", [0, MAX_CONTROL + 1, MAX_LENGTH])
    async def test_no_length_for_a_handshake_frame(self, sealed: Mode, size: int) -> None:
        """The head is enough to refuse it."""
        async with start(unreached, sealed) as server, await Raw.dial(server.port) as raw:
            await raw.send(head(size | CONTROL_BIT))
            assert await raw.receive_to_end() == b""
            assert server.counters.failed_handshakes == 1

    async def test_a_long_first_record(
        self, sealed: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with start(unreached, sealed) as server, await Raw.dial(server.port) as raw:
            await Peer(raw, sealed, client=True).shake_hands()
            await raw.send(head(MAX_FIRST_RECORD + 1))
            assert await raw.receive_to_end() == b""
            assert server.counters.failed_handshakes == 1
        (logged,) = warnings(caplog)
        assert "1025" in logged

    async def test_more_than_hello_at_once(self, sealed: Mode) -> None:
        """After HELLO the client sends nothing until it is welcome."""
        async with start(unreached, sealed) as server, await Raw.dial(server.port) as raw:
            peer = Peer(raw, sealed, client=True)
            await peer.shake_hands()
            hello = control.frame(Opcode.HELLO, control.Hello().encode())
            assert peer.records is not None
            await raw.send(b"".join(peer.records.seal(hello) + peer.records.seal(message(b"!"))))
            assert await raw.receive_to_end() == b""
            assert server.counters.failed_handshakes == 1

    async def test_a_flood_is_read_and_thrown_away(self, sealed: Mode) -> None:
        async with start(unreached, sealed) as server, await Raw.dial(server.port) as raw:
            await until(lambda: bool(registry_of(server).connections))
            (protocol,) = registry_of(server).connections
            buffer = protocol.get_buffer(-1)
            assert len(buffer) <= MAX_UNAUTHENTICATED
            tracemalloc.start()
            try:
                await raw.send(bytes(4 * MIB))
                await until(lambda: protocol.stats.bytes_received == 4 * MIB)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            # Our own 4 MiB are among it, and a buffer to discard into.
            assert peak < 5 * MIB
            raw.finish()
            assert await raw.receive_to_end() == SEALED

    async def test_a_client_holds_no_more_either(self, sealed: Mode) -> None:
        async with listening() as listener:
            connecting = asyncio.ensure_future(_connect(listener.port, sealed))
            async with await listener.accept() as raw:
                await raw.send(head(60_000 | CONTROL_BIT) + bytes((Opcode.HANDSHAKE,)) + bytes(10))
                refusal = close_frame(CloseCode.REFUSED, counted=False)
                assert (await raw.receive_to_end()).endswith(refusal)
                raw.close()
                with pytest.raises(HandshakeError, match="wrong length"):
                    await connecting


async def _connect(port: int, mode: Mode) -> Connection:
    async with asyncio.timeout(PATIENCE):
        return await sealframe.connect("127.0.0.1", port, **mode.client)
