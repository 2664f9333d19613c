"""Sessions whose log is in JetStream: what is sent both ways arrives once and in order, whatever is
killed. Real NATS, and servers in processes of their own where those are killed."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from aio.ends import PATIENCE
from aio.scripted import until

import sealframe
from sealframe import ClientOptions, ClusterError, Connection, Sessions
from sealframe.aio.connection import protocol_of
from sealframe.cluster import Cluster
from sealframe.cluster.subjects import Subjects

from .members import cluster_of
from .nats_servers import NatsServer, one_server
from .processes import ServerProcess, server_process

ANY_LOOP = True

PROGRAM = Path(__file__).with_name("session_process.py")
# A server that is stopped answers no HELLO.
OPTIONS = ClientOptions(
    backoff_initial=0.01, backoff_maximum=0.1, close_timeout=1, handshake_timeout=1
)
STORED = Sessions(store="cluster")


@asynccontextmanager
async def processes(
    urls: str, count: int, replicas: int, *, name: str | None = None
) -> AsyncIterator[list[ServerProcess]]:
    name = secrets.token_hex(8) if name is None else name
    async with AsyncExitStack() as stack:
        yield await asyncio.gather(
            *(
                stack.enter_async_context(
                    server_process(urls, name, str(replicas), program=PROGRAM)
                )
                for _ in range(count)
            )
        )


def connect(ports: Sequence[int], **arguments: Any) -> sealframe.Connecting:
    addresses = [f"127.0.0.1:{port}" for port in ports]
    return sealframe.connect(addresses, extended=True, session=True, options=OPTIONS, **arguments)


def place(conn: Connection, servers: Sequence[ServerProcess]) -> ServerProcess:
    """Return the server that has the connection."""
    address = conn.remote_address
    assert isinstance(address, tuple)
    (here,) = [one for one in servers if one.port == address[1]]
    return here


class Load:
    """So many messages, and two answers to each, which are checked.

    The second half is sent once :meth:`done` is called: however fast the first one was answered,
    what a test does in between happens to a session that is not through.
    """

    def __init__(self, conn: Connection, count: int) -> None:
        self._conn = conn
        self._count = count
        self._rest = asyncio.Event()
        self.received = 0
        self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._receive())]

    async def _send(self) -> None:
        for number in range(self._count):
            if number == self._count // 2:
                await self._rest.wait()
            await self._conn.send(b"%d" % number)
            if number % 20 == 0:
                # Else all of it is on its way before anything can happen.
                await asyncio.sleep(0.002)

    async def _receive(self) -> None:
        for number in range(self._count):
            for expected in (b"%d" % number, b"%d'" % number):
                message = await self._conn.recv()
                assert message == expected
                self.received += 1

    async def at(self, count: int) -> None:
        """Wait until so many answers have come."""
        await until(lambda: self.received >= count)

    async def done(self) -> None:
        """Send the rest, and wait until all have."""
        self._rest.set()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*self._tasks)


@pytest.fixture(scope="module")
def jetstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    folder = tmp_path_factory.mktemp("jetstream")
    with one_server(folder, f'jetstream {{ store_dir: "{folder}" }}\n') as server:
        yield server


class TestKilled:
    async def test_two_servers_one_after_the_other(self, nats_nodes: Sequence[NatsServer]) -> None:
        urls = ",".join(node.url for node in nats_nodes)
        async with processes(urls, 3, 3) as servers:
            ports = [one.port for one in servers]
            conns = [await connect(ports) for _ in range(3)]
            loads = [Load(conn, 500) for conn in conns]
            await asyncio.gather(*(load.at(100) for load in loads))
            first = place(conns[0], servers)
            first.kill()
            # It has come to another one, and may be in the middle of what it missed.
            await until(lambda: conns[0].connected and place(conns[0], servers) is not first)
            place(conns[0], servers).kill()
            await asyncio.gather(*(load.done() for load in loads))
            for conn in conns:
                await conn.close()

    async def test_the_leader_of_the_log(self, nats_nodes: Sequence[NatsServer]) -> None:
        """It takes no writes for some seconds: they wait."""
        urls, name = ",".join(node.url for node in nats_nodes), secrets.token_hex(8)
        async with (
            processes(urls, 1, 3, name=name) as servers,
            connect([one.port for one in servers]) as conn,
        ):
            load = Load(conn, 1500)
            await load.at(100)
            (await leader_of(nats_nodes, name)).kill()
            await load.done()


async def leader_of(nodes: Sequence[NatsServer], name: str) -> NatsServer:
    """Return the node that leads the log of a cluster."""
    client = await nats.connect([node.url for node in nodes])
    try:
        info = await client.jetstream().stream_info(Subjects(name).stream)
    finally:
        await client.close()
    assert info.cluster is not None
    assert info.cluster.leader is not None
    return nodes[int(info.cluster.leader.removeprefix("n"))]


class TestStopped:
    async def test_a_server_that_has_lost_the_session_writes_nothing_more(
        self, jetstream: NatsServer
    ) -> None:
        async with processes(jetstream.url, 2, 1) as servers:
            async with connect([one.port for one in servers]) as conn:
                load = Load(conn, 600)
                await load.at(100)
                stopped = place(conn, servers)
                (other,) = [one for one in servers if one is not stopped]
                stopped.signal(signal.SIGSTOP)
                # Else it is noticed only when no PONG comes.
                transport = protocol_of(conn).transport
                assert transport is not None
                transport.abort()
                await load.done()
                assert place(conn, servers) is other
                stopped.signal(signal.SIGCONT)
                state = await stopped.state()
                async with asyncio.timeout(PATIENCE):
                    while state["own"] or not state["lost"]:
                        state = await stopped.state()
                assert (await other.state())["resumed"] == 1


class Marked:
    """A codec: what is in the log is as it goes to the link."""

    def encode(self, message: bytes) -> bytes:
        return b"#" + message

    def decode(self, data: bytes) -> bytes:
        assert data.startswith(b"#")
        return data[1:]


async def answering(conn: Connection) -> None:
    async for message in conn:
        await conn.send(message)
        await conn.send(message + b"'")


async def answer(conn: Any, message: bytes) -> None:
    await conn.send(message)
    await conn.send(message + b"'")


def answer_now(conn: Any, message: bytes) -> None:
    conn.send_nowait(message)
    conn.send_nowait(message + b"'")


class TestMoving:
    @pytest.mark.parametrize(
        ("handler", "on_message", "codec"),
        [
            pytest.param(answering, None, {}, id="handler"),
            pytest.param(answering, None, {"codec": Marked()}, id="codec"),
            pytest.param(None, answer, {}, id="async-on_message"),
            pytest.param(None, answer_now, {"codec": Marked()}, id="on_message-codec"),
        ],
    )
    async def test_a_server_that_closes(
        self, jetstream: NatsServer, handler: Any, on_message: Any, codec: dict[str, Any]
    ) -> None:
        async with cluster_of(
            jetstream.url,
            2,
            handler=handler,
            sessions=STORED,
            cluster={"replicas": 1},
            **({} if on_message is None else {"on_message": on_message}),
            **codec,
        ) as members:
            async with connect([one.server.port for one in members], **codec) as conn:
                load = Load(conn, 1000)
                await load.at(100)
                (here,) = [one for one in members if one.server.clients]
                await here.server.close(timeout=10)
                await load.done()

    async def test_a_server_alone_that_is_started_again(self, jetstream: NatsServer) -> None:
        """What was taken and what was not is known to the next one."""
        name = secrets.token_hex(8)
        seen: list[bytes] = []

        async def handler(conn: Connection) -> None:
            async for message in conn:
                seen.append(message)
                await conn.send(message)

        async def serve(port: int) -> sealframe.Server:
            cluster = Cluster(jetstream.url, name=name, replicas=1)
            return await sealframe.serve(
                handler, "127.0.0.1", port, cluster=cluster, sessions=STORED
            )

        server = await serve(0)
        port = server.port
        async with connect([port]) as conn:
            await conn.send(b"1")
            assert await conn.recv() == b"1"
            await server.close(timeout=1)
            await conn.send(b"2")
            server = await serve(port)
            assert await conn.recv() == b"2"
            assert seen == [b"1", b"2"]
        await server.close(timeout=1)


class TestWhatIsWritten:
    async def test_a_handler_that_goes_on_sending(self, jetstream: NatsServer) -> None:
        """It never asks for another message: what it sends goes out all the same."""

        async def ticks(conn: Connection) -> None:
            await conn.recv()
            for number in range(10):
                await conn.send(b"%d" % number)
            await conn.wait_closed()

        async with cluster_of(
            jetstream.url, 1, handler=ticks, sessions=STORED, cluster={"replicas": 1}
        ) as members:
            async with connect([members[0].server.port]) as conn:
                await conn.send(b"begin")
                assert [await conn.recv() for _ in range(10)] == [b"%d" % n for n in range(10)]

    async def test_large_messages(self, jetstream: NatsServer) -> None:
        """A record is larger than what NATS takes."""

        async def echo(conn: Connection) -> None:
            async for message in conn:
                await conn.send(message)

        async with cluster_of(
            jetstream.url, 2, handler=echo, sessions=STORED, cluster={"replicas": 1}
        ) as members:
            async with connect([one.server.port for one in members]) as conn:
                messages = [bytes([number]) * (3 * 2**20 + number) for number in range(3)]
                sending = asyncio.create_task(conn.send_many(messages))
                assert await conn.recv() == messages[0]
                (here,) = [one for one in members if one.server.clients]
                await here.server.close(timeout=10)
                assert [await conn.recv() for _ in range(2)] == messages[1:]
                await sending

    async def test_requests_among_messages(self, jetstream: NatsServer) -> None:
        """Their answers are frames too, and the next server knows which frames are messages."""

        async def echo(conn: Connection) -> None:
            async for message in conn:
                await conn.send(message)

        async with cluster_of(
            jetstream.url,
            2,
            handler=echo,
            sessions=STORED,
            cluster={"replicas": 1},
            on_request=lambda conn, payload: payload,
        ) as members:
            async with connect([one.server.port for one in members]) as conn:
                expected = []
                for number in range(30):
                    expected.append(b"%d" % number)
                    await conn.send(expected[-1])
                    assert await conn.request(b"?") == b"?"
                (here,) = [one for one in members if one.server.clients]
                closing = asyncio.create_task(here.server.close(timeout=10))
                for number in range(30, 60):
                    expected.append(b"%d" % number)
                    await conn.send(expected[-1])
                assert [await conn.recv() for _ in range(60)] == expected
                await closing


class TestErrors:
    async def test_no_jetstream(self, nats_server: NatsServer) -> None:
        await refused(nats_server, 1, "needs JetStream")

    @pytest.mark.parametrize("subject", ["$JS.API.>", "sealframe.*.session.*"])
    async def test_no_permission(self, tmp_path: Path, subject: str) -> None:
        config = (
            f'jetstream {{ store_dir: "{tmp_path}" }}\n'
            'authorization { users: [ { user: "a", password: "b"\n'
            f'permissions: {{ publish: {{ deny: ["{subject}"] }} }} }} ] }}\n'
        )
        with one_server(tmp_path, config) as nats:
            await refused(nats, 1, "does not let this server", user="a", password="b")

    async def test_too_few_nodes(self, jetstream: NatsServer) -> None:
        await refused(jetstream, 3, "3 replicas")


async def refused(nats: NatsServer, replicas: int, text: str, **login: str) -> None:
    cluster = Cluster(
        nats.url,
        name=secrets.token_hex(8),
        replicas=replicas,
        user=login.get("user"),
        password=login.get("password"),
    )

    async def handler(conn: Connection) -> None: ...

    with pytest.raises(ClusterError, match=text):
        await sealframe.serve(handler, "127.0.0.1", 0, cluster=cluster, sessions=STORED)
