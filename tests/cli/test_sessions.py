"""``--session`` and ``--sessions``, through a proxy that cuts, and lists of addresses."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click
import pytest
from aio.cutting import CuttingProxy, Fault, Plan
from click.testing import CliRunner
from mitm.middle import Way
from ports import reserved_port

from sealframe.aio.endpoint import Endpoint
from sealframe.cli.address import (
    ServerAddress,
    SrvRecords,
    TcpAddress,
    UnixAddress,
    connect_to,
    each,
    known_as,
    server_address,
)
from sealframe.cli.commands import sealframe_command

from .commands import Relay, chatting, outcome, relay, running

SESSIONS = ("--sessions", "60")


@asynccontextmanager
async def cutting(address: str, after: int) -> AsyncIterator[str]:
    """Cut the first connection to a server after so many bytes; give the address to take."""
    port = int(address.rpartition(":")[2])

    def plans(number: int) -> Plan:
        return Plan() if number else Plan(Fault.RESET, Way.UP, after)

    async with CuttingProxy(port, plans=plans) as proxy:
        yield f"127.0.0.1:{proxy.port}"
        assert proxy.cuts == 1


async def test_send_exits_with_0_once_all_has_arrived(key_file: Path) -> None:
    key = ("--key", key_file)
    lines = [f"line {number} {'x' * 100}" for number in range(500)]
    async with relay("127.0.0.1:0", *SESSIONS, *key) as server:
        reader = Relay(server.program, server.address, key)
        async with chatting(reader) as (chat, _), cutting(server.address, 20_000) as way:
            typed = "\n".join(lines).encode()
            done = await outcome("send", "--lines", way, "--session", *key, typed=typed)
            assert (done.code, done.output, done.errors) == (0, "", "")
            got = [(await chat.line()).partition(": ")[2] for _ in lines]
            assert got == lines


async def test_a_chat_goes_on_as_the_same_client() -> None:
    async with relay("127.0.0.1:0", *SESSIONS) as server, cutting(server.address, 5_000) as way:
        there = Relay(server.program, server.address, ())
        async with (
            chatting(there) as (other, _),
            chatting(Relay(server.program, way, ("--session",))) as (chat, id),
        ):
            await chat.type("before\n" + "x" * 10_000 + "\n")
            assert await other.line() == f"{id}: before"
            assert (await chat.error_line()).endswith("(connecting again)")
            assert "connected again after" in await chat.error_line()
            assert await other.line() == f"{id}: {'x' * 10_000}"
            await other.type("and back\n")
            assert (await chat.line()).endswith(": and back")
            done = await chat.end()
            assert (done.code, done.output, done.errors) == (0, "", "")


async def test_a_file_goes_on(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(os.urandom(1_000_000))
    incoming = tmp_path / "incoming"
    async with running("receive", incoming, "127.0.0.1:0", *SESSIONS) as program:
        address = (await program.lines_until("files for"))[-1].split()[-1]
        async with cutting(address, 300_000) as way:
            done = await outcome("send-file", tmp_path / "big", way, "--session")
        assert done.code == 0
        # The transfer itself has not been begun again.
        assert done.output.count("sending") == 1
        assert done.error.endswith("(connecting again)")
    assert (incoming / "big").read_bytes() == (tmp_path / "big").read_bytes()


async def test_a_server_without_sessions() -> None:
    async with relay("127.0.0.1:0") as server:
        done = await outcome("send", "hi", server.address, "--session")
        assert done.code == 1
        assert "start it with --sessions SECONDS" in done.error


async def test_a_session_that_is_lost_is_told_with_what_is_known(port: int) -> None:
    async with relay(f"127.0.0.1:{port}", *SESSIONS) as server:
        async with running("send", "hi", server.address, "--session", "--wait", 1) as sending:
            await server.program.lines_until(": hi")
            await server.program.end_by(9)
            async with relay(server.address, *SESSIONS):
                done = await sending.end()
    assert done.code == 1
    assert "SESSION_LOST" in done.error
    assert "of this end's messages" in done.error


async def test_how_long_is_a_positive_time() -> None:
    done = await outcome("serve", "127.0.0.1:0", "--sessions", "0")
    assert done.code == 2
    assert "--sessions" in done.errors


async def test_a_list_of_addresses(port: int) -> None:
    with reserved_port() as other:
        closed = f"127.0.0.1:{other}"
        async with relay(f"127.0.0.1:{port}") as server:
            done = await outcome("send", "hi", f"{closed},{server.address}")
            assert (done.code, done.errors) == (0, "")
        done = await outcome("send", "hi", f"{closed},{server.address}")
    assert done.code == 1
    assert closed in done.error
    assert server.address in done.error


def parse(text: str) -> ServerAddress:
    command = click.Command("test")
    return server_address(click.Context(command), click.Argument(["address"]), text)


def test_servers_that_dns_names() -> None:
    pytest.importorskip("dns", reason="dnspython is not installed")
    service = parse("srv:_chat._tcp.example.org")
    assert service == SrvRecords("_chat._tcp.example.org")
    assert str(service) == "srv:_chat._tcp.example.org"
    assert repr(connect_to(service)["sock"]) == "Service('_chat._tcp.example.org')"
    assert each(service) == (service,)
    with pytest.raises(click.BadParameter, match="SRV records"):
        parse("srv:example.org:1234")
    with pytest.raises(click.BadParameter, match="give srv: by itself"):
        parse("a:1,srv:_chat._tcp.example.org")


async def test_a_service_that_is_no_name_of_srv_records() -> None:
    pytest.importorskip("dns", reason="dnspython is not installed")
    done = await outcome("send", "hello", "srv:example.org:1234")
    assert done.code == 2
    assert "'example.org:1234' cannot be the name of SRV records" in done.error


def test_a_service_has_no_port_in_errors_and_no_server_listens_there() -> None:
    pytest.importorskip("dns", reason="dnspython is not installed")
    name = "_chat._tcp.example.org"
    service = parse(f"srv:{name}")
    assert str(Endpoint.of(None, None, None, connect_to(service)["sock"], None)) == name
    assert known_as(service) == name
    assert known_as(parse("[::1]:1")) == "[::1]:1"
    done = CliRunner().invoke(sealframe_command, ["serve", "srv:_chat._tcp.example.org"])
    assert done.exit_code == 2
    assert "srv: is for clients" in done.output


def test_what_is_a_list() -> None:
    several = parse("192.0.2.7:1,:2,[::1]:3")
    assert connect_to(several) == {"host": ("192.0.2.7:1", "127.0.0.1:2", "[::1]:3")}
    assert str(several) == "192.0.2.7:1,127.0.0.1:2,[::1]:3"
    assert each(several) == (
        TcpAddress("192.0.2.7", 1),
        TcpAddress("127.0.0.1", 2),
        TcpAddress("::1", 3),
    )
    one = parse("192.0.2.7:1")
    assert each(one) == (one,)
    assert connect_to(one) == {"host": "192.0.2.7", "port": 1}
    # Names of sockets may have commas.
    assert parse("./a,b") == UnixAddress("./a,b")
    assert parse("@a,b") == UnixAddress("\0a,b")
    assert connect_to(UnixAddress("./a")) == {"path": "./a"}
    for wrong in ("a:1,", "a:1,b", "a:1,b:0", ",", "a:1,@b", "a:1,systemd:", "a:1,srv:b"):
        with pytest.raises(click.BadParameter):
            parse(wrong)
