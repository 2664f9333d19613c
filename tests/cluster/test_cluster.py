"""Servers of one cluster, against the real NATS: who is where, and messages to them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest
from aio.ends import PATIENCE
from aio.scripted import until

import sealframe
from sealframe import (
    ClusterError,
    ClusterUnavailableError,
    ConfigurationError,
    ConnectionClosedError,
    EncodeError,
    MessageTooLargeError,
    ServerIdentity,
    ServerOptions,
    UnknownClientError,
    WrongLoopError,
)
from sealframe.cluster import Cluster, ClusterClient
from sealframe.codecs import Json

from .members import agree, cluster_of, member, seen_by
from .nats_servers import NatsServer


async def received(conn: Any, count: int) -> list[Any]:
    async with asyncio.timeout(PATIENCE):
        return [await conn.recv() for _ in range(count)]


class TestWhoIsThere:
    async def test_every_server_knows_every_client(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 3) as members:
            clients = [await one.connect() for one in members]
            await seen_by(members, *(id for id, _ in clients))
            first = members[0].cluster
            for one, (id, _) in zip(members, clients, strict=True):
                client = first.clients[id]
                assert isinstance(client, ClusterClient)
                assert (client.id, client.name) == (id, None)
                assert client.server == one.cluster.server_id
                assert client.since > 1.6e9
            assert next(iter(first.servers)) == first.server_id
            assert {one.cluster.server_id for one in members} == set(first.servers)
            assert first.connected
            await clients[1][1].close()
            await agree(members)
            assert len(first.clients) == 2
            for _, conn in clients:
                await conn.close()

    async def test_one_that_comes_later_knows_them_when_it_listens(
        self, nats_server: NatsServer
    ) -> None:
        async with cluster_of(nats_server.url, 2, name="later") as members:
            id, conn = await members[0].connect("alice")
            seen = []
            late = Cluster(nats_server.url, name="later", on_join=lambda one: seen.append(one.id))
            async with sealframe.serve(member, "127.0.0.1", 0, cluster=late):
                assert late.clients[id].name == "alice"
                assert seen == [id]
                assert len(late.servers) == 3
            await until(lambda: len(members[0].cluster.servers) == 2)
            await conn.close()

    async def test_clusters_of_other_names_do_not_meet(self, nats_server: NatsServer) -> None:
        async with (
            cluster_of(nats_server.url, 2) as ones,
            cluster_of(nats_server.url, 2) as others,
        ):
            id, conn = await ones[0].connect("alice")
            await seen_by(ones, id)
            # What comes later through the same NATS is known.
            later, at_other = await others[0].connect("bob")
            await seen_by(others, later)
            for other in others:
                assert set(other.cluster.clients) == {later}
                with pytest.raises(UnknownClientError):
                    await other.cluster.send(id, b"data")
            await conn.close()
            await at_other.close()

    @pytest.mark.parametrize(
        "name", ["*", ">", "a.b", "a b", ".", "", "ünï\n\r\0", "PUB x 1", "$SYS", "x" * 256]
    )
    async def test_names_that_mean_something_to_nats(
        self, nats_server: NatsServer, name: str
    ) -> None:
        """Of clusters, clients and groups."""
        if not name:
            with pytest.raises(ConfigurationError, match="any text but ''"):
                Cluster(nats_server.url, name=name)
            return
        async with cluster_of(nats_server.url, 2, name=name) as (a, b):
            id, conn = await b.connect(name)
            b.server.clients[id].join(name)
            await until(lambda: a.cluster.clients.get(id) == b.cluster.clients[id])
            await until(lambda: a.cluster.clients[id].name == name)
            await a.cluster.send(name, b"by name")
            await a.cluster.group(name).broadcast(b"to the group")
            assert await received(conn, 2) == [b"by name", b"to the group"]
            await conn.close()


class TestHooks:
    async def test_in_order_also_where_they_wait(self, nats_server: NatsServer) -> None:
        seen: list[Any] = []

        async def on_join(client: ClusterClient) -> None:
            await asyncio.sleep(0)
            seen.append(("join", client.id))

        def on_leave(client: ClusterClient) -> None:
            seen.append(("leave", client.id))

        async def on_name(client: ClusterClient, before: str | None) -> None:
            seen.append((client.name, before, client.id))

        hooks = {"on_join": on_join, "on_leave": on_leave, "on_name": on_name}
        async with cluster_of(nats_server.url, 1, name="hooks") as (a,):
            watching = Cluster(nats_server.url, name="hooks", **hooks)  # type: ignore[arg-type]
            async with sealframe.serve(member, "127.0.0.1", 0, cluster=watching):
                id, conn = await a.connect()
                conn_there = a.server.clients[id]
                await until(lambda: ("join", id) in seen)
                a.cluster.set_name(conn_there, "alice")
                a.cluster.set_name(conn_there, "bob")
                a.cluster.set_name(conn_there, None)
                await conn.close()
                await until(lambda: len(seen) == 5)
        assert seen == [
            ("join", id),
            ("alice", None, id),
            ("bob", "alice", id),
            (None, "bob", id),
            ("leave", id),
        ]

    async def test_what_they_raise_ends_nothing(
        self, nats_server: NatsServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def on_join(client: ClusterClient) -> None:
            raise RuntimeError("joined")

        def on_leave(client: ClusterClient) -> None:
            raise RuntimeError("left")

        hooks = {"on_join": on_join, "on_leave": on_leave}
        async with cluster_of(nats_server.url, 2, cluster=hooks) as (a, b):
            id, conn = await b.connect()
            await seen_by([a], id)
            await a.cluster.send(id, b"still")
            assert await received(conn, 1) == [b"still"]
            await conn.close()
            await agree([a, b])
            await until(lambda: caplog.text.count("RuntimeError: left") == 2)
        assert caplog.text.count("on_join of the cluster failed") == 2

    async def test_one_that_never_ends_does_not_hold_up_the_close(
        self, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sealframe.cluster.node._HOOKS_TIMEOUT", 0.1)
        cancelled = []

        async def on_join(client: ClusterClient) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(client.id)
                raise

        async with cluster_of(nats_server.url, 1, cluster={"on_join": on_join}) as (a,):
            id, conn = await a.connect()
            await conn.close()
        assert cancelled == [id]

    @pytest.mark.parametrize("hook", ["on_join", "on_leave", "on_name"])
    def test_one_that_cannot_be_called_is_refused(self, hook: str) -> None:
        with pytest.raises(ConfigurationError, match=hook):
            Cluster("nats://127.0.0.1", **{hook: 1})  # type: ignore[arg-type]


class TestMessages:
    async def test_to_one_to_all_and_to_a_group(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 2) as members:
            a, b = members
            (id_a, at_a), (id_b, at_b) = await a.connect(), await b.connect()
            await seen_by(members, id_a, id_b)
            b.server.clients[id_b].join("other")
            await a.cluster.send(id_b, b"one")
            await a.cluster.send(id_a, b"here")
            await a.cluster.broadcast(b"all")
            await a.cluster.broadcast(b"not b", exclude=id_b)
            await a.cluster.broadcast(b"not a", exclude=[a.server.clients[id_a]])
            await a.cluster.group("room").broadcast(b"room")
            await a.cluster.group("other").broadcast(b"other")
            await a.cluster.group("room").broadcast(b"nobody", exclude={id_a, id_b})
            await a.cluster.group("empty").broadcast(b"nobody")
            await a.cluster.broadcast(b"end")
            assert await received(at_a, 5) == [b"here", b"all", b"not b", b"room", b"end"]
            got = await received(at_b, 6)
            assert got == [b"one", b"all", b"not a", b"room", b"other", b"end"]
            await at_a.close()
            await at_b.close()

    async def test_what_is_local_stays_local(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 2) as members:
            a, b = members
            (id_a, at_a), (id_b, at_b) = await a.connect(), await b.connect()
            await seen_by(members, id_a, id_b)
            assert a.server.broadcast(b"local") == 1
            assert a.server.group("room").broadcast(b"local group") == 1
            await a.cluster.broadcast(b"end")
            assert await received(at_a, 3) == [b"local", b"local group", b"end"]
            assert await received(at_b, 1) == [b"end"]
            await at_a.close()
            await at_b.close()

    async def test_order_is_kept_across_all_kinds_and_sizes(self, nats_server: NatsServer) -> None:
        options = ServerOptions(outbox_limit=256 * 2**20)
        async with cluster_of(nats_server.url, 2, options=options) as members:
            a, b = members
            (id_a, at_a), (id_b, at_b) = await a.connect(), await b.connect()
            await seen_by(members, id_a, id_b)
            group = a.cluster.group("room")
            count = 3000

            async def read(conn: Any) -> list[int]:
                return [int(message[:8]) for message in await received(conn, count)]

            reading = [asyncio.create_task(read(conn)) for conn in (at_a, at_b)]
            for number in range(count):
                size = 300_000 if number % 500 == 250 else number % 700
                message = b"%08d" % number + bytes(size)
                match number % 3:
                    case 0:
                        await a.cluster.broadcast(message)
                    case 1:
                        await group.broadcast(message)
                    case 2:
                        await a.cluster.send(id_a, message)
                        await a.cluster.send(id_b, message)
            for task in reading:
                assert await task == list(range(count))
            assert b.cluster.stats()["messages_lost"] == 0
            await at_a.close()
            await at_b.close()

    @pytest.mark.parametrize(
        "size",
        [0, 1, 2**18 - 1, 2**18, 2**18 + 1, 2**20 - 1, 2**20, 2**20 + 1, 2**24],
    )
    async def test_sizes(self, nats_server: NatsServer, size: int) -> None:
        options = ServerOptions(outbox_limit=64 * 2**20)
        client = sealframe.ClientOptions(inbox_limit=64 * 2**20)
        async with cluster_of(nats_server.url, 2, options=options) as members:
            a, b = members
            id, conn = await b.connect(options=client)
            await seen_by(members, id)
            payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
            await a.cluster.send(id, payload)
            await a.cluster.broadcast(payload)
            await a.cluster.group("room").broadcast(payload)
            await a.cluster.send(id, b"end")
            got = await received(conn, 4)
            assert [message == payload for message in got[:3]] == [True] * 3
            assert got[3] == b"end"
            with pytest.raises(MessageTooLargeError):
                await a.cluster.send(id, bytes(2**24 + 1))
            await conn.close()

    async def test_objects(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 2, codec=Json()) as members:
            a, b = members
            id, conn = await b.connect(codec=Json(), on_request=lambda _, payload: [payload])
            await seen_by(members, id)
            await a.cluster.send(id, {"to": "one"})
            await a.cluster.broadcast({"to": "all"})
            assert await received(conn, 2) == [{"to": "one"}, {"to": "all"}]
            assert await a.cluster.request(id, {"ask": 1}, timeout=PATIENCE) == [{"ask": 1}]
            for call in (
                a.cluster.send(id, object()),
                a.cluster.broadcast(object()),
                a.cluster.request(id, object()),
            ):
                with pytest.raises(EncodeError):
                    await call
            await conn.close()

    async def test_a_slow_client_holds_up_nobody(self, nats_server: NatsServer) -> None:
        options = ServerOptions(outbox_limit=64 * 1024, slow_client="drop", close_timeout=0.5)
        async with cluster_of(nats_server.url, 2, options=options) as members:
            a, b = members
            (slow, at_slow), (quick, at_quick) = await b.connect(), await b.connect()
            await seen_by(members, slow, quick)
            async with asyncio.timeout(PATIENCE):
                while not b.server.counters.dropped:
                    await a.cluster.send(slow, bytes(16 * 1024))
                    await asyncio.sleep(0)
                await a.cluster.send(quick, b"quick")
                assert await at_quick.recv() == b"quick"
            await at_slow.close()
            await at_quick.close()

    async def test_more_than_nats_keeps(self, nats_server: NatsServer) -> None:
        """NATS cuts a server off for which 64 MiB wait: as much is never on its way."""
        options = ServerOptions(outbox_limit=256 * 2**20)
        async with cluster_of(nats_server.url, 2, options=options) as members:
            a, b = members
            id, conn = await b.connect()
            await seen_by(members, id)
            payload = bytes(2**24)
            reading = asyncio.create_task(received(conn, 8))
            for _ in range(8):
                await a.cluster.send(id, payload)
            assert await reading == [payload] * 8
            for one in members:
                stats = one.cluster.stats()
                assert (stats["messages_lost"], stats["nats_connections"]) == (0, 1)
            await conn.close()

    async def test_what_was_sent_before_a_close_arrives(self, nats_server: NatsServer) -> None:
        options = ServerOptions(outbox_limit=256 * 2**20)
        async with cluster_of(nats_server.url, 2, options=options) as members:
            a, b = members
            id, conn = await b.connect()
            await seen_by(members, id)
            for number in range(12):
                await a.cluster.send(id, bytes([number]) + bytes(2**20 - 1))
            await a.server.close()
            assert [message[0] for message in await received(conn, 12)] == list(range(12))
            await conn.close()

    async def test_many_tasks_send_at_once(self, nats_server: NatsServer) -> None:
        options = ServerOptions(outbox_limit=256 * 2**20)
        async with cluster_of(nats_server.url, 2, options=options) as members:
            a, b = members
            id, conn = await b.connect()
            await seen_by(members, id)
            reading = asyncio.create_task(received(conn, 200))
            calls = [a.cluster.send(id, bytes([n]) + bytes(100_000)) for n in range(200)]
            # More than is let through in a turn: they wait, and go in their order.
            await asyncio.gather(*calls)
            assert [message[0] for message in await reading] == list(range(200))
            await conn.close()

    async def test_who_was_let_through_comes_before_who_begins_now(
        self, nats_server: NatsServer
    ) -> None:
        async with cluster_of(nats_server.url, 2) as (one, two):
            id, conn = await two.connect()
            await seen_by((one, two), id)

            async def send_later() -> None:
                # In the turn in which the second one is let through, and before it runs.
                await asyncio.sleep(0)
                await one.cluster.send(id, b"third")

            await asyncio.gather(
                one.cluster.send(id, bytes(300 * 1024)),
                one.cluster.send(id, b"second"),
                send_later(),
            )
            got = [await conn.recv() for _ in range(3)]
            assert got[1:] == [b"second", b"third"]
            await conn.close()

    async def test_a_cancelled_sender_lets_the_others_through(
        self, nats_server: NatsServer
    ) -> None:
        options = ServerOptions(outbox_limit=256 * 2**20)
        async with cluster_of(nats_server.url, 2, options=options) as members:
            a, b = members
            id, conn = await b.connect()
            await seen_by(members, id)
            tasks = [
                asyncio.create_task(a.cluster.send(id, bytes([n]) + bytes(200_000)))
                for n in range(9)
            ]
            await asyncio.sleep(0)
            for task in tasks[2:8]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            sent = [n for n, result in enumerate(results) if result is None]
            assert {0, 1, 8} <= set(sent) < set(range(9))
            got = await received(conn, len(sent))
            assert [message[0] for message in got] == sent
            await conn.close()


class TestNames:
    async def test_the_newest_wins_and_the_older_one_is_told_why(
        self, nats_server: NatsServer
    ) -> None:
        async with cluster_of(nats_server.url, 2) as members:
            a, b = members
            old, at_old = await a.connect("alice")
            await seen_by(members, old)
            await until(lambda: b.cluster.clients[old].name == "alice")
            new, at_new = await b.connect("alice")
            with pytest.raises(ConnectionClosedError, match="another client of the name 'alice'"):
                await received(at_old, 1)
            await agree(members)
            await a.cluster.send("alice", b"to the new one")
            assert await received(at_new, 1) == [b"to the new one"]
            assert set(a.cluster.clients) == {new}
            await at_new.close()

    async def test_many_of_a_name(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 2, cluster={"names": "many"}) as members:
            a, b = members
            clients = [await one.connect("alice") for one in (a, b, b)]
            await seen_by(members, *(id for id, _ in clients))
            everybody = a.cluster.clients.values()
            await until(lambda: [client.name for client in everybody] == ["alice"] * 3)
            await a.cluster.send("alice", b"all of you")
            for _, conn in clients:
                assert await received(conn, 1) == [b"all of you"]
            await a.cluster.kick("alice", "enough")
            for _, conn in clients:
                with pytest.raises(ConnectionClosedError, match="enough"):
                    await received(conn, 1)

    async def test_an_id_counts_before_a_name(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 2) as members:
            a, b = members
            first, at_first = await b.connect()
            second, at_second = await b.connect(first)
            await seen_by(members, first, second)
            await until(lambda: a.cluster.clients[second].name == first)
            await a.cluster.send(first, b"by id")
            assert await received(at_first, 1) == [b"by id"]
            await at_first.close()
            await until(lambda: first not in a.cluster.clients)
            await a.cluster.send(first, b"by name")
            assert await received(at_second, 1) == [b"by name"]
            await at_second.close()

    async def test_of_the_key_at_first(self, nats_server: NatsServer) -> None:
        key = sealframe.PrivateKey.generate()
        identity = ServerIdentity(sealframe.PrivateKey.generate(), {"carol": key.public_key})
        async with cluster_of(nats_server.url, 2, security=identity) as members:
            a, b = members
            security = sealframe.ClientIdentity(key, server=identity.public_key)
            id, conn = await a.connect(security=security, extended=None)
            await seen_by(members, id)
            assert b.cluster.clients[id].name == "carol"
            await conn.close()

    async def test_refused(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 2) as members:
            a, b = members
            id, conn = await a.connect()
            there = a.server.clients[id]
            for name in ("", "x" * 65_537, "\ud800"):
                with pytest.raises(ValueError, match="name"):
                    a.cluster.set_name(there, name)
            with pytest.raises(TypeError, match="int"):
                a.cluster.set_name(there, 1)  # type: ignore[arg-type]
            with pytest.raises(UnknownClientError):
                b.cluster.set_name(there, "alice")
            await conn.close()
            await until(lambda: id not in a.server.clients)
            with pytest.raises(UnknownClientError):
                a.cluster.set_name(there, "alice")

    def test_a_policy_that_is_none(self) -> None:
        with pytest.raises(ConfigurationError, match="'newest' or 'many'"):
            Cluster("nats://127.0.0.1", names="oldest")  # type: ignore[arg-type]


class TestKick:
    async def test_at_another_server_and_here(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 2) as members:
            a, b = members
            (id_a, at_a), (id_b, at_b) = await a.connect(), await b.connect()
            await seen_by(members, id_a, id_b)
            await a.cluster.kick(id_a, "here" + "é" * 300)
            await a.cluster.kick(id_b, "there" + "é" * 300)
            for conn, reason in ((at_a, "here"), (at_b, "there")):
                with pytest.raises(ConnectionClosedError, match=reason):
                    await received(conn, 1)
            await until(lambda: not a.cluster.clients)
            with pytest.raises(UnknownClientError, match=id_b):
                await a.cluster.kick(id_b)
            with pytest.raises(TypeError):
                await a.cluster.kick(id_b, b"bytes")  # type: ignore[arg-type]


class TestMisuse:
    async def test_before_the_start(self) -> None:
        cluster = Cluster("nats://127.0.0.1:4")
        assert not cluster.connected
        with pytest.raises(ClusterError, match=r"serve\(cluster="):
            await cluster.send("anybody", b"data")
        with pytest.raises(ClusterError, match=r"serve\(cluster="):
            len(cluster.clients)

    async def test_twice_and_afterwards(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 1) as (a,):
            with pytest.raises(ClusterError, match="once"):
                await sealframe.serve(member, "127.0.0.1", 0, cluster=a.cluster)
            await a.cluster.broadcast(b"it is none the worse")
        with pytest.raises(ClusterError, match="has left"):
            await a.cluster.broadcast(b"data")
        assert not a.cluster.connected
        with pytest.raises(ClusterError, match="once"):
            await sealframe.serve(member, "127.0.0.1", 0, cluster=a.cluster)

    async def test_nobody_is_there(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 1) as (a,):
            for call in (
                a.cluster.send("nobody", b"data"),
                a.cluster.request("nobody", b"data"),
                a.cluster.kick("nobody"),
            ):
                with pytest.raises(UnknownClientError, match=r"'nobody'.*cluster\.clients"):
                    await call

    async def test_wrong_arguments(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 1) as (a,):
            with pytest.raises(TypeError, match="str"):
                await a.cluster.broadcast("text")
            with pytest.raises(TypeError, match="exclude"):
                await a.cluster.broadcast(b"", exclude=[1])  # type: ignore[list-item]
            for name, error in ((1, TypeError), ("", ValueError), ("\ud800", ValueError)):
                with pytest.raises(error):
                    a.cluster.group(name)  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="timeout"):
                await a.cluster.request("nobody", b"", timeout=0)

    async def test_other_threads(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 1) as (a,):
            id, conn = await a.connect()
            there = a.server.clients[id]

            def elsewhere() -> None:
                with pytest.raises(WrongLoopError):
                    asyncio.run(a.cluster.broadcast(b"data"))
                with pytest.raises(WrongLoopError):
                    a.cluster.stats()
                with pytest.raises(WrongLoopError):
                    a.cluster.set_name(there, "alice")

            await asyncio.to_thread(elsewhere)
            await conn.close()

    async def test_no_nats(self, port: int) -> None:
        cluster = Cluster(f"nats://user:secret@127.0.0.1:{port}")
        assert "secret" not in repr(cluster)
        with pytest.raises(ClusterUnavailableError) as caught:
            await sealframe.serve(member, "127.0.0.1", 0, cluster=cluster)
        assert "secret" not in str(caught.value)
        assert f"127.0.0.1:{port}" in str(caught.value)


class TestFigures:
    async def test_as_plain_data(self, nats_server: NatsServer) -> None:
        async with cluster_of(nats_server.url, 2) as members:
            a, b = members
            id, conn = await b.connect()
            await seen_by(members, id)
            for _ in range(10):
                await a.cluster.send(id, b"data")
            await received(conn, 10)

            def there() -> int:
                figures = a.server.stats()["cluster"]["servers"][b.cluster.server_id]
                return int(figures.get("received", 0))

            await until(lambda: there() >= 10)
            stats = a.server.stats()["cluster"]
            json.dumps(stats)
            assert stats["connected"] is True
            assert stats["clients"] == 1
            assert stats["messages_sent"] >= 10
            assert stats["messages_lost"] == 0
            assert stats["servers"][b.cluster.server_id]["clients"] == 1
            await conn.close()


class TestMetrics:
    async def test_of_a_server_in_a_cluster(self, nats_server: NatsServer) -> None:
        prometheus = pytest.importorskip("prometheus_client")
        from sealframe.metrics import ServerCollector

        async with cluster_of(nats_server.url, 2) as members:
            a, b = members
            id, conn = await b.connect()
            await seen_by(members, id)
            await a.cluster.send(id, b"data")
            registry = prometheus.CollectorRegistry()
            registry.register(ServerCollector(a.server))
            text = prometheus.generate_latest(registry).decode()
            told = dict(line.split() for line in text.splitlines() if not line.startswith("#"))
            assert told["sealframe_cluster_servers"] == "2.0"
            assert told["sealframe_cluster_clients"] == "1.0"
            assert told["sealframe_cluster_connected"] == "1.0"
            assert told["sealframe_cluster_requests"] == "0.0"
            assert float(told["sealframe_cluster_messages_sent_total"]) >= 1
            assert told["sealframe_cluster_messages_lost_total"] == "0.0"
            assert told["sealframe_cluster_nats_connections_total"] == "1.0"
            await conn.close()
        text = prometheus.generate_latest(registry).decode()
        assert "sealframe_cluster_connected 0.0" in text


def test_without_the_extra() -> None:
    program = """
import asyncio, sys
sys.modules["nats"] = None
import sealframe, sealframe.cluster
async def main():
    cluster = sealframe.cluster.Cluster("nats://127.0.0.1:4")
    try:
        await sealframe.serve(print, "127.0.0.1", 0, cluster=cluster)
    except sealframe.MissingExtraError as error:
        print(error)
asyncio.run(main())
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "sealframe[cluster]" in ran.stdout


def test_without_a_cluster_nothing_of_it_is_imported() -> None:
    program = (
        "import sealframe, sys; print([m for m in sys.modules if 'cluster.' in m or m == 'nats'])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"
