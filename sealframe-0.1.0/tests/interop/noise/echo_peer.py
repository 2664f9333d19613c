"""An echo peer of the sealed protocol, written from docs/PROTOCOL.md on another Noise.

It has nothing from sealframe: Noise and its ciphers are those of the noiseprotocol package.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

from noise.connection import Keypair, NoiseConnection

from .links import CONTEXT, SEGMENTS, Keys, Report

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"sealfram"
CONTROL = 1 << 31
NUMBERS = {"NNpsk0": 1, "XK": 2, "XX": 3}
LENGTHS = {"NNpsk0": [48, 48], "XK": [48, 48, 64], "XX": [32, 96, 64]}
REKEY = 4096

HANDSHAKE, HELLO, WELCOME, CLOSE = 0x41, 0x42, 0x43, 0x44
PING, PONG, PAD = 0x07, 0x88, 0x8B
IGNORED = {0x85, 0x86, PAD}


def control(opcode: int, body: bytes) -> bytes:
    return (CONTROL | (1 + len(body))).to_bytes(4, "little") + bytes([opcode]) + body


def message(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "little") + payload


def field(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(2, "little") + len(value).to_bytes(2, "little") + value


def fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        end = 4 + int.from_bytes(data[2:4], "little")
        yield int.from_bytes(data[:2], "little"), data[4:end]
        data = data[end:]


def greeting(client_id: bytes = b"") -> bytes:
    limit = field(1, (1 << 24).to_bytes(4, "little"))
    return MAGIC + b"\x01" + limit + (field(7, client_id) if client_id else b"")


def noise_connection(keys: Keys, *, client: bool) -> NoiseConnection:
    """Return one end of the handshake of `keys`, started."""
    noise = NoiseConnection.from_name(f"Noise_{keys.pattern}_25519_AESGCM_SHA256".encode())
    context = CONTEXT.encode()
    preamble = MAGIC + bytes([1, NUMBERS[keys.pattern]])
    noise.set_prologue(preamble + len(context).to_bytes(2, "little") + context)
    if keys.pattern == "NNpsk0":
        noise.set_psks(keys.psk)
    else:
        own = keys.client if client else keys.server
        noise.set_keypair_from_private_bytes(Keypair.STATIC, own.secret_bytes())
        if keys.pattern == "XK" and client:
            server = bytes(keys.server.public_key)
            noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, server)
    if client:
        noise.set_as_initiator()
    else:
        noise.set_as_responder()
    noise.start_handshake()
    return noise


@dataclass
class EchoPeer:
    """One end of one link. It asserts that its peer keeps to the protocol."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    keys: Keys
    client: bool

    def __post_init__(self) -> None:
        self.noise = noise_connection(self.keys, client=self.client)
        self.sizes = cycle(SEGMENTS)
        self.plaintext = b""
        self.report = Report("", "", "", 0, 0, 0, 0, 0, 0, "", 0)

    async def run(self) -> Report:
        """Do the handshake and echo until the peer's CLOSE."""
        try:
            await self.shake_hands()
            await self.greet()
            await self.echo()
            self.writer.write_eof()
            assert await self.reader.read() == b"", "bytes after CLOSE"
        finally:
            self.writer.close()
        return self.report

    async def shake_hands(self) -> None:
        preamble = MAGIC + bytes([1, NUMBERS[self.keys.pattern]])
        # The package lets go of the peer's static key at the end of the handshake.
        state = self.noise.noise_protocol.handshake_state
        for step, length in enumerate(LENGTHS[self.keys.pattern]):
            prefix = preamble if step == 0 else b""
            if self.client == (step % 2 == 0):
                body = prefix + bytes(self.noise.write_message())
                assert len(body) == len(prefix) + length
                self.writer.write(control(HANDSHAKE, body))
            else:
                frame = await self.reader.readexactly(5 + len(prefix) + length)
                assert frame[:5] == control(HANDSHAKE, frame[5:])[:5]
                assert frame[5:].startswith(prefix)
                assert self.noise.read_message(frame[5 + len(prefix) :]) == b""
        assert self.noise.handshake_finished
        self.report.hash = self.noise.get_handshake_hash().hex()
        if self.keys.pattern != "NNpsk0":
            self.report.peer_static = state.rs.public_bytes.hex()

    async def greet(self) -> None:
        if self.client:
            self.write_record(control(HELLO, greeting()))
        else:
            self.plaintext = await self.read_record()
        opcode, body = await self.read_frame()
        assert opcode == (WELCOME if self.client else HELLO)
        assert body.startswith(MAGIC + b"\x01")
        values = dict(fields(body[9:]))
        self.report.max_frame = int.from_bytes(values[1], "little")
        self.report.client_id = values.get(7, b"").decode()
        if not self.client:
            assert self.plaintext == b"", "more than HELLO in the first record"
            self.write(control(WELCOME, greeting(b"py-1")))

    async def echo(self) -> None:
        self.write(control(PAD, bytes(4)))
        self.write(control(PING, b"echo"))
        while True:
            opcode, body = await self.read_frame()
            if opcode is None:
                self.report.messages += 1
                self.write(message(body))
            elif opcode == PING:
                self.write(control(PONG, body))
            elif opcode == PONG:
                self.report.pongs += body == b"echo"
            elif opcode == CLOSE:
                end = 3 + body[2]
                self.report.close_code = int.from_bytes(body[:2], "little")
                self.report.close_reason = body[3:end].decode()
                self.report.frames_counted = int.from_bytes(dict(fields(body[end:]))[8], "little")
                count = field(8, self.report.messages.to_bytes(8, "little"))
                self.write(control(CLOSE, b"\x00\x00\x03bye" + count))
                return
            else:
                assert opcode in IGNORED
            await self.writer.drain()

    # Frames in records

    def write(self, frame: bytes) -> None:
        while frame:
            size = next(self.sizes)
            self.write_record(frame[:size])
            frame = frame[size:]

    def write_record(self, plaintext: bytes) -> None:
        self.writer.write(message(bytes(self.noise.encrypt(plaintext))))
        self.report.records_sent += 1
        if self.report.records_sent % REKEY == 0:
            self.noise.rekey_outbound_cipher()

    async def read_frame(self) -> tuple[int | None, bytes]:
        """Return opcode and body of a control frame, or None and a message."""
        head = int.from_bytes(await self.take(4), "little")
        data = await self.take(head & ~CONTROL)
        return (data[0], data[1:]) if head & CONTROL else (None, data)

    async def take(self, size: int) -> bytes:
        while len(self.plaintext) < size:
            self.plaintext += await self.read_record()
        taken, self.plaintext = self.plaintext[:size], self.plaintext[size:]
        return taken

    async def read_record(self) -> bytes:
        length = int.from_bytes(await self.reader.readexactly(4), "little")
        assert 17 <= length <= 65_535
        plaintext = bytes(self.noise.decrypt(await self.reader.readexactly(length)))
        self.report.records_received += 1
        if self.report.records_received % REKEY == 0:
            self.noise.rekey_inbound_cipher()
        return plaintext
