"""What take_output returns, buffer by buffer: few writes, and no large copy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sealframe import framing, wire
from sealframe.core.events import Requested, StreamData
from sealframe.core.protocol import ProtocolMachine
from sealframe.framing import Framing
from sealframe.wire import Opcode, control
from sealframe.wire.control import Close

from .peers import (
    HELLO,
    MAXIMUM,
    Peer,
    exchange,
    extended_pair,
    message,
    opcodes,
    plain,
    records,
    sealed_pair,
)

pytestmark = pytest.mark.usefixtures("backend")

LARGE = 64 * 1024
"""Messages from this size on are written beside their head, not joined to it."""
BIG = bytes(LARGE)
HEAD = LARGE.to_bytes(4, "little")


def test_nothing_to_say_is_no_buffer_at_all() -> None:
    for peer in (*extended_pair(), *sealed_pair(), plain(client=True)):
        assert peer.protocol.take_output([]) == []
        assert not peer.protocol.has_output


def test_small_messages_are_one_buffer() -> None:
    """However many there are: one write for all of a tick."""
    messages = [b"x" * n for n in range(100)]
    buffers = plain(client=True).protocol.take_output(messages)
    assert buffers == [b"".join(map(message, messages))]


def test_a_large_message_is_written_as_it_is() -> None:
    """It is the very object that was sent, and its head rides with the small ones before,
    so that no buffer is tiny and none is a copy."""
    buffers = plain(client=True).protocol.take_output([b"a", b"b", BIG, b"c", BIG, BIG, b"d"])
    assert buffers == [
        message(b"a") + message(b"b") + HEAD,
        BIG,
        message(b"c") + HEAD,
        BIG,
        HEAD,
        BIG,
        message(b"d"),
    ]
    assert [buffer is BIG for buffer in buffers] == [False, True, False, True, False, True, False]


def test_one_byte_less_is_small() -> None:
    small = bytes(LARGE - 1)
    assert plain(client=True).protocol.take_output([small]) == [message(small)]
    assert plain(client=True).protocol.take_output([BIG]) == [HEAD, BIG]


def test_an_empty_message_has_a_head_and_no_buffer_of_its_own() -> None:
    """An empty last buffer can hang a transport."""
    for messages in ([b""], [BIG, b""], [b"", BIG]):
        buffers = plain(client=True).protocol.take_output(list(messages))
        assert all(buffers)
        assert b"".join(buffers) == b"".join(map(message, messages))


def test_control_frames_go_first_and_close_last() -> None:
    """In one buffer: what was queued, in order, then PONG; then messages; then CLOSE."""
    client, _ = extended_pair()
    client.protocol.ping(b"1")
    client.protocol.go_away(Close(1, "x"))
    client.read(control.frame(0x01, b"?") + control.frame(Opcode.PING, b"2"))
    client.protocol.close(Close(0, "bye"))
    announced = [client.protocol.has_output]
    assert client.protocol.take_output([b"a", BIG]) == [
        control.frame(Opcode.PING, b"1")
        + control.frame(Opcode.GOAWAY, Close(1, "x").encode())
        + control.unsupported(0x01, b"?")
        + control.frame(Opcode.PONG, b"2"),
        message(b"a") + HEAD,
        BIG,
        control.frame(Opcode.CLOSE, Close(0, "bye", 0).encode()),
    ]
    announced.append(client.protocol.has_output)
    assert announced == [True, False]
    assert client.protocol.take_output([]) == []


def test_each_kind_of_output_alone_is_announced() -> None:
    """has_output is true for HELLO, for PONG, for CLOSE and for the handshake, each alone."""
    client = plain(client=True, extended=True)
    assert client.protocol.has_output
    assert client.protocol.take_output([]) == [HELLO]
    client, _ = extended_pair()
    client.read(control.frame(Opcode.PING, b""))
    assert client.protocol.has_output
    assert client.protocol.take_output([]) == [control.frame(Opcode.PONG)]
    client.protocol.close(Close())
    assert client.protocol.has_output
    assert len(client.protocol.take_output([])) == 1
    server = plain(client=False)
    server.read(control.frame(Opcode.HANDSHAKE, b"sealfram\x01\x01" + bytes(48)))
    assert server.protocol.has_output
    assert len(server.protocol.take_output([])) == 1


def test_the_sender_is_bound_by_the_peer_and_not_by_itself() -> None:
    """The encoder takes any length; who keeps to send_limit is the caller."""
    peer = plain(client=True, maximum=10)
    assert peer.protocol.send_limit == 10
    assert peer.protocol.take_output([bytes(11)]) == [message(bytes(11))]


@pytest.mark.parametrize(
    ("layout", "heads"),
    [
        (replace(framing.INT32_BE), [LARGE.to_bytes(4, "big")]),
        (replace(framing.PROTOBUF_DELIMITED), [b"\x80\x80\x04"]),
        # Where bytes of the header are part of the payload, a head cannot go apart.
        (Framing(width=4, offset=1, strip=1), []),
    ],
)
def test_large_messages_of_foreign_framings(layout: Framing, heads: list[bytes]) -> None:
    protocol = ProtocolMachine(client=True, max_message_size=1, framing=layout)
    payload = BIG
    buffers = protocol.take_output([payload])
    if heads:
        assert buffers == [*heads, BIG]
    else:
        assert len(buffers) == 1
        receiver = Peer(ProtocolMachine(client=False, max_message_size=1, framing=layout))
        receiver.read(buffers[0])
        (received,) = receiver.messages
        assert len(received) == LARGE


def test_sealed_output_is_records_with_their_heads() -> None:
    """Small frames of one call share a record; 65,519 bytes of plaintext fill one."""
    client, server = sealed_pair()
    client.protocol.ping(b"")
    (record,) = client.protocol.take_output([b"a", b"b"])
    size = len(control.frame(Opcode.PING)) + 2 * len(message(b"a")) + wire.TAG_SIZE
    assert record[:4] == size.to_bytes(4, "little")
    assert len(record) == 4 + size
    full = wire.MAX_RECORD_PLAINTEXT - 4
    (record_of_full,) = client.protocol.take_output([bytes(full)])
    assert record_of_full[:4] == (65_535).to_bytes(4, "little")
    buffers = client.protocol.take_output([bytes(full + 1)])
    assert [len(body) for body in records(b"".join(buffers))] == [17, 65_535]
    server.read(record + record_of_full + b"".join(buffers))
    assert [len(received) for received in server.messages] == [1, 1, full, full + 1]


@pytest.mark.parametrize(("streamed", "shared"), [(4000, True), (16_000, False)])
def test_what_overtakes_a_stream_does_not_wait_for_it(streamed: int, shared: bool) -> None:
    """A record opens once all of it is here: a request before a large frame has its own."""
    client, server = sealed_pair(max_streams=1, max_requests=1)
    multiplexer = client.protocol.multiplexer
    number = multiplexer.open(0, b"", window=1)
    exchange(client, server)
    multiplexer.write(number, bytes(streamed))
    multiplexer.request(b"?")
    sent = b"".join(client.protocol.take_output([b"!"]))
    first, *rest = records(sent)
    assert bool(rest) is not shared
    server.read(len(first).to_bytes(4, "little") + first)
    assert server.messages == [b"!"]
    assert server.events_of(Requested) == [Requested(0, b"?")]
    assert bool(server.events_of(StreamData)) is shared


def test_no_message_goes_out_before_the_keys_exist() -> None:
    """Nothing but the handshake leaves a sealed end that is not established."""
    from .peers import sealed

    client = sealed(client=True, maximum=MAXIMUM)
    (first,) = client.protocol.take_output([b"secret"])
    assert b"secret" not in first
    assert client.protocol.take_output([b"secret"]) == []


@pytest.mark.parametrize("pair", [extended_pair, sealed_pair])
def test_what_is_written_leaves_no_output_behind(
    pair: Callable[[], tuple[Peer, Peer]],
) -> None:
    """An idle connection holds no list or buffer of its own for what it may write one day."""
    for peer in pair():
        for _ in range(2):
            assert peer.protocol.output is None
            assert peer.protocol.records is None or peer.protocol.records.output == ()
            peer.protocol.ping(b"1")
            assert opcodes(peer.take()) == [Opcode.PING] or peer.protocol.sealed


def test_numbers_of_the_peer_are_shared() -> None:
    """Those of a HELLO would take 32 bytes each of every connection."""
    first, second = (extended_pair(window=70_000)[1].protocol for _ in range(2))
    assert first.send_limit is second.send_limit
    assert first.introductions.peer is second.introductions.peer


def test_connections_that_hold_no_record_share_one_buffer() -> None:
    (first, _), (second, _) = sealed_pair(), sealed_pair()
    assert first.protocol.records is not None
    assert second.protocol.records is not None
    assert first.protocol.records.held is second.protocol.records.held
    part = bytes(range(7))
    first.read(part[:3])
    assert first.protocol.records.held == part[:3]
    assert not second.protocol.records.held
