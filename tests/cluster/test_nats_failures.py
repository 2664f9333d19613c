"""Nodes of NATS that die, hang, go and throw out; and links that are closed meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from aio.ends import PATIENCE

from sealframe import ClusterUnavailableError
from sealframe.cluster.events import ProbeOutcome
from sealframe.cluster.nats_servers import NatsServers

from .links import Ear, ears, new_cluster
from .nats_servers import NatsServer, one_server


async def hears(sender: Ear, receiver: Ear) -> None:
    """Publish until something arrives: other nodes may not know yet who listens where."""
    count = len(receiver.messages)
    while len(receiver.messages) == count:
        assert await sender.link.probe(sender.subject, 10) is ProbeOutcome.ANSWERED
        sender.link.publish(receiver.subject, b"heard?")
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "go", [NatsServer.kill, NatsServer.stop, NatsServer.lame_duck], ids=["kill", "stop", "duck"]
)
async def test_another_node_is_found(
    nats_nodes: Sequence[NatsServer], go: Callable[[NatsServer], None]
) -> None:
    """Also by a link that was given one of them only: NATS tells of the others."""
    first, second, _ = nats_nodes
    cluster = new_cluster()
    async with (
        ears(first.url, "a", cluster=cluster) as (a,),
        ears([first.url, second.url], "b", cluster=cluster) as (b,),
    ):
        await hears(a, b)
        go(first)
        await a.until(lambda: a.changes == [True, False, True])
        assert a.link.url != first.url
        # It may have had the other node all the time.
        await b.until(lambda: b.changes[-1] is True)
        if b.link.url == first.url:
            await b.until(lambda: b.changes == [True, False, True])
        await hears(a, b)
        await hears(b, a)


async def test_the_first_node_may_be_away_at_the_start(nats_server: NatsServer, port: int) -> None:
    async with ears([f"nats://127.0.0.1:{port}", nats_server.url], "a") as (a,):
        assert a.link.url == nats_server.url


async def test_a_client_that_nats_throws_out_comes_back(tmp_path: Path) -> None:
    """nats-py ends for good then. Until it is let in again nothing else ends."""
    users = 'authorization {{ users: [ {{ user: "u", password: "{}" }} ] }}\n'
    with one_server(tmp_path, users.format("old")) as server:
        async with ears(NatsServers(server.url, user="u", password="old"), "a", "b") as (a, b):
            server.reload(users.format("new"))
            await a.until(lambda: a.changes == [True, False])
            with pytest.raises(ClusterUnavailableError):
                a.link.publish(b.subject, b"lost")
            server.reload(users.format("old"))
            await a.until(lambda: a.changes == [True, False, True])
            await b.until(lambda: b.changes == [True, False, True])
            await hears(a, b)


def leftover() -> set[asyncio.Task[object]]:
    """Return the tasks that run beside this one."""
    return asyncio.all_tasks() - {asyncio.current_task()}


async def fill(ear: Ear) -> None:
    """Publish until neither the socket nor the queue takes any more."""
    with pytest.raises(ClusterUnavailableError, match="takes too little"):
        while True:
            ear.link.publish(ear.everybody, bytes(256 * 1024))
    await asyncio.sleep(0)


@pytest.mark.parametrize("full", [False, True], ids=["idle", "full"])
@pytest.mark.parametrize("how", ["there", "hung", "killed", "away"])
async def test_a_close_ends_all_in_any_state(nats_server: NatsServer, how: str, full: bool) -> None:
    """No task and no socket is left, and it does not wait for a NATS that does not answer."""
    a = Ear(nats_server.url, new_cluster(), "a")
    await a.link.open(10)
    if how == "hung":
        nats_server.stop()
    if full:
        await fill(a)
    if how in ("killed", "away"):
        nats_server.kill()
    if how == "away":
        await a.until(lambda: a.changes == [True, False])
    heard = list(a.changes)
    async with asyncio.timeout(PATIENCE):
        await a.link.close()
        await a.link.close()
    assert not a.link.connected
    assert a.changes == heard
    assert leftover() == set()
    with pytest.raises(ClusterUnavailableError, match="is closed"):
        a.link.publish(a.subject, b"")
    with pytest.raises(ClusterUnavailableError, match="is closed"):
        await a.link.room()


async def test_what_was_published_before_a_close_arrives(nats_server: NatsServer) -> None:
    async with ears(nats_server.url, "a", "b") as (a, b):
        for number in range(100):
            a.link.publish(b.subject, b"%d" % number)
        await a.link.close()
        await b.until(lambda: len(b.messages) == 100)


async def test_a_cancelled_close_ends_all(nats_server: NatsServer) -> None:
    a = Ear(nats_server.url, new_cluster(), "a")
    await a.link.open(10)
    nats_server.stop()
    closing = asyncio.create_task(a.link.close())
    await asyncio.sleep(0.05)
    closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled()
    assert leftover() == set()


async def test_a_cancelled_open_leaves_nothing(nats_server: NatsServer) -> None:
    """At any of its steps."""
    for steps in range(25):
        a = Ear(nats_server.url, new_cluster(), "a")
        opening = asyncio.create_task(a.link.open(10))
        for _ in range(steps):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        await a.link.close()
        assert leftover() == set()


async def test_a_loop_that_is_held_up_loses_nothing(nats_server: NatsServer) -> None:
    """For longer than a hung NATS may be silent: it is known that it was us."""
    async with ears(nats_server.url, "a", "b") as (a, b):
        for number in range(100):
            a.link.publish(b.subject, b"%d" % number)
        threading.Event().wait(4)
        await b.until(lambda: len(b.messages) == 100)
        for _ in range(20):
            assert await a.link.probe(b.subject, 10) is ProbeOutcome.ANSWERED
            await asyncio.sleep(0.05)
        assert a.changes == b.changes == [True]
