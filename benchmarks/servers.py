"""What a cluster of two servers does: from one server to the other, to one client and to many.

NATS, both servers and the clients are four processes. A client at the first server has it send to
a client at the second: one message at a time for the time it takes, then as many as go, then to a
group of many clients at both. Beside it the same with both clients at one server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from contextlib import AsyncExitStack
from subprocess import PIPE

import sealframe
from sealframe import ClientOptions, Connection, ServerOptions
from sealframe.cluster import Cluster
from sealframe.cluster.local_nats import LocalNats

MANY = 2**30
"""Bytes that may wait for a client: none is to be dropped."""


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

    options = ServerOptions(outbox_limit=MANY)
    async with sealframe.serve(handler, "127.0.0.1", 0, options=options, cluster=cluster) as server:
        print(json.dumps(server.port), flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def latency(sender: Connection, receiver: Connection, count: int) -> str:
    """Return how long messages take, one at a time."""
    took = []
    for number in range(count):
        began = time.perf_counter()
        await sender.send(b"forward %d" % number + bytes(120))
        await receiver.recv()
        took.append(time.perf_counter() - began)
    took = sorted(took[count // 10 :])
    median, late = statistics.median(took), took[len(took) * 99 // 100]
    return f"p50 {1e3 * median:.3f} ms, p99 {1e3 * late:.2f} ms"


async def drain(conn: Connection, count: int) -> None:
    """Receive so many messages."""
    while count > 0:
        count -= len(await conn.recv_many())


async def flood(sender: Connection, receiver: Connection, count: int, size: int) -> str:
    """Return how many messages go to one client in a second."""
    began = time.perf_counter()
    await sender.send(b"flood %d %d" % (count, size))
    await drain(receiver, count)
    return f"{count / (time.perf_counter() - began):11,.0f} messages/s"


async def broadcast(sender: Connection, members: list[Connection], count: int, size: int) -> str:
    """Return how many messages arrive at a group in a second."""
    began = time.perf_counter()
    await sender.send(b"group %d %d" % (count, size))
    await asyncio.gather(*(drain(conn, count) for conn in members))
    return f"{count * len(members) / (time.perf_counter() - began):11,.0f} deliveries/s"


async def measure(options: argparse.Namespace) -> None:
    """Start all of it and print what it took."""
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(LocalNats())
        ports = []
        for _ in range(2):
            program = [sys.executable, __file__, "--url", nats.url]
            server = await asyncio.create_subprocess_exec(*program, stdin=PIPE, stdout=PIPE)
            assert server.stdin is not None
            assert server.stdout is not None
            stack.push_async_callback(server.wait)
            stack.callback(server.stdin.close)
            ports.append(json.loads(await server.stdout.readline()))

        async def connect(port: int) -> Connection:
            conn = await sealframe.connect(
                "127.0.0.1", port, options=ClientOptions(inbox_limit=64 * 2**20), extended=True
            )
            return await stack.enter_async_context(conn)

        sender = await connect(ports[0])
        for where, port in (("one server", ports[0]), ("two servers", ports[1])):
            receiver = await connect(port)
            await receiver.send(b"name receiver")
            await asyncio.sleep(0.5)
            print(f"{where}, one at a time:", await latency(sender, receiver, options.count // 50))
            for size in (128, 4096):
                count = options.count * 128 // size
                for _ in range(options.rounds):
                    rate = await flood(sender, receiver, count, size)
                    print(f"{where}, to one client, {size:5} B:{rate}")
        members = [await connect(port) for port in ports for _ in range(options.members)]
        for conn in members:
            await conn.send(b"join")
            await conn.ping()
        for _ in range(options.rounds):
            rate = await broadcast(sender, members, options.count // 100, 128)
            print(f"two servers, to 2 x {options.members} clients, 128 B:{rate}")


def main() -> None:
    """Measure, or be one of the servers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument(
        "--count", type=int, default=200_000, help="messages of 128 B to one client"
    )
    parser.add_argument("--members", type=int, default=500, help="of the group, at each server")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    run = run_server(options.url) if options.url else measure(options)
    asyncio.run(run)


if __name__ == "__main__":
    main()
