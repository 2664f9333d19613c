"""What live clients of a sealed server notice of a flood.

Server, live clients and flood run in a process each. The latency is that of a request of 100
bytes and its echo, one at a time on each live connection. On a machine with few cores the
flood also takes what the others would need.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import multiprocessing
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from typing import Any

import sealframe
from sealframe.aio.stats import ServerStats
from sealframe.wire import CONTROL_BIT, MAGIC, VERSION, Opcode, Pattern

HOST = "127.0.0.1"
ELSEWHERE = "127.0.0.2"
"""Where floods come from, on platforms where that is an address of this machine."""

FLOODERS = 8
LIVE_CLIENTS = 10
REQUEST = bytes(100)


@dataclass(frozen=True)
class Scenario:
    """A flood, and what the server has against it."""

    name: str
    hold: int | None = None
    """Connections that each flooder keeps open; None: there is no flood."""
    first: bytes = b""
    """What each connection says."""
    rate: float | None = None
    """The server's ``connection_rate``."""


def first_message(pattern: Pattern, size: int) -> bytes:
    """Return a first handshake frame whose public key is one and whose proof is none.

    :param size: bytes of the Noise message (docs/PROTOCOL.md section 6)
    """
    preamble = MAGIC + bytes((VERSION, pattern))
    body = bytes((Opcode.HANDSHAKE,)) + preamble + b"\x09".ljust(size, b"\0")
    return (len(body) | CONTROL_BIT).to_bytes(4, "little") + body


SCENARIOS = [
    Scenario("no flood"),
    Scenario("silent half-open handshakes", hold=250),
    Scenario("message 1, close", hold=0, first=first_message(Pattern.NNHFS_PSK0, 1248)),
    Scenario("classic message 1, close", hold=0, first=first_message(Pattern.NNPSK0, 48)),
    Scenario("beyond connection_rate=50", hold=0, rate=50),
]


def run(main: Coroutine[Any, Any, None], loop: str) -> None:
    """Run under asyncio or uvloop."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


def serve(pipe: Pipe, key: str, rate: float | None, loop: str) -> None:
    """Send the port, serve until something comes, send the counters."""
    logging.disable()

    async def echo(conn: sealframe.Connection) -> None:
        async for message in conn:
            await conn.send(message)

    async def main() -> None:
        options = sealframe.ServerOptions(connection_rate=rate, close_timeout=1)
        security = sealframe.SharedKey.from_text(key)
        async with sealframe.serve(
            echo, "0.0.0.0", 0, security=security, options=options
        ) as server:
            pipe.send(server.port)
            await asyncio.to_thread(pipe.recv)
            pipe.send(server.counters)

    run(main(), loop)


def flood(pipe: Pipe, port: int, scenario: Scenario) -> None:
    """Open connections until something comes; the first second is over when this says so."""

    async def flooder() -> None:
        loop, held = asyncio.get_running_loop(), list[socket.socket]()
        assert scenario.hold is not None
        while True:
            sock = socket.socket()
            sock.setblocking(False)
            with contextlib.suppress(OSError):
                sock.bind((ELSEWHERE, 0))
            held.append(sock)
            with contextlib.suppress(OSError):
                # When the queue of the kernel is full, it tries again after a second only.
                async with asyncio.timeout(0.05):
                    await loop.sock_connect(sock, (HOST, port))
                if scenario.first:
                    sock.send(scenario.first)
                    # The answer: by then the server has done its part.
                    await loop.sock_recv(sock, 1000)
            while len(held) > scenario.hold:
                held.pop(0).close()

    async def main() -> None:
        flooders = [asyncio.ensure_future(flooder()) for _ in range(FLOODERS)]
        await asyncio.sleep(1)
        pipe.send("flooding")
        await asyncio.to_thread(pipe.recv)
        for task in flooders:
            task.cancel()

    run(main(), "asyncio")


@contextlib.asynccontextmanager
async def live_clients(port: int, key: str) -> AsyncIterator[list[sealframe.Connection]]:
    """Connect, one after the other."""
    async with contextlib.AsyncExitStack() as stack:
        security = sealframe.SharedKey.from_text(key)
        yield [
            await stack.enter_async_context(sealframe.connect(HOST, port, security=security))
            for _ in range(LIVE_CLIENTS)
        ]


async def latencies(clients: list[sealframe.Connection], seconds: float) -> list[float]:
    """Return how long each request took, sorted, in seconds."""
    taken: list[float] = []
    end = time.perf_counter() + seconds

    async def ask(conn: sealframe.Connection) -> None:
        while (start := time.perf_counter()) < end:
            await conn.send(REQUEST)
            await conn.recv()
            taken.append(time.perf_counter() - start)

    await asyncio.gather(*map(ask, clients))
    return sorted(taken)


async def measure(scenario: Scenario, seconds: float, loop: str) -> None:
    """Run one scenario and print its line of the table."""
    key = sealframe.SharedKey.generate().to_text()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs, key, scenario.rate, loop))
    server.start()
    port: int = await asyncio.to_thread(ours.recv)
    async with live_clients(port, key) as clients:
        if scenario.hold is None:
            taken = await latencies(clients, seconds)
            connecting = await time_to_connect(port, key)
        else:
            there, here = context.Pipe()
            attacker = context.Process(target=flood, args=(here, port, scenario))
            attacker.start()
            await asyncio.to_thread(there.recv)
            taken = await latencies(clients, seconds)
            connecting = await time_to_connect(port, key)
            there.send("stop")
            await asyncio.to_thread(attacker.join)
    ours.send("stop")
    stats: ServerStats = await asyncio.to_thread(ours.recv)
    await asyncio.to_thread(server.join)
    p50, p99 = (1e3 * taken[int(len(taken) * share)] for share in (0.5, 0.99))
    print(
        f"{scenario.name:30}{p50:9.2f}{p99:9.2f}{len(taken) / seconds:11.0f}{connecting:>14}"
        f"{stats.accepted:10}{stats.dropped_handshakes:9}{stats.too_fast:10}"
    )


async def time_to_connect(port: int, key: str) -> str:
    """Return how many milliseconds a further client needs to connect, as the median of 10."""
    taken, failed = [], 0
    security = sealframe.SharedKey.from_text(key)
    for _ in range(10):
        start = time.perf_counter()
        try:
            async with sealframe.connect(HOST, port, security=security):
                taken.append(time.perf_counter() - start)
        except (OSError, sealframe.ConnectionClosed):
            failed += 1
    text = f"{1e3 * sorted(taken)[len(taken) // 2]:.1f}" if taken else "-"
    return f"{text} ({failed} no)" if failed else text


async def main(seconds: float, loop: str) -> None:
    """Run all scenarios and print the table."""
    print(f"{LIVE_CLIENTS} live clients, server on {loop}; latencies in milliseconds")
    print(
        f"{'':30}{'p50':>9}{'p99':>9}{'requests/s':>11}{'connecting':>14}"
        f"{'accepted':>10}{'dropped':>9}{'too fast':>10}"
    )
    for scenario in SCENARIOS:
        await measure(scenario, seconds, loop)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog=(
            "connecting: median time for one more honest client; accepted, dropped, too fast: "
            "the server's counters"
        ),
    )
    parser.add_argument("--seconds", type=float, default=5, help="for each scenario (default: 5)")
    parser.add_argument(
        "--loop", choices=["asyncio", "uvloop"], default="asyncio", help="of the server"
    )
    arguments = parser.parse_args()
    asyncio.run(main(arguments.seconds, arguments.loop))
