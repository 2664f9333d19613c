"""Before: a client by hand."""

from __future__ import annotations

import asyncio
import struct
import sys


async def main(host: str = "127.0.0.1", port: str = "1234") -> None:
    reader, writer = await asyncio.open_connection(host, int(port))
    for word in (b"one", b"", b"three"):
        writer.write(struct.pack("<i", len(word)) + word)
        await writer.drain()
        (length,) = struct.unpack("<i", await reader.readexactly(4))
        print(await reader.readexactly(length))
    writer.close()
    await writer.wait_closed()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
