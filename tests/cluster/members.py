"""Real servers of one cluster in one process, and clients of theirs."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aio.scripted import until

import sealframe
from sealframe import Connection, Server
from sealframe.aio.connection import AnyConnection
from sealframe.cluster import Cluster


async def member(conn: AnyConnection) -> None:
    """A handler: in the room until its client goes."""
    conn.join("room")
    await conn.wait_closed()


class Member:
    """One server of a cluster."""

    def __init__(self, server: Server[Any, Any], cluster: Cluster) -> None:
        self.server = server
        self.cluster = cluster

    async def connect(self, name: str | None = None, **arguments: Any) -> tuple[str, Connection]:
        """Return the id of a new client, and the client's end."""
        before = set(self.server.clients)
        arguments.setdefault("extended", True)
        conn = await sealframe.connect("127.0.0.1", self.server.port, **arguments)
        await until(lambda: len(self.server.clients) > len(before))
        (id,) = set(self.server.clients) - before
        if name is not None:
            self.cluster.set_name(self.server.clients[id], name)
        return id, conn


async def seen_by(members: Sequence[Member], *ids: str) -> None:
    """Wait until all servers know these clients."""
    await until(lambda: all(id in one.cluster.clients for one in members for id in ids))


async def agree(members: Sequence[Member]) -> None:
    """Wait until all servers know the same clients: those that are there."""

    def agreed() -> bool:
        there = {id for one in members for id in one.server.clients}
        registries = [dict(one.cluster.clients) for one in members]
        return registries[0].keys() == there and all(one == registries[0] for one in registries)

    await until(agreed)


@asynccontextmanager
async def cluster_of(
    urls: str | Sequence[str],
    count: int,
    *,
    cluster: dict[str, Any] | None = None,
    name: str | None = None,
    handler: Any = member,
    **arguments: Any,
) -> AsyncIterator[list[Member]]:
    """So many servers of one cluster, whose name nobody else has.

    :param cluster: arguments of each :class:`Cluster`
    :param arguments: of each :func:`serve`
    """
    name = secrets.token_hex(8) if name is None else name
    async with AsyncExitStack() as stack:
        members = []
        for _ in range(count):
            own = Cluster(urls, name=name, **(cluster or {}))
            serving = sealframe.serve(handler, "127.0.0.1", 0, cluster=own, **arguments)
            members.append(Member(await stack.enter_async_context(serving), own))
        await until(lambda: all(len(one.cluster.servers) == count for one in members))
        yield members
