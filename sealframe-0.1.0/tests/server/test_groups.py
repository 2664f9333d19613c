"""Groups of a server's connections, and what a program notes about one."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from aio.ends import TCP, Mode, dial, open_pair, start
from aio.scripted import until

from sealframe import (
    Connection,
    ConnectionClosed,
    Group,
    MessageTooLargeError,
    NotSupportedError,
    Server,
    ServerOptions,
    WrongLoopError,
    serve,
)
from sealframe.aio.connection import protocol_of

ANY_LOOP = True

pytestmark = pytest.mark.usefixtures("no_leaks")


@asynccontextmanager
async def crowd(mode: Mode, count: int) -> AsyncIterator[tuple[Server, list[Connection]]]:
    """Serve so many clients; hand out their ends, in the order of the server's."""

    async def handler(conn: Connection) -> None:
        async for _ in conn:
            pass

    async with start(handler, mode) as server:
        conns = []
        for number in range(count):
            conns.append(await dial(server, mode))
            await until(lambda want=number + 1: len(server.clients) == want)  # type: ignore[misc]
        yield server, conns
        for conn in conns:
            await conn.close()


async def test_a_message_goes_to_the_members_alone(mode: Mode) -> None:
    async with crowd(mode, 4) as (server, conns):
        first, second, third, _ = server.clients.values()
        for conn in (first, second, third):
            conn.join("room")
        room = server.group("room")
        assert isinstance(room, Group)
        assert room.broadcast(b"to all members", exclude=second) == 2
        assert room.broadcast(b"to one", exclude=[first, third]) == 1
        assert server.broadcast(b"end") == 4
        received = [[await conn.recv()] for conn in conns]
        for conn, messages in zip(conns, received, strict=True):
            while messages[-1] != b"end":
                messages.append(await conn.recv())
        assert received == [
            [b"to all members", b"end"],
            [b"to one", b"end"],
            [b"to all members", b"end"],
            [b"end"],
        ]


async def test_members_come_in_the_order_in_which_they_joined(mode: Mode) -> None:
    async with crowd(mode, 3) as (server, _):
        clients = list(server.clients.values())
        for conn in reversed(clients):
            conn.join("room")
        room = server.group("room")
        assert list(room) == clients[::-1]
        assert clients[0] in room
        assert "room" in server.groups
        # Whoever goes through them may have them leave.
        for conn in room:
            conn.leave("room")
        assert len(room) == 0
        assert clients[0] not in room


async def test_the_view_is_live_and_empty_groups_vanish(mode: Mode) -> None:
    async with crowd(mode, 2) as (server, _):
        first, second = server.clients.values()
        groups, room = server.groups, server.group("room")
        assert not groups
        assert room.broadcast(b"to nobody") == 0
        assert not groups
        first.join("room")
        second.join("room")
        second.join("other")
        assert {name: len(group) for name, group in groups.items()} == {"room": 2, "other": 1}
        assert list(groups["room"]) == [first, second]
        assert second.groups == {"room", "other"}
        first.leave("room")
        second.leave("room")
        assert list(groups) == ["other"]
        with pytest.raises(KeyError):
            groups["room"]
        assert len(room) == 0
        second.join("room")
        assert list(room) == [second]
        assert "room" in repr(room)
        assert "other" in repr(groups)


async def test_to_join_or_leave_again_is_harmless(mode: Mode) -> None:
    async with crowd(mode, 1) as (server, conns):
        (conn,) = server.clients.values()
        conn.leave("room")
        conn.join("room")
        conn.join("room")
        assert server.group("room").broadcast(b"once") == 1
        assert await conns[0].recv() == b"once"
        conn.leave("room")
        conn.leave("room")
        assert not server.groups


@pytest.mark.parametrize("how", ["peer closes", "we close", "cut"])
async def test_membership_ends_with_the_connection(mode: Mode, how: str) -> None:
    async with crowd(mode, 1) as (server, (client,)):
        (accepted,) = server.clients.values()
        accepted.join("room")
        accepted.join("other")
        if how == "peer closes":
            await client.close()
        elif how == "we close":
            await asyncio.gather(accepted.close(), client.close())
        else:
            transport = protocol_of(client).transport
            assert transport is not None
            transport.abort()
        await until(lambda: accepted.closed)
        assert not server.groups
        assert server.group("room").broadcast(b"to nobody") == 0
        # Whoever says goodbye for it still knows where it was.
        assert accepted.groups == {"room", "other"}
        accepted.leave("room")
        with pytest.raises(ConnectionClosed):
            accepted.join("room")
        assert not server.groups


