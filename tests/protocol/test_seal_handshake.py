"""The handshake of a sealed connection: who says what when, and what may not be there."""

from __future__ import annotations

import pytest

from sealframe import control, wire
from sealframe.cipher import public_key
from sealframe.errors import ConnectionClosedOK, HandshakeError
from sealframe.events import Established
from sealframe.wire import Control, Opcode, Pattern

from .peers import (
    CONTEXT,
    HELLO,
    check_failed,
    ephemerals,
    exchange,
    first_message,
    frames,
    message,
    sealed,
)

pytestmark = pytest.mark.usefixtures("twin")

REFUSED = bytes.fromhex("0400008044050000")

PREAMBLE = b"sealfram\x01\x01"


# Success


@pytest.mark.parametrize("step", [1, 7, None])
@pytest.mark.parametrize("context", [b"", CONTEXT, bytes(65_535)])
def test_two_ends_with_one_key_and_context(step: int | None, context: bytes) -> None:
    """HANDSHAKE 58 and 48 bytes of body, then HELLO and WELCOME inside; same hash at both
    ends, another one each time; then messages both ways."""
    bindings: set[bytes] = set()
    for _ in range(2):
        client = sealed(client=True, context=context)
        server = sealed(client=False, context=context)
        (first,) = frames(hello := client.take())
        assert isinstance(first, Control)
        assert first.opcode == Opcode.HANDSHAKE
        assert first.body[:10] == PREAMBLE
        assert len(first.body) == 58
        server.read(hello, step=step)
        (second,) = frames(answer := server.take())
        assert isinstance(second, Control)
        assert (second.opcode, len(second.body)) == (Opcode.HANDSHAKE, 48)
        client.read(answer, step=step)
        assert not client.established()
        assert not server.established()
        exchange(client, server, step=step)
        assert client.established()
        assert server.established()
        client.send(b"up")
        server.send(b"down")
        exchange(client, server, step=step)
        assert (server.messages, client.messages) == ([b"up"], [b"down"])
        assert client.protocol.channel_binding == server.protocol.channel_binding
        bindings.add(client.protocol.channel_binding)
    assert len(bindings) == 2


def test_the_server_lists_no_one_before_hello() -> None:
    """The key is confirmed by the first record: until then there is no event at all."""
    client, server = sealed(client=True), sealed(client=False)
    server.read(client.take())
    client.read(server.take())
    assert server.events == client.events == []
    server.read(client.take())
    assert len(server.events_of(Established)) == 1
    assert client.events == []
    client.read(server.take())
    assert len(client.events_of(Established)) == 1


def test_the_server_says_nothing_between_message_2_and_welcome() -> None:
    server, client = sealed(client=False), sealed(client=True)
    server.read(client.take())
    client.read(server.take())
    assert server.take() == b""
    assert client.take() != b""
    assert client.take() == b"", "after HELLO the client waits for WELCOME"


def test_a_replayed_message_1_leads_nowhere() -> None:
    """The server's answer differs, and the old first record does not open under new keys."""
    client, server = sealed(client=True), sealed(client=False)
    opening = client.take()
    server.read(opening)
    client.read(server.take())
    record = client.take()
    again = sealed(client=False)
    again.read(opening)
    assert len(again.take()) == 4 + 1 + 48
    again.read(record)
    assert not again.established()
    assert again.take() == b""
    assert isinstance(again.fault, HandshakeError)


def test_the_selfie_attack_is_stopped_by_the_context() -> None:
    """A client's own first frame, turned round to its own listener of another name."""
    client = sealed(client=True, context=b"a")
    own_listener = sealed(client=False, context=b"b")
    own_listener.read(client.take())
    check_failed(own_listener, REFUSED)


# The end, early or late


@pytest.mark.parametrize("client", [True, False])
def test_the_end_before_the_first_byte(client: bool) -> None:
    peer = sealed(client=client)
    peer.take()
    peer.end()
    who = "the server" if client else "the client"
    assert f"{who} closed during the handshake" in str(peer.fault)
    assert not isinstance(peer.fault, ConnectionClosedOK)
    check_failed(peer, b"")


