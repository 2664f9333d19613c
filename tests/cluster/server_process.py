"""One server of a cluster in a process of its own. For each line on standard input it tells what it
knows, as JSON; it ends with standard input.

    python server_process.py URL[,URL...] NAME
"""

from __future__ import annotations

import asyncio
import json
import sys

import sealframe
from sealframe import Connection, Sessions
from sealframe.cluster import Cluster


async def handler(conn: Connection) -> None:
    """Echo, in the room."""
    conn.join("room")
    async for message in conn:
        await conn.send(message)


async def main(urls: str, name: str) -> None:
    """Serve until standard input ends."""
    cluster = Cluster(urls.split(","), name=name)
    sessions = Sessions()
    async with sealframe.serve(
        handler, "127.0.0.1", 0, cluster=cluster, sessions=sessions
    ) as server:
        print(json.dumps({"port": server.port, "id": cluster.server_id}), flush=True)
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while await reader.readline():
            clients = {id: [one.name, one.server] for id, one in cluster.clients.items()}
            state = {
                "clients": clients,
                "own": list(server.clients),
                "connected": cluster.connected,
            }
            print(json.dumps(state), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
