"""Keys in the handshake: who is asked about which key when, and what a refusal looks like."""

from __future__ import annotations

import pytest
from core.peers import (
    CLIENT_KEY,
    CONTEXT,
    MAXIMUM,
    SERVER_KEY,
    WITH_MESSAGE_3,
    Peer,
    credentials,
    exchange,
    frames,
    identify,
    records,
    reveal,
    sealed,
    shake_hands,
)

from sealframe.core.events import Established
from sealframe.core.protocol import ProtocolMachine
from sealframe.errors import ConnectionClosedError, HandshakeError, UnauthorizedError
from sealframe.noise.records import RecordLayer
from sealframe.trust.peer import Peer as Identity
from sealframe.trust.peer import unknown_client
from sealframe.wire import CloseCode, Control, Opcode, Pattern, control
from sealframe.wire.control import Close, Hello

pytestmark = pytest.mark.usefixtures("backend")

REFUSED = bytes.fromhex("0400008044050000")

every_pattern = pytest.mark.parametrize("pattern", WITH_MESSAGE_3, ids=lambda pattern: pattern.name)


class Door:
    """Asked by a server who may come in; says no, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bytes]] = []

    def __call__(self, key: bytes, token: bytes) -> HandshakeError:
        self.asked.append((key, token))
        return unknown_client(key)


def guarded(door: Door, pattern: Pattern, *, client_id: str = "", software: str = "") -> Peer:
    """Return a server that asks there."""
    keys = credentials(client=False, pattern=pattern)
    return Peer(
        ProtocolMachine(
            client=False,
            max_message_size=MAXIMUM,
            records=RecordLayer(initiator=False, credentials=keys, context=CONTEXT),
            client_id=client_id,
            software=software,
            identify=door,
        )
    )


def verifying(
    answer: ConnectionClosedError | None, pattern: Pattern = Pattern.XX
) -> tuple[Peer, list[bytes]]:
    """Return a client that verifies the server's key so, and the keys it was asked about."""
    verified: list[bytes] = []

    def verify(key: bytes) -> ConnectionClosedError | None:
        verified.append(key)
        return answer

    keys = credentials(client=True, pattern=pattern)
    layer = RecordLayer(initiator=True, credentials=keys, context=CONTEXT, verify_server_key=verify)
    protocol = ProtocolMachine(
        client=True, max_message_size=MAXIMUM, records=layer, identify=identify
    )
    return Peer(protocol), verified


# The server looks at the client


@every_pattern
@pytest.mark.parametrize("token", [b"", b"12345678"])
def test_the_server_asks_once_about_a_proven_key(pattern: Pattern, token: bytes) -> None:
    """With HELLO, and not before: until then message 3 might be a replay."""
    door = Door()
    client, server = sealed(client=True, pattern=pattern), guarded(door, pattern)
    client.protocol.introductions.local = Hello(max_frame=MAXIMUM, invitation=token)
    shake_hands(client, server)
    assert door.asked == []
    server.read(client.take())
    assert door.asked == [(bytes(CLIENT_KEY.public_key), token)]
    assert server.protocol.peer is None


@every_pattern
def test_who_is_not_let_in_is_told_inside_the_seal(pattern: Pattern) -> None:
    client, server = sealed(client=True, pattern=pattern), guarded(Door(), pattern)
    server.read(client.take())
    client.read(server.take())
    server.read(client.take())
    assert server.events_of(Established) == []
    assert type(server.fault) is HandshakeError
    assert server.fault.code == CloseCode.UNAUTHORIZED
    assert str(CLIENT_KEY.public_key) in str(server.fault)
    client.read(server.take())
    assert type(client.fault) is UnauthorizedError
    assert client.fault.code == CloseCode.UNAUTHORIZED
    assert not client.established()
    assert not client.protocol.extended
    assert server.take() == client.take() == b""


@every_pattern
@pytest.mark.parametrize(
    ("client_id", "software"),
    [("a1b2c3-1", "sealframe 1.2.3"), ("x" * 32, "sealframe 1.2.3.dev456+g1234567")],
)
def test_the_refusal_is_one_record_of_the_size_of_welcome(
    pattern: Pattern, client_id: str, software: str
) -> None:
    sizes = []
    for refused in (False, True):
        client = sealed(client=True, pattern=pattern)
        server = guarded(Door(), pattern, client_id=client_id, software=software)
        if not refused:
            server.protocol.introductions.identify = identify
        server.read(client.take())
        client.read(server.take())
        server.read(client.take())
        if refused:
            (close,) = reveal(server, client)
            assert isinstance(close, Control)
            assert close.opcode == Opcode.CLOSE
            assert Close.decode(close.body) == Close(CloseCode.UNAUTHORIZED, "", 0)
            sizes.append(len(control.frame(Opcode.CLOSE, close.body)) + 16)
        else:
            (answer,) = records(server.take())
            sizes.append(len(answer))
    assert sizes[0] == sizes[1]


# The client looks at the server


def test_the_client_judges_the_key_before_it_shows_its_own() -> None:
    client, verified = verifying(None)
    server = sealed(client=False, pattern=Pattern.XX)
    server.read(client.take())
    assert verified == []
    client.read(server.take())
    assert verified == [bytes(SERVER_KEY.public_key)]
    exchange(client, server)
    assert client.established()
    assert len(verified) == 1
    assert client.protocol.peer == Identity("server", SERVER_KEY.public_key)


@pytest.mark.parametrize("step", [1, None])
def test_a_server_that_is_not_trusted_gets_the_fixed_refusal_and_no_message_3(
    step: int | None,
) -> None:
    objection = HandshakeError("not this one")
    client, _ = verifying(objection)
    server = sealed(client=False, pattern=Pattern.XX)
    server.read(client.take())
    client.read(server.take(), step=step)
    assert client.fault is objection
    reply = client.take()
    assert reply == REFUSED
    assert client.protocol.peer is None
    assert client.protocol.channel_binding == b""
    server.read(reply)
    assert server.fault.code == CloseCode.REFUSED
    assert not server.established()


def test_a_key_that_is_not_proved_is_not_judged() -> None:
    """A changed byte anywhere in message 2, and nobody is asked: the error is another."""
    for place in range(96):
        client, verified = verifying(HandshakeError("judged"))
        server = sealed(client=False, pattern=Pattern.XX)
        server.read(client.take())
        data = bytearray(server.take())
        data[5 + place] ^= 1
        client.read(bytes(data))
        assert verified == []
        assert client.take() == REFUSED


def test_a_message_2_without_the_servers_private_key_is_not_judged() -> None:
    """An impostor can show any public key, and cannot prove it."""
    client, verified = verifying(None)
    first = client.take()
    keys = credentials(client=False, pattern=Pattern.XX)
    layer = RecordLayer(initiator=False, credentials=keys, context=CONTEXT)
    with pytest.MonkeyPatch.context() as patches:
        shown = property(lambda _: bytes(CLIENT_KEY.public_key), lambda *_: None)
        patches.setattr("sealframe.noise.handshake.KeyPair.public", shown)
        layer.feed(first)
    (answer,) = layer.output
    assert [len(frame.body) for frame in frames(answer) if isinstance(frame, Control)] == [96]
    client.read(answer)
    assert verified == []
    assert client.take() == REFUSED


@every_pattern
def test_keys_are_let_go_when_the_handshake_is_over(pattern: Pattern) -> None:
    client, server = sealed(client=True, pattern=pattern), sealed(client=False, pattern=pattern)
    exchange(client, server)
    for peer in (client, server):
        assert peer.established()
        layer = peer.protocol.records
        assert layer is not None
        assert not layer.handshaking
