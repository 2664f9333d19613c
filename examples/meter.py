"""A meter: sends its readings, and need not know that its server is killed now and then.

Run it: python examples/meter.py [HOST [PORT [READINGS [SECONDS_BETWEEN_THEM]]]]

Run meter_server.py in another terminal, and kill and start it as often as you like.
"""

from __future__ import annotations

import asyncio
import sys

import sealframe


async def main(
    host: str = "127.0.0.1", port: str = "1234", readings: str = "100", interval: str = "0.1"
) -> None:
    options = sealframe.ClientOptions(close_timeout=60, backoff_maximum=1)
    async with sealframe.connect(host, int(port), session=True, options=options) as conn:
        for number in range(1, int(readings) + 1):
            await conn.send(f"reading {number}".encode())
            await asyncio.sleep(float(interval))
        # This waits until the server has stored all of them.
        stored = await conn.close()
    print("all are stored" if stored else "the server did not come back in time")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
