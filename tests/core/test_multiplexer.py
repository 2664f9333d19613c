"""Streams and requests of one end: what a peer must not do, what is ignored, who has a turn."""

from __future__ import annotations

from collections.abc import Callable

import pytest

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
from sealframe.wire import Control, FailureCode, Opcode, ResetCode, StreamKind
from sealframe.wire.control import Hello

from .channel_frames import (
    cancel,
    credit,
    data,
    end,
    failure,
    opened,
    reply,
    request,
    reset,
    taken,
    u32,
    u64,
)

FIRST = wire.FIRST_STREAM_WINDOW
CHUNK = wire.MAX_CHUNK
FAR = 2**40
"""Numbers go on after 32 bits."""


def make(*, client: bool = True, streams: int = 3, requests: int = 3) -> Multiplexer:
    """Return one end; both announced the same."""
    hello = Hello(max_streams=streams, max_requests=requests)
    return Multiplexer(client=client, local=hello, peer=hello)


def busy() -> Multiplexer:
    """Return a client with streams 0 and 1, and a request each way, and nothing to write."""
    multiplexer = make()
    multiplexer.open(0, b"", window=10)
    multiplexer.receive(opened(1))
    multiplexer.request(b"?")
    multiplexer.receive(request(0))
    taken(multiplexer)
    return multiplexer


def is_forgotten(multiplexer: Multiplexer) -> bool:
    """Return whether nothing is kept of any stream or request."""
    return not (
        multiplexer.streams
        or multiplexer.requests.local_pending
        or multiplexer.requests.peer_pending
        or multiplexer.requests.bodies
        or multiplexer.requests.local_replying
        or multiplexer.requests.answered
        or multiplexer.open_local
        or multiplexer.open_peer
        or multiplexer.has_output
        or multiplexer.unsent
    )


# Asked anew each time, as far as mypy can see.


def may_open(multiplexer: Multiplexer) -> bool:
    return multiplexer.may_open


def may_request(multiplexer: Multiplexer) -> bool:
    return multiplexer.may_request


# What a peer must not do

