"""Servers and NATS nodes that die, hang and come back: who is known where, and what calls do.

Times are promised for a machine that is not busy. Here it is only told apart how a fault was
noticed: "no responders" comes before 3 seconds of silence do.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest
from aio.ends import PATIENCE
from aio.scripted import until

import sealframe
from sealframe import (
    ClusterUnavailableError,
    Connection,
    ConnectionClosed,
    ServerOptions,
    UnknownClientError,
)
from sealframe.aio.stats import Stats
from sealframe.cluster import Cluster

from .members import Member, agree, cluster_of, member, seen_by
from .nats_servers import NatsServer
from .processes import ServerProcess, server_process

ANY_LOOP = True
Record: TypeAlias = Callable[[str, object], None]
"""Keeps how long something took, for ``pytest --junitxml``."""
BUSY = 5
"""How many times as long things may take here."""


def knows(one: Member, server: str) -> list[str]:
    return [id for id, client in one.cluster.clients.items() if client.server == server]


async def join(stack: AsyncExitStack, urls: Sequence[str], name: str) -> Member:
    own = Cluster(urls, name=name)
    serving = sealframe.serve(member, "127.0.0.1", 0, cluster=own)
    return Member(await stack.enter_async_context(serving), own)


async def reconnected(one: Member, members: Sequence[Member]) -> None:
    """Wait until a server has another node of NATS, of which its own one has told it."""
    await until(lambda: not one.cluster.connected)
    await until(lambda: all(one.cluster.connected for one in members))


async def reaches_all(one: Member, data: bytes, clients: Sequence[tuple[str, Connection]]) -> None:
    """Broadcast until all have got it: the nodes of NATS tell each other who listens where, and a
    message may come before that, or meet a node whose end is not known yet."""

    async def receive(conn: Connection) -> None:
        # An earlier one may have come more than once.
        while await conn.recv() != data:
            pass

    receiving = [asyncio.create_task(receive(conn)) for _, conn in clients]
    async with asyncio.timeout(PATIENCE):
        while not all(task.done() for task in receiving):
            with suppress(ClusterUnavailableError):
                await one.cluster.broadcast(data)
            await asyncio.wait(receiving, timeout=0.1)
    await asyncio.gather(*receiving)


async def settled(process: ServerProcess, clients: dict[str, str] | None = None) -> dict[str, str]:
    """Return which clients a process knows, with their servers, once these are what it should."""
    async with asyncio.timeout(PATIENCE):
        while True:
            state = await process.state()
            known: dict[str, str] = {id: server for id, (_, server) in state["clients"].items()}
            if known == (clients or {}):
                return known
            await asyncio.sleep(0.01)


def left(caplog: pytest.LogCaptureFixture, server: ServerProcess) -> list[str]:
    """Return why a server is there no more, as those that have noticed say."""
    texts = [one.getMessage().partition(" has left the cluster: ") for one in caplog.records]
    return [why for who, _, why in texts if why and f"server {server.id} " in who]


class TestServers:
    async def test_killed(
        self,
        nats_server: NatsServer,
        record_property: Record,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Its clients are known gone everywhere in less than half a second: not by 3 s of
        silence."""
        caplog.set_level(logging.INFO, "sealframe.cluster")
        name = secrets.token_hex(8)
        async with (
            cluster_of(nats_server.url, 2, name=name) as members,
            server_process(nats_server.url, name) as other,
            server_process(nats_server.url, name) as killed,
        ):
            a, _ = members
            conns = [await killed.connect() for _ in range(20)]
            await until(lambda: all(len(knows(one, killed.id)) == 20 for one in members))
            (id, *_) = knows(a, killed.id)
            asking = asyncio.create_task(a.cluster.request(id, b"nobody answers"))
            with pytest.raises(sealframe.NotSupportedError):
                await asking
            killed.signal(signal.SIGKILL)
            began = time.monotonic()
            await until(lambda: not any(knows(one, killed.id) for one in members))
            took = time.monotonic() - began
            record_property("seconds until the clients of a killed server were gone", took)
            assert await settled(other) == {}
            assert left(caplog, killed) == ["no responders"] * 2
            assert killed.id not in a.cluster.servers
            with pytest.raises(UnknownClientError):
                await a.cluster.send(id, b"data")
            for conn in conns:
                await conn.close()

    async def test_its_requests_fail_at_once(
        self, nats_server: NatsServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "sealframe.cluster")
        name = secrets.token_hex(8)
        async with (
            cluster_of(nats_server.url, 1, name=name) as (a,),
            server_process(nats_server.url, name) as killed,
        ):
            never = asyncio.Event()
            running = asyncio.Event()

            async def on_request(conn: Any, payload: bytes) -> bytes:
                running.set()
                await never.wait()
                return b""

            conn = await sealframe.connect(
                "127.0.0.1", killed.port, extended=True, on_request=on_request
            )
            await until(lambda: len(knows(a, killed.id)) == 1)
            asking = asyncio.create_task(a.cluster.request(knows(a, killed.id)[0], b"ask"))
            await running.wait()
            killed.signal(signal.SIGKILL)
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(ConnectionClosed, match="server is gone"):
                    await asking
            assert left(caplog, killed) == ["no responders"]
            await conn.close()

    async def test_stopped_and_going_on(
        self, nats_server: NatsServer, record_property: Record
    ) -> None:
        """Its clients are gone in less than 4 seconds, and back without a restart."""
        name = secrets.token_hex(8)
        async with (
            cluster_of(nats_server.url, 2, name=name) as members,
            server_process(nats_server.url, name) as stopped,
        ):
            a, _ = members
            _, at_a = await a.connect()
            conn = await stopped.connect()
            await until(lambda: all(knows(one, stopped.id) for one in members))
            (id,) = knows(a, stopped.id)
            stopped.signal(signal.SIGSTOP)
            began = time.monotonic()
            await a.cluster.send(id, b"while it is stopped")
            await until(lambda: not any(knows(one, stopped.id) for one in members))
            took = time.monotonic() - began
            record_property("seconds until the clients of a stopped server were gone", took)
            assert took < 4 * BUSY
            stopped.signal(signal.SIGCONT)
            await until(lambda: all(knows(one, stopped.id) == [id] for one in members))
            await a.cluster.send(id, b"afterwards")
            async with asyncio.timeout(PATIENCE):
                got = [await conn.recv(), await conn.recv()]
            assert got == [b"while it is stopped", b"afterwards"]
            there = {id: client.server for id, client in a.cluster.clients.items()}
            assert await settled(stopped, there) == there
            await conn.close()
            await at_a.close()

    async def test_one_that_closes_is_gone_at_once(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 2) as members:
            a, b = members
            _, conn = await b.connect()
            await until(lambda: len(a.cluster.clients) == 1)
            closing = asyncio.create_task(b.server.close())
            await until(lambda: len(a.cluster.servers) == 1)
            await closing
            assert not a.cluster.clients
            await conn.close()


