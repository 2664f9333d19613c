"""What may arrive when: every phase of a connection against every kind of frame.

``ALLOWED`` is written from the specification and not from the code's own table. What
is not in a phase's row must be fatal there, with the reply that ``REPLIES`` gives.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sealframe import wire
from sealframe.core.events import Failed, Phase
from sealframe.core.rules import RULES
from sealframe.errors import HandshakeError, ProtocolError
from sealframe.wire import CloseCode, Opcode, control
from sealframe.wire.control import Close, Hello

from .peers import (
    CLOSE,
    Announced,
    Peer,
    exchange,
    extended_pair,
    inject,
    message,
    plain,
    reveal,
    sealed,
    sealed_pair,
)

pytestmark = pytest.mark.usefixtures("backend")

MESSAGE = -1
FIRST, SECOND = ((number).to_bytes(8, "little") for number in range(2))
"""The numbers of the first request of each end and of the client's first stream; of the next."""
LIMITS: Announced = {"max_streams": 2, "max_requests": 2}

BODIES = {
    Opcode.HANDSHAKE: b"sealfram\x01\x01" + bytes(48),
    Opcode.HELLO: Hello().encode(),
    Opcode.WELCOME: Hello().encode(),
    Opcode.CLOSE: Close().encode(),
    Opcode.GOAWAY: Close(CloseCode.GOING_AWAY, "soon").encode(),
    Opcode.UNSUPPORTED: b"\x01body",
    Opcode.PING: b"12345678",
    Opcode.PONG: b"12345678",
    Opcode.PAD: bytes(100),
    Opcode.ACK: bytes(8),
    Opcode.CREDIT: (1).to_bytes(4, "little"),
    Opcode.REQUEST: SECOND + b"?",
    Opcode.REPLY: FIRST + b"!",
    Opcode.FAILURE: FIRST + b"\x00\x05Oopsy",
    Opcode.CANCEL: FIRST,
    # The client's first stream is open; both ends open another where they may.
    Opcode.STREAM_OPEN: b"",
    Opcode.STREAM_DATA: FIRST + b"data",
    Opcode.STREAM_CREDIT: FIRST + (1).to_bytes(4, "little"),
    Opcode.STREAM_END: FIRST,
    Opcode.STREAM_RESET: FIRST + b"\x00\x00",
}
"""A well-formed body for each opcode that this version knows, where :func:`busy` has been."""

UNKNOWN = sorted(set(range(256)) - set(BODIES))
"""All other opcodes: unassigned ones, and those that a later version will use."""
TOLERATED = {opcode for opcode in UNKNOWN if not opcode & 0x40}
"""Of these, the ones that one who does not know them survives."""


def build(kind: int, *, victim: Peer | None = None) -> bytes:
    if kind == MESSAGE:
        return message(b"payload")
    if kind == Opcode.STREAM_OPEN:
        number = 2 if victim is None or not victim.protocol.client else 1
        return control.frame(kind, number.to_bytes(8, "little") + bytes(5))
    return control.frame(kind, BODIES.get(Opcode(kind), b"body") if kind in BODIES else b"body")


def first() -> tuple[Peer, Peer]:
    return plain(client=False), plain(client=True)


def packets_server() -> tuple[Peer, Peer]:
    server, client = first()
    server.read(message(b"first"))
    return server, client


def packets_client() -> tuple[Peer, Peer]:
    return plain(client=True), plain(client=False)


def welcome() -> tuple[Peer, Peer]:
    client = plain(client=True, extended=True)
    client.take()
    return client, plain(client=False)


def busy(client: Peer, server: Peer) -> tuple[Peer, Peer]:
    """Let both ends ask for something, and the client open a stream."""
    client.protocol.multiplexer.open(0, b"", window=1000)
    client.protocol.multiplexer.request(b"?")
    server.protocol.multiplexer.request(b"?")
    exchange(client, server)
    return client, server


def extended_client() -> tuple[Peer, Peer]:
    return busy(*extended_pair(**LIMITS))


def extended_server() -> tuple[Peer, Peer]:
    client, server = extended_client()
    return server, client


def sealed_client() -> tuple[Peer, Peer]:
    return busy(*sealed_pair(**LIMITS))


