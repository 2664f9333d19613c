"""What a server tells of itself."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aio.ends import Family, Mode, dial, open_pair, start
from aio.identities import ANNA, SERVER, hosting, let_in
from aio.links import open_session
from aio.scripted import Raw, until

from sealframe import ClientIdentity, Connection, ServerIdentity, Sessions, WrongLoopError
from sealframe.aio.connection import protocol_of
from sealframe.server.server import registry_of
from sealframe.wire import MESSAGE_OVERHEAD

ANY_LOOP = True

pytestmark = pytest.mark.usefixtures("no_leaks")


async def test_a_client(mode: Mode, family: Family) -> None:
    async with open_pair(mode, family) as (client, accepted, server):
        await client.send(b"unread")
        await until(lambda: accepted.stats.messages_received == 1)
        accepted.join("room")
        accepted.join("other")
        stats = server.stats()
        ((client_id, told),) = stats["clients"].items()
        assert client_id == accepted.id
        assert told["name"] is None
        assert told["address"] == accepted.remote_address
        assert told["sealed"] is mode.sealed
        assert told["post_quantum"] is mode.sealed
        assert told["connected"] is True
        assert told["links"] == 1
        assert 0 <= told["connected_for"] < 60
        assert told["messages_received"] == 1
        assert told["messages_sent"] == 0
        assert told["bytes_received"] == accepted.stats.bytes_received > 6
        assert told["inbox_cost"] == 6 + MESSAGE_OVERHEAD
        assert told["outbox_cost"] == 0
        assert told["latency"] is None
        assert told["groups"] == ["other", "room"]
        assert stats["groups"] == {"room": 1, "other": 1}
        assert stats["connections"] == stats["accepted"] == 1
        assert stats["sessions_detached"] == 0
        assert json.loads(json.dumps(stats))["clients"][client_id]["groups"] == ["other", "room"]
        if mode.has_control:
            seconds = await accepted.ping()
            assert server.stats()["clients"][client_id]["latency"] == pytest.approx(seconds, abs=1)


async def test_its_name(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    identity = ServerIdentity(SERVER, let_in(tmp_path / "clients", anna=ANNA))
    async with hosting(identity) as host:
        conn = await host.connect(ClientIdentity(ANNA, server=SERVER.public_key))
        (told,) = host.server.stats()["clients"].values()
        assert told["name"] == "anna"
        await conn.close()


async def test_totals_keep_those_that_left(mode: Mode) -> None:
    async def echo(conn: Connection) -> None:
        async for message in conn:
            await conn.send(message)

    async with start(echo, mode) as server:
        received = []
        for number in range(1, 4):
            async with dial(server, mode) as conn:
                await conn.send(b"hello")
                assert await conn.recv() == b"hello"
                stats = server.stats()
                assert stats["messages_received"] == stats["messages_sent"] == number
                assert len(stats["clients"]) == stats["connections"] == 1
                received.append(stats["bytes_received"])
            await until(lambda: not server.clients)
        await until(lambda: not registry_of(server).connections)
        stats = server.stats()
        assert stats["messages_received"] == stats["accepted"] == 3
        assert stats["bytes_received"] >= received[-1] > received[0]
        assert stats["clients"] == stats["groups"] == {}
        assert stats["connections"] == stats["dropped"] == 0
    assert server.stats()["messages_received"] == 3


async def test_a_session(control_mode: Mode) -> None:
    async with open_session(control_mode) as pair:
        client, accepted, server = pair.client, pair.accepted, pair.server
        await client.send(b"before")
        assert await accepted.recv() == b"before"

        def told() -> tuple[bool, int, int, int, int]:
            stats = server.stats()
            figures = stats["clients"][accepted.id]
            totals = (stats[name] for name in ("connections", "sessions_detached", "accepted"))
            return (figures["connected"], figures["links"], *totals)

        assert told() == (True, 1, 1, 0, 1)
        pair.lose_link()
        await until(lambda: told() == (False, 1, 0, 1, 1))
        assert server.counters.sessions_resumed == 0
        await client.send(b"after")
        pair.road.open()
        assert await accepted.recv() == b"after"
        assert told() == (True, 2, 1, 0, 2)
        assert server.counters.sessions_resumed == 1
        # What the link brought before it was the session's counts as well, and counts once.
        stats = server.stats()
        assert stats["messages_received"] == 2
        assert stats["bytes_received"] == accepted.stats.bytes_received
    assert server.stats()["sessions_lost"] == 0
    assert server.stats()["sessions_detached"] == 0


@pytest.mark.parametrize("sessions", [Sessions(keep=0.1), Sessions(max_detached=0)])
async def test_a_session_that_is_lost(sessions: Sessions) -> None:
    async with open_session(Mode("extended"), sessions=sessions) as pair:
        pair.lose_link()
        await until(lambda: pair.server.counters.sessions_lost == 1)
        assert pair.accepted.closed
        assert pair.server.stats()["clients"] == {}
        assert pair.server.stats()["sessions_detached"] == 0


@pytest.mark.parametrize("asks", [False, True], ids=["messages", "requests"])
async def test_what_an_idle_session_weighs(control_mode: Mode, asks: bool) -> None:
    """Keys take memory of their own, and so do requests."""
    expected = 5 * 1024 + 1536 * control_mode.sealed + 5 * 1024 * asks
    for memory in (expected - 1, expected):
        sessions = Sessions(memory=memory)
        async with open_session(
            control_mode, sessions=sessions, at_server={"on_request": answer}
        ) as pair:
            if asks:
                await pair.client.request(b"?")
            await until(lambda: not unacknowledged(pair.client) + unacknowledged(pair.accepted))
            pair.lose_link()
            await until(lambda: not pair.accepted.connected)
            lost = pair.server.counters.sessions_lost
            assert lost == (0 if memory == expected else 1)


def answer(conn: Connection, payload: bytes) -> bytes:
    return payload


def unacknowledged(conn: Connection) -> int:
    session = protocol_of(conn).machine.session
    assert session is not None
    return session.retention.cost


async def test_who_shakes_hands_is_a_connection_and_no_client(sealed: Mode) -> None:
    async def unused(conn: Connection) -> None:
        raise AssertionError

    async with start(unused, sealed) as server, await Raw.dial(server.port):
        await until(lambda: server.stats()["connections"] == 1)
        assert server.stats()["clients"] == {}


async def test_it_belongs_to_one_event_loop() -> None:
    async with open_pair(Mode("packets")) as (_, _, server):
        with pytest.raises(WrongLoopError):
            await asyncio.to_thread(server.stats)
