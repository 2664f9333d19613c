"""One end of a connection that does all that a connection can do, and is impatient."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from sealframe import Connection, ConnectionClosedOK, RequestTimeoutError, Stream, StreamResetError
from sealframe.aio.connection import protocol_of

from .books import Blocks, Books, Files, Finding, Requests, Sequence

T = TypeVar("T")

_CANCELLED_SHARE: Final = 0.25
"""Of all awaits, those that are cancelled."""
_RESET_SHARE: Final = 0.1
"""Of all streams, those that their opener resets."""
_TIMED_SHARE: Final = 0.03
"""Of all requests, those that have next to no time."""


class GivenUp(Exception):  # noqa: N818 - it is no error
    """An await was cancelled, as it was meant to."""


class Impatience:
    """Cancels awaits at random."""

    def __init__(self, rng: random.Random) -> None:
        self.cancelled = 0
        """How often it did, and there was no result yet."""
        self._rng = rng

    async def once(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await it; it may be cancelled.

        :raises GivenUp: it was
        """
        if self._rng.random() >= _CANCELLED_SHARE:
            return await coroutine
        task = asyncio.get_running_loop().create_task(coroutine)
        try:
            if turns := self._rng.randrange(6):
                for _ in range(turns):
                    await asyncio.sleep(0)
            else:
                await asyncio.wait({task}, timeout=self._rng.random() * 0.05)
        finally:
            task.cancel()
        await asyncio.wait({task})
        if task.cancelled():
            self.cancelled += 1
            raise GivenUp
        return task.result()

    async def until_done(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Await it, and again where it was cancelled."""
        while True:
            try:
                return await self.once(make())
            except GivenUp:
                pass


@dataclass
class StreamBook:
    """One stream: what its opener writes, and what comes back."""

    there: Blocks
    back: Blocks
    reset: bool = False
    """Whether its opener gave it up."""


@dataclass
class Direction:
    """What one end asks of the other."""

    books: Books
    name: str
    messages: Sequence = field(init=False)
    requests: Requests = field(init=False)
    files: Files = field(init=False)
    streams: list[StreamBook] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.messages = Sequence(self.books, "message", self.name)
        self.requests = Requests(self.books, self.name)
        self.files = Files(self.books, self.name)

    def open_stream(self) -> tuple[int, StreamBook]:
        """Return the number and the book of a new stream."""
        number = len(self.streams)
        name = f"{self.name}, stream {number}"
        there = Sequence(self.books, "block", name)
        back = Sequence(self.books, "block", f"{name}, back")
        book = StreamBook(Blocks(there), Blocks(back))
        self.streams.append(book)
        return number, book

    def settle(self, directory: Path) -> None:
        """Take in that all is over.

        :param directory: where files of this direction went, beside those of others
        """
        self.messages.settle()
        self.requests.settle()
        found = {
            path.name: path.read_bytes()
            for path in directory.iterdir()
            if path.name.rpartition(" ")[0] == self.name or path.name.startswith(".")
        }
        self.files.settle(found)


class End:
    """One end of a connection.

    :param out: what this end asks, and sends
    :param back: what the other does
    :param directory: for files that are to be sent
    """

    def __init__(self, conn: Connection, out: Direction, back: Direction, directory: Path) -> None:
        self.impatience = Impatience(out.books.rng(out.name, "impatience"))
        self.stopping = False
        """Whether nothing new is to begin."""
        self._rng = out.books.rng(out.name, "load")
        self._conn = conn
        self._books = out.books
        self._out = out
        self._back = back
        self._directory = directory

    @property
    def retained(self) -> int:
        """What a session keeps because the other end has not acknowledged it, in bytes."""
        session = protocol_of(self._conn).machine.session
        return 0 if session is None else session.retention.cost

    async def produce(self) -> None:
        """Send and ask, several things at a time, until it is to stop; then finish all."""
        async with asyncio.TaskGroup() as tasks:
            for work in (self._send, self._file, self._ping):
                tasks.create_task(self._again_and_again(work))
            for work in (self._ask, self._stream):
                for _ in range(3):
                    tasks.create_task(self._again_and_again(work))

    async def receive(self) -> None:
        """Take messages until the other end has closed."""
        rng, conn = self._rng, self._conn
        try:
            while True:
                if rng.random() < 0.5:
                    taken = [await self.impatience.until_done(conn.recv)]
                else:
                    limit = rng.choice((None, 1, 3))
                    taken = await self.impatience.until_done(partial(conn.recv_many, limit))
                for message in taken:
                    self._back.messages.arrive(message)
                if rng.random() < 0.01:
                    await asyncio.sleep(rng.random() * 0.02)
        except ConnectionClosedOK:
            pass

    async def _again_and_again(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while not self.stopping:
            await work()

    # What it does

    async def _send(self) -> None:
        messages = self._out.messages
        message = messages.next()
        await self.impatience.until_done(lambda: self._conn.send(message))
        messages.accept()
        # Bursts, and what else there is between them.
        if self._rng.random() < 0.2:
            await asyncio.sleep(self._rng.random() * 0.01)

    async def _ask(self) -> None:
        number, payload = self._out.requests.next()
        timeout = 0.001 if self._rng.random() < _TIMED_SHARE else None
        try:
            asking = self._conn.request(payload, timeout=timeout)
            reply = await self.impatience.once(asking)
        except GivenUp:
            return
        except RequestTimeoutError:
            if timeout is None:
                raise
        else:
            self._out.requests.reply(number, payload, reply)
        await asyncio.sleep(self._rng.random() * 0.005)

    async def _stream(self) -> None:
        async def open_stream() -> tuple[StreamBook, Stream]:
            # One that was cancelled may have begun.
            number, book = self._out.open_stream()
            book.reset = True
            stream = await self._conn.open_stream(str(number).encode())
            book.reset = False
            return book, stream

        book, stream = await self.impatience.until_done(open_stream)
        if self._rng.random() < _RESET_SHARE:
            book.reset = True
            await self._write(stream, book.there)
            stream.reset(16)
            return
        async with stream:
            await self._exchange(stream, book.there, book.back)
        self._books.arrived["stream"] += 1

    async def _exchange(self, stream: Stream, out: Blocks, back: Blocks) -> None:
        async def write() -> None:
            await self._write(stream, out)
            await stream.end()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write())
            tasks.create_task(self._read(stream, back))

    async def _write(self, stream: Stream, blocks: Blocks) -> None:
        for _ in range(self._rng.randrange(1, 30)):
            block = blocks.next()
            await self.impatience.until_done(partial(stream.write, block))
            blocks.accept()

    async def _read(self, stream: Stream, blocks: Blocks) -> None:
        while True:
            size = self._rng.choice((1000, 65536))
            data = await self.impatience.until_done(partial(stream.read, size))
            if not data:
                break
            blocks.arrive(data)
        blocks.settle()

    async def _file(self) -> None:
        name, data = self._out.files.next()
        path = self._directory / name
        path.write_bytes(data)
        # One that was cancelled goes on where it was.
        await self.impatience.until_done(lambda: self._conn.send_file(path, name=name))
        path.unlink()
        await asyncio.sleep(self._rng.random() * 0.1)

    async def _ping(self) -> None:
        await self.impatience.until_done(self._conn.ping)
        await asyncio.sleep(self._rng.random() * 0.05)

    # What is asked of it

    async def on_request(self, payload: bytes) -> bytes:
        """Answer, now or later."""
        if self._rng.random() < 0.1:
            await asyncio.sleep(self._rng.random() * 0.05)
        return self._back.requests.answer(payload)

    async def on_stream(self, stream: Stream) -> None:
        """Read what comes, and write back."""
        book = self._back.streams[int(stream.metadata)]
        try:
            async with stream:
                await self._exchange(stream, book.back, book.there)
        except* StreamResetError as errors:
            if not book.reset:
                self._books.report(Finding.FAILED, f"{stream!r} of {self._back.name}: {errors!r}")
