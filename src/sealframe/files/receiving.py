"""Receives the files that a peer offers, each on a stream of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias
from weakref import WeakKeyDictionary

from ..aio.stream import Stream
from ..errors import (
    ConnectionClosed,
    FileRefusedError,
    FileTransferError,
    StreamResetError,
)
from ..trust.peer import Peer
from ..wire import MAX_CHUNK, FileAbort, FileRefusal
from . import messages
from .digest import DIGEST_SIZE, Algorithm, available
from .messages import DONE, GO_SIZE, Accept, Announcement, MalformedError
from .partial import Partial
from .paths import checked_name
from .source import Source
from .store import Store
from .worker import Worker

logger = logging.getLogger("sealframe.files")

PIECE: Final = 1 << 20
"""Bytes that are hashed and written in one go."""
PATIENCE: Final = 10.0
"""Seconds in which an earlier attempt at the same file should let go of it."""
_PAUSE: Final = 0.05
_SMALL: Final = 1024
"""Bytes below which what came in one go is put to what came before."""
CONCURRENCY: Final = 4
"""Files of one connection that are received at a time, where nothing else is said."""

Chunks: TypeAlias = list[bytes | bytearray | memoryview]


class Holder(Protocol):
    """What a file can be received into; an :class:`~sealframe.Inbox` is one."""

    @property
    def store(self) -> Store: ...


class Offer:
    """A file that the other end would like to send; the argument of ``files=``.

    Either :meth:`accept` or :meth:`decline` answers it; the function that returns without
    either declines it.

    :ivar name: what the sender calls it: a relative path with ``/`` between the parts, safe
        on every system (:func:`sealframe.files.checked_name`)
    :ivar size: in bytes
    :ivar is_directory: whether it is an empty directory and no file
    :ivar received: bytes of it that have come, those from an earlier attempt included; it
        grows while :meth:`accept` runs
    """

    __slots__ = (
        *("_announced", "_answered", "_slots", "_stream"),
        *("is_directory", "name", "received", "size"),
    )

    def __init__(self, stream: Stream, announced: Announcement, slots: asyncio.Semaphore) -> None:
        self._stream = stream
        self._announced = announced
        self._slots = slots
        self._answered = False
        self.name = announced.name
        self.size = announced.size
        self.is_directory = announced.directory
        self.received = 0

    def __repr__(self) -> str:
        return f"<Offer of {self.name!r}, {self.size} bytes, on {self.connection!r}>"

    @property
    def connection(self) -> Any:
        """The :class:`~sealframe.Connection` that it came on."""
        return self._stream.connection

    @property
    def peer(self) -> Peer | None:
        """Who offers it, where identities are used."""
        peer: Peer | None = self.connection.peer
        return peer

    async def accept(self, into: Holder | str | os.PathLike[str], name: str | None = None) -> Path:
        """Receive it; return where it is once it is whole, correct and on the disk.

        Waits where as many files of this connection are being received as go at a time.
        What there is of it from an earlier attempt is not sent again. If the connection is
        lost, or this call is cancelled, what came waits to be resumed.

        :param into: an :class:`~sealframe.Inbox`, or a directory, which then has the limits
            of an inbox for which nothing is said
        :param name: below that directory, in place of the sender's; as safe as those
        :raises FileRefusedError: it is not taken, or not further, as the sender is told;
            ``code`` says why
        :raises FileTransferError: the sender stopped, or this offer was answered before
        :raises ConfigurationError: the directory cannot be used
        :raises ConnectionClosed: the connection ended
        """
        self._answer()
        reception = _Reception(self, name or self.name)
        try:
            async with self._slots:
                # Whoever has left while this waited gets no directories made.
                self._stream._check()
                return await reception.run(into)
        except StreamResetError as error:
            raise messages.withdrawal(error) from None
        except FileRefusedError as error:
            self._refuse(error.code, error.reason)
            raise
        except MalformedError as error:
            self._refuse(FileRefusal.MALFORMED, str(error))
            raise FileTransferError(f"the sender broke the protocol: {error}") from None

    def decline(self, reason: str = "") -> None:
        """Do not take it.

        :param reason: text for the sender, cut to 255 bytes of UTF-8
        :raises FileTransferError: this offer was answered before
        """
        self._answer()
        self._refuse(FileRefusal.DECLINED, reason or "the receiving end does not want it")

    def _answer(self) -> None:
        if self._answered:
            raise FileTransferError("this offer was answered before")
        self._answered = True

    def _refuse(self, code: int, reason: str) -> None:
        self._stream.reset(messages.reset_code(code), reason)


OnOffer: TypeAlias = Callable[[Offer], Awaitable[object]]
"""``async def on_offer(offer)``."""


class Receiver:
    """Hands the offers of all connections of one end to the program.

    :param concurrency: files of one connection that are received at a time
    """

    def __init__(self, on_offer: OnOffer, *, concurrency: int) -> None:
        self._on_offer = on_offer
        self._concurrency = concurrency
        self._slots: WeakKeyDictionary[Any, asyncio.Semaphore] = WeakKeyDictionary()

    async def serve(self, stream: Stream) -> None:
        """Take in what is offered on a stream; it returns when that is over."""
        try:
            announced = messages.announcement(stream.metadata)
            checked_name(announced.name)
            offer = Offer(stream, announced, self._slots_of(stream.connection))
        except FileRefusedError as error:
            stream.reset(messages.reset_code(error.code), error.reason)
            return
        except MalformedError as error:
            stream.reset(messages.reset_code(FileRefusal.MALFORMED), str(error))
            return
        try:
            await self._on_offer(offer)
        except FileTransferError as error:
            # The sender knows it.
            logger.info("%r of %r was not received: %s", offer.name, offer.connection, error)
        if not offer._answered:
            offer.decline()

    def _slots_of(self, connection: Any) -> asyncio.Semaphore:
        slots = self._slots.get(connection)
        if slots is None:
            slots = self._slots[connection] = asyncio.Semaphore(self._concurrency)
        return slots


class _Reception:
    """One file that is on its way here.

    What came and is not written yet is at most two pieces, and what the stream holds.
    """

    def __init__(self, offer: Offer, name: str) -> None:
        self._offer = offer
        self._stream = offer._stream
        self._announced = offer._announced
        self._name = name
        self._worker = Worker()
        self._same: Source | None = None
        self._partial: Partial | None = None
        self._keep = True

    async def run(self, into: Holder | str | os.PathLike[str]) -> Path:
        worker = self._worker
        there: Path | None = None
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
                    path = there = begun
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
        if there is not None and await self._stream.read(1):
            raise MalformedError("something follows a file that is there")
        return path

    async def _compare(self, into: Holder | str | os.PathLike[str]) -> Path | None:
        """Return where the very same file is already, None if it is not.

        The word that it has arrived may have been lost. The sender has to show the digest
        first: who does not have the file does not learn what is in it.
        """
        stream, worker = self._stream, self._worker
        algorithm = await worker.run(self._look, into)
        if algorithm is None:
            return None
        await stream.write(messages.compare(algorithm))
        digest = await self._read(DIGEST_SIZE)
        if not await worker.run(self._is_same, algorithm, digest):
            return None
        assert self._same is not None
        self._offer.received = self._announced.size
        return self._same.path

    async def _begin_or_compare(self, into: Holder | str | os.PathLike[str]) -> Accept | Path:
        try:
            return await self._worker.run(self._begin, into)
        except FileRefusedError as error:
            # An earlier attempt may have come to its end while this one waited for it.
            if error.code != FileRefusal.EXISTS or self._same is not None:
                raise
            there = await self._compare(into)
            if there is None:
                raise
            return there

    async def _receive(self, accept: Accept) -> Path:
        stream, worker = self._stream, self._worker
        await stream.write(accept.pack())
        start = messages.begin(await self._read(GO_SIZE), accept.offset)
        left = self._announced.size - start
        self._offer.received = start
        batch: Chunks = []
        writing = worker.start(self._go_back, start)
        try:
            while True:
                batch, size = [], 0
                while left and size < PIECE:
                    chunk = await stream.read_chunk(min(left, MAX_CHUNK))
                    if not chunk:
                        raise _too_short(left)
                    _append(batch, chunk)
                    size += len(chunk)
                    left -= len(chunk)
                    self._offer.received += len(chunk)
                if not left:
                    break
                # One piece is written while the next one comes.
                await worker.finish(writing)
                writing, batch = worker.start(self._write, batch), []
            digest = await self._read(DIGEST_SIZE)
            if await stream.read(1):
                raise FileRefusedError(FileRefusal.SIZE, "more came than was announced")
            await worker.finish(writing)
        except (StreamResetError, ConnectionClosed, asyncio.CancelledError):
            # It counts when the transfer is resumed.
            worker.start(self._write, batch)
            raise
        return await worker.run(self._finish, batch, digest)

    async def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = await self._stream.read(size - len(data))
            if not piece:
                raise MalformedError("the stream ended too early")
            data += piece
        return data

    # In the thread

    def _algorithm(self) -> Algorithm:
        for number in available():
            if number in self._announced.algorithms:
                return number
        raise FileRefusedError(
            FileRefusal.NOT_SUPPORTED, "no digest algorithm is known to both ends"
        )

    def _look(self, into: Holder | str | os.PathLike[str]) -> Algorithm | None:
        self._same = _store(into).same(self._name, self._announced.size)
        return None if self._same is None else self._algorithm()

    def _is_same(self, algorithm: Algorithm, digest: bytes) -> bool:
        assert self._same is not None
        try:
            return self._same.start(algorithm, self._same.size, self._watch) == digest
        except FileTransferError:
            return False  # somebody writes to it

    def _begin(self, into: Holder | str | os.PathLike[str]) -> Accept:
        algorithm = self._algorithm()
        store = _store(into)
        until = time.monotonic() + PATIENCE
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
            time.sleep(_PAUSE)
        return Accept(algorithm, partial.size, partial.hash_prefix(self._watch))

    def _watch(self, _: int) -> None:
        self._worker.check()
        self._stream._check()

    def _go_back(self, start: int) -> None:
        assert self._partial is not None
        self._partial.truncate(start)

    def _write(self, batch: Chunks) -> None:
        assert self._partial is not None
        if batch:
            # In one go: hashing and writing let the event loop run, and for each small
            # chunk they would have to wait until it lets them go on.
            self._partial.write(b"".join(batch))

    def _finish(self, batch: Chunks, digest: bytes) -> Path:
        self._write(batch)
        assert self._partial is not None
        return self._partial.finish(digest)

    def _make_directory(self, into: Holder | str | os.PathLike[str]) -> Path:
        return _store(into).make_directory(self._name)

    def _abort(self) -> None:
        if self._same is not None:
            self._same.close()
        if self._partial is not None:
            self._partial.abort(keep=self._keep)


def _append(batch: Chunks, chunk: bytes | bytearray | memoryview) -> None:
    """Add to what is written together; single bytes take no more memory than they are."""
    if len(chunk) >= _SMALL:
        batch.append(chunk)
    elif batch and isinstance(last := batch[-1], bytearray):
        last += chunk
    else:
        batch.append(bytearray(chunk))


def _store(into: Holder | str | os.PathLike[str]) -> Store:
    if isinstance(into, str | os.PathLike):
        return Store(into)
    return into.store


def _scope(peer: Peer | None) -> bytes:
    # Without identities anyone may resume what anyone has begun.
    return b"" if peer is None else bytes(peer.key) + peer.name.encode()


def _too_short(left: int) -> FileRefusedError:
    return FileRefusedError(FileRefusal.SIZE, f"the stream ended {left} bytes too early")
