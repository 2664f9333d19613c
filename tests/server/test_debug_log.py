"""What the server and the client log of each connection at DEBUG."""

from __future__ import annotations

import logging

import pytest
from aio.ends import Mode, dial, start
from aio.scripted import until

import sealframe
from sealframe import ConnectError, Connection, ServerOptions
from sealframe.server.server import registry_of

pytestmark = pytest.mark.usefixtures("no_leaks")

SECRET = b"not to be logged"


async def echo(conn: Connection) -> None:
    async for data in conn:
        await conn.send(data)


def lines(caplog: pytest.LogCaptureFixture, name: str) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == name]


async def test_a_connection_from_accept_to_its_end(
    mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "sealframe")
    async with start(echo, mode) as server:
        async with dial(server, mode) as conn:
            await conn.send(SECRET)
            assert await conn.recv() == SECRET
            (id,) = server.clients
            mine = conn.id
        await until(lambda: not registry_of(server).connections)
    accepted, registered, unregistered = lines(caplog, "sealframe.server")
    assert accepted.startswith(f"accepted connection {id} from ")
    how = "sealed, post-quantum" if mode.sealed else "plain"
    assert registered == f"registered client {id}, {how}"
    assert unregistered == f"unregistered client {id}"
    connecting, connected = lines(caplog, "sealframe.client")
    assert connecting.startswith("connecting to ")
    assert connected.startswith("connected to ")
    assert connected.endswith(f" as {mine}, {how}")
    assert SECRET.decode() not in caplog.text


async def test_each_client_that_is_rejected(caplog: pytest.LogCaptureFixture) -> None:
    """Only the first gets a warning."""
    caplog.set_level(logging.DEBUG, "sealframe.server")
    mode = Mode("packets")
    async with start(echo, mode, options=ServerOptions(max_connections=1)) as server:
        async with dial(server, mode) as conn:
            await conn.send(b"here")
            await conn.recv()
            for _ in range(3):
                async with dial(server, mode):
                    pass
            await until(lambda: server.counters.turned_away == 3)
    found = [r for r in caplog.records if "max_connections" in r.getMessage()]
    assert [r.levelno for r in found] == [logging.WARNING, logging.DEBUG, logging.DEBUG]


async def test_an_attempt_that_fails(port: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "sealframe.client")
    with pytest.raises(ConnectError) as why:
        await sealframe.connect("127.0.0.1", port)
    where = f"127.0.0.1:{port}"
    assert lines(caplog, "sealframe.client") == [
        f"connecting to {where}",
        f"connecting to {where} failed: {why.value}",
    ]
