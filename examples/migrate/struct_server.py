"""Before: a server by hand. Each message goes back in capitals."""

from __future__ import annotations

import asyncio
import struct
import sys


async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            (length,) = struct.unpack("<i", await reader.readexactly(4))
            message = await reader.readexactly(length)
            writer.write(struct.pack("<i", len(message)) + message.upper())
            await writer.drain()
    except asyncio.IncompleteReadError:
        pass
    writer.close()


async def main(host: str = "127.0.0.1", port: str = "1234") -> None:
    server = await asyncio.start_server(handle, host, int(port))
    print(f"listening on {host}:{server.sockets[0].getsockname()[1]}")
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
