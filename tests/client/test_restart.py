"""The loop of a client that reconnects survives each way in which a server ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from aio.ends import PATIENCE, Mode, dial, start
from aio.scripted import until

import sealframe
from sealframe import (
    ClientOptions,
    CloseCode,
    Connection,
    ConnectionClosed,
    ConnectionClosedOK,
    RequestCancelledError,
    ServerOptions,
    Stream,
)

pytestmark = pytest.mark.usefixtures("no_leaks")

ANY_LOOP = True
EAGER = True

QUICK = ClientOptions(backoff_initial=0.001, backoff_maximum=0.01, close_timeout=0.1)
LARGE = 100_000
"""Bytes of a request that needs a stream."""
Work = Callable[[Connection], Awaitable[object]]


async def in_a_group(conn: Connection) -> None:
    async with conn, asyncio.TaskGroup() as tasks:
        tasks.create_task(conn.request(b""))
        tasks.create_task(conn.request(bytes(LARGE)))


async def read_a_stream(conn: Connection) -> None:
    async with await conn.open_stream() as stream:
        await stream.read()


def going_away(conn: Connection) -> bool:
    return conn.going_away


WORK: dict[str, Work] = {
    "request": lambda conn: conn.request(b""),
    "large": lambda conn: conn.request(bytes(LARGE)),
    "stream": read_a_stream,
    "group": in_a_group,
}


class Endless:
    """A server whose handlers, requests and streams never end by themselves."""

    def __init__(self) -> None:
        self.begun = 0

    async def handler(self, _conn: Connection) -> None:
        await asyncio.Event().wait()

    async def on_request(self, _conn: Connection, _payload: bytes) -> bytes:
        self.begun += 1
        await asyncio.Event().wait()
        raise AssertionError

    async def on_stream(self, _stream: Stream) -> None:
        self.begun += 1
        await asyncio.Event().wait()

    def serve(self, mode: Mode, port: int) -> sealframe.Serving:
        return sealframe.serve(
            self.handler,
            "127.0.0.1",
            port,
            **mode.server,
            on_request=self.on_request,
            on_stream=self.on_stream,
            options=ServerOptions(close_timeout=0.1),
        )


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
@pytest.mark.parametrize("begun", [False, True], ids=["new", "under way"])
async def test_a_restart(control_mode: Mode, work: Work, begun: bool, port: int) -> None:
    """What is under way is cancelled at the deadline, what is new is refused: in both cases the
    program meets the end of its connection."""
    endless = Endless()
    rounds = 0
    codes: list[int | None] = []
    again = asyncio.Event()

    async def client() -> None:
        nonlocal rounds
        async for conn in sealframe.connect(
            "127.0.0.1", port, **control_mode.client, options=QUICK
        ):
            rounds += 1
            if rounds > 1:
                again.set()
            if not begun:
                await until(partial(going_away, conn))
            try:
                await work(conn)
            except ConnectionClosed as error:
                codes.append(error.code)

    async with asyncio.timeout(PATIENCE):
        async with endless.serve(control_mode, port):
            running = asyncio.create_task(client())
            await until(lambda: endless.begun > 0 if begun else rounds > 0)
        async with endless.serve(control_mode, port):
            await asyncio.wait(
                [running, asyncio.create_task(again.wait())], return_when="FIRST_COMPLETED"
            )
            assert not running.done()
            running.cancel()
            await asyncio.wait([running])
    assert codes[0] == CloseCode.GOING_AWAY


async def test_a_request_that_is_given_up_while_the_connection_goes_on(control_mode: Mode) -> None:
    async def on_request(_conn: Connection, payload: bytes) -> bytes:
        if payload:
            raise asyncio.CancelledError
        return b"answer"

    serving = sealframe.serve(None, "127.0.0.1", 0, **control_mode.server, on_request=on_request)
    async with serving as server, dial(server, control_mode) as conn:
        with pytest.raises(RequestCancelledError):
            await conn.request(b"x")
        assert await conn.request(b"") == b"answer"


class TestGroups:
    """Tasks of a group that the end of the connection ended."""

    @staticmethod
    async def hang_up(conn: Connection) -> None:
        await conn.recv()

    async def test_they_leave_the_block_as_one_error(self, mode: Mode) -> None:
        async with start(self.hang_up, mode) as server:
            with pytest.raises(ConnectionClosedOK) as caught:
                async with dial(server, mode) as conn, asyncio.TaskGroup() as tasks:
                    tasks.create_task(conn.recv())
                    tasks.create_task(conn.recv())
                    await conn.send(b"")
            assert isinstance(caught.value.__cause__, ExceptionGroup)

    async def test_an_error_of_the_program_is_kept(self, mode: Mode) -> None:
        async def fail(conn: Connection) -> None:
            try:
                await conn.recv()
            except ConnectionClosed:
                raise LookupError from None

        async with start(self.hang_up, mode) as server:
            with pytest.raises(ExceptionGroup) as caught:
                async with dial(server, mode) as conn, asyncio.TaskGroup() as tasks:
                    tasks.create_task(conn.recv())
                    tasks.create_task(fail(conn))
                    await conn.send(b"")
            assert caught.group_contains(LookupError)
