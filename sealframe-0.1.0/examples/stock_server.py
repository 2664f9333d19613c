"""A service that answers requests, with typed messages: a store from which clients take things.

Run it: python examples/stock_server.py [HOST [PORT]]

It needs msgspec: pip install 'sealframe[msgspec]'. The types are in stock.py. Then run
stock_client.py in another terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

import sealframe
from sealframe.codecs import Msgspec
from stock import Left, Take

Client = sealframe.Connection[Left, Take]
"""A connection on which Left is sent, and Take received."""


class Store:
    """Things, and how many there are of each."""

    def __init__(self) -> None:
        self._left = {"apples": 10, "pears": 3}

    async def take(self, conn: Client, request: Take) -> Left:
        """Answer one request. Any number may run at once, each in a task of its own."""
        left = self._left.get(request.thing)
        if left is None:
            raise sealframe.RemoteError("UnknownThing", f"there are no {request.thing} here")
        if left < request.number:
            # The client gets this error as it is. Any other is the server's fault: it
            # reaches the client too, and stands in the server's log.
            raise sealframe.RemoteError("TooFew", f"there are {left} {request.thing}")
        self._left[request.thing] = left - request.number
        print(conn.id, "takes", request.number, request.thing)
        return Left(request.thing, left - request.number)


async def main(host: str = "127.0.0.1", port: str = "1234") -> None:
    codec = Msgspec(Take, send_type=Left)
    # There are no messages beside the requests, so no handler.
    async with sealframe.serve(
        None, host, int(port), codec=codec, on_request=Store().take
    ) as server:
        print(f"listening on {host}:{server.port}")
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
