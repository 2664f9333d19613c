"""asyncua."""

from __future__ import annotations

import asyncio
import socket

from asyncua import Client, Server


async def main() -> None:
    """Open a session, read, write more than a chunk takes, read it back."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
    index = await server.register_namespace("http://example.com/")
    variable = await server.nodes.objects.add_variable(index, "Value", "short")
    await variable.set_writable()
    async with server:
        print(port, flush=True)
        towards = int(await asyncio.to_thread(input))
        async with Client(f"opc.tcp://127.0.0.1:{towards}/") as client:
            node = client.get_node(variable.nodeid)
            assert await node.read_value() == "short"
            await node.write_value("long " * 40_000)
            assert await node.read_value() == "long " * 40_000


if __name__ == "__main__":
    asyncio.run(main())
