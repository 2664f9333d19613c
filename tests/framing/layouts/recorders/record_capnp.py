"""pycapnp, calls of a client and answers of a server: ``pip install pycapnp==2.2.4``."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import capnp

from .recording import Tap, package, save, stream

SCHEMA = """@0x934efea7f017fff0;
interface Parts { twice @0 (text :Text) -> (text :Text); }
"""


def size_of(data: bytes) -> int:
    """Segments less one, their sizes in words, padding to 8 bytes, the segments."""
    count = 1 + int.from_bytes(data[:4], "little")
    head = (4 + 4 * count + 7) // 8 * 8
    if len(data) < head:
        raise IndexError
    sizes = (int.from_bytes(data[4 * n : 4 * n + 4], "little") for n in range(1, count + 1))
    return head + 8 * sum(sizes)


async def main() -> None:
    """Call a few times."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "parts.capnp"
        path.write_text(SCHEMA, encoding="ascii")
        parts: Any = capnp.load(str(path)).Parts

    class Server(parts.Server):  # type: ignore[misc,name-defined,unused-ignore]
        async def twice(self, text: str, **_: object) -> str:
            return text * 2

    async def session(connection: Any) -> None:
        await capnp.TwoPartyServer(connection, bootstrap=Server()).on_disconnect()

    server = await capnp.AsyncIoStream.create_server(session, "127.0.0.1", 0)
    tap = Tap(server.sockets[0].getsockname())
    connection = await capnp.AsyncIoStream.create_connection("127.0.0.1", tap.port)
    client = capnp.TwoPartyClient(connection)
    service = client.bootstrap().cast_as(parts)
    for size in (0, 4, 3000):
        await service.twice(text="x" * size)
    del service, client
    connection.close()
    server.close()
    by = package("pycapnp")
    [passed] = tap.connections
    streams = [stream(sent, by, size_of) for sent in (passed.client, passed.server)]
    save("capnp", "capnp", __file__, streams)


asyncio.run(capnp.run(main()))
