"""Two copies of one outbox: no message of one is taken for one of the other."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aio.links import Road, cut
from aio.scripted import until

import sealframe
from sealframe import (
    CloseCode,
    Connection,
    Outbox,
    SessionInfo,
    SessionLostError,
    Sessions,
)
from sealframe.outbox.store import OutboxStore

from .programs import IMPATIENT, QUICK, Program

pytestmark = pytest.mark.usefixtures("no_leaks")


class Storing(Program):
    """Stores, with each message, who has written it."""

    def __init__(self) -> None:
        super().__init__()
        self.writers: list[str] = []

    async def position(self, session: SessionInfo) -> Any:
        return len(self.stored), self.writers[-1] if self.writers else None

    async def handler(self, conn: Connection) -> None:
        async for message in conn:
            self.stored.append(message)
            self.writers.append(conn.session.writer)


class Place:
    """Where the two copies come to: a server, or one after the other."""

    def __init__(self, program: Program, port: int, **serving: Any) -> None:
        self.program = program
        self.road = Road()
        self.road.target = port
        self._serving = serving

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        async with self.program.serving(self.road.target, **self._serving):
            yield

    async def connect(self, outbox: Outbox, **more: Any) -> Connection:
        conn: Connection = await sealframe.connect(
            "127.0.0.1",
            self.road.target,
            **({"options": QUICK} | more),
            sock=self.road.connect,
            session=outbox,
        )
        return conn

    async def number_in_vain(self, outbox: Outbox, *messages: bytes) -> None:
        """Have a start give messages their numbers, and lose its link before it sends them."""
        conn = await self.connect(outbox, options=IMPATIENT)
        await self._leave(conn, *messages)

    async def deliver(self, outbox: Outbox, *messages: bytes) -> None:
        """Have a start send all that the outbox has, and these, and end without a close."""
        stored = self.program.stored
        conn = await self.connect(outbox, options=IMPATIENT)
        await conn.send_many(list(messages))
        await until(lambda: stored[-len(messages) :] == list(messages))
        await self._leave(conn)

    async def _leave(self, conn: Connection, *messages: bytes) -> None:
        self.road.shut()
        cut(conn)
        await until(lambda: not conn.connected)
        await conn.send_many(list(messages))
        await conn.close()
        self.road.open()

    async def refuse(self, outbox: Outbox, *, waiting: int) -> None:
        """Have a start find out that there is a copy; so does each one after it."""
        for _ in range(2):
            with pytest.raises(SessionLostError, match=r"copy .*begin_anew") as caught:
                await self.connect(outbox)
            assert caught.value.code == CloseCode.SUPERSEDED
            assert (await outbox.look()).waiting == waiting


@pytest.fixture(params=["positions", "memory"])
def place(request: pytest.FixtureRequest, port: int) -> Place:
    if request.param == "positions":
        return Place(Storing(), port)
    return Place(Program(), port, sessions=Sessions())


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox.db")


def copy(outbox: Outbox) -> Outbox:
    path = Path(outbox.path).with_name("copy.db")
    shutil.copy(outbox.path, path)
    return Outbox(path)


async def age(outbox: Outbox, starts: int) -> None:
    """Have an outbox begin so often where no server is to be reached."""
    for _ in range(starts):
        store = await OutboxStore.open(outbox)
        await store.close()


@pytest.mark.parametrize("first", [True, False], ids=["original", "copy"])
async def test_each_takes_its_turn(place: Place, outbox: Outbox, first: bool) -> None:
    """Both have given other messages the same numbers, and the server has those of one."""
    async with place.serving():
        await place.deliver(outbox, b"1")
        copied = copy(outbox)
        await place.number_in_vain(outbox, b"original 2")
        await age(copied, 1)
        await place.number_in_vain(copied, b"copy 2")
        quick, late = (outbox, copied) if first else (copied, outbox)
        await age(quick, 1)
        await place.deliver(quick, b"3")
        await age(late, 4)
        await place.refuse(late, waiting=1)
        await place.deliver(quick, b"4")
        await late.begin_anew(resend_unknown=True)
        name = b"copy 2" if first else b"original 2"
        if isinstance(place.program, Storing):
            # The file has another session, whose messages it counts anew.
            place.program.stored.clear()
            place.program.writers.clear()
        conn = await place.connect(late)
        await until(lambda: place.program.stored[-1:] == [name])
        assert await conn.close()
    winner = b"original 2" if first else b"copy 2"
    if not isinstance(place.program, Storing):
        assert place.program.stored == [b"1", winner, b"3", b"4", name]


async def test_a_copy_comes_while_the_other_has_its_link(place: Place, outbox: Outbox) -> None:
    async with place.serving():
        await place.deliver(outbox, b"1")
        copied = copy(outbox)
        await age(copied, 1)
        await place.number_in_vain(copied, b"copy 2")
        await age(outbox, 3)
        conn = await place.connect(outbox)
        await conn.send(b"2")
        await until(lambda: len(place.program.stored) == 2)
        await age(copied, 4)
        await place.refuse(copied, waiting=1)
        assert conn.connected
        await conn.send(b"3")
        assert await conn.close()
    assert place.program.stored == [b"1", b"2", b"3"]


async def test_servers_that_come_one_after_the_other(outbox: Outbox, port: int) -> None:
    """Only what the program has stored tells who was there."""
    place = Place(Storing(), port)
    async with place.serving():
        await place.deliver(outbox, b"1")
    copied = copy(outbox)
    for box, message in ((outbox, b"original 2"), (copied, b"copy 2")):
        async with place.serving():
            await place.number_in_vain(box, message)
    async with place.serving():
        await place.deliver(copied, b"3")
    async with place.serving():
        await place.refuse(outbox, waiting=1)
    async with place.serving():
        await place.deliver(copied, b"4")
    assert place.program.stored == [b"1", b"copy 2", b"3", b"4"]


async def test_a_copy_of_a_file_that_is_in_use(outbox: Outbox, port: int) -> None:
    """Its program goes on within the start that the copy knows."""
    place = Place(Storing(), port)
    async with place.serving():
        conn = await place.connect(outbox)
        await conn.send(b"1")
        await until(lambda: place.program.stored == [b"1"])
        copied = copy(outbox)
        shutil.copy(outbox.path + "-wal", copied.path + "-wal")
        place.road.shut()
    place.road.open()
    other = Place(place.program, port)
    async with place.serving():
        await conn.wait_connected()
        place.road.shut()
        cut(conn)
        await until(lambda: not conn.connected)
        await other.number_in_vain(copied, b"copy 2")
    await conn.send(b"original 2")
    place.road.open()
    async with place.serving():
        await until(lambda: len(place.program.stored) == 2)
        await other.refuse(copied, waiting=1)
        await conn.close()
    assert place.program.stored == [b"1", b"original 2"]


async def test_a_session_that_a_copy_has_closed(place: Place, outbox: Outbox) -> None:
    """How it ended is no answer to one whose messages never came."""
    async with place.serving():
        await place.deliver(outbox, b"1")
        copied = copy(outbox)
        await age(copied, 1)
        await place.number_in_vain(copied, b"copy 2")
        await age(outbox, 3)
        conn = await place.connect(outbox)
        await conn.send(b"2")
        assert await conn.close()
        await age(copied, 4)
        await place.refuse(copied, waiting=1)
    assert place.program.stored == [b"1", b"2"]


async def test_one_file_alone_is_never_taken_for_a_copy(place: Place, outbox: Outbox) -> None:
    """Whatever its starts did: nothing, met a server and sent nothing, or sent."""
    async with place.serving():
        for number in range(1, 4):
            await age(outbox, number % 2)
            await place.number_in_vain(outbox)
            await place.number_in_vain(outbox, b"in vain %d" % number)
            await age(outbox, 1)
            await place.number_in_vain(outbox)
            await place.deliver(outbox, b"%d" % number)
        conn = await place.connect(outbox)
        assert await conn.close()
    assert place.program.stored == [
        text % number for number in range(1, 4) for text in (b"in vain %d", b"%d")
    ]