@pytest.mark.parametrize("lost", [False, True])
def test_the_end_anywhere_in_the_introductions(lost: bool) -> None:
    """At every byte up to the end of WELCOME it is a failed handshake, at both ends."""
    client, server = sealed(client=True), sealed(client=False)
    server.read(to_server := client.take())
    client.read(to_client := server.take())
    with_hello = len(to_server) + len(client.take())
    for cut in range(1, with_hello):
        client, server = sealed(client=True), sealed(client=False)
        stream = client.take()
        server.read(stream[:cut])
        client.read(server.take())
        server.read(client.take()[: max(cut - len(stream), 0)])
        if lost:
            server.protocol.receive_loss(None)
            server.note()
        else:
            server.end()
        assert isinstance(server.fault, HandshakeError)
        assert not server.established()
    for cut in range(len(to_client)):
        client, server = sealed(client=True), sealed(client=False)
        server.read(client.take())
        client.read(server.take()[:cut])
        client.end()
        assert isinstance(client.fault, HandshakeError)


def test_the_end_after_the_handshake_and_before_welcome() -> None:
    client, server = sealed(client=True), sealed(client=False)
    server.read(client.take())
    client.read(server.take())
    client.take()
    client.end()
    assert "the peer closed during the handshake" in str(client.fault)


# Bytes that do not belong


def test_nothing_may_stand_before_or_between_handshake_frames() -> None:
    for extra in (control.frame(Opcode.PAD), message(b""), control.frame(Opcode.PING)):
        server = sealed(client=False)
        server.read(extra + first_message())
        check_failed(server, b"")
        client, server = sealed(client=True), sealed(client=False)
        server.read(client.take())
        client.read(extra + server.take())
        check_failed(client, b"")


@pytest.mark.parametrize("step", [1, None])
def test_what_follows_message_1_is_taken_for_a_record(step: int | None) -> None:
    """A second HANDSHAKE, an open frame or noise there is fatal, after our message 2."""
    for extra in (first_message(), control.frame(Opcode.PAD), message(bytes(100)), HELLO):
        server = sealed(client=False)
        server.read(first_message() + extra, step=step)
        assert isinstance(server.fault, HandshakeError)
        (answer,) = frames(server.take())
        assert isinstance(answer, Control)
        assert (answer.opcode, len(answer.body)) == (Opcode.HANDSHAKE, 48)
        assert not server.established()
        assert server.events == server.events[-1:]


def test_what_follows_message_2_is_taken_for_a_record() -> None:
    """A forged plaintext CLOSE right behind message 2 does not count as one."""
    for extra in (REFUSED, message(bytes(100)), control.frame(Opcode.PAD)):
        client, server = sealed(client=True), sealed(client=False)
        server.read(client.take())
        client.read(server.take() + extra)
        assert client.error is not None
        assert client.fault.code is None
        assert client.take() == b"", "not even HELLO"


@pytest.mark.parametrize("declared", [48, 200, 500, 1000, 1024, 60_000, 2**31 - 1])
@pytest.mark.parametrize("control_bit", [0, wire.CONTROL_BIT])
@pytest.mark.parametrize("after_message_1", [False, True])
def test_at_most_1_kib_is_held_before_the_key_is_proved(
    after_message_1: bool, control_bit: int, declared: int
) -> None:
    """Whatever a head declares, byte by byte or in large reads: what is kept is never more
    than 1,024 bytes, and the connection fails rather than keep more."""
    for step in (1, 700, 100_000):
        server = sealed(client=False)
        seal = server.protocol._seal
        assert seal is not None
        if after_message_1:
            server.read(first_message())
        rest = (declared | control_bit).to_bytes(4, "little") + b"A" + b"sealfram\x01\x01"
        rest += bytes(4000)
        while rest and server.error is None:
            if not after_message_1:
                assert len(server.protocol.get_buffer()) <= 1024
            server.read(rest[:step], step=step)
            rest = rest[step:]
            assert seal.pending <= 1024
        assert server.error is not None


# Frozen


def test_a_whole_handshake_is_frozen() -> None:
    """Fixed ephemeral keys give these bytes for ever, whatever happens to the code."""
    with ephemerals(bytes(range(97, 129)), bytes(range(129, 161))):
        client, server = sealed(client=True), sealed(client=False)
        first = client.take()
        server.read(first)
        second = server.take()
        client.read(second)
    assert first[:15].hex() == "3b000080" + "41" + PREAMBLE.hex()
    assert first[15:47] == public_key(bytes(range(97, 129)))
    assert second[:5].hex() == "31000080" + "41"
    assert second[5:37] == public_key(bytes(range(129, 161)))
    assert PREAMBLE[9] == Pattern.NNPSK0
