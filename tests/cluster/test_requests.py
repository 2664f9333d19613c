"""Requests to clients of other servers: answers and errors as on a connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aio.ends import PATIENCE
from aio.scripted import until

from sealframe import (
    ClusterUnavailableError,
    ConnectionClosed,
    ConnectionClosedError,
    MessageTooLargeError,
    NotSupportedError,
    RemoteError,
    RequestCancelledError,
    RequestTimeoutError,
    ServerOptions,
    UnknownClientError,
)
from sealframe.cluster.messages import Request, encode

from .members import Member, cluster_of, seen_by
from .nats_servers import NatsServer


class Answering:
    """What a client answers requests with."""

    def __init__(self) -> None:
        self.running = 0
        self.cancelled = 0
        self.go_on = asyncio.Event()

    async def __call__(self, conn: Any, payload: bytes) -> bytes | None:
        if payload == b"raise":
            raise RemoteError("Mine", "as I say")
        if payload == b"give up":
            raise asyncio.CancelledError
        if payload == b"nothing":
            return None
        if payload == b"wait":
            self.running += 1
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            finally:
                self.running -= 1
        return payload[::-1]


async def ready(members: list[Member], **arguments: Any) -> tuple[str, Any, Answering]:
    """Return a client of the second server that answers."""
    answering = Answering()
    id, conn = await members[1].connect(on_request=answering, **arguments)
    await seen_by(members, id)
    return id, conn, answering


class TestAnswers:
    @pytest.mark.parametrize("size", [0, 1, 70_000, 2**20 + 1, 2**24])
    async def test_of_all_sizes(self, nats_server: NatsServer, size: int) -> None:
        async with cluster_of(nats_server.url, 2) as members:
            id, conn, _ = await ready(members)
            payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
            answer = await members[0].cluster.request(id, payload, timeout=PATIENCE)
            assert answer == payload[::-1]
            await conn.close()

    async def test_none_by_name_and_of_a_local_client(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 2) as members:
            a, b = members
            id, conn, _ = await ready(members)
            b.cluster.set_name(b.server.clients[id], "alice")
            await until(lambda: a.cluster.clients[id].name == "alice")
            assert await a.cluster.request("alice", b"nothing", timeout=PATIENCE) == b""
            assert await b.cluster.request("alice", b"ab", timeout=PATIENCE) == b"ba"
            await conn.close()

    async def test_many_at_once_in_any_order(self, nats_server: NatsServer) -> None:
        """More than are under way at once: the others wait their turn."""
        async with cluster_of(nats_server.url, 2) as members:
            a, _ = members
            id, conn, _ = await ready(members)
            calls = [a.cluster.request(id, b"%d" % n, timeout=PATIENCE) for n in range(3000)]
            answers = await asyncio.gather(*calls)
            assert answers == [b"%d" % n for n in range(3000)][::1] or all(
                answer[::-1] == b"%d" % n for n, answer in enumerate(answers)
            )
            assert a.cluster.stats()["requests"] == 0
            await conn.close()


class TestErrors:
    async def test_of_the_client(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 2) as members:
            id, conn, _ = await ready(members)
            for one in members:  # from far and from near: the same
                with pytest.raises(RemoteError, match="as I say") as caught:
                    await one.cluster.request(id, b"raise", timeout=PATIENCE)
                assert (caught.value.type, caught.value.message) == ("Mine", "as I say")
                with pytest.raises(RequestCancelledError):
                    await one.cluster.request(id, b"give up", timeout=PATIENCE)
                with pytest.raises(RequestTimeoutError):
                    await one.cluster.request(id, b"wait", timeout=0.1)
                with pytest.raises(MessageTooLargeError):
                    await one.cluster.request(id, bytes(2**24 + 1), timeout=PATIENCE)
                with pytest.raises(ValueError, match="timeout"):
                    await one.cluster.request(id, b"", timeout=-1)
            assert members[0].cluster.stats()["requests"] == 0
            await conn.close()

    async def test_of_what_it_cannot(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 2) as members:
            deaf, at_deaf = await members[1].connect()
            packets, at_packets = await members[1].connect(extended=False)
            await seen_by(members, deaf, packets)
            for id in (deaf, packets):
                for one in members:
                    with pytest.raises(NotSupportedError):
                        await one.cluster.request(id, b"", timeout=PATIENCE)
            await at_deaf.close()
            await at_packets.close()

    async def test_of_a_client_that_takes_less(self, nats_server: NatsServer) -> None:
        options = ServerOptions(max_message_size=2**20)
        async with cluster_of(nats_server.url, 2, options=options) as members:
            from sealframe import ClientOptions

            id, conn, _ = await ready(members, options=ClientOptions(max_message_size=1000))
            for one in members:
                with pytest.raises(MessageTooLargeError) as caught:
                    await one.cluster.request(id, bytes(1001), timeout=PATIENCE)
                assert (caught.value.size, caught.value.limit) == (1001, 1000)
            await conn.close()

    async def test_the_connection_ends(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 2) as members:
            a, _ = members
            id, conn, answering = await ready(members)
            asking = asyncio.create_task(a.cluster.request(id, b"wait"))
            await until(lambda: answering.running == 1)
            await a.cluster.kick(id, "enough")
            with pytest.raises(ConnectionClosed, match="the client's connection to its server"):
                await asking
            await conn.close()

    async def test_the_client_left_meanwhile(self, nats_server: NatsServer) -> None:
        """Its server knows it no more, and this one does not know that yet."""
        async with cluster_of(nats_server.url, 2) as members:
            a, b = members
            id, conn, _ = await ready(members)
            a.cluster._checked()._handle = lambda event: None  # type: ignore[method-assign]
            stale = a.cluster.clients[id]
            await conn.close()
            await until(lambda: id not in b.server.clients)
            node = a.cluster._checked()
            with pytest.raises(UnknownClientError, match=rf"{id}.*cluster\.clients"):
                await node.requests.ask(stale.server, stale.id, b"data", PATIENCE)


class TestEnds:
    async def test_a_cancelled_one_is_cancelled_at_the_client(
        self, nats_server: NatsServer
    ) -> None:
        async with cluster_of(nats_server.url, 2) as members:
            a, _ = members
            id, conn, answering = await ready(members)
            asking = asyncio.create_task(a.cluster.request(id, b"wait"))
            await until(lambda: answering.running == 1)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await until(lambda: answering.cancelled == 1)
            assert a.cluster.stats()["requests"] == 0
            await conn.close()

    async def test_the_server_that_asks_leaves(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 1, name="asker leaves") as (b,):
            async with cluster_of(nats_server.url, 0, name="asker leaves"):
                pass
            import sealframe
            from sealframe.cluster import Cluster

            answering = Answering()
            id, conn = await b.connect(on_request=answering)
            cluster = Cluster(nats_server.url, name="asker leaves")

            async def handler(conn: Any) -> None: ...

            async with sealframe.serve(handler, "127.0.0.1", 0, cluster=cluster):
                asking = asyncio.create_task(cluster.request(id, b"wait"))
                await until(lambda: answering.running == 1)
            with pytest.raises(ConnectionClosedError, match="has left the cluster"):
                await asking
            await until(lambda: answering.cancelled == 1)
            await conn.close()

    async def test_nats_goes_away(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 2) as members:
            a, _ = members
            id, conn, answering = await ready(members)
            asking = asyncio.create_task(a.cluster.request(id, b"wait"))
            await until(lambda: answering.running == 1)
            nats_server.kill()
            with pytest.raises(ClusterUnavailableError, match="may have got the request"):
                await asking
            assert a.cluster.stats()["requests"] == 0
            await conn.close()

    async def test_one_that_is_lost_where_nobody_sees_it(self, nats_server: NatsServer) -> None:
        """It does not hang; what takes as long at the client goes on, and is answered."""
        async with cluster_of(nats_server.url, 2) as members:
            a, b = members
            id, conn, answering = await ready(members)
            running = asyncio.create_task(a.cluster.request(id, b"wait"))
            await until(lambda: answering.running == 1)
            lost = asyncio.create_task(a.cluster.request(id, b"lost"))
            await asyncio.sleep(0)
            chunks = a.cluster._checked().outgoing._destinations[b.cluster.server_id].stream.take()
            assert [chunk.endswith(b"lost") for chunk in chunks] == [True]
            # NATS does not carry it, and nothing comes behind it that would show a gap.
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(ClusterUnavailableError, match="may have got the request"):
                    await lost
            assert a.cluster.stats()["requests"] == 1
            assert b.cluster.stats()["messages_lost"] == 1
            answering.go_on.set()
            assert await running == b"tiaw"
            await conn.close()

    async def test_what_is_asked_twice_is_answered_once(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 2) as members:
            a, b = members
            id, conn, answering = await ready(members)
            asking = asyncio.create_task(a.cluster.request(id, b"wait"))
            await until(lambda: answering.running == 1)
            node = a.cluster._checked()
            number = next(iter(node.requests._servers[b.cluster.server_id].pending))
            node.outgoing.add(b.cluster.server_id, encode(Request(number, None, id, b"wait")))
            await a.cluster.request(id, b"after it", timeout=PATIENCE)
            assert answering.running == 1
            answering.go_on.set()
            assert await asking == b"tiaw"
            await conn.close()
