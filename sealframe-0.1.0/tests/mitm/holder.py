"""One who holds a key, and says what a test wants: outside the seal and inside."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import AsyncIterator, Iterator

import pytest
from aio.scripted import Raw

from sealframe import Framing
from sealframe.buffers import BytesLike
from sealframe.noise.cipher import CipherState, KeyPair
from sealframe.noise.handshake import Handshake
from sealframe.wire import (
    CONTROL_BIT,
    HEAD_SIZE,
    LENGTH_MASK,
    MAX_LENGTH,
    MAX_RECORD_PLAINTEXT,
    CloseCode,
    Control,
    Opcode,
    control,
)
from sealframe.wire.control import Close, Hello

from .credentials import Credentials
from .middle import Address

HELLO = control.frame(Opcode.HELLO, Hello().encode())
WELCOME = control.frame(Opcode.WELCOME, Hello(client_id="scripted").encode())
REFUSED = control.frame(Opcode.CLOSE, Close(CloseCode.REFUSED).encode())
VERSION = control.frame(Opcode.CLOSE, Close(CloseCode.VERSION).encode())


def record(data: bytes) -> bytes:
    """Return bytes as an outer frame that may pass for a record."""
    return len(data).to_bytes(HEAD_SIZE, "little") + data


def message(data: bytes) -> bytes:
    """Return the frame of a message."""
    return len(data).to_bytes(HEAD_SIZE, "little") + data


class Holder:
    """A socket and a handshake.

    :param client: whether this end dialled
    :param handshake: another than the one with the right keys
    """

    def __init__(
        self,
        raw: Raw,
        credentials: Credentials,
        *,
        client: bool,
        handshake: Handshake | None = None,
    ) -> None:
        self.raw = raw
        self._preamble = credentials.preamble
        self._client = client
        self._handshake = handshake or credentials.handshake(initiator=client)
        self._steps = 0
        self._sender: CipherState | None = None
        self._receiver: CipherState | None = None
        self._decoder = Framing(control=True, maximum=MAX_LENGTH).decoder()
        self._frames: deque[bytes | Control] = deque()

    async def shake_hands(self) -> None:
        """Do the whole handshake, without HELLO and WELCOME."""
        while not self._handshake.finished:
            if self._client == (self._steps % 2 == 0):
                await self.write_handshake()
            else:
                await self.read_handshake()
        self._sender, self._receiver = self._handshake.split()

    async def write_handshake(self) -> None:
        """Send one handshake message."""
        await self.raw.send(self.next_handshake())

    def next_handshake(self) -> bytes:
        """Return the frame of one handshake message."""
        body = self._handshake.write_message()
        if self._steps == 0:
            body = self._preamble + body
        self._steps += 1
        return control.frame(Opcode.HANDSHAKE, body)

    async def read_handshake(self) -> None:
        """Receive one handshake message."""
        head = int.from_bytes(await self.raw.receive_exactly(HEAD_SIZE), "little")
        assert head & CONTROL_BIT
        body = await self.raw.receive_exactly(head & LENGTH_MASK)
        assert body[0] == Opcode.HANDSHAKE
        self._handshake.read_message(body[1 + (len(self._preamble) if self._steps == 0 else 0) :])
        self._steps += 1

    async def introduce(self) -> None:
        """Do all that stands before messages."""
        await self.shake_hands()
        if self._client:
            await self.write(HELLO)
        frame = await self.read()
        assert isinstance(frame, Control)
        assert frame.opcode == (Opcode.WELCOME if self._client else Opcode.HELLO)
        if not self._client:
            await self.write(WELCOME)

    def seal(self, plaintext: bytes) -> bytes:
        """Return one record with its head."""
        assert self._sender is not None
        return record(self._sender.seal(plaintext))

    async def write(self, *plaintexts: bytes) -> None:
        """Send each in a record of its own."""
        await self.raw.send(b"".join(map(self.seal, plaintexts)))

    async def write_all(self, data: bytes) -> None:
        """Send much, in the largest records."""
        for start in range(0, len(data), MAX_RECORD_PLAINTEXT):
            await self.write(data[start : start + MAX_RECORD_PLAINTEXT])

    async def read(self) -> bytes | Control | None:
        """Return the next frame inside the seal, None at the end of the stream."""
        assert self._receiver is not None
        while not self._frames:
            first = await self.raw.receive(HEAD_SIZE)
            if not first:
                assert self._decoder.pending == 0
                return None
            head = first + await self.raw.receive_exactly(HEAD_SIZE - len(first))
            size = int.from_bytes(head, "little")
            sealed = await self.raw.receive_exactly(size)
            self._frames.extend(self._decoder.feed(self._receiver.open(sealed)))
        return self._frames.popleft()

    async def read_to_end(self) -> list[bytes | Control]:
        """Return all frames up to the end of the stream."""
        frames = []
        while (frame := await self.read()) is not None:
            frames.append(frame)
        return frames


@contextlib.asynccontextmanager
async def dialled(address: Address) -> AsyncIterator[Raw]:
    """Connect a socket."""
    path = address.get("path")
    family = socket.AF_INET if path is None else socket.AF_UNIX
    target = (address["host"], address["port"]) if path is None else str(path)
    async with Raw(socket.socket(family, socket.SOCK_STREAM)) as raw:
        await asyncio.get_running_loop().sock_connect(raw.sock, target)
        yield raw


class Impostor(KeyPair):
    """Claims a public key that does not belong to the private one.

    :param agreed: what it takes for the secret, whatever comes of the private key
    """

    def __init__(self, own: KeyPair, public: bytes, *, agreed: bytes = b"") -> None:
        self._own = own
        self.public = public
        self._agreed = agreed

    def agree(self, public: BytesLike) -> bytes:
        return self._agreed or self._own.agree(public)


@contextlib.contextmanager
def claiming(public: bytes, *, agreed: bytes = b"") -> Iterator[None]:
    """Let a handshake show a static key that does not belong to its private one."""
    write = Handshake.write_message

    def lie(handshake: Handshake, payload: bytes = b"") -> bytes:
        if "s" in handshake.local:
            own = handshake.local["s"]
            handshake.local["s"] = Impostor(own, public, agreed=agreed)
        return write(handshake, payload)

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(Handshake, "write_message", lie)
        yield
