"""What aiokafka sends: ``pip install aiokafka==0.14.0``.

No broker is in a package of Python or Debian; what answers here is not recorded.
"""

from __future__ import annotations

import asyncio

from aiokafka.conn import create_conn
from aiokafka.protocol.admin import ApiVersionRequest
from aiokafka.protocol.metadata import MetadataRequest

from .recording import Tap, package, save, stream


def size_of(data: bytes) -> int:
    """4 bytes of length before each message."""
    if len(data) < 4:
        raise IndexError
    return 4 + int.from_bytes(data[:4], "big")


sessions: list[asyncio.Task[None]] = []


async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with the versions of three requests, or with no topics."""
    task = asyncio.current_task()
    assert task
    sessions.append(task)
    versions = b"".join(
        key.to_bytes(2, "big") + b"\0\0" + most.to_bytes(2, "big")
        for key, most in ((0, 7), (3, 1), (18, 0))
    )
    while head := await reader.read(4):
        request = await reader.readexactly(int.from_bytes(head, "big"))
        body = b"\0\0\0\0\0\3" + versions if request[:2] == b"\0\x12" else bytes(12)
        writer.write((4 + len(body)).to_bytes(4, "big") + request[4:8] + body)
    writer.close()


async def main() -> None:
    """Ask for versions and topics."""
    server = await asyncio.start_server(broker, "127.0.0.1", 0)
    tap = Tap(server.sockets[0].getsockname())
    connection = await create_conn("127.0.0.1", tap.port, client_id="recorder")
    await connection.send(ApiVersionRequest())
    for names in ([], ["parts"], [f"parts-{n}" for n in range(40)]):
        await connection.send(MetadataRequest(names))
    connection.close()
    server.close()
    await server.wait_closed()
    await asyncio.gather(*sessions)
    [passed] = tap.connections
    save("kafka", "kafka", __file__, [stream(passed.client, package("aiokafka"), size_of)])


asyncio.run(main())