FORBIDDEN: dict[str, tuple[list[Control], str]] = {
    **{
        f"{Opcode(opcode).name} without a number": ([Control(opcode, bytes(7))], "cut short")
        for opcode in sorted(OPCODES)
    },
    "OPEN cut short": ([Control(Opcode.STREAM_OPEN, u64(3) + bytes(4))], "cut short"),
    "OPEN of a number of ours": ([opened(2)], "stream 2 is opened where 3 is next"),
    "OPEN of one that is open": ([opened(1)], "stream 1 is opened where 3 is next"),
    "OPEN that leaves one out": ([opened(5)], "stream 5 is opened where 3 is next"),
    "OPEN of one that is over": ([reset(1), opened(1)], "stream 1 is opened where 3 is next"),
    "OPEN with too large a window": (
        [opened(3, window=wire.MAX_WINDOW + 1)],
        "a window of 2147483648 bytes is over 2147483647",
    ),
    "OPEN with too much metadata": (
        [opened(3, metadata=bytes(4097))],
        "4097 bytes of metadata are over 4096",
    ),
    "OPEN of one too many": (
        [opened(3), opened(5), opened(7)],
        "more than 3 streams are open at a time",
    ),
    "OPEN of one too many, half closed": (
        [opened(3), opened(5), end(1), opened(7)],
        "more than 3 streams are open at a time",
    ),
    "OPEN of one too many, of any kind": (
        [opened(3), opened(5, kind=3), opened(7, kind=200)],
        "more than 3 streams are open at a time",
    ),
    "body of a request without its number": ([opened(3, kind=1)], "not the number of a request"),
    "body of a request that was made": (
        [opened(3, kind=1, metadata=0)],
        "request 0 is made where 1 is next",
    ),
    "body of a request too many": (
        [request(1), request(2), opened(3, kind=1, metadata=3)],
        "more than 3 requests are made at a time",
    ),
    "data beside the body of a reply": (
        [opened(3, kind=2, metadata=0), end(3), data(3), opened(5, kind=2, metadata=0)],
        "request 0 does not wait for an answer",
    ),
    "body of a reply without its number": (
        [opened(3, kind=2, metadata=bytes(7))],
        "not the number of a request",
    ),
    "body of a reply to nothing": (
        [opened(3, kind=2, metadata=1)],
        "request 1 does not wait for an answer",
    ),
    "two bodies of one reply": (
        [opened(3, kind=2, metadata=0), opened(5, kind=2, metadata=0)],
        "request 0 does not wait for an answer",
    ),
    "REPLY beside the body of one": (
        [opened(3, kind=2, metadata=0), reply(0)],
        "request 0 does not wait for an answer",
    ),
    "FAILURE beside the body of a reply": (
        [opened(3, kind=2, metadata=0), failure(0)],
        "request 0 does not wait for an answer",
    ),
    "DATA without data": ([data(1, b"")], "0 bytes of data are not 1 to 61440"),
    "DATA over the chunk": ([data(1, bytes(CHUNK + 1))], "61441 bytes of data are not 1 to 61440"),
    "DATA without data on one that is over": ([reset(1), data(1, b"")], "0 bytes of data"),
    "DATA on no stream of theirs": ([data(3)], "stream 3 was never opened"),
    "DATA on no stream of ours": ([data(2)], "stream 2 was never opened"),
    "DATA far away": ([data(FAR)], f"stream {FAR} was never opened"),
    "DATA after END": ([end(1), data(1)], "stream 1 has ended"),
    "DATA over the window of one of ours": (
        [data(0, bytes(10)), data(0, b"x")],
        "stream 0 has no credit for 1 bytes",
    ),
    "DATA that passes the window": ([data(0, bytes(11))], "stream 0 has no credit for 11 bytes"),
    "DATA over the first window": (
        [data(1, bytes(CHUNK)), data(1, bytes(FIRST - CHUNK)), data(1, b"x")],
        "stream 1 has no credit for 1 bytes",
    ),
    "CREDIT of another length": (
        [Control(Opcode.STREAM_CREDIT, u64(1) + u32(1) + b"\0")],
        "its body is not 12 bytes",
    ),
    "CREDIT of nothing": ([credit(1, 0)], "credit of 0 bytes makes 1000 on stream 1"),
    "CREDIT over the largest window": (
        [credit(1, wire.MAX_WINDOW - 1000), credit(1, 1)],
        "credit of 1 bytes makes 2147483648 on stream 1",
    ),
    "CREDIT on no stream": ([credit(3)], "stream 3 was never opened"),
    "END of another length": ([Control(Opcode.STREAM_END, u64(1) + b"\0")], "is not 8 bytes"),
    "END on no stream": ([end(2)], "stream 2 was never opened"),
    "END twice": ([end(1), end(1)], "stream 1 has ended already"),
    "RESET without a code": ([Control(Opcode.STREAM_RESET, u64(1) + b"\0")], "is cut short"),
    "RESET with a long reason": ([reset(1, reason=bytes(256))], "its reason is too long"),
    "RESET on no stream": ([reset(3)], "stream 3 was never opened"),
    "REQUEST that leaves one out": ([request(2)], "request 2 is made where 1 is next"),
    "REQUEST again": ([request(0)], "request 0 is made where 1 is next"),
    "REQUEST over the chunk": ([request(1, bytes(CHUNK + 1))], "payload is over 61440 bytes"),
    "REQUEST too many": (
        [request(1), request(2), request(3)],
        "more than 3 requests are made at a time",
    ),
    "REPLY to nothing": ([reply(1)], "request 1 does not wait for an answer"),
    "REPLY twice": ([reply(0), reply(0)], "request 0 does not wait for an answer"),
    "REPLY over the chunk": ([reply(0, bytes(CHUNK + 1))], "payload is over 61440 bytes"),
    "REPLY after FAILURE": ([failure(0), reply(0)], "request 0 does not wait for an answer"),
    "FAILURE after REPLY": ([reply(0), failure(0)], "request 0 does not wait for an answer"),
    "FAILURE without a code": ([Control(Opcode.FAILURE, u64(0))], "is cut short"),
    "FAILURE with a type cut short": (
        [Control(Opcode.FAILURE, u64(0) + b"\0\5Oops")],
        "is cut short",
    ),
    "FAILURE with a long text": ([failure(0, text=bytes(1001))], "its text is too long"),
    "CANCEL of another length": ([Control(Opcode.CANCEL, u64(0) + b"\0")], "is not 8 bytes"),
    "CANCEL of nothing": ([cancel(1)], "request 1 was never made"),
}
"""What ends the connection of a client with streams 0 and 1 and a request 0 each way."""


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_a_peer_must_not_do(name: str) -> None:
    """The last frame is fatal, and those before it are not."""
    frames, text = FORBIDDEN[name]
    multiplexer = busy()
    for frame in frames[:-1]:
        multiplexer.receive(frame)
    with pytest.raises(ViolationError, match=text):
        multiplexer.receive(frames[-1])


@pytest.mark.parametrize("frame", [opened(1), request(0), opened(1, kind=1, metadata=0)], ids=str)
def test_who_announced_no_place_is_asked_for_none(frame: Control) -> None:
    """An end that says neither max_streams nor max_requests takes nothing at all."""
    with pytest.raises(ViolationError, match="more than 0"):
        make(streams=0, requests=0).receive(frame)


