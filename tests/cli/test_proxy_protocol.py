"""``--proxy-protocol``: servers behind a load balancer."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner
from wire import proxy_headers as headers

import sealframe
from sealframe.cli.address import TcpAddress, parse
from sealframe.cli.serve import serve

from .commands import relay, running


def relayed(address: str) -> socket.socket:
    """Connect as a balancer does, up to the end of the header."""
    where = parse(address)
    assert isinstance(where, TcpAddress)
    sock = socket.create_connection((where.host, where.port))
    sock.sendall(headers.text("192.0.2.7", 50000))
    return sock


@pytest.mark.usefixtures("settings")
async def test_the_relay_shows_where_clients_come_from() -> None:
    options = ("--proxy-protocol", "10.0.0.0/8", "--proxy-protocol", "127.0.0.1")
    async with (
        relay("127.0.0.1:0", *options) as server,
        sealframe.connect(sock=relayed(server.address)),
    ):
        assert " joined from 192.0.2.7:50000 " in await server.program.line()


@pytest.mark.usefixtures("settings")
async def test_the_directory_refuses_who_is_no_balancer(tmp_path: Path) -> None:
    options = ("--proxy-protocol", "unix")
    async with running("receive", tmp_path, "127.0.0.1:0", *options) as server:
        address = (await server.lines_until("Ctrl-C ends it."))[0].split()[-1]
        with relayed(address):
            line = await server.error_line()
            while "was refused" not in line:
                line = await server.error_line()
        assert line.endswith("proxy_protocol trusts Unix sockets alone")


def test_what_is_no_network_is_a_wrong_argument() -> None:
    result = CliRunner().invoke(serve, ["--proxy-protocol", "10.0.0.1/8"])
    assert result.exit_code == 2
    assert "10.0.0.1/8 has host bits set" in result.output
