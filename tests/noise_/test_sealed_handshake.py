"""The handshake of a sealed connection: who says what when, and what may not be there."""

from __future__ import annotations

import pytest
from core.peers import (
    CLIENT_KEY,
    CONTEXT,
    HELLO,
    NOISE_SIZES,
    SERVER_KEY,
    WITH_MESSAGE_3,
    WITH_PSK,
    check_failed,
    ephemerals,
    exchange,
    first_message,
    frames,
    handshaken,
    message,
    places,
    preamble,
    sealed,
)

from sealframe import wire
from sealframe.core.events import Established
from sealframe.errors import ConnectionClosedOK, HandshakeError
from sealframe.noise.cipher import public_key
from sealframe.trust.peer import Peer as Identity
from sealframe.wire import CloseCode, Control, Opcode, Pattern, control

pytestmark = pytest.mark.usefixtures("backend")

REFUSED = bytes.fromhex("0400008044050000")

PREAMBLE = b"sealfram\x01\x01"

LENGTHS = {pattern: [10 + sizes[0], *sizes[1:]] for pattern, sizes in NOISE_SIZES.items()}
"""Bytes in the body of each HANDSHAKE frame."""

every_pattern = pytest.mark.parametrize("pattern", list(Pattern), ids=lambda p: p.name)
with_message_3 = pytest.mark.parametrize(
    "pattern", WITH_MESSAGE_3, ids=lambda pattern: pattern.name
)


# Success


@every_pattern
@pytest.mark.parametrize("step", [1, 7, None])
@pytest.mark.parametrize("context", [b"", CONTEXT, bytes(65_535)])
def test_two_ends_with_fitting_keys_and_one_context(
    pattern: Pattern, step: int | None, context: bytes
) -> None:
    """HANDSHAKE frames of exact sizes, then HELLO and WELCOME inside; same hash at both
    ends, another one each time; then messages both ways."""
    bindings: set[bytes] = set()
    for _ in range(2):
        client = sealed(client=True, context=context, pattern=pattern)
        server = sealed(client=False, context=context, pattern=pattern)
        (first,) = frames(hello := client.take())
        assert isinstance(first, Control)
        assert first.opcode == Opcode.HANDSHAKE
        assert first.body[:10] == b"sealfram\x01" + bytes((pattern,))
        assert len(first.body) == LENGTHS[pattern][0]
        server.read(hello, step=step)
        (second,) = frames(answer := server.take())
        assert isinstance(second, Control)
        assert (second.opcode, len(second.body)) == (Opcode.HANDSHAKE, LENGTHS[pattern][1])
        client.read(answer, step=step)
        if len(LENGTHS[pattern]) == 3:
            layer = client.protocol.records
            assert layer is not None
            (third,) = frames(b"".join(layer.output))
            assert isinstance(third, Control)
            assert (third.opcode, len(third.body)) == (Opcode.HANDSHAKE, LENGTHS[pattern][2])
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


@every_pattern
def test_the_server_lists_no_one_before_hello(pattern: Pattern) -> None:
    """The key is confirmed by the first record: until then there is no event at all."""
    client, server = sealed(client=True, pattern=pattern), sealed(client=False, pattern=pattern)
    server.read(client.take())
    client.read(server.take())
    assert server.events == client.events == []
    server.read(client.take())
    assert len(server.events_of(Established)) == 1
    assert client.events == []
    client.read(server.take())
    assert len(client.events_of(Established)) == 1


@with_message_3
def test_the_server_lists_no_one_for_message_3(pattern: Pattern) -> None:
    """It proves the client's key; who it is, and what it can take, says HELLO."""
    client, server = handshaken(pattern)
    assert (server.events, server.protocol.peer) == ([], None)
    assert server.take() == b""
    server.read(client.take())
    assert server.protocol.peer == Identity("client", CLIENT_KEY.public_key)
    client.read(server.take())
    assert client.protocol.peer == Identity("server", SERVER_KEY.public_key)


@every_pattern
def test_the_server_says_nothing_between_message_2_and_welcome(pattern: Pattern) -> None:
    server, client = sealed(client=False, pattern=pattern), sealed(client=True, pattern=pattern)
    server.read(client.take())
    client.read(server.take())
    assert server.take() == b""
    assert client.take() != b""
    assert client.take() == b"", "after HELLO the client waits for WELCOME"


@every_pattern
def test_a_replayed_client_leads_nowhere(pattern: Pattern) -> None:
    """The server's answer differs, and neither the old message 3 nor the old first record
    opens under new keys."""
    client, server = sealed(client=True, pattern=pattern), sealed(client=False, pattern=pattern)
    opening = client.take()
    server.read(opening)
    client.read(server.take())
    rest = client.take()
    again = sealed(client=False, pattern=pattern)
    again.read(opening)
    assert len(again.take()) == 4 + 1 + LENGTHS[pattern][1]
    again.read(rest)
    assert not again.established()
    assert again.protocol.peer is None
    assert again.take() == (b"" if pattern in WITH_PSK else REFUSED)
    assert isinstance(again.fault, HandshakeError)


def test_the_selfie_attack_is_stopped_by_the_context() -> None:
    """A client's own first frame, turned round to its own listener of another name."""
    client = sealed(client=True, context=b"a")
    own_listener = sealed(client=False, context=b"b")
    own_listener.read(client.take())
    check_failed(own_listener, REFUSED)


# The end, early or late


