"""One of several chat servers that know each other: whoever is at one hears those at all.

Run it: python examples/cluster_chat_server.py [HOST [PORT [NATS ...]]]

NATS is where nats-server listens, nats://127.0.0.1:4222 unless you say otherwise. Run three of
these, on ports 1234 to 1236, and then cluster_chat_client.py. A message of a client is its name, a
tab and a line; or no line, for the names of all who are there.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

import sealframe
from sealframe.cluster import Cluster


class Chat:
    """What the handlers of all clients share."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    async def handle(self, conn: sealframe.Connection) -> None:
        """Serve one client. One that comes from another server begins anew here: that each message
        has the name saves asking for it again."""
        conn.join("all")
        async for message in conn:
            name, _, line = text_of(message).partition("\t")
            self.cluster.set_name(conn, name or None)
            if line:
                await self.tell(conn, f"{name}: {line}")
            else:
                names = (client.name or "?" for client in self.cluster.clients.values())
                await conn.send(f"* here: {', '.join(sorted(names))}".encode())

    async def tell(self, conn: sealframe.Connection, line: str) -> None:
        """Send a line to everybody else, wherever they are."""
        try:
            await self.cluster.group("all").broadcast(line.encode(), exclude=conn)
        except sealframe.ClusterUnavailableError:
            # It has gone to those who are here.
            await conn.send(b"* only those at this server have got that")


def text_of(message: bytes) -> str:
    # What comes from a stranger is shown on terminals: nothing in it may control them.
    text = message.decode(errors="replace")
    return "".join(char for char in text if char == "\t" or char.isprintable())[:500]


async def main(host: str = "127.0.0.1", port: str = "1234", *nats: str) -> None:
    # The newest of a name would put the older one out: here a name is only what one calls oneself.
    cluster = Cluster(nats or "nats://127.0.0.1:4222", names="many")
    stop = asyncio.Event()
    async with sealframe.serve(
        Chat(cluster).handle, host, int(port), sessions=sealframe.Sessions(), cluster=cluster
    ) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        print(f"listening on {host}:{server.port}")
        await stop.wait()
        # Its clients go on at the others.
        await server.close("this server is restarted", timeout=30)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
