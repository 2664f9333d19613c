"""Links with delay: the emulator does what it says, what is measured over it arrives, and what
sealframe does on links that no loopback shows."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from suite import long_links
from suite.links.beside import Line, measure_beside, show_beside
from suite.links.bulk import KINDS, measure_bulk, show_bulk
from suite.links.emulator import FAR, Link, missing, open_link

needs_links = pytest.mark.skipif(bool(missing()), reason=missing() or "there are links")


def run(link: Link, end: str, script: str) -> subprocess.Popen[str]:
    """Run a script at one end."""
    command = link.command(end, [sys.executable, "-c", script])
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def long_link() -> Iterator[Link]:
    """A link of 50 ms whose rate is not limited."""
    with open_link(round_trip=0.05) as link:
        yield link


ECHO = f"""
import socket
with socket.create_server(("{FAR}", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    with listener.accept()[0] as sock:
        while data := sock.recv(1 << 16):
            sock.sendall(data)
"""
ASK = """
import socket, sys, time
with socket.create_connection(("{host}", {port})) as sock:
    for line in sys.stdin:
        start, missing = time.perf_counter(), int(line)
        sock.sendall(bytes(missing))
        while missing:
            missing -= len(sock.recv(missing))
        print(time.perf_counter() - start, flush=True)
"""


class Echo:
    """Asks for echoes over a link."""

    def __init__(self, link: Link) -> None:
        self._server = run(link, link.far, ECHO)
        assert self._server.stdout is not None
        port = int(self._server.stdout.readline())
        self._client = run(link, link.near, ASK.format(host=FAR, port=port))

    def ask(self, size: int) -> None:
        """Send so many bytes."""
        assert self._client.stdin is not None
        print(size, file=self._client.stdin, flush=True)

    def took(self) -> float:
        """Wait until they are back; return how many seconds that took."""
        assert self._client.stdout is not None
        return float(self._client.stdout.readline())

    def close(self) -> None:
        """End both processes."""
        for process in (self._client, self._server):
            process.communicate()
            assert process.returncode == 0


@needs_links
def test_a_link_takes_its_time_and_can_be_cut(long_link: Link) -> None:
    echo = Echo(long_link)
    echo.ask(1)
    assert echo.took() >= 0.05
    long_link.cut()
    echo.ask(1)
    time.sleep(0.5)
    long_link.join()
    # Nothing got through meanwhile, so the kernel has sent it again.
    assert echo.took() > 0.5
    assert long_link.dropped() == 0
    echo.close()


@needs_links
def test_a_narrow_link_takes_longer() -> None:
    with open_link(round_trip=0.001, rate=1e6, queue=1 << 20) as link:
        echo = Echo(link)
        echo.ask(100_000)
        assert echo.took() >= 0.1
        echo.close()


def test_without_links_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    reason = missing()
    assert reason
    data = long_links.measure(seconds=1, rounds=1, loop="asyncio", quick=True)
    assert data == {"skipped": reason}
    assert long_links.show(json.loads(json.dumps(data))) == f"skipped: {reason}"


@needs_links
def test_what_is_measured_on_links_arrives() -> None:
    """A stream and a file, and messages beside requests: as little of each as there can be."""
    kinds = KINDS[3:]
    rows = measure_bulk(1, "asyncio", 1, round_trips=(0.001,), ways=("extended",), kinds=kinds)
    assert [row["title"] for row in rows] == ["a stream", "a file"]
    lines = (Line("sealframe", "link_sealframe", "extended", "messages", (1, 60_000)),)
    beside = measure_beside(1, "asyncio", 3, lines=lines, warm_up=1)
    assert 50 <= beside[0]["p50"] <= beside[0]["p99"]
    assert "p50 at most 1: missed, p99 at most 60000" in show_beside(beside)[1]
    data = {"congestion_control": "any", "mib": 1, "bulk": rows, "beside": beside}
    data["cut"] = [{"name": "sealframe", "cut": 25.0, "silence": 26.0}]
    text = long_links.show(json.loads(json.dumps(data)))
    assert all(line in text for line in show_bulk(rows))
    assert "26.0 s" in text


TAKE = f"""
import asyncio, sealframe

async def main() -> None:
    done = asyncio.Event()

    async def handler(conn) -> None:
        async for _ in conn:
            pass
        done.set()

    async with sealframe.serve(handler, "{FAR}", 0) as server:
        print(server.port, flush=True)
        await done.wait()

asyncio.run(main())
"""
SEND = """
import asyncio, json, socket, sealframe
from sealframe.aio.connection import protocol_of

async def main() -> None:
    async with sealframe.connect("{host}", {port}, extended=True) as conn:
        sock, found = protocol_of(conn).transport.get_extra_info("socket"), []
        for _ in range(500):
            found.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT))
            await conn.send(bytes(65536))
        print(json.dumps(found))

asyncio.run(main())
"""


@needs_links
def test_the_kernel_takes_more_on_a_link_that_is_long_and_fast(long_link: Link) -> None:
    server = run(long_link, long_link.far, TAKE)
    assert server.stdout is not None
    port = int(server.stdout.readline())
    client = run(long_link, long_link.near, SEND.format(host=FAR, port=port))
    found = json.loads(client.communicate()[0])
    server.communicate()
    assert found[0] == 16 * 1024
    # Half of what was in flight, and that was more than this.
    assert max(found) >= 512 * 1024
