"""Streams from a live port: what a server says by itself, or what passes a proxy.

Nothing is ever sent that a client did not send.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ..address import Address, TcpAddress, UnixAddress
from .stream import WINDOW, CaptureError, Stream, joined

_READ: Final = 64 * 1024
_RECORDED: Final = 16
"""Connections through the proxy whose bytes are kept; the others are only passed on."""
_CONNECT_TIMEOUT: Final = 10.0


@dataclass
class _Recording:
    """What one end says."""

    sender: Literal["client", "server"]
    name: str
    parts: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, data: bytes) -> bool:
        """Keep a read; return whether there is room for more."""
        if self.size <= WINDOW:
            self.parts.append(data)
            self.size += len(data)
        return self.size <= WINDOW

    def stream(self) -> Stream:
        return joined(self.parts, sender=self.sender, name=self.name)


async def listen(
    address: Address, stopped: asyncio.Future[Any], notice: Callable[[str], None]
) -> list[Stream]:
    """Return what a server says by itself, until it ends, is enough, or listening is stopped.

    :param notice: told in one line what happens
    :raises CaptureError: it cannot be connected to, or says nothing
    """
    reader, writer = await _connect(address)
    recording = _Recording("server", str(address))
    try:
        reading = asyncio.ensure_future(_read(reader, recording, notice))
        waiting: list[asyncio.Future[Any]] = [reading, stopped]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await reading
    finally:
        writer.transport.abort()
    if not recording.size:
        raise CaptureError(
            f"{address} said nothing by itself: it waits for its client. Let a real client talk to "
            f"it through sealframe doctor --proxy LISTEN {address}"
        )
    return [recording.stream()]


async def _read(
    reader: asyncio.StreamReader, recording: _Recording, notice: Callable[[str], None]
) -> None:
    while data := await reader.read(_READ):
        if not recording.size:
            notice(f"{recording.name} speaks")
        if not recording.add(data):
            return


async def _connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            if isinstance(address, UnixAddress):
                return await asyncio.open_unix_connection(address.path)
            return await asyncio.open_connection(address.host, address.port)
    except OSError as error:
        # A time-out has no text.
        why = error.strerror or f"no answer within {_CONNECT_TIMEOUT:g} s"
        raise CaptureError(f"cannot connect to {address}: {why}") from error


class Proxy:
    """Passes connections on, and keeps what both ends say.

    :param target: where each connection goes
    :param notice: told in one line what happens
    """

    def __init__(self, target: Address, notice: Callable[[str], None]) -> None:
        self._target = target
        self._notice = notice
        self._recordings: list[_Recording] = []
        self._connections = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(
        self,
        address: Address,
        stopped: asyncio.Future[Any],
        listening: Callable[[Address], None],
    ) -> list[Stream]:
        """Serve until it is stopped; return what was said, the client's first.

        :param listening: told where it listens
        :raises CaptureError: nothing was said
        :raises OSError: it cannot listen there
        """
        if isinstance(address, UnixAddress):
            server = await asyncio.start_unix_server(self._accept, address.path)
            listening(address)
        else:
            server = await asyncio.start_server(self._accept, address.host, address.port)
            listening(TcpAddress(address.host, server.sockets[0].getsockname()[1]))
        try:
            await asyncio.wait([stopped])
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        streams = [recording.stream() for recording in self._recordings if recording.size]
        if not streams:
            raise CaptureError("nothing passed the proxy")
        return streams

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._connections += 1
        number = self._connections
        try:
            await self._pass_on(number, reader, writer)
        except asyncio.CancelledError:
            # By run(): a task of a server that ends cancelled would be logged.
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _pass_on(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            onward_reader, onward_writer = await _connect(self._target)
        except CaptureError as error:
            self._notice(f"connection {number}: {error}")
            return
        name = f"connection {number}"
        client, server = _Recording("client", name), _Recording("server", name)
        if number <= _RECORDED:
            self._recordings += [client, server]
        self._notice(f"connection {number} is passed on to {self._target}")
        copying = [
            asyncio.ensure_future(_copy(reader, onward_writer, client)),
            asyncio.ensure_future(_copy(onward_reader, writer, server)),
        ]
        try:
            await asyncio.gather(*copying)
        except ConnectionError as error:
            self._notice(f"connection {number} was lost: {error}")
        else:
            self._notice(f"connection {number} has ended")
        finally:
            for copy in copying:
                copy.cancel()
            await asyncio.gather(*copying, return_exceptions=True)
            onward_writer.transport.abort()


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, recording: _Recording
) -> None:
    """Pass on what comes, and its end."""
    while data := await reader.read(_READ):
        recording.add(data)
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
