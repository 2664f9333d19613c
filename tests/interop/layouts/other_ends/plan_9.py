"""pyroute2's 9P, server or client, of the port that it is given."""

from __future__ import annotations

import asyncio
import sys

from pyroute2 import Plan9ClientSocket, Plan9ServerSocket


async def serve(port: int) -> None:
    """Serve one file."""
    server = Plan9ServerSocket(address=("127.0.0.1", port))
    server.filesystem.create("parts").data.write(b"bolt")
    task = await server.async_run()
    print("serving", flush=True)
    await task


async def ask(port: int) -> None:
    """Read one file."""
    client = Plan9ClientSocket(address=("127.0.0.1", port))
    await client.start_session()
    answer = await client.read(await client.fid("parts"))
    print(bytes(answer["data"]).decode(), flush=True)


asyncio.run({"serve": serve, "ask": ask}[sys.argv[1]](int(sys.argv[2])))
