"""Two nodes of NATS that are cut off from each other, and what their servers know of each other."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest
from aio.ends import PATIENCE
from aio.scripted import until
from ports import reserved_port

import sealframe
from sealframe import ClusterUnavailableError, ConnectionClosed
from sealframe.cluster import Cluster

from .members import Member, agree, member, seen_by
from .nats_servers import NatsServer

ANY_LOOP = True


class Cable:
    """A port that leads to another one, until it is cut."""

    def __init__(self, port: int, target: int) -> None:
        self._port = port
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._whole = True

    async def listen(self) -> asyncio.Server:
        """Carry what comes."""
        return await asyncio.start_server(self._carry, "127.0.0.1", self._port)

    def cut(self) -> None:
        """Carry nothing any more."""
        self._whole = False
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        """Carry what comes from now on."""
        self._whole = True

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, back}
        await asyncio.gather(self._copy(reader, back), self._copy(there, writer))
        self._writers -= {writer, back}

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()


@contextmanager
def ending(server: asyncio.Server, cable: Cable) -> Iterator[None]:
    """Cut it, and listen no more."""
    try:
        yield
    finally:
        cable.cut()
        server.close()


async def test_two_nodes_are_cut_off(tmp_path: Path) -> None:
    """The servers of each are gone for those of the other; afterwards all is as before."""
    name = secrets.token_hex(8)
    async with AsyncExitStack() as stack:
        ports = [stack.enter_context(reserved_port()) for _ in range(5)]
        nodes = []
        for number, routes in enumerate(("[]", f'["nats://127.0.0.1:{ports[4]}"]')):
            folder = tmp_path / f"n{number}"
            folder.mkdir()
            node = NatsServer(
                ports[number],
                folder,
                f'server_name: "n{number}"\n'
                f'cluster {{ name: "cut", listen: "127.0.0.1:{ports[2 + number]}"\n'
                f"no_advertise: true, routes: {routes} }}\n",
            )
            stack.callback(node.end)
            nodes.append(node)
        cable = Cable(ports[4], ports[2])
        stack.enter_context(ending(await cable.listen(), cable))
        members = []
        for node in nodes:
            await asyncio.to_thread(node.start)
            own = Cluster(node.url, name=name)
            serving = sealframe.serve(member, "127.0.0.1", 0, cluster=own)
            members.append(Member(await stack.enter_async_context(serving), own))
        a, b = members
        running = asyncio.Event()

        async def never(conn: object, payload: bytes) -> bytes:
            running.set()
            await asyncio.Event().wait()
            return b""

        id_a, at_a = await a.connect()
        id_b, at_b = await b.connect(on_request=never)
        await seen_by(members, id_a, id_b)
        asking = asyncio.create_task(a.cluster.request(id_b, b"no time-out"))
        await running.wait()
        cable.cut()
        async with asyncio.timeout(PATIENCE):
            with pytest.raises((ConnectionClosed, ClusterUnavailableError)):
                await asking
        await until(lambda: set(a.cluster.clients) == {id_a})
        await until(lambda: set(b.cluster.clients) == {id_b})
        assert a.cluster.connected
        assert b.cluster.connected
        cable.mend()
        await agree(members)
        await a.cluster.broadcast(b"together")
        for conn in (at_a, at_b):
            async with asyncio.timeout(PATIENCE):
                assert await conn.recv() == b"together"
            await conn.close()
