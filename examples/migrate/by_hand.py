"""Framing and sealing as they are written by hand, with the mistakes that are made most often.

None of this is to be used. Each function has one mistake; its docstring says which.
"""

from __future__ import annotations

import asyncio
import os
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


async def recv_by_read(reader: asyncio.StreamReader) -> bytes:
    """A read returns what has arrived: a part of a message, or several at once."""
    return await reader.read(4096)


async def send_without_drain(writer: asyncio.StreamWriter, message: bytes) -> None:
    """Nothing waits for a slow reader: the transport's buffer takes whatever is written."""
    writer.write(struct.pack("<i", len(message)) + message)


def native_head(message: bytes) -> bytes:
    """Without ``<`` or ``>`` the machine says how wide a number is, and in which order."""
    return struct.pack("l", len(message))


async def recv(reader: asyncio.StreamReader) -> bytes:
    """Any length is believed; and who is cancelled between the reads has lost the head."""
    (length,) = struct.unpack("<i", await reader.readexactly(4))
    return await reader.readexactly(length)


async def recv_rest(reader: asyncio.StreamReader) -> bytes:
    """A length of -1 reads until the connection ends."""
    (length,) = struct.unpack("<i", await reader.readexactly(4))
    return await reader.read(length)


async def recv_all(reader: asyncio.StreamReader) -> list[bytes]:
    """Half a message at the end passes for the end."""
    messages = []
    try:
        while True:
            messages.append(await recv(reader))
    except asyncio.IncompleteReadError:
        return messages


async def broadcast(writers: list[asyncio.StreamWriter], message: bytes) -> None:
    """Whoever reads slowly holds up all who come behind."""
    for writer in writers:
        writer.write(struct.pack("<i", len(message)) + message)
        await writer.drain()


class Sealer:
    """The counter begins anew with each connection, and so do the nonces of one key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._count = 0

    def seal(self, message: bytes) -> bytes:
        """Seal the next message."""
        nonce = self._count.to_bytes(12)
        self._count += 1
        return self._cipher.encrypt(nonce, message, None)


class RandomSealer:
    """Each message has its own nonce; nothing says which comes when, or that one is missing."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, message: bytes) -> bytes:
        """Seal a message: length, nonce, ciphertext."""
        nonce = os.urandom(12)
        sealed = nonce + self._cipher.encrypt(nonce, message, None)
        return struct.pack("<i", len(sealed)) + sealed

    def open(self, frame: bytes) -> bytes:
        """Open a frame, whichever it is."""
        return self._cipher.decrypt(frame[4:16], frame[16:], None)