def test_the_largest_of_everything_is_allowed() -> None:
    multiplexer = busy()
    metadata = bytes(4096)
    assert multiplexer.receive(opened(3, window=wire.MAX_WINDOW, metadata=metadata)) == (
        StreamOpened(3, 0, metadata)
    )
    assert multiplexer.receive(data(3, bytes(CHUNK))) == StreamData(3, memoryview(bytes(CHUNK)))
    assert multiplexer.receive(data(3, b"x" * (FIRST - CHUNK))) is not None
    assert multiplexer.receive(credit(1, wire.MAX_WINDOW - 1000)) is None
    reason = b"r" * 255
    assert multiplexer.receive(reset(3, 0xFFFF, reason)) == (
        StreamWasReset(3, 0xFFFF, reason.decode())
    )
    assert multiplexer.receive(request(1, bytes(CHUNK))) == Requested(1, bytes(CHUNK))
    assert multiplexer.receive(failure(0, 200, b"T" * 255, b"t" * 1000)) == (
        RequestFailed(0, 200, "T" * 255, "t" * 1000)
    )


# What is ignored

LATE: dict[str, Callable[[int], Control]] = {
    "DATA": data,
    "CREDIT": credit,
    "CREDIT that is too much": lambda number: credit(number, wire.MAX_WINDOW),
    "END": end,
    "RESET": reset,
}


def reset_by_us(multiplexer: Multiplexer, number: int) -> None:
    multiplexer.reset(number, 0, "")
    assert taken(multiplexer) == [reset(number)]


def reset_by_them(multiplexer: Multiplexer, number: int) -> None:
    multiplexer.receive(reset(number))


def ended_by_both(multiplexer: Multiplexer, number: int) -> None:
    multiplexer.end(number)
    assert taken(multiplexer) == [end(number)]
    multiplexer.receive(end(number))


@pytest.mark.parametrize("finish", [reset_by_us, reset_by_them, ended_by_both])
@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("name", LATE)
def test_what_comes_late_for_a_stream_that_is_over_is_ignored(
    name: str, number: int, finish: Callable[[Multiplexer, int], None]
) -> None:
    """It was under way when the stream ended."""
    multiplexer = busy()
    finish(multiplexer, number)
    multiplexer.over.clear()
    for _ in range(2):
        assert multiplexer.receive(LATE[name](number)) is None
    assert not multiplexer.has_output
    assert multiplexer.over == []


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("name", LATE)
def test_what_comes_before_our_reset_is_written_is_ignored_too(name: str, number: int) -> None:
    """Of theirs, RESET alone changes something: ours need not be written any more."""
    multiplexer = busy()
    multiplexer.write(number, b"lost")
    multiplexer.reset(number, 7, "why")
    assert multiplexer.receive(LATE[name](number)) is None
    expected = [] if name == "RESET" else [reset(number, 7, b"why")]
    assert taken(multiplexer) == expected
    assert multiplexer.over == [number]
    assert number not in multiplexer.streams


def test_cancelling_what_is_answered_is_ignored() -> None:
    """CANCEL and the answer crossed."""
    multiplexer = busy()
    multiplexer.reply(0, b"!")
    taken(multiplexer)
    assert multiplexer.receive(cancel(0)) is None


def test_a_request_may_be_cancelled_more_than_once_and_is_answered_once() -> None:
    multiplexer = busy()
    assert multiplexer.receive(cancel(0)) == RequestCancelled(0)
    assert multiplexer.receive(cancel(0)) == RequestCancelled(0)
    multiplexer.fail(0, FailureCode.CANCELLED)
    assert taken(multiplexer) == [failure(0, 2, b"")]


def test_calls_for_what_is_over_do_nothing() -> None:
    multiplexer = busy()
    multiplexer.receive(reset(0))
    multiplexer.receive(reply(0))
    multiplexer.write(0, b"x")
    multiplexer.end(0)
    multiplexer.finish(0)
    multiplexer.reset(0, 1, "")
    multiplexer.update_window(0, 5)
    multiplexer.cancel(0)
    assert multiplexer.queued(0) == 0
    assert not multiplexer.has_output


# Streams


@pytest.mark.parametrize("client", [True, False])
def test_numbers(client: bool) -> None:
    """A client's are even, a server's odd, each the next; requests simply count."""
    multiplexer = make(client=client)
    first = 0 if client else 1
    assert [multiplexer.open(0, b"m", window=9) for _ in range(3)] == [first, first + 2, first + 4]
    assert [multiplexer.request(b""), multiplexer.request(b"")] == [0, 1]
    assert multiplexer.request_on_stream() == (2, first + 6)
    assert taken(multiplexer) == [
        *(opened(first + 2 * n, window=9, metadata=b"m") for n in range(3)),
        *(request(0, b""), request(1, b"")),
        opened(first + 6, kind=1, window=0, metadata=2),
    ]