def sealed_server() -> tuple[Peer, Peer]:
    client, server = sealed_client()
    return server, client


def handshaken() -> tuple[Peer, Peer]:
    """Return a sealed client and server whose handshake is over, and who said nothing yet."""
    client, server = sealed(client=True), sealed(client=False)
    server.read(client.take())
    client.read(server.take())
    return client, server


def sealed_hello() -> tuple[Peer, Peer]:
    client, server = handshaken()
    return server, client


def sealed_welcome() -> tuple[Peer, Peer]:
    client, server = handshaken()
    # Its HELLO goes no further: the server says WELCOME, or something else, by itself.
    reveal(client, server)
    return client, server


def ended() -> tuple[Peer, Peer]:
    client, server = extended_pair()
    client.read(CLOSE)
    return client, server


def sealed_ended() -> tuple[Peer, Peer]:
    client, server = sealed_pair()
    inject(client, server, CLOSE)
    return client, server


STARTS: dict[str, tuple[Callable[[], tuple[Peer, Peer]], Phase]] = {
    "first": (first, Phase.FIRST),
    "packets server": (packets_server, Phase.PACKETS),
    "packets client": (packets_client, Phase.PACKETS),
    "welcome": (welcome, Phase.WELCOME),
    "extended client": (extended_client, Phase.EXTENDED),
    "extended server": (extended_server, Phase.EXTENDED),
    "sealed client": (sealed_client, Phase.EXTENDED),
    "sealed server": (sealed_server, Phase.EXTENDED),
    "sealed hello": (sealed_hello, Phase.SEALED_HELLO),
    "sealed welcome": (sealed_welcome, Phase.SEALED_WELCOME),
    "ended": (ended, Phase.ENDED),
    "sealed ended": (sealed_ended, Phase.ENDED),
}

ALLOWED: dict[Phase, set[int]] = {
    Phase.FIRST: {MESSAGE, Opcode.HELLO},
    Phase.PACKETS: {MESSAGE},
    # The server may have sent messages before it read HELLO.
    Phase.WELCOME: {MESSAGE, Opcode.WELCOME},
    Phase.SEALED_HELLO: {Opcode.HELLO},
    Phase.SEALED_WELCOME: {Opcode.WELCOME},
    Phase.EXTENDED: {
        *(MESSAGE, Opcode.CLOSE, Opcode.GOAWAY, Opcode.UNSUPPORTED, Opcode.PING),
        *(Opcode.PONG, Opcode.PAD, Opcode.ACK, Opcode.CREDIT),
        *(Opcode.REQUEST, Opcode.REPLY, Opcode.FAILURE, Opcode.CANCEL, Opcode.STREAM_OPEN),
        *(Opcode.STREAM_DATA, Opcode.STREAM_CREDIT, Opcode.STREAM_END, Opcode.STREAM_RESET),
        *TOLERATED,
    },
    Phase.ENDED: set(),
}

REPLIES: dict[Phase, CloseCode | None] = {
    # Who may know only packets gets no control frame; a holder of the key reads them.
    Phase.FIRST: None,
    Phase.PACKETS: None,
    Phase.WELCOME: None,
    Phase.SEALED_HELLO: CloseCode.PROTOCOL,
    Phase.SEALED_WELCOME: CloseCode.PROTOCOL,
    Phase.EXTENDED: CloseCode.PROTOCOL,
    Phase.ENDED: CloseCode.PROTOCOL,
}

INTRODUCING = {Phase.WELCOME, Phase.SEALED_HELLO, Phase.SEALED_WELCOME}


