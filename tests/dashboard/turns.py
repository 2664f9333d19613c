"""How long an event loop is held up by a dashboard: ``python tests/dashboard/turns.py CLIENTS``.

The clients are in a process of their own and say nothing. Times are CPU time, so that what else
the machine does has no part in them.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import sealframe
from sealframe import Connection, ServerOptions, dashboard

SECONDS = 8.0
CLIENTS = """
import socket, sys
sockets = []
for number in range(int(sys.argv[2])):
    sockets.append(socket.socket(socket.AF_UNIX))
    sockets[-1].connect(sys.argv[1])
sys.stdin.read()
"""


async def read(conn: Connection) -> None:
    """Serve a client."""
    async for _ in conn:
        pass


class Stopwatch(asyncio.SelectorEventLoop):
    """Knows the CPU time of each of its turns, in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[float] = []

    def _run_once(self) -> None:
        began = time.thread_time()
        super()._run_once()  # type: ignore[misc]
        self.turns.append(time.thread_time() - began)


async def watch(url: str, number: int) -> None:
    """Be a page."""
    port = int(url.rstrip("/").rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    text = "1" if number % 2 else ""
    request = f"GET /events?text={text}&limit={50 + number} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    writer.write(request.encode())
    try:
        while await reader.read(1 << 20):
            pass
    finally:
        writer.close()


async def main(count: int, path: Path) -> None:
    """Serve so many clients, and print what one page and sixteen cost."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Stopwatch)
    options = ServerOptions(max_connections=count, connection_rate=None)
    async with (
        sealframe.serve(read, path=path, options=options) as server,
        dashboard.serve(server, port=0) as page,
    ):
        crowd = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CLIENTS, path, str(count)), stdin=subprocess.PIPE
        )
        try:
            while len(server.clients) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            gc.collect()
            gc.freeze()
            began = time.thread_time()
            server.stats()
            print(f"{count} clients: stats() {1000 * (time.thread_time() - began):.1f} ms")
            for pages in (1, 16):
                tasks = [asyncio.create_task(watch(page.url, number)) for number in range(pages)]
                await asyncio.sleep(2)
                loop.turns.clear()
                began = time.process_time()
                await asyncio.sleep(SECONDS)
                share = (time.process_time() - began) / SECONDS
                longest = 1000 * max(loop.turns)
                print(f"{pages:2} pages: longest turn {longest:.1f} ms, {share:.1%} of a core")
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            crowd.kill()
            await crowd.wait()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=Stopwatch) as runner:
        runner.run(main(int(sys.argv[1]), Path(folder) / "socket"))
