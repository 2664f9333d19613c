"""Links of sessions: what waits until one has joined, and what each link begins and ends with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sealframe import wire
from sealframe.core import joining
from sealframe.core.events import (
    Acknowledged,
    Ended,
    Established,
    Failed,
    Joining,
    Phase,
    Ponged,
    Replied,
    Requested,
    StreamData,
)
from sealframe.core.protocol import ProtocolMachine
from sealframe.errors import (
    ConnectionClosedError,
    HandshakeError,
    ProtocolError,
    TruncatedError,
    UnauthorizedError,
)
from sealframe.trust.peer import unknown_client
from sealframe.wire import CloseCode, Control, Opcode, Pattern, control
from sealframe.wire.control import Close, Hello, SessionWelcome

from .peers import (
    MAXIMUM,
    Peer,
    exchange,
    frames,
    inject,
    message,
    opcodes,
    plain,
    reveal,
    sealed,
    shake_hands,
)
from .session_ends import (
    BEGINS,
    HELLO,
    LIMIT,
    TOKEN,
    Pair,
    ask,
    begin,
    counts,
    cut_off,
    hello_of,
    machine,
    named,
    release,
    resume,
    resume_server,
    session,
)

pytestmark = pytest.mark.usefixtures("backend")

WAYS = {"plain": None, "sealed": Pattern.NNPSK0}


@pytest.fixture(params=list(WAYS))
def seal(request: pytest.FixtureRequest) -> Pattern | None:
    """How the links are."""
    return WAYS[request.param]


def close_of(frame: bytes | Control) -> Close:
    assert isinstance(frame, Control)
    assert frame.opcode == Opcode.CLOSE
    return Close.decode(frame.body)


def ack(number: int) -> bytes:
    return control.ack(number)


# Beginning


def test_a_session_begins(seal: Pattern | None) -> None:
    """The server answers nothing before it has joined, the client sends nothing."""
    client, server = ask(seal)
    assert len(server.events_of(Joining)) == 1
    assert not server.established()
    assert server.take() == b""
    joining.join(server.protocol, session(), welcome=BEGINS)
    release(server)
    assert server.established()
    client.read(server.take())
    assert SessionWelcome.decode(named(client).session) == BEGINS
    assert not client.established()
    joining.join(client.protocol, session())
    release(client)
    assert client.established()
    client.send(b"ping")
    server.send(b"pong")
    exchange(client, server)
    assert (client.messages, server.messages) == ([b"pong"], [b"ping"])
    for end in client, server:
        assert end.protocol.phase is Phase.EXTENDED
        assert end.protocol.frames_received == 1
        assert counts(end).retention.given == 1


def test_a_server_without_sessions_is_none_for_one() -> None:
    client = Peer(machine(client=True, seal=None, session=HELLO.encode()))
    server = plain(client=False)
    server.read(client.take())
    client.read(server.take())
    assert isinstance(client.fault, HandshakeError)
    assert "keeps no sessions" in str(client.fault)
    (frame,) = frames(client.take())
    assert close_of(frame).code == CloseCode.NORMAL


def test_a_client_without_a_session_gets_none() -> None:
    client, server = plain(client=True, extended=True), Peer(machine(client=False, seal=None))
    exchange(client, server)
    assert server.established()
    assert server.events_of(Joining) == []
    assert client.events_of(Established)[0].hello.session == b""


def test_a_server_with_sessions_waits_for_the_first_frame() -> None:
    """A session that comes back is taken for no new client; packets are told by a message."""
    server = Peer(machine(client=False, seal=None))
    assert not server.established()
    server.read(message(b"one"))
    assert server.established()
    assert server.messages == [b"one"]
    assert server.protocol.phase is Phase.PACKETS


def test_messages_before_welcome_are_of_no_session() -> None:
    """A server may send such before it has read HELLO: they are discarded, and not counted."""
    client, server = ask(None)
    client.read(message(b"too early"))
    joining.join(server.protocol, session(), welcome=BEGINS)
    release(server)
    server.send(b"first")
    client.read(bytes(server.output))
    joining.join(client.protocol, session())
    release(client)
    assert client.messages == [b"first"]
    assert client.protocol.frames_received == 1


def test_a_server_that_ends_before_welcome_is_none_of_packets() -> None:
    client, _ = ask(None)
    client.read(message(b"too early"))
    client.end()
    assert isinstance(client.fault, HandshakeError)
    assert client.messages == []


# What comes in the same read as HELLO or WELCOME


def test_what_comes_behind_hello_waits() -> None:
    """Frames and their order, and what is cut short among them. (A sealed client sends nothing
    before WELCOME.)"""
    client, server = hello_to_come()
    request = control.frame(Opcode.REQUEST, bytes(8) + b"?")
    cut = message(b"cut short")
    server.read(client.take() + message(b"one") + request + message(b"two") + cut[:6])
    assert server.protocol.phase is Phase.JOINING
    assert server.messages == []
    assert server.protocol.frames_received == 0
    joining.join(server.protocol, session(), welcome=BEGINS)
    server.note()
    assert server.messages == []
    release(server)
    assert server.messages == [b"one", b"two"]
    assert [event.payload for event in server.events_of(Requested)] == [b"?"]
    assert server.protocol.frames_received == 3
    server.read(cut[6:])
    assert server.messages[2:] == [b"cut short"]
    assert server.protocol.frames_received == 4


def hello_to_come() -> Pair:
    """Return a plain client that has its HELLO to write, and the server."""
    client = Peer(machine(client=True, seal=None, session=HELLO.encode()))
    return Pair(client, Peer(machine(client=False, seal=None)))


def test_what_comes_behind_welcome_waits(seal: Pattern | None) -> None:
    """All that the server wrote with WELCOME, its CLOSE too."""
    client, server = ask(seal)
    joining.join(server.protocol, session(), welcome=BEGINS)
    release(server)
    server.send(b"one", b"two")
    server.protocol.close(Close(CloseCode.KICKED))
    client.read(server.take())
    assert (client.messages, client.events_of(Ended)) == ([], [])
    joining.join(client.protocol, session())
    release(client)
    assert client.messages == [b"one", b"two"]
    close = client.close
    assert close is not None
    assert close.code == CloseCode.KICKED
    assert client.protocol.phase is Phase.ENDED


def test_much_may_come_behind_welcome() -> None:
    """All that one read holds: small messages cost more than they have bytes."""
    client, server = ask(None)
    joining.join(server.protocol, session(), welcome=BEGINS)
    release(server)
    server.send(*[b""] * 20_000)
    client.read(server.take())
    assert client.error is None
    joining.join(client.protocol, session())
    release(client)
    assert len(client.messages) == client.protocol.frames_received == 20_000


faults = pytest.mark.parametrize(
    ("wrong", "code", "text"),
    [
        (message(bytes(MAXIMUM + 1))[:9], CloseCode.TOO_LARGE, "is over the limit"),
        (b"\x00\x00\x00\x80", CloseCode.PROTOCOL, "control frame"),
        (control.frame(Opcode.HELLO), CloseCode.PROTOCOL, "HELLO"),
    ],
    ids=["too large", "no opcode", "out of place"],
)


@faults
def test_a_fault_behind_hello_waits_too(wrong: bytes, code: CloseCode, text: str) -> None:
    """It is a fault of the session: its messages come first, and CLOSE after WELCOME."""
    client, server = hello_to_come()
    server.read(client.take() + message(b"one") + wrong + message(b"never"))
    assert server.protocol.phase is Phase.JOINING
    assert server.error is None
    joining.join(server.protocol, session(), welcome=BEGINS)
    release(server)
    check_fault(server, client, code, text)


@faults
def test_a_fault_behind_welcome_waits_too(
    seal: Pattern | None, wrong: bytes, code: CloseCode, text: str
) -> None:
    """In a record of its own, too, and with more records behind it."""
    client, server = ask(seal)
    joining.join(server.protocol, session(), welcome=BEGINS)
    release(server)
    welcome, behind = server.take(), [message(b"one") + wrong, message(b"never")]
    records = server.protocol.records
    if records is not None:
        behind = [b"".join(records.seal(data)) for data in behind]
    client.read(welcome + b"".join(behind))
    assert client.error is None
    joining.join(client.protocol, session())
    release(client)
    check_fault(client, server, code, text)


def check_fault(victim: Peer, other: Peer, code: CloseCode, text: str) -> None:
    assert victim.messages == [b"one"]
    assert isinstance(victim.fault, ProtocolError)
    assert text in str(victim.fault)
    *_, last = reveal(victim, other)
    assert close_of(last).code == code


def test_a_fault_behind_a_hello_that_is_refused() -> None:
    """Nothing comes of it: CLOSE in place of WELCOME is the answer."""
    client, server = hello_to_come()
    server.read(client.take() + b"\x00\x00\x00\x80")
    refusal = HandshakeError("why", code=CloseCode.SUPERSEDED)
    joining.refuse(server.protocol, Close(CloseCode.SUPERSEDED), refusal)
    server.note()
    assert server.fault is refusal
    (frame,) = frames(server.take())
    assert close_of(frame).code == CloseCode.SUPERSEDED


def test_a_record_that_does_not_open_behind_welcome() -> None:
    """The link is at fault, and the session is as if WELCOME had not come either."""
    client, server = ask(Pattern.NNPSK0)
    joining.join(server.protocol, session(), welcome=BEGINS)
    client.read(server.take() + (20).to_bytes(4, "little") + bytes(20))
    assert [type(event) for event in client.events] == [Failed]
    assert client.protocol.phase is Phase.FAILED
    assert client.take() == b""


def test_a_link_that_ends_before_it_has_joined(seal: Pattern | None) -> None:
    for lose in (Peer.end, lambda peer: peer.protocol.receive_loss(None)):
        _, server = ask(seal)
        lose(server)
        server.note()
        assert isinstance(server.fault, HandshakeError)


# CLOSE in place of WELCOME


@pytest.mark.parametrize(
    "close", [Close(CloseCode.SESSION_LOST), Close(frames_received=4)], ids=["lost", "over"]
)
def test_a_refusal_is_as_long_as_welcome(seal: Pattern | None, close: Close) -> None:
    """So that nobody on the way sees which it was."""
    _, other = pair = ask(seal)
    joining.join(other.protocol, session(), welcome=BEGINS)
    welcome = other.take()
    client, server = pair = ask(seal)
    joining.refuse(server.protocol, close, HandshakeError("why", code=close.code))
    server.note()
    answer = server.take()
    assert len(answer) == len(welcome)
    client.read(answer)
    assert isinstance(client.fault, HandshakeError)
    assert client.fault.code == close.code
    assert client.protocol.refusal == close
    assert client.take() == b""
    assert pair.client.protocol.phase is Phase.FAILED


@pytest.mark.parametrize("asks", [False, True])
def test_unauthorized_is_as_long_as_welcome(asks: bool) -> None:
    """Of the WELCOME that this client would get: with field 4 if it asked for a session."""
    answers = []
    for refused in (False, True):
        field = HELLO.encode() if asks else b""
        client = Peer(machine(client=True, seal=Pattern.XK, session=field))
        server = Peer(machine(client=False, seal=Pattern.XK))
        if refused:
            server.protocol.introductions.identify = lambda key, _: unknown_client(key)
        shake_hands(client, server)
        server.read(client.take())
        if server.protocol.phase is Phase.JOINING:
            joining.join(server.protocol, session(), welcome=BEGINS)
        answers.append(server.take())
        if refused:
            client.read(answers[-1])
            assert isinstance(client.fault, UnauthorizedError)
    welcome, refusal = answers
    assert len(welcome) == len(refusal)


def test_a_hello_whose_session_is_malformed_is_answered(seal: Pattern | None) -> None:
    """The owner finds it; who says HELLO reads CLOSE."""
    client, server = ask(seal)
    server.protocol.fail_protocol("HELLO is malformed: why")
    server.note()
    assert isinstance(server.fault, ConnectionClosedError)
    client.read(server.take())
    assert client.fault.code == CloseCode.PROTOCOL


def test_what_is_refused_twice_is_refused_once() -> None:
    _, server = ask(None)
    for _ in range(2):
        joining.refuse(server.protocol, Close(CloseCode.SUPERSEDED), HandshakeError("why"))
    server.note()
    assert opcodes(server.take()) == [Opcode.CLOSE]
    assert isinstance(server.fault, HandshakeError)


# The next link


def write(peer: Peer) -> None:
    """Write messages, requests and a stream; none of it arrives."""
    peer.send(b"one", b"two")
    multiplexer = peer.protocol.multiplexer
    multiplexer.request(b"?")
    stream = multiplexer.open(0, b"name", window=50)
    peer.send()
    multiplexer.write(stream, b"data" * 30)
    multiplexer.end(stream)
    peer.send(b"three")


@pytest.mark.parametrize("arrived", [0, 12, 40, 10_000])
def test_what_did_not_arrive_comes_over_the_next_link(seal: Pattern | None, arrived: int) -> None:
    """Byte for byte, once, in order, and both ends agree on the counts; what is new comes after."""
    pair = client, server = begin(seal)
    write(client)
    server.read(bytes(client.output[:arrived]))
    before = server.messages
    client, server = resume(pair, seal)
    client.send()
    client.send(b"four")
    exchange(client, server)
    assert before + server.messages == [b"one", b"two", b"three", b"four"]
    events = pair.server.events + server.events
    assert [event.payload for event in events if isinstance(event, Requested)] == [b"?"]
    data = b"".join(event.data for event in events if isinstance(event, StreamData))
    assert data == b"data" * 30
    assert server.protocol.frames_received == counts(client).retention.given == 8
    server.protocol.acknowledge()
    exchange(client, server)
    assert counts(client).retention.cost == 0
    assert len(client.events_of(Acknowledged)) == 1
    server.protocol.multiplexer.reply(0, b"!")
    exchange(client, server)
    assert [event.payload for event in client.events_of(Replied)] == [b"!"]


def test_it_is_sent_again_byte_for_byte() -> None:
    pair = client, _ = begin(None)
    write(client)
    written = client.take()
    client, server = resume(pair, None)
    assert client.take() == written
    assert server.messages == []


@pytest.mark.parametrize("busy", [False, True])
def test_messages_are_kept_with_control_frames_and_without(busy: bool) -> None:
    """Frames of the link go before them, and are not kept."""
    client, server = begin(None)
    if busy:
        client.protocol.ping(b"p")
    client.send(b"one")
    exchange(client, server)
    assert server.messages == [b"one"]
    assert (counts(client).retention.given, server.protocol.frames_received) == (1, 1)


def test_what_is_sent_again_is_logged_as_what_it_is() -> None:
    """Messages by their size, and never what is in them."""
    first = begin(None)
    first.client.send(b"\xf0 not for the log")
    first.client.protocol.multiplexer.open(0, b"", window=1)
    first.client.take()
    pair = resume(first, None)
    lines: list[str] = []
    pair.client.protocol.trace = lambda text, *values: lines.append(text % values)
    pair.client.take()
    assert lines == ["> message, 17 bytes", "> STREAM_OPEN, 13 bytes, number 0"]


def test_what_is_sent_again_goes_before_anything_new() -> None:
    """Beside what is of the link: nothing else is taken meanwhile, and CLOSE waits."""
    pair = client, _ = begin(None)
    big = [bytes([n]) * 20_000 for n in range(3)]
    for part in big:
        client.send(part)
    client.take()
    client, _ = resume(pair, None)
    protocol = client.protocol
    protocol.multiplexer.request(b"new")
    assert protocol.has_output
    assert protocol.unsent
    protocol.ping(b"p")
    protocol.give_credit(5)
    written = b""
    for expected in ([Opcode.PING, Opcode.CREDIT, None], [None], [None], [Opcode.REQUEST]):
        data = b"".join(protocol.take_output([], 1000))
        assert opcodes(data) == expected
        written += data
    assert [frame for frame in frames(written) if isinstance(frame, bytes)] == big
    assert counts(client).retention.given == 4


def test_credit_takes_an_acknowledgement_along() -> None:
    """In one write, and only where there is something new to tell."""
    client, server = begin(None)
    client.send(b"one")
    server.read(client.take())
    for expected in ([Opcode.ACK, Opcode.CREDIT], [Opcode.CREDIT]):
        server.protocol.give_credit(5)
        data = server.take()
        assert opcodes(data) == expected
        client.read(data)
    assert counts(server).told == 1
    assert counts(client).retention.acknowledged == 1


def test_welcome_goes_before_what_is_sent_again(seal: Pattern | None) -> None:
    pair = client, server = begin(seal)
    server.send(b"one")
    server.output.clear()
    client, server = ask(seal, hello_of(client, 2))
    resume_server(pair.server, server, hello_of(pair.client, 2))
    server.protocol.ping(b"p")
    found = reveal(server, client)
    assert [frame.opcode if isinstance(frame, Control) else None for frame in found] == [
        Opcode.WELCOME,
        Opcode.PING,
        None,
    ]


def test_a_link_is_of_the_limits_with_which_the_session_began() -> None:
    """What a later HELLO says of them is ignored."""
    pair = client, server = begin(None)
    hello = hello_of(client, 2)
    late = Peer(
        ProtocolMachine(
            client=True,
            max_message_size=77,
            extended=True,
            window=5,
            max_streams=1,
            session=hello.encode(),
        )
    )
    server = Peer(machine(client=False, seal=None))
    server.read(late.take())
    resume_server(pair.server, server, hello)
    assert server.protocol.send_limit == MAXIMUM
    peer = server.protocol.introductions.peer
    assert peer == Hello(max_frame=MAXIMUM, window=1_000_000, max_streams=3, max_requests=3)
    assert server.events_of(Established) == []


def test_a_record_that_does_not_open_is_the_end_of_a_link_only() -> None:
    """Streams and requests go on over the next one."""
    pair = client, server = begin(Pattern.NNPSK0)
    client.protocol.multiplexer.request(b"?")
    data = bytearray(client.take())
    data[-1] ^= 1
    server.read(bytes(data))
    assert server.protocol.phase is Phase.FAILED
    assert not server.protocol.answers_fault
    assert server.take() == b""
    client, server = resume(pair, Pattern.NNPSK0)
    exchange(client, server)
    assert [event.payload for event in server.events_of(Requested)] == [b"?"]


def test_a_link_that_is_cut_is_no_end_of_the_session() -> None:
    pair = _, server = begin(None)
    server.end()
    assert isinstance(server.fault, TruncatedError)
    assert server.take() == b""
    client, server = resume(pair, None)
    client.send(b"one")
    exchange(client, server)
    assert server.messages == [b"one"]


def test_nothing_is_kept_at_the_bound_but_what_the_peer_waits_for() -> None:
    """Data of streams waits there; replies, credit and ends of streams do not."""
    client, server = begin(None, limit=300)
    mine = client.protocol.multiplexer
    ours, other = mine.open(0, b"", window=100), mine.open(0, b"", window=100)
    exchange(client, server)
    client.send(b"x" * 200)
    assert counts(client).room < 0
    client.take()
    mine.write(ours, b"data")
    mine.end(ours)
    mine.update_window(ours, 60)
    mine.end(other)
    assert opcodes(client.take()) == [Opcode.STREAM_CREDIT, Opcode.STREAM_END]
    assert client.take() == b""
    mine.reset(other, 1, "")
    mine.request(b"?")
    assert Opcode.REQUEST in opcodes(client.take())
    server.protocol.acknowledge()
    client.read(ack(counts(client).retention.given))
    assert opcodes(client.take()) == [Opcode.STREAM_DATA, Opcode.STREAM_END]


# Acknowledging


def test_an_acknowledgement_is_sent_once(seal: Pattern | None) -> None:
    client, server = begin(seal)
    client.send(b"one", b"two")
    exchange(client, server)
    for expected in ([Control(Opcode.ACK, (2).to_bytes(8, "little"))], []):
        server.protocol.acknowledge()
        assert reveal(server, client) == expected


def test_what_was_discarded_is_not_acknowledged(seal: Pattern | None) -> None:
    """Neither in ACK nor in CLOSE nor on the next link, though it was counted."""
    pair = client, server = begin(seal)
    client.send(b"one")
    exchange(client, server)
    server.protocol.acknowledge()
    client.send(b"two")
    exchange(client, server)
    server.protocol.note_discarded()
    server.protocol.acknowledge()
    exchange(client, server)
    assert counts(client).retention.acknowledged == 1
    server.protocol.close(Close())
    exchange(client, server)
    assert client.close == Close(frames_received=1)
    client, server = resume(pair, seal)
    assert counts(client).retention.acknowledged == 1
    assert server.protocol.frames_received == 2
    assert not counts(client).retention.resending


def test_what_is_discarded_without_a_session_is_counted() -> None:
    server = plain(client=False)
    server.protocol.note_discarded()
    assert server.protocol.session is None


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (bytes(7), "ACK"),
        (bytes(9), "ACK"),
        (b"", "ACK"),
        ((1).to_bytes(8, "little"), "it goes down from 2 to 1"),
        ((4).to_bytes(8, "little"), "frame 4 is acknowledged, and 3 were sent"),
        ((2**63).to_bytes(8, "little"), "3 were sent"),
        ((2**63 + 1).to_bytes(8, "little"), "is over 2^63"),
    ],
)
def test_acknowledgements_that_are_errors(seal: Pattern | None, body: bytes, text: str) -> None:
    client, server = begin(seal)
    client.send(b"one", b"two", b"three")
    exchange(client, server)
    inject(client, server, ack(2))
    assert client.error is None
    inject(client, server, control.frame(Opcode.ACK, body))
    assert isinstance(client.fault, ProtocolError)
    assert text in str(client.fault)
    assert client.protocol.answers_fault
    (frame,) = reveal(client, server)
    assert close_of(frame).code == CloseCode.PROTOCOL


def test_an_acknowledgement_of_what_the_link_has_not_got_yet() -> None:
    """It was given to an earlier link, and says more than can have arrived."""
    pair = client, server = begin(None)
    for part in (b"1" * 20_000, b"2" * 20_000):
        client.send(part)
    client.take()
    client, server = resume(pair, None)
    assert opcodes(b"".join(client.protocol.take_output([], 1))) == [None]
    inject(client, server, ack(1))
    assert client.error is None
    inject(client, server, ack(2))
    assert "frame 2 is acknowledged, and 1 were sent" in str(client.fault)


@pytest.mark.parametrize("opcode", [Opcode.ACK, Opcode.PONG])
def test_acknowledgements_and_answers_may_follow_close(opcode: Opcode) -> None:
    """In a session: an end whose direction is over still acknowledges the other's."""
    client, server = begin(None)
    client.send(b"one")
    exchange(client, server)
    server.protocol.close(Close())
    exchange(client, server)
    assert client.protocol.phase is Phase.ENDED
    body = bytes((1,)).ljust(8, b"\0")
    client.read(control.frame(opcode, body))
    assert client.error is None
    if opcode == Opcode.ACK:
        assert counts(client).retention.cost == 0
    else:
        assert client.events_of(Ponged) == [Ponged(body)]
    # And may be followed.
    client.read(control.frame(opcode, body))
    assert client.error is None