@every_pattern
@pytest.mark.parametrize("client", [True, False])
def test_the_end_before_the_first_byte(client: bool, pattern: Pattern) -> None:
    peer = sealed(client=client, pattern=pattern)
    peer.take()
    peer.end()
    who = "the server" if client else "the client"
    assert f"{who} closed during the handshake" in str(peer.fault)
    assert not isinstance(peer.fault, ConnectionClosedOK)
    check_failed(peer, b"")


@every_pattern
@pytest.mark.parametrize("lost", [False, True])
def test_the_end_anywhere_in_the_introductions(lost: bool, pattern: Pattern) -> None:
    """At every byte up to the end of WELCOME it is a failed handshake, at both ends."""
    client, server = sealed(client=True, pattern=pattern), sealed(client=False, pattern=pattern)
    server.read(to_server := client.take())
    client.read(to_client := server.take())
    with_hello = len(to_server) + len(client.take())
    for cut in sorted({1, *places(with_hello)} - {0}):
        client, server = sealed(client=True, pattern=pattern), sealed(client=False, pattern=pattern)
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
        assert "give both ends the key" not in str(server.fault)
        assert not server.established()
    for cut in places(len(to_client)):
        client, server = sealed(client=True, pattern=pattern), sealed(client=False, pattern=pattern)
        server.read(client.take())
        client.read(server.take()[:cut])
        client.end()
        assert isinstance(client.fault, HandshakeError)


@every_pattern
def test_the_end_after_the_handshake_and_before_welcome(pattern: Pattern) -> None:
    client, server = sealed(client=True, pattern=pattern), sealed(client=False, pattern=pattern)
    server.read(client.take())
    client.read(server.take())
    client.take()
    client.end()
    assert "the peer closed during the handshake" in str(client.fault)


# Bytes that do not belong


@every_pattern
def test_nothing_may_stand_before_or_between_handshake_frames(pattern: Pattern) -> None:
    for extra, reply in (
        (control.frame(Opcode.PAD), b""),
        (message(b""), bytes.fromhex("0400008044100000")),
        (control.frame(Opcode.PING), b""),
    ):
        server = sealed(client=False, pattern=pattern)
        server.read(extra + first_message(pattern))
        check_failed(server, reply)
        client, server = sealed(client=True, pattern=pattern), sealed(client=False, pattern=pattern)
        server.read(client.take())
        client.read(extra + server.take())
        check_failed(client, b"")


@with_message_3
@pytest.mark.parametrize("step", [1, None])
def test_nothing_but_message_3_may_follow_message_1(pattern: Pattern, step: int | None) -> None:
    for extra, reply in (
        (control.frame(Opcode.PAD), b""),
        (message(b""), b""),
        (message(bytes(100)), b""),
        (HELLO, b""),
        (first_message(pattern), REFUSED),
    ):
        client, server = sealed(client=True, pattern=pattern), sealed(client=False, pattern=pattern)
        server.read(client.take())
        client.read(server.take())
        server.read(extra + client.take(), step=step)
        check_failed(server, reply)


@with_message_3
def test_message_3_is_not_read_before_message_2_is_written(pattern: Pattern) -> None:
    """One who knows nothing cannot guess it, and one who does sent it for another server."""
    client, server = sealed(client=True, pattern=pattern), sealed(client=False, pattern=pattern)
    server.read(opening := client.take())
    client.read(server.take())
    again = sealed(client=False, pattern=pattern)
    again.read(opening + client.take())
    answer, refusal = frames(again.take())
    assert isinstance(answer, Control)
    assert answer.opcode == Opcode.HANDSHAKE
    assert refusal == frames(REFUSED)[0]
    assert not again.established()


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


@every_pattern
def test_what_follows_message_2_is_taken_for_a_record(pattern: Pattern) -> None:
    """Or for a plaintext CLOSE, which is a hint as it was before."""
    for extra in (REFUSED, message(bytes(100)), control.frame(Opcode.PAD)):
        client, server = sealed(client=True, pattern=pattern), sealed(client=False, pattern=pattern)
        server.read(client.take())
        client.read(server.take() + extra)
        assert type(client.error) is HandshakeError
        assert client.fault.code == (CloseCode.REFUSED if extra == REFUSED else None)
        sent = client.take()
        sizes = [len(frame.body) for frame in frames(sent) if isinstance(frame, Control)]
        assert sizes == LENGTHS[pattern][2:], "not even HELLO"
        assert len(sent) == sum(size + 5 for size in sizes)


@every_pattern
@pytest.mark.parametrize("declared", [48, 200, 1000, 1024, 1259, 1280, 60_000, 2**31 - 1])
@pytest.mark.parametrize("control_bit", [0, wire.CONTROL_BIT])
@pytest.mark.parametrize("after_message_1", [False, True])
def test_at_most_1280_bytes_are_held_before_the_key_is_proved(
    after_message_1: bool, control_bit: int, declared: int, pattern: Pattern
) -> None:
    """Whatever a head declares, byte by byte or in large reads: what is kept is never more
    than 1,280 bytes, 1,024 once there are keys, and the connection fails rather than keep more."""
    for step in (1, 700, 100_000):
        server = sealed(client=False, pattern=pattern)
        layer = server.protocol.records
        assert layer is not None
        if after_message_1:
            server.read(first_message(pattern))
        rest = (declared | control_bit).to_bytes(4, "little") + b"A" + preamble(pattern)
        rest += bytes(4000)
        while rest and server.error is None:
            if not after_message_1 or pattern not in WITH_PSK:
                assert len(server.protocol.get_buffer()) <= 1280
            server.read(rest[:step], step=step)
            rest = rest[step:]
            assert layer.pending <= (1280 if layer.handshaking else 1024)
        assert server.error is not None


# Frozen


@pytest.mark.fixed_keys(reason="known answers")
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
