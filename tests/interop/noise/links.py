"""What a sealed link with a foreign peer is set up with, and what is sent over it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sealframe
from sealframe import (
    ClientIdentity,
    ClientOptions,
    PrivateKey,
    ServerIdentity,
    ServerOptions,
    SharedKey,
)
from sealframe.aio.connection import protocol_of
from sealframe.wire import REKEY_INTERVAL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from sealframe import Connecting, Connection, Serving

PATTERNS = ["NNpsk0", "XK", "XX"]
CONTEXT = "echo.example"
MAX_MESSAGE = 1_000_000
SEGMENTS = (1, 3, 1000, 65_519)
"""Plaintext bytes of a foreign peer's records, in turn: frames are cut anywhere."""

MESSAGES = [b"plain", b"", "жук 🐞".encode(), bytes(range(256)) * 1200, b""]
TICKS = REKEY_INTERVAL + 100
"""Messages that leave in records of their own, so that the key of that direction changes."""
TOTAL = len(MESSAGES) + TICKS


def new_psk() -> bytes:
    return SharedKey.generate().secret_bytes()


@dataclass
class Keys:
    """The keys of one link; the two ends of it are made of these."""

    pattern: str
    psk: bytes = field(default_factory=new_psk)
    client: PrivateKey = field(default_factory=PrivateKey.generate)
    server: PrivateKey = field(default_factory=PrivateKey.generate)

    def for_server(self) -> SharedKey | ServerIdentity:
        """Return what `serve` is given."""
        if self.pattern == "NNpsk0":
            return SharedKey(self.psk)
        clients = {"foreign": self.client.public_key}
        return ServerIdentity(self.server, clients, patterns=(self.pattern,))

    def for_client(self, known_servers: Path) -> SharedKey | ClientIdentity:
        """Return what `connect` is given; the foreign ends know the classic patterns alone."""
        if self.pattern == "NNpsk0":
            return SharedKey(self.psk, post_quantum=False)
        if self.pattern == "XK":
            return ClientIdentity(self.client, server=self.server.public_key, post_quantum=False)
        return ClientIdentity(
            self.client, known_servers=known_servers, trust_first_use=True, post_quantum=False
        )


def serve(keys: Keys, handler: Callable[[Connection], Awaitable[None]]) -> Serving:
    """Return sealframe's server end, on a free port."""
    return sealframe.serve(
        handler,
        "127.0.0.1",
        0,
        security=keys.for_server(),
        context=CONTEXT,
        options=ServerOptions(max_message_size=MAX_MESSAGE),
    )


def connect(keys: Keys, port: int, known_servers: Path, *, context: str = CONTEXT) -> Connecting:
    """Return sealframe's client end."""
    return sealframe.connect(
        "127.0.0.1",
        port,
        security=keys.for_client(known_servers),
        context=context,
        options=ClientOptions(max_message_size=MAX_MESSAGE),
    )


async def exchange(conn: Connection) -> None:
    """Send all there is to send while reading it back, ping in between, and close."""
    messages = [*MESSAGES, *(b"%d" % number for number in range(TICKS))]

    queue = protocol_of(conn).sender.queue

    async def send_all() -> None:
        for number, message in enumerate(messages):
            await conn.send(message)
            # What is sent in one tick of the loop would share a record, as would what waits while
            # the transport is full.
            await asyncio.sleep(0)
            for _ in iter(lambda: len(queue), 0):
                await asyncio.sleep(0)
            if number == TOTAL // 2:
                await conn.ping()

    async with asyncio.TaskGroup() as group:
        group.create_task(send_all())
        assert [await conn.recv() for _ in messages] == messages
    await close(conn)


async def close(conn: Connection) -> None:
    """Close, and see that the peer closes too and nothing is left over."""
    await conn.close()
    assert [message async for message in conn] == []


def fail(future: asyncio.Future[Any], error: BaseException) -> None:
    """Let a future fail that nobody may ask any more, where the test has failed before."""
    future.set_exception(error)
    future.exception()


class Handler:
    """Serves one client with a conversation, and keeps how that ended."""

    def __init__(self, conversation: Callable[[Connection], Awaitable[None]]) -> None:
        self._conversation = conversation
        self.done: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()

    async def __call__(self, conn: Connection) -> None:
        try:
            await self._conversation(conn)
        except BaseException as error:
            fail(self.done, error)
            raise
        self.done.set_result(conn)


@dataclass
class Report:
    """What a foreign peer has seen when the link has ended on both sides."""

    hash: str
    peer_static: str
    client_id: str
    max_frame: int
    messages: int
    pongs: int
    records_sent: int
    records_received: int
    close_code: int
    close_reason: str
    frames_counted: int

    def check(self, conn: Connection, keys: Keys, *, served: bool) -> None:
        """Check that both ends saw the same link.

        :param served: whether sealframe was the server
        """
        assert self.hash == conn.channel_binding.hex()
        assert self.client_id == (conn.id if served else "")
        own, foreign = (keys.server, keys.client) if served else (keys.client, keys.server)
        if keys.pattern == "NNpsk0":
            assert self.peer_static == ""
            assert conn.peer is None
        else:
            assert self.peer_static == bytes(own.public_key).hex()
            assert conn.peer is not None
            assert conn.peer.key == foreign.public_key
            if served:
                assert conn.peer.name == "foreign"
        assert self.max_frame == MAX_MESSAGE
        assert (self.close_code, self.close_reason) == (0, "")
        assert (conn.close_code, conn.close_reason) == (0, "bye")
        assert self.pongs == 1
        assert self.messages == self.frames_counted

    def check_exchange(self) -> None:
        """Check that `exchange` was all there was, and that both keys were replaced."""
        assert self.messages == TOTAL
        assert self.records_sent > REKEY_INTERVAL
        assert self.records_received > REKEY_INTERVAL
