"""Packets, the default: message frames and FIN, and never anything else."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealframe import framing
from sealframe.core.events import Ended, Established, Phase
from sealframe.core.protocol import ProtocolMachine
from sealframe.errors import (
    FrameTooLargeError,
    NotSupportedError,
    PeerTimeoutError,
    ProtocolError,
    TruncatedError,
)
from sealframe.wire import CloseCode, Opcode, control
from sealframe.wire.control import Close

from .peers import HELLO, Peer, exchange, message, packets_pair, plain

codes = st.sampled_from([0, 1, 2, 11, 300])
actions = st.lists(
    st.one_of(
        st.tuples(st.just("receive"), st.binary(max_size=40)),
        st.tuples(st.just("receive"), st.binary(max_size=20).map(message)),
        st.tuples(
            st.just("receive"),
            st.builds(control.frame, st.integers(0, 255), st.binary(max_size=20)),
        ),
        st.tuples(st.just("send"), st.lists(st.binary(max_size=20), max_size=3)),
        st.tuples(st.sampled_from(["ping", "go away", "close", "eof", "loss"]), st.none()),
    ),
    max_size=12,
)


@given(st.booleans(), actions, codes)
def test_no_control_frame_is_ever_sent(
    client: bool, steps: list[tuple[str, object]], code: int
) -> None:
    """Whatever comes in and whatever is asked for, errors, pings and closes included:
    what goes out is the messages that were sent, as plain packets, and nothing else; and
    after a close, which is FIN, nothing at all."""
    peer = plain(client=client)
    if not client:
        # HELLO or HANDSHAKE as the very first frame would tell that the other end
        # reads control frames.
        peer.read(message(b"a peer that knows only the packet"))
    expected = b""
    closed = False
    for kind, value in steps:
        if kind == "receive":
            assert isinstance(value, bytes)
            peer.read(value)
        elif kind == "send":
            assert isinstance(value, list)
            peer.send(*value)
            if not closed:
                expected += b"".join(map(message, value))
        elif kind == "ping":
            with pytest.raises(NotSupportedError):
                peer.protocol.ping(b"")
        elif kind == "go away":
            peer.protocol.go_away(Close(code, "later"))
        elif kind == "close":
            assert not peer.protocol.close(Close(code, "bye"))
            closed = True
        elif kind == "eof":
            peer.end()
        else:
            peer.protocol.receive_loss(ConnectionResetError("reset"))
            peer.note()
        assert not peer.protocol.has_output
    assert peer.take() == expected


def test_the_classic_packet_both_ways(backend: str) -> None:
    """{int32 length, little-endian}{data}: what programs with BitConverter write."""
    client, server = packets_pair()
    client.send(b"hello", b"", b"\x00\x01")
    sent = client.take()
    assert sent.hex() == "05000000" + b"hello".hex() + "00000000" + "02000000" + "0001"
    server.read(sent)
    assert server.messages == [b"hello", b"", b"\x00\x01"]
    server.send(b"hi")
    assert server.take().hex() == "02000000" + b"hi".hex()


def test_messages_may_flow_at_once() -> None:
    """Neither side waits for a word from the other."""
    for peer in packets_pair():
        (established,) = peer.events
        assert isinstance(established, Established)
        assert not peer.protocol.extended
        assert not peer.protocol.sealed
        assert peer.protocol.channel_binding == b""
        assert peer.take() == b""


@pytest.mark.parametrize("step", [1, 3, None])
def test_any_split_of_the_stream_gives_the_same_messages(backend: str, step: int | None) -> None:
    server = plain(client=False)
    payloads = [b"", b"x" * 300, b"y", b"z" * 70_000]
    server.read(b"".join(map(message, payloads)), step=step if step != 1 else 7)
    assert server.messages == payloads
    assert server.protocol.frames_received == 4


def test_the_end_at_a_boundary_is_a_proper_close(backend: str) -> None:
    for client in (True, False):
        for data in (b"", message(b"last")):
            peer = plain(client=client)
            peer.read(data)
            peer.end()
            assert peer.close is None
            assert peer.error is None
            assert peer.protocol.phase is Phase.ENDED


def test_half_a_close_leaves_the_other_direction_usable() -> None:
    client, server = packets_pair()
    client.end()
    client.send(b"still here")
    server.read(client.take())
    assert server.messages == [b"still here"]
    assert client.error is None


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 8])
def test_the_end_inside_a_frame_is_a_truncation(backend: str, cut: int) -> None:
    """After all whole messages that came before it."""
    server = plain(client=False)
    server.read(message(b"whole") + message(b"broken")[:cut])
    server.end()
    assert server.messages == [b"whole"]
    assert isinstance(server.fault, TruncatedError)
    how_much = "a part of its head" if cut < 4 else f"{cut} of its 10 bytes"
    assert f"the peer's stream ended inside a frame: only {how_much} came" in str(server.fault)
    assert server.events_of(Ended) == []


@pytest.mark.parametrize("cut", [0, 1, 4, 8])
def test_a_reset_is_never_a_proper_close(backend: str, cut: int) -> None:
    server = plain(client=False)
    server.read(message(b"whole") + message(b"broken")[:cut])
    cause = ConnectionResetError("reset by peer")
    server.protocol.receive_loss(cause)
    server.note()
    assert server.messages == [b"whole"]
    assert isinstance(server.fault, TruncatedError)
    assert server.fault.__cause__ is cause


@pytest.mark.parametrize("number", [errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH])
def test_a_peer_that_the_system_gave_up_was_silent_for_too_long(number: int) -> None:
    for rest in (b"", message(b"broken")[:5]):
        server = plain(client=False)
        server.read(message(b"whole") + rest)
        server.protocol.receive_loss(OSError(number, "given up"))
        server.note()
        assert server.messages == [b"whole"]
        assert isinstance(server.fault, PeerTimeoutError)
        assert "no sign of life" in str(server.fault)


def test_a_loss_after_the_end_is_not_news() -> None:
    server = plain(client=False)
    server.end()
    server.protocol.receive_loss(None)
    server.note()
    assert server.error is None


@pytest.mark.parametrize(
    "head", [(201).to_bytes(4, "little"), (2**31 - 1).to_bytes(4, "little")], ids=bytes.hex
)
def test_a_length_over_the_limit_fails_after_the_good_messages(backend: str, head: bytes) -> None:
    """The messages of the same read come out first; the head alone is enough to refuse."""
    peer = plain(client=True, maximum=200)
    peer.read(message(b"good") + message(bytes(200)) + head)
    assert peer.messages == [b"good", bytes(200)]
    assert isinstance(peer.fault, ProtocolError)
    assert isinstance(peer.fault.__cause__, FrameTooLargeError)
    assert peer.fault.code == CloseCode.TOO_LARGE
    assert "over the limit of 200" in str(peer.fault)
    peer.read(message(b"after the fault"))
    assert peer.messages == [b"good", bytes(200)]


@pytest.mark.parametrize("length", [-1, -2, -(2**31)])
def test_a_negative_length_is_refused(backend: str, length: int) -> None:
    """An int32 length below zero has the control bit, and no control frame is that large
    or empty."""
    server = plain(client=False)
    server.read(message(b"good") + length.to_bytes(4, "little", signed=True) + bytes(8))
    assert server.messages == [b"good"]
    assert isinstance(server.fault, ProtocolError)
    assert server.take() == b""


@pytest.mark.parametrize(
    ("first", "named"),
    [
        (b"GET / HTTP/1.1\r\n", "an HTTP client"),
        (b"SSH-2.0-OpenSSH\r\n", "an SSH peer"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "a TLS peer"),
        ((5).to_bytes(4, "big") + b"hello", "the length is 5: a peer with swapped byte order"),
        (b"hello world\n", "a peer that sends lines of text"),
    ],
)
def test_a_wrong_peer_is_named(backend: str, first: bytes, named: str) -> None:
    """Where its first length is over the limit."""
    server = plain(client=False, maximum=100_000)
    server.read(first)
    assert named in str(server.fault)
    assert server.messages == []


@pytest.mark.parametrize("length", [256, 512, 1024])
def test_a_legal_swapped_length_is_named_at_the_end(backend: str, length: int) -> None:
    """Read as little-endian it is below the limit: the wait for the rest must end first."""
    server = plain(client=False, maximum=1 << 20)
    server.read(length.to_bytes(4, "big") + bytes(length)[:30])
    assert server.error is None
    server.end()
    assert f"read as big-endian the length is {length}" in str(server.fault)


def test_the_first_frame_alone_is_diagnosed(backend: str) -> None:
    """Once a message came, the peer speaks the packet, and a fault is something else."""
    server = plain(client=False, maximum=1000)
    server.read(message(b"good") + b"GET / HTTP/1.1\r\n")
    assert "HTTP" not in str(server.fault)


def test_an_extended_peer_is_welcomed_by_any_plain_server(backend: str) -> None:
    client, server = plain(client=True, extended=True), plain(client=False)
    exchange(client, server)
    assert client.protocol.extended
    server = plain(client=True)
    server.read(HELLO)
    assert "a HELLO frame is not allowed here" in str(server.fault)
    assert server.take() == b""


def test_a_sealed_client_is_told_that_this_server_is_plain(backend: str) -> None:
    """The one exception: who sends the magic of the sealed protocol reads control frames."""
    server = plain(client=False)
    server.read(control.frame(Opcode.HANDSHAKE, b"sealfram\x01\x01" + bytes(48)))
    assert server.take().hex() == "04000080" + "44" + "0700" + "00"
    assert server.fault.code == CloseCode.PLAIN
    assert "this server is plain" in str(server.fault)
    other = plain(client=False)
    other.read(control.frame(Opcode.HANDSHAKE, b"something else"))
    assert other.take() == b""
    assert other.error is not None


@pytest.mark.parametrize("first", [HELLO, control.frame(Opcode.HANDSHAKE, b"sealfram\x01\x01")])
def test_an_introduction_that_crosses_our_fin_is_not_answered(backend: str, first: bytes) -> None:
    """After FIN nothing can be written any more, neither WELCOME nor CLOSE(PLAIN)."""
    server = plain(client=False)
    assert not server.protocol.close(Close())
    server.read(first)
    assert not server.protocol.extended
    assert not server.protocol.has_output
    assert server.take() == b""


@pytest.mark.parametrize("name", ["INT32_BE", "UINT16_BE", "PROTOBUF_DELIMITED"])
def test_a_foreign_framing_carries_messages_only(backend: str, name: str) -> None:
    """Its length has no control bit, and its end and limits work alike."""
    layout: framing.Framing = replace(getattr(framing, name))
    size = layout.layout.maximum
    client = Peer(ProtocolMachine(client=True, max_message_size=size, framing=layout))
    server = Peer(ProtocolMachine(client=False, max_message_size=size, framing=layout))
    client.send(b"a" * 300, b"")
    assert not client.protocol.close(Close(CloseCode.KICKED))
    server.read(client.take(), step=3)
    server.end()
    assert server.messages == [b"a" * 300, b""]
    assert server.close is None
    assert server.protocol.send_limit == size
    with pytest.raises(NotSupportedError):
        server.protocol.ping(b"")
