"""Two ends that do as they like, over a network that cuts as it likes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from example_counts import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sealframe import wire
from sealframe.core.events import (
    Replied,
    RequestCancelled,
    Requested,
    RequestFailed,
    StreamData,
    StreamEnded,
    StreamOpened,
    StreamWasReset,
)
from sealframe.core.multiplexer import OPCODES, Multiplexer, ViolationError
from sealframe.core.stream_state import Sending
from sealframe.framing import Framing
from sealframe.wire import Control, FailureCode, Opcode, StreamKind
from sealframe.wire.control import Hello

from . import channel_frames as frames
from .test_multiplexer import is_forgotten

FIRST, CHUNK = 60, 25
"""Small, so that a few bytes of data are many frames and use up the credit."""


@contextmanager
def small_windows() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(wire, "FIRST_STREAM_WINDOW", FIRST)
        patches.setattr(wire, "MAX_CHUNK", CHUNK)
        yield


class End:
    """One of the two, with its program, and a network to the other.

    What it may send it counts by itself, from the frames that go by.
    """

    def __init__(self, *, client: bool, limits: tuple[int, int, int, int]) -> None:
        ours, theirs = (limits[:2], limits[2:]) if client else (limits[2:], limits[:2])
        self.multiplexer = Multiplexer(
            client=client,
            local=Hello(max_streams=ours[0], max_requests=ours[1]),
            peer=Hello(max_streams=theirs[0], max_requests=theirs[1]),
        )
        self.decoder = Framing(control=True, maximum=wire.MAX_LENGTH).decoder()
        self.other: End = self
        self.network = bytearray()
        """What it wrote and the other has not read."""
        self.writes = Framing(control=True, maximum=wire.MAX_LENGTH).decoder()
        self.credit: dict[int, int] = {}
        self.streams: list[int] = []
        """All that it knows of, over or not."""
        self.written: dict[int, bytes] = defaultdict(bytes)
        self.received: dict[int, bytes] = defaultdict(bytes)
        self.unread: dict[int, int] = defaultdict(int)
        self.ended: set[int] = set()
        self.asked: list[int] = []
        self.owed: list[int] = []
        """Requests of the other that have no answer."""
        self.answers: dict[int, object] = {}

    # The program

    def open(self, choice: int) -> None:
        if self.multiplexer.may_open:
            window = choice % 90
            number = self.multiplexer.open(choice % 2 * 3, b"m" * (choice % 7), window=window)
            self.streams.append(number)
            self.credit[number] = FIRST

    def write(self, choice: int) -> None:
        for number in self._chosen(choice):
            before = self.multiplexer.queued(number)
            data = bytes((choice + n) % 256 for n in range(choice % 151))
            self.multiplexer.write(number, data)
            if self.multiplexer.queued(number) > before:
                self.written[number] += data

    def end(self, choice: int) -> None:
        for number in self._chosen(choice):
            self.multiplexer.end(number)

    def finish(self, choice: int) -> None:
        for number in self._chosen(choice):
            self.multiplexer.finish(number)

    def reset(self, choice: int) -> None:
        for number in self._chosen(choice):
            self.multiplexer.reset(number, choice, "why")

    def read(self, choice: int) -> None:
        for number in self._chosen(choice):
            self._give_back(number)

    def _give_back(self, number: int) -> None:
        self.multiplexer.update_window(number, self.unread.pop(number, 0))

    def ask(self, choice: int) -> None:
        if not self.multiplexer.may_request:
            return
        if choice % 2:
            self.asked.append(self.multiplexer.request(b"?" * (choice % CHUNK)))
            return
        request, stream = self.multiplexer.request_on_stream()
        self.asked.append(request)
        self.streams.append(stream)
        self.credit[stream] = FIRST

    def cancel(self, choice: int) -> None:
        if self.asked:
            self.multiplexer.cancel(self.asked[choice % len(self.asked)])

    def answer(self, choice: int) -> None:
        if not self.owed:
            return
        number = self.owed.pop(choice % len(self.owed))
        if choice % 3 == 0:
            self.multiplexer.reply(number, b"!" * (choice % CHUNK))
        elif choice % 3 == 1:
            self.multiplexer.fail(number, FailureCode.RAISED, "Oops", "text")
        else:
            stream = self.multiplexer.reply_on_stream(number)
            self.streams.append(stream)
            self.credit[stream] = FIRST

    def _chosen(self, choice: int) -> list[int]:
        # One of the latest: those before are over most of the time.
        latest = self.streams[-4:]
        return [latest[choice % len(latest)]] if latest else []

    # The network

    def send(self, choice: int) -> None:
        """Write some; no stream goes beyond its credit."""
        urgent = self.multiplexer.take_all_urgent()
        taken = b"".join([*urgent, *self.multiplexer.take(choice)])
        self.multiplexer.drained.clear()
        self.multiplexer.over.clear()
        for frame in self.writes.feed(taken):
            assert isinstance(frame, Control)
            if frame.opcode == Opcode.STREAM_DATA:
                number = int.from_bytes(frame.body[:8], "little")
                self.credit[number] -= len(frame.body) - 8
                assert self.credit[number] >= 0, "more was sent than there was credit for"
        self.network += taken

    def arrive(self, choice: int) -> None:
        """Let the other read some of what was written, cut anywhere."""
        some = bytes(self.network[: choice + 1])
        del self.network[: choice + 1]
        for frame in self.other.decoder.feed(some):
            assert isinstance(frame, Control)
            self.other.take_in(frame)

    def take_in(self, frame: Control) -> None:
        if frame.opcode == Opcode.STREAM_CREDIT:
            number = int.from_bytes(frame.body[:8], "little")
            self.credit[number] += int.from_bytes(frame.body[8:], "little")
        match self.multiplexer.receive(frame):
            case StreamOpened(number, kind, metadata):
                self.streams.append(number)
                self.credit[number] = int.from_bytes(frame.body[9:13], "little")
                if kind == StreamKind.REQUEST:
                    self.owed.append(int.from_bytes(metadata, "little"))
                elif kind == StreamKind.REPLY:
                    self._take_answer(int.from_bytes(metadata, "little"), number)
            case StreamData(number, data):
                assert number not in self.ended
                self.received[number] += data
                self.unread[number] += len(data)
                assert self.other.written[number].startswith(self.received[number])
            case StreamEnded(number):
                assert number not in self.ended
                self.ended.add(number)
                assert self.received[number] == self.other.written[number]
            case StreamWasReset(number):
                assert number in self.streams
            case Requested(number):
                self.owed.append(number)
            case RequestCancelled(number):
                assert number in self.other.asked
            case Replied(number) | RequestFailed(number):
                self._take_answer(number, frame.opcode)

    def _take_answer(self, number: int, answer: object) -> None:
        assert number in self.asked
        assert number not in self.answers, "a request was answered twice"
        self.answers[number] = answer

    # The end

    def settle(self) -> None:
        """Answer what there is to answer, end all streams, read all that came."""
        while self.owed:
            self.answer(len(self.owed) * 7)
        for number in self.streams:
            self.multiplexer.end(number)
            if self.unread[number]:
                self._give_back(number)
            else:
                # It may have opened the stream without a window.
                self.multiplexer.update_window(number, 50)


OPERATIONS: list[Callable[[End, int], None]] = [
    End.open,
    End.write,
    End.end,
    End.finish,
    End.reset,
    End.read,
    End.ask,
    End.cancel,
    End.answer,
    End.send,
    End.arrive,
]
# Most of the time something is written and arrives.
operations = st.sampled_from(
    [*OPERATIONS, End.open, *[End.write] * 4, *[End.send] * 4, *[End.arrive] * 4]
)
# Long ones: short ones teach little, and are most of what comes without a least size.
steps = st.lists(
    st.tuples(st.booleans(), operations, st.integers(0, 300)), min_size=60, max_size=200
)
limits = st.tuples(*[st.sampled_from([3, 1, 8, 0])] * 4)


@settings(max_examples=examples(100))
@given(steps, limits)
@example([(True, End.ask, 0), (True, End.send, 9), (True, End.arrive, 300)], (0, 0, 1, 1))
def test_two_ends_never_break_the_rules_and_forget_all(
    done: list[tuple[bool, Callable[[End, int], None], int]], limits: tuple[int, int, int, int]
) -> None:
    """No violation; all bytes arrive in order and once; each request has one answer; no
    stream goes beyond its credit; at last nothing is kept and nothing held back."""
    with small_windows():
        ends = End(client=True, limits=limits), End(client=False, limits=limits)
        first, second = ends
        first.other, second.other = second, first
        for which, operation, choice in done:
            operation(ends[which], choice)
        for _ in range(1000):
            for end in ends:
                end.settle()
                end.send(1000)
                end.arrive(len(end.network))
            if all(is_forgotten(end.multiplexer) for end in ends):
                break
    for end in ends:
        assert is_forgotten(end.multiplexer)
        assert not end.network
        assert end.answers.keys() == set(end.asked)
        assert not end.multiplexer.ready


small = st.integers(0, 6)
bodies = st.binary(max_size=20)
any_frame = st.one_of(
    st.builds(frames.opened, small, kind=small, window=st.integers(0, 2**32 - 1), metadata=small),
    st.builds(frames.opened, small, metadata=bodies),
    st.builds(frames.data, small, st.binary(max_size=40)),
    st.builds(frames.credit, small, st.sampled_from([0, 1, 100, wire.MAX_WINDOW])),
    st.builds(frames.end, small),
    st.builds(frames.reset, small, st.integers(0, 0xFFFF), bodies),
    st.builds(frames.request, small, bodies),
    st.builds(frames.reply, small, bodies),
    st.builds(frames.failure, small, st.integers(0, 255), bodies, bodies),
    st.builds(frames.cancel, small),
    st.builds(Control, st.sampled_from(sorted(OPCODES)), st.binary(max_size=30)),
)


@settings(max_examples=examples(200))
@given(
    st.lists(
        st.one_of(any_frame, st.tuples(operations, st.integers(0, 300))), min_size=20, max_size=80
    ),
    limits,
)
def test_whatever_a_peer_sends_it_is_taken_or_refused(
    given_steps: list[Control | tuple[Callable[[End, int], None], int]],
    limits: tuple[int, int, int, int],
) -> None:
    """Frames of any kind in any order, while the program does as it likes: nothing but a
    violation is raised, and what is kept never passes what was announced."""
    with small_windows():
        end = End(client=True, limits=limits)
        # It does not mind what comes.
        multiplexer = end.multiplexer
        for step in given_steps:
            if not isinstance(step, Control):
                operation, choice = step
                if operation is not End.arrive:
                    operation(end, choice)
                continue
            try:
                event = multiplexer.receive(step)
            except ViolationError:
                # The connection is over; to go on all the same shows more.
                continue
            if isinstance(event, Requested):
                end.owed.append(event.request)
            elif isinstance(event, StreamOpened):
                end.streams.append(event.stream)
                end.credit[event.stream] = int.from_bytes(step.body[9:13], "little")
                if event.kind == StreamKind.REQUEST:
                    end.owed.append(int.from_bytes(event.metadata, "little"))
            elif step.opcode == Opcode.STREAM_CREDIT:
                end.credit[step.body[0]] += int.from_bytes(step.body[8:], "little")
            check_bounds(end, limits)


def check_bounds(end: End, limits: tuple[int, int, int, int]) -> None:
    multiplexer = end.multiplexer
    streams = multiplexer.streams.values()
    kinds = [stream.kind for stream in streams if stream.number % 2]
    plain = [kind for kind in kinds if kind not in (StreamKind.REQUEST, StreamKind.REPLY)]
    assert len(plain) == multiplexer.open_peer <= limits[0]
    assert len(multiplexer.requests.peer_pending) <= limits[1]
    assert kinds.count(StreamKind.REPLY) <= len(multiplexer.requests.local_pending)
    open_bodies = [
        stream
        for stream in streams
        if stream.number % 2
        and stream.kind == StreamKind.REQUEST
        and stream.sending is not Sending.RESETTING
    ]
    assert len(open_bodies) <= len(multiplexer.requests.peer_pending)
