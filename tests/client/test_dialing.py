"""Names with several addresses: the first that answers gets the connection (RFC 8305)."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aio.ends import PATIENCE, has_ipv6
from aio.scripted import until

import sealframe
from sealframe import ClientOptions, ConnectError, Connection, ConnectTimeoutError
from sealframe.aio.addresses import AddressInfo
from sealframe.client import dialing
from sealframe.client.dialing import interleave

pytestmark = pytest.mark.usefixtures("no_leaks")


def info(host: str, port: int) -> AddressInfo:
    """Return the address as ``getaddrinfo`` does."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[AddressInfo]:
    """The addresses of every name; no test can choose what a name server says."""
    found: list[AddressInfo] = []

    async def resolve(host: str, port: int) -> list[AddressInfo]:
        return found

    monkeypatch.setattr(dialing, "look_up", resolve)
    return found


@contextmanager
def silent(host: str = "127.0.0.2") -> Iterator[AddressInfo]:
    """Give an address that swallows every SYN: the queue of its listener is full."""
    with socket.create_server((host, 0), backlog=0) as listener:
        address = listener.getsockname()
        with socket.create_connection(address[:2]):
            yield info(host, address[1])


async def talk(port: int = 1) -> str:
    """Connect to the name, have a message come back; return the server's address."""
    async with asyncio.timeout(PATIENCE), sealframe.connect("a.name", port) as conn:
        await conn.send(b"hello")
        assert await conn.recv() == b"hello"
        assert isinstance(conn.remote_address, tuple)
        return conn.remote_address[0]


async def echo(conn: Connection) -> None:
    async for message in conn:
        await conn.send(message)


linux = pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 and full queues are Linux's")


@linux
@pytest.mark.parametrize("first", ["127.0.0.2", "::1"], ids=["same family", "other family"])
async def test_an_address_that_swallows_everything_holds_nobody_up(
    addresses: list[AddressInfo], first: str
) -> None:
    if first == "::1" and not has_ipv6():
        pytest.skip("this machine has no ::1")
    family = socket.AF_INET6 if first == "::1" else socket.AF_INET
    with socket.create_server((first, 0), backlog=0, family=family) as listener:
        with socket.socket(family) as filler:
            filler.connect(listener.getsockname())
            async with sealframe.serve(echo, "127.0.0.1", 0) as server:
                addresses += [info(*listener.getsockname()[:2]), info("127.0.0.1", server.port)]
                before = time.monotonic()
                assert await talk() == "127.0.0.1"
                assert time.monotonic() - before >= 0.2


async def test_one_that_refuses_holds_nobody_up(
    addresses: list[AddressInfo], monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    monkeypatch.setattr(dialing, "_ATTEMPT_DELAY", 2 * PATIENCE)
    async with sealframe.serve(echo, "127.0.0.1", 0) as server:
        addresses += [info("127.0.0.1", port), info("127.0.0.1", server.port)]
        assert await talk() == "127.0.0.1"


@linux
async def test_those_that_answer_together_leave_one_connection(
    addresses: list[AddressInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialing, "_ATTEMPT_DELAY", 0)
    async with sealframe.serve(echo, "0.0.0.0", 0) as server:
        addresses += [info(f"127.0.0.{number}", server.port) for number in range(1, 9)]
        await talk()
        await until(lambda: not server.clients)


@linux
async def test_all_errors_are_told_together(addresses: list[AddressInfo], port: int) -> None:
    refused = info("127.0.0.1", port)
    addresses += [refused, info("255.255.255.255", 7)]
    with pytest.raises(ConnectError) as caught:
        await talk(7)
    assert caught.value.errno is None
    prefix = f"cannot connect to a.name:7: 127.0.0.1:{port}: Connection refused, "
    # What the other says depends on the routes that this machine has.
    assert str(caught.value).startswith(f"{prefix}255.255.255.255:7: ")
    assert "no answer" not in str(caught.value)
    addresses[1] = refused
    with pytest.raises(ConnectError, match=r"(?m)name:7: Connection refused$") as caught:
        await talk(7)
    assert caught.value.errno == errno.ECONNREFUSED


@linux
async def test_time_is_up_for_all_of_them(addresses: list[AddressInfo]) -> None:
    with silent() as one, silent("127.0.0.3") as other:
        addresses += [one, other]
        options = ClientOptions(connect_timeout=0.4)
        with pytest.raises(ConnectTimeoutError) as caught:
            await sealframe.connect("a.name", 7, options=options)
    assert "127.0.0.2" in str(caught.value)
    assert str(caught.value).endswith(f"127.0.0.3:{other[4][1]}: no answer)")


def test_families_take_turns() -> None:
    six = [info(f"::{number}", 1) for number in (1, 2, 3)]
    four = [info(f"127.0.0.{number}", 1) for number in (1, 2)]
    assert interleave([*six, *four]) == [six[0], four[0], six[1], four[1], six[2]]
    assert interleave(four) == four