async def test_membership_ends_with_the_handler(mode: Mode) -> None:
    go = asyncio.Event()

    async def handler(conn: Connection) -> None:
        conn.join("room")
        await go.wait()

    async with start(handler, mode) as server, dial(server, mode) as client:
        await until(lambda: len(server.group("room")) == 1)
        go.set()
        # The client has not closed its own end yet.
        await until(lambda: not server.clients)
        assert not server.groups
        await client.close()


async def test_nobody_joins_after_the_handler() -> None:
    """A request is still served then; the connection was in no group before."""
    mode = Mode("extended")
    serving, handled, joined = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handler(conn: Connection) -> None:
        async for _ in conn:
            pass
        handled.set()

    async def on_request(conn: Connection, _: bytes) -> bytes:
        serving.set()
        await handled.wait()
        await until(lambda: not server.clients)
        conn.join("room")
        assert not server.groups
        assert conn.groups == frozenset()
        joined.set()
        return b"done"

    async with (
        serve(handler, **TCP.listen, **mode.server, on_request=on_request) as server,
        dial(server, mode) as client,
    ):
        request = asyncio.create_task(client.request(b""))
        await serving.wait()
        closing = asyncio.create_task(server.close())
        assert await request == b"done"
        assert joined.is_set()
        await client.close()
        await closing


async def test_one_that_closes_cannot_join(mode: Mode) -> None:
    async with open_pair(mode) as (client, accepted, server):
        accepted.join("room")
        closing = asyncio.create_task(accepted.close())
        await asyncio.sleep(0)
        with pytest.raises(ConnectionClosed):
            accepted.join("other")
        await client.close()
        await closing
        assert not server.groups


async def test_a_client_has_no_groups(mode: Mode) -> None:
    async with open_pair(mode) as (client, _, _):
        for call in (client.join, client.leave):
            with pytest.raises(NotSupportedError, match="belong to a server's connections"):
                call("room")
        assert client.groups == frozenset()


async def test_names_are_text(mode: Mode) -> None:
    async with open_pair(mode) as (_, accepted, server):
        for call in (accepted.join, accepted.leave):
            with pytest.raises(TypeError, match="text, not bytes"):
                call(b"room")  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="empty"):
                call("")
        assert not server.groups


async def test_they_belong_to_one_event_loop() -> None:
    async with open_pair(Mode("packets")) as (_, accepted, server):
        accepted.join("room")
        room = server.group("room")
        for call in (
            lambda: accepted.join("other"),
            lambda: accepted.leave("room"),
            lambda: room.broadcast(b"never"),
        ):
            with pytest.raises(WrongLoopError):
                await asyncio.to_thread(call)
        assert list(server.groups) == ["room"]


async def test_the_rules_of_a_broadcast_hold() -> None:
    mode = Mode("packets")

    async def handler(conn: Connection) -> None:
        conn.join("room")
        await conn.wait_closed()

    options = ServerOptions(max_message_size=10)
    async with start(handler, mode, options=options) as server, dial(server, mode) as client:
        await until(lambda: "room" in server.groups)
        with pytest.raises(MessageTooLargeError):
            server.group("room").broadcast(bytes(11))
        with pytest.raises(TypeError, match="bytes"):
            server.group("room").broadcast("text")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="exclude"):
            server.group("room").broadcast(b"", exclude=["id"])  # type: ignore[list-item]
        await client.close()


async def test_a_program_notes_what_it_likes(mode: Mode) -> None:
    async with open_pair(mode) as (client, accepted, _):
        accepted.state.user = "anna"
        assert accepted.state.user == "anna"
        assert not hasattr(client.state, "user")
        with pytest.raises(AttributeError):
            accepted.state = None  # type: ignore[misc,assignment]
    assert accepted.state.user == "anna"


async def test_what_is_not_used_takes_no_memory() -> None:
    async with open_pair(Mode("packets")) as (client, accepted, _):
        for conn in (client, accepted):
            assert conn.groups == frozenset()
            parts = gc.get_referents(conn)
            assert not [part for part in parts if isinstance(part, set | SimpleNamespace)]
