"""Streams and requests of one end: what a peer must not do, what is ignored, who has a turn."""

from __future__ import annotations

import pytest

from sealframe import wire
from sealframe.control import Hello
from sealframe.events import (
    RequestCancelled,
    StreamData,
    StreamEnded,
)
from sealframe.multiplexer import Multiplexer, ViolationError
from sealframe.wire import FailureCode, StreamKind

from .channel_frames import (
    cancel,
    data,
    end,
    opened,
    request,
    reset,
    taken,
)

FIRST = wire.FIRST_STREAM_WINDOW
CHUNK = wire.MAX_CHUNK
FAR = 2**40
"""Numbers go on after 32 bits."""


def make(*, client: bool = True, streams: int = 3, requests: int = 3) -> Multiplexer:
    """Return one end; both announced the same."""
    hello = Hello(max_streams=streams, max_requests=requests)
    return Multiplexer(client=client, ours=hello, theirs=hello)


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
        multiplexer._streams
        or multiplexer._pending
        or multiplexer._asked
        or multiplexer._bodies
        or multiplexer._replying
        or multiplexer._answered
        or multiplexer._open_ours
        or multiplexer._open_theirs
        or multiplexer.has_output
        or multiplexer.unsent
    )


# Asked anew each time, as far as mypy can see.


def may_open(multiplexer: Multiplexer) -> bool:
    return multiplexer.may_open


def may_request(multiplexer: Multiplexer) -> bool:
    return multiplexer.may_request


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


def test_requests_leave_streams_a_turn() -> None:
    """However much goes out at once because nothing may hold it up."""
    multiplexer = make(requests=100)
    multiplexer.write(multiplexer.open(0, b"", window=0), b"slowly, but surely")
    for _ in range(3):
        multiplexer.request(bytes(CHUNK))
    assert taken(multiplexer, 1000)[-1] == data(0, b"slowly, but surely")


def test_credit_counts_once_it_is_written() -> None:
    """Nobody can have used it before."""
    multiplexer = busy()
    multiplexer.receive(data(0, bytes(10)))
    multiplexer.grant(0, 5)
    with pytest.raises(ViolationError, match="no credit"):
        multiplexer.receive(data(0, b"x"))
    taken(multiplexer)
    assert multiplexer.receive(data(0, bytes(5))) is not None
