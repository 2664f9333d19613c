"""The streams and requests of a connection, on asyncio.

The multiplexer's events (:mod:`sealframe.core.events`) go to :class:`.Streams` and
:class:`.Requests`; docs/PROTOCOL.md sections 8 and 9 say what the frames behind them mean.
"""

from __future__ import annotations

from typing import Any

from ..core.events import (
    MultiplexerEvent,
    Replied,
    RequestCancelled,
    Requested,
    RequestFailed,
    StreamData,
    StreamEnded,
    StreamOpened,
    StreamWasReset,
)
from ..core.multiplexer import Multiplexer
from ..errors import ConnectionClosed
from ..wire import StreamKind
from .requests import Requests
from .streams import Host, Streams


class Channels:
    """The streams and requests of one connection; made when the first of them is opened.

    :param connection: what programs see of the connection
    """

    __slots__ = ("_ended", "_multiplexer", "requests", "streams")

    def __init__(self, host: Host, multiplexer: Multiplexer, connection: Any) -> None:
        self._multiplexer = multiplexer
        self._ended = False
        self.streams = Streams(host, multiplexer, connection)
        self.requests = Requests(host, multiplexer, connection, self.streams)

    @property
    def busy(self) -> bool:
        """Whether a task serves a stream or a request of the peer."""
        return self.streams.busy or self.requests.busy

    @property
    def queued_bytes(self) -> int:
        """What of streams and requests waits to be written or read, in bytes."""
        return self._multiplexer.queued_bytes + self.streams.buffered

    def handle(self, event: MultiplexerEvent) -> None:
        """Pass on what the peer did."""
        # The most frequent ones first: to match takes as long as to answer a request.
        if isinstance(event, Requested):
            self.exchange(True, event.request, event.payload)
        elif isinstance(event, Replied):
            self.exchange(False, event.request, event.payload)
        elif not self._ended:
            if isinstance(event, StreamData):
                self.streams.receive(event.stream, event.data)
            else:
                self._handle_other(event)
            self._drop_what_is_over()

    def exchange(self, asked: bool, number: int, payload: bytes) -> None:
        """Pass on a request of the peer, or the reply to one of this end.

        :param asked: whether it is a request
        """
        if self._ended:
            return
        if asked:
            self.requests.receive(number, payload)
        else:
            self.requests.take_reply(number, payload)
        self._drop_what_is_over()

    def _handle_other(self, event: MultiplexerEvent) -> None:
        streams, requests = self.streams, self.requests
        match event:
            case StreamOpened(number, StreamKind.REQUEST, metadata):
                requests.receive_on_stream(metadata, streams.add_incoming(number))
            case StreamOpened(number, StreamKind.REPLY, metadata):
                requests.take_reply_on_stream(metadata, streams.add_incoming(number))
            case StreamOpened(number, kind, metadata):
                streams.accept(number, kind, metadata)
            case StreamEnded(number):
                streams.receive_end(number)
            case StreamWasReset(number, code, reason):
                streams.receive_reset(number, code, reason)
            case RequestCancelled(number):
                requests.receive_cancel(number)
            case RequestFailed(number, code, kind, text):
                requests.take_failure(number, code, kind, text)

    def wrote(self) -> None:
        """The transport took output: wake those who write to streams."""
        drained = self._multiplexer.drained
        if drained:
            self.streams.resume_writing(drained)
            drained.clear()
        self._drop_what_is_over()

    def _drop_what_is_over(self) -> None:
        over = self._multiplexer.over
        if over:
            self.streams.drop(over)
            over.clear()
        if self.streams.limiter.waiters:
            self.streams.limiter.wake()
        if self.requests.limiter.waiters:
            self.requests.limiter.wake()

    def end(self, error: ConnectionClosed) -> None:
        """Nothing more will come."""
        self._ended = True
        self.end_sending(error)
        self.streams.end(error)

    def put_out(self, error: ConnectionClosed) -> None:
        """Drop what came of the peer and was not taken; begin nothing of it."""
        self.streams.put_out(error)
        self.end(error)

    def end_sending(self, error: ConnectionClosed) -> None:
        """Nothing more can be sent."""
        self.streams.end_sending(error)
        self.requests.end_sending(error)
