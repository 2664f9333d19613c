"""The streams and requests of one connection: numbers, credit, and whose turn it is.

No sockets, no event loop: frames in, events out, and the reverse. The protocol hands the
frames in and asks for what there is to write. docs/PROTOCOL.md has the rules.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

from .. import wire
from ..wire import Control, FailureCode, Opcode, StreamKind
from ..wire.control import Hello, frame, printable
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

Buffer: TypeAlias = bytes | memoryview

_NUMBER: Final = struct.Struct("<Q")
_OPEN: Final = struct.Struct("<QBI")
_CREDIT: Final = struct.Struct("<QI")
_RESET: Final = struct.Struct("<QH")
_CHUNK_HEAD: Final = struct.Struct("<IBQ")
_NUMBER_SIZE: Final = 8
_LEAST_TURN: Final = 512
"""What a turn costs at least, so that those who send next to nothing come to an end too."""


class ViolationError(ValueError):
    """The peer broke a rule; the text says which."""


class _Stream:
    """Where one stream stands.

    ``credit`` is what may be sent on it, ``allowance`` what may come, ``grant`` credit
    that the peer is still to be told of.
    """

    __slots__ = (
        "allowance",
        "credit",
        "end_due",
        "end_sent",
        "ended",
        "grant",
        "kind",
        "number",
        "queue",
        "queued",
        "request",
        "reset",
        "reset_after_end",
        "scheduled",
    )

    def __init__(self, number: int, kind: int, *, credit: int, allowance: int) -> None:
        self.number = number
        self.kind = kind
        self.credit = credit
        self.allowance = allowance
        self.grant = 0
        self.queue: deque[Buffer] = deque()
        self.queued = 0
        self.request = -1
        self.end_due = False
        self.end_sent = False
        self.ended = False
        self.reset: bytes | None = None
        self.reset_after_end = False
        self.scheduled = False

    @property
    def has_work(self) -> bool:
        """Whether there is something that may be written."""
        if self.queue:
            return self.credit > 0 or self.grant > 0 or self.reset is not None
        return self.end_due or self.grant > 0 or self.reset is not None


class Multiplexer:
    """What one connection carries beside messages.

    What the peer does wrong raises :exc:`ViolationError`, and ends the connection. Methods
    that take a number do nothing if that stream or request is over.

    :param client: whether this end connected; its streams have even numbers
    :param ours: what this end announced
    :param theirs: what the peer announced
    """

    __slots__ = (
        "_answered",
        "_asked",
        "_bodies",
        "_client",
        "_next_asked",
        "_next_ours",
        "_next_request",
        "_next_theirs",
        "_open_ours",
        "_open_theirs",
        "_ours",
        "_pending",
        "_replying",
        "_streams",
        "_theirs",
        "_turns",
        "_urgent",
        "over",
        "relieved",
    )

    def __init__(self, *, client: bool, ours: Hello, theirs: Hello) -> None:
        self._client = client
        self._ours = ours
        self._theirs = theirs
        self._next_ours = 0 if client else 1
        self._next_theirs = 1 if client else 0
        self._next_request = 0
        self._next_asked = 0
        self._open_ours = 0
        self._open_theirs = 0
        self._streams: dict[int, _Stream] = {}
        # Our requests that wait for their answer, and the peer's that the peer cannot
        # know to be answered yet.
        self._pending: set[int] = set()
        self._asked: set[int] = set()
        # The streams on which requests of the peer come.
        self._bodies: dict[int, int] = {}
        # Of ours, those whose reply is coming on a stream.
        self._replying: set[int] = set()
        self._answered: list[int] = []
        # Frames whose order counts, and the streams that have something to write.
        self._urgent: list[bytes] = []
        self._turns: deque[_Stream] = deque()
        self.relieved: list[int] = []
        """Streams of which data was taken to be written; the owner empties it."""
        self.over: list[int] = []
        """Streams that are over in both directions; likewise."""

    # Streams of ours, and what is sent on any

    @property
    def may_open(self) -> bool:
        """Whether the peer takes one more stream now."""
        return self._open_ours < self._theirs.max_streams

    @property
    def takes_streams(self) -> bool:
        """Whether the peer takes any streams at all."""
        return self._theirs.max_streams > 0

    def open(self, kind: int, metadata: bytes, *, window: int) -> int:
        """Open a stream, where :attr:`may_open` says so; return its number.

        :param metadata: at most 4,096 bytes
        :param window: bytes that the peer may send on it at first
        """
        stream = self._open(kind, metadata, window)
        self._open_ours += 1
        return stream.number

    def _open(self, kind: int, metadata: bytes, window: int) -> _Stream:
        number = self._next_ours
        self._next_ours += 2
        stream = _Stream(number, kind, credit=wire.FIRST_STREAM_WINDOW, allowance=window)
        self._streams[number] = stream
        body = _OPEN.pack(number, kind, window) + metadata
        self._urgent.append(frame(Opcode.STREAM_OPEN, body))
        return stream

    def write(self, number: int, data: bytes) -> None:
        """Queue bytes on a stream; nobody may change them any more."""
        stream = self._streams.get(number)
        if stream is None or stream.end_due or stream.end_sent or stream.reset is not None:
            return
        if data:
            stream.queue.append(data)
            stream.queued += len(data)
            self._schedule(stream)

    def queued(self, number: int) -> int:
        """Return how many bytes wait to be written on a stream."""
        stream = self._streams.get(number)
        return 0 if stream is None else stream.queued

    def is_over(self, number: int) -> bool:
        """Return whether a stream is over in both directions."""
        return number not in self._streams

    def end(self, number: int) -> None:
        """Send no more on a stream than what is queued."""
        stream = self._streams.get(number)
        if stream is not None and not stream.end_sent and stream.reset is None:
            stream.end_due = True
            self._schedule(stream)

    def finish(self, number: int) -> None:
        """The same, and after it have the peer send no more either."""
        stream = self._streams.get(number)
        if stream is not None:
            stream.reset_after_end = True
            if stream.end_sent and not stream.ended:
                self.reset(number, wire.ResetCode.CANCELLED, "")
            else:
                self.end(number)

    def reset(self, number: int, code: int, reason: str) -> None:
        """End a stream in both directions at once, and forget what is queued."""
        stream = self._streams.get(number)
        if stream is not None and stream.reset is None:
            stream.reset = _reset_frame(number, code, reason)
            stream.queue.clear()
            stream.queued = 0
            stream.grant = 0
            self._schedule(stream)

    def grant(self, number: int, increment: int) -> None:
        """Let the peer send so many bytes more on a stream."""
        stream = self._streams.get(number)
        if stream is not None and not stream.ended and stream.reset is None:
            stream.grant += increment
            self._schedule(stream)

    # Requests

    @property
    def may_request(self) -> bool:
        """Whether the peer takes one more request now."""
        return len(self._pending) < self._theirs.max_requests

    @property
    def takes_requests(self) -> bool:
        """Whether the peer takes any requests at all."""
        return self._theirs.max_requests > 0

    def request(self, payload: bytes) -> int:
        """Send a request, where :attr:`may_request` says so; return its number.

        :param payload: at most :data:`~sealframe.wire.MAX_CHUNK` bytes
        """
        number = self._next_request
        self._next_request += 1
        self._pending.add(number)
        self._urgent.append(frame(Opcode.REQUEST, _NUMBER.pack(number) + payload))
        return number

    def request_on_stream(self) -> tuple[int, int]:
        """Send a request whose body is what follows on a stream.

        :return: its number and that of the stream
        """
        number = self._next_request
        self._next_request += 1
        self._pending.add(number)
        stream = self._open(StreamKind.REQUEST, _NUMBER.pack(number), 0)
        stream.ended = True
        return number, stream.number

    def cancel(self, number: int) -> None:
        """Ask the peer to stop working on a request; its answer still comes."""
        if number in self._pending:
            self._urgent.append(frame(Opcode.CANCEL, _NUMBER.pack(number)))

    def reply(self, number: int, payload: bytes) -> None:
        """Answer a request.

        :param payload: at most :data:`~sealframe.wire.MAX_CHUNK` bytes
        """
        self._answer(Opcode.REPLY, number, payload)

    def reply_on_stream(self, number: int) -> int:
        """Answer a request with what follows on a stream; return the stream's number."""
        self._refuse_rest(number)
        stream = self._open(StreamKind.REPLY, _NUMBER.pack(number), 0)
        stream.ended = True
        stream.request = number
        return stream.number

    def fail(self, number: int, code: FailureCode, kind: str = "", text: str = "") -> None:
        """Answer that a request has failed.

        :param kind: the name of the exception's type
        :param text: what it says
        """
        name = _cut(kind, wire.MAX_ERROR_TYPE)
        body = bytes((code, len(name))) + name + _cut(text, wire.MAX_ERROR_TEXT)
        self._answer(Opcode.FAILURE, number, body)

    def _answer(self, opcode: Opcode, number: int, body: bytes) -> None:
        self._refuse_rest(number)
        self._urgent.append(frame(opcode, _NUMBER.pack(number) + body))
        self._answered.append(number)

    def _refuse_rest(self, number: int) -> None:
        # A peer that cancels requests and never ends their bodies would fill the memory.
        body = self._bodies.get(number)
        if body is not None:
            self.reset(body, wire.ResetCode.CANCELLED, "")

    # Output

    @property
    def has_output(self) -> bool:
        """Whether :meth:`take` has something."""
        return bool(self._urgent or self._turns)

    @property
    def unsent(self) -> bool:
        """Whether something accepted is not written yet, if only for want of credit."""
        if self._urgent:
            return True
        return any(stream.queue or stream.end_due for stream in self._streams.values())

    def take(self, size: int) -> list[Buffer]:
        """Return frames to write now, of about ``size`` bytes, each stream in its turn."""
        buffers: list[Buffer] = []
        if self._urgent:
            buffers += self._urgent
            # However many requests there are, streams go on.
            size = max(1, size - sum(map(len, self._urgent)))
            self._urgent.clear()
            self._asked.difference_update(self._answered)
            self._answered.clear()
        while self._turns and size > 0:
            stream = self._turns.popleft()
            stream.scheduled = False
            size -= max(self._write_turn(stream, buffers), _LEAST_TURN)
            self._schedule(stream)
        return buffers

    def _write_turn(self, stream: _Stream, buffers: list[Buffer]) -> int:
        """Write what one stream may write in a turn; return how many bytes of data."""
        if stream.reset is not None:
            buffers.append(stream.reset)
            self._forget(stream)
            return 0
        number = stream.number
        if stream.grant:
            body = _CREDIT.pack(number, stream.grant)
            buffers.append(frame(Opcode.STREAM_CREDIT, body))
            stream.allowance += stream.grant
            stream.grant = 0
        size = min(stream.queued, stream.credit, wire.MAX_CHUNK)
        if size:
            self._write_chunk(stream, size, buffers)
        if stream.end_due and not stream.queue:
            stream.end_due = False
            stream.end_sent = True
            buffers.append(frame(Opcode.STREAM_END, _NUMBER.pack(number)))
            if stream.ended:
                self._forget(stream)
            elif stream.reset_after_end:
                buffers.append(_reset_frame(number, wire.ResetCode.CANCELLED, ""))
                self._forget(stream)
        return size

    def _write_chunk(self, stream: _Stream, size: int, buffers: list[Buffer]) -> None:
        head = (1 + _NUMBER_SIZE + size) | wire.CONTROL_BIT
        buffers.append(_CHUNK_HEAD.pack(head, Opcode.STREAM_DATA, stream.number))
        stream.queued -= size
        stream.credit -= size
        queue = stream.queue
        while size:
            piece = queue.popleft()
            if len(piece) > size:
                view = memoryview(piece)
                queue.appendleft(view[size:])
                piece = view[:size]
            buffers.append(piece)
            size -= len(piece)
        self.relieved.append(stream.number)

    def _schedule(self, stream: _Stream) -> None:
        if not stream.scheduled and stream.has_work:
            stream.scheduled = True
            self._turns.append(stream)

    def _forget(self, stream: _Stream) -> None:
        del self._streams[stream.number]
        if stream.scheduled:
            # Else a peer that resets what it opens, and reads nothing, makes the queue grow.
            self._turns.remove(stream)
            stream.scheduled = False
        self.over.append(stream.number)
        stream.queue.clear()
        stream.queued = stream.grant = 0
        stream.end_due = False
        stream.reset = None
        ours = self._is_ours(stream.number)
        if stream.kind == StreamKind.REPLY:
            if ours:
                self._asked.discard(stream.request)
            else:
                self._pending.discard(stream.request)
                self._replying.discard(stream.request)
        elif stream.kind == StreamKind.REQUEST:
            self._bodies.pop(stream.request, None)
        elif ours:
            self._open_ours -= 1
        else:
            self._open_theirs -= 1

    # Input

    def receive(self, received: Control) -> MultiplexerEvent | None:
        """Take in a frame; return what came of it, if anything did.

        :raises ViolationError: the peer must not send that
        """
        body = received.body
        if len(body) < _NUMBER_SIZE:
            raise ViolationError("its number is cut short")
        return _RECEIVERS[received.opcode](self, _NUMBER.unpack_from(body)[0], body)

    def _on_open(self, number: int, body: bytes) -> MultiplexerEvent:
        if len(body) < _OPEN.size:
            raise ViolationError("it is cut short")
        _, kind, window = _OPEN.unpack_from(body)
        metadata = body[_OPEN.size :]
        if number != self._next_theirs:
            raise ViolationError(f"stream {number} is opened where {self._next_theirs} is next")
        if window > wire.MAX_WINDOW:
            raise ViolationError(f"a window of {window} bytes is over {wire.MAX_WINDOW}")
        if len(metadata) > wire.MAX_METADATA:
            raise ViolationError(f"{len(metadata)} bytes of metadata are over {wire.MAX_METADATA}")
        stream = _Stream(number, kind, credit=window, allowance=wire.FIRST_STREAM_WINDOW)
        if kind == StreamKind.REQUEST:
            stream.request = _number_of(metadata)
            self._begin_asked(stream.request)
            self._bodies[stream.request] = number
            stream.end_sent = True
        elif kind == StreamKind.REPLY:
            stream.request = _number_of(metadata)
            self._check_pending(stream.request)
            self._replying.add(stream.request)
            stream.end_sent = True
        elif self._open_theirs >= self._ours.max_streams:
            raise ViolationError(f"more than {self._ours.max_streams} streams are open at a time")
        else:
            self._open_theirs += 1
        self._next_theirs += 2
        self._streams[number] = stream
        return StreamOpened(number, kind, metadata)

    def _on_data(self, number: int, body: bytes) -> MultiplexerEvent | None:
        stream = self._find(number)
        size = len(body) - _NUMBER_SIZE
        if not 1 <= size <= wire.MAX_CHUNK:
            raise ViolationError(f"{size} bytes of data are not 1 to {wire.MAX_CHUNK}")
        if stream is None or stream.reset is not None:
            return None
        if stream.ended:
            raise ViolationError(f"stream {number} has ended")
        if size > stream.allowance:
            raise ViolationError(f"stream {number} has no credit for {size} bytes")
        stream.allowance -= size
        return StreamData(number, memoryview(body)[_NUMBER_SIZE:])

    def _on_credit(self, number: int, body: bytes) -> None:
        stream = self._find(number)
        if len(body) != _CREDIT.size:
            raise ViolationError(f"its body is not {_CREDIT.size} bytes")
        increment = _CREDIT.unpack(body)[1]
        if stream is None or stream.reset is not None:
            return
        stream.credit += increment
        if not increment or stream.credit > wire.MAX_WINDOW:
            raise ViolationError(
                f"credit of {increment} bytes makes {stream.credit} on stream {number}"
            )
        self._schedule(stream)

    def _on_end(self, number: int, body: bytes) -> MultiplexerEvent | None:
        stream = self._find(number)
        if len(body) != _NUMBER_SIZE:
            raise ViolationError(f"its body is not {_NUMBER_SIZE} bytes")
        if stream is None or stream.reset is not None:
            return None
        if stream.ended:
            raise ViolationError(f"stream {number} has ended already")
        stream.ended = True
        if stream.end_sent:
            self._forget(stream)
        return StreamEnded(number)

    def _on_reset(self, number: int, body: bytes) -> MultiplexerEvent | None:
        stream = self._find(number)
        if not _RESET.size <= len(body) <= _RESET.size + wire.MAX_REASON:
            raise ViolationError("it is cut short, or its reason is too long")
        if stream is None:
            return None
        gone = stream.reset is not None
        self._forget(stream)
        if gone:
            return None
        reason = printable(body[_RESET.size :])
        return StreamWasReset(number, _RESET.unpack_from(body)[1], reason)

    def _on_request(self, number: int, body: bytes) -> MultiplexerEvent:
        if len(body) > _NUMBER_SIZE + wire.MAX_CHUNK:
            raise ViolationError(f"its payload is over {wire.MAX_CHUNK} bytes")
        self._begin_asked(number)
        return Requested(number, body[_NUMBER_SIZE:])

    def _on_reply(self, number: int, body: bytes) -> MultiplexerEvent:
        if len(body) > _NUMBER_SIZE + wire.MAX_CHUNK:
            raise ViolationError(f"its payload is over {wire.MAX_CHUNK} bytes")
        self._end_pending(number)
        return Replied(number, body[_NUMBER_SIZE:])

    def _on_failure(self, number: int, body: bytes) -> MultiplexerEvent:
        start = _NUMBER_SIZE + 2
        after = start + body[start - 1] if len(body) >= start else start
        if not after <= len(body) <= after + wire.MAX_ERROR_TEXT:
            raise ViolationError("it is cut short, or its text is too long")
        self._end_pending(number)
        kind, text = printable(body[start:after]), printable(body[after:])
        return RequestFailed(number, body[_NUMBER_SIZE], kind, text)

    def _on_cancel(self, number: int, body: bytes) -> MultiplexerEvent | None:
        if len(body) != _NUMBER_SIZE:
            raise ViolationError(f"its body is not {_NUMBER_SIZE} bytes")
        if number >= self._next_asked:
            raise ViolationError(f"request {number} was never made")
        return RequestCancelled(number) if number in self._asked else None

    def _begin_asked(self, number: int) -> None:
        if number != self._next_asked:
            raise ViolationError(f"request {number} is made where {self._next_asked} is next")
        if len(self._asked) >= self._ours.max_requests:
            raise ViolationError(f"more than {self._ours.max_requests} requests are made at a time")
        self._next_asked += 1
        self._asked.add(number)

    def _end_pending(self, number: int) -> None:
        self._check_pending(number)
        self._pending.discard(number)

    def _check_pending(self, number: int) -> None:
        if number not in self._pending or number in self._replying:
            raise ViolationError(f"request {number} does not wait for an answer")

    def _is_ours(self, number: int) -> bool:
        return number % 2 == (0 if self._client else 1)

    def _find(self, number: int) -> _Stream | None:
        """Return a stream, None if it is over.

        :raises ViolationError: there never was one
        """
        stream = self._streams.get(number)
        if stream is None:
            limit = self._next_ours if self._is_ours(number) else self._next_theirs
            if number >= limit:
                raise ViolationError(f"stream {number} was never opened")
        return stream


def _number_of(metadata: bytes) -> int:
    if len(metadata) != _NUMBER_SIZE:
        raise ViolationError("its metadata is not the number of a request")
    number: int = _NUMBER.unpack(metadata)[0]
    return number


def _reset_frame(number: int, code: int, reason: str) -> bytes:
    return frame(Opcode.STREAM_RESET, _RESET.pack(number, code) + _cut(reason, wire.MAX_REASON))


def _cut(text: str, size: int) -> bytes:
    """Encode text in at most ``size`` bytes, cut at a character."""
    return text.encode(errors="replace")[:size].decode(errors="ignore").encode()


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