def test_numbers_need_64_bits() -> None:
    """No connection lives long enough to run out of them."""
    multiplexer = make()
    multiplexer.next_local = multiplexer.requests.next_local = FAR
    multiplexer.next_peer = FAR + 1
    multiplexer.requests.next_peer = FAR
    assert multiplexer.open(0, b"", window=0) == FAR
    assert multiplexer.request(b"") == FAR
    assert multiplexer.receive(opened(FAR + 1)) == StreamOpened(FAR + 1, 0, b"")
    assert multiplexer.receive(request(FAR)) == Requested(FAR, b"?")
    multiplexer.write(FAR, b"x")
    assert taken(multiplexer) == [opened(FAR, window=0), request(FAR, b""), data(FAR, b"x")]


def test_data_goes_as_far_as_the_credit() -> None:
    """64 KiB before the other end said anything; then what it grants, and END behind it."""
    multiplexer = make()
    multiplexer.open(0, b"", window=0)
    multiplexer.write(0, b"a" * FIRST + b"b")
    multiplexer.write(0, b"cd")
    multiplexer.end(0)
    assert taken(multiplexer) == [
        opened(0, window=0),
        data(0, b"a" * CHUNK),
        data(0, b"a" * (FIRST - CHUNK)),
    ]
    assert (multiplexer.queued(0), multiplexer.unsent, multiplexer.has_output) == (3, True, False)
    multiplexer.receive(credit(0, 2))
    assert taken(multiplexer) == [data(0, b"bc")]
    assert not multiplexer.has_output
    multiplexer.receive(credit(0, 100))
    assert taken(multiplexer) == [data(0, b"d"), end(0)]
    assert not multiplexer.unsent


def test_a_reset_that_waits_is_unsent() -> None:
    """What closes the connection waits for it: without it the peer thinks of a lost link."""
    multiplexer = make()
    multiplexer.open(0, b"", window=0)
    taken(multiplexer)
    before = multiplexer.unsent
    multiplexer.reset(0, 9, "")
    assert (before, multiplexer.unsent) == (False, True)
    assert taken(multiplexer) == [reset(0, 9)]
    assert not multiplexer.unsent


def test_the_acceptor_sends_as_much_as_open_says() -> None:
    multiplexer = make()
    multiplexer.receive(opened(1, window=3))
    multiplexer.write(1, b"abcd")
    assert taken(multiplexer) == [data(1, b"abc")]


def test_what_is_granted_goes_out_in_one_frame_and_may_be_used_up() -> None:
    """Also while nothing may be sent on the stream, and in front of its data."""
    multiplexer = busy()
    multiplexer.write(1, bytes(2000))
    assert taken(multiplexer) == [data(1, bytes(1000))]
    multiplexer.update_window(1, 5)
    multiplexer.update_window(1, 6)
    assert taken(multiplexer) == [credit(1, 11)]
    multiplexer.update_window(1, 7)
    multiplexer.receive(credit(1, 1))
    assert taken(multiplexer) == [credit(1, 7), data(1, b"\0")]
    left = FIRST + 18
    while left:
        multiplexer.receive(data(1, bytes(min(left, CHUNK))))
        left -= min(left, CHUNK)
    with pytest.raises(ViolationError, match="no credit"):
        multiplexer.receive(data(1, b"x"))


def test_credit_counts_once_it_is_written() -> None:
    """Nobody can have used it before."""
    multiplexer = busy()
    multiplexer.receive(data(0, bytes(10)))
    multiplexer.update_window(0, 5)
    with pytest.raises(ViolationError, match="no credit"):
        multiplexer.receive(data(0, b"x"))
    taken(multiplexer)
    assert multiplexer.receive(data(0, bytes(5))) is not None


def test_who_has_ended_gets_no_credit() -> None:
    multiplexer = busy()
    multiplexer.receive(end(1))
    multiplexer.update_window(1, 10)
    assert not multiplexer.has_output


def test_what_is_written_is_told_of() -> None:
    """So that the owner lets those write on who wait."""
    multiplexer = busy()
    multiplexer.write(0, b"x")
    multiplexer.write(1, b"")
    assert multiplexer.drained == []
    taken(multiplexer)
    assert multiplexer.drained == [0]
    multiplexer.write(0, bytes(3 * CHUNK))
    assert len(multiplexer.streams[0].queue) == 1
    multiplexer.drained.clear()
    multiplexer.receive(credit(0, 3 * CHUNK))
    multiplexer.take(3 * CHUNK)
    assert multiplexer.drained == [0]


def test_the_first_reset_counts() -> None:
    multiplexer = busy()
    multiplexer.reset(0, 5, "why")
    multiplexer.reset(0, 6, "again")
    (frame,) = taken(multiplexer)
    assert isinstance(frame, Control)
    assert frame.body == u64(0) + b"\x05\x00why"


