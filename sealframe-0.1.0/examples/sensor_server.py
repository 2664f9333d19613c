"""Takes in what sensor.py measures: a request for each reading, answered once it is noted.

Run it: python examples/sensor_server.py [HOST [PORT]]

Stop it, by force too, and start it again while the sensor runs: no reading is lost. Here to be
noted is to be printed; a program that keeps readings would answer once they are in its database.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys

import sealframe


class Notes:
    """The readings that came, by the name of the sensor."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    async def note(self, conn: sealframe.Connection, payload: bytes) -> None:
        """Answer a request; to return is to answer, with nothing."""
        reading = json.loads(payload)
        sensor, number = reading["sensor"], reading["number"]
        # One whose answer was lost with its connection comes once more.
        if number > self._last.get(sensor, 0):
            self._last[sensor] = number
            print(f"{sensor} {number}: {reading['celsius']} °C")


async def main(host: str = "127.0.0.1", port: str = "1234") -> None:
    notes = Notes()
    # There are no messages beside the requests, so no handler.
    async with sealframe.serve(None, host, int(port), on_request=notes.note) as server:
        print(f"listening on {host}:{server.port}")
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
