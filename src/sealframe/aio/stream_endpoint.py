"""This end of one stream: what came and is not read yet, and whether it may be written to.

docs/PROTOCOL.md section 8 has the rules. The multiplexer (:mod:`sealframe.core.multiplexer`)
keeps them; an endpoint adds what asyncio needs: a receive buffer that tasks wait at, and
backpressure for those who write. :class:`sealframe.Stream` is what programs see of it;
:class:`.requests.Requests` uses endpoints themselves.

A reader gives credit: bytes that were read may be sent again. While all that comes is collected
(:meth:`StreamEndpoint.read_all`), what is still in the buffer counts as read, so that more may
come than the receive window is wide.
"""

from __future__ import annotations

import asyncio
import math
import typing
from collections import deque
from operator import index
from typing import Any, Final

from ..buffers import BytesLike, as_bytes
from ..core.growth import Growing
from ..core.multiplexer import Multiplexer
from ..core.window import Window
from ..errors import ConnectionClosed, StreamError
from .chunks import Chunk, append_chunk

_WRITE_LIMIT: Final = 256 * 1024
"""Bytes in the send buffer of a stream from which on ``write`` waits."""


class EndpointOwner(typing.Protocol):
    """What an endpoint needs of the streams of its connection."""

    @property
    def connection(self) -> Any: ...
    def check_put_out(self) -> None: ...
    def check_loop(self) -> None: ...
    def flush_soon(self) -> None: ...
    def discard(self, number: int) -> None: ...
    def measure(self, measured: Growing, grant: int) -> None: ...