ENDINGS: dict[str, tuple[str, list[Control]]] = {
    "END, theirs": ("write end take end(1)", [data(1, b"x"), end(1)]),
    "theirs, END": ("end(1) write end take", [data(1, b"x"), end(1)]),
    "END and theirs before it is written": ("write end end(1) take", [data(1, b"x"), end(1)]),
    "END twice": ("end end take end end(1) take", [end(1)]),
    "finish, theirs": ("write finish end(1) take", [data(1, b"x"), end(1)]),
    "finish": ("write finish take", [data(1, b"x"), end(1), reset(1)]),
    "finish twice": ("finish finish take", [end(1), reset(1)]),
    "END, finish": ("write end finish take", [data(1, b"x"), end(1), reset(1)]),
    "END, written, finish": ("write end take finish take", [data(1, b"x"), end(1), reset(1)]),
    "theirs, finish": ("end(1) write finish take", [data(1, b"x"), end(1)]),
    "RESET": ("write reset take", [reset(1, 5)]),
    "RESET twice": ("reset reset take", [reset(1, 5)]),
    "END, RESET": ("write end reset take", [reset(1, 5)]),
    "END, written, RESET": ("end take reset take", [end(1), reset(1, 5)]),
    "theirs, RESET": ("end(1) reset take", [reset(1, 5)]),
    "RESET, theirs": ("reset end(1) take", [reset(1, 5)]),
    "RESET, their RESET": ("reset reset(1) take", []),
    "RESET, finish": ("reset finish take", [reset(1, 5)]),
    "finish, RESET": ("write finish reset take", [reset(1, 5)]),
    "their RESET": ("write end reset(1) take", []),
    "updates and RESET": ("update reset take", [reset(1, 5)]),
    "nothing after END": ("end take write take end(1)", [end(1)]),
    "nothing between END and its turn": ("end write take end(1)", [end(1)]),
    "nothing after RESET": ("reset write end update take", [reset(1, 5)]),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_ends_in_every_order(name: str) -> None:
    """A stream is over once both directions are, or with RESET; then its slot is free."""
    steps, expected = ENDINGS[name]
    multiplexer = make()
    multiplexer.receive(opened(1))
    calls: dict[str, Callable[[], object]] = {
        "write": lambda: multiplexer.write(1, b"x"),
        "end": lambda: multiplexer.end(1),
        "finish": lambda: multiplexer.finish(1),
        "reset": lambda: multiplexer.reset(1, 5, ""),
        "update": lambda: multiplexer.update_window(1, 5),
        "end(1)": lambda: multiplexer.receive(end(1)),
        "reset(1)": lambda: multiplexer.receive(reset(1)),
        "take": lambda: frames.extend(taken(multiplexer)),
    }
    frames: list[Control] = []
    for step in steps.split():
        calls[step]()
    assert frames == expected
    assert multiplexer.over == [1]
    assert is_forgotten(multiplexer)


def test_half_closed_streams_go_on_in_the_other_direction() -> None:
    multiplexer = busy()
    multiplexer.end(0)
    multiplexer.receive(end(1))
    taken(multiplexer)
    multiplexer.write(0, b"no")
    multiplexer.write(1, b"yes")
    assert multiplexer.receive(data(0)) == StreamData(0, memoryview(b"data"))
    assert taken(multiplexer) == [data(1, b"yes")]
    assert multiplexer.receive(end(0)) == StreamEnded(0)
    assert multiplexer.over == [0]


# Whose turn it is


def test_every_stream_has_its_turn() -> None:
    """A chunk each, in the order in which they have something to send, and again from the
    front; a window update or an END is a turn too."""
    multiplexer = make(streams=10)
    for number in (0, 2, 4, 6):
        multiplexer.open(0, b"", window=0)
        multiplexer.receive(opened(number + 1))
    taken(multiplexer)
    for number in (0, 2, 4, 6):
        multiplexer.receive(credit(number, 1_000_000))
    multiplexer.write(2, bytes(3 * CHUNK))
    multiplexer.write(0, bytes(2 * CHUNK))
    multiplexer.write(6, b"small")
    multiplexer.update_window(5, 3)
    multiplexer.end(4)
    assert taken(multiplexer) == [
        data(2, bytes(CHUNK)),
        data(0, bytes(CHUNK)),
        data(6, b"small"),
        credit(5, 3),
        end(4),
        data(2, bytes(CHUNK)),
        data(0, bytes(CHUNK)),
        data(2, bytes(CHUNK)),
    ]


def test_a_frame_has_no_more_than_what_is_taken() -> None:
    """What one stream leaves of it is no reason to cut the frame of the next one."""
    multiplexer = make()
    multiplexer.write(multiplexer.open(0, b"", window=0), bytes(30))
    multiplexer.write(multiplexer.open(0, b"", window=0), bytes(2000))
    multiplexer.take_all_urgent()
    assert taken(multiplexer, 1000) == [data(0, bytes(30)), data(2, bytes(1000))]
    assert taken(multiplexer, 1000) == [data(2, bytes(1000))]


def test_turns_go_on_where_they_were_left() -> None:
    """However little is taken at a time, nobody is passed over."""
    multiplexer = make()
    for _ in range(3):
        multiplexer.write(multiplexer.open(0, b"", window=0), bytes(FIRST))
    found = []
    while multiplexer.has_output:
        found += taken(multiplexer, CHUNK)
    numbers = [frame.body[0] for frame in found if frame.opcode == Opcode.STREAM_DATA]
    assert numbers == [0, 2, 4, 0, 2, 4]


def test_requests_leave_streams_a_turn() -> None:
    """However much goes out at once because nothing may hold it up."""
    multiplexer = make(requests=100)
    multiplexer.write(multiplexer.open(0, b"", window=0), b"slowly, but surely")
    for _ in range(3):
        multiplexer.request(bytes(CHUNK))
    assert taken(multiplexer, 1000)[-1] == data(0, b"slowly, but surely")


def test_little_is_taken_at_a_time() -> None:
    """Resets by the thousand are not written all at once, at the cost of everyone else."""
    multiplexer = make(streams=1000)
    for number in range(1, 2001, 2):
        multiplexer.receive(opened(number))
        multiplexer.reset(number, 0, "")
    counts = []
    while multiplexer.has_output:
        counts.append(len(taken(multiplexer, 128 * 1024)))
    assert counts == [256, 256, 256, 232]


# Limits on streams and requests


def test_our_streams_are_as_many_as_the_peer_takes() -> None:
    """One is free again when it is over at both ends, as far as the peer will see."""
    multiplexer = make(streams=2)
    assert multiplexer.takes_streams
    assert not make(streams=0).takes_streams
    first, second = (multiplexer.open(0, b"", window=9) for _ in range(2))
    assert not may_open(multiplexer)
    multiplexer.reset(first, 0, "")
    assert not may_open(multiplexer), "the peer does not know of it yet"
    taken(multiplexer)
    assert may_open(multiplexer)
    first = multiplexer.open(0, b"", window=9)
    multiplexer.receive(reset(first))
    assert may_open(multiplexer)
    multiplexer.open(0, b"", window=9)
    multiplexer.receive(end(second))
    multiplexer.end(second)
    assert not may_open(multiplexer)
    taken(multiplexer)
    assert may_open(multiplexer)


def test_their_slot_is_taken_until_they_can_know_that_it_is_free() -> None:
    """RESET is due, and not written: who opens another now goes by what was promised."""
    multiplexer = make(streams=1)
    multiplexer.receive(opened(1))
    multiplexer.reset(1, 0, "")
    with pytest.raises(ViolationError, match="more than 1 streams"):
        multiplexer.receive(opened(3))
    multiplexer = make(streams=1)
    multiplexer.receive(opened(1))
    multiplexer.reset(1, 0, "")
    taken(multiplexer)
    assert multiplexer.receive(opened(3)) is not None


def test_their_own_reset_frees_their_slot() -> None:
    multiplexer = make(streams=1)
    for number in range(1, 2001, 2):
        multiplexer.receive(opened(number))
        multiplexer.receive(reset(number))
    assert is_forgotten(multiplexer)


def test_the_end_of_both_frees_their_slot_whatever_waits_to_be_written() -> None:
    """They have seen our end, so they may open another before our reset can reach them."""
    multiplexer = make(streams=1)
    multiplexer.receive(opened(1))
    multiplexer.end(1)
    taken(multiplexer)
    multiplexer.reset(1, ResetCode.CANCELLED, "")
    assert multiplexer.receive(end(1)) is None
    assert multiplexer.receive(opened(3)) == StreamOpened(3, StreamKind.APPLICATION, b"")
    assert taken(multiplexer) == []


def test_a_stream_that_is_over_has_no_turn() -> None:
    """Else a peer that resets what it opens, and reads nothing, makes the queue grow."""
    multiplexer = make(streams=1)
    for number in range(1, 201, 2):
        multiplexer.receive(opened(number, window=100))
        multiplexer.write(number, b"due")
        multiplexer.update_window(number, 10)
        multiplexer.receive(reset(number))
        assert not multiplexer.ready
    multiplexer.receive(opened(201, window=100))
    multiplexer.write(201, b"due")
    assert taken(multiplexer) == [data(201, b"due")]


def test_bodies_of_requests_take_no_slot_of_streams() -> None:
    multiplexer = make(streams=1, requests=2)
    multiplexer.open(0, b"", window=0)
    multiplexer.request_on_stream()
    assert may_request(multiplexer)
    multiplexer.receive(opened(1))
    assert multiplexer.receive(opened(3, kind=1, metadata=0)) is not None


def test_our_requests_are_as_many_as_the_peer_takes() -> None:
    """A slot is free with the answer, CANCEL or not."""
    multiplexer = make(requests=2)
    assert multiplexer.takes_requests
    assert not make(requests=0).takes_requests
    multiplexer.request(b"")
    assert may_request(multiplexer)
    number, stream = multiplexer.request_on_stream()
    assert not may_request(multiplexer)
    multiplexer.cancel(number)
    assert not may_request(multiplexer)
    assert multiplexer.receive(failure(number, 2, b"")) == RequestFailed(number, 2, "", "")
    assert may_request(multiplexer)
    multiplexer.reset(stream, 0, "")
    assert taken(multiplexer)[-2:] == [cancel(1), reset(stream)]
    assert multiplexer.receive(opened(1, kind=2, metadata=0)) == StreamOpened(1, 2, u64(0))
    multiplexer.request(b"")
    assert not may_request(multiplexer), "the reply is not whole yet"
    multiplexer.receive(end(1))
    assert may_request(multiplexer)


@pytest.mark.parametrize("how", ["reply", "fail", "stream", "reset"])
def test_the_peer_has_its_slot_back_with_the_answer(how: str) -> None:
    """Once it is written, the last byte of a long one too."""
    multiplexer = make(requests=1)
    multiplexer.receive(request(0))
    stream = None
    match how:
        case "reply":
            multiplexer.reply(0, b"!")
        case "fail":
            multiplexer.fail(0, FailureCode.RAISED, "Oops", "!")
        case _:
            stream = multiplexer.reply_on_stream(0)
            multiplexer.write(stream, bytes(FIRST + 1))
            multiplexer.end(stream)
            taken(multiplexer)
            multiplexer.receive(credit(stream, 10))
    refused = make(requests=1)
    refused.receive(request(0))
    with pytest.raises(ViolationError, match="more than 1 requests"):
        refused.receive(request(1))
    assert multiplexer.requests.peer_pending == {0}
    if how == "reset":
        assert stream is not None
        assert multiplexer.receive(reset(stream)) == StreamWasReset(stream, 0, "")
        assert taken(multiplexer) == []
    else:
        taken(multiplexer)
    assert is_forgotten(multiplexer)
    assert multiplexer.receive(request(1)) == Requested(1, b"?")


def test_a_reply_that_we_refuse_frees_its_slot_once_the_peer_is_told() -> None:
    multiplexer = make(requests=1)
    multiplexer.request(b"")
    multiplexer.receive(opened(1, kind=2, metadata=0))
    multiplexer.reset(1, 0, "")
    assert not may_request(multiplexer)
    taken(multiplexer)
    assert may_request(multiplexer)
    assert is_forgotten(multiplexer)


# Requests


def test_a_request_and_its_reply_over_streams() -> None:
    """Each is one direction only: the other end has no say on it but RESET and CREDIT."""
    multiplexer = make()
    number, stream = multiplexer.request_on_stream()
    multiplexer.write(stream, b"body")
    multiplexer.end(stream)
    assert taken(multiplexer) == [
        opened(stream, kind=1, window=0, metadata=number),
        data(stream, b"body"),
        end(stream),
    ]
    assert multiplexer.over == [stream]
    multiplexer.receive(opened(1, kind=1, metadata=0))
    multiplexer.receive(data(1, b"ask"))
    multiplexer.receive(end(1))
    assert multiplexer.over == [stream, 1]
    answer = multiplexer.reply_on_stream(0)
    multiplexer.write(answer, b"tell")
    multiplexer.end(answer)
    assert taken(multiplexer) == [
        opened(answer, kind=2, window=0, metadata=0),
        data(answer, b"tell"),
        end(answer),
    ]
    assert multiplexer.over == [stream, 1, answer]


@pytest.mark.parametrize("kind", [StreamKind.REQUEST, StreamKind.REPLY])
def test_nothing_goes_back_on_the_stream_of_a_body(kind: StreamKind) -> None:
    """Neither does this end send anything, nor may the peer."""
    multiplexer = busy()
    number = 1 if kind is StreamKind.REQUEST else 0
    multiplexer.receive(opened(3, kind=kind, metadata=number))
    multiplexer.write(3, b"no")
    multiplexer.end(3)
    assert not multiplexer.has_output
    if kind is StreamKind.REQUEST:
        _, stream = multiplexer.request_on_stream()
    else:
        stream = multiplexer.reply_on_stream(0)
    for frame in (data(stream), end(stream)):
        with pytest.raises(ViolationError, match=f"stream {stream} has ended"):
            multiplexer.receive(frame)


@pytest.mark.parametrize("how", ["reply", "fail", "stream"])
def test_an_early_answer_refuses_the_rest_of_the_request(how: str) -> None:
    """A peer that begins requests, cancels them and never ends their bodies fills nothing."""
    multiplexer = make(requests=1)
    for number in range(100):
        stream = 2 * number + 1
        assert multiplexer.receive(opened(stream, kind=1, metadata=number)) is not None
        multiplexer.receive(data(stream))
        assert multiplexer.receive(cancel(number)) == RequestCancelled(number)
        if how == "reply":
            multiplexer.reply(number, b"!")
        elif how == "fail":
            multiplexer.fail(number, FailureCode.CANCELLED)
        else:
            multiplexer.end(multiplexer.reply_on_stream(number))
        assert reset(stream) in taken(multiplexer)
        assert multiplexer.receive(data(stream)) is None
        assert is_forgotten(multiplexer)


def test_a_withdrawn_body_leaves_the_request_to_be_answered() -> None:
    """RESET of a body is not the answer, nor does it free the slot."""
    multiplexer = make(requests=1)
    multiplexer.receive(opened(1, kind=1, metadata=0))
    assert multiplexer.receive(reset(1, 3, b"no")) == StreamWasReset(1, 3, "no")
    with pytest.raises(ViolationError, match="more than 1 requests"):
        multiplexer.receive(request(1))
    multiplexer.fail(0, FailureCode.CANCELLED)
    taken(multiplexer)
    assert is_forgotten(multiplexer)


def test_answers_may_come_in_any_order() -> None:
    multiplexer = make()
    for _ in range(3):
        multiplexer.request(b"")
    assert multiplexer.receive(reply(2, b"c")) == Replied(2, b"c")
    assert multiplexer.receive(failure(0, 0, b"Oops", b"a")) == RequestFailed(0, 0, "Oops", "a")
    assert multiplexer.receive(reply(1, b"")) == Replied(1, b"")


@pytest.mark.parametrize(
    ("kind", "text", "sent_kind", "sent_text"),
    [
        ("ValueError", "no", b"ValueError", b"no"),
        ("K" * 101, "t" * 1001, b"K" * 100, b"t" * 1000),
        ("K" * 99 + "ü", "t" * 999 + "ü", b"K" * 99, b"t" * 999),
        ("K" * 98 + "ü", "t" * 998 + "ü", b"K" * 98 + "ü".encode(), b"t" * 998 + "ü".encode()),
        ("", "€" * 334, b"", "€".encode() * 333),
        ("\ud800", "\udfff", b"?", b"?"),
    ],
    ids=["short", "long", "cut inside", "just fits", "three bytes each", "surrogates"],
)
def test_texts_of_failures_are_cut_at_a_character(
    kind: str, text: str, sent_kind: bytes, sent_text: bytes
) -> None:
    multiplexer = busy()
    multiplexer.fail(0, FailureCode.RAISED, kind, text)
    (frame,) = taken(multiplexer)
    assert frame == failure(0, 0, sent_kind, sent_text)
    other = busy()
    assert other.receive(frame) == RequestFailed(0, 0, sent_kind.decode(), sent_text.decode())


@pytest.mark.parametrize(
    ("reason", "sent"),
    [("r" * 300, b"r" * 255), ("r" * 254 + "ü", b"r" * 254), ("\ud800", b"?")],
    ids=["long", "cut inside", "surrogate"],
)
def test_reasons_of_resets_are_cut_at_a_character(reason: str, sent: bytes) -> None:
    multiplexer = busy()
    multiplexer.reset(0, 9, reason)
    assert taken(multiplexer) == [reset(0, 9, sent)]
    assert multiplexer.over == [0]


def test_texts_of_a_peer_are_safe_to_print() -> None:
    """On one line, without the control characters of a terminal."""
    multiplexer = busy()
    answer = multiplexer.receive(failure(0, 0, b"\x1b[2J", b"a\nb\xff"))
    assert answer == RequestFailed(0, 0, "\ufffd[2J", "a\ufffdb\ufffd")
    assert multiplexer.receive(reset(1, 0, b"\r\0")) == StreamWasReset(1, 0, "\ufffd\ufffd")


def test_a_stream_of_a_kind_that_nobody_serves_is_reset() -> None:
    """It is an event like any other; who refuses it says UNSUPPORTED."""
    multiplexer = make()
    assert multiplexer.receive(opened(1, kind=200, metadata=b"?")) == StreamOpened(1, 200, b"?")
    multiplexer.reset(1, ResetCode.UNSUPPORTED, "what?")
    assert taken(multiplexer) == [reset(1, 1, b"what?")]
    assert is_forgotten(multiplexer)
