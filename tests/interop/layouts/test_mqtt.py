"""MQTT: a broker of a few lines, whose client is paho-mqtt."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sealframe
from sealframe.framing.layouts import MQTT

from ..programs import running

if TYPE_CHECKING:
    from sealframe import Connection

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("paho") is None, reason="paho-mqtt is not installed"
)
PEER = Path(__file__).with_name("other_ends") / "mqtt.py"

CONNECT, PUBLISH, SUBSCRIBE, DISCONNECT = 1, 3, 8, 14


async def test_a_server_passes_on_what_a_client_publishes() -> None:
    kinds = []

    async def broker(conn: Connection) -> None:
        """Send to the one client what it publishes; the length of a packet is filled in."""
        async for packet in conn:
            kinds.append(packet[0] >> 4)
            if kinds[-1] == CONNECT:
                await conn.send(bytes([0x20, 0, 0, 0]))
            elif kinds[-1] == SUBSCRIBE:
                await conn.send(b"\x90\0" + packet[2:4] + b"\0")
            elif kinds[-1] == PUBLISH:
                await conn.send(packet)

    async with sealframe.serve(broker, "127.0.0.1", 0, framing=MQTT) as server:
        async with running(sys.executable, PEER, server.port) as peer:
            assert peer.stdout
            assert (await peer.stdout.read()).decode().splitlines() == [
                "parts 0",
                "parts 4",
                "parts 127",
                "parts 128",
                "parts 20000",
            ]
    assert kinds == [CONNECT, SUBSCRIBE, *[PUBLISH] * 5, DISCONNECT]
