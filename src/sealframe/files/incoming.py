"""One file that is being received: docs/PROTOCOL.md section 10, the receiving end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

from ..aio.chunks import Chunk, append_chunk
from ..aio.stream import Stream, endpoint_of
from ..errors import ConnectionClosed, FileRefusedError, FileTransferError, StreamResetError
from ..trust.peer import Peer
from ..wire import MAX_CHUNK, FileAbort, FileRefusal
from . import messages
from .digest import DIGEST_SIZE, Algorithm, available
from .exchange import read_exactly, watching
from .messages import DONE, GO_SIZE, Accept, Announcement, MalformedError
from .partial import Partial
from .resources import Resources
from .source import Source
from .store import Store
from .worker import Worker

PIECE: Final = 1 << 20
"""Bytes that are hashed and written in one go."""
BUSY_TIMEOUT: Final = 10.0
"""Seconds to wait for an earlier attempt at the same file to let go of it."""
_BUSY_INTERVAL: Final = 0.25
"""Seconds between two looks whether another process has, which tells nobody when it does."""


class Destination(Protocol):
    """What a file can be received into; an :class:`~sealframe.Inbox` is one."""

    @property
    def store(self) -> Store: ...

    @property
    def resources(self) -> Resources: ...


class IncomingFile:
    """One file that is being received.

    It holds at most two pieces that are not on the disk yet, beside what its stream holds:
    one that is being written, and one that is being read.

    :param name: that it gets, below the directory that it is received into
    :param into: an inbox or the like, or a directory
    :param resources: those that it uses where ``into`` has none
    :ivar received: bytes of it that are here, those from an earlier attempt included
    """

    __slots__ = (
        *("_announced", "_existing", "_into", "_keep", "_name", "_partial", "_resources"),
        *("_store", "_stream", "_watch", "_worker", "received"),
    )

    def __init__(
        self,
        stream: Stream,
        announced: Announcement,
        name: str,
        into: Destination | str | os.PathLike[str],
        resources: Resources,
    ) -> None:
        self._stream = stream
        self._announced = announced
        self._name = name
        self._into = into
        self._resources = resources if isinstance(into, str | os.PathLike) else into.resources
        self._worker: Worker
        self._store: Store
        self._watch: Callable[[int], None]
        self._existing: Source | None = None
        """A file of that name and size."""
        self._partial: Partial | None = None
        self._keep = True
        """Whether a later attempt may resume what is here."""
        self.received = 0

    async def run(self) -> Path:
        """Receive it; return where it is once it is on the disk."""
        count = self._resources.count
        count("receiving")
        try:
            path = await self._run()
        except FileRefusedError:
            count("refused")
            raise
        except BaseException:
            count("broken_off")
            raise
        else:
            count("received")
            return path
        finally:
            count("receiving", -1)

    async def _run(self) -> Path:
        self._worker = worker = Worker(self._resources.pool)
        self._watch = watching(worker, self._stream)
        existing: Path | None = None
        try:
            await self._open_store()
            if self._announced.directory:
                path = await worker.run(self._make_directory)
                if await self._stream.read(1):
                    raise MalformedError("something follows a directory")
            else:
                async with self._alone():
                    begun = await self._compare() or await self._begin_or_compare()
                    if isinstance(begun, Accept):
                        path = await self._receive(begun)
                    else:
                        path = existing = begun
        finally:
            worker.close()
        await self._stream.write(DONE)
        await self._stream.end()
        if existing is not None and await self._stream.read(1):
            raise MalformedError("something follows a file that is there")
        return path

    async def _open_store(self) -> None:
        into = self._into
        if isinstance(into, str | os.PathLike):
            self._store = await self._worker.run(Store, into, memory=self._resources.memory)
        else:
            self._store = into.store

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Wait until no other transfer of this process writes to the partial file; let go of the
        files at the end.

        The sender may be back before the end of its last connection was noticed.
        """
        announced, scope = self._announced, _scope(self._stream.connection.peer)
        what = self._store.directory, self._name, announced.size, announced.key, scope
        async with self._resources.same.taken(what, self._stream, BUSY_TIMEOUT):
            try:
                yield
            except StreamResetError as error:
                self._keep = error.code != FileAbort.CHANGED
                raise
            finally:
                await self._worker.run(self._abort)

    async def _compare(self) -> Path | None:
        """Return where the very same file is already, None if it is not.

        An earlier attempt may have arrived, and its DONE been lost. COMPARE has the sender
        show its digest first: a sender without the file does not learn what is in it.
        """
        stream, worker = self._stream, self._worker
        algorithm = await worker.run(self._find_existing)
        if algorithm is None:
            return None
        await stream.write(messages.compare(algorithm))
        digest = await read_exactly(stream, DIGEST_SIZE)
        async with self._resources.hashing(stream):
            same = await worker.run(self._is_same, algorithm, digest)
        if not same:
            return None
        assert self._existing is not None
        self.received = self._announced.size
        return self._existing.path

    async def _begin_or_compare(self) -> Accept | Path:
        try:
            return await self._begin_when_free()
        except FileRefusedError as error:
            # An earlier attempt may have arrived while this one waited for it.
            if error.code != FileRefusal.EXISTS or self._existing is not None:
                raise
            existing = await self._compare()
            if existing is None:
                raise
            return existing

    async def _begin_when_free(self) -> Accept:
        loop, stream, worker = asyncio.get_running_loop(), self._stream, self._worker
        until = loop.time() + BUSY_TIMEOUT
        while True:
            try:
                algorithm, partial = await worker.run(self._begin)
                break
            except FileRefusedError as error:
                # Another process, or an event loop of this one, writes to it.
                if error.code != FileRefusal.BUSY or loop.time() >= until:
                    raise
            await asyncio.sleep(_BUSY_INTERVAL)
            endpoint_of(stream).check()
        if not partial.size:
            return Accept(algorithm, 0, partial.hash_prefix())
        async with self._resources.hashing(stream):
            digest = await worker.run(partial.hash_prefix, self._watch)
        return Accept(algorithm, partial.size, digest)

    async def _receive(self, accept: Accept) -> Path:
        stream, worker = self._stream, self._worker
        await stream.write(accept.pack())
        start = messages.begin(await read_exactly(stream, GO_SIZE), accept.offset)
        left = self._announced.size - start
        self.received = start
        batch: list[Chunk] = []
        writing = worker.start(self._truncate, start)
        try:
            while True:
                batch, size = [], 0
                while left and size < PIECE:
                    chunk = await stream.read_chunk(min(left, MAX_CHUNK))
                    if not chunk:
                        raise _too_short(left)
                    append_chunk(batch, chunk)
                    size += len(chunk)
                    left -= len(chunk)
                    self.received += len(chunk)
                if not left:
                    break
                # One piece is written while the next one comes.
                await worker.finish(writing)
                writing, batch = worker.start(self._write, batch), []
            digest = await read_exactly(stream, DIGEST_SIZE)
            if await stream.read(1):
                raise FileRefusedError(FileRefusal.SIZE, "more came than was announced")
            await worker.finish(writing)
        except (StreamResetError, ConnectionClosed, asyncio.CancelledError):
            # What came is kept for the attempt that resumes this one.
            worker.start(self._write, batch)
            raise
        return await worker.run(self._finish, batch, digest)

    # In the thread

    def _algorithm(self) -> Algorithm:
        for number in available():
            if number in self._announced.algorithms:
                return number
        raise FileRefusedError(
            FileRefusal.NOT_SUPPORTED, "no digest algorithm is known to both ends"
        )

    def _find_existing(self) -> Algorithm | None:
        self._existing = self._store.same(self._name, self._announced.size)
        return None if self._existing is None else self._algorithm()

    def _is_same(self, algorithm: Algorithm, digest: bytes) -> bool:
        assert self._existing is not None
        memory = self._resources.memory
        try:
            return self._existing.whole_digest(algorithm, memory, self._watch) == digest
        except FileTransferError:
            return False  # somebody writes to it

    def _begin(self) -> tuple[Algorithm, Partial]:
        endpoint_of(self._stream).check_put_out()
        algorithm = self._algorithm()
        self._partial = self._store.begin(
            self._name,
            self._announced.size,
            self._announced.key,
            scope=_scope(self._stream.connection.peer),
            algorithm=algorithm,
        )
        return algorithm, self._partial

    def _truncate(self, start: int) -> None:
        assert self._partial is not None
        self._partial.truncate(start)

    def _write(self, batch: list[Chunk]) -> None:
        assert self._partial is not None
        if batch:
            # Hashing and writing release the interpreter's lock, and have to take it again
            # afterwards: joined pieces make that rare.
            self._partial.write(b"".join(batch))

    def _finish(self, batch: list[Chunk], digest: bytes) -> Path:
        self._write(batch)
        assert self._partial is not None
        # The sender may have been put out while the disk was written to.
        return self._partial.finish(digest, endpoint_of(self._stream).check_put_out)

    def _make_directory(self) -> Path:
        endpoint_of(self._stream).check_put_out()
        return self._store.make_directory(self._name)

    def _abort(self) -> None:
        if self._existing is not None:
            self._existing.close()
        if self._partial is not None:
            self._partial.abort(keep=self._keep)


def _scope(peer: Peer | None) -> bytes:
    # Without identities anyone may resume what anyone has begun.
    return b"" if peer is None else bytes(peer.key) + peer.name.encode()


def _too_short(left: int) -> FileRefusedError:
    return FileRefusedError(FileRefusal.SIZE, f"the stream ended {left} bytes too early")
