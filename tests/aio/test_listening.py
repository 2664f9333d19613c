"""Where a server listens, and what keeps it from listening there."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import sealframe
from sealframe import ConfigurationError, ConnectError, Connection, ListenError, Server

from .ends import PATIENCE, Mode, dial, has_ipv6, start

pytestmark = pytest.mark.usefixtures("no_leaks")


async def echo(conn: Connection) -> None:
    async for data in conn:
        await conn.send(data)


async def refused(serving: Callable[[], Awaitable[Server]], code: int | None, text: str) -> None:
    """Check that listening fails, with one error."""
    with pytest.raises(ListenError, match=text) as caught:
        await serving()
    if code is not None:
        assert caught.value.errno == code


class TestTcp:
    async def test_where_it_listens(self) -> None:
        async with sealframe.serve(echo, "127.0.0.1", 0) as server:
            assert 0 < server.port < 65536
            assert server.addresses == [("127.0.0.1", server.port)]
            assert f"127.0.0.1:{server.port}" in repr(server)

    async def test_ipv6(self) -> None:
        if not has_ipv6():
            pytest.skip("this machine has no ::1")
        async with sealframe.serve(echo, "::1", 0) as server:
            assert server.addresses == [("::1", server.port)]
            assert f"[::1]:{server.port}" in repr(server)
            async with sealframe.connect("::1", server.port) as conn:
                assert conn.remote_address == ("::1", server.port)
                (accepted,) = server.clients.values()
                assert accepted.remote_address == conn.local_address

    async def test_the_port_is_in_use(self, mode: Mode) -> None:
        async with start(echo, mode) as server:
            port = server.port
            await refused(
                lambda: _serve("127.0.0.1", port), errno.EADDRINUSE, rf"127\.0\.0\.1:{port}.*in use"
            )
            async with dial(server, mode) as conn:
                await conn.send(b"unharmed")
                assert await conn.recv() == b"unharmed"

    @pytest.mark.parametrize("host", ["no-such-host.invalid", "no..such.host", "x" * 70])
    async def test_no_such_host(self, host: str) -> None:
        await refused(lambda: _serve(host, 0), None, "cannot listen on " + host)

    async def test_an_address_of_another_machine(self) -> None:
        # Set aside for documentation (RFC 5737): no machine has it.
        await refused(lambda: _serve("203.0.113.7", 0), errno.EADDRNOTAVAIL, r"203\.0\.113\.7")

    async def test_a_name_has_one_port_at_all_its_addresses(self) -> None:
        async with sealframe.serve(echo, "localhost", 0) as server:
            assert {address[1] for address in server.addresses if address} == {server.port}
            for host, port in server.addresses:  # type: ignore[misc, str-unpack]
                await _check_echo(host, int(port))

    async def test_several_hosts(self) -> None:
        if not has_ipv6():
            pytest.skip("this machine has no ::1")
        async with sealframe.serve(echo, ["0.0.0.0", "::"], 0) as server:
            assert server.addresses == [("0.0.0.0", server.port), ("::", server.port)]
            for host in ("127.0.0.1", "::1"):
                await _check_echo(host, server.port)

    async def test_one_of_several_is_in_use(self) -> None:
        async with sealframe.serve(echo, "127.0.0.1", 0) as server:
            hosts = ["127.0.0.1"] if sys.platform != "linux" else ["127.0.0.2", "127.0.0.1"]
            await refused(
                lambda: sealframe.serve(echo, hosts, server.port), errno.EADDRINUSE, "127.*in use"
            )

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the last server gets all")
    async def test_processes_share_a_port(self) -> None:
        came: list[int] = []

        def serving(number: int, port: int) -> sealframe.Serving[bytes, bytes]:
            return sealframe.serve(
                echo,
                "127.0.0.1",
                port,
                reuse_port=True,
                on_connect=lambda _: came.append(number),
            )

        async with serving(1, 0) as first, serving(2, first.port):
            for _ in range(32):
                await _check_echo("127.0.0.1", first.port)
        assert set(came) == {1, 2}

    @pytest.mark.skipif(sys.platform != "linux", reason="descriptors are listed in /proc")
    async def test_a_process_that_was_forked_meanwhile_accepts_nobody(self) -> None:
        async with sealframe.serve(echo, "127.0.0.1", 0) as server:
            inherited = _listening_on(server.port)
        with inherited, pytest.raises(ConnectError, match="refused"):
            await sealframe.connect("127.0.0.1", server.port)


def _listening_on(port: int) -> socket.socket:
    """Return a second descriptor of the socket that listens there, as a child would have it."""
    for entry in Path("/proc/self/fd").iterdir():
        if not entry.is_symlink() or not str(entry.readlink()).startswith("socket:"):
            continue
        sock = socket.socket(fileno=os.dup(int(entry.name)))
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if listens and sock.getsockname()[1] == port:
            return sock
        sock.close()
    raise AssertionError("nobody listens there")


async def _check_echo(host: str | None = None, port: int | None = None, **where: Any) -> None:
    async with asyncio.timeout(PATIENCE), sealframe.connect(host, port, **where) as conn:
        await conn.send(b"hello")
        assert await conn.recv() == b"hello"


class TestGiven:
    """Sockets that the program, or what has started it, has bound."""

    async def test_several(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        path = str(tmp_path_factory.mktemp("s") / "s")
        tcp, unix = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)
        address = tcp.getsockname()
        unix.bind(path)
        async with sealframe.serve(echo, sock=[tcp, unix]) as server:
            assert server.addresses == [address, path]
            assert server.port == address[1]
            # They are the server's now.
            assert tcp.fileno() == unix.fileno() == -1
            await _check_echo(*address)
            await _check_echo(path=path)
        # The file is whose it was.
        assert Path(path).is_socket()

    @pytest.mark.skipif(sys.platform != "linux", reason="descriptors are listed in /proc")
    async def test_who_has_them_too_can_go_on(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            address = sock.getsockname()
            async with sealframe.serve(echo, sock=sock.dup()):
                await _check_echo(*address)
            async with sealframe.serve(echo, sock=sock.dup()):
                await _check_echo(*address)

    async def test_one_that_cannot_listen(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            connected = socket.create_connection(server.getsockname())
            await refused(lambda: sealframe.serve(echo, sock=connected), None, "the given socket")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract sockets")
async def test_an_abstract_unix_socket() -> None:
    name = f"\0sealframe-{os.getpid()}"
    async with sealframe.serve(echo, path=name) as server:
        assert server.addresses == [name]
        assert f"@{name[1:]}," in repr(server)
        await _check_echo(path=name)
        await refused(lambda: sealframe.serve(echo, path=name), errno.EADDRINUSE, f"@{name[1:]}")
    with pytest.raises(ConnectError, match=f"@{name[1:]}: Connection refused"):
        await sealframe.connect(path=name)


async def _serve(host: str, port: int) -> Server:
    return await sealframe.serve(echo, host, port)


class TestUnix:
    @pytest.fixture
    def path(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        if not hasattr(socket, "AF_UNIX"):
            pytest.skip("this platform has no Unix sockets")
        return tmp_path_factory.mktemp("s") / "s"

    async def _serve(self, path: Path) -> Server:
        return await sealframe.serve(echo, path=path)

    async def _check_echo(self, path: Path) -> None:
        async with sealframe.connect(path=path) as conn:
            await conn.send(b"hello")
            assert await conn.recv() == b"hello"

    async def test_the_file_is_there_while_it_listens(self, path: Path) -> None:
        async with sealframe.serve(echo, path=path) as server:
            assert server.addresses == [str(path)]
            assert str(path) in repr(server)
            assert path.is_socket()
            with pytest.raises(ConfigurationError, match="no port"):
                _ = server.port
            await self._check_echo(path)
        assert not path.exists()

    async def test_a_live_server_is_not_pushed_aside(self, path: Path) -> None:
        async with sealframe.serve(echo, path=path):
            await refused(lambda: self._serve(path), errno.EADDRINUSE, "in use")
            await self._check_echo(path)
        assert not path.exists()

    async def test_what_a_dead_server_left_is_replaced(self, path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
            dead.listen()
        assert path.is_socket()
        async with sealframe.serve(echo, path=path):
            await self._check_echo(path)
        assert not path.exists()

    async def test_something_else_is_left_alone(self, path: Path) -> None:
        path.write_text("precious")
        await refused(lambda: self._serve(path), errno.EEXIST, "not a socket")
        assert path.read_text() == "precious"

    async def test_no_such_folder(self, path: Path) -> None:
        await refused(lambda: self._serve(path / "deeper"), None, "cannot listen on")

    async def test_a_path_that_is_too_long(self, path: Path) -> None:
        await refused(lambda: self._serve(path.with_name("x" * 200)), None, "too long")

    async def test_the_file_of_a_successor_stays(self, path: Path) -> None:
        first = await self._serve(path)
        path.unlink()
        async with sealframe.serve(echo, path=path):
            await first.close()
            await self._check_echo(path)
        assert not path.exists()
