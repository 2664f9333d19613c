"""A sealframe server and smpplib's client."""

from __future__ import annotations

import struct
import sys

import sealframe
from sealframe import Connection
from sealframe.framing.layouts import SMPP

from ..programs import running
from .test_relayed import TESTS, need

ANY_LOOP = True
RESPONSE = 0x8000_0000
BIND_TRANSCEIVER, SUBMIT, DELIVER, UNBIND, ENQUIRE_LINK = 9, 4, 5, 6, 0x15


def pdu(command: int, sequence: int, body: bytes = b"") -> bytes:
    """A PDU, whose length sealframe fills in."""
    return struct.pack(">IIII", 0, command, 0, sequence) + body


def delivery(text: bytes) -> bytes:
    """The body of deliver_sm (SMPP v3.4, section 4.6.1)."""
    addresses = b"\0" + b"\1\1" + b"1\0" + b"\1\1" + b"2\0"
    return addresses + bytes(3) + b"\0\0" + bytes(4) + bytes([len(text)]) + text


async def test_a_client_binds_submits_and_is_delivered_to() -> None:
    need("smpplib")
    commands: list[int] = []

    async def handler(conn: Connection) -> None:
        async for message in conn:
            length, command, _, sequence = struct.unpack_from(">IIII", message)
            assert length == len(message)
            commands.append(command)
            if command & RESPONSE:
                continue
            body = b""
            if command == BIND_TRANSCEIVER:
                body = b"sealframe\0"
            if command == SUBMIT:
                body = b"m%d\0" % commands.count(SUBMIT)
            await conn.send(pdu(command | RESPONSE, sequence, body))
            if commands.count(SUBMIT) == 2 and command == SUBMIT:
                await conn.send(pdu(DELIVER, 1, delivery(b"done")))

    command = (sys.executable, "-W", "ignore", "-m", "interop.layouts.peers.smpp")
    async with sealframe.serve(handler, "127.0.0.1", 0, framing=SMPP) as server:
        async with running(*command, folder=TESTS) as client:
            _, errors = await client.communicate(f"{server.port}\n".encode())
            assert client.returncode == 0, errors.decode()
    assert commands == [
        *(BIND_TRANSCEIVER, ENQUIRE_LINK, SUBMIT, SUBMIT),
        *(DELIVER | RESPONSE, UNBIND),
    ]