class TestNats:
    async def test_killed_and_started_again(
        self, nats_server: NatsServer, record_property: Record
    ) -> None:
        async with cluster_of(nats_server.url, 3) as members:
            a, b, _ = members
            (id_a, at_a), (id_b, at_b) = await a.connect("alice"), await b.connect("bob")
            await seen_by(members, id_a, id_b)
            nats_server.kill()
            await until(lambda: not any(one.cluster.connected for one in members))
            # What is here goes on; what is elsewhere is one error, at once.
            await a.cluster.send("alice", b"local")
            for call in (
                a.cluster.send(id_b, b"data"),
                a.cluster.send("bob", b"data"),
                a.cluster.send("nobody", b"data"),
                a.cluster.request(id_b, b"data"),
                a.cluster.kick(id_b),
            ):
                with pytest.raises(ClusterUnavailableError, match="NATS is away"):
                    await call
            with pytest.raises(ClusterUnavailableError, match="own clients got"):
                await a.cluster.broadcast(b"to those here")
            with pytest.raises(ClusterUnavailableError, match="own clients got"):
                await a.cluster.group("room").broadcast(b"to the group here")
            # Who comes and goes meanwhile is known afterwards.
            late, at_late = await b.connect("late")
            await until(lambda: len(a.cluster.servers) == 1)
            assert set(a.cluster.clients) == {id_a}
            nats_server.start()
            await until(lambda: all(one.cluster.connected for one in members))
            began = time.monotonic()
            await agree(members)
            took = time.monotonic() - began
            record_property("seconds until all agreed once NATS was back", took)
            assert took < 2 * BUSY
            assert set(a.cluster.clients) == {id_a, id_b, late}
            await a.cluster.broadcast(b"again")
            got = [await at_a.recv() for _ in range(4)]
            assert got == [b"local", b"to those here", b"to the group here", b"again"]
            assert await at_b.recv() == b"again"
            for conn in (at_a, at_b, at_late):
                await conn.close()

    async def test_senders_that_wait_are_told(self, nats_server: NatsServer) -> None:
        # What the sockets to and from NATS hold comes in one burst, for a client that does not
        # read: as many MiB as the kernel likes, more than a client may leave unread by default.
        roomy = ServerOptions(outbox_limit=64 * 2**20)
        async with cluster_of(nats_server.url, 2, options=roomy) as members:
            a, b = members
            id, conn = await b.connect()
            await seen_by(members, id)
            nats_server.stop()

            async def send() -> None:
                while True:
                    await a.cluster.send(id, bytes(2**20))

            sending = [asyncio.create_task(send()) for _ in range(3)]
            for task in sending:
                with pytest.raises(ClusterUnavailableError):
                    async with asyncio.timeout(PATIENCE):
                        await task
            # Heartbeats that do not come back tell it before the connection ends.
            await until(lambda: a.cluster.stats()["waiting_bytes"] == 0)
            assert a.cluster.stats()["messages_lost"] > 0
            nats_server.go_on()
            await until(lambda: all(one.cluster.connected for one in members))
            await agree(members)
            await a.cluster.send(id, b"end")
            async with asyncio.timeout(PATIENCE):
                while await conn.recv() != b"end":
                    pass
            await conn.close()

    async def test_a_server_closes_while_nats_hangs(self, nats_server: NatsServer) -> None:
        async with AsyncExitStack() as stack:
            members = await stack.enter_async_context(cluster_of(nats_server.url, 2))
            _, conn = await members[0].connect()
            await conn.close()
            nats_server.stop()
            began = time.monotonic()
            await stack.aclose()
            assert time.monotonic() - began < 5 * BUSY

    async def test_one_node_of_three(self, nats_nodes: Sequence[NatsServer]) -> None:
        """Each server is at a node of its own; each knows them all."""
        name = secrets.token_hex(8)
        async with AsyncExitStack() as stack:
            members = [await join(stack, [node.url], name) for node in nats_nodes]
            clients = [await one.connect() for one in members]
            await seen_by(members, *(id for id, _ in clients))
            for node, one in zip(nats_nodes, members, strict=True):
                # One says so beforehand, the others do not.
                node.lame_duck() if node is nats_nodes[0] else node.kill()
                await reconnected(one, members)
                await agree(members)
                await reaches_all(members[0], node.url.encode(), clients)
                node.restart()
            for _, conn in clients:
                await conn.close()


