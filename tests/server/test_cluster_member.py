"""What a server tells its cluster, and what it offers it; the rest is in tests/cluster."""

from __future__ import annotations

from typing import Any

import pytest

import sealframe
from sealframe import (
    ClusterError,
    ConfigurationError,
    Connection,
    ConnectionClosedError,
    ListenError,
    MessageTooLargeError,
    ServerOptions,
    SharedKey,
    UnknownClientError,
)
from sealframe.aio.connection import AnyConnection
from sealframe.codecs import Json
from sealframe.server.cluster_member import ClusterMember, LocalServer
from sealframe.server.moving import FoundSession, SessionQuestion

KEY = SharedKey.generate()


class Witness(ClusterMember):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.server: LocalServer

    async def start(self, server: LocalServer) -> None:
        self.server = server
        self.seen.append("start")

    def client_joined(self, conn: AnyConnection) -> None:
        assert self.server.clients[conn.id] is conn
        self.seen.append("joined")

    def client_left(self, conn: AnyConnection) -> None:
        assert conn.id not in self.server.clients
        self.seen.append("left")

    async def find_session(self, question: SessionQuestion) -> FoundSession:
        return None

    @property
    def others(self) -> bool:
        return False

    def leaving(self) -> None:
        self.seen.append("leaving")

    async def stop(self) -> None:
        self.seen.append("stop")

    def stats(self) -> dict[str, Any]:
        return {"servers": 1}


class Refusing(Witness):
    async def start(self, server: LocalServer) -> None:
        raise ClusterError("not today")


class TestTold:
    async def test_in_order(self) -> None:
        member = Witness()

        async def handler(conn: Connection) -> None:
            member.seen.append("handler")
            await conn.send(b"hello")

        async with sealframe.serve(handler, "127.0.0.1", 0, security=KEY, cluster=member) as server:
            assert server.stats()["cluster"] == {"servers": 1}
            async with sealframe.connect("127.0.0.1", server.port, security=KEY) as conn:
                assert await conn.recv() == b"hello"
                await conn.wait_closed()
        assert member.seen == ["start", "joined", "handler", "left", "leaving", "stop"]

    async def test_a_server_that_cannot_listen_leaves(self) -> None:
        member = Witness()

        async def handler(conn: Connection) -> None: ...

        async with sealframe.serve(handler, "127.0.0.1", 0) as other:
            with pytest.raises(ListenError):
                await sealframe.serve(handler, "127.0.0.1", other.port, cluster=member)
        assert member.seen == ["start", "stop"]

    async def test_one_that_cannot_join_does_not_listen(self, port: int) -> None:
        async def handler(conn: Connection) -> None: ...

        with pytest.raises(ClusterError, match="not today"):
            await sealframe.serve(handler, "127.0.0.1", port, cluster=Refusing())
        with pytest.raises(sealframe.ConnectError):
            await sealframe.connect("127.0.0.1", port)

    async def test_without_a_cluster_nothing_is_said_of_one(self) -> None:
        async def handler(conn: Connection) -> None: ...

        async with sealframe.serve(handler, "127.0.0.1", 0) as server:
            assert "cluster" not in server.stats()

    async def test_something_else_is_refused(self) -> None:
        async def handler(conn: Connection) -> None: ...

        with pytest.raises(ConfigurationError, match=r"sealframe\.cluster\.Cluster"):
            sealframe.serve(handler, "127.0.0.1", 0, cluster="nats://localhost")  # type: ignore[call-overload]


class TestOffered:
    async def test_messages_to_one_all_and_a_group(self) -> None:
        member = Witness()

        async def handler(conn: AnyConnection) -> None:
            conn.join("room")
            await conn.send("in")
            await conn.wait_closed()

        def on_request(conn: object, payload: object) -> object:
            return [payload]

        async with sealframe.serve(
            handler, "127.0.0.1", 0, security=KEY, codec=Json(), cluster=member
        ) as server:
            connecting = sealframe.connect(
                "127.0.0.1", server.port, security=KEY, codec=Json(), on_request=on_request
            )
            async with connecting as conn:
                assert await conn.recv() == "in"
                local, (id,) = member.server, member.server.clients
                assert local.send(id, local.encode("one"))
                assert local.broadcast(local.encode("all")) == 1
                assert local.broadcast(local.encode("not"), [id, "elsewhere-1"]) == 0
                assert local.broadcast_to_group("room", local.encode("group")) == 1
                assert local.broadcast_to_group("room", local.encode("not"), [id]) == 0
                assert local.broadcast_to_group("other", local.encode("not")) == 0
                assert [await conn.recv() for _ in range(3)] == ["one", "all", "group"]
                answer = await local.request(id, local.encode("ask"), 5)
                assert local.codec.decode(answer, None) == ["ask"]
                assert local.kick(id, "enough")
                with pytest.raises(ConnectionClosedError, match="enough"):
                    await conn.recv()

    async def test_who_is_not_there(self) -> None:
        member = Witness()

        async def handler(conn: Connection) -> None: ...

        async with sealframe.serve(handler, "127.0.0.1", 0, cluster=member):
            assert not member.server.send("gone-1", b"data")
            assert not member.server.kick("gone-1", "")
            with pytest.raises(UnknownClientError):
                await member.server.request("gone-1", b"data", None)

    async def test_one_that_is_too_slow_does_not_hold_up(self) -> None:
        member = Witness()

        async def handler(conn: Connection) -> None:
            await conn.wait_closed()

        options = ServerOptions(outbox_limit=64 * 1024, slow_client="drop")
        async with sealframe.serve(
            handler, "127.0.0.1", 0, options=options, cluster=member
        ) as server:
            async with sealframe.connect("127.0.0.1", server.port, extended=True) as conn:
                await conn.ping()
                (id,) = member.server.clients
                sent = 0
                while member.server.send(id, bytes(8 * 1024)):
                    sent += 1
                    assert sent < 10_000
                assert server.counters.dropped == 1

    async def test_what_is_too_large_is_refused_where_it_is_encoded(self) -> None:
        member = Witness()

        async def handler(conn: Connection) -> None: ...

        options = ServerOptions(max_message_size=10)
        async with sealframe.serve(handler, "127.0.0.1", 0, options=options, cluster=member):
            assert member.server.max_message_size == 10
            with pytest.raises(MessageTooLargeError):
                member.server.encode(bytes(11))
