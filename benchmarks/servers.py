"""What a cluster of two servers does: from one server to the other, to one client and to many.

What lies between them, both servers and the clients are four processes. A client at the first
server has it send to a client at the second: one message at a time for the time it takes, then as
many as go, then to a group of many clients at both. Beside it the same with both clients at one
server, and all of that with python-socketio and its Redis manager, in turn. At the end one server
is killed, and the other one is asked how long it knows its clients.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from subprocess import PIPE
from typing import Final, Protocol

from suite import socketio_servers
from suite.descriptors import allow_many_connections
from suite.socketio_servers import SocketIoConnection, redis_server

import sealframe
from sealframe import ClientOptions, Connection, ServerOptions
from sealframe.cluster import Cluster
from sealframe.cluster.local_nats import LocalNats

MANY: Final = 2**30
"""Bytes that may wait for a client: none is to be dropped."""
AIM: Final = 5.0
"""How many times as fast as python-socketio, one at a time and to one client."""


async def run_server(url: str) -> None:
    """Do what clients ask for, until standard input ends."""
    cluster = Cluster(url)

    async def handler(conn: Connection) -> None:
        async for message in conn:
            command, _, rest = message.partition(b" ")
            if command == b"name":
                cluster.set_name(conn, rest.decode())
            elif command == b"join":
                conn.join("many")
            elif command == b"forward":
                await cluster.send("receiver", rest)
            elif command == b"flood":
                count, size = map(int, rest.split())
                for _ in range(count):
                    await cluster.send("receiver", bytes(size))
            elif command == b"group":
                count, size = map(int, rest.split())
                group = cluster.group("many")
                for _ in range(count):
                    await group.broadcast(bytes(size))
            elif command == b"clients":
                await conn.send(b"%d" % len(cluster.clients))

    options = ServerOptions(outbox_limit=MANY, max_connections=10_000)
    async with sealframe.serve(handler, "127.0.0.1", 0, options=options, cluster=cluster) as server:
        print(json.dumps(server.port), flush=True)
        await asyncio.to_thread(sys.stdin.read)


class Client(Protocol):
    """A client of either library."""

    async def send(self, message: bytes) -> object:
        """Send a command."""

    async def recv(self) -> bytes:
        """Return the next message."""

    async def recv_many(self) -> list[bytes]:
        """Return all messages that have come, at least one."""


@dataclass
class Library:
    """One library, and what was measured of it.

    :ivar between: runs what lies between its servers, and gives its URL
    :ivar program: of one server, without the URL
    :ivar settle: returns once a client's server has done what that client has sent
    :ivar share: of the messages that the other library sends
    """

    name: str
    between: Callable[[], AbstractAsyncContextManager[str]]
    program: list[str]
    connect: Callable[[AsyncExitStack, int], Awaitable[Client]]
    settle: Callable[[Client], Awaitable[object]]
    share: float = 1.0
    figures: dict[str, list[float]] = field(default_factory=dict)

    def note(self, what: str, figure: float, text: str) -> None:
        """Print a figure, and keep it."""
        self.figures.setdefault(what, []).append(figure)
        print(f"{self.name:15} {what:38}{text}", flush=True)


async def latency(sender: Client, receiver: Client, count: int) -> tuple[float, float]:
    """Return the median and the 99th of 100 of the seconds that messages take, one at a time."""
    took = []
    for number in range(count):
        began = time.perf_counter()
        await sender.send(b"forward %d" % number + bytes(120))
        await receiver.recv()
        took.append(time.perf_counter() - began)
    took = sorted(took[count // 10 :])
    return statistics.median(took), took[len(took) * 99 // 100]


async def drain(conn: Client, count: int) -> None:
    """Receive so many messages."""
    while count > 0:
        count -= len(await conn.recv_many())


async def flood(sender: Client, receiver: Client, count: int, size: int) -> float:
    """Return how many messages go to one client in a second."""
    began = time.perf_counter()
    await sender.send(b"flood %d %d" % (count, size))
    await drain(receiver, count)
    return count / (time.perf_counter() - began)


async def broadcast(sender: Client, members: list[Client], count: int, size: int) -> float:
    """Return how many messages arrive at a group in a second."""
    began = time.perf_counter()
    await sender.send(b"group %d %d" % (count, size))
    await asyncio.gather(*(drain(conn, count) for conn in members))
    return count * len(members) / (time.perf_counter() - began)


async def start_server(
    stack: AsyncExitStack, program: list[str], url: str
) -> tuple[asyncio.subprocess.Process, int]:
    """Start a server; return its process and port."""
    server = await asyncio.create_subprocess_exec(
        sys.executable, *program, url, stdin=PIPE, stdout=PIPE
    )
    assert server.stdin is not None
    assert server.stdout is not None
    stack.push_async_callback(server.wait)
    stack.callback(server.stdin.close)
    return server, json.loads(await server.stdout.readline())


async def measure(library: Library, options: argparse.Namespace) -> None:
    """Start all of it and print what it took."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(library.between())
        ports = [(await start_server(stack, library.program, url))[1] for _ in range(2)]
        sender = await library.connect(stack, ports[0])
        rounds, count = options.rounds, int(options.count * library.share)
        for where, port in (("one server", ports[0]), ("two servers", ports[1])):
            async with AsyncExitStack() as own:
                receiver = await library.connect(own, port)
                await receiver.send(b"name receiver")
                await library.settle(receiver)
                await asyncio.sleep(0.5)
                for _ in range(rounds):
                    median, late = await latency(sender, receiver, 1000)
                    text = f"p50 {1e3 * median:.3f} ms, p99 {1e3 * late:.2f} ms"
                    library.note(f"{where}, one at a time", 1 / median, text)
                for size in (128, 4096):
                    for _ in range(rounds):
                        rate = await flood(sender, receiver, count * 128 // size, size)
                        text = f"{rate:11,.0f} messages/s"
                        library.note(f"{where}, to one client, {size} B", rate, text)
        members = [
            await library.connect(stack, port) for port in ports for _ in range(options.members)
        ]
        for conn in members:
            await conn.send(b"join")
            await library.settle(conn)
        for _ in range(rounds):
            rate = await broadcast(sender, members, max(count // 2000, 5), 128)
            what = f"two servers, to 2 x {options.members} clients"
            library.note(what, rate, f"{rate:11,.0f} deliveries/s")


async def measure_kill(library: Library) -> None:
    """Kill a server, and look how long the other one knows its clients."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(library.between())
        _, port = await start_server(stack, library.program, url)
        watcher = await library.connect(stack, port)

        async def known() -> int:
            await watcher.send(b"clients")
            return int(await watcher.recv())

        for _ in range(3):
            killed, other = await start_server(stack, library.program, url)
            for _ in range(100):
                await library.connect(stack, other)
            while await known() < 101:  # noqa: ASYNC110 - as below
                await asyncio.sleep(0.01)
            began = time.perf_counter()
            killed.kill()
            while await known() > 1:  # noqa: ASYNC110 - another process changes it
                await asyncio.sleep(0.001)
            took = time.perf_counter() - began
            library.note("a killed server's clients are gone", took, f"after {took:.3f} s")


def compare(ours: Library, peer: Library) -> None:
    """Print how many times as fast ours is."""
    for what, figures in ours.figures.items():
        if what in peer.figures:
            ratio = statistics.median(figures) / statistics.median(peer.figures[what])
            aimed = what.startswith("two servers") and ("time" in what or "128 B" in what)
            missed = "" if ratio >= AIM else ": missed"
            aim = f", aim at least {AIM:g}{missed}" if aimed else ""
            print(f"{what:38} {ratio:6.2f} times {peer.name}{aim}")


@asynccontextmanager
async def nats() -> AsyncIterator[str]:
    """Run NATS, and give its URL."""
    async with LocalNats() as server:
        yield server.url


async def connect_sealframe(stack: AsyncExitStack, port: int) -> Client:
    """Return a client of sealframe."""
    options = ClientOptions(inbox_limit=64 * 2**20)
    conn = await sealframe.connect("127.0.0.1", port, options=options, extended=True)
    return await stack.enter_async_context(conn)


async def connect_socketio(stack: AsyncExitStack, port: int) -> Client:
    """Return a client of python-socketio."""
    conn = SocketIoConnection()
    await conn.connect(port)
    stack.push_async_callback(conn.close)
    return conn


async def settle_sealframe(conn: Client) -> None:
    """Return once the server has what was sent."""
    assert isinstance(conn, Connection)
    await conn.ping()


async def settle_socketio(conn: Client) -> None:
    """Return once the server has what was sent."""
    assert isinstance(conn, SocketIoConnection)
    await conn.ask()


async def measure_all(options: argparse.Namespace) -> None:
    """Measure both libraries, one after the other."""
    ours = Library("sealframe", nats, [__file__, "--url"], connect_sealframe, settle_sealframe)
    await measure(ours, options)
    await measure_kill(ours)
    missing = socketio_servers.missing()
    if missing:
        print(f"python-socketio with its Redis manager is left out: {missing}")
        return
    program = [str(socketio_servers.PROGRAM)]
    peer = Library(
        "python-socketio", redis_server, program, connect_socketio, settle_socketio, share=0.01
    )
    await measure(peer, options)
    compare(ours, peer)


def main() -> None:
    """Measure, or be one of the servers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument(
        "--count", type=int, default=200_000, help="messages of 128 B to one client"
    )
    parser.add_argument("--members", type=int, default=1000, help="of the group, at each server")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    allow_many_connections()
    asyncio.run(run_server(options.url) if options.url else measure_all(options))


if __name__ == "__main__":
    main()
