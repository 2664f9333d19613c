"""aiocoap, client and server over TCP: ``pip install aiocoap==0.4.17``."""

from __future__ import annotations

import asyncio

import aiocoap
import aiocoap.resource

from .recording import Tap, free_port, package, save, stream


def size_of(data: bytes) -> int:
    """RFC 8323, 3.2: Len, TKL, extended length, code, token; Len counts options and payload."""
    nibble, token = data[0] >> 4, data[0] & 15
    if nibble < 13:
        return 1 + 1 + token + nibble
    width = {13: 1, 14: 2, 15: 4}[nibble]
    base = {13: 13, 14: 269, 15: 65_805}[nibble]
    extended = data[1 : 1 + width]
    if len(extended) < width:
        raise IndexError
    return 1 + width + 1 + token + base + int.from_bytes(extended, "big")


class Thing(aiocoap.resource.Resource):
    """Gives back what it was given last."""

    def __init__(self) -> None:
        super().__init__()
        self.content = b"x"

    async def render_get(self, request: aiocoap.Message) -> aiocoap.Message:
        """Return the content."""
        del request
        return aiocoap.Message(payload=self.content)

    async def render_put(self, request: aiocoap.Message) -> aiocoap.Message:
        """Replace the content."""
        self.content = request.payload
        return aiocoap.Message(code=aiocoap.CHANGED)


async def main() -> None:
    """Put and get, of every width of the length but the last."""
    port = free_port()
    site = aiocoap.resource.Site()
    site.add_resource(["thing"], Thing())
    server = await aiocoap.Context.create_server_context(
        site, bind=("127.0.0.1", port), transports=["tcpserver"]
    )
    tap = Tap(("127.0.0.1", port))
    client = await aiocoap.Context.create_client_context(transports=["tcpclient"])
    uri = f"coap+tcp://127.0.0.1:{tap.port}/thing"
    for size in (1, 40, 900):
        put = aiocoap.Message(code=aiocoap.PUT, uri=uri, payload=bytes(size))
        await client.request(put).response
        await client.request(aiocoap.Message(code=aiocoap.GET, uri=uri)).response
    await client.shutdown()
    await server.shutdown()
    by = package("aiocoap")
    [connection] = tap.connections
    save(
        "coap-tcp",
        "coap-tcp",
        __file__,
        [stream(connection.client, by, size_of), stream(connection.server, by, size_of)],
    )


asyncio.run(main())
