"""Messages as a head and a body."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

import pytest

import sealframe
from sealframe import Connection
from sealframe.codecs import Codec
from sealframe.errors import ConfigurationError, EncodeError
from sealframe.framing import Checksum, Escaped, Framed, Framing, Uint, Varint

MODBUS = Framing(offset=4, width=2, byteorder="big", strip=0, minimum=8, maximum=260)
MQTT = Framing(offset=1, length=Varint(4), strip=0)


@pytest.mark.parametrize(
    ("layout", "size", "framed", "frame"),
    [
        (MODBUS, 5, (b"\0\1\0\0\x11", b"\3\0k\0\3"), b"\0\1\0\0\0\6\x11\3\0k\0\3"),
        (MODBUS, None, (b"\0\1\0\0", b"\x11\3"), b"\0\1\0\0\0\2\x11\3"),
        (MQTT, None, (b"\x30", bytes(321)), b"\x30\xc1\x02" + bytes(321)),
        (MQTT, None, (b"\xc0", b""), b"\xc0\0"),
        (
            Framing(width=2, strip=0, checksums=Checksum(1, sum, at="head")),
            None,
            (b"\x03", b"\1\2"),
            b"\2\0\3\1\2",
        ),
        (
            Framing(length=Escaped(1, wider={255: 2}), strip=0),
            0,
            (b"", bytes(300)),
            b"\xff\1\x2c" + bytes(300),
        ),
    ],
)
def test_both_ways(
    layout: Framing, size: int | None, framed: tuple[bytes, bytes], frame: bytes
) -> None:
    codec = layout.heads(size)
    assert codec.size == len(framed[0])
    assert layout.encode(codec.encode(Framed(*framed))) == frame
    assert layout.encode(codec.encode((bytearray(framed[0]), memoryview(framed[1])))) == frame
    (message,) = layout.decoder().feed(frame)
    assert isinstance(message, bytes)
    head, body = codec.decode(message)
    assert (head, bytes(body)) == framed
    assert isinstance(body, memoryview)
    assert body.obj is message


async def test_over_a_connection() -> None:
    codec: Codec[Framed, Framed] = MODBUS.heads(5)

    async def handler(conn: Connection[Framed, Framed]) -> None:
        async for head, body in conn:
            await conn.send(Framed(head, bytes(body)[::-1]))

    async with sealframe.serve(handler, "127.0.0.1", 0, framing=MODBUS, codec=codec) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"\0\1\0\0\0\4\x11abc")
        assert await reader.readexactly(10) == b"\0\1\0\0\0\4\x11cba"
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    "message", [b"bytes", ("text", b""), (b"12345",), (b"12345", b"", b""), None, (5, 5)]
)
def test_what_is_no_head_and_body(message: Any) -> None:
    with pytest.raises(EncodeError, match="a message is Framed"):
        MODBUS.heads(5).encode(message)


def test_a_head_of_another_size() -> None:
    with pytest.raises(EncodeError, match="a head has 5 bytes here, not 4"):
        MODBUS.heads(5).encode(Framed(b"1234", b"abc"))


@pytest.mark.parametrize(
    ("layout", "size", "text"),
    [
        (Framing(width=2), None, "say strip=0"),
        (Framing(varint=True), None, "say strip=0"),
        (MODBUS, 3, "size must be 4, the bytes before the length, to 6"),
        (MODBUS, 7, "size must be 4"),
        (MODBUS, True, "size must be 4"),
        (Framing(length=Uint(4, mask=0x7FFF_FFFF), strip=0), None, "bits of the length field"),
    ],
)
def test_where_there_are_none(layout: Framing, size: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        layout.heads(size)


def test_zlib_is_a_checksum_of_messages_with_heads() -> None:
    layout = Framing(offset=2, width=2, strip=0, checksums=Checksum(4, zlib.crc32, "frame"))
    codec = layout.heads()
    frame = layout.encode(codec.encode(Framed(b"ab", b"body")))
    (message,) = layout.decoder().feed(frame)
    assert codec.decode(message) == (b"ab", b"body")  # type: ignore[arg-type]