def test_an_end_acknowledges_after_its_close(seal: Pattern | None) -> None:
    client, server = begin(seal)
    server.protocol.close(Close())
    exchange(client, server)
    client.send(b"one")
    exchange(client, server)
    assert counts(client).retention.cost > 0
    server.protocol.acknowledge()
    exchange(client, server)
    assert server.messages == [b"one"]
    assert counts(client).retention.cost == 0


@pytest.mark.parametrize("frame", [message(b"m"), control.frame(Opcode.PING), ack(0)])
def test_nothing_else_follows_close(seal: Pattern | None, frame: bytes) -> None:
    """A wrong ACK does not either."""
    client, server = begin(seal)
    client.send(b"one")
    exchange(client, server)
    inject(client, server, ack(1))
    server.protocol.close(Close())
    exchange(client, server)
    inject(client, server, frame)
    assert isinstance(client.fault, ProtocolError)


@pytest.mark.parametrize("opcode", [Opcode.ACK, Opcode.PONG])
def test_without_a_session_nothing_follows_close(opcode: Opcode) -> None:
    """And before it an ACK is ignored, whatever it says."""
    client, server = plain(client=True, extended=True), plain(client=False)
    exchange(client, server)
    client.read(control.frame(Opcode.ACK, b"?"))
    assert client.error is None
    server.protocol.close(Close())
    exchange(client, server)
    client.read(control.frame(opcode, bytes(8)))
    assert isinstance(client.fault, ProtocolError)


