"""What aiortsp sends, text and interleaved data: ``pip install aiortsp==1.4.0``.

No server is in a package of Python; what answers here is not recorded.
"""

from __future__ import annotations

import asyncio

from aiortsp.rtsp.connection import RTSPConnection

from .recording import Tap, package, save, stream


def size_of(data: bytes) -> int:
    """Section 10.12 of RFC 2326: a dollar sign, a channel and a length; or a request."""
    if data[:1] == b"$":
        if len(data) < 4:
            raise IndexError
        return 4 + int.from_bytes(data[2:4], "big")
    end = data.index(b"\r\n\r\n") + 4
    for line in data[:end].split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return end + int(value)
    return end


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say OK to each request, by its number."""
    while line := await reader.readline():
        if line.lower().startswith(b"cseq:"):
            writer.write(b"RTSP/1.0 200 OK\r\n" + line + b"\r\n")
    writer.close()


async def main() -> None:
    """Requests with and without a body, and data between them."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    tap = Tap(server.sockets[0].getsockname())
    async with RTSPConnection("127.0.0.1", tap.port) as connection:
        url = "rtsp://127.0.0.1/parts"
        await connection.send_request("OPTIONS", url)
        for size in (0, 8, 300):
            connection.send_binary(1, b"n" * size)
        await connection.send_request("SET_PARAMETER", url, body=b"volume: 7\r\n\r\n$\r\n")
        connection.send_binary(0, b"$" * 40)
        await connection.send_request("TEARDOWN", url)
    [passed] = tap.connections
    save("rtsp", "rtsp", __file__, [stream(passed.client, package("aiortsp"), size_of)])


asyncio.run(main())
