"""The streams of one connection: opens them, serves those of the peer, passes on what comes.

docs/PROTOCOL.md section 8 has the rules, and :class:`.Multiplexer` keeps them. An endpoint
stays in :attr:`Streams.endpoints` until both directions have ended and the multiplexer has
written what ends this end's.
"""

from __future__ import annotations

import asyncio
import logging
import typing
from functools import partial
from typing import Any, Final

from .. import wire
from ..core.growth import Growing
from ..core.multiplexer import Multiplexer
from ..core.protocol import ProtocolMachine
from ..errors import ConnectionClosed, DecodeError, NotSupportedError, StreamError, StreamResetError
from ..options import Options
from ..wire import ResetCode
from .callables import ends_program
from .fair_limiter import FairLimiter
from .peer_handlers import OnStream, PeerHandlers
from .stream import Stream
from .stream_endpoint import StreamEndpoint

logger = logging.getLogger("sealframe.streams")

_ENDED_WITH_CONNECTION: Final = frozenset({ResetCode.BUSY, ResetCode.CANCELLED})
"""Codes that a peer which shuts down has for the streams that it does not serve to their end."""


class Host(typing.Protocol):
    """What streams and requests need of the transport protocol of their connection."""

    loop: asyncio.AbstractEventLoop
    options: Options
    handlers: PeerHandlers
    machine: ProtocolMachine

    @property
    def going_away(self) -> bool: ...
    def departure(self, text: str) -> ConnectionClosed | None: ...
    def check_loop(self) -> None: ...
    def flush_soon(self) -> None: ...
    def close_if_idle(self) -> None: ...
    def measure(self, measured: Growing, grant: int) -> None: ...
    def release(self, measured: Growing) -> None: ...


class _Accepted(typing.NamedTuple):
    """A stream of the peer that waits for its task."""

    on_stream: OnStream
    endpoint: StreamEndpoint
    metadata: bytes


