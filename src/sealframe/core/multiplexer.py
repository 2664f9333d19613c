"""The streams and requests of one connection: numbers, limits, and whose turn it is.

No sockets, no event loop: frames in, events out, and the reverse. The protocol machine hands
the frames in and asks for what there is to write. docs/PROTOCOL.md section 8 (streams) and
section 9 (requests) have the rules; the layers below know one part each:

- :mod:`~sealframe.core.channel_frames`: frames to bytes and back
- :mod:`~sealframe.core.stream_state`: one stream
- :mod:`~sealframe.core.request_table`: all requests

Streams that have something to write wait in the ready queue, each at most once. A turn writes
at most one frame of data, then the stream goes to the end of the queue. Frames whose order
counts beyond one stream (STREAM_OPEN and those of requests) are urgent: they go first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from .. import wire
from ..wire import MAX_CHUNK, Control, FailureCode, Opcode, ResetCode, StreamKind
from ..wire.control import Hello
from . import channel_frames as frames
from .channel_frames import NUMBER, NUMBER_SIZE, ViolationError
from .events import (
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
from .request_table import RequestTable
from .stream_state import Buffer, Sending, StreamState

__all__ = ["OPCODES", "Buffer", "Multiplexer", "ViolationError"]

_MIN_QUANTUM: Final = 512
"""Bytes that a turn counts at least, so that streams that send next to nothing end one call
of :meth:`Multiplexer.take` too."""


class Multiplexer:
    """What one connection carries beside messages.

    What the peer does wrong raises :exc:`ViolationError`, and ends the connection. Methods
    that take a number do nothing if that stream or request is over.

    :param client: whether this end connected; its streams have even numbers
    :param local: what this end announced
    :param peer: what the peer announced
    """

    __slots__ = (
        "_client",
        "_local",
        "_peer",
        "drained",
        "next_local",
        "next_peer",
        "open_local",
        "open_peer",
        "over",
        "ready",
        "requests",
        "streams",
        "urgent",
    )

    def __init__(self, *, client: bool, local: Hello, peer: Hello) -> None:
        self._client = client
        self._local = local
        self._peer = peer
        self.next_local = 0 if client else 1
        """The number of the next stream that this end opens."""
        self.next_peer = 1 if client else 0
        """That of the next one that the peer opens."""
        self.open_local = 0
        """How many streams of this end are open; those of requests do not count."""
        self.open_peer = 0
        self.streams: dict[int, StreamState] = {}
        self.requests = RequestTable(local=local, peer=peer)
        self.urgent: list[bytes] = []
        """Frames that go before those of the ready queue."""
        self.ready: deque[StreamState] = deque()
        """Streams that have something to write."""
        self.drained: list[int] = []
        """Streams from whose send buffers data was taken; the owner empties it."""
        self.over: list[int] = []
        """Streams that are over in both directions; the owner empties it."""

    # Streams of this end, and what it sends on any

    @property
    def may_open(self) -> bool:
        """Whether the peer takes one more stream now."""
        return self.open_local < self._peer.max_streams

    @property
    def takes_streams(self) -> bool:
        """Whether the peer takes any streams at all."""
        return self._peer.max_streams > 0

    def open(self, kind: int, metadata: bytes, *, window: int) -> int:
        """Open a stream, where :attr:`may_open` says so; return its number.

        :param metadata: at most 4,096 bytes
        :param window: bytes that the peer may send on it at first
        """
        stream = self._open(kind, metadata, window)
        self.open_local += 1
        return stream.number

    def _open(self, kind: int, metadata: bytes, window: int) -> StreamState:
        number = self.next_local
        self.next_local += 2
        stream = StreamState(number, kind, credit=wire.FIRST_STREAM_WINDOW, receive_window=window)
        self.streams[number] = stream
        self.urgent.append(frames.stream_open(number, kind, window, metadata))
        return stream

    def write(self, number: int, data: bytes) -> int:
        """Queue bytes on a stream; nobody may change them any more.

        :return: how many bytes wait to be written on it now
        """
        stream = self.streams.get(number)
        if stream is None:
            return 0
        stream.write(data)
        if not stream.scheduled:
            self._schedule(stream)
        return stream.queued_bytes

    def queued(self, number: int) -> int:
        """Return how many bytes wait to be written on a stream."""
        stream = self.streams.get(number)
        return 0 if stream is None else stream.queued_bytes

    def is_over(self, number: int) -> bool:
        """Return whether a stream is over in both directions."""
        return number not in self.streams

    def end(self, number: int) -> None:
        """Send no more on a stream than what is queued."""
        stream = self.streams.get(number)
        if stream is not None:
            stream.end()
            self._schedule(stream)

    def finish(self, number: int) -> None:
        """Send no more on a stream than what is queued; after it have the peer stop too."""
        stream = self.streams.get(number)
        if stream is not None:
            stream.finish()
            self._schedule(stream)

    def reset(self, number: int, code: int, reason: str) -> None:
        """End a stream in both directions at once, and forget what is queued."""
        stream = self.streams.get(number)
        if stream is not None:
            stream.reset(code, reason)
            self._schedule(stream)

    def update_window(self, number: int, increment: int) -> None:
        """Let the peer send so many bytes more on a stream."""
        stream = self.streams.get(number)
        if stream is not None:
            stream.update_window(increment)
            self._schedule(stream)

    # Requests

    @property
    def may_request(self) -> bool:
        """Whether the peer takes one more request now."""
        return self.requests.may_make

    @property
    def takes_requests(self) -> bool:
        """Whether the peer takes any requests at all."""
        return self.requests.are_taken

    def request(self, payload: bytes) -> int:
        """Send a request, where :attr:`may_request` says so; return its number.

        :param payload: at most :data:`~sealframe.wire.MAX_CHUNK` bytes
        """
        number = self.requests.make()
        self.urgent.append(frames.request(number, payload))
        return number

    def request_on_stream(self) -> tuple[int, int]:
        """Send a request whose body is what follows on a stream.

        :return: its number and that of the stream
        """
        number = self.requests.make()
        stream = self._open(StreamKind.REQUEST, frames.pack_number(number), 0)
        stream.received_end = True
        return number, stream.number

    def cancel(self, number: int) -> None:
        """Ask the peer to stop working on a request; its answer still comes."""
        if number in self.requests.local_pending:
            self.urgent.append(frames.cancel(number))

    def reply(self, number: int, payload: bytes) -> None:
        """Answer a request.

        :param payload: at most :data:`~sealframe.wire.MAX_CHUNK` bytes
        """
        self._answer(number, frames.reply(number, payload))

    def reply_on_stream(self, number: int) -> int:
        """Answer a request with what follows on a stream; return the stream's number."""
        self.refuse_body(number)
        stream = self._open(StreamKind.REPLY, frames.pack_number(number), 0)
        stream.received_end = True
        stream.request = number
        return stream.number

    def fail(self, number: int, code: FailureCode, kind: str = "", text: str = "") -> None:
        """Answer that a request has failed.

        :param kind: the name of the exception's type
        :param text: what it says
        """
        self._answer(number, frames.failure(number, code, kind, text))

    def _answer(self, number: int, answer: bytes) -> None:
        if self.requests.bodies:
            self.refuse_body(number)
        self.urgent.append(answer)
        self.requests.answer(number)

    def refuse_body(self, number: int) -> None:
        """Reset the stream on which the body of an answered request still comes.

        A peer that cancels requests and never ends their bodies would fill the memory.
        """
        body = self.requests.bodies.get(number)
        if body is not None:
            self.reset(body, ResetCode.CANCELLED, "")

    # Output

    @property
    def has_output(self) -> bool:
        """Whether :meth:`take` has something."""
        return bool(self.urgent or self.ready)

    @property
    def unsent(self) -> bool:
        """Whether something accepted is not written yet, if only for want of credit."""
        return bool(self.urgent) or any(stream.has_unsent for stream in self.streams.values())

    @property
    def queued_bytes(self) -> int:
        """What waits to be written, in bytes."""
        queued = sum(stream.queued_bytes for stream in self.streams.values())
        return queued + sum(map(len, self.urgent))

    def take_all_urgent(self) -> list[bytes]:
        """Return the frames to write before messages and streams."""
        urgent = self.urgent
        if urgent:
            self.urgent = []
            if self.requests.answered:
                self.requests.answers_written()
        return urgent

    def take(self, size: int) -> list[Buffer]:
        """Return frames of streams to write now, each in its turn.

        Call :meth:`take_all_urgent` before: a stream is opened there.

        :param size: bytes of data, at most in one frame and about in all of them
        """
        buffers: list[Buffer] = []
        left = size
        while self.ready and left > 0:
            stream = self.ready.popleft()
            stream.scheduled = False
            written = stream.write_turn(buffers, size)
            if written and (not self.drained or self.drained[-1] != stream.number):
                self.drained.append(stream.number)
            self._took(stream)
            left -= max(written, _MIN_QUANTUM)
        return buffers

    def take_without_data(self) -> list[Buffer]:
        """Return of what :meth:`take` would all frames but data, which wait: the other end may be
        waiting for them."""
        buffers: list[Buffer] = []
        for _ in range(len(self.ready)):
            stream = self.ready.popleft()
            stream.scheduled = False
            stream.write_turn(buffers, 0)
            self._took(stream)
        return buffers

    def _took(self, stream: StreamState) -> None:
        if stream.is_ready:
            stream.scheduled = True
            self.ready.append(stream)
        elif stream.is_over:
            self._forget(stream)

    def _schedule(self, stream: StreamState) -> None:
        if not stream.scheduled and stream.is_ready:
            stream.scheduled = True
            self.ready.append(stream)

    def _forget(self, stream: StreamState) -> None:
        del self.streams[stream.number]
        stream.close()
        if stream.scheduled:
            # Else a peer that resets what it opens, and reads nothing, makes the queue grow.
            self.ready.remove(stream)
            stream.scheduled = False
        self.over.append(stream.number)
        local = self._is_local(stream.number)
        # Sections 8 and 9: streams of requests count among the requests.
        if stream.kind == StreamKind.REPLY:
            if local:
                self.requests.reply_stream_written(stream.request)
            else:
                self.requests.end_reply_stream(stream.request)
        elif stream.kind == StreamKind.REQUEST:
            self.requests.bodies.pop(stream.request, None)
        elif local:
            self.open_local -= 1
        else:
            self.open_peer -= 1

    # Input

    def receive(self, received: Control) -> MultiplexerEvent | None:
        """Take in a frame; return what came of it, if anything did.

        :raises ViolationError: the peer must not send that
        """
        body = received.body
        if len(body) < NUMBER_SIZE:
            raise ViolationError("its number is cut short")
        return _RECEIVERS[received.opcode](self, NUMBER.unpack_from(body)[0], body)

    def _on_open(self, number: int, body: bytes) -> MultiplexerEvent:
        kind, window, metadata = frames.parse_open(body)
        if number != self.next_peer:
            raise ViolationError(f"stream {number} is opened where {self.next_peer} is next")
        if window > wire.MAX_WINDOW:
            raise ViolationError(f"a window of {window} bytes is over {wire.MAX_WINDOW}")
        if len(metadata) > wire.MAX_METADATA:
            raise ViolationError(f"{len(metadata)} bytes of metadata are over {wire.MAX_METADATA}")
        stream = StreamState(number, kind, credit=window, receive_window=wire.FIRST_STREAM_WINDOW)
        if kind == StreamKind.REQUEST:
            stream.request = frames.parse_metadata_number(metadata)
            self.requests.receive(stream.request)
            self.requests.bodies[stream.request] = number
            stream.sending = Sending.ENDED
        elif kind == StreamKind.REPLY:
            stream.request = frames.parse_metadata_number(metadata)
            self.requests.receive_reply_stream(stream.request)
            stream.sending = Sending.ENDED
        elif self.open_peer >= self._local.max_streams:
            raise ViolationError(f"more than {self._local.max_streams} streams are open at a time")
        else:
            self.open_peer += 1
        self.next_peer += 2
        self.streams[number] = stream
        return StreamOpened(number, kind, metadata)

    def _on_data(self, number: int, body: bytes) -> MultiplexerEvent | None:
        stream = self.streams.get(number) or self._find(number)
        size = len(body) - NUMBER_SIZE
        if not 1 <= size <= MAX_CHUNK:
            raise ViolationError(f"{size} bytes of data are not 1 to {MAX_CHUNK}")
        if stream is None or not stream.receive_data(size):
            return None
        return StreamData(number, memoryview(body)[NUMBER_SIZE:])

    def _on_credit(self, number: int, body: bytes) -> None:
        stream = self._find(number)
        increment = frames.parse_credit(body)
        if stream is not None and stream.receive_credit(increment):
            self._schedule(stream)

    def _on_end(self, number: int, body: bytes) -> MultiplexerEvent | None:
        stream = self._find(number)
        frames.parse_number_alone(body)
        if stream is None:
            return None
        news = stream.receive_end()
        if stream.is_over:
            self._forget(stream)
        return StreamEnded(number) if news else None

    def _on_reset(self, number: int, body: bytes) -> MultiplexerEvent | None:
        stream = self._find(number)
        code, reason = frames.parse_reset(body)
        if stream is None:
            return None
        resetting = stream.sending is Sending.RESETTING
        self._forget(stream)
        return None if resetting else StreamWasReset(number, code, reason)

    def _on_request(self, number: int, body: bytes) -> MultiplexerEvent:
        payload = frames.parse_payload(body)
        self.requests.receive(number)
        return Requested(number, payload)

    def _on_reply(self, number: int, body: bytes) -> MultiplexerEvent:
        payload = frames.parse_payload(body)
        self.requests.receive_answer(number)
        return Replied(number, payload)

    def _on_failure(self, number: int, body: bytes) -> MultiplexerEvent:
        code, kind, text = frames.parse_failure(body)
        self.requests.receive_answer(number)
        return RequestFailed(number, code, kind, text)

    def _on_cancel(self, number: int, body: bytes) -> MultiplexerEvent | None:
        frames.parse_number_alone(body)
        return RequestCancelled(number) if self.requests.receive_cancel(number) else None

    def _is_local(self, number: int) -> bool:
        return number % 2 == (0 if self._client else 1)

    def _find(self, number: int) -> StreamState | None:
        """Return a stream, None if it is over.

        :raises ViolationError: there never was one
        """
        stream = self.streams.get(number)
        if stream is None:
            limit = self.next_local if self._is_local(number) else self.next_peer
            if number >= limit:
                raise ViolationError(f"stream {number} was never opened")
        return stream


_RECEIVERS: Final[dict[int, Callable[[Multiplexer, int, bytes], MultiplexerEvent | None]]] = {
    Opcode.STREAM_OPEN: Multiplexer._on_open,
    Opcode.STREAM_DATA: Multiplexer._on_data,
    Opcode.STREAM_CREDIT: Multiplexer._on_credit,
    Opcode.STREAM_END: Multiplexer._on_end,
    Opcode.STREAM_RESET: Multiplexer._on_reset,
    Opcode.REQUEST: Multiplexer._on_request,
    Opcode.REPLY: Multiplexer._on_reply,
    Opcode.FAILURE: Multiplexer._on_failure,
    Opcode.CANCEL: Multiplexer._on_cancel,
}

OPCODES: Final = frozenset(_RECEIVERS)
"""The frames that :meth:`Multiplexer.receive` takes."""
