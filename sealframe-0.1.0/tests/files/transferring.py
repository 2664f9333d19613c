"""One end of a transfer: ``transferring.py receive DIRECTORY KEY`` or ``send FILE KEY PORT``.

The key is a file, or empty for a plain connection. It prints the port it listens on, or how
many bytes were resumed.
"""

from __future__ import annotations

import asyncio
import sys

import sealframe
from sealframe import Connection, Inbox, SharedKey


async def handler(conn: Connection) -> None:
    async for _ in conn:
        pass


async def receive(directory: str, key: str) -> None:
    security = SharedKey.load(key) if key else None
    inbox = Inbox(directory, keep_free=0)
    async with sealframe.serve(handler, "127.0.0.1", 0, files=inbox, security=security) as server:
        print(server.port, flush=True)
        await server.serve_forever()


async def send(path: str, key: str, port: str) -> None:
    security = SharedKey.load(key) if key else None
    connecting = sealframe.connect("127.0.0.1", int(port), extended=not key, security=security)
    async with connecting as conn:
        receipt = await conn.send_file(path)
        print(receipt.resumed, flush=True)


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    asyncio.run(receive(*arguments) if role == "receive" else send(*arguments))
