"""asyncua, client and server: ``pip install asyncua==2.1.0``."""

from __future__ import annotations

import asyncio
import struct

from asyncua import Client, Server

from .recording import Tap, free_port, package, save, stream


def size_of(data: bytes) -> int:
    """OPC 10000-6, 7.1.2.2: three letters, one more, the size of all."""
    return int(struct.unpack_from("<I", data, 4)[0])


async def main() -> None:
    """Open a channel and a session, browse, read and write, close."""
    port = free_port()
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
    index = await server.register_namespace("http://example.com/")
    thing = await server.nodes.objects.add_object(index, "Thing")
    variable = await thing.add_variable(index, "Value", 6.7)
    await variable.set_writable()
    async with server:
        tap = Tap(("127.0.0.1", port))
        async with Client(f"opc.tcp://127.0.0.1:{tap.port}/") as client:
            node = client.get_node(variable.nodeid)
            await node.read_value()
            await node.write_value(7.5)
            await client.nodes.objects.get_children()
    by = package("asyncua")
    connection = tap.connections[-1]
    save(
        "opc-ua",
        "opc-ua",
        __file__,
        [stream(connection.client, by, size_of), stream(connection.server, by, size_of)],
    )


asyncio.run(main())
