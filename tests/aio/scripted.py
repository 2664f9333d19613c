"""Peers that do what a test tells them, and nothing by themselves."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, Literal, NamedTuple, Self

import sealframe
from sealframe import ClientOptions, Connection, Framing, Server, ServerOptions, SharedKey
from sealframe.noise.credentials import Credentials
from sealframe.noise.records import RecordLayer
from sealframe.wire import MAX_LENGTH, CloseCode, Control, Opcode, Pattern, control
from sealframe.wire.control import Close, Hello

from .ends import PATIENCE, Api, Mode, Services, keep, shared_key

Role = Literal["server", "client"]
"""Which end sealframe has; the scripted peer has the other."""

_SMALL_BUFFER = 4096


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so that no event tells of."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


class Raw:
    """A TCP socket that sends, reads and closes only when told to."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        # Each part goes out as it was sent, and does not wait for an acknowledgement.
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def dial(cls, port: int, *, small_buffer: bool = False) -> Self:
        """Connect to a port of 127.0.0.1.

        :param small_buffer: let the kernel hold only a few KiB that are not read
        """
        raw = cls(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        if small_buffer:
            raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
        await asyncio.get_running_loop().sock_connect(raw.sock, ("127.0.0.1", port))
        return raw

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def send(self, data: bytes) -> None:
        """Write all of it."""
        async with asyncio.timeout(PATIENCE):
            await self._loop.sock_sendall(self.sock, data)

    async def receive(self, size: int = 65536) -> bytes:
        """Return what there is, ``b""`` at the end of the stream."""
        async with asyncio.timeout(PATIENCE):
            return await self._loop.sock_recv(self.sock, size)

    async def receive_exactly(self, size: int) -> bytes:
        """Return that many bytes."""
        data = bytearray()
        while len(data) < size:
            part = await self.receive(size - len(data))
            assert part, f"the stream ended after {len(data)} of {size} bytes"
            data += part
        return bytes(data)

    async def receive_to_end(self) -> bytes:
        """Return everything up to the end of the stream."""
        data = bytearray()
        while part := await self.receive():
            data += part
        return bytes(data)

    def has_input(self) -> bool:
        """Return whether there are bytes, or the end of the stream, to be read now."""
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        return True

    def finish(self) -> None:
        """Send FIN and go on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Send RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        """Close the socket; doing it again is harmless."""
        self.sock.close()


def message(data: bytes) -> bytes:
    """Return the frame of a message."""
    return len(data).to_bytes(4, "little") + data


def close_frame(code: int = CloseCode.NORMAL, reason: str = "", *, counted: bool = True) -> bytes:
    """Return a CLOSE frame, as it is before the handshake if it is not ``counted``."""
    received = 0 if counted else None
    return control.frame(Opcode.CLOSE, Close(code, reason, received).encode())


class Peer:
    """A raw socket that speaks one of the three ways.

    :param client: whether the peer has the client's part
    :param key: in place of the key of all tests
    :param credentials: in place of a shared key
    """

    def __init__(
        self,
        raw: Raw,
        mode: Mode,
        *,
        client: bool,
        key: SharedKey | None = None,
        credentials: Credentials | None = None,
        context: bytes = b"",
    ) -> None:
        self.raw = raw
        self.mode = mode
        self._client = client
        self.records: RecordLayer | None = None
        """Once its handshake is done, what seals and opens; None on a plain connection."""
        if mode.sealed:
            if credentials is None:
                psk = (key or shared_key()).secret_bytes()
                hybrid = () if client else (Pattern.NNHFS_PSK0,)
                credentials = Credentials(Pattern.NNPSK0, *hybrid, psk=psk)
            self.records = RecordLayer(initiator=client, credentials=credentials, context=context)
        self._decoder = Framing(control=mode.has_control, maximum=MAX_LENGTH).decoder()
        self._frames: deque[Any] = deque()
        self.welcome: Hello | None = None
        """What the other end said of itself."""

    async def shake_hands(self) -> None:
        """Do the sealed handshake, without the introductions that follow it."""
        records = self.records
        assert records is not None
        while True:
            for frame in records.output:
                await self.raw.send(frame)
            records.output = []
            if records.established or records.failure is not None:
                break
            data = await self.raw.receive()
            assert data, "the stream ended during the handshake"
            self.feed(data)
        assert records.failure is None

    async def introduce(self, hello: Hello | None = None) -> None:
        """Do all that must happen before messages may flow.

        :param hello: what the peer says of itself; nothing, like one that knows of no windows
        """
        hello = hello or Hello()
        if self.mode.sealed:
            await self.shake_hands()
        if not self.mode.has_control:
            return
        if self._client:
            await self.write(control.frame(Opcode.HELLO, hello.encode()))
        frame = await self.read()
        assert isinstance(frame, Control)
        assert frame.opcode == (Opcode.WELCOME if self._client else Opcode.HELLO)
        self.welcome = Hello.decode(frame.body)
        if not self._client:
            welcome = replace(hello, client_id="scripted")
            await self.write(control.frame(Opcode.WELCOME, welcome.encode()))

    async def write(self, data: bytes) -> None:
        """Send frames, or parts of frames, in records if sealed."""
        if self.records is not None:
            data = b"".join(self.records.seal(data))
        await self.raw.send(data)

    async def read(self) -> bytes | Control | None:
        """Return the next frame, None at the end of the stream."""
        while not self._frames:
            data = await self.raw.receive()
            if not data:
                assert self._decoder.pending == 0
                return None
            self.feed(data)
        frame: bytes | Control = self._frames.popleft()
        return frame

    async def read_opcode(self, opcode: Opcode) -> bytes:
        """Return the body of the next control frame of that kind; skip what comes before."""
        while True:
            frame = await self.read()
            assert frame is not None, f"the stream ended without {opcode.name}"
            if isinstance(frame, Control) and frame.opcode == opcode:
                return frame.body

    async def read_message(self) -> bytes:
        """Return the next message; skip the control frames before it."""
        while True:
            frame = await self.read()
            assert frame is not None, "the stream ended without a message"
            if isinstance(frame, bytes):
                return frame

    async def read_to_end(self) -> list[bytes | Control]:
        """Return all frames up to the end of the stream."""
        frames = []
        while (frame := await self.read()) is not None:
            frames.append(frame)
        return frames

    async def read_close(self) -> Close:
        """Return what CLOSE says, which must come next."""
        frame = await self.read()
        assert isinstance(frame, Control)
        assert frame.opcode == Opcode.CLOSE
        return Close.decode(frame.body)

    async def say_end(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Say that no more will come: CLOSE, or FIN where only packets flow."""
        if self.mode.has_control:
            await self.write(close_frame(code, reason))
        else:
            self.raw.finish()

    async def await_end(self) -> list[bytes | Control]:
        """Read until the other end says that no more will come; return the rest."""
        frames: list[bytes | Control] = []
        while (frame := await self.read()) is not None:
            if isinstance(frame, Control) and frame.opcode == Opcode.CLOSE:
                return frames
            frames.append(frame)
        assert not self.mode.has_control, "the stream ended without CLOSE"
        return frames

    def feed(self, data: bytes) -> None:
        """Take bytes of the stream in, which :meth:`read` returns the frames of."""
        if self.records is None:
            self._frames.extend(self._decoder.feed(data))
            return
        self.records.feed(data)
        for record in self.records.records():
            self._frames.extend(self.records.open_into(record, self._decoder))
        if self.records.failure is not None:
            raise self.records.failure


class _Setup(NamedTuple):
    mode: Mode
    api: Api
    small_buffer: bool
    hello: Hello | None
    serving: Services


@contextlib.asynccontextmanager
async def facing(
    role: Role,
    mode: Mode,
    *,
    small_buffer: bool = False,
    hello: Hello | None = None,
    serving: Services | None = None,
    api: Api = Api.RECV,
    **limits: Any,
) -> AsyncIterator[tuple[Connection, Peer]]:
    """Open a connection of sealframe in that role with a scripted peer at the other end.

    :param small_buffer: let the kernel hold only a few KiB that the peer did not read
    :param hello: what the peer says of itself
    :param serving: what sealframe does with the peer's streams and requests
    :param api: how sealframe's end gets its messages
    :param limits: fields of :class:`~sealframe.options.Options`
    """
    setup = _Setup(mode, api, small_buffer, hello, serving or {})
    if role == "server":
        opened = _facing_client(setup, ServerOptions(**limits))
    else:
        opened = _facing_server(setup, ClientOptions(**limits))
    async with opened as (conn, peer):
        try:
            yield conn, peer
        finally:
            peer.raw.close()
            async with asyncio.timeout(PATIENCE):
                await conn.close()


@contextlib.asynccontextmanager
async def _facing_client(
    setup: _Setup, options: ServerOptions
) -> AsyncIterator[tuple[Connection, Peer]]:
    arrived: asyncio.Queue[Connection] = asyncio.Queue()

    async def handler(conn: Connection) -> None:
        arrived.put_nowait(conn)
        # Not the handler itself, which would have nothing more to say once the peer has closed.
        await asyncio.ensure_future(conn.wait_closed())

    serving: dict[str, Any] = {"handler": handler}
    if setup.api is Api.ON_MESSAGE:
        serving = {"on_message": keep, "on_connect": arrived.put_nowait}
    async with sealframe.serve(
        host="127.0.0.1",
        port=0,
        **serving,
        **setup.mode.server,
        **setup.serving,
        options=options,
    ) as server:
        raw = await Raw.dial(server.port, small_buffer=setup.small_buffer)
        peer = Peer(raw, setup.mode, client=True)
        await peer.introduce(setup.hello)
        yield await arrived.get(), peer


@contextlib.asynccontextmanager
async def _facing_server(
    setup: _Setup, options: ClientOptions
) -> AsyncIterator[tuple[Connection, Peer]]:
    async with listening(small_buffer=setup.small_buffer) as listener:
        dialling = asyncio.ensure_future(_connect(listener.port, setup, options))
        peer = Peer(await listener.accept(), setup.mode, client=False)
        await peer.introduce(setup.hello)
        yield await dialling, peer


async def _connect(port: int, setup: _Setup, options: ClientOptions) -> Connection:
    return await sealframe.connect(
        "127.0.0.1",
        port,
        **setup.mode.client,
        **setup.serving,
        on_message=keep if setup.api is Api.ON_MESSAGE else None,
        options=options,
    )


class ScriptedListener:
    """A listening socket whose connections go to the test."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.port: int = sock.getsockname()[1]

    async def accept(self) -> Raw:
        """Return the next connection."""
        async with asyncio.timeout(PATIENCE):
            sock, _ = await asyncio.get_running_loop().sock_accept(self._sock)
        return Raw(sock)

    def has_waiting(self) -> bool:
        """Return whether someone has connected who was not accepted yet."""
        try:
            sock, _ = self._sock.accept()
        except BlockingIOError:
            return False
        sock.close()
        return True


@contextlib.asynccontextmanager
async def listening(
    *, port: int = 0, small_buffer: bool = False, backlog: int = 16
) -> AsyncIterator[ScriptedListener]:
    """Listen on a port of 127.0.0.1, a free one by default."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if small_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
        sock.setblocking(False)
        sock.bind(("127.0.0.1", port))
        sock.listen(backlog)
        yield ScriptedListener(sock)


@contextlib.asynccontextmanager
async def dialled(server: Server, mode: Mode, *, small_buffer: bool = False) -> AsyncIterator[Peer]:
    """Connect a scripted client to a server and introduce it."""
    async with await Raw.dial(server.port, small_buffer=small_buffer) as raw:
        peer = Peer(raw, mode, client=True)
        await peer.introduce()
        yield peer
