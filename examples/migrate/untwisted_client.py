"""After: sealframe, for a server on Twisted or a new one."""

from __future__ import annotations

import asyncio
import sys

import sealframe
from sealframe.framing.layouts import TWISTED_INT32


async def main(host: str = "127.0.0.1", port: str = "1234") -> None:
    async with sealframe.connect(host, int(port), framing=TWISTED_INT32) as conn:
        for word in (b"one", b"", b"three"):
            await conn.send(word)
            print(await conn.recv())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
