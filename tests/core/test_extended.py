"""The control side of a connection, plain or inside the seal: introductions, PING, GOAWAY
and what becomes of frames that this version does not know."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from sealframe import wire
from sealframe.core.events import Ended, Established, GoingAway, Phase, Ponged
from sealframe.core.protocol import ProtocolMachine
from sealframe.errors import HandshakeError, ProtocolError, TruncatedError
from sealframe.wire import CloseCode, Control, Opcode, control
from sealframe.wire.control import Close, Hello

from .peers import (
    HELLO,
    PAIRS,
    WELCOME,
    Peer,
    exchange,
    extended_pair,
    frames,
    handshaken,
    inject,
    message,
    opcodes,
    plain,
    reveal,
)

pytestmark = pytest.mark.usefixtures("backend")

Pair = tuple[Peer, Peer]


@pytest.fixture(params=["extended", "sealed"])
def pair(request: pytest.FixtureRequest) -> Pair:
    """A client and a server after their introductions."""
    return PAIRS[request.param]()


def tlv(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(2, "little") + len(value).to_bytes(2, "little") + value


def answer(peer: Peer, other: Peer) -> Close:
    """Return the CLOSE that ``peer`` answers with; it must be all that it sends."""
    (frame,) = reveal(peer, other)
    assert isinstance(frame, Control)
    assert frame.opcode == Opcode.CLOSE
    return Close.decode(frame.body)


# HELLO and WELCOME


def test_the_introductions_on_the_wire() -> None:
    """The client's first frame is HELLO, the server's answer WELCOME, which has the id."""
    client = Peer(ProtocolMachine(client=True, max_message_size=5, extended=True, software="a/1"))
    server = Peer(ProtocolMachine(client=False, max_message_size=7, client_id="c1", software="b/2"))
    hello = client.take()
    start = "7365616c6672616d" + "01"
    assert hello.hex() == "".join(
        ["19000080", "42", start, "0100", "0400", "05000000", "0500", "0300", b"a/1".hex()]
    )
    server.read(hello)
    welcome = server.take()
    assert welcome.hex() == "".join(
        [
            *("1f000080", "43", start, "0100", "0400", "07000000"),
            *("0500", "0300", b"b/2".hex(), "0700", "0200", b"c1".hex()),
        ]
    )
    client.read(welcome)
    assert server.events_of(Established)[-1].hello == Hello(5, "a/1", "")
    assert client.events_of(Established) == [Established(Hello(7, "b/2", "c1"))]
    assert client.protocol.phase is server.protocol.phase is Phase.EXTENDED


def test_each_side_announces_the_limit_that_the_other_keeps() -> None:
    """max_frame is the receiver's: the sender's own limit does not matter for sending."""
    client, server = plain(client=True, extended=True, maximum=5), plain(client=False, maximum=7)
    exchange(client, server)
    assert (client.protocol.send_limit, server.protocol.send_limit) == (7, 5)
    client.send(b"1234567")
    exchange(client, server)
    assert server.messages == [b"1234567"]
    client.send(b"12345678")
    exchange(client, server)
    assert server.fault.code == CloseCode.TOO_LARGE
    assert client.close is not None
    assert client.close.code == CloseCode.TOO_LARGE


def test_messages_before_welcome_are_delivered() -> None:
    """The server may have spoken before it read HELLO; the client says nothing till WELCOME."""
    client = plain(client=True, extended=True)
    assert client.take() == HELLO
    client.read(message(b"early"))
    assert client.messages == [b"early"]
    assert not client.established()
    assert client.take() == b""
    client.read(message(b"bird") + WELCOME + message(b"late"))
    assert client.messages == [b"early", b"bird", b"late"]
    assert client.established()
    assert client.protocol.frames_received == 3


def test_a_server_is_established_at_once_and_again_with_hello() -> None:
    """Its first handler need not wait; the second event tells what the client can do."""
    server = plain(client=False)
    assert server.events == [Established(Hello())]
    server.read(HELLO)
    assert len(server.events_of(Established)) == 2


def test_messages_right_behind_hello_are_not_lost() -> None:
    server = plain(client=False)
    server.read(HELLO + message(b"1") + message(b"2"))
    assert server.messages == [b"1", b"2"]


BAD_HELLOS = {
    "version": (b"sealfram\x02", CloseCode.VERSION, "another protocol version"),
    "no version": (b"sealfram", CloseCode.VERSION, "another protocol version"),
    "critical": (b"sealfram\x01" + tlv(0x8063, b""), CloseCode.PROTOCOL, "is critical"),
    "doubled": (b"sealfram\x01" + tlv(6, b"") * 2, CloseCode.PROTOCOL, "doubled"),
    "cut short": (b"sealfram\x01\x01\x00\x04", CloseCode.PROTOCOL, "cut short"),
    "too long": (b"sealfram\x01" + tlv(6, bytes(500)), CloseCode.PROTOCOL, "513 bytes are over"),
    "limit": (b"sealfram\x01" + tlv(1, bytes(4)), CloseCode.PROTOCOL, "max_frame"),
}


@pytest.mark.parametrize("name", BAD_HELLOS)
@pytest.mark.parametrize("client", [True, False])
def test_a_bad_introduction_is_answered_with_close(client: bool, name: str) -> None:
    """Whoever sent the magic reads control frames, so it is told; no message may flow."""
    body, code, text = BAD_HELLOS[name]
    peer = plain(client=client, extended=client)
    peer.take()
    opcode = Opcode.WELCOME if client else Opcode.HELLO
    before = len(peer.events)
    peer.read(control.frame(opcode, body) + message(b"after"))
    assert isinstance(peer.fault, HandshakeError)
    assert text in str(peer.fault)
    assert peer.fault.code == code
    assert peer.messages == []
    assert len(peer.events) == before + 1, "only the fault"
    (frame,) = frames(peer.take())
    assert isinstance(frame, Control)
    assert Close.decode(frame.body).code == code


@pytest.mark.parametrize("client", [True, False])
def test_an_introduction_without_the_magic_gets_no_answer(client: bool) -> None:
    """It may be a chance bit pattern of a peer that would take CLOSE for a length."""
    peer = plain(client=client, extended=client)
    peer.take()
    peer.read(control.frame(Opcode.WELCOME if client else Opcode.HELLO, b"sealfrom\x01"))
    assert "the magic is missing" in str(peer.fault)
    assert peer.take() == b""


@pytest.mark.parametrize("client", [True, False])
@pytest.mark.parametrize(
    ("body", "code"),
    [(b"sealfrom\x02", CloseCode.PROTOCOL), (b"sealfram\x02", CloseCode.VERSION)],
)
def test_inside_the_seal_each_bad_introduction_is_answered(
    body: bytes, code: CloseCode, client: bool
) -> None:
    """Without the magic no byte of it is a version."""
    ends = handshaken()
    peer, other = ends if client else ends[::-1]
    if client:
        # Its HELLO, which reveal() is not to find.
        reveal(peer, other)
    inject(peer, other, control.frame(Opcode.WELCOME if client else Opcode.HELLO, body))
    (frame,) = reveal(peer, other)
    assert isinstance(frame, Control)
    assert Close.decode(frame.body).code == code


def test_a_hello_of_512_bytes_is_welcome() -> None:
    server = plain(client=False)
    server.read(control.frame(Opcode.HELLO, b"sealfram\x01" + tlv(6, bytes(499))))
    assert opcodes(server.take()) == [Opcode.WELCOME]


def test_close_instead_of_welcome_is_a_refusal() -> None:
    """With its code and reason, and without an answer."""
    client = plain(client=True, extended=True)
    client.take()
    client.read(control.frame(Opcode.CLOSE, Close(CloseCode.BUSY, "full").encode()))
    assert isinstance(client.fault, HandshakeError)
    assert (client.fault.code, client.fault.reason) == (CloseCode.BUSY, "full")
    assert "the server refused the connection (BUSY: full)" in str(client.fault)
    assert client.take() == b""


def test_outside_the_seal_nobody_says_that_a_key_is_not_authorised() -> None:
    """A client without a key has none: whoever is on the way may have said so."""
    client = plain(client=True, extended=True)
    client.read(control.frame(Opcode.CLOSE, Close(CloseCode.UNAUTHORIZED, "no").encode()))
    assert type(client.fault) is HandshakeError
    assert (client.fault.code, client.fault.reason) == (CloseCode.UNAUTHORIZED, "no")
    assert "the server refused the connection (UNAUTHORIZED: no)" in str(client.fault)


@pytest.mark.parametrize("data", [b"", WELCOME[:7], message(b"early")[:-1]])
def test_the_end_before_welcome_is_no_proper_close(data: bytes) -> None:
    client = plain(client=True, extended=True)
    client.read(data)
    client.end()
    assert isinstance(client.fault, HandshakeError)


def test_the_end_after_messages_and_before_welcome_is_that_of_packets() -> None:
    """The server had closed before it read HELLO: what it had sent is not lost."""
    client = plain(client=True, extended=True)
    client.read(message(b"early"))
    client.end()
    assert client.events == [Established(Hello()), Ended(None, unanswered=True)]
    assert client.messages == [b"early"]


@pytest.mark.parametrize("lost", [False, True])
def test_a_cut_after_messages_and_before_welcome_is_that_of_packets(lost: bool) -> None:
    client = plain(client=True, extended=True)
    client.read(message(b"early") + message(b"cut")[:-1])
    if lost:
        client.protocol.receive_loss(ConnectionResetError("reset"))
        client.note()
    else:
        client.end()
    assert client.established()
    assert isinstance(client.fault, TruncatedError)


def test_a_loss_before_welcome_is_a_handshake_error() -> None:
    client = plain(client=True, extended=True)
    client.protocol.receive_loss(ConnectionResetError("reset"))
    client.note()
    assert isinstance(client.fault, HandshakeError)
    assert "lost during the handshake: reset" in str(client.fault)


def test_a_plain_peer_gets_no_control_frame_from_an_extended_client() -> None:
    """Closed before WELCOME, the client sends FIN only: HELLO was all."""
    client = plain(client=True, extended=True)
    client.take()
    assert not client.protocol.close(Close())
    assert client.take() == b""


# PING and PONG


def test_ping_brings_its_body_back(pair: Pair) -> None:
    for first, second in (pair, pair[::-1]):
        for body in (b"", b"\x00", b"12345678"):
            first.protocol.ping(body)
            exchange(first, second)
            assert first.events[-1] == Ponged(body)
            assert second.events_of(Ponged) == []
        first.events.clear()


def test_one_pong_is_pending_and_the_newest_wins(pair: Pair) -> None:
    """A peer that sends PINGs and reads nothing cannot make us queue answers."""
    client, server = pair
    inject(server, client, *(control.frame(Opcode.PING, bytes([n])) for n in range(200)))
    assert reveal(server, client) == [Control(Opcode.PONG, bytes([199]))]
    assert server.take() == b""


def test_a_ping_of_more_than_8_bytes_is_fatal(pair: Pair) -> None:
    client, server = pair
    inject(server, client, control.frame(Opcode.PING, b"12345678"))
    assert server.error is None
    inject(server, client, control.frame(Opcode.PING, b"123456789"))
    assert isinstance(server.fault, ProtocolError)
    assert answer(server, client).code == CloseCode.PROTOCOL


def test_a_pong_that_nobody_asked_for_is_harmless(pair: Pair) -> None:
    """Of a long one 8 bytes are kept."""
    client, server = pair
    inject(client, server, control.frame(Opcode.PONG, b"0123456789"))
    assert client.events[-1] == Ponged(b"01234567")
    assert client.error is None


def test_no_pong_goes_after_our_close(pair: Pair) -> None:
    """Neither for a PING that came before CLOSE was written, nor for a later one."""
    client, server = pair
    inject(server, client, control.frame(Opcode.PING, b"early"))
    assert server.protocol.close(Close())
    assert [frame.opcode for frame in reveal(server, client) if isinstance(frame, Control)] == [
        Opcode.PONG,
        Opcode.CLOSE,
    ]
    inject(server, client, control.frame(Opcode.PING, b"late"))
    assert server.take() == b""
    assert server.error is None


# Opcodes of later versions


def test_an_unknown_frame_is_answered_once_per_opcode(pair: Pair) -> None:
    """UNSUPPORTED(opcode, first 8 bytes), the first time only, for each opcode."""
    client, server = pair
    inject(server, client, control.frame(0x01, b"0123456789"), control.frame(0x01, b"again"))
    inject(server, client, control.frame(0x20, b"abc"), control.frame(0x00))
    assert reveal(server, client) == [
        Control(Opcode.UNSUPPORTED, b"\x0101234567"),
        Control(Opcode.UNSUPPORTED, b"\x20abc"),
        Control(Opcode.UNSUPPORTED, b"\x00"),
    ]
    inject(server, client, control.frame(0x01, b"0123456789"), control.frame(0x00))
    assert server.take() == b""
    assert server.error is None


def test_unsupported_is_never_answered(pair: Pair) -> None:
    """Not even one for an opcode that nobody sent, or with no body at all."""
    client, server = pair
    for body in (b"\x01", b"\x86", b"", bytes(5000)):
        inject(server, client, control.frame(Opcode.UNSUPPORTED, body))
    assert server.take() == b""
    assert server.error is None


def test_the_skip_bit_means_silence(pair: Pair) -> None:
    client, server = pair
    inject(server, client, *(control.frame(opcode) for opcode in (0x80, 0x8F, 0x8A, 0xA0, 0xBF)))
    inject(server, client, message(b"after"))
    assert server.take() == b""
    assert server.messages == [b"after"]


def test_an_ack_without_a_session_is_ignored(pair: Pair) -> None:
    """Whatever it says: its form is looked at where there is a session."""
    client, server = pair
    inject(server, client, control.ack(2**64 - 1), control.frame(Opcode.ACK, b"short"))
    inject(server, client, message(b"after"))
    assert server.take() == b""
    assert server.error is None
    assert server.messages == [b"after"]


@pytest.mark.parametrize("opcode", [0x40, 0x4B, 0x60, 0x7F, 0xC0, 0xFF])
def test_the_close_bit_means_the_end(pair: Pair, opcode: int) -> None:
    """Whatever other bits are set beside it."""
    client, server = pair
    inject(server, client, message(b"good"), control.frame(opcode))
    assert server.messages == [b"good"]
    assert f"{opcode:02x}" in str(server.fault) or Opcode(opcode).name in str(server.fault)
    assert answer(server, client).code == CloseCode.PROTOCOL


def test_the_body_of_an_unknown_frame_is_discarded_as_it_arrives() -> None:
    """The largest there can be leaves 8 bytes behind, and the frame after it is found."""
    client, server = PAIRS["extended"]()
    server.read(control.frame(0x0F, b"01234567" + bytes(65_527)) + message(b"after"), step=999)
    assert server.messages == [b"after"]
    assert reveal(server, client) == [Control(Opcode.UNSUPPORTED, b"\x0f01234567")]


def test_a_control_frame_over_65536_bytes_is_fatal() -> None:
    """From its head alone, whatever the opcode."""
    client, server = PAIRS["extended"]()
    server.read(message(b"good") + (65_537 | wire.CONTROL_BIT).to_bytes(4, "little"))
    assert server.messages == [b"good"]
    assert answer(server, client).code == CloseCode.TOO_LARGE


def test_an_empty_control_frame_is_fatal() -> None:
    client, server = PAIRS["extended"]()
    server.read(message(b"good") + b"\x00\x00\x00\x80")
    assert server.messages == [b"good"]
    assert answer(server, client).code == CloseCode.PROTOCOL


def test_messages_and_counted_frames_are_counted_and_nothing_else(pair: Pair) -> None:
    """Bit 5 of the opcode counts, understood or not; CLOSE reports the number."""
    client, server = pair
    counted = [0x20, 0x3F, 0xA0, 0xBF, 0x20]
    others = [0x00, 0x1F, 0x80, Opcode.PING, Opcode.PONG, Opcode.PAD, Opcode.UNSUPPORTED]
    inject(server, client, *(control.frame(opcode) for opcode in counted + others))
    inject(server, client, message(b""), message(b"x"))
    assert server.protocol.frames_received == len(counted) + 2
    reveal(server, client)
    server.protocol.close(Close(CloseCode.GOING_AWAY, "later"))
    assert reveal(server, client)[-1] == Control(
        Opcode.CLOSE, Close(CloseCode.GOING_AWAY, "later", len(counted) + 2).encode()
    )


def test_frames_of_streams_and_requests_are_counted() -> None:
    """Both ends come to the same number, which CLOSE reports; CREDIT has no part in it."""
    client, server = extended_pair(window=1000, max_streams=2, max_requests=2)
    ours, theirs = client.protocol.multiplexer, server.protocol.multiplexer
    client.protocol.give_credit(1)
    ours.cancel(ours.request(b"?"))
    ours.write(ours.open(0, b"", window=0), b"data")
    ours.end(0)
    exchange(client, server)
    assert server.protocol.frames_received == 5
    theirs.fail(0, wire.FailureCode.CANCELLED)
    theirs.update_window(0, 4)
    theirs.reset(0, 0, "")
    exchange(client, server)
    assert client.protocol.frames_received == 2


def test_the_fatal_frame_itself_is_counted_too() -> None:
    """0x60 must be understood, is not, and counts."""
    client, server = PAIRS["extended"]()
    server.read(message(b"1") + control.frame(0x60))
    assert answer(server, client).frames_received == 2


def test_padding_is_ignored(pair: Pair) -> None:
    client, server = pair
    inject(server, client, control.frame(Opcode.PAD, bytes(65_535)), control.frame(Opcode.PAD))
    assert (server.error, server.take(), server.protocol.frames_received) == (None, b"", 0)


# GOAWAY


def test_going_away_is_announced_and_everything_goes_on(pair: Pair) -> None:
    client, server = pair
    server.protocol.go_away(Close(CloseCode.GOING_AWAY, "restart"))
    server.send(b"one more")
    exchange(client, server)
    assert client.events[-1] == GoingAway(Close(CloseCode.GOING_AWAY, "restart"))
    assert client.messages == [b"one more"]
    client.send(b"and one back")
    exchange(client, server)
    assert server.messages == [b"and one back"]
    assert client.protocol.phase is Phase.EXTENDED


@pytest.mark.parametrize("opcode", [Opcode.GOAWAY, Opcode.CLOSE])
@pytest.mark.parametrize("body", [b"", b"\x00\x00\x05abc", bytes(3) + tlv(0x8063, b"")])
def test_a_malformed_goodbye_is_fatal(pair: Pair, opcode: Opcode, body: bytes) -> None:
    client, server = pair
    inject(client, server, control.frame(opcode, body))
    assert f"a {opcode.name} frame is malformed" in str(client.fault)
    assert answer(client, server).code == CloseCode.PROTOCOL


def twice(pair: Pair) -> Iterator[Pair]:
    """Yield the two ends in both roles."""
    yield pair
    yield pair[1], pair[0]


@pytest.mark.parametrize(
    "fault",
    [control.frame(0x40), WELCOME, control.frame(Opcode.PING, bytes(9)), b"\xff\xff\xff\x7f"],
    ids=["close bit", "introduction", "long ping", "too large"],
)
@pytest.mark.parametrize("name", ["extended", "sealed"])
def test_good_messages_of_the_same_read_come_before_the_fault(name: str, fault: bytes) -> None:
    """And none after it, though all came in one read, or in one record."""
    make: Callable[[], Pair] = PAIRS[name]
    for turn in (0, 1):
        peer, other = list(twice(make()))[turn]
        inject(peer, other, message(b"1") + message(b"2") + fault + message(b"3"))
        assert peer.messages == [b"1", b"2"]
        assert peer.protocol.phase is Phase.FAILED
        assert answer(peer, other).frames_received == 2
