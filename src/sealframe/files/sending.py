"""Sends a file, or a directory, over streams of a connection."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from ..aio.stream import Stream
from ..aio.transfers import OnProgress, OpenStream, Receipt
from ..errors import (
    DirectoryTransferError,
    FileChangedError,
    FileRefusedError,
    FileTransferError,
    FileUnreadableError,
    StreamResetError,
)
from ..wire import FileAbort, ResetCode
from . import messages
from .digest import available
from .exchange import read_exactly, watching
from .messages import (
    ACCEPT_SIZE,
    COMPARE_SIZE,
    COMPARE_START,
    DONE,
    KEY_SIZE,
    Accept,
    Announcement,
    MalformedError,
)
from .paths import checked_name
from .progress import Tally
from .source import Source
from .tree import Entry, Kind, walk
from .worker import Worker

PIECE: Final = 1 << 20
"""Bytes that are read and hashed in one go."""
_LANES: Final = 4
"""Files of a directory that are sent at a time."""
_BATCH: Final = 64
"""Entries of a directory that are looked at in one go."""


async def send(
    open_stream: OpenStream,
    path: str | os.PathLike[str],
    name: str | None,
    below: str | os.PathLike[str] | None,
    progress: OnProgress | None,
) -> Receipt:
    """Send a file or a directory; see :meth:`sealframe.Connection.send_file`."""
    absolute = _absolute(path if below is None else Path(below, path))
    name = checked_name(absolute.name if name is None else name, hidden=True)
    tally = Tally(progress, asyncio.get_running_loop().time)
    worker = Worker()
    try:
        if below is not None:
            root = _absolute(below)
            await _File(open_stream, worker, tally, name, root, os.fspath(path)).send()
        elif await worker.run(os.path.isdir, absolute):
            await _send_directory(open_stream, absolute, name, tally, worker)
        else:
            await _File(open_stream, worker, tally, name, absolute).send()
    finally:
        worker.close()
    return tally.finish()


def _absolute(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - links stay as they are


async def _send_directory(
    open_stream: OpenStream, root: Path, name: str, tally: Tally, worker: Worker
) -> None:
    entries = walk(root)
    failures: dict[str, FileTransferError] = {}
    waiting: list[Entry] = []
    looking = asyncio.Lock()
    sent_any = False

    async def next_entry() -> Entry | None:
        nonlocal sent_any
        async with looking:
            while not waiting:
                batch = await worker.run(_batch, entries)
                if not batch:
                    return None
                for entry in reversed(batch):
                    if (reason := _reason_to_skip(entry, f"{name}/{entry.name}")) is None:
                        waiting.append(entry)
                    else:
                        tally.skip(f"{name}/{entry.name}", reason)
            sent_any = True
            return waiting.pop()

    async def lane() -> None:
        own = Worker()
        try:
            while (entry := await next_entry()) is not None:
                full = f"{name}/{entry.name}"
                try:
                    if entry.kind is Kind.EMPTY_DIRECTORY:
                        await _send_empty(open_stream, full, tally)
                    else:
                        below = root, entry.name
                        await _File(open_stream, own, tally, full, *below).send()
                except FileTransferError as error:
                    failures[full] = error
        finally:
            own.close()

    try:
        await _all(lane)
    finally:
        # It has directories open, and other threads must not close them meanwhile.
        await worker.run(entries.close)
    if not sent_any:
        await _send_empty(open_stream, name, tally)
    if failures:
        raise DirectoryTransferError(dict(sorted(failures.items())), tally.finish())


def _batch(entries: Iterator[Entry]) -> list[Entry]:
    return list(islice(entries, _BATCH))


def _reason_to_skip(entry: Entry, full: str) -> str | None:
    if entry.kind is Kind.SKIPPED:
        return entry.reason
    try:
        checked_name(full, hidden=True)
    except FileRefusedError as error:
        return error.reason
    return None


async def _all(lane: Callable[[], Awaitable[None]]) -> None:
    """Run all lanes; the first that fails ends the others."""
    tasks = [asyncio.ensure_future(lane()) for _ in range(_LANES)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await _settle(tasks)
    for error in [task.exception() for task in tasks if not task.cancelled()]:
        if error is not None:
            raise error


async def _settle(tasks: Collection[asyncio.Future[None]]) -> None:
    """Wait until all are done, even if the wait is cancelled meanwhile."""
    cancelled: asyncio.CancelledError | None = None
    while not all(task.done() for task in tasks):
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def _send_empty(open_stream: OpenStream, name: str, tally: Tally) -> None:
    algorithms = frozenset(available())
    offer = Announcement(name, 0, bytes(KEY_SIZE), algorithms, directory=True)
    stream = await open_stream(offer.pack())
    with _resetting(stream):
        await stream.end()
        await _read_done(stream)
    tally.arrived(name, 0, 0)


class _File:
    """One file on its way.

    :param worker: its thread; others may use it before and after
    :param path: of the file, or of the directory that ``below`` is relative to
    """

    def __init__(
        self,
        open_stream: OpenStream,
        worker: Worker,
        tally: Tally,
        name: str,
        path: Path,
        below: str | None = None,
    ) -> None:
        self._open_stream = open_stream
        self._worker = worker
        self._tally = tally
        self._name = name
        self._path = path
        self._below = below
        self._source: Source | None = None

    async def send(self) -> None:
        """Send it; return when the other end has it."""
        try:
            offer = await self._worker.run(self._open)
            stream = await self._open_stream(offer.pack())
            with _resetting(stream):
                await self._talk(stream, offer)
        finally:
            await self._worker.run(self._close)

    async def _talk(self, stream: Stream, offer: Announcement) -> None:
        worker, size = self._worker, offer.size
        answer = await read_exactly(stream, 1)
        if answer == COMPARE_START:
            answer += await read_exactly(stream, COMPARE_SIZE - 1)
            algorithm = messages.compared(answer, offer.algorithms)
            await stream.write(await worker.run(self._whole_digest, algorithm, stream))
            answer = await read_exactly(stream, 1)
            if answer == DONE:
                await stream.end()
                if await stream.read(1):
                    raise MalformedError("something follows its last word")
                self._tally.count(self._name, size, size, size)
                self._tally.arrived(self._name, size, size)
                return
        answer += await read_exactly(stream, ACCEPT_SIZE - 1)
        accepted = messages.accept(answer, size, offer.algorithms)
        # What is read next is read while this is written.
        offset, data, digest = await worker.run(self._begin, accepted, stream)
        await stream.write(messages.go(offset))
        sent = offset
        if offset:
            self._tally.count(self._name, sent, size, offset)
        while digest is None:
            reading = worker.start(self._read)
            await self._write(stream, data, sent := sent + len(data), size)
            data, digest = await worker.finish(reading)
        if data:
            await self._write(stream, data, sent + len(data), size)
        await stream.write(digest)
        await stream.end()
        await _read_done(stream)
        self._tally.arrived(self._name, size, offset)

    async def _write(self, stream: Stream, data: bytes, sent: int, size: int) -> None:
        await stream.write(data)
        self._tally.count(self._name, sent, size, len(data))

    # In the thread

    def _open(self) -> Announcement:
        if self._below is None:
            source = Source(self._path)
        else:
            source = Source(self._below, below=self._path)
        self._source = source
        algorithms = frozenset(available())
        return Announcement(self._name, source.size, source.key(self._name), algorithms)

    def _whole_digest(self, algorithm: int, stream: Stream) -> bytes:
        assert self._source is not None
        return self._source.start(algorithm, self._source.size, watching(self._worker, stream))

    def _begin(self, accepted: Accept, stream: Stream) -> tuple[int, bytes, bytes | None]:
        """Agree on where to begin; return that, and what is read first."""
        assert self._source is not None
        algorithm, offset = accepted.algorithm, accepted.offset
        digest = self._source.start(algorithm, offset, watching(self._worker, stream))
        if digest != accepted.digest:
            offset = 0
            self._source.start(algorithm)
        return offset, *self._read()

    def _read(self) -> tuple[bytes, bytes | None]:
        """Return what is next, and at the end the digest of the whole."""
        assert self._source is not None
        data = self._source.read(PIECE)
        at_end = self._source.offset == self._source.size
        return data, self._source.digest() if at_end else None

    def _close(self) -> None:
        if self._source is not None:
            self._source.close()


@contextmanager
def _resetting(stream: Stream) -> Iterator[None]:
    """Reset the stream on an error of this end; turn a reset of the other end into an error."""
    try:
        yield
    except StreamResetError as error:
        raise messages.refusal(error) from None
    except FileChangedError:
        stream.reset(FileAbort.CHANGED)
        raise
    except FileUnreadableError:
        stream.reset(FileAbort.UNREADABLE)
        raise
    except MalformedError as error:
        stream.reset()
        raise FileTransferError(f"the receiving end broke the protocol: {error}") from None
    except BaseException:
        stream.reset(ResetCode.CANCELLED)
        raise


async def _read_done(stream: Stream) -> None:
    if await read_exactly(stream, len(DONE)) != DONE or await stream.read(1):
        raise MalformedError("its last word is not DONE")
