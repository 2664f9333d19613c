"""iso8583sim, client and host, with each of its lengths: ``pip install iso8583sim==1.6.0``."""

from __future__ import annotations

import asyncio

from iso8583sim.core.types import ISO8583Message
from iso8583sim.net.client import ISO8583Client
from iso8583sim.net.framing import Framing
from iso8583sim.net.host import MockHost

from .recording import Tap, package, save, stream

LAYOUTS = {
    "iso-8583-binary": ("2b", lambda data: 2 + int.from_bytes(data[:2], "big")),
    "iso-8583-binary-4": ("4b", lambda data: 4 + int.from_bytes(data[:4], "big")),
    "iso-8583-ascii": ("4a", lambda data: 4 + int(data[:4])),
}


async def main() -> None:
    """Sign on and authorise, over one connection."""
    by = package("iso8583sim")
    for entry, (header, size_of) in LAYOUTS.items():
        host = MockHost(framing=Framing(header))
        listening = await host.start("127.0.0.1", 0)
        tap = Tap(("127.0.0.1", listening.sockets[0].getsockname()[1]))
        async with ISO8583Client("127.0.0.1", tap.port, framing=Framing(header)) as client:
            for stan in (1, 2):
                sign_on = {0: "0800", 7: "0101120000", 11: f"{stan:06}", 70: "001"}
                await client.send(ISO8583Message(mti="0800", fields=sign_on))
            request = {
                0: "0100",
                2: "4111111111111111",
                3: "000000",
                4: "000000010000",
                7: "0101120000",
                11: "000003",
                41: "TERM0001",
                42: "MERCHANT0000001",
            }
            await client.send(ISO8583Message(mti="0100", fields=request))
        await host.stop()
        [connection] = tap.connections
        save(
            entry,
            entry,
            __file__,
            [stream(connection.client, by, size_of), stream(connection.server, by, size_of)],
        )


asyncio.run(main())
