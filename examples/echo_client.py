"""A client of echo_server.py: it sends messages, and prints what comes back.

Run it: python examples/echo_client.py [HOST [PORT [MESSAGE ...]]]
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

import sealframe


async def main(host: str = "127.0.0.1", port: str = "1234", *messages: str) -> None:
    async with sealframe.connect(host, int(port)) as conn:
        for message in messages or ("hello", "grüß dich", ""):
            await conn.send(message.encode())
            print(repr((await conn.recv()).decode()))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
