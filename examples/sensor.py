"""A sensor that measures on while there is no link, and sends what has waited once there is.

Run it: python examples/sensor.py [HOST [PORT [SECONDS_BETWEEN_READINGS]]]

Run sensor_server.py in another terminal, before or after. A reading is forgotten when the server
has answered that it is noted, and not when it was sent: what was on its way when a link broke may
have arrived or not. So it may come twice, and has a number by which the server can tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import sys
from collections import deque

import sealframe

MOST = 1000
"""How many readings wait at most; the oldest make room."""


class Sensor:
    """Readings that wait to be delivered."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: deque[dict[str, object]] = deque(maxlen=MOST)
        self._measured = asyncio.Event()

    async def measure(self, interval: float) -> None:
        """Take a reading now and then, for ever."""
        for number in itertools.count(1):
            celsius = round(random.gauss(20, 0.5), 2)
            self._waiting.append({"sensor": self._name, "number": number, "celsius": celsius})
            self._measured.set()
            await asyncio.sleep(interval)

    async def deliver(self, host: str, port: int) -> None:
        """Send the readings in order, over one connection after the other."""
        options = sealframe.ClientOptions(backoff_maximum=5)
        async for conn in sealframe.connect(host, port, extended=True, options=options):
            print(f"connected, {len(self._waiting)} readings wait")
            try:
                while True:
                    await self._deliver_next(conn)
            except sealframe.ConnectionClosed as error:
                # The loop's next round is the next connection, however long that takes.
                print("cut off:", error)

    async def _deliver_next(self, conn: sealframe.Connection) -> None:
        while not self._waiting:
            self._measured.clear()
            await self._measured.wait()
        reading = self._waiting[0]
        await conn.request(json.dumps(reading).encode())
        print(reading["number"], "is noted")
        # Meanwhile it may have made room for a newer one.
        if self._waiting[0] is reading:
            self._waiting.popleft()


async def main(host: str = "127.0.0.1", port: str = "1234", interval: str = "1") -> None:
    sensor = Sensor(f"sensor-{random.randrange(1000)}")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sensor.measure(float(interval)))
        tasks.create_task(sensor.deliver(host, int(port)))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
