"""Two ends of a connection, one of which takes files."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from unittest import mock

import pytest
from aio.ends import Mode

import sealframe
from sealframe import ClientOptions, Connection, Server, ServerOptions
from sealframe.aio.connection import protocol_of
from sealframe.aio.stream import Stream
from sealframe.files import digest
from sealframe.files.digest import Algorithm
from sealframe.files.messages import ACCEPT_SIZE, DONE, Accept, Announcement, accept, go, reset_code
from sealframe.files.receiving import OnOffer
from sealframe.files.transfers import Transfers
from sealframe.wire import FileRefusal, StreamKind

PATIENCE = 60.0
"""Seconds after which a test gives up; never what it measures."""

BOTH = frozenset(Algorithm)

OnFile: TypeAlias = Callable[[Stream], Awaitable[None]]


class Pair(NamedTuple):
    """What :func:`open_pair` opens."""

    client: Connection
    accepted: Connection
    """The server's end."""
    server: Server


@contextlib.asynccontextmanager
async def open_pair(
    mode: Mode,
    files: OnOffer | None = None,
    *,
    client_files: OnOffer | None = None,
    on_file: OnFile | None = None,
    server_options: ServerOptions | None = None,
    client_options: ClientOptions | None = None,
) -> AsyncIterator[Pair]:
    """Open a connection whose server takes files; check that no thread is left.

    :param on_file: serves the streams of files in place of the server's own receiver
    """
    arrived: asyncio.Queue[Connection] = asyncio.Queue()

    async def handler(conn: Connection) -> None:
        arrived.put_nowait(conn)
        with contextlib.suppress(sealframe.ConnectionClosed):
            async for _ in conn:
                pass

    async with asyncio.timeout(PATIENCE):
        with _receiving_by(on_file):
            serving = sealframe.serve(
                handler, "127.0.0.1", 0, files=files, options=server_options, **mode.server
            )
        async with serving as server:
            connecting = sealframe.connect(
                "127.0.0.1",
                server.port,
                files=client_files,
                options=client_options,
                **mode.client,
            )
            async with connecting as client:
                yield Pair(client, await arrived.get(), server)
        await no_threads()


class _Transfers(Transfers):
    """Those of an end that receives files in a way of its own."""

    def __init__(self, on_file: OnFile) -> None:
        super().__init__(None)
        self.on_file = on_file


def _receiving_by(on_file: OnFile | None) -> contextlib.AbstractContextManager[object]:
    if on_file is None:
        return contextlib.nullcontext()
    return mock.patch("sealframe.server.serving.Transfers", return_value=_Transfers(on_file))


def disk_threads() -> list[str]:
    """Return the threads that wait for disks."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("sealframe-file")]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what no event tells of."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def no_threads() -> None:
    """Wait until all threads of transfers have ended."""
    await until(lambda: not disk_threads())


def hash_of(data: bytes, algorithm: int = Algorithm.SHA256) -> bytes:
    made = digest.new(algorithm)
    made.update(data)
    return made.digest()


def offer_of(name: str, size: int, **changes: Any) -> Announcement:
    """Return an offer of a file."""
    return Announcement(name, size, bytes(range(32)), BOTH)._replace(**changes)


async def offered(conn: Connection, offer: Announcement | bytes) -> Stream:
    """Open the stream of a file, and say no more than the offer."""
    metadata = offer if isinstance(offer, bytes) else offer.pack()
    return await protocol_of(conn).open_channels().streams.open(StreamKind.FILE, metadata)


async def accepted(stream: Stream, offer: Announcement) -> Accept:
    """Wait for the answer."""
    data = b""
    while len(data) < ACCEPT_SIZE:
        piece = await stream.read(ACCEPT_SIZE - len(data))
        assert piece
        data += piece
    return accept(data, offer.size, offer.algorithms)


async def push(conn: Connection, offer: Announcement, data: bytes) -> Accept:
    """Send a file as the protocol wants it, by hand."""
    stream = await offered(conn, offer)
    answer = await accepted(stream, offer)
    await stream.write(go(0) + data + hash_of(data, answer.algorithm))
    await stream.end()
    assert await stream.read() == DONE
    return answer


@contextlib.asynccontextmanager
async def reset_with(code: FileRefusal) -> AsyncIterator[None]:
    """Expect that the other end refuses."""
    with pytest.raises(sealframe.StreamResetError) as caught:
        yield
    assert caught.value.code == reset_code(code), caught.value


def bytes_in(root: Path) -> int:
    """Return how many bytes the files in a directory have."""
    return sum(path.stat().st_size for path in root.iterdir())


def received(root: Path) -> dict[str, bytes | None]:
    """Return what is in a directory, files that are not whole included."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
    }
