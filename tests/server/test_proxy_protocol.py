"""Clients behind balancers that tell their addresses, and whoever only says so."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
from aio.ends import TCP, Family, Mode, has_ipv6
from aio.scripted import Peer, Raw, message, until
from wire import proxy_headers as headers

import sealframe
from sealframe import (
    ConfigurationError,
    Connection,
    ConnectionClosed,
    HandshakeError,
    Server,
    ServerOptions,
)
from sealframe.aio.endpoint import Binding
from sealframe.aio.listening import Decide, listen
from sealframe.server.balancers import HeaderProtocol, HeaderReading, TrustedPeers
from sealframe.server.server import registry_of

pytestmark = pytest.mark.usefixtures("no_leaks")

CLIENT = ("192.0.2.7", 50000)
HEADER = headers.binary(*CLIENT)


async def say_who(conn: Connection) -> None:
    """Answer each message with the address of the client."""
    async for data in conn:
        await conn.send(data + repr(conn.remote_address).encode())


def serve(
    mode: Mode, family: Family = TCP, trusted: Any = True, **limits: Any
) -> sealframe.Serving:
    return sealframe.serve(
        say_who,
        **family.listen,
        **mode.server,
        proxy_protocol=trusted,
        options=ServerOptions(**limits),
    )


def relayed(server: Server, header: bytes = HEADER, family: Family = TCP) -> socket.socket:
    """Connect as a balancer does, up to the end of the header."""
    if family.path is not None:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(family.path))
    else:
        host = "::1" if family.name == "tcp6" else "127.0.0.1"
        sock = socket.create_connection((host, server.port))
    sock.sendall(header)
    return sock


def connect(server: Server, mode: Mode, header: bytes = HEADER) -> sealframe.Connecting:
    return sealframe.connect(sock=relayed(server, header), **mode.client)


class Behind(Raw):
    """Sends what it sends first right behind a header."""

    header = HEADER

    async def send(self, data: bytes) -> None:
        self.header, header = b"", self.header
        await super().send(header + data)


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    """Return all that was logged at that level and above, by anyone."""
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


class TestTheAddress:
    @pytest.mark.parametrize("header", [headers.text(*CLIENT), HEADER], ids=["text", "binary"])
    async def test_is_the_client_s(
        self, mode: Mode, header: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "sealframe.server")
        async with serve(mode) as server, connect(server, mode, header) as conn:
            await conn.send(b"I am ")
            assert await conn.recv() == b"I am ('192.0.2.7', 50000)"
            (seen,) = server.clients.values()
            assert seen.local_address == ("127.0.0.1", server.port)
            assert "192.0.2.7:50000" in repr(seen)
            assert server.stats()["clients"][seen.id]["address"] == CLIENT
            balancer = "{}:{}".format(*conn.local_address or ())
        # Also once the socket is gone.
        assert seen.remote_address == CLIENT
        first = f"accepted connection {seen.id} from 192.0.2.7:50000, through {balancer}"
        assert first in lines(caplog, logging.DEBUG)
        assert lines(caplog) == []

    async def test_whichever_way_the_balancer_comes(self, family: Family) -> None:
        async with (
            serve(Mode(), family) as server,
            sealframe.connect(sock=relayed(server, HEADER, family)) as conn,
        ):
            await conn.send(b"")
            assert await conn.recv() == repr(CLIENT).encode()

    async def test_of_a_client_on_a_unix_socket(self) -> None:
        async with serve(Mode()) as server:
            for path in (b"/run/app", b""):
                async with connect(server, Mode(), headers.unix(path)) as conn:
                    await conn.send(b"")
                    assert await conn.recv() == repr(path.decode() or None).encode()

    @pytest.mark.parametrize("header", [headers.UNKNOWN, headers.CHECK], ids=["UNKNOWN", "LOCAL"])
    async def test_is_the_socket_s_where_the_header_names_nobody(self, header: bytes) -> None:
        async with serve(Mode()) as server, connect(server, Mode(), header) as conn:
            await conn.send(b"")
            assert await conn.recv() == repr(conn.local_address).encode()

    async def test_what_comes_behind_the_header_is_read(self, mode: Mode) -> None:
        """In one read with it, and much more than one read of the header takes."""
        async with serve(mode) as server, await Behind.dial(server.port) as raw:
            peer = Peer(raw, mode, client=True)
            await peer.introduce()
            for data in (bytes(100_000), b"again"):
                await peer.write(message(data))
                assert await peer.read() == data + repr(CLIENT).encode()
            await peer.say_end()
            await peer.await_end()

    async def test_byte_by_byte(self) -> None:
        async with serve(Mode()) as server, await Raw.dial(server.port) as raw:
            for byte in headers.text(*CLIENT) + message(b"hello"):
                await raw.send(bytes([byte]))
                await asyncio.sleep(0.001)
            expected = message(b"hello" + repr(CLIENT).encode())
            assert await raw.receive_exactly(len(expected)) == expected
            raw.finish()
            await raw.receive_to_end()

    async def test_the_end_right_behind_the_header(self) -> None:
        async with serve(Mode()) as server, await Raw.dial(server.port) as raw:
            await raw.send(HEADER + message(b"hello"))
            raw.finish()
            assert await raw.receive_to_end() == message(b"hello" + repr(CLIENT).encode())

    async def test_faults_are_told_with_it(self, caplog: pytest.LogCaptureFixture) -> None:
        async with serve(Mode()) as server, await Raw.dial(server.port) as raw:
            await raw.send(HEADER + b"GET / HTTP/1.1\r\n\r\n")
            await raw.receive_to_end()
        (line,) = lines(caplog)
        assert "at 192.0.2.7:50000: " in line


class TestRefused:
    @pytest.mark.parametrize("data", [b"", HEADER], ids=["silent", "header"])
    async def test_who_is_not_trusted(self, data: bytes, caplog: pytest.LogCaptureFixture) -> None:
        async with serve(Mode(), trusted=["10.0.0.0/8", "2001:db8::7", "unix"]) as server:
            for _ in range(3):
                async with await Raw.dial(server.port) as raw:
                    await raw.send(data)
                    with pytest.raises((ConnectionError, AssertionError)):
                        await raw.receive_exactly(1)
            await until(lambda: server.counters.proxy_refused == 3)
            assert server.counters.accepted == 0
        (line,) = lines(caplog)
        assert line.startswith("a client at 127.0.0.1:")
        assert line.endswith(
            "proxy_protocol trusts 10.0.0.0/8, 2001:db8::7/128, Unix sockets alone"
        )

    @pytest.mark.parametrize("family", ["unix"], indirect=True)
    async def test_who_comes_over_a_unix_socket_that_nobody_named(self, family: Family) -> None:
        async with serve(Mode(), family, ["127.0.0.0/8"]) as server:
            with relayed(server, HEADER, family) as sock:
                sock.settimeout(10)
                with contextlib.suppress(ConnectionError):
                    assert await asyncio.to_thread(sock.recv, 1) == b""
            assert (server.counters.proxy_refused, server.counters.accepted) == (1, 0)

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (message(b"hello"), "it sent something else in place of a PROXY header"),
            (b"PROXY TCP4 1 2 3 4\r\n" + message(b"hello"), "for an IPv4 address"),
            (headers.framed(headers.PROXY, 0xFF, length=65535), "address family and protocol 0xff"),
            (b"PROXY TCP4 " + b"x" * 1000, "no CR LF within 107 bytes"),
        ],
        ids=["no header", "no address", "no family", "no end"],
    )
    async def test_who_sends_none(
        self, data: bytes, why: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with serve(Mode()) as server, await Raw.dial(server.port) as raw:
            await raw.send(data)
            with pytest.raises((ConnectionError, AssertionError)):
                await raw.receive_exactly(1)
            assert (server.counters.proxy_refused, server.counters.accepted) == (1, 0)
        (line,) = lines(caplog)
        assert line.startswith("the balancer at 127.0.0.1:")
        assert why in line

    async def test_who_goes_in_the_middle(self, caplog: pytest.LogCaptureFixture) -> None:
        async with serve(Mode()) as server, await Raw.dial(server.port) as raw:
            await raw.send(HEADER[:20])
            raw.finish()
            assert await raw.receive_to_end() == b""
            await until(lambda: server.counters.proxy_refused == 1)
        (line,) = lines(caplog)
        assert line.endswith("it went in the middle of its PROXY header")

    @pytest.mark.parametrize("data", [b"", headers.binary(*CLIENT, tlvs=bytes(60_000))])
    async def test_who_is_too_slow(self, data: bytes, caplog: pytest.LogCaptureFixture) -> None:
        """Bytes do not put the deadline off."""
        async with (
            serve(Mode(), handshake_timeout=0.2) as server,
            await Raw.dial(server.port) as raw,
        ):
            with pytest.raises(ConnectionError):
                for byte in data[:-1]:
                    await raw.send(bytes([byte]))
                    await asyncio.sleep(0.01)
                assert await raw.receive() == b""
                raise ConnectionError
            assert (server.counters.proxy_refused, server.counters.accepted) == (1, 0)
        (line,) = lines(caplog)
        assert line.endswith("it sent no PROXY header within handshake_timeout, 0.2 s")


async def test_once_the_header_is_here_nobody_waits_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        serve(Mode("extended"), handshake_timeout=0.1) as server,
        connect(server, Mode("extended")) as conn,
    ):
        await asyncio.sleep(0.3)
        await conn.send(b"still ")
        assert await conn.recv() == b"still " + repr(CLIENT).encode()
        assert server.counters.proxy_refused == 0
    assert lines(caplog) == []


class TestHealthChecks:
    """A line at DEBUG each, as without the PROXY protocol."""

    @pytest.mark.parametrize("how", ["FIN", "RST"])
    @pytest.mark.parametrize("header", [b"", headers.CHECK, headers.UNKNOWN])
    async def test_fill_no_log(
        self, sealed: Mode, header: bytes, how: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with serve(sealed) as server:
            for number in range(3):
                async with await Raw.dial(server.port) as raw:
                    await raw.send(header)
                    (raw.finish if how == "FIN" else raw.reset)()
                    await until(lambda done=number: server.counters.probes > done)  # type: ignore[misc]
            assert server.counters.failed_handshakes == 0
            assert server.counters.proxy_refused == 0
        assert lines(caplog, logging.INFO) == []


class TestLimits:
    async def test_the_rate_is_that_of_the_client(self, caplog: pytest.LogCaptureFixture) -> None:
        async with serve(Mode(), connection_rate=0.001, connection_burst=1) as server:
            for host in ("192.0.2.7", "192.0.2.8", "2001:db8::7"):
                async with connect(server, Mode(), headers.text(host, 1)) as conn:
                    await conn.send(b"")
                    assert host.encode() in await conn.recv()
            async with await Raw.dial(server.port) as raw:
                await raw.send(headers.text("192.0.2.7", 2))
                await until(lambda: server.counters.too_fast == 1)
            assert server.counters.accepted == 3
        (line,) = lines(caplog)
        assert line.startswith("a client at 192.0.2.7:2 came faster")

    async def test_pending_handshakes_are_those_of_the_client(self, sealed: Mode) -> None:
        async with serve(sealed, max_pending_per_address=1) as server:
            socks = [relayed(server, headers.text(f"192.0.2.{n}", 1)) for n in range(3)]
            await until(lambda: registry_of(server).admission.pending == 3)
            assert server.counters.dropped_handshakes == 0
            socks.append(relayed(server, headers.text("192.0.2.1", 2)))
            await until(lambda: server.counters.dropped_handshakes == 1)
            for sock in socks:
                sock.close()

    async def test_a_full_server_turns_the_client_away(
        self, mode: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with serve(mode, max_connections=1) as server, connect(server, mode) as conn:
            await conn.send(b"")
            await conn.recv()
            with pytest.raises((ConnectionClosed, HandshakeError)):
                async with connect(server, mode, headers.text("192.0.2.8", 1)) as other:
                    await other.send(bytes(100_000))
                    await other.recv()
            assert server.counters.turned_away == 1
            await conn.send(b"")
            await conn.recv()
        (line,) = lines(caplog)
        assert line.startswith("a client at 192.0.2.8:1 was turned away")

    async def test_those_who_wait_are_no_more_than_connections_may_be(self) -> None:
        async with serve(Mode(), max_connections=3) as server, connect(server, Mode()) as conn:
            await conn.send(b"")
            await conn.recv()
            socks = [relayed(server, HEADER[:n]) for n in range(2)]
            socks.append(relayed(server, HEADER[:9]))
            await until(lambda: server.counters.dropped_handshakes == 1)
            # Whoever sends its header comes in.
            async with connect(server, Mode()) as other:
                await other.send(b"")
                await other.recv()
            for sock in socks:
                sock.close()

    async def test_close_ends_the_wait(self, caplog: pytest.LogCaptureFixture) -> None:
        async with serve(Mode()) as server, await Raw.dial(server.port) as raw:
            await raw.send(HEADER[:9])
            # Who comes after it is accepted after it.
            async with connect(server, Mode()) as conn:
                await conn.send(b"")
                await conn.recv()
            await server.close()
            with pytest.raises((ConnectionError, AssertionError)):
                await raw.receive_exactly(1)
        assert lines(caplog) == []


class TestTrust:
    @pytest.mark.parametrize(
        ("given", "text"),
        [
            ([], "trusts nobody"),
            ("", "does not appear to be"),
            ("localhost", "does not appear to be"),
            (["10.0.0.1/8"], "has host bits set"),
            (1, "use True, or the networks"),
            (None, "use True, or the networks"),
            ([1], "use True, or the networks"),
        ],
    )
    def test_what_is_no_network(self, given: Any, text: str) -> None:
        with pytest.raises(ConfigurationError, match=text):
            sealframe.serve(say_who, "127.0.0.1", 0, proxy_protocol=given)

    @pytest.mark.parametrize(
        ("given", "come_in"),
        [
            ("127.0.0.0/8", True),
            (["::/0"], False),
            ("unix", False),
            (["10.0.0.0/8", "127.0.0.1"], True),
        ],
    )
    async def test_of_a_socket_for_both_families(self, given: Any, come_in: bool) -> None:
        """127.0.0.1 comes as ::ffff:127.0.0.1 there."""
        if not has_ipv6():
            pytest.skip("this machine has no ::1")
        both = socket.socket(socket.AF_INET6)
        both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        both.bind(("::", 0))
        async with sealframe.serve(say_who, sock=both, proxy_protocol=given) as server:
            relayed(server).close()
            counters = server.counters
            await until(lambda: counters.accepted + counters.proxy_refused == 1)
            assert bool(counters.accepted) is come_in


Begin = Callable[[asyncio.Transport], HeaderProtocol | None]


class ReadsFirst(asyncio.Protocol):
    """Hands over what was read as the event loop of Windows does: one protocol gets all of it,
    in as many parts as its buffers take."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._first: HeaderProtocol | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._first = self._begin(cast("asyncio.Transport", transport))
        assert self._first is not None
        self._first.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        while data:
            assert self._first is not None
            buffer = self._first.get_buffer(len(data))
            size = min(len(buffer), len(data))
            memoryview(buffer)[:size] = data[:size]
            self._first.buffer_updated(size)
            data = data[size:]


