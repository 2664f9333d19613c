"""WebSocket's frames, with websockets as server and as client."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
from typing import TYPE_CHECKING

import pytest

import sealframe
from sealframe.framing.layouts import WEBSOCKET

if TYPE_CHECKING:
    from sealframe import Connection

if importlib.util.find_spec("websockets") is None:
    pytest.skip("websockets is not installed", allow_module_level=True)

import websockets

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPTED = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""What follows from it, by RFC 6455, section 1.3."""
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MASK = b"\x01\x02\x03\x04"
SIZES = [0, 4, 125, 126, 65_535, 65_536]
BINARY, CLOSE = 0x82, 0x88


def masked(payload: bytes) -> bytes:
    return bytes(byte ^ MASK[place % 4] for place, byte in enumerate(payload))


def from_client(kind: int, payload: bytes) -> bytes:
    """A frame: which length field it gets is left to the encoder."""
    short = min(len(payload), 126 if len(payload) < 65_536 else 127)
    wide = len(payload).to_bytes({126: 2, 127: 8}.get(short, 0), "big") if short > 125 else b""
    return bytes([kind, 0x80 | short]) + wide + MASK + masked(payload)


def header_size(frame: bytes) -> int:
    wider = {126: 2, 127: 8}.get(frame[1] & 0x7F, 0)
    return 2 + wider + (4 if frame[1] & 0x80 else 0)


async def test_a_client_is_echoed() -> None:
    async def echo(connection: websockets.ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with websockets.serve(echo, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with sealframe.connect("127.0.0.1", port, framing=WEBSOCKET) as conn:
            await conn.send(
                b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY
            )
            status, *lines = (await conn.recv()).split(b"\r\n")
            assert status.startswith(b"HTTP/1.1 101 ")
            assert b"Sec-WebSocket-Accept: " + ACCEPTED in lines
            for size in SIZES:
                await conn.send(from_client(BINARY, bytes(size)))
                frame = await conn.recv()
                assert frame[0] == BINARY
                assert frame[header_size(frame) :] == bytes(size)
            await conn.send(from_client(CLOSE, b"\x03\xe8"))
            assert (await conn.recv())[:1] == bytes([CLOSE])


async def answer(conn: Connection) -> None:
    """Accept, and echo without masks."""
    head = await conn.recv()
    key = next(
        line.partition(b": ")[2]
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key: ")
    )
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    await conn.send(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept
    )
    async for frame in conn:
        start = header_size(frame)
        mask, payload = frame[start - 4 : start], frame[start:]
        plain = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
        await conn.send(bytes([frame[0], frame[1] & 0x7F]) + frame[2 : start - 4] + plain)
        if frame[0] == CLOSE:
            return


async def test_a_server_echoes() -> None:
    async with sealframe.serve(answer, "127.0.0.1", 0, framing=WEBSOCKET) as server:
        address = f"ws://127.0.0.1:{server.port}/"
        async with websockets.connect(address, compression=None) as client:
            for size in SIZES:
                await client.send(bytes(size))
                assert await client.recv() == bytes(size)
