"""One file that is being received: docs/PROTOCOL.md section 10, the receiving end."""

from __future__ import annotations

import asyncio
import os
import time
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
from .source import Source
from .store import Store
from .worker import Worker

PIECE: Final = 1 << 20
"""Bytes that are hashed and written in one go."""
BUSY_TIMEOUT: Final = 10.0
"""Seconds to wait for an earlier attempt at the same file to let go of it."""
_BUSY_INTERVAL: Final = 0.05
"""Seconds between two looks whether it has."""


class Destination(Protocol):
    """What a file can be received into; an :class:`~sealframe.Inbox` is one."""

    @property
    def store(self) -> Store: ...


class IncomingFile:
    """One file that is being received.

    It holds at most two pieces that are not on the disk yet, beside what its stream holds:
    one that is being written, and one that is being read.

    :param name: that it gets, below the directory that it is received into
    :ivar received: bytes of it that are here, those from an earlier attempt included
    """

    __slots__ = (
        *("_announced", "_existing", "_keep", "_name", "_partial", "_stream", "_watch", "_worker"),
        "received",
    )

    def __init__(self, stream: Stream, announced: Announcement, name: str) -> None:
        self._stream = stream
        self._announced = announced
        self._name = name
        self._worker = Worker()
        self._watch = watching(self._worker, stream)
        self._existing: Source | None = None
        """A file of that name and size."""
        self._partial: Partial | None = None
        self._keep = True
        """Whether a later attempt may resume what is here."""
        self.received = 0

    async def run(self, into: Destination | str | os.PathLike[str]) -> Path:
        """Receive it; return where it is once it is on the disk."""
        worker = self._worker
        existing: Path | None = None
        try:
            if self._announced.directory:
                path = await worker.run(self._make_directory, into)
                if await self._stream.read(1):
                    raise MalformedError("something follows a directory")
            else:
                begun = await self._compare(into) or await self._begin_or_compare(into)
                if isinstance(begun, Accept):
                    path = await self._receive(begun)
                else:
                    path = existing = begun
        except StreamResetError as error:
            self._keep = error.code != FileAbort.CHANGED
            raise
        finally:
            try:
                await worker.run(self._abort)
            finally:
                worker.close()
        await self._stream.write(DONE)
        await self._stream.end()
        if existing is not None and await self._stream.read(1):
            raise MalformedError("something follows a file that is there")
        return path

    async def _compare(self, into: Destination | str | os.PathLike[str]) -> Path | None:
        """Return where the very same file is already, None if it is not.

        An earlier attempt may have arrived, and its DONE been lost. COMPARE has the sender
        show its digest first: a sender without the file does not learn what is in it.
        """
        stream, worker = self._stream, self._worker
        algorithm = await worker.run(self._find_existing, into)
        if algorithm is None:
            return None
        await stream.write(messages.compare(algorithm))
        digest = await read_exactly(stream, DIGEST_SIZE)
        if not await worker.run(self._is_same, algorithm, digest):
            return None
        assert self._existing is not None
        self.received = self._announced.size
        return self._existing.path

    async def _begin_or_compare(self, into: Destination | str | os.PathLike[str]) -> Accept | Path:
        try:
            return await self._worker.run(self._begin, into)
        except FileRefusedError as error:
            # An earlier attempt may have arrived while this one waited for it.
            if error.code != FileRefusal.EXISTS or self._existing is not None:
                raise
            existing = await self._compare(into)
            if existing is None:
                raise
            return existing

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

    def _find_existing(self, into: Destination | str | os.PathLike[str]) -> Algorithm | None:
        self._existing = _store(into).same(self._name, self._announced.size)
        return None if self._existing is None else self._algorithm()

    def _is_same(self, algorithm: Algorithm, digest: bytes) -> bool:
        existing = self._existing
        assert existing is not None
        try:
            return existing.start(algorithm, existing.size, self._watch) == digest
        except FileTransferError:
            return False  # somebody writes to it

    def _begin(self, into: Destination | str | os.PathLike[str]) -> Accept:
        endpoint_of(self._stream).check_put_out()
        algorithm = self._algorithm()
        store = _store(into)
        until = time.monotonic() + BUSY_TIMEOUT
        while True:
            try:
                self._partial = partial = store.begin(
                    self._name,
                    self._announced.size,
                    self._announced.key,
                    scope=_scope(self._stream.connection.peer),
                    algorithm=algorithm,
                )
                break
            except FileRefusedError as error:
                # The sender may be back before the end of its last connection was noticed.
                if error.code != FileRefusal.BUSY or time.monotonic() >= until:
                    raise
            self._watch(0)
            time.sleep(_BUSY_INTERVAL)
        return Accept(algorithm, partial.size, partial.hash_prefix(self._watch))

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

    def _make_directory(self, into: Destination | str | os.PathLike[str]) -> Path:
        endpoint_of(self._stream).check_put_out()
        return _store(into).make_directory(self._name)

    def _abort(self) -> None:
        if self._existing is not None:
            self._existing.close()
        if self._partial is not None:
            self._partial.abort(keep=self._keep)


def _store(into: Destination | str | os.PathLike[str]) -> Store:
    if isinstance(into, str | os.PathLike):
        return Store(into)
    return into.store


def _scope(peer: Peer | None) -> bytes:
    # Without identities anyone may resume what anyone has begun.
    return b"" if peer is None else bytes(peer.key) + peer.name.encode()


def _too_short(left: int) -> FileRefusedError:
    return FileRefusedError(FileRefusal.SIZE, f"the stream ended {left} bytes too early")
