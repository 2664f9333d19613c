"""A list of addresses: which are ones, and that a client goes from one to the next."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aio.ends import PATIENCE
from aio.identities import ANNA, SERVER, STRANGER
from aio.scripted import until

import sealframe
from sealframe import (
    ClientIdentity,
    ClientOptions,
    ConfigurationError,
    ConnectError,
    Connection,
    KnownServers,
    PrivateKey,
    Server,
    ServerIdentity,
    ServerKeyChangedError,
    UnauthorizedError,
)
from sealframe.aio.endpoint import Endpoint
from sealframe.client.targets import Targets

pytestmark = pytest.mark.usefixtures("no_leaks")

ANY_LOOP = True

QUICK = ClientOptions(backoff_initial=0.001, backoff_maximum=0.01)


async def echo(conn: Connection) -> None:
    async for message in conn:
        await conn.send(message)


@asynccontextmanager
async def serving(key: PrivateKey | None = None, **more: Any) -> AsyncIterator[tuple[Server, str]]:
    """Serve on loopback; give the server and its address."""
    security = (
        None if key is None else ServerIdentity(key, {"anna": ANNA.public_key}, patterns=["XX"])
    )
    async with sealframe.serve(echo, "127.0.0.1", 0, security=security, **more) as server:
        yield server, f"127.0.0.1:{server.port}"


@pytest.fixture
def closed(port: int) -> str:
    """An address where nobody listens."""
    return f"127.0.0.1:{port}"


@pytest.fixture(params=[0, 1], ids=["first", "second"])
def start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """With which of two addresses a client begins."""
    first: int = request.param
    monkeypatch.setattr(random, "randrange", lambda _: first)
    return first


async def talk(conn: Connection) -> None:
    async with asyncio.timeout(PATIENCE):
        await conn.send(b"hello")
        assert await conn.recv() == b"hello"


def test_what_a_list_names() -> None:
    hosts = ["a.example:1", "[::1]:65535", "192.0.2.7:80", "unix:/run/a.sock"]
    endpoints = Endpoint.all_of(hosts, None, None, None, None)
    assert [(e.host, e.port, e.path) for e in endpoints] == [
        ("a.example", 1, ""),
        ("::1", 65535, ""),
        ("192.0.2.7", 80, ""),
        ("", 0, "/run/a.sock"),
    ]
    assert [e.name for e in endpoints[:2]] == ["a.example:1", "[::1]:65535"]


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "a:", ":1", "a:0", "a:65536", "a:x", "a:+1", "::1:80", "::1", "[::1]", "[]:1"),
        *("unix:", "unix:run.sock", b"a:1", ("a", 1), None),
    ],
)
def test_what_is_no_address(text: Any) -> None:
    with pytest.raises(ConfigurationError, match="in the list of hosts is no address"):
        sealframe.connect(["127.0.0.1:1", text])


@pytest.mark.parametrize(
    "more",
    [{"port": 1}, {"path": "a.sock"}, {"sock": lambda: None}],
    ids=["port", "path", "sock"],
)
def test_each_has_its_own_port(more: Any) -> None:
    with pytest.raises(ConfigurationError, match="has the port of each"):
        sealframe.connect(("127.0.0.1:1",), **more)


def test_none_is_not_enough() -> None:
    with pytest.raises(ConfigurationError, match="empty list"):
        sealframe.connect([])
    with pytest.raises(ConfigurationError, match="local_address"):
        sealframe.connect(["unix:/run/a.sock"], local_address=("127.0.0.1", 0))


def test_many_clients_spread() -> None:
    endpoints = Endpoint.all_of(["a:1", "b:1", "c:1"], None, None, None, None)
    assert {Targets(endpoints).first for _ in range(200)} == set(endpoints)


async def test_one_that_is_not_there_is_passed_over(closed: str, start: int) -> None:
    async with serving() as (_, address), sealframe.connect([closed, address]) as conn:
        await talk(conn)


async def test_a_unix_socket_among_them(closed: str, tmp_path: Path, start: int) -> None:
    async with (
        sealframe.serve(echo, path=tmp_path / "s"),
        sealframe.connect([closed, f"unix:{tmp_path}/s"]) as conn,
    ):
        await talk(conn)


async def test_where_none_is_there_the_error_names_each(closed: str, start: int) -> None:
    port = closed.rpartition(":")[2]
    with pytest.raises(ConnectError) as failed:
        await sealframe.connect([closed, f"127.0.0.2:{port}"])
    assert failed.value.errno == errno.ECONNREFUSED
    for host in ("127.0.0.1", "127.0.0.2"):
        assert f"cannot connect to {host}:{port}: {os.strerror(errno.ECONNREFUSED)}" in str(
            failed.value
        )


async def test_the_loop_goes_to_the_next_and_stays_there(start: int) -> None:
    async with serving() as (one, first), serving() as (two, second):
        servers = [one, two]
        connections = 0
        async for conn in sealframe.connect([first, second], options=QUICK):
            await talk(conn)
            connections += 1
            if connections == 1:
                assert servers[start].counters.accepted == 1
                await servers[start].close()
            elif connections == 4:
                break
        assert servers[1 - start].counters.accepted == 3


def anna(known: Path, **keys: PrivateKey) -> ClientIdentity:
    """Return a client that knows these servers, by address."""
    for address, key in keys.items():
        KnownServers(known).add(address, key.public_key)
    return ClientIdentity(ANNA, known_servers=known)


async def test_each_address_has_the_key_that_is_known_for_it(tmp_path: Path, start: int) -> None:
    async with serving(SERVER) as (one, first), serving(STRANGER) as (two, second):
        security = anna(tmp_path / "known", **{first: SERVER, second: STRANGER})
        async with sealframe.connect([first, second], security=security) as conn:
            await talk(conn)
            assert conn.peer is not None
            assert conn.peer.name == [first, second][start]
        assert [one, two][start].counters.accepted == 1


async def test_a_wrong_key_at_one_is_told_and_another_is_taken(
    tmp_path: Path, start: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "sealframe.client")
    async with serving(SERVER) as (_, first), serving(STRANGER) as (_, second):
        security = anna(tmp_path / "known", **{first: SERVER, second: SERVER})
        async with sealframe.connect([second, first], security=security) as conn:
            await talk(conn)
            assert conn.peer is not None
            assert conn.peer.key == SERVER.public_key
    told = [record for record in caplog.records if "HAS CHANGED" in record.getMessage()]
    assert len(told) == (1 if start == 0 else 0)


async def test_what_a_server_says_tells_more_than_that_one_is_not_there(
    tmp_path: Path, closed: str, start: int
) -> None:
    async with serving(STRANGER) as (_, address):
        security = anna(tmp_path / "known", **{address: SERVER, closed: SERVER})
        with pytest.raises(ServerKeyChangedError):
            await sealframe.connect([closed, address], security=security)


async def test_the_loop_ends_only_where_no_address_may_help(
    tmp_path: Path, closed: str, start: int
) -> None:
    key = ServerIdentity(SERVER, {}, patterns=["XX"])
    host, _, port = closed.rpartition(":")
    async with sealframe.serve(echo, "127.0.0.1", 0, security=key) as server:
        refusing = f"127.0.0.1:{server.port}"
        security = anna(tmp_path / "known", **{refusing: SERVER, closed: SERVER})

        async def try_on() -> None:
            addresses = [refusing, closed]
            async for conn in sealframe.connect(addresses, security=security, options=QUICK):
                await talk(conn)
                return

        trying = asyncio.create_task(try_on())
        await until(lambda: server.counters.unauthorized >= 3)
        other = ServerIdentity(SERVER, {"anna": ANNA.public_key}, patterns=["XX"])
        async with sealframe.serve(echo, host, int(port), security=other):
            await trying
        with pytest.raises(UnauthorizedError):
            async for _ in sealframe.connect([refusing], security=security, options=QUICK):
                raise AssertionError
