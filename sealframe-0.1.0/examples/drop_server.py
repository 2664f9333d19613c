"""A folder in which others drop files: whole, verified, and resumed where they broke off.

Run it: python examples/drop_server.py DIRECTORY [HOST [PORT]]

Then run drop_client.py in another terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import sealframe


def arrived(conn: sealframe.Connection, path: Path) -> None:
    """Take note of a file; it has its name only now that all of it is there."""
    print(f"{conn.id} has sent {path.name}, {path.stat().st_size} bytes")


async def main(directory: str, host: str = "127.0.0.1", port: str = "1234") -> None:
    # Whatever a client calls its files, they are below the directory, and none is overwritten.
    inbox = sealframe.Inbox(directory, max_total=10_000_000_000, on_received=arrived)
    async with sealframe.serve(None, host, int(port), files=inbox) as server:
        print(f"listening on {host}:{server.port}")
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
