"""What the program does in its first step, before anything of the client has been read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aio.ends import PATIENCE, Mode, dial, start
from aio.scripted import until

from sealframe import CloseCode, Connection, ConnectionClosed, Server, ShutdownReport

pytestmark = pytest.mark.usefixtures("no_leaks")

EAGER = True


async def fail(conn: Connection, server: Server) -> None:
    raise ValueError("not today")


async def fail_in_a_group(conn: Connection, server: Server) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(conn.recv())
        group.create_task(fail(conn, server))


async def cancel_itself(conn: Connection, server: Server) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def kick(conn: Connection, server: Server) -> None:
    server.kick(conn.id)


async def refuse(conn: Connection, server: Server) -> None:
    await conn.close(CloseCode.BUSY)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (fail, CloseCode.HANDLER),
        (fail_in_a_group, CloseCode.HANDLER),
        (cancel_itself, CloseCode.GOING_AWAY),
        (kick, CloseCode.KICKED),
        (refuse, CloseCode.BUSY),
    ],
)
async def test_the_client_learns_of_the_end(
    control_mode: Mode,
    end: Callable[[Connection, Server], Awaitable[None]],
    code: CloseCode,
) -> None:
    async def handler(conn: Connection) -> None:
        await end(conn, server)

    async with start(handler, control_mode) as server:
        async with asyncio.timeout(PATIENCE), dial(server, control_mode) as conn:
            with pytest.raises(ConnectionClosed) as why:
                await conn.recv()
        assert why.value.code == code
        await until(lambda: not server.clients)


async def test_it_can_close_the_server(mode: Mode) -> None:
    closing: asyncio.Task[ShutdownReport] | None = None

    async def handler(conn: Connection) -> None:
        nonlocal closing
        closing = asyncio.create_task(server.close())
        server.broadcast(b"to all")
        await conn.send(b"to this one")

    async with start(handler, mode) as server:
        async with asyncio.timeout(PATIENCE), dial(server, mode) as conn:
            assert [message async for message in conn] == [b"to all", b"to this one"]
        assert closing is not None
        report = await closing
        assert (report.cancelled, report.unsent, report.discarded) == (0, 0, 0)
