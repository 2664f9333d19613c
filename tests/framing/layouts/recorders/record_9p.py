"""pyroute2 with itself: ``pip install pyroute2==0.9.7``."""

from __future__ import annotations

import asyncio

from pyroute2 import Plan9ClientSocket, Plan9ServerSocket

from .recording import Tap, free_port, package, save, stream


def size_of(data: bytes) -> int:
    """size[4] counts itself, little-endian."""
    return int.from_bytes(data[:4], "little")


async def by_pyroute2() -> Tap:
    """Write and read a file."""
    port = free_port()
    server = Plan9ServerSocket(address=("127.0.0.1", port))
    inode = server.filesystem.create("parts")
    inode.data.write(b"n" * 300)
    task = await server.async_run()
    tap = Tap(("127.0.0.1", port))
    client = Plan9ClientSocket(address=("127.0.0.1", tap.port))
    await client.start_session()
    fid = await client.fid("parts")
    await client.write(fid, b"bolt")
    await client.read(fid)
    try:
        await client.fid("nothing")
    except KeyError as error:
        print("as expected:", error)
    task.cancel()
    return tap


async def main() -> None:
    """Record."""
    tap = await by_pyroute2()
    by = package("pyroute2")
    [passed] = tap.connections
    save(
        "9p",
        "plan-9",
        __file__,
        [stream(passed.client, by, size_of), stream(passed.server, by, size_of)],
    )


asyncio.run(main())
