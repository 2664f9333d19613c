"""rsocket with itself: ``pip install rsocket==0.4.20``."""

from __future__ import annotations

import asyncio

from rsocket.helpers import create_future, single_transport_provider
from rsocket.payload import Payload
from rsocket.request_handler import BaseRequestHandler
from rsocket.rsocket_client import RSocketClient
from rsocket.rsocket_server import RSocketServer
from rsocket.transports.tcp import TransportTCP

from .recording import Tap, package, save, stream


def size_of(data: bytes) -> int:
    """A length of 3 bytes before each frame."""
    return 3 + int.from_bytes(data[:3], "big")


class Handler(BaseRequestHandler):  # type: ignore[misc,unused-ignore]
    """Answers with the data that came."""

    async def request_response(self, payload: Payload) -> asyncio.Future[Payload]:
        """Return what came."""
        answer: asyncio.Future[Payload] = create_future(Payload(payload.data * 2, b"twice"))
        return answer


async def main() -> None:
    """Serve and record."""
    servers = []

    def session(*connection: object) -> None:
        servers.append(RSocketServer(TransportTCP(*connection), handler_factory=Handler))

    server = await asyncio.start_server(session, "127.0.0.1", 0)
    tap = Tap(server.sockets[0].getsockname())
    transport = TransportTCP(*await asyncio.open_connection("127.0.0.1", tap.port))
    async with RSocketClient(single_transport_provider(transport)) as client:
        for size in (0, 4, 600):
            await client.request_response(Payload(b"x" * size, b"m"))
        await client.fire_and_forget(Payload(b"bolt"))
    server.close()
    by = package("rsocket")
    [connection] = tap.connections
    streams = [stream(sent, by, size_of) for sent in (connection.client, connection.server)]
    save("rsocket", "rsocket", __file__, streams)


asyncio.run(main())
