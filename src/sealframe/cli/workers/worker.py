"""A worker's side: what it is to do, and when it is to stop."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

from ...cluster.numbers import HEARTBEAT_INTERVAL
from ..errors import Exit
from .job import READY, Job

if TYPE_CHECKING:
    from ...cluster import Cluster

_NOTICE: Final = 3 * HEARTBEAT_INTERVAL
"""Seconds between the news that a worker leaves and the end of its service. Workers that stop
together know it of each other by then, and hand no sessions to one that leaves as well."""


class Worker:
    """One of several processes on one port.

    :ivar job: what it is to do
    """

    def __init__(self, channel: socket.socket, job: Job) -> None:
        self._channel = channel
        self.job = job

    @classmethod
    def from_stdin(cls) -> Worker:
        """Take the job that the parent puts there; exit if the parent has gone before."""
        channel = socket.socket(fileno=0)
        line = bytearray()
        while not line.endswith(b"\n"):
            more = channel.recv(1)
            if not more:
                sys.exit(Exit.FAILED)
            line += more
        channel.setblocking(False)
        return cls(channel, Job.decode(bytes(line)))

    async def serve(self, cluster: Cluster, stopped: asyncio.Future[Exit]) -> None:
        """Say that it listens, and wait until it is to stop; the others know that by then.

        :param stopped: what a signal sets; what the parent says does it here
        """
        loop = asyncio.get_running_loop()
        told = asyncio.create_task(self._told())
        try:
            await loop.sock_sendall(self._channel, READY)
            either: set[asyncio.Future[Any]] = {told, stopped}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            cluster.leaving()
            await asyncio.sleep(_NOTICE)
            if not stopped.done():
                stopped.set_result(Exit.DONE)
        finally:
            told.cancel()
            await asyncio.wait([told])

    async def _told(self) -> None:
        # Whatever comes, and the end: the parent may have been killed.
        try:
            await asyncio.get_running_loop().sock_recv(self._channel, 1)
        except ConnectionError:
            return