@contextlib.asynccontextmanager
async def reading_at(
    server: Server, first: Callable[[Begin], Decide] = lambda begin: begin
) -> AsyncIterator[tuple[HeaderReading, int]]:
    """Listen on a port beside the server's own.

    :param first: returns what decides about a new connection
    """
    registry, options, trusted = registry_of(server), ServerOptions(), TrustedPeers.of(True)
    assert trusted is not None
    reading = HeaderReading(trusted, options, registry.log, registry.admission, registry.accept)
    binding = Binding.of("127.0.0.1", 0, None, None, False)
    listener = await listen(first(reading.begin), binding, options, keepalive=False)
    address = listener.addresses[0]
    assert isinstance(address, tuple)
    try:
        yield reading, address[1]
    finally:
        listener.close()
        await listener.wait_closed()


async def test_a_read_that_goes_on_after_the_header() -> None:
    async with (
        serve(Mode()) as server,
        reading_at(server, lambda begin: lambda _: ReadsFirst(begin)) as (_, port),
        await Raw.dial(port) as raw,
    ):
        await raw.send(HEADER + message(bytes(1000)) + message(b"x"))
        for data in (bytes(1000), b"x"):
            expected = message(data + repr(CLIENT).encode())
            assert await raw.receive_exactly(len(expected)) == expected
        # What is dropped in the middle of a read gets the rest of it, too.
        async with await Raw.dial(port) as other:
            await other.send(b"PROXY?" + bytes(1000))
            await until(lambda: server.counters.proxy_refused == 1)


async def test_who_is_accepted_in_the_moment_of_the_close() -> None:
    async with (
        serve(Mode()) as server,
        reading_at(server) as (reading, port),
        await Raw.dial(port) as before,
    ):
        await before.send(HEADER + message(b"x"))
        await before.receive_exactly(1)
        reading.close()
        async with await Raw.dial(port) as raw:
            with pytest.raises((ConnectionError, AssertionError)):
                await raw.receive_exactly(1)