class StreamEndpoint:
    """This end of a stream.

    Two errors hold the state of its directions. ``_send_error`` is None while this end may
    write, a plain :exc:`~sealframe.StreamError` once it has ended its direction, and
    otherwise what has ended it. ``_receive_error`` is None until more than the peer's
    direction has ended; what came before stays readable, unless the peer was put out.

    :param number: of the stream, in the multiplexer too
    :param window: bytes that the peer may send at first
    """

    __slots__ = (
        "_first_window",
        "_multiplexer",
        "_owner",
        "_readable",
        "_reading_all",
        "_receive_error",
        "_received_end",
        "_send_error",
        "_writable",
        "buffered",
        "chunks",
        "number",
        "window",
    )

    def __init__(
        self, owner: EndpointOwner, multiplexer: Multiplexer, number: int, window: int
    ) -> None:
        self._owner = owner
        self._multiplexer = multiplexer
        self.number = number
        self.chunks: deque[Chunk] = deque()
        """The receive buffer."""
        self.buffered = 0
        """Bytes in the receive buffer."""
        self.window = Window(window)
        """What the peer may send."""
        # The size of the window before it grows.
        self._first_window = window
        self._reading_all = False
        self._received_end = False
        self._receive_error: Exception | None = None
        self._send_error: Exception | None = None
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def __repr__(self) -> str:
        return f"<Stream {self.number} of {self._owner.connection!r}>"

    @property
    def connection(self) -> Any:
        """What programs see of its connection."""
        return self._owner.connection

    @property
    def is_done(self) -> bool:
        """Whether both directions have ended; else a reset may be among what has come."""
        return self._received_end and self._send_error is not None

    @property
    def may_send(self) -> bool:
        """Whether this end has not ended its direction, and nothing else has."""
        return self._send_error is None

    @property
    def is_writable(self) -> bool:
        """Whether :meth:`write` waits for nothing: the send buffer is below its limit."""
        return self._writable.is_set()

    def check_loop(self) -> None:
        """Refuse a call from another thread or event loop.

        :raises WrongLoopError: it is one
        """
        self._owner.check_loop()

    def check(self) -> None:
        """Raise what has ended the peer's direction, unless its end has; any thread may ask.

        :raises StreamError: the stream was reset, or what served it has returned
        :raises ConnectionClosed: the connection is gone
        """
        self._owner.check_put_out()
        if self._receive_error is not None:
            raise _again(self._receive_error)

    def check_put_out(self) -> None:
        """Raise the error if this end put the peer out; any thread may ask.

        :raises ConnectionClosed: nothing of the peer counts any more, not even what came before
        """
        self._owner.check_put_out()

    # Sending

    async def write(self, data: BytesLike) -> None:
        """Send bytes; see :meth:`sealframe.Stream.write`."""
        piece = data if type(data) is bytes else as_bytes(data, "data")
        owner = self._owner
        owner.check_loop()
        while True:
            if self._send_error is not None:
                raise _again(self._send_error)
            if self._writable.is_set():
                break
            await self._writable.wait()
        if self._multiplexer.write(self.number, piece) >= _WRITE_LIMIT:
            self._writable.clear()
        # Last: it may write at once, and then calls resume_writing.
        owner.flush_soon()

    def end(self) -> None:
        """Send STREAM_END behind what is in the send buffer; see :meth:`sealframe.Stream.end`."""
        if self._send_error is None:
            self._send_error = StreamError("this end has ended the stream")
            self._multiplexer.end(self.number)
            self._owner.flush_soon()
        elif type(self._send_error) is not StreamError:
            raise _again(self._send_error)

    def reset(self, code: int, reason: str) -> None:
        """Send STREAM_RESET, unless the stream is over; end both directions."""
        self._owner.discard(self.number)
        if not self._multiplexer.is_over(self.number):
            self._multiplexer.reset(self.number, code, reason)
            self._owner.flush_soon()
        self.fail(StreamError("this end has reset the stream"))

    def resume_writing(self) -> None:
        """Wake those who write, if the send buffer is below its limit again."""
        if self._multiplexer.queued(self.number) < _WRITE_LIMIT:
            self._writable.set()

    def end_sending(self, error: Exception) -> None:
        """Nothing more can be sent; wake those who write, to raise the error."""
        if self._send_error is None or type(self._send_error) is StreamError:
            self._send_error = error
        self._writable.set()

    # Receiving

    async def read(self, n: int) -> bytes:
        """Return up to ``n`` bytes; see :meth:`sealframe.Stream.read`."""
        self._owner.check_loop()
        if index(n) < 0:
            return await self.read_all()
        if n == 0:
            return b""
        await self.wait_readable()
        return bytes(self._take(n))

    async def read_chunk(self, n: int) -> Chunk:
        """Return up to ``n`` bytes without a copy; see :meth:`sealframe.Stream.read_chunk`."""
        self._owner.check_loop()
        if index(n) < 1:
            raise ValueError(f"n is {n}; use a whole number from 1 up")
        await self.wait_readable()
        return self._take(n)

    async def read_all(self, limit: float = math.inf) -> bytes:
        """Return all that comes until the end, as :meth:`read` does.

        :param limit: in bytes
        :raises OverflowError: more than that came; it is still in the stream
        """
        # What came stays in the stream until all of it is there, in case this is cancelled,
        # and because single bytes take less memory there.
        self._reading_all = True
        try:
            while not self._received_end and self._receive_error is None:
                if self.buffered > limit:
                    break
                self._give_credit()
                self._readable.clear()
                await self._readable.wait()
        finally:
            self._reading_all = False
        self._owner.check_put_out()
        if self.buffered > limit:
            raise OverflowError(f"over {limit} bytes came")
        if not self._received_end and self._receive_error is not None:
            raise _again(self._receive_error)
        whole = b"".join(self.chunks)
        self.chunks.clear()
        self.buffered = 0
        return whole

    async def wait_readable(self) -> None:
        """Wait until there is something to read, or the peer has ended its direction.

        :raises StreamError, ConnectionClosed: as :meth:`check`
        """
        while not self.buffered and not self._received_end:
            if self._receive_error is not None:
                raise _again(self._receive_error)
            self._readable.clear()
            await self._readable.wait()
        self._owner.check_put_out()

    def _take(self, n: int) -> Chunk:
        if not self.chunks:
            return b""
        chunk = self.chunks.popleft()
        if len(chunk) > n:
            view = memoryview(chunk)
            self.chunks.appendleft(view[n:])
            chunk = view[:n]
        self.buffered -= len(chunk)
        self._give_credit()
        return chunk

    @property
    def taken(self) -> int:
        """Bytes that were read, or are collected."""
        return self.window.received - (0 if self._reading_all else self.buffered)

    def _give_credit(self) -> None:
        if self.taken >= self.window.next_grant:
            self.update_window()

    def update_window(self) -> None:
        """Send STREAM_CREDIT for what was read, once it is worth a frame."""
        window = self.window
        size = self._first_window + window.borrowed
        # Of a stream that is over nothing more can come, though what came may still be read.
        over = self._received_end or self._receive_error is not None
        due = 0 if over else window.update(size, window.received - self.taken)
        if due:
            self._multiplexer.update_window(self.number, due)
            self._owner.measure(self, due)
            self._owner.flush_soon()

    def widen(self, window: int) -> None:
        """Make the receive window so wide, in bytes, unless it is; somebody reads now."""
        if window > self._first_window:
            self._first_window = window
            self.update_window()

    # What the peer does

    def receive(self, data: memoryview) -> None:
        """Append to the receive buffer."""
        append_chunk(self.chunks, data)
        self.buffered += len(data)
        self.window.received += len(data)
        if self._reading_all:
            self._give_credit()
        self._readable.set()

    def receive_end(self) -> None:
        """The peer sends no more."""
        self._received_end = True
        self._readable.set()

    def drop_received(self) -> None:
        """Drop the receive buffer: the peer was put out."""
        self.chunks.clear()
        self.buffered = 0
        self._readable.set()

    def fail(self, error: Exception) -> None:
        """End both directions; what came stays readable."""
        if self._receive_error is None:
            self._receive_error = error
        self._readable.set()
        self.end_sending(error)


def _again(error: Exception) -> Exception:
    """Return an error that can be raised once more, without the traceback of the last time."""
    return error.fresh() if isinstance(error, ConnectionClosed | StreamError) else error
