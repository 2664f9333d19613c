"""An echo server: each message goes back to the client that sent it.

Run it: python examples/echo_server.py [HOST [PORT]]

Then run echo_client.py in another terminal. Ctrl-C ends the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

import sealframe


async def echo(conn: sealframe.Connection) -> None:
    """Serve one client; each has a task of its own that runs this."""
    print(conn.id, "has connected")
    async for message in conn:
        await conn.send(message)
    print(conn.id, "has left")


async def main(host: str = "127.0.0.1", port: str = "1234") -> None:
    async with sealframe.serve(echo, host, int(port)) as server:
        print(f"listening on {host}:{server.port}")
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
