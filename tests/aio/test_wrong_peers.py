"""Peers of another kind on our port, and we on theirs: one error, and one log line, that say so."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from pathlib import Path
from typing import Any

import pytest

import sealframe
from sealframe import (
    CloseCode,
    Connection,
    ConnectionClosed,
    ConnectionClosedError,
    HandshakeError,
    Server,
    SharedKey,
)
from sealframe.framing import INT32_BE
from sealframe.server.server import registry_of
from sealframe.wire import Opcode, control

from .ends import PATIENCE, Mode, shared_key, start
from .scripted import Raw, dialled, listening, message, until

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(params=["plain", "sealed"])
def port_mode(request: pytest.FixtureRequest) -> Mode:
    """What a server expects on its port."""
    if request.param == "plain":
        return Mode("packets")
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    return Mode("sealed")


def client_hello() -> bytes:
    """Return the first bytes of a real TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


FOREIGN = [
    pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "an HTTP client", id="HTTP GET"),
    pytest.param(b"POST /x HTTP/1.1\r\nHost: h\r\n\r\n", "an HTTP client", id="HTTP POST"),
    pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "an HTTP client", id="HTTP/2"),
    pytest.param(client_hello(), "a TLS peer", id="TLS"),
    pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", "an SSH peer", id="SSH"),
    pytest.param(
        b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 1234\r\n\x05\0\0\0hello",
        "sends the PROXY protocol",
        id="PROXY 1",
    ),
    pytest.param(
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12) + b"\x05\0\0\0hello",
        "sends the PROXY protocol",
        id="PROXY 2",
    ),
    pytest.param(b"\0\0\0\x05hello", "swapped byte order", id="big-endian 5"),
    pytest.param(b"\0\0\x01\0" + bytes(256), "swapped byte order", id="big-endian 256"),
    pytest.param(b"hello world, who are you?\n", "lines of text", id="text"),
]


def answer_of(mode: Mode) -> bytes:
    """Return what a peer gets whose first bytes can be a packet.

    On a plain port nothing: it would not understand an answer. On a sealed one it may be a client
    that has no key, to which the end of the stream alone would look like a close in order.
    """
    close = control.frame(Opcode.CLOSE, control.Close(CloseCode.SEALED).encode())
    return close if mode.sealed else b""


class Watched:
    """A handler that keeps what happened to its clients."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.messages: list[bytes] = []
        self.calls = 0

    async def __call__(self, conn: Connection) -> None:
        self.calls += 1
        try:
            async for data in conn:
                self.messages.append(data)
        except ConnectionClosed as error:
            self.errors.append(error)
            raise


def logged(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return all that was logged, by anyone."""
    return [record for record in caplog.records if record.levelno > logging.INFO]


async def gone(server: Server) -> None:
    """Wait until the server has no connection left."""
    await until(lambda: server.counters.accepted > 0 and not registry_of(server).connections)


