"""A stream as programs see it: bytes each way beside the messages of a connection."""

from __future__ import annotations

import asyncio
import math
import typing
from collections import deque
from operator import index
from typing import Any, Self

from .. import wire
from ..buffers import BytesLike, as_bytes
from ..errors import ConnectionClosed, StreamError
from ..wire import ResetCode
from .chunks import Chunk, append_chunk


class Owner(typing.Protocol):
    """What a stream asks of the streams of its connection."""

    connection: Any

    def check_loop(self) -> None: ...
    def write(self, stream: Stream, data: bytes) -> None: ...
    def send_end(self, stream: Stream) -> None: ...
    def send_reset(self, stream: Stream, code: int, reason: str) -> None: ...
    def give_credit(self, stream: Stream, increment: int) -> None: ...


class Stream:
    """Bytes each way beside the messages of a connection.

    It comes from :meth:`sealframe.Connection.open_stream`, or as the argument of
    ``on_stream`` at the other end. Any number may be open at once; each has its own flow
    control, so that one that nobody reads holds up no other and no message.

    Both ends end their direction by :meth:`end`; :meth:`reset` ends both at once.
    ``async with stream:`` does the one at its end and the other on an exception. Until both
    directions are over a stream takes one of the ``max_streams`` that the peer allows.

    ``async for chunk in stream`` yields what comes until the other end has ended its
    direction, in pieces of any size: what was written at once may come in two, and what
    was written twice in one. Cancelling an await loses nothing.
    """

    __slots__ = (
        "__weakref__",
        "_chunks",
        "_ended",
        "_greedy",
        "_number",
        "_owed",
        "_prepaid",
        "_readable",
        "_receive_error",
        "_send_error",
        "_size",
        "_streams",
        "_window",
        "_writable",
        "metadata",
    )

    def __init__(self, streams: Owner, number: int, metadata: bytes, window: int) -> None:
        self._streams = streams
        self._number = number
        self.metadata = metadata
        """What the opener said that it is for, at most 4,096 bytes."""
        self._window = window
        self._chunks: deque[Chunk] = deque()
        self._size = 0
        # Read and not given back as credit yet, and the reverse.
        self._owed = 0
        self._prepaid = 0
        self._greedy = False
        self._ended = False
        self._receive_error: Exception | None = None
        self._send_error: Exception | None = None
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def __repr__(self) -> str:
        return f"<Stream {self._number} of {self._streams.connection!r}>"

    @property
    def connection(self) -> Any:
        """The :class:`~sealframe.Connection` that it belongs to."""
        return self._streams.connection

    # Writing

    async def write(self, data: BytesLike) -> None:
        """Send bytes.

        Returns once they are accepted: at once, unless 256 KiB wait to be written, because
        the network is slow or the other end does not read. If it is cancelled while it
        waits, nothing was accepted.

        :param data: any bytes-like object; what is not ``bytes`` is copied
        :raises TypeError: the data is not bytes-like
        :raises StreamResetError: the other end reset the stream
        :raises StreamError: this end has ended it
        :raises ConnectionClosed: nothing more can be sent on the connection
        :raises WrongLoopError: called from another thread or event loop
        """
        piece = data if type(data) is bytes else as_bytes(data, "data")
        self._streams.check_loop()
        while True:
            if self._send_error is not None:
                raise _again(self._send_error)
            if self._writable.is_set():
                break
            await self._writable.wait()
        self._streams.write(self, piece)

    async def end(self) -> None:
        """Send no more: the other end reads what was written, and then the end.

        This end can still read. The call waits for nothing, and does nothing the second time.

        :raises StreamResetError: the other end reset the stream
        :raises ConnectionClosed: nothing more can be sent on the connection
        :raises WrongLoopError: called from another thread or event loop
        """
        self._streams.check_loop()
        if self._send_error is None:
            self._send_error = StreamError("this end has ended the stream")
            self._streams.send_end(self)
        elif type(self._send_error) is not StreamError:
            raise _again(self._send_error)

    def reset(self, code: int = 0, reason: str = "") -> None:
        """End both directions at once; what still waits to be written is not sent.

        The other end gets :exc:`~sealframe.StreamResetError`. Where the stream is over this
        does nothing.

        :param code: 0, or a code of the application's own, 16 to 65,535
        :param reason: text for the other end, cut to 255 bytes of UTF-8
        :raises ValueError: the code is none of them
        :raises TypeError: the reason is not text
        :raises WrongLoopError: called from another thread or event loop
        """
        if index(code) and not wire.FIRST_OWN_RESET_CODE <= code <= wire.MAX_RESET_CODE:
            raise ValueError(
                f"code is {code}; use 0, or {wire.FIRST_OWN_RESET_CODE} to {wire.MAX_RESET_CODE}"
            )
        if not isinstance(reason, str):
            raise TypeError(f"reason is text, not {type(reason).__name__}")
        self._streams.check_loop()
        self._reset(code, reason)

    def _reset(self, code: int, reason: str) -> None:
        self._streams.send_reset(self, code, reason)
        self._fail(StreamError("this end has reset the stream"))

    # Reading

    async def read(self, n: int = -1) -> bytes:
        """Return up to ``n`` bytes, as soon as there are any; ``b""`` at the end.

        What came before the stream or the connection ended stays readable.

        :param n: the most bytes to return; -1 waits for the end and returns all that comes
            until then, which has to fit into the memory
        :raises StreamResetError: the other end reset the stream
        :raises StreamError: this end has reset it
        :raises ConnectionClosed: the connection ended before the stream did
        :raises WrongLoopError: called from another thread or event loop
        """
        self._streams.check_loop()
        if index(n) < 0:
            return await self._read_all()
        if n == 0:
            return b""
        await self._wait_readable()
        return bytes(self._take(n))

    async def read_chunk(self, n: int = wire.MAX_CHUNK) -> bytes | bytearray | memoryview:
        """Return what comes next as :meth:`read` does, without a copy where that can be.

        :param n: the most bytes to return, at least 1
        :return: bytes-like and not to be changed; empty at the end
        :raises ValueError: ``n`` is less than 1
        :raises StreamResetError: the other end reset the stream
        :raises StreamError: this end has reset it
        :raises ConnectionClosed: the connection ended before the stream did
        :raises WrongLoopError: called from another thread or event loop
        """
        self._streams.check_loop()
        if index(n) < 1:
            raise ValueError(f"n is {n}; use a whole number from 1 up")
        await self._wait_readable()
        return self._take(n)

    async def _read_all(self, limit: float = math.inf) -> bytes:
        """Return all that comes until the end, as :meth:`read` does.

        :param limit: in bytes
        :raises OverflowError: more than that came; it is still in the stream
        """
        # What came stays in the stream until all of it is there, in case this is cancelled,
        # and because single bytes take less memory there.
        self._greedy = True
        try:
            while not self._ended and self._receive_error is None:
                if self._size > limit:
                    break
                self._pay_ahead()
                self._readable.clear()
                await self._readable.wait()
        finally:
            self._greedy = False
        if self._size > limit:
            raise OverflowError(f"over {limit} bytes came")
        if not self._ended and self._receive_error is not None:
            raise _again(self._receive_error)
        whole = b"".join(self._chunks)
        self._chunks.clear()
        self._size = self._prepaid = 0
        return whole

    async def _wait_readable(self) -> None:
        while not self._size and not self._ended:
            if self._receive_error is not None:
                raise _again(self._receive_error)
            self._readable.clear()
            await self._readable.wait()

    def _take(self, n: int) -> bytes | bytearray | memoryview:
        if not self._chunks:
            return b""
        chunk = self._chunks.popleft()
        if len(chunk) > n:
            view = memoryview(chunk)
            self._chunks.appendleft(view[n:])
            chunk = view[:n]
        size = len(chunk)
        self._size -= size
        paid = min(size, self._prepaid)
        self._prepaid -= paid
        self._pay(size - paid)
        return chunk

    def _pay(self, size: int) -> None:
        """Give credit for bytes, once they are many enough to tell of."""
        self._owed += size
        if self._owed * 2 >= self._window and not self._ended:
            self._streams.give_credit(self, self._owed)
            self._owed = 0

    def _pay_ahead(self) -> None:
        ahead = self._size - self._prepaid
        self._prepaid = self._size
        self._pay(ahead)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self.read(wire.MAX_CHUNK)
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._reset(ResetCode.CANCELLED, "")
        elif self._send_error is None:
            await self.end()

    # Called by Streams

    def _receive(self, data: memoryview) -> None:
        append_chunk(self._chunks, data)
        self._size += len(data)
        if self._greedy:
            self._pay_ahead()
        self._readable.set()

    def _receive_end(self) -> None:
        self._ended = True
        self._readable.set()

    @property
    def _is_done(self) -> bool:
        """Whether both directions have ended; else a reset may be among what has come."""
        return self._ended and self._send_error is not None

    def _set_writable(self, writable: bool) -> None:
        if writable:
            self._writable.set()
        else:
            self._writable.clear()

    def _fail(self, error: Exception) -> None:
        """End both directions."""
        if self._receive_error is None:
            self._receive_error = error
        self._readable.set()
        self._end_sending(error)

    def _end_sending(self, error: Exception) -> None:
        if self._send_error is None or type(self._send_error) is StreamError:
            self._send_error = error
        self._writable.set()


def check_stream(stream: Stream) -> None:
    """Raise what has ended a stream, if anything has; any thread may ask."""
    if stream._receive_error is not None:
        raise _again(stream._receive_error)


def _again(error: Exception) -> Exception:
    """Return an error that can be raised once more, without the traceback of the last time."""
    return error.fresh() if isinstance(error, ConnectionClosed | StreamError) else error