class Streams:
    """All streams of one connection.

    :param connection: what programs see of the connection
    """

    def __init__(self, host: Host, multiplexer: Multiplexer, connection: Any) -> None:
        self._host = host
        self._multiplexer = multiplexer
        self.connection = connection
        # One call less for each write and read.
        self.check_loop = host.check_loop
        self.flush_soon = host.flush_soon
        self.measure = host.measure
        self.limiter = FairLimiter(lambda: multiplexer.may_open)
        """Holds back streams over the peer's max_streams."""
        self.endpoints: dict[int, StreamEndpoint] = {}
        """By number."""
        self.serving: set[asyncio.Task[None]] = set()
        """The tasks that serve streams of the peer, at most max_streams."""
        self.queue: dict[int, _Accepted] = {}
        """Streams of the peer that wait for one of these tasks to end."""
        # Why nothing of the peer reaches the program any more, not even what came before; None
        # unless this end put it out.
        self._put_out_by: ConnectionClosed | None = None

    @property
    def busy(self) -> bool:
        """Whether a task serves a stream of the peer, tasks that wait for the end excluded."""
        return self._host.handlers.tasks.awaits_any(self.serving)

    @property
    def buffered(self) -> int:
        """What came and was not read, in bytes."""
        return sum(endpoint.buffered for endpoint in self.endpoints.values())

    # Streams of this end

    async def open(self, kind: int, metadata: bytes) -> Stream:
        """Open a stream, once the peer takes one more.

        :raises NotSupportedError: the peer takes none
        :raises ConnectionClosed: nothing more can be sent
        """
        self._check_open()
        await self.limiter.wait()
        self._check_open()
        window = self._host.options.stream_window
        number = self._multiplexer.open(kind, metadata, window=window)
        endpoint = self._add(number, window)
        self.limiter.wake()
        self.flush_soon()
        return Stream(endpoint, metadata)

    def _check_open(self) -> None:
        if self.limiter.error is not None:
            raise self.limiter.error.fresh()
        if not self._multiplexer.takes_streams:
            raise NotSupportedError(
                "the peer takes no streams: give it on_stream=..., or files=... for files"
            )

    def _add(self, number: int, window: int = wire.FIRST_STREAM_WINDOW) -> StreamEndpoint:
        endpoint = StreamEndpoint(self, self._multiplexer, number, window)
        self.endpoints[number] = endpoint
        return endpoint

    # Bodies of requests and replies: one end alone sends (section 9)

    def add_incoming(self, number: int) -> StreamEndpoint:
        """Return the endpoint of a stream on which the peer alone sends."""
        endpoint = self._add(number)
        endpoint.end_sending(StreamError("nothing is sent on this stream"))
        return endpoint

    def add_outgoing(self, number: int) -> StreamEndpoint:
        """Return the endpoint of a stream on which this end alone sends."""
        endpoint = self._add(number)
        endpoint.receive_end()
        return endpoint

    def discard(self, number: int) -> None:
        """Drop an endpoint, if it is there: this end resets the stream."""
        self._remove(number)

    def _remove(self, number: int) -> StreamEndpoint | None:
        endpoint = self.endpoints.pop(number, None)
        if endpoint is not None:
            self._host.release(endpoint)
        return endpoint

    # What the peer does

    def accept(self, number: int, kind: int, metadata: bytes) -> None:
        """Serve a stream that the peer has opened, in a task of its own."""
        on_stream = self._host.handlers.of_kind(kind)
        if self.limiter.error is not None:
            self._multiplexer.reset(number, ResetCode.CANCELLED, "this end is closing")
        elif on_stream is None:
            text = "nobody is there for streams of this kind"
            self._multiplexer.reset(number, ResetCode.UNSUPPORTED, text)
        elif self._host.going_away:
            self._multiplexer.reset(number, ResetCode.BUSY, "this end is shutting down")
        else:
            self.queue[number] = _Accepted(on_stream, self._add(number), metadata)
            self._serve_next()
        self.flush_soon()

    def _serve_next(self) -> None:
        # A task may outlive its stream, and the peer may open the next one once that is over.
        while self.queue and len(self.serving) < self._host.options.max_streams:
            number = next(iter(self.queue))
            accepted = self.queue.pop(number)
            accepted.endpoint.widen(self._host.options.stream_window)
            task = self._host.handlers.start(self._serve, accepted, name=f"stream {number}")
            self.serving.add(task)
            task.add_done_callback(partial(self._served, accepted.endpoint))

    async def _serve(self, accepted: _Accepted) -> None:
        on_stream, endpoint, metadata = accepted
        try:
            self.check_put_out()
            await on_stream(Stream(endpoint, metadata))
        except asyncio.CancelledError:
            endpoint.reset(ResetCode.CANCELLED, "")
            raise
        except BaseException as error:
            # Not logged: the peer has reset the stream, left, or sent a malformed payload.
            malformed = isinstance(error, DecodeError) and error.connection is self.connection
            expected = malformed or isinstance(error, ConnectionClosed | StreamResetError)
            if not expected and (more := self._host.handlers.note_failure()) is not None:
                logger.exception("what serves %r failed%s", endpoint, more)
            endpoint.reset(ResetCode.FAILED, "the program failed")
            if ends_program(error):
                raise
        else:
            self._finish(endpoint)

    def _served(self, endpoint: StreamEndpoint, task: asyncio.Task[None]) -> None:
        self.serving.discard(task)
        # The exception that ends the program is looked at, so that nobody complains of it.
        if task.cancelled() or task.exception() is not None:
            # Maybe cancelled before its first step.
            endpoint.reset(ResetCode.CANCELLED, "")
        self._serve_next()
        self._host.close_if_idle()

    def _finish(self, endpoint: StreamEndpoint) -> None:
        """End a stream whose handler has returned; what it wrote is still sent."""
        self._multiplexer.finish(endpoint.number)
        self.discard(endpoint.number)
        endpoint.fail(StreamError("what served the stream has returned"))
        self.flush_soon()

    def receive(self, number: int, data: memoryview) -> None:
        """STREAM_DATA came."""
        endpoint = self.endpoints.get(number)
        if endpoint is None:
            # Its handler has returned. Without credit the peer could not get to its STREAM_END.
            self._multiplexer.update_window(number, len(data))
        else:
            endpoint.receive(data)

    def receive_end(self, number: int) -> None:
        """STREAM_END came."""
        endpoint = self.endpoints.get(number)
        if endpoint is not None:
            endpoint.receive_end()
            if endpoint.is_done and self._multiplexer.is_over(number):
                self._remove(number)

    def receive_reset(self, number: int, code: int, reason: str) -> None:
        """STREAM_RESET came."""
        self.queue.pop(number, None)
        endpoint = self._remove(number)
        if endpoint is None:
            return
        error: Exception | None = None
        if code in _ENDED_WITH_CONNECTION:
            error = self._host.departure("the peer is shutting down, and has reset the stream")
        endpoint.fail(error or StreamResetError(code, reason))

    # What was written

    def resume_writing(self, numbers: list[int]) -> None:
        """Wake those who write to these streams: a part of their send buffers was written."""
        for number in numbers:
            endpoint = self.endpoints.get(number)
            if endpoint is not None:
                endpoint.resume_writing()

    def drop(self, numbers: list[int]) -> None:
        """Drop the endpoints of streams that are over; what came on them stays readable."""
        for number in numbers:
            endpoint = self.endpoints.get(number)
            # Not done: its STREAM_OPEN, STREAM_END or STREAM_RESET is still to be handled.
            if endpoint is not None and endpoint.is_done:
                self._remove(number)

    # The end of the connection

    def end_sending(self, error: ConnectionClosed) -> None:
        """Nothing more can be sent."""
        self.limiter.close(error)
        for endpoint in self.endpoints.values():
            endpoint.end_sending(error)

    def check_put_out(self) -> None:
        """Raise the error if this end put the peer out; any thread may ask.

        :raises ConnectionClosed: nothing of the peer counts any more, not even what came before
        """
        if self._put_out_by is not None:
            raise self._put_out_by.fresh()

    def put_out(self, error: ConnectionClosed) -> None:
        """Nothing of the peer reaches the program, not even what came before."""
        self._put_out_by = error
        self.queue.clear()
        for endpoint in self.endpoints.values():
            endpoint.drop_received()

    def end(self, error: ConnectionClosed) -> None:
        """Nothing more will come."""
        for endpoint in self.endpoints.values():
            endpoint.fail(error)
        self.endpoints.clear()
