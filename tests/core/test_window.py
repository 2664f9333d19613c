"""The credit for messages: what one end may send and what the other end counts are the same."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sealframe.core.events import Credited, RequestFailed, StreamData
from sealframe.core.window import Window
from sealframe.errors import NotSupportedError
from sealframe.wire import MAX_WINDOW, MESSAGE_OVERHEAD, CloseCode, FailureCode, Opcode, control
from sealframe.wire.control import Close

from .peers import Peer, exchange, extended_pair, inject, opcodes, plain, sealed_pair


def test_a_message_may_begin_while_there_is_credit() -> None:
    """The last one may pass it, and after that nothing."""
    window = Window(100)
    assert window.charge(99, 99)
    assert window.left == 1
    assert window.charge(1_000_000, 1_000_000)
    assert window.left == -999_999
    assert not window.charge(64, 64)


@pytest.mark.parametrize(
    ("cost", "last", "allowed"),
    [(100, 100, True), (164, 65, True), (164, 64, False), (500, 401, True), (500, 400, False)],
)
def test_of_many_messages_the_last_one_must_begin_in_time(
    cost: int, last: int, allowed: bool
) -> None:
    window = Window(100)
    assert window.charge(cost, last) is allowed


def test_what_came_before_the_peer_knew_counts() -> None:
    """A plain server speaks before it hears of the window: it may be used up from the start."""
    window = Window(400, 500)
    assert not window.charge(64, 64)
    assert window.update(1000, 500) == 664


def test_credit_is_given_by_the_quarter() -> None:
    """Not for each message: a frame of credit costs as much to handle as one of them."""
    window = Window(1000)
    window.charge(249, 249)
    assert window.update(1000, 0) == 0
    window.charge(1, 1)
    assert window.update(1000, 1) == 0
    assert window.update(1000, 0) == 250
    assert window.update(1000, 0) == 0


def test_credit_never_passes_what_a_frame_can_say() -> None:
    window = Window(1)
    assert window.update(2**62, 0) == MAX_WINDOW - 1
    window.charge(2**40, 2**40)
    assert window.update(2**62, 0) == MAX_WINDOW


quotas = st.integers(1, 5000)


@given(quotas, quotas, st.integers(0, 20_000), st.integers(0, 20_000))
@example(1, 1, 0, 0)
def test_credit_is_due_exactly_from_the_low_water_mark_downwards(
    first: int, size: int, received: int, queued: int
) -> None:
    """So that whoever takes a message from there on looks, and nobody looks in vain."""
    window = Window(first, received)
    window.update(size, received)
    queued = min(queued, received)
    is_due = queued <= window.low_water
    assert is_due == (received - queued >= window.next_grant)
    assert (window.update(size, queued) > 0) == is_due
    assert queued > window.low_water


@given(quotas, quotas, st.integers(0, 20_000))
def test_an_empty_queue_gives_credit_before_the_peer_has_none(
    first: int, size: int, received: int
) -> None:
    """No stall: whoever waits for credit gets some once all is taken."""
    window = Window(first, received)
    left = window.left
    due = window.update(size, 0)
    if left <= 0:
        assert due > 0
    assert window.left == left + due <= max(size, left)


sizes = st.one_of(st.integers(0, 30), st.integers(0, 5000))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), sizes),
        st.tuples(st.just("take"), st.integers(1, 5)),
        st.tuples(st.just("arrive"), st.integers(1, 5)),
        st.tuples(st.just("quota"), quotas),
    ),
    max_size=80,
)


@given(quotas, st.integers(1, 5000), steps)
def test_both_ends_agree_and_nothing_stalls(
    first: int, quota: int, done: list[tuple[str, int]]
) -> None:
    """What the sender has left is what the receiver reckons with, but for what is under way;
    an honest sender is never refused; however it went, all arrives in the end."""
    window = Window(first)
    credit = first
    waiting: deque[int] = deque()
    network: deque[int] = deque()
    granted: deque[int] = deque()
    inbox: deque[int] = deque()

    def look() -> None:
        due = window.update(quota, sum(inbox))
        if due:
            granted.append(due)
        # Either end is ahead of the other by what is under way.
        assert window.left == credit + sum(granted) + sum(network)

    def send() -> None:
        nonlocal credit
        while waiting and credit > 0:
            network.append(waiting.popleft())
            credit -= network[-1]

    def arrive(count: int) -> None:
        nonlocal credit
        batch = [network.popleft() for _ in range(min(count, len(network)))]
        if batch:
            inbox.extend(batch)
            assert window.charge(sum(batch), batch[-1])
            # Arrival takes nothing, so credit is due only if the window became larger.
            if window.received - sum(inbox) >= window.next_grant:
                look()
        for _ in range(min(count, len(granted))):
            credit += granted.popleft()
            assert credit <= MAX_WINDOW

    def take(count: int) -> None:
        for _ in range(min(count, len(inbox))):
            inbox.popleft()
            if sum(inbox) <= window.low_water:
                look()

    for kind, number in done:
        match kind:
            case "send":
                waiting.append(number + MESSAGE_OVERHEAD)
                send()
            case "arrive":
                arrive(number)
                send()
            case "take":
                take(number)
            case "quota":
                # It may shrink and grow with the number of clients.
                quota = number
    rounds = len(waiting) + len(network) + len(inbox) + len(granted) + 2
    for _ in range(2 * rounds):
        arrive(5)
        take(5)
        if not inbox:
            # What the quota grew by since may be due now.
            look()
        send()
    assert not waiting
    assert not network


# On connections


@pytest.mark.parametrize("pair", [extended_pair, sealed_pair])
def test_windows_hold_where_both_ends_announce_one(
    pair: Callable[..., tuple[Peer, Peer]],
) -> None:
    client, server = pair(window=1000)
    assert client.protocol.windowed
    assert server.protocol.windowed
    assert client.protocol.window == 1000
    client, server = pair()
    assert not client.protocol.windowed
    assert not server.protocol.windowed


@pytest.mark.parametrize("announcing", ["client", "server"])
def test_one_that_knows_no_credit_is_not_held_to_it(announcing: str) -> None:
    """An end that announces nothing may be an older one; CREDIT then means nothing."""
    client = plain(client=True, extended=True, window=9 if announcing == "client" else None)
    server = plain(client=False, window=9 if announcing == "server" else None)
    exchange(client, server)
    assert not client.protocol.windowed
    assert not server.protocol.windowed


def test_credit_reaches_the_other_end() -> None:
    client, server = extended_pair(window=1000)
    for increments in ([77], [1, 2, 3], [MAX_WINDOW, MAX_WINDOW]):
        for increment in increments:
            server.protocol.give_credit(increment)
        exchange(client, server)
    # In one frame for what waits to be written, which says no more than a frame can.
    assert [event.increment for event in client.events_of(Credited)] == [77, 6, MAX_WINDOW]


@pytest.mark.parametrize(
    "body", [b"", bytes(3), bytes(4), b"\0\0\0\x80", b"\1\0\0\0\0", b"\xff" * 8], ids=bytes.hex
)
def test_credit_that_is_no_number_is_fatal(body: bytes) -> None:
    """Where windows are in force and where they are not."""
    for window in (1000, None):
        client, server = extended_pair(window=window)
        inject(server, client, control.frame(Opcode.CREDIT, body))
        assert "CREDIT is not a number from 1 to 2^31 - 1" in str(server.fault)
        assert server.fault.code == CloseCode.PROTOCOL


def test_credit_without_windows_is_ignored() -> None:
    client, server = extended_pair()
    inject(server, client, control.frame(Opcode.CREDIT, b"\5\0\0\0"))
    assert server.error is None
    assert not server.events_of(Credited)


def test_the_owner_ends_a_connection_whose_peer_has_no_credit() -> None:
    client, server = extended_pair(window=1000)
    server.protocol.fail_protocol("no credit")
    server.note()
    exchange(client, server)
    assert server.fault.code == CloseCode.PROTOCOL
    assert client.close == Close(CloseCode.PROTOCOL, "no credit", 0)


def test_close_ends_streams_and_requests_and_leaves_messages_alone() -> None:
    """Of both directions, in whichever order; late frames on them do no harm."""
    client, server = extended_pair(window=1000, max_streams=2, max_requests=2)
    stream = client.protocol.multiplexer.open(0, b"", window=9)
    client.protocol.multiplexer.request(b"?")
    exchange(client, server)
    server.protocol.multiplexer.fail(0, FailureCode.GOING_AWAY)
    server.protocol.multiplexer.write(stream, b"late")
    client.protocol.close(Close())
    closing = client.take()
    client.read(server.take())
    assert not client.events_of(RequestFailed)
    assert not client.events_of(StreamData)
    server.read(closing)
    assert not server.protocol.unsent
    assert not server.protocol.has_output
    server.send(b"one more")
    exchange(client, server)
    assert client.messages == [b"one more"]
    assert client.error is server.error is None


def test_after_its_own_close_an_end_writes_on_no_stream_any_more() -> None:
    client, _ = extended_pair(max_streams=2, max_requests=2)
    multiplexer = client.protocol.multiplexer
    multiplexer.write(multiplexer.open(0, b"", window=9), b"late")
    multiplexer.request(b"?")
    client.protocol.close(Close())
    assert opcodes(client.take()) == [Opcode.CLOSE]
    multiplexer.request(b"?")
    assert not client.protocol.has_output
    assert client.take() == b""


def test_after_its_own_close_an_end_looks_at_no_stream_any_more() -> None:
    """What it has forgotten it cannot judge; what is no frame of a stream is still fatal."""
    client, server = extended_pair(max_streams=2)
    client.protocol.close(Close())
    inject(client, server, control.frame(Opcode.STREAM_DATA, b"no number"))
    assert client.error is None
    inject(client, server, control.frame(Opcode.HELLO))
    assert client.error is not None


def test_a_request_and_its_answer_overtake_messages_that_wait() -> None:
    client, server = extended_pair(max_requests=2)
    client.protocol.multiplexer.request(b"quick")
    sent = b"".join(client.protocol.take_output([bytes(100_000)]))
    assert sent.index(b"quick") < 100
    server.read(sent)
    assert server.messages == [bytes(100_000)]
    server.protocol.multiplexer.reply(0, b"answer")
    sent = b"".join(server.protocol.take_output([bytes(100_000)]))
    assert sent.index(b"answer") < 100


@pytest.mark.parametrize("kind", ["packets client", "packets server"])
def test_packets_carry_no_streams(kind: str) -> None:
    peer: Peer = plain(client=kind == "packets client", max_streams=2, max_requests=2)
    with pytest.raises(NotSupportedError, match="streams and requests need"):
        _ = peer.protocol.multiplexer
