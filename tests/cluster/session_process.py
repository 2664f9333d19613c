"""A server whose sessions are in the log of its cluster, in a process of its own.

It echoes, and greets no one: whatever a client gets twice was sent twice.

    python session_process.py URL[,URL...] NAME REPLICAS
"""

from __future__ import annotations

import asyncio
import json
import sys

import sealframe
from sealframe import Connection, Sessions
from sealframe.cluster import Cluster


async def handler(conn: Connection) -> None:
    """Answer each message with two."""
    async for message in conn:
        await conn.send(message)
        await conn.send(message + b"'")


async def main(urls: str, name: str, replicas: str) -> None:
    """Serve until standard input ends."""
    cluster = Cluster(urls.split(","), name=name, replicas=int(replicas))
    sessions = Sessions(store="cluster")
    async with sealframe.serve(handler, "127.0.0.1", 0, cluster=cluster, sessions=sessions) as one:
        print(json.dumps({"port": one.port, "id": cluster.server_id}), flush=True)
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while await reader.readline():
            counters = one.counters
            state = {
                "own": list(one.clients),
                "lost": counters.sessions_lost,
                "resumed": counters.sessions_resumed,
                "others": len(cluster.servers) - 1,
            }
            print(json.dumps(state), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
