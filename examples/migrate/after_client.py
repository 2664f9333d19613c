"""After: the same client, for an old server or a new one."""

from __future__ import annotations

import asyncio
import sys

import sealframe


async def main(host: str = "127.0.0.1", port: str = "1234") -> None:
    async with sealframe.connect(host, int(port)) as conn:
        for word in (b"one", b"", b"three"):
            await conn.send(word)
            print(await conn.recv())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
