"""hl7 (python-hl7), client and server: ``pip install hl7==0.4.5``."""

from __future__ import annotations

import asyncio

import hl7
from hl7.client import MLLPClient
from hl7.mllp import HL7StreamReader, HL7StreamWriter, start_hl7_server

from .recording import Tap, package, save, stream

SEGMENTS = [
    r"MSH|^~\&|LAB|HOSPITAL|EHR|HOSPITAL|20260101120000||ORU^R01|{0}|P|2.4",
    "PID|||555-44-4444||DOE^JANE^^^^^L||19620320|F",
    "OBR|1|845439|1045813|1554-5^GLUCOSE|||20260101080000",
    "OBX|1|SN|1554-5^GLUCOSE||^182|mg/dl|70_105|H|||F",
]
MESSAGE = "".join(f"{segment}\r" for segment in SEGMENTS)


def size_of(data: bytes) -> int:
    """MLLP release 1: VT, the content, FS and CR."""
    return data.index(b"\x1c\r") + 2


async def answer(reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
    """Acknowledge every message."""
    try:
        while True:
            message = await reader.readmessage()
            writer.writemessage(message.create_ack())
            await writer.drain()
    except asyncio.IncompleteReadError:
        writer.close()


def ask(port: int) -> None:
    """Send some messages, a segment of 2,000 bytes among them, and wait for each answer."""
    with MLLPClient("127.0.0.1", port) as client:
        for number in range(3):
            client.send_message(hl7.parse(MESSAGE.format(number)))
        client.send_message(hl7.parse(MESSAGE.format(3) + f"NTE|1||{'x' * 2000}\r"))


async def main() -> None:
    """Serve and ask."""
    async with await start_hl7_server(answer, host="127.0.0.1", port=0) as server:
        tap = Tap(server.sockets[0].getsockname())
        await asyncio.to_thread(ask, tap.port)
    by = package("hl7")
    [connection] = tap.connections
    save(
        "mllp",
        "mllp",
        __file__,
        [stream(connection.client, by, size_of), stream(connection.server, by, size_of)],
    )


asyncio.run(main())
