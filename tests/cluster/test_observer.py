"""A look at a cluster from outside."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Callable

import pytest
from aio.ends import PATIENCE
from aio.scripted import until

from sealframe import Sessions
from sealframe.cluster.observer import Observer, SeenServer, State
from sealframe.cluster.status import ServerStatus
from sealframe.cluster.subjects import Subjects

from .links import Ear
from .members import cluster_of
from .nats_servers import NatsServer
from .processes import server_process


async def look_until(
    observer: Observer, true: Callable[[dict[str, SeenServer]], bool]
) -> dict[str, SeenServer]:
    async with asyncio.timeout(PATIENCE):
        while True:
            seen = {one.id: one for one in await observer.look()}
            if true(seen):
                return seen
            await asyncio.sleep(0.02)  # presence comes meanwhile


def is_(id: str, state: State) -> Callable[[dict[str, SeenServer]], bool]:
    return lambda seen: id in seen and seen[id].state is state


async def test_who_is_there_and_how(nats_server: NatsServer) -> None:
    name = secrets.token_hex(8)
    async with (
        cluster_of(nats_server.url, 2, name=name, sessions=Sessions()) as (one, two),
        Observer(nats_server.url, name=name) as observer,
    ):
        _, plain = await one.connect()
        _, session = await one.connect(session=True)
        await session.ping()
        await plain.send(b"hello")
        await until(lambda: one.server.stats()["messages_received"] == 1)
        ids = (one.cluster.server_id, two.cluster.server_id)
        seen = await look_until(observer, lambda seen: seen.keys() == set(ids))
        assert [server.state for server in seen.values()] == [State.HERE] * 2
        here, other = (seen[id].status for id in ids)
        assert here is not None
        assert other is not None
        assert (here.clients, here.sessions, here.detached) == (2, 1, 0)
        assert (other.clients, other.sessions) == (0, 0)
        assert here.messages_received == 1
        before = here.bytes_received
        # What has come of a client that has left still counts.
        await plain.close()
        await until(lambda: len(one.server.clients) == 1)
        here = (await look_until(observer, lambda _: True))[ids[0]].status
        assert here is not None
        assert (here.clients, here.messages_received) == (1, 1)
        assert here.bytes_received >= before
        # Nobody takes it for a server.
        assert one.cluster.servers.keys() == set(ids)
        await session.close()
        await two.server.close(timeout=0)
        seen = await look_until(observer, is_(ids[1], State.GONE))
        assert seen[ids[1]].status is None


async def test_one_that_hangs_and_one_that_is_killed(nats_server: NatsServer) -> None:
    name = secrets.token_hex(8)
    async with (
        server_process(nats_server.url, name) as server,
        Observer(nats_server.url, name=name) as observer,
    ):
        await look_until(observer, is_(server.id, State.HERE))
        server.signal(signal.SIGSTOP)
        seen = await look_until(observer, is_(server.id, State.HANGS))
        assert seen[server.id].round_trip is None
        server.signal(signal.SIGCONT)
        await look_until(observer, is_(server.id, State.HERE))
        server.signal(signal.SIGKILL)
        await look_until(observer, is_(server.id, State.GONE))


async def test_a_server_that_knows_no_such_question(nats_server: NatsServer) -> None:
    subjects = Subjects("old")
    ear = Ear(nats_server.url, subjects.presence.removesuffix(".presence"), "0" * 16)
    await ear.link.open(10)
    try:
        async with Observer(nats_server.url, name="old") as observer:
            ear.link.publish(
                ear.everybody,
                b'{"v":1,"id":"0000000000000000","label":"old","started":1,"n":0,"figures":{},'
                b'"deltas":[]}',
            )
            ear.link.publish(ear.everybody, b'{"v":7}')
            ear.link.publish(ear.everybody, b"nonsense")
            seen = await look_until(observer, lambda seen: bool(observer.versions and seen))
            (server,) = seen.values()
            assert (server.state, server.status) == (State.HERE, None)
            assert observer.versions == {7}
    finally:
        await ear.link.close()


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"{", b"7", b"\xff"])
def test_what_is_no_status(data: bytes) -> None:
    assert ServerStatus.decode(data) is None


def test_a_status_with_other_types() -> None:
    text = ServerStatus(**dict.fromkeys(ServerStatus.__slots__, 1)).encode()
    assert ServerStatus.decode(text) is not None
    assert ServerStatus.decode(text.replace(b"1", b'"1"')) is None
