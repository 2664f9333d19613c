"""Links to NATS that keep what they hear, and waits for it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from sealframe.cluster.nats_link import NatsLink
from sealframe.cluster.nats_servers import NatsServers

T = TypeVar("T")
_clusters = itertools.count()


def new_cluster() -> str:
    """Return how the subjects of a cluster begin that no other test knows."""
    return f"sealframe.test{next(_clusters)}"


class Ear:
    """A link, and what it heard."""

    def __init__(self, servers: NatsServers | str | list[str], cluster: str, name: str) -> None:
        self.presence: list[bytes] = []
        self.messages: list[bytes] = []
        self.changes: list[bool] = []
        self.subject = f"{cluster}.server.{name}"
        self.everybody = f"{cluster}.presence"
        self._heard = asyncio.Event()
        self.link = NatsLink(
            servers if isinstance(servers, NatsServers) else NatsServers(servers),
            name=name,
            presence=self.everybody,
            subject=self.subject,
            on_presence=self._keep(self.presence),
            on_message=self._keep(self.messages),
            on_connected=self._keep(self.changes),
        )

    def _keep(self, heard: list[T]) -> Callable[[T], None]:
        def keep(what: T) -> None:
            heard.append(what)
            self._heard.set()

        return keep

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something that was heard makes it true."""
        while not true():
            self._heard.clear()
            await self._heard.wait()


@asynccontextmanager
async def ears(
    servers: NatsServers | str | list[str], *names: str, cluster: str = ""
) -> AsyncIterator[list[Ear]]:
    """Links of one cluster, connected."""
    cluster = cluster or new_cluster()
    made = [Ear(servers, cluster, name) for name in names]
    try:
        for ear in made:
            await ear.link.open(10)
        yield made
    finally:
        for ear in made:
            await ear.link.close()
