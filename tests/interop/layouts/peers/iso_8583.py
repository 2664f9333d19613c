"""iso8583sim, with the length that the first argument names."""

from __future__ import annotations

import asyncio
import sys

from iso8583sim.core.types import ISO8583Message
from iso8583sim.net.client import ISO8583Client
from iso8583sim.net.framing import Framing
from iso8583sim.net.host import MockHost


async def main() -> None:
    """Authorise ten times at once: answers are told apart by their trace numbers."""
    framing = Framing(sys.argv[1])
    host = MockHost(framing=framing)
    listening = await host.start("127.0.0.1", 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    towards = int(await asyncio.to_thread(input))
    async with ISO8583Client("127.0.0.1", towards, framing=framing) as client:
        requests = [
            ISO8583Message(
                mti="0100",
                fields={
                    0: "0100",
                    2: "4111111111111111",
                    3: "000000",
                    4: "000000010000",
                    7: "0101120000",
                    11: f"{number:06}",
                    41: "TERM0001",
                    42: "MERCHANT0000001",
                },
            )
            for number in range(1, 11)
        ]
        answers = await asyncio.gather(*map(client.send, requests))
        assert [answer.mti for answer in answers] == ["0110"] * 10
        assert [int(answer.fields[11]) for answer in answers] == list(range(1, 11))
        assert {answer.fields[39] for answer in answers} == {"00"}
    await host.stop()


if __name__ == "__main__":
    asyncio.run(main())