class TestMany:
    async def test_ten_thousand_clients(self, nats_server: NatsServer) -> None:
        """They are in the registries alone: sockets are not what is tried."""
        name = secrets.token_hex(8)
        async with cluster_of(nats_server.url, 2, name=name) as members:
            a, b = members
            crowd: list[Any] = [
                SimpleNamespace(id=f"crowd-{n}", peer=None, stats=Stats()) for n in range(10_000)
            ]
            for one in crowd:
                a.cluster.client_joined(one)
            await until(lambda: len(b.cluster.clients) == 10_000)
            late = Cluster(nats_server.url, name=name)
            async with sealframe.serve(member, "127.0.0.1", 0, cluster=late):
                await until(lambda: len(late.clients) == 10_000)
                assert late.clients == a.cluster.clients
                for one in crowd[:9_000]:
                    a.cluster.client_left(one)
                await until(lambda: len(late.clients) == len(b.cluster.clients) == 1_000)

    async def test_two_hundred_joins_a_second(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 3) as members:
            a, b, c = members
            for turn in range(10):
                for n in range(20):
                    one: Any = SimpleNamespace(id=f"{turn}-{n}", peer=None, stats=Stats())
                    members[n % 2].cluster.client_joined(one)
                    if n % 4 == 0:
                        members[n % 2].cluster.client_left(one)
                await asyncio.sleep(0.1)
            await until(lambda: len(c.cluster.clients) == 150)
            assert dict(a.cluster.clients) == dict(b.cluster.clients) == dict(c.cluster.clients)
