"""Fuzz target: the streams and requests of one connection, with a peer that does as it likes.

The fuzzer chooses the frames that come, and what the program does meanwhile. Invariants:

1. No frame raises anything but a :exc:`ViolationError`, and nothing that the program does
   raises at all.
2. What is kept never passes what was announced: streams, requests, bodies.
3. What goes out keeps to the rules, as told by an observer who sees the frames alone: numbers,
   credit, nothing after END or RESET, one answer for each request, none for others.
4. What comes in on a stream never passes what was granted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from core import channel_frames
from core.channel_frames import taken

from sealframe import wire
from sealframe.core.events import MultiplexerEvent, Requested, StreamData, StreamOpened
from sealframe.core.multiplexer import OPCODES, Multiplexer, ViolationError
from sealframe.core.stream_state import Sending
from sealframe.wire import Control, FailureCode, Opcode, StreamKind
from sealframe.wire.control import Hello

if TYPE_CHECKING:
    from .choices import Choices

_OPCODES: Final = tuple(sorted(OPCODES))
_LIMIT: Final = 3
"""Streams, and requests, that either end takes at a time."""
_HELLO: Final = Hello(max_streams=_LIMIT, max_requests=_LIMIT)
_SIZES: Final = (0, 1, 100, wire.MAX_CHUNK, wire.MAX_CHUNK + 1, wire.FIRST_STREAM_WINDOW)


class _Observer:
    """Sees what goes by, and knows the rules for what the end under test may send."""

    def __init__(self, *, client: bool) -> None:
        self._next_stream = 0 if client else 1
        self._next_request = 0
        self._credit: dict[int, int] = {}
        self._granted: dict[int, int] = {}
        self._over: set[int] = set()
        self._owed: set[int] = set()
        self._replies: dict[int, int] = {}

    def sees(self, frame: Control, event: MultiplexerEvent | None) -> None:
        """A frame came in, and broke no rule."""
        number = int.from_bytes(frame.body[:8], "little")
        match event:
            case StreamOpened(_, kind, metadata):
                self._credit[number] = int.from_bytes(frame.body[9:13], "little")
                self._granted[number] = wire.FIRST_STREAM_WINDOW
                if kind == StreamKind.REQUEST:
                    self._owed.add(int.from_bytes(metadata, "little"))
                if kind in (StreamKind.REQUEST, StreamKind.REPLY):
                    self._credit[number] = 0
            case StreamData(_, data):
                self._granted[number] -= len(data)
                assert self._granted[number] >= 0, "more came than was granted"
            case Requested():
                self._owed.add(number)
        if frame.opcode == Opcode.STREAM_CREDIT and number in self._credit:
            self._credit[number] += int.from_bytes(frame.body[8:], "little")
        elif frame.opcode == Opcode.STREAM_RESET:
            # The answer went with its body, if this was one.
            self._owed.discard(self._replies.pop(number, -1))

    def checks(self, frame: Control) -> None:
        """A frame goes out."""
        number = int.from_bytes(frame.body[:8], "little")
        match frame.opcode:
            case Opcode.STREAM_OPEN:
                assert number == self._next_stream
                self._next_stream += 2
                self._credit[number] = wire.FIRST_STREAM_WINDOW
                self._granted[number] = int.from_bytes(frame.body[9:13], "little")
                told = int.from_bytes(frame.body[13:], "little")
                if frame.body[8] == StreamKind.REPLY:
                    assert told in self._owed
                    self._replies[number] = told
                elif frame.body[8] == StreamKind.REQUEST:
                    self._makes_request(told)
            case Opcode.STREAM_DATA:
                assert number not in self._over, "data after the end"
                self._credit[number] -= len(frame.body) - 8
                assert self._credit[number] >= 0, "more was sent than there was credit for"
            case Opcode.STREAM_CREDIT:
                self._granted[number] += int.from_bytes(frame.body[8:], "little")
            case Opcode.STREAM_END:
                assert number not in self._over, "a second end"
                self._over.add(number)
                self._owed.discard(self._replies.pop(number, -1))
            case Opcode.STREAM_RESET:
                self._over.add(number)
                self._owed.discard(self._replies.pop(number, -1))
            case Opcode.REQUEST:
                self._makes_request(number)
            case Opcode.CANCEL:
                assert number < self._next_request
            case _:
                assert number in self._owed, "an answer to nothing"
                assert number not in self._replies.values(), "a second answer"
                self._owed.discard(number)

    def _makes_request(self, number: int) -> None:
        assert number == self._next_request
        self._next_request += 1


def check(choices: Choices) -> None:
    """Hold one conversation to the invariants."""
    client = bool(choices.number(2))
    multiplexer = Multiplexer(client=client, local=_HELLO, peer=_HELLO)
    observer = _Observer(client=client)
    streams: list[int] = []
    owed: list[int] = []
    while choices.more:
        if choices.number(2):
            known = multiplexer.next_local, multiplexer.requests.next_local
            _act(choices, multiplexer, streams, owed)
            if known != (multiplexer.next_local, multiplexer.requests.next_local):
                # The observer takes the peer for one that speaks of what it has seen.
                _write(multiplexer, observer, 0)
        else:
            frame = _frame(choices)
            try:
                event = multiplexer.receive(frame)
            except ViolationError:
                return
            observer.sees(frame, event)
            if isinstance(event, Requested):
                owed.append(event.request)
            elif isinstance(event, StreamOpened):
                streams.append(event.stream)
                if event.kind == StreamKind.REQUEST:
                    owed.append(int.from_bytes(event.metadata, "little"))
        _check_bounds(multiplexer, client=client)
        if choices.number(4) == 0:
            _write(multiplexer, observer, choices.number(1 << 17))


def _write(multiplexer: Multiplexer, observer: _Observer, size: int) -> None:
    for frame in taken(multiplexer, size):
        observer.checks(frame)
    multiplexer.over.clear()
    multiplexer.drained.clear()


def _frame(choices: Choices) -> Control:
    """Return what comes: a frame with a number that may be in use, and any body."""
    opcode = _OPCODES[choices.number(len(_OPCODES))]
    if choices.number(8) == 7:
        return Control(opcode, choices.piece())
    number = choices.number(8)
    match opcode:
        case Opcode.STREAM_OPEN:
            kind = choices.number(5)
            window = choices.number(1 << 32)
            metadata = choices.number(4) if kind in (1, 2) else choices.piece()
            return channel_frames.opened(number, kind=kind, window=window, metadata=metadata)
        case Opcode.STREAM_DATA:
            return channel_frames.data(number, bytes(_size(choices)))
        case Opcode.STREAM_CREDIT:
            return channel_frames.credit(number, choices.number(1 << 32))
        case Opcode.STREAM_END:
            return channel_frames.end(number)
        case Opcode.STREAM_RESET:
            return channel_frames.reset(number, choices.number(1 << 16), choices.piece())
        case Opcode.FAILURE:
            return channel_frames.failure(number, choices.number(8), choices.piece())
        case Opcode.CANCEL:
            return channel_frames.cancel(number)
    return Control(opcode, channel_frames.u64(number) + bytes(_size(choices)))


def _size(choices: Choices) -> int:
    return _SIZES[choices.number(len(_SIZES))]


def _act(choices: Choices, multiplexer: Multiplexer, streams: list[int], owed: list[int]) -> None:
    """Let the program do something, on streams that are over too."""
    action = choices.number(12)
    number = streams[choices.number(256) % len(streams)] if streams else 0
    match action:
        case 0 if multiplexer.may_open:
            streams.append(multiplexer.open(0, b"", window=choices.number(1 << 17)))
        case 1 | 2:
            multiplexer.write(number, bytes(_size(choices)))
        case 3:
            multiplexer.end(number)
        case 4:
            multiplexer.finish(number)
        case 5:
            multiplexer.reset(number, choices.number(1 << 16), "reason")
        case 6:
            multiplexer.update_window(number, 1 + choices.number(1 << 16))
        case 7 if multiplexer.may_request:
            multiplexer.request(bytes(min(_size(choices), wire.MAX_CHUNK)))
        case 8 if multiplexer.may_request:
            streams.append(multiplexer.request_on_stream()[1])
        case 9:
            multiplexer.cancel(choices.number(8))
        case 10 if owed:
            multiplexer.fail(owed.pop(), FailureCode.RAISED, "Oops", "text")
        case 11 if owed:
            streams.append(multiplexer.reply_on_stream(owed.pop()))


def _check_bounds(multiplexer: Multiplexer, *, client: bool) -> None:
    theirs = [s for n, s in multiplexer.streams.items() if n % 2 == (1 if client else 0)]
    bodies = (StreamKind.REQUEST, StreamKind.REPLY)
    assert sum(stream.kind not in bodies for stream in theirs) <= _LIMIT, "too many streams"
    assert len(multiplexer.requests.peer_pending) <= _LIMIT, "too many requests"
    waited_for = [
        s for s in theirs if s.kind == StreamKind.REQUEST and s.sending is not Sending.RESETTING
    ]
    assert len(waited_for) <= len(multiplexer.requests.peer_pending), "too many bodies of requests"
    replies = [stream for stream in theirs if stream.kind == StreamKind.REPLY]
    assert len(replies) <= len(multiplexer.requests.local_pending), "too many bodies of replies"
