"""What a connection logs at DEBUG: frames, states, credit, keepalive, handshake steps."""

from __future__ import annotations

import logging
import re

import pytest

from sealframe import ClientOptions, Connection, Framing, ServerOptions
from sealframe.aio.connection import protocol_of

from .ends import Mode, dial, open_pair, start
from .scripted import until

ANY_LOOP = True

SECRET = b"nobody is to read this in a log"


async def echo(conn: Connection) -> None:
    async for message in conn:
        await conn.send(message)


def lines(caplog: pytest.LogCaptureFixture, id: str) -> list[str]:
    """Return what the connection of that id said, without the id."""
    said = [r.getMessage() for r in caplog.records if r.name == "sealframe.connection"]
    return [line.removeprefix(f"{id}: ") for line in said if line.startswith(f"{id}: ")]


async def test_a_session_can_be_read(mode: Mode, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "sealframe")
    async with start(echo, mode) as server:
        async with dial(server, mode) as conn:
            await conn.send(SECRET)
            assert await conn.recv() == SECRET
        await until(lambda: not server.clients)
    said = lines(caplog, conn.id)
    size = len(SECRET)
    # Both ends of an extended connection have the id that the server gave.
    assert f"> message, {size} bytes" in said
    assert f"< message, {size} bytes" in said
    assert any(re.match(r"CLOSE: OPEN -> DRAINING", line) for line in said)
    assert any(line.startswith("LOST: DISCONNECTING -> CLOSED") for line in said)
    if mode.has_control:
        # Until then the client has an id of its own.
        assert any(": < WELCOME, " in record.getMessage() for record in caplog.records)
        assert any(line.startswith("> CLOSE, ") for line in said)
    assert any("message 1 of NNHFS_PSK0" in r.getMessage() for r in caplog.records) is mode.sealed
    assert SECRET.decode() not in caplog.text


async def test_a_foreign_framing_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "sealframe")
    mode = Mode(framing=Framing(width=2))
    async with start(echo, mode) as server, dial(server, mode) as conn:
        await conn.send(b"four")
        assert await conn.recv() == b"four"
    assert "> message, 4 bytes" in lines(caplog, conn.id)


async def test_credit_and_pauses(mode: Mode, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "sealframe")
    async with open_pair(
        mode,
        server_options=ServerOptions(inbox_limit=1000),
        client_options=ClientOptions(inbox_limit=1000),
    ) as (client, accepted, _):
        for _ in range(20):
            await client.send(bytes(100))
            await accepted.recv()
        if not mode.has_control:
            await client.send_many([bytes(100)] * 20)
            await until(lambda: protocol_of(accepted).receiver.paused)
            await accepted.recv_many()
        said = lines(caplog, accepted.id)
    if mode.has_control:
        assert any(line.startswith("window update: ") for line in said)
        assert any(line.startswith("> CREDIT, 4 bytes") for line in said)
    else:
        assert "reading paused: the receive queue is full" in said
        assert "reading resumed" in said


async def test_the_keepalive(control_mode: Mode, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "sealframe")
    quick = ClientOptions(keepalive_interval=0.01, keepalive_timeout=60.0)
    async with open_pair(control_mode, client_options=quick) as (client, _, _):
        await until(lambda: client.latency is not None)
        said = lines(caplog, client.id)
    assert any(line.startswith("keepalive: nothing came for 0.01 s") for line in said)
    assert "> PING, 8 bytes" in said
    assert "< PONG, 8 bytes" in said


async def test_a_stream_has_its_number(
    control_mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(_: Connection, payload: bytes) -> bytes:
        return payload

    caplog.set_level(logging.DEBUG, "sealframe")
    async with open_pair(control_mode, at_server={"on_request": answer}) as (client, _, _):
        assert await client.request(SECRET) == SECRET
        said = lines(caplog, client.id)
    assert f"> REQUEST, {8 + len(SECRET)} bytes, number 0" in said
    assert SECRET.decode() not in caplog.text


async def test_nothing_is_kept_where_nobody_reads(mode: Mode) -> None:
    async with open_pair(mode) as (client, accepted, _):
        for conn in (client, accepted):
            assert protocol_of(conn).trace is None
            assert protocol_of(conn).machine.trace is None