def test_close_acknowledges_what_came(seal: Pattern | None) -> None:
    """Field 8 is the count of the session, over all links."""
    pair = client, server = begin(seal)
    client.send(b"one", b"two")
    exchange(client, server)
    client, server = resume(pair, seal)
    client.send(b"three")
    exchange(client, server)
    server.protocol.close(Close())
    exchange(client, server)
    assert client.close == Close(frames_received=3)


def test_counts_are_those_of_the_session() -> None:
    """A link that is cut off leaves its count to the next."""
    pair = client, server = begin(None)
    client.send(b"one", b"two")
    exchange(client, server)
    assert cut_off(server).received == 2
    assert hello_of(client, 2).token == TOKEN
    client, server = resume(pair, None)
    assert server.protocol.frames_received == 2
    client.send(b"three")
    exchange(client, server)
    assert cut_off(server).received == 3
    assert cut_off(server).limit == LIMIT


def test_frames_of_a_sealed_connection_are_kept_in_plaintext() -> None:
    """Each link has keys of its own."""
    pair = client, _ = begin(Pattern.NNPSK0)
    client.send(b"one")
    first = client.take()
    client, server = resume(pair, Pattern.NNPSK0)
    again = client.take()
    assert len(again) == len(first)
    assert again != first
    server.read(again)
    assert server.messages == [b"one"]


def test_the_ends_have_what_is_said(seal: Pattern | None) -> None:
    """What field 4 may not say is no session: its owner looks at it."""
    _, server = ask(seal, replace(HELLO, link=7))
    assert named(server).session == replace(HELLO, link=7).encode()
    assert len(named(server).session) == wire.SESSION_HELLO_SIZE
    assert sealed(client=True).protocol.joining is None
