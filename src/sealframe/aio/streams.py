"""The streams of one connection: opened, served, and told what comes."""

from __future__ import annotations

import asyncio
import logging
import typing
from functools import partial
from typing import Any, Final

from .. import wire
from ..core.multiplexer import Multiplexer
from ..errors import ConnectionClosed, DecodeError, NotSupportedError, StreamError, StreamResetError
from ..options import Options
from ..wire import ResetCode, StreamKind
from .fair_limiter import FairLimiter
from .peer_handlers import OnStream, PeerHandlers
from .stream import Stream

logger = logging.getLogger("sealframe.streams")

_WRITE_LIMIT: Final = 256 * 1024
"""Bytes that wait to be written on a stream from which on ``write`` waits."""


class Host(typing.Protocol):
    """What streams and requests need of their connection."""

    loop: asyncio.AbstractEventLoop
    options: Options
    handlers: PeerHandlers

    @property
    def going_away(self) -> bool: ...
    def check_loop(self) -> None: ...
    def flush_soon(self) -> None: ...
    def close_if_idle(self) -> None: ...


class Streams:
    """All streams of one connection."""

    def __init__(self, host: Host, multiplexer: Multiplexer, connection: Any) -> None:
        self._host = host
        self._multiplexer = multiplexer
        self.connection = connection
        self.slots = FairLimiter(lambda: multiplexer.may_open)
        self._streams: dict[int, Stream] = {}
        self._running: set[asyncio.Task[None]] = set()
        # Those that are to be served once others are not any more.
        self._queue: dict[int, tuple[OnStream, Stream]] = {}

    @property
    def busy(self) -> bool:
        """Whether any of the peer's is being served, and not by what waits for the end."""
        return self._host.handlers.tasks.awaits_any(self._running)

    def check_loop(self) -> None:
        """Refuse a call from another thread or event loop.

        :raises WrongLoopError: it is one
        """
        self._host.check_loop()

    # Streams of ours

    async def open(self, kind: int, metadata: bytes) -> Stream:
        """Open a stream, once the peer takes one more.

        :raises NotSupportedError: the peer takes none
        :raises ConnectionClosed: nothing more can be sent
        """
        self._check_open()
        await self.slots.wait()
        self._check_open()
        window = self._host.options.stream_window
        number = self._multiplexer.open(kind, metadata, window=window)
        stream = self.add(number, metadata, window)
        self.slots.wake()
        self._host.flush_soon()
        return stream

    def _check_open(self) -> None:
        if self.slots.error is not None:
            raise self.slots.error.fresh()
        if not self._multiplexer.takes_streams:
            raise NotSupportedError(
                "the peer takes no streams: give it on_stream=..., or files=... for files"
            )

    def add(self, number: int, metadata: bytes, window: int = wire.FIRST_STREAM_WINDOW) -> Stream:
        """Return the stream of a number that the multiplexer has just given or taken.

        :param window: bytes that the peer may send on it
        """
        stream = self._streams[number] = Stream(self, number, metadata, window)
        return stream

    def add_incoming(self, number: int) -> Stream:
        """The same for one on which the peer alone sends."""
        stream = self.add(number, b"")
        stream._send_error = StreamError("nothing is sent on this stream")
        return stream

    def add_outgoing(self, number: int) -> Stream:
        """The same for one on which this end alone sends."""
        stream = self.add(number, b"")
        stream._ended = True
        return stream

    # What streams ask for

    def write(self, stream: Stream, data: bytes) -> None:
        """Queue bytes."""
        stream._set_writable(self._multiplexer.write(stream._number, data) < _WRITE_LIMIT)
        self._host.flush_soon()

    def send_end(self, stream: Stream) -> None:
        """Send no more."""
        self._multiplexer.end(stream._number)
        self._host.flush_soon()

    def send_reset(self, stream: Stream, code: int, reason: str) -> None:
        """End both directions."""
        self._streams.pop(stream._number, None)
        if not self._multiplexer.is_over(stream._number):
            self._multiplexer.reset(stream._number, code, reason)
            self._host.flush_soon()

    def give_credit(self, stream: Stream, increment: int) -> None:
        """Let the peer send more."""
        self._multiplexer.update_window(stream._number, increment)
        self._host.flush_soon()

    def widen(self, stream: Stream) -> None:
        """Let the peer send as much as the options allow, now that somebody reads."""
        more = self._host.options.stream_window - stream._window
        if more > 0:
            stream._window += more
            self.give_credit(stream, more)

    # What the peer does

    def accept(self, number: int, kind: int, metadata: bytes) -> None:
        """Serve a stream that the peer has opened, in a task of its own."""
        services = self._host.handlers
        on_stream = {
            StreamKind.APPLICATION: services.on_stream,
            StreamKind.FILE: services.on_file,
        }.get(kind)  # type: ignore[call-overload]
        if self.slots.error is not None:
            self._multiplexer.reset(number, ResetCode.CANCELLED, "this end is closing")
        elif on_stream is None:
            text = "nobody is there for streams of this kind"
            self._multiplexer.reset(number, ResetCode.UNSUPPORTED, text)
        elif self._host.going_away:
            self._multiplexer.reset(number, ResetCode.BUSY, "this end is shutting down")
        else:
            self._queue[number] = (on_stream, self.add(number, metadata))
            self._serve_next()
        self._host.flush_soon()

    def _serve_next(self) -> None:
        # What serves a stream may still run when the peer has ended it and opened another.
        while self._queue and len(self._running) < self._host.options.max_streams:
            number = next(iter(self._queue))
            on_stream, stream = self._queue.pop(number)
            self.widen(stream)
            serving = self._serve(on_stream, stream)
            task = self._host.handlers.start(serving, f"stream {number}")
            self._running.add(task)
            task.add_done_callback(partial(self._served, stream))

    async def _serve(self, on_stream: OnStream, stream: Stream) -> None:
        try:
            await on_stream(stream)
        except asyncio.CancelledError:
            stream._reset(ResetCode.CANCELLED, "")
            raise
        except Exception as error:
            # That the peer has left or reset it is no news, and what it sent malformed is
            # its own fault.
            malformed = isinstance(error, DecodeError) and error.connection is self.connection
            expected = malformed or isinstance(error, ConnectionClosed | StreamResetError)
            if not expected and (more := self._host.handlers.note_failure()) is not None:
                logger.exception("what serves %r failed%s", stream, more)
            stream._reset(ResetCode.FAILED, "the program failed")
        else:
            self._finish(stream)

    def _served(self, stream: Stream, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if task.cancelled() or task.exception() is not None:
            # Before its first step, or by what is no Exception.
            stream._reset(ResetCode.CANCELLED, "")
        self._serve_next()
        self._host.close_if_idle()

    def _finish(self, stream: Stream) -> None:
        """End a stream whose program is done with it; what it wrote is still sent."""
        self._multiplexer.finish(stream._number)
        self._streams.pop(stream._number, None)
        stream._fail(StreamError("what served the stream has returned"))
        self._host.flush_soon()

    def receive(self, number: int, data: memoryview) -> None:
        """Take in bytes."""
        stream = self._streams.get(number)
        if stream is None:
            # Nobody reads it any more, and its end is to come all the same.
            self._multiplexer.update_window(number, len(data))
        else:
            stream._receive(data)

    def receive_end(self, number: int) -> None:
        """Take in that the peer sends no more on a stream."""
        stream = self._streams.get(number)
        if stream is not None:
            stream._receive_end()
            if stream._is_done and self._multiplexer.is_over(number):
                del self._streams[number]

    def receive_reset(self, number: int, code: int, reason: str) -> None:
        """Take in that the peer has ended a stream."""
        self._queue.pop(number, None)
        stream = self._streams.pop(number, None)
        if stream is not None:
            stream._fail(StreamResetError(code, reason))

    def relieve(self, numbers: list[int]) -> None:
        """Let those write on of whose data a part was written."""
        for number in numbers:
            stream = self._streams.get(number)
            if stream is not None and self._multiplexer.queued(number) < _WRITE_LIMIT:
                stream._set_writable(True)

    def forget(self, numbers: list[int]) -> None:
        """Take note that these streams are over; what came on them stays readable."""
        for number in numbers:
            stream = self._streams.get(number)
            # Else what came last on it has not been looked at yet, or not even its start.
            if stream is not None and stream._is_done:
                del self._streams[number]

    def end_sending(self, error: ConnectionClosed) -> None:
        """Take note that nothing more can be sent."""
        self.slots.close(error)
        for stream in self._streams.values():
            stream._end_sending(error)

    def end(self, error: ConnectionClosed) -> None:
        """Take note that nothing more will come."""
        for stream in self._streams.values():
            stream._fail(error)
        self._streams.clear()
