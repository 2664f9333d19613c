"""Sessions that move between the servers of a cluster, over a real NATS."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
from collections.abc import Sequence

import pytest
from aio.scripted import until

import sealframe
from sealframe import (
    ClientIdentity,
    ClientOptions,
    Connection,
    PrivateKey,
    ServerIdentity,
    SessionLostError,
    Sessions,
)
from sealframe.aio.connection import protocol_of
from sealframe.cluster import Cluster

from .members import Member, agree, cluster_of
from .nats_servers import NatsServer
from .processes import server_process

OPTIONS = ClientOptions(backoff_initial=0.01, backoff_maximum=0.1, close_timeout=1)


async def echo(conn: Connection) -> None:
    async for message in conn:
        await conn.send(message)


def connect(members: Sequence[Member]) -> sealframe.Connecting:
    """A session with whichever server is there."""
    addresses = [f"127.0.0.1:{one.server.port}" for one in members]
    return sealframe.connect(
        addresses,
        extended=True,
        session=True,
        options=OPTIONS,
    )


async def place(members: Sequence[Member], conn: Connection) -> tuple[Member, list[Member]]:
    """Return the member that has the only client, and the others."""
    await conn.ping()
    (here,) = [one for one in members if one.server.clients]
    return here, [one for one in members if one is not here]


class TestDraining:
    async def test_to_another_server_with_all_that_waits(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 3, handler=echo, sessions=Sessions()) as members:
            async with connect(members) as conn:
                here, others = await place(members, conn)
                for number in range(100):
                    await conn.send(b"%d" % number)
                closing = asyncio.create_task(here.server.close(timeout=30))
                for number in range(100, 200):
                    await conn.send(b"%d" % number)
                assert [await conn.recv() for _ in range(200)] == [
                    b"%d" % number for number in range(200)
                ]
                report = await closing
                assert (report.unsent, report.cancelled) == (0, 0)
                await agree(others)
                assert sum(one.server.counters.sessions_resumed for one in others) == 1

    async def test_large_states_move_whole(self, nats_server: NatsServer) -> None:
        hold = asyncio.Event()

        async def slow(conn: Connection) -> None:
            await hold.wait()
            await echo(conn)

        messages = [bytes([number]) * (700 * 1024 + number) for number in range(8)]
        async with cluster_of(nats_server.url, 2, handler=slow, sessions=Sessions()) as members:
            async with connect(members) as conn:
                here, (other,) = await place(members, conn)
                sending = asyncio.create_task(conn.send_many(messages))
                (old,) = here.server.clients.values()
                await until(lambda: old.stats.messages_received > 0)
                closing = asyncio.create_task(here.server.close(timeout=30))
                await until(lambda: bool(other.server.clients))
                hold.set()
                await sending
                assert [await conn.recv() for _ in messages] == messages
                await closing

    async def test_a_rolling_restart_under_load(self, nats_server: NatsServer) -> None:
        """Each of three servers is closed and started again on its port."""
        name = secrets.token_hex(8)
        async with cluster_of(
            nats_server.url, 3, name=name, handler=echo, sessions=Sessions()
        ) as members:
            ports = [one.server.port for one in members]
            conns = [await connect(members) for _ in range(10)]
            stop = asyncio.Event()

            async def load(conn: Connection) -> int:
                number = 0
                while not stop.is_set() or number < 50:
                    await conn.send(b"%d" % number)
                    assert await conn.recv() == b"%d" % number
                    number += 1
                return number

            loads = [asyncio.create_task(load(conn)) for conn in conns]
            running = list(members)
            started = []
            for place_, port in enumerate(ports):
                await running[place_].server.close(timeout=30)
                cluster = Cluster(nats_server.url, name=name)
                server = await sealframe.serve(
                    echo, "127.0.0.1", port, cluster=cluster, sessions=Sessions()
                )
                started.append(server)
                running[place_] = Member(server, cluster)
            stop.set()
            done = await asyncio.gather(*loads)
            assert min(done) >= 50
            await agree(running)
            for conn in conns:
                await conn.close()
            for server in started:
                await server.close(timeout=1)


class TestLost:
    async def test_a_session_that_nobody_has(self, nats_server: NatsServer) -> None:
        key, identity_key = PrivateKey.generate(), PrivateKey.generate()
        identity = ServerIdentity(identity_key, clients={"sensor": key.public_key})
        async with cluster_of(
            nats_server.url,
            2,
            handler=echo,
            security=identity,
            sessions=Sessions(max_detached=0),
        ) as members:
            addresses = [f"127.0.0.1:{one.server.port}" for one in members]
            pinned = ClientIdentity(key, server=identity.public_key)
            async with sealframe.connect(
                addresses, security=pinned, session=True, options=OPTIONS
            ) as conn:
                await conn.send(b"1")
                assert await conn.recv() == b"1"
                here, _ = await place(members, conn)
                # A server that keeps nothing without a link.
                await here.server.close(timeout=0)
                with pytest.raises(SessionLostError):
                    while True:
                        await conn.recv()

    async def test_a_server_that_hangs_has_its_sessions_when_it_goes_on(
        self, nats_server: NatsServer
    ) -> None:
        """It is taken for gone, and nobody else says of its sessions that they are lost."""
        name = secrets.token_hex(8)
        async with (
            cluster_of(nats_server.url, 1, name=name, handler=echo, sessions=Sessions()) as members,
            server_process(nats_server.url, name) as hangs,
        ):
            (other,) = members
            links: list[socket.socket] = []
            port = hangs.port

            async def dial() -> socket.socket:
                links.append(socket.create_connection(("127.0.0.1", port)))
                return links[-1]

            async with sealframe.connect(
                "127.0.0.1", port, extended=True, session=True, sock=dial, options=OPTIONS
            ) as conn:
                await conn.send(b"1")
                assert await conn.recv() == b"1"
                await until(lambda: len(other.cluster.servers) == 2)
                hangs.signal(signal.SIGSTOP)
                await until(lambda: len(other.cluster.servers) == 1)
                port = other.server.port
                links[-1].shutdown(socket.SHUT_RDWR)
                await conn.send(b"2")
                await until(lambda: other.server.counters.failed_handshakes >= 2)
                hangs.signal(signal.SIGCONT)
                assert await conn.recv() == b"2"
                assert other.server.counters.sessions_resumed == 1

    async def test_without_nats_the_client_is_put_off(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 2, handler=echo, sessions=Sessions()) as members:
            async with connect(members) as conn:
                await conn.send(b"1")
                assert await conn.recv() == b"1"
                here, (other,) = await place(members, conn)
                nats_server.stop()
                await until(lambda: not other.cluster.connected)
                # Its server is there, and lets nobody in, as behind a network that is down.
                listener = here.server._listener
                assert listener is not None
                listener.close()
                for client in here.server.clients.values():
                    transport = protocol_of(client).transport
                    assert transport is not None
                    transport.abort()
                await conn.send(b"2")
                await until(lambda: other.server.counters.failed_handshakes >= 2)
                assert not conn.closed
                nats_server.go_on()
                assert await conn.recv() == b"2"
                assert len(other.server.clients) == 1
