"""aioesphomeapi, a client, and a device that a script plays.

``pip install aioesphomeapi==46.23.0``. The device answers with what the package packs; of what is
encrypted only the client is recorded.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from aioesphomeapi import APIClient
from aioesphomeapi._frame_helper.packets import make_plain_text_packets
from aioesphomeapi.api_pb2 import (
    BinarySensorStateResponse,
    DeviceInfoResponse,
    DisconnectResponse,
    HelloResponse,
    ListEntitiesBinarySensorResponse,
    ListEntitiesDoneResponse,
    PingResponse,
)
from aioesphomeapi.core import APIConnectionError

from .recording import Tap, package, save, stream

HELLO, LEAVE, PING, INFO, LIST, STATES = 1, 5, 7, 9, 11, 20
KEY = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVoxMjM0NTY="


def varint(data: bytes, place: int) -> tuple[int, int]:
    """Return a number, and where it ends."""
    value = shift = 0
    while data[place] >= 0x80:
        value |= (data[place] & 0x7F) << shift
        shift += 7
        place += 1
    return value | data[place] << shift, place + 1


def size_of(data: bytes) -> int:
    """0, length of the data, kind, data; or 1, length in two bytes."""
    if data[0] == 1:
        return 3 + int.from_bytes(data[1:3], "big")
    size, place = varint(data, 1)
    _, place = varint(data, place)
    return place + size


def answers_to(kind: int) -> list[tuple[int, Any]]:
    """Return what a device with one sensor answers."""
    sensor = ListEntitiesBinarySensorResponse(object_id="bolt", key=7, name="A bolt in the attic")
    return {
        HELLO: [(2, HelloResponse(api_version_major=1, api_version_minor=10, name="attic"))],
        LEAVE: [(6, DisconnectResponse())],
        PING: [(8, PingResponse())],
        INFO: [(10, DeviceInfoResponse(name="attic", model="m" * 200, esphome_version="2026.1"))],
        LIST: [(12, sensor), (19, ListEntitiesDoneResponse())],
        STATES: [(21, BinarySensorStateResponse(key=7, state=True))],
    }.get(kind, [])


async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer until the client leaves."""
    data = b""
    while more := await reader.read(4096):
        data += more
        if data[0] == 1:
            break
        while data:
            try:
                size = size_of(data)
            except IndexError:
                break
            if len(data) < size:
                break
            _, place = varint(data, 1)
            kind, _ = varint(data, place)
            data = data[size:]
            packets = [(number, one.SerializeToString()) for number, one in answers_to(kind)]
            if packets:
                writer.write(b"".join(make_plain_text_packets(packets)))
    writer.close()


async def main() -> None:
    """Ask what a device is and has; knock at one that is encrypted."""
    server = await asyncio.start_server(play, "127.0.0.1", 0)
    tap = Tap(server.sockets[0].getsockname())
    client = APIClient("127.0.0.1", tap.port, "", client_info="a client")
    await client.connect(login=True)
    await client.device_info()
    await client.list_entities_services()
    client.subscribe_states(lambda state: None)
    await asyncio.sleep(0.5)
    await client.disconnect()
    secret = APIClient("127.0.0.1", tap.port, "", client_info="a client", noise_psk=KEY)
    with suppress(APIConnectionError):
        await secret.connect(login=True)
    by = package("aioesphomeapi")
    plain, sealed = tap.connections
    streams = [stream(sent, by, size_of) for sent in (plain.client, plain.server, sealed.client)]
    save("esphome", "esphome", __file__, streams)
    server.close()


asyncio.run(main())