class TestOnOurPort:
    @pytest.mark.parametrize(("data", "cause"), FOREIGN)
    async def test_it_is_named_once(
        self, port_mode: Mode, data: bytes, cause: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        handler = Watched()
        async with start(handler, port_mode) as server, await Raw.dial(server.port) as raw:
            await raw.send(data)
            # A length that is legal when read the other way shows at the end only.
            raw.finish()
            assert await raw.receive_to_end() == answer_of(port_mode)
            await gone(server)
            assert server.clients == {}
        (record,) = logged(caplog)
        assert cause in record.getMessage()
        assert record.exc_info is None
        assert handler.messages == []
        if port_mode.sealed:
            assert handler.calls == 0
            assert server.counters.failed_handshakes == 1
        else:
            (error,) = handler.errors
            assert cause in str(error)
            assert isinstance(error, ConnectionClosedError)

    @pytest.mark.parametrize(
        "data",
        [
            b"GET / HTTP/1.1\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"\0\0\0\x05hello",
        ],
        ids=["HTTP", "SSH", "big-endian 5"],
    )
    async def test_it_is_told_at_once_by_fin(
        self, port_mode: Mode, data: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A peer that waits for an answer gets the end of the stream."""
        async with start(Watched(), port_mode) as server, await Raw.dial(server.port) as raw:
            await raw.send(data)
            assert await raw.receive_to_end() == answer_of(port_mode)
            # What it still says changes nothing.
            await raw.send(data)
            raw.close()
            await gone(server)
        assert len(logged(caplog)) == 1

    @pytest.mark.parametrize(("data", "cause"), FOREIGN)
    async def test_byte_by_byte(
        self, port_mode: Mode, data: bytes, cause: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The name does not depend on how the bytes arrive, only on the first of them."""
        async with start(Watched(), port_mode) as server, await Raw.dial(server.port) as raw:
            await until(lambda: bool(registry_of(server).connections))
            (protocol,) = registry_of(server).connections
            for number in range(8):
                await raw.send(data[number : number + 1])
                await until(lambda done=number: protocol.stats.bytes_received > done)  # type: ignore[misc]
            raw.finish()
            assert await raw.receive_to_end() == answer_of(port_mode)
            await gone(server)
        (record,) = logged(caplog)
        assert cause in record.getMessage() or "is ASCII" in record.getMessage()

    async def test_others_are_served(self, port_mode: Mode) -> None:
        async def echo(conn: Connection) -> None:
            async for data in conn:
                await conn.send(data)

        async with start(echo, port_mode) as server:
            async with sealframe.connect("127.0.0.1", server.port, **port_mode.client) as conn:
                async with await Raw.dial(server.port) as raw:
                    await raw.send(b"GET / HTTP/1.1\r\n\r\n")
                    assert await raw.receive_to_end() == answer_of(port_mode)
                await conn.send(b"unharmed")
                assert await conn.recv() == b"unharmed"


FOREIGN_TO_INT32_BE = [
    pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "an HTTP client", id="HTTP GET"),
    pytest.param(client_hello(), "a TLS peer", id="TLS"),
    pytest.param(b"\x05\0\0\0hello", "read as little-endian the length is 5", id="swapped"),
    pytest.param(b"\0\x01\0\0" + bytes(256), "the length is 256", id="swapped, and legal"),
    pytest.param(b"\0\0\0\x09hello", "includes_header=True", id="counts the header"),
    pytest.param(b"hello world, who are you?\n", "lines of text", id="text"),
    pytest.param(control.frame(Opcode.HELLO, b"sealfram\x01"), "leave framing= away", id="ours"),
]


class TestOnAPortOfAForeignLayout:
    """The same hints, one line of them, where the port speaks another length."""

    @pytest.mark.parametrize(("data", "cause"), FOREIGN_TO_INT32_BE)
    async def test_it_is_named_once(
        self, data: bytes, cause: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        handler = Watched()
        mode = Mode(framing=INT32_BE)
        async with start(handler, mode) as server, await Raw.dial(server.port) as raw:
            await raw.send(data)
            raw.finish()
            assert await raw.receive_to_end() == b""
            await gone(server)
        (record,) = logged(caplog)
        (error,) = handler.errors
        assert isinstance(error, ConnectionClosedError)
        assert cause in str(error)
        assert str(error) in record.getMessage()
        assert "\n" not in record.getMessage()

    @pytest.mark.parametrize(("data", "cause"), FOREIGN_TO_INT32_BE)
    async def test_a_client_is_told_as_well(self, data: bytes, cause: str) -> None:
        async with asyncio.timeout(PATIENCE), listening() as listener:
            conn = await sealframe.connect("127.0.0.1", listener.port, framing=INT32_BE)
            async with await listener.accept() as raw:
                await raw.send(data)
                raw.finish()
                with pytest.raises(ConnectionClosedError, match=re.escape(cause)):
                    await conn.recv()
                assert not await conn.close()

    async def test_what_comes_behind_a_frame_is_no_stranger(self) -> None:
        async with asyncio.timeout(PATIENCE), listening() as listener:
            conn = await sealframe.connect("127.0.0.1", listener.port, framing=INT32_BE)
            async with await listener.accept() as raw:
                await raw.send(b"\0\0\0\x01a" + b"\x05\0\0\0hello")
                assert await conn.recv() == b"a"
                with pytest.raises(ConnectionClosedError) as caught:
                    await conn.recv()
                assert str(caught.value) == "length 83886080 is over the limit of 16777216 bytes"
                await conn.close()


class TestHealthChecks:
    """A balancer connects every few seconds, and goes without a word."""

    @pytest.mark.parametrize("how", ["FIN", "RST"])
    async def test_fill_no_log(
        self, port_mode: Mode, how: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "sealframe.server")
        async with start(Watched(), port_mode) as server:
            for number in range(3):
                raw = await Raw.dial(server.port)
                await until(lambda done=number: server.counters.accepted > done)  # type: ignore[misc]
                (raw.finish if how == "FIN" else raw.reset)()
                await gone(server)
                raw.close()
            counters = server.counters
            # On a plain server that one was a client that closes in order.
            plain = how == "FIN" and not port_mode.sealed
            assert counters.probes == (0 if plain else 3)
            assert counters.failed_handshakes == 0
        assert logged(caplog) == []
        told = [r for r in caplog.records if "went before it sent a byte" in r.getMessage()]
        assert [record.levelno for record in told] == [logging.DEBUG] * counters.probes

    @pytest.mark.parametrize("data", [b"", b"\x05"], ids=["silent for too long", "a byte"])
    async def test_what_else_ends_is_told(
        self, sealed: Mode, data: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        options = sealframe.ServerOptions(handshake_timeout=10 if data else 0.05)
        async with (
            sealframe.serve(Watched(), "127.0.0.1", 0, options=options, **sealed.server) as server,
            await Raw.dial(server.port) as raw,
        ):
            await until(lambda: server.counters.accepted == 1)
            if data:
                await raw.send(data)
                raw.finish()
            await raw.receive_to_end()
            raw.close()
            await gone(server)
            assert (server.counters.probes, server.counters.failed_handshakes) == (0, 1)
        assert len(logged(caplog)) == 1

    async def test_one_that_was_there_for_longer_was_lost(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A client of packets, to which nothing was said either."""
        options = sealframe.ServerOptions(handshake_timeout=0.05)
        async with (
            sealframe.serve(Watched(), "127.0.0.1", 0, options=options) as server,
            await Raw.dial(server.port) as raw,
        ):
            await until(lambda: server.counters.accepted == 1)
            await asyncio.sleep(0.1)
            raw.reset()
            await gone(server)
            assert server.counters.probes == 0
        assert len(logged(caplog)) == 1


class TestOnTheirPort:
    @pytest.mark.parametrize(
        ("answer", "cause"),
        [
            pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", "an HTTP server", id="HTTP"),
            pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", "an SSH peer", id="SSH"),
            pytest.param(b"220 mail.example ESMTP\r\n", "a mail or FTP server", id="SMTP"),
            pytest.param(b"\x15\x03\x01\0\x02\x02\x28", "a TLS peer", id="TLS alert"),
        ],
    )
    async def test_the_server_is_named(self, mode: Mode, answer: bytes, cause: str) -> None:
        async with listening() as listener:

            async def use() -> None:
                async with asyncio.timeout(PATIENCE):
                    async with sealframe.connect("127.0.0.1", listener.port, **mode.client) as conn:
                        await conn.recv()

            using = asyncio.ensure_future(use())
            async with await listener.accept() as raw:
                await raw.send(answer)
                raw.finish()
                with pytest.raises(ConnectionClosedError, match=cause):
                    await using


class TestOneSideSealed:
    @pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
    async def test_plain_client_on_a_sealed_port(
        self, sealed: Mode, unix: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        handler = Watched()
        place: dict[str, Any] = (
            {"path": tmp_path / "s"} if unix else {"host": "127.0.0.1", "port": 0}
        )
        async with sealframe.serve(handler, **place, **sealed.server) as server:
            if not unix:
                place = {"host": "127.0.0.1", "port": server.port}
            async with sealframe.connect(**place) as conn:
                await conn.send(b"hello?")
                with pytest.raises(HandshakeError, match=r"give it the key \(security=") as caught:
                    await conn.recv()
                assert caught.value.code == CloseCode.SEALED
                assert sealframe.is_fatal(caught.value)
            # One that only sends, and never looks, has not succeeded either.
            conn = await sealframe.connect(**place)
            await conn.send(b"hello?")
            assert not await conn.close()
            await gone(server)
            assert server.clients == {}
        assert handler.calls == 0
        told = [record.getMessage() for record in logged(caplog)]
        assert sum("connected to a sealed server: give it the key" in text for text in told) == 2
        assert sum("the server is sealed and this client is not" in text for text in told) == 2

    async def test_a_plain_client_that_only_listens_to_a_sealed_server(self, sealed: Mode) -> None:
        """It says nothing that could be answered, so the end of its time tells it."""
        options = sealframe.ServerOptions(handshake_timeout=0.05)
        async with sealframe.serve(
            Watched(), "127.0.0.1", 0, options=options, **sealed.server
        ) as server:
            async with sealframe.connect("127.0.0.1", server.port) as conn:
                with pytest.raises(HandshakeError, match="give it the key"):
                    await conn.recv()
            await gone(server)

    async def test_the_reconnecting_loop_ends_for_want_of_a_key(self, sealed: Mode) -> None:
        ends: list[ConnectionClosed] = []
        async with start(Watched(), sealed) as server:
            with pytest.raises(HandshakeError, match="give it the key"):
                async for conn in sealframe.connect("127.0.0.1", server.port):
                    try:
                        await conn.send(b"hello?")
                        await conn.recv()
                    except ConnectionClosed as error:
                        ends.append(error)
            assert len(ends) == 1
            await gone(server)

    async def test_extended_client_on_a_sealed_port(
        self, sealed: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        handler = Watched()
        async with start(handler, sealed) as server:
            with pytest.raises(HandshakeError, match="give it the key") as caught:
                await sealframe.connect("127.0.0.1", server.port, extended=True)
            assert caught.value.code == CloseCode.SEALED
            await gone(server)
        assert handler.calls == 0
        (record,) = logged(caplog)
        assert "give it the key" in record.getMessage()

    async def test_sealed_client_on_a_plain_port(
        self, sealed: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A plain server lists whoever connects, as it may be the one to speak first."""
        handler = Watched()
        async with start(handler, Mode("packets")) as server:
            with pytest.raises(HandshakeError, match="the server is not sealed") as caught:
                await sealframe.connect("127.0.0.1", server.port, **sealed.client)
            assert caught.value.code == CloseCode.PLAIN
            assert sealframe.is_fatal(caught.value)
            await gone(server)
            await until(lambda: not server.clients)
        assert handler.messages == []
        (error,) = handler.errors
        assert isinstance(error, HandshakeError)
        (record,) = logged(caplog)
        assert "sealed connection" in record.getMessage()
        assert "give the server the key" in record.getMessage()

    async def test_sealed_client_on_a_port_of_another_framing(
        self, sealed: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        handler = Watched()
        foreign = Mode("packets", sealframe.Framing(byteorder="big", maximum=1000))
        async with start(handler, foreign) as server:
            with pytest.raises(HandshakeError, match="check that it is sealed"):
                await sealframe.connect("127.0.0.1", server.port, **sealed.client)
            await gone(server)
        assert handler.messages == []
        assert len(logged(caplog)) == 1


class TestKeys:
    async def _refused(
        self,
        caplog: pytest.LogCaptureFixture,
        *,
        key: SharedKey | None = None,
        context: str = "",
        server_context: str = "",
    ) -> None:
        handler = Watched()
        async with sealframe.serve(
            handler, "127.0.0.1", 0, security=shared_key(), context=server_context
        ) as server:
            with pytest.raises(
                HandshakeError, match="the key and the context at both ends"
            ) as caught:
                await sealframe.connect(
                    "127.0.0.1", server.port, security=key or shared_key(), context=context
                )
            assert caught.value.code == CloseCode.REFUSED
            await gone(server)
            assert server.clients == {}
            assert server.counters.failed_handshakes == 1
        assert handler.calls == 0
        (record,) = logged(caplog)
        assert "another key, or the context differs" in record.getMessage()
        assert record.exc_info is None

    async def test_another_key(self, sealed: Mode, caplog: pytest.LogCaptureFixture) -> None:
        await self._refused(caplog, key=SharedKey.generate())

    @pytest.mark.parametrize(
        ("context", "server_context"),
        [("chat", "mail"), ("chat", "chats"), ("", "mail"), ("chat", "")],
    )
    async def test_another_context(
        self,
        sealed: Mode,
        context: str,
        server_context: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        await self._refused(caplog, context=context, server_context=server_context)

    async def test_the_same_context(self, sealed: Mode) -> None:
        async def echo(conn: Connection) -> None:
            async for data in conn:
                await conn.send(data)

        async with sealframe.serve(
            echo, "127.0.0.1", 0, security=shared_key(), context="chat"
        ) as server:
            async with sealframe.connect(
                "127.0.0.1", server.port, security=shared_key(), context=b"chat"
            ) as conn:
                await conn.send(b"hello")
                assert await conn.recv() == b"hello"

    async def test_no_secret_is_told(self, sealed: Mode, caplog: pytest.LogCaptureFixture) -> None:
        key = SharedKey.generate()
        await self._refused(caplog, key=key)
        for secret in (key, shared_key()):
            assert secret.to_text() not in caplog.text
            assert secret.secret_bytes().hex() not in caplog.text


class TestTampering:
    async def test_a_record_that_does_not_open(
        self, sealed: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        handler = Watched()
        async with start(handler, sealed) as server, dialled(server, sealed) as peer:
            assert peer.records is not None
            await peer.write(message(b"genuine"))
            (record,) = peer.records.seal(message(b"changed"))
            await peer.raw.send(record[:-1] + bytes((record[-1] ^ 1,)))
            # Nothing is sent after a bad record, no CLOSE either.
            assert await peer.read_to_end() == []
            peer.raw.close()
            await gone(server)
        assert handler.messages == [b"genuine"]
        (error,) = handler.errors
        assert isinstance(error, ConnectionClosedError)
        assert "sealed stream is broken" in str(error)
        assert len(logged(caplog)) == 1
