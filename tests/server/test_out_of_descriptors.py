"""A server that runs out of file descriptors: who is there goes on, and it recovers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from textwrap import dedent

import pytest

import sealframe

pytest.importorskip("resource", reason="this platform has no limit of descriptors to set")

PROGRAM = """
    import asyncio, logging, os, resource, socket, sys
    import sealframe

    lines = []

    class Listening(logging.Handler):
        def emit(self, record):
            lines.append(record)

    logging.getLogger().addHandler(Listening())

    async def echo(conn):
        async for message in conn:
            await conn.send(message)

    async def exchange(conn):
        await conn.send(b"alive?")
        assert await conn.recv() == b"alive?"

    async def main():
        key = sealframe.SharedKey.generate() if sys.argv[2] == "sealed" else None
        where = "127.0.0.1"
        async with sealframe.serve(echo, where, 0, security=key) as server:
            live = [await sealframe.connect(where, server.port, security=key) for _ in range(3)]
            for conn in live:
                await exchange(conn)
            # Made before there are too few for them.
            waiting = [socket.socket() for _ in range(10)]
            used = max(int(name) for name in os.listdir("/proc/self/fd")) + 1
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
            taken = []
            try:
                while True:
                    taken.append(os.dup(0))
            except OSError:
                pass
            before = server.counters.accepted
            for sock in waiting:
                sock.setblocking(False)
                sock.connect_ex((where, server.port))
            for conn in live:
                await exchange(conn)
            # For longer than asyncio takes to try again, twice.
            loop = asyncio.get_running_loop()
            end, rounds = loop.time() + 2.3, 0
            while loop.time() < end:
                for conn in live:
                    await exchange(conn)
                    rounds += 1
            assert rounds > 100, rounds
            assert server.counters.accepted == before
            # asyncio's traceback for each try is not there. uvloop turns the clients away, and
            # tells nobody.
            texts = [line.getMessage() for line in lines]
            expected = ["new clients have to wait: Too many open files"]
            assert texts == (expected if sys.argv[1] == "asyncio" else []), texts

            for descriptor in taken:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (used + 50, hard))
            for sock in waiting:
                sock.close()
            async with asyncio.timeout(20):
                while True:
                    try:
                        async with sealframe.connect(where, server.port, security=key) as conn:
                            await exchange(conn)
                        break
                    except sealframe.ConnectionClosed:
                        await asyncio.sleep(0.05)
            for conn in live:
                await exchange(conn)
                await conn.close()
        print("recovered")

    if sys.argv[1] == "uvloop":
        import uvloop
        uvloop.run(main())
    else:
        asyncio.run(main())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are listed in /proc")
@pytest.mark.parametrize("security", ["plain", "sealed"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_live_clients_go_on_and_accepting_recovers(loop: str, security: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop is not installed")
    if security == "sealed":
        pytest.importorskip("cryptography", reason="cryptography is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(PROGRAM), loop, security],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "recovered\n"


def test_other_lines_of_asyncio_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Also those of a failure without an exception, which asyncio logs with exc_info=False."""

    async def main() -> None:
        async with sealframe.serve(lambda conn: conn.wait_closed(), "127.0.0.1", 0):
            asyncio.get_running_loop().call_exception_handler({"message": "of somebody else"})

    asyncio.run(main())
    assert [line.getMessage() for line in caplog.records if line.name == "asyncio"] == [
        "of somebody else"
    ]
