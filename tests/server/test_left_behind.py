"""Servers with one database and nothing else in common: a client goes on at another one, and comes
back to the first, which knows nothing of that."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest
from aio.ends import PATIENCE
from aio.scripted import until
from aio.session_peers import gone, read_welcome, say_hello

import sealframe
from sealframe import (
    CloseCode,
    Connection,
    Server,
    ServerOptions,
    SessionInfo,
    SessionLostError,
    Sessions,
)
from sealframe.wire.control import SessionWelcome

from .test_moving_sessions import Echoing, Member
from .test_positions import BRIEF, QUICK, Program, framed

pytestmark = pytest.mark.usefixtures("no_leaks")

ANY_LOOP = True


class Road:
    """Leads to one server at a time."""

    def __init__(self, server: Server[Any, Any]) -> None:
        self._server = server
        self._links: list[socket.socket] = []

    async def __call__(self) -> socket.socket:
        self._links.append(socket.create_connection(("127.0.0.1", self._server.port)))
        return self._links[-1]

    def lead_to(self, server: Server[Any, Any]) -> None:
        """Cut the link; the next one is with that server."""
        self._server = server
        self._links[-1].shutdown(socket.SHUT_RDWR)


class GivingUp(Program):
    """Its handlers may give up what they have in hand."""

    taken = 0

    async def handler(self, conn: Connection) -> None:
        async for message in conn:
            self.taken += 1
            await self.hold.wait()
            if message == b"raise":
                raise ValueError("somebody was quicker")
            if message == b"leave":
                return
            self.stored.append((conn.position, message))


def is_stored(program: Program, count: int) -> bool:
    return program.position == count


async def test_a_client_comes_back_to_the_server_that_it_had_left() -> None:
    program = Program()
    async with program.serving() as first, program.serving() as second:
        road = Road(first)
        async with sealframe.connect(
            "127.0.0.1", first.port, session=True, sock=road, options=QUICK
        ) as conn:
            for number, server in enumerate([first, second, first, second]):
                if number:
                    road.lead_to(server)
                await conn.send(b"%d" % number)
                await until(partial(is_stored, program, number + 1))
        assert await conn.close()
        assert program.stored == [(number + 1, b"%d" % number) for number in range(4)]
    first_end, second_end, *_ = program.ends
    for end in (first_end, second_end):
        assert isinstance(end, SessionLostError)
        assert str(end) == "the client has gone on at another server"


async def test_what_was_stored_elsewhere_is_not_asked_for_again() -> None:
    """Where nothing had come here, nothing but the numbering tells that it has gone on."""
    program = Program()
    async with program.serving() as server:
        peer = await say_hello(server)
        welcome = await read_welcome(peer)
        peer.raw.close()
        # Another server has taken two; the client has read its WELCOME, and not yet its ACK.
        program.stored += [(1, b"a"), (2, b"b")]
        peer = await say_hello(server, link=3, numbering=welcome.numbering ^ 1, known=True)
        again = await read_welcome(peer)
        assert again.numbering not in (welcome.numbering, welcome.numbering ^ 1)
        assert again.taken == 2
        await peer.write(framed(b"c"))
        await until(lambda: program.position == 3)
        peer.raw.close()


async def test_a_client_that_has_not_read_the_welcome_has_left_nobody() -> None:
    program = Program()
    program.stored.append((7, b"of an earlier server"))
    async with program.serving() as server:
        peer = await say_hello(server, known=True, numbering=5, received=9, acknowledged=9)
        welcome = await read_welcome(peer)
        peer.raw.close()
        peer = await say_hello(server, link=2, known=True, numbering=5, received=9, acknowledged=9)
        again = await read_welcome(peer)
        assert (again.numbering, again.taken) == (welcome.numbering, 7)
        assert len(program.asked) == len(program.conns) == 1
        peer.raw.close()


async def test_a_server_that_was_left_behind_gives_nothing_along() -> None:
    """In a cluster another one asks it: what it had sent, the client has."""
    echo = Echoing()

    async def load(_: SessionInfo) -> int:
        return len(echo.taken)

    members: list[Member] = []
    async with asyncio.timeout(PATIENCE), AsyncExitStack() as stack:
        made = [Member(members) for _ in range(3)]
        first, second, third = [
            await stack.enter_async_context(
                sealframe.serve(
                    echo,
                    "127.0.0.1",
                    0,
                    sessions=Sessions(position=load),
                    cluster=member,
                    options=BRIEF,
                )
            )
            for member in made
        ]
        road = Road(first)
        conn = await stack.enter_async_context(
            sealframe.connect("127.0.0.1", first.port, session=True, sock=road, options=QUICK)
        )
        await conn.send(b"1")
        assert await conn.recv() == b"re 1"
        # It hangs, and the others take it for gone.
        hangs = made[0].server
        del made[0].server
        road.lead_to(second)
        await conn.send(b"2")
        assert await conn.recv() == b"re 2"
        made[0].server = hangs
        del made[1].server
        road.lead_to(third)
        await conn.send(b"3")
        assert await conn.recv() == b"re 3"
        assert await conn.close()
    assert echo.taken == [b"1", b"2", b"3"]


def counted(numbers: Iterable[int]) -> list[tuple[int, bytes]]:
    return [(number, b"%d" % number) for number in numbers]


async def ended_here(program: GivingUp, server: Server[Any, Any], end: bytes) -> SessionWelcome:
    """Take one message, cut the link, and have the session end; return its first WELCOME."""
    peer = await say_hello(server)
    welcome = await read_welcome(peer)
    await peer.write(framed(b"1"))
    await until(partial(is_stored, program, 1))
    program.hold.clear()
    await peer.write(framed(end))
    await until(lambda: program.taken == 2)
    peer.raw.close()
    await until(lambda: server.stats()["sessions_detached"] == 1)
    program.hold.set()
    await until(lambda: server.stats()["sessions_detached"] == 0)
    return welcome


SHORT = ServerOptions(close_timeout=0.02)


@pytest.mark.parametrize("end", [b"raise", b"leave"])
async def test_an_end_at_a_server_that_it_had_left_is_no_end_of_it(end: bytes) -> None:
    program = GivingUp()
    async with program.serving(options=SHORT) as server:
        welcome = await ended_here(program, server, end)
        # Another server has taken this one and the next; the client has read its WELCOME.
        program.stored += counted([2, 3])
        there = welcome.numbering ^ 1
        peer = await say_hello(server, link=3, numbering=there, known=True)
        again = await read_welcome(peer)
        assert again.numbering not in (welcome.numbering, there)
        assert again.taken == 3
        await peer.write(framed(b"4"))
        await until(partial(is_stored, program, 4))
        peer.raw.close()
    assert program.stored == counted(range(1, 5))


@pytest.mark.parametrize(("end", "code"), [(b"raise", CloseCode.HANDLER), (b"leave", 0)])
async def test_who_has_not_gone_on_elsewhere_is_told_the_end(end: bytes, code: int) -> None:
    program = GivingUp()
    async with program.serving(options=SHORT) as server:
        welcome = await ended_here(program, server, end)
        there = welcome.numbering ^ 1
        # It comes back; or its HELLO was under way since before; or its program was started again.
        for start, link, numbering in [(1, 2, welcome.numbering), (1, 1, there), (2, 1, 0)]:
            peer = await say_hello(server, start=start, link=link, numbering=numbering, known=True)
            assert await gone(peer) == code
