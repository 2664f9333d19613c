"""NATS, with its own server."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

import sealframe
from sealframe.framing.layouts import NATS

from ..programs import running

SERVER = shutil.which("nats-server") or shutil.which(
    "nats-server", path=Path(sys.executable).parent
)
pytestmark = pytest.mark.skipif(SERVER is None, reason="nats-server is not installed")


async def test_a_client_subscribes_and_publishes(port: int) -> None:
    async with running(SERVER, "-a", "127.0.0.1", "-p", port) as peer:
        assert peer.stderr
        while b"Server is ready" not in await peer.stderr.readline():
            pass
        async with sealframe.connect("127.0.0.1", port, framing=NATS) as conn:
            assert (await conn.recv()).startswith(b"INFO {")
            await conn.send(b'CONNECT {"verbose":false,"headers":true}\r\n')
            await conn.send(b"SUB parts 1\r\n")
            payloads = [b"bolt", b"", b"\r\nPING\r\n", b"n" * 100_000]
            for payload in payloads:
                await conn.send(b"PUB parts %d\r\n%b\r\n" % (len(payload), payload))
            await conn.send(b"HPUB parts 23 27\r\nNATS/1.0\r\nColour: r\r\n\r\nbolt\r\n")
            await conn.send(b"PING\r\n")
            received = []
            while (message := await conn.recv()) != b"PONG\r\n":
                if message != b"PING\r\n":
                    received.append(message)
            assert received == [
                *(b"MSG parts 1 %d\r\n%b\r\n" % (len(payload), payload) for payload in payloads),
                b"HMSG parts 1 23 27\r\nNATS/1.0\r\nColour: r\r\n\r\nbolt\r\n",
            ]
