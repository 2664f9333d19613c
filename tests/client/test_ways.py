"""Ways to a server beside its address: sockets that are given, proxies, an address to come from."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import documents
import pytest
from aio.ends import PATIENCE, Mode, start

import sealframe
from sealframe import (
    ClientOptions,
    ConfigurationError,
    ConnectError,
    Connection,
    ConnectTimeoutError,
)
from sealframe.aio import addresses
from sealframe.aio.addresses import AddressInfo
from sealframe.client import dialing

pytestmark = pytest.mark.usefixtures("no_leaks")


async def echo(conn: Connection) -> None:
    async for message in conn:
        await conn.send(message)


async def check(conn: Connection) -> None:
    async with asyncio.timeout(PATIENCE):
        await conn.send(b"hello")
        assert await conn.recv() == b"hello"


class TestSockets:
    async def test_one_that_is_connected(self, mode: Mode) -> None:
        async with start(echo, mode) as server:
            sock = socket.create_connection(("127.0.0.1", server.port))
            name = sock.getsockname()
            async with sealframe.connect(sock=sock, **mode.client) as conn:
                assert conn.local_address == name
                await check(conn)
            assert sock.fileno() == -1

    @pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")
    async def test_one_of_a_pair(self) -> None:
        one, other = socket.socketpair()
        async with sealframe.connect(sock=one) as conn, sealframe.connect(sock=other) as peer:
            await conn.send(b"hello")
            assert await peer.recv() == b"hello"

    async def test_a_function_opens_one_for_each_attempt(self) -> None:
        opened = 0

        async with sealframe.serve(echo, "127.0.0.1", 0) as server:

            async def open_socket() -> socket.socket:
                nonlocal opened
                opened += 1
                if opened == 1:
                    raise LookupError("the proxy knows no such host")
                return socket.create_connection(("127.0.0.1", server.port))

            options = ClientOptions(backoff_initial=0.001)
            connecting = sealframe.connect("app.example", 7, sock=open_socket, options=options)
            with pytest.raises(
                ConnectError, match=r"app\.example:7: LookupError: the proxy knows no such host"
            ):
                await connecting
            opened = 0
            async for conn in connecting:
                await check(conn)
                if opened == 4:
                    break
            await conn.close()

    async def test_connect_timeout_holds_for_the_function(self) -> None:
        async def hang() -> socket.socket:
            await asyncio.get_running_loop().create_future()
            raise AssertionError

        options = ClientOptions(connect_timeout=0.05)
        with pytest.raises(ConnectTimeoutError, match=r"app\.example:7 within"):
            await sealframe.connect("app.example", 7, sock=hang, options=options)

    async def test_a_socket_serves_one_connection(self) -> None:
        one, other = socket.socketpair()
        with one, other, pytest.raises(ConfigurationError, match="serves one connection"):
            async for _ in sealframe.connect(sock=one):
                raise AssertionError


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 is not this machine")
class TestLocalAddress:
    @pytest.mark.parametrize("host", ["127.0.0.1", "a.name"])
    async def test_it_is_where_the_connection_comes_from(
        self, host: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        look_up = addresses.look_up

        async def two(host: str, port: int) -> list[AddressInfo]:
            if host != "a.name":
                return await look_up(host, port)
            return [*await look_up("::1", port), *await look_up("127.0.0.1", port)]

        monkeypatch.setattr(dialing, "look_up", two)
        async with sealframe.serve(echo, "127.0.0.1", 0) as server:
            local = ("127.0.0.2", 0)
            async with sealframe.connect(host, server.port, local_address=local) as conn:
                await check(conn)
                assert isinstance(conn.local_address, tuple)
                assert conn.local_address[0] == "127.0.0.2"
                (accepted,) = server.clients.values()
                assert accepted.remote_address == conn.local_address

    async def test_one_that_this_machine_has_not(self) -> None:
        with pytest.raises(ConnectError, match="cannot connect to 127"):
            await sealframe.connect("127.0.0.1", 1, local_address=("203.0.113.7", 0))


async def never() -> socket.socket:
    raise AssertionError


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"sock": 7}, "sock is a connected socket"),
        ({"sock": never}, "host and port, which name the server"),
        ({"sock": never, "path": "./s"}, "either path or sock"),
        ({"path": "./s", "local_address": ("127.0.0.1", 0)}, "host and port alone"),
        ({"host": "::1", "port": 1, "local_address": "127.0.0.1"}, "local_address is"),
        ({"host": "::1", "port": 1, "local_address": ("", 0)}, "host is ''"),
    ],
)
async def test_what_makes_no_sense_for_a_client(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        sealframe.connect(**arguments)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"sock": 7}, "sock is a socket, or a list"),
        ({"host": [], "port": 1}, "host is an empty list"),
        ({"host": ["::1", 7], "port": 1}, "host is 7"),
        ({"path": "./s", "reuse_port": True}, "reuse_port goes with host and port"),
        ({"host": "::1", "port": 1, "reuse_port": 1}, "use True or False"),
    ],
)
async def test_what_makes_no_sense_for_a_server(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        sealframe.serve(echo, **arguments)


async def test_a_socket_that_is_not_connected_or_no_stream() -> None:
    with socket.socket() as sock, pytest.raises(ConfigurationError, match="sock is not connected"):
        sealframe.connect(sock=sock)
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        with pytest.raises(ConfigurationError, match="not a stream socket"):
            sealframe.serve(echo, sock=sock)
        with pytest.raises(ConfigurationError, match="sock says where to listen"):
            sealframe.serve(echo, "127.0.0.1", 0, sock=sock)


class Proxy:
    """A proxy for SOCKS 5 (RFC 1928) and HTTP CONNECT (RFC 9110, section 9.3.6)."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(1)
        if first == b"\5":
            await reader.readexactly((await reader.readexactly(1))[0])
            writer.write(b"\5\0")
            assert await reader.readexactly(4) == b"\5\1\0\3"
            self.asked.append(await reader.readexactly((await reader.readexactly(1))[0]))
            port = int.from_bytes(await reader.readexactly(2))
            writer.write(b"\5\0\0\1" + bytes(6))
        else:
            head = first + await reader.readuntil(b"\r\n\r\n")
            host, _, port_text = head.split()[1].partition(b":")
            self.asked.append(host)
            port = int(port_text)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(self._copy(reader, back), self._copy(there, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()


@contextlib.asynccontextmanager
async def proxying() -> AsyncIterator[tuple[Proxy, int]]:
    proxy = Proxy()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    async with server:
        yield proxy, server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("scheme", ["socks5", "http"])
async def test_the_program_of_the_guide_goes_through_a_proxy(scheme: str) -> None:
    pytest.importorskip("python_socks", reason="python-socks is not installed")
    space: dict[str, Any] = {}
    page = documents.read("docs/guides/client.md")
    exec(documents.program_with(page, "Proxy"), space)
    async with proxying() as (proxy, port), sealframe.serve(echo, "127.0.0.1", 0) as server:
        async with asyncio.timeout(PATIENCE):
            url = f"{scheme}://127.0.0.1:{port}"
            assert await space["talk"](url, "app.example", server.port) == b"hello"
        assert proxy.asked == [b"app.example"]


def link_local() -> str:
    """Return a link-local address of this machine with its interface, empty if there is none."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            digits, *_, name = line.split()
            if digits.startswith("fe80"):
                return f"{ipaddress.IPv6Address(int(digits, 16))}%{name}"
    return ""


async def test_a_link_local_address_is_one_that_can_be_used_again() -> None:
    host = link_local()
    if not host:
        pytest.skip("this machine has no link-local address, or no /proc")
    async with sealframe.serve(echo, host, 0) as server:
        assert server.addresses == [(host, server.port)]
        async with sealframe.connect(*server.addresses[0]) as conn:  # type: ignore[misc]
            assert conn.remote_address == (host, server.port)
            await check(conn)