@pytest.mark.parametrize("name", STARTS)
def test_every_kind_of_frame_is_allowed_or_fatal_as_specified(name: str) -> None:
    """For each of 256 opcodes and for messages: either the connection lives on, or it
    fails once, with the right kind of error, and answers with CLOSE(PROTOCOL) or nothing."""
    start, phase = STARTS[name]
    for kind in (MESSAGE, *range(256)):
        peer, other = start()
        assert peer.protocol.phase is phase
        peer.take()
        peer.messages.clear()
        inject(peer, other, build(kind, victim=peer))
        what = f"{kind:#04x} in {phase}"
        if kind in ALLOWED[phase]:
            assert peer.error is None, what
            assert peer.protocol.phase is not Phase.FAILED, what
            assert peer.messages == ([b"payload"] if kind == MESSAGE else []), what
            continue
        assert peer.protocol.phase is Phase.FAILED, what
        assert peer.messages == [], what
        assert isinstance(peer.events[-1], Failed), what
        if (phase, kind) == (Phase.FIRST, Opcode.HANDSHAKE):
            assert peer.take() == control.frame(Opcode.CLOSE, Close(CloseCode.PLAIN).encode())
            assert isinstance(peer.fault, HandshakeError)
            continue
        refused = kind == Opcode.CLOSE and phase in (Phase.WELCOME, Phase.SEALED_WELCOME)
        kind_of_error = HandshakeError if phase in INTRODUCING else ProtocolError
        assert isinstance(peer.fault, kind_of_error), what
        assert peer.fault.code == (CloseCode.NORMAL if refused else CloseCode.PROTOCOL), what
        reply = None if refused else REPLIES[phase]
        if reply is None:
            assert peer.take() == b"", what
        else:
            (answer,) = reveal(peer, other)
            assert isinstance(answer, wire.Control), what
            assert answer.opcode == Opcode.CLOSE, what
            assert Close.decode(answer.body).code == reply, what


@pytest.mark.parametrize("name", STARTS)
def test_a_failed_connection_takes_nothing_in_any_more(name: str) -> None:
    """After the fault whatever comes is discarded: no message, no event, no answer."""
    start, _ = STARTS[name]
    peer, other = start()
    inject(peer, other, control.frame(0x40), control.frame(0x40))
    before = len(peer.events)
    peer.take()
    peer.messages.clear()
    for kind in (MESSAGE, Opcode.HELLO, Opcode.PING, Opcode.CLOSE, 0x40, 0x00):
        inject(peer, other, build(kind))
    peer.read(b"\xff" * 300_000)
    peer.end()
    peer.protocol.receive_loss(ConnectionResetError("reset"))
    peer.note()
    assert peer.protocol.phase is Phase.FAILED
    assert (peer.messages, peer.events[before:], peer.take()) == ([], [], b"")


def test_the_table_in_the_code_has_a_row_for_every_phase() -> None:
    """And no row holds an opcode that this version does not know."""
    assert set(RULES) == set(Phase)
    # In JOINING no frame is looked at: it is held (test_sessions.py).
    apart = {Phase.SEALING, Phase.JOINING, Phase.FAILED}
    assert {STARTS[name][1] for name in STARTS} | apart == set(Phase)
    for row in RULES.values():
        assert {kind for kind in row if kind >= 0} <= wire.KNOWN_OPCODES
    assert set(BODIES) == wire.KNOWN_OPCODES


@pytest.mark.parametrize("pair", [extended_pair, sealed_pair])
def test_no_second_introduction(pair: Callable[[], tuple[Peer, Peer]]) -> None:
    """HELLO or WELCOME, a second time or in the wrong direction, ends the connection."""
    for opcode in (Opcode.HELLO, Opcode.WELCOME):
        for turned in (False, True):
            peer, other = reversed(pair()) if turned else pair()
            inject(peer, other, build(opcode))
            assert f"a {opcode.name} frame is not allowed here" in str(peer.fault)


def test_a_hello_after_the_first_message_comes_too_late() -> None:
    """HELLO is allowed as the first frame only, however the bytes are grouped."""
    for joined in (True, False):
        server = plain(client=False)
        data = (message(b"first"), build(Opcode.HELLO), message(b"second"))
        for piece in (b"".join(data),) if joined else data:
            server.read(piece)
        assert server.messages == [b"first"]
        assert "a HELLO frame is not allowed here" in str(server.fault)
        assert server.take() == b""


def test_a_hello_is_still_first_when_we_spoke_before() -> None:
    """The server may have sent messages already: they say nothing of what the client is."""
    server, client = plain(client=False), plain(client=True, extended=True)
    server.send(b"early", b"bird")
    exchange(client, server)
    assert client.messages == [b"early", b"bird"]
    assert client.protocol.phase is server.protocol.phase is Phase.EXTENDED
