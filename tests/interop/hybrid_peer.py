"""A peer with sealed connections, messages and CLOSE, written from docs/PROTOCOL.md alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .hybrid_noise import INTRODUCTION, Handshake, Records, RefusedError

if TYPE_CHECKING:
    import asyncio

HANDSHAKE, HELLO, WELCOME, CLOSE, PING, PONG = 0x41, 0x42, 0x43, 0x44, 0x07, 0x88
NORMAL, VERSION, REFUSED, UNAUTHORIZED = 0, 4, 5, 12
FRAMES_RECEIVED = 8
"""The field of CLOSE."""


def frame(opcode: int | None, body: bytes = b"") -> bytes:
    """Return a control frame, or a message for None."""
    if opcode is None:
        return len(body).to_bytes(4, "little") + body
    return (1 << 31 | 1 + len(body)).to_bytes(4, "little") + bytes([opcode]) + body


def close(code: int, received: int | None = None) -> bytes:
    """Return CLOSE, outside of records without any field."""
    body = code.to_bytes(2, "little") + b"\0"
    if received is not None:
        body += FRAMES_RECEIVED.to_bytes(2, "little") + b"\x08\0" + received.to_bytes(8, "little")
    return frame(CLOSE, body)


def fields(data: bytes) -> dict[int, bytes]:
    """Return the fields behind the fixed part of HELLO, WELCOME or CLOSE."""
    found: dict[int, bytes] = {}
    while data:
        type, length = (int.from_bytes(data[at : at + 2], "little") for at in (0, 2))
        assert type > max(found, default=0), "fields stand in ascending order"
        assert len(data) >= 4 + length
        found[type], data = data[4 : 4 + length], data[4 + length :]
    return found


class Peer:
    """One end of a connection, which `connect` or `accept` seals."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.messages = 0
        """How many were received."""
        self.sealing: Records
        self.opening: Records
        self.first_record = 0
        """The length of the first record that came."""
        self.after_refusal = b""
        """What came behind our own plaintext CLOSE."""
        self._stream = b""

    async def connect(self, handshake: Handshake) -> None:
        """Shake hands as a client, say HELLO and read WELCOME.

        :raises RefusedError: this end refuses the server, and has said so
        """
        await self.introduce(handshake)
        opcode, body = await self.receive()
        assert (opcode, body[:9]) == (WELCOME, INTRODUCTION), (opcode, body)
        fields(body[9:])

    async def introduce(self, handshake: Handshake) -> None:
        """Shake hands as a client and say HELLO.

        :raises RefusedError: this end refuses the server, and has said so
        """
        self.writer.write(frame(HANDSHAKE, handshake.write()))
        try:
            handshake.read(await self.read_handshake())
            if handshake.remote.get("s", handshake.server) != handshake.server:
                raise RefusedError  # XX: not the key that was expected.
        except RefusedError:
            await self._refuse(REFUSED)
            raise
        if handshake.flight < len(handshake.flights):
            self.writer.write(frame(HANDSHAKE, handshake.write()))
        self.sealing, self.opening = handshake.split()
        self.write(HELLO, INTRODUCTION)

    async def accept(self, handshake: Handshake) -> None:
        """Shake hands as a server, and answer HELLO.

        :raises RefusedError: this end refuses the client, and has said so
        """
        first = await self.read_handshake()
        assert first[:8] == INTRODUCTION[:8], first[:8]
        if first[:10] != handshake.preamble:
            await self._refuse(VERSION)
            raise RefusedError
        try:
            handshake.read(first[10:])
            self.writer.write(frame(HANDSHAKE, handshake.write()))
            if handshake.flight < len(handshake.flights):
                handshake.read(await self.read_handshake())
        except RefusedError:
            await self._refuse(REFUSED)
            raise
        self.sealing, self.opening = handshake.split()
        opcode, body = await self.receive()
        assert (opcode, body[:9]) == (HELLO, INTRODUCTION), (opcode, body)
        assert self.opening.count == 1, "HELLO is alone in one record"
        assert not self._stream
        assert self.first_record <= 1024 - 4
        fields(body[9:])
        self.write(WELCOME, INTRODUCTION)

    async def read_handshake(self) -> bytes:
        """Return the body of the next HANDSHAKE."""
        control, body = await self._read_frame()
        if not control or body[0] != HANDSHAKE:
            raise ConnectionError(f"in place of a handshake: {body[:8].hex()}")
        return body[1:]

    def write(self, opcode: int | None, body: bytes = b"") -> None:
        """Send one frame in records of its own."""
        self.write_stream(frame(opcode, body))

    def write_stream(self, data: bytes, size: int = 65_519) -> None:
        """Send frames, joined, in records with at most ``size`` bytes of them."""
        parts = (data[at : at + size] for at in range(0, len(data), size))
        self.writer.write(b"".join(frame(None, self.sealing.seal(part)) for part in parts))

    async def receive(self) -> tuple[int | None, bytes]:
        """Return the next message, with None, or the next control frame that matters."""
        while True:
            head = int.from_bytes(await self._take(4), "little")
            body = await self._take(head & 0x7FFFFFFF)
            if not head >> 31:
                self.messages += 1
                return None, body
            opcode, body = body[0], body[1:]
            if opcode == PING:
                self.write(PONG, body)
            elif opcode & 0xC0 != 0x80:  # Those of them that are unknown may be skipped.
                return opcode, body

    async def finish(self) -> tuple[int, dict[int, bytes]]:
        """Close our direction and read the other end's; return its code and fields."""
        self.write_stream(close(NORMAL, self.messages))
        opcode, body = await self.receive()
        assert opcode == CLOSE, opcode
        self.writer.close()
        assert await self.reader.read() == b"", "nothing follows CLOSE"
        return int.from_bytes(body[:2], "little"), fields(body[3 + body[2] :])

    async def _refuse(self, code: int) -> None:
        self.writer.write(close(code))
        self.writer.write_eof()
        self.after_refusal = await self.reader.read()

    async def _take(self, size: int) -> bytes:
        while len(self._stream) < size:
            control, record = await self._read_frame()
            assert not control, record
            assert 17 <= len(record) <= 65_535, len(record)
            self.first_record = self.first_record or len(record)
            self._stream += self.opening.open(record)
        taken, self._stream = self._stream[:size], self._stream[size:]
        return taken

    async def _read_frame(self) -> tuple[int, bytes]:
        head = int.from_bytes(await self.reader.readexactly(4), "little")
        return head >> 31, await self.reader.readexactly(head & 0x7FFFFFFF)
