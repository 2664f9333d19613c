"""What the protocol makes of the keys that XK and XX prove: who is let in, who goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sealframe.core.events import Established
from sealframe.core.introductions import Identify
from sealframe.core.protocol import ProtocolMachine
from sealframe.errors import HandshakeError, UnauthorizedError
from sealframe.noise.records import RecordLayer
from sealframe.trust.peer import Peer as Identity
from sealframe.trust.peer import unknown_client
from sealframe.wire import CloseCode, Control, Opcode, Pattern, control
from sealframe.wire.control import Close

from .peers import (
    CLIENT_KEY,
    CONTEXT,
    MAXIMUM,
    SERVER_KEY,
    Peer,
    credentials,
    exchange,
    frames,
    reveal,
    sealed,
)

REFUSED = control.frame(Opcode.CLOSE, Close(CloseCode.REFUSED).encode())

both_patterns = pytest.mark.parametrize("pattern", [Pattern.XK, Pattern.XX])


def server_that(identify: Identify, pattern: Pattern) -> Peer:
    """Return a server that asks `identify` about whoever comes."""
    layer = RecordLayer(
        initiator=False, credentials=credentials(client=False, pattern=pattern), context=CONTEXT
    )
    return Peer(
        ProtocolMachine(client=False, max_message_size=MAXIMUM, records=layer, identify=identify)
    )


def refuse(key: bytes, token: bytes) -> HandshakeError:
    """Let nobody in."""
    return unknown_client(key)


def client_that(verify: Callable[[bytes], HandshakeError | None], pattern: Pattern) -> Peer:
    """Return a client that asks `verify` about the server's key."""
    layer = RecordLayer(
        initiator=True,
        credentials=credentials(client=True, pattern=pattern),
        context=CONTEXT,
        verify_server_key=verify,
    )
    return Peer(ProtocolMachine(client=True, max_message_size=MAXIMUM, records=layer))


@both_patterns
def test_each_end_knows_the_other_once_it_is_established(pattern: Pattern) -> None:
    client, server = sealed(client=True, pattern=pattern), sealed(client=False, pattern=pattern)
    assert [client.protocol.peer, server.protocol.peer] == [None, None]
    exchange(client, server)
    assert client.established()
    assert server.established()
    assert client.protocol.peer == Identity("server", SERVER_KEY.public_key)
    assert server.protocol.peer == Identity("client", CLIENT_KEY.public_key)


@both_patterns
def test_a_client_is_asked_about_once_and_with_the_key_that_it_proved(pattern: Pattern) -> None:
    asked: list[tuple[bytes, bytes]] = []

    def identify(key: bytes, token: bytes) -> Identity:
        asked.append((key, token))
        return Identity("somebody", CLIENT_KEY.public_key)

    client, server = sealed(client=True, pattern=pattern), server_that(identify, pattern)
    exchange(client, server)
    assert asked == [(bytes(CLIENT_KEY.public_key), b"")]
    assert server.protocol.peer == Identity("somebody", CLIENT_KEY.public_key)


@both_patterns
def test_a_client_that_nobody_knows_is_told_inside_the_seal_and_not_listed(
    pattern: Pattern,
) -> None:
    client, server = (
        sealed(client=True, pattern=pattern),
        server_that(refuse, pattern),
    )
    for _ in range(2):
        server.read(client.take())
        client.read(server.take() if server.error is None else b"")
    # HELLO, where message 3 did not come along with it.
    server.read(client.take())
    assert isinstance(server.fault, HandshakeError)
    assert server.fault.code == CloseCode.UNAUTHORIZED
    assert str(CLIENT_KEY.public_key) in str(server.fault)
    assert server.protocol.peer is None
    assert server.events_of(Established) == []
    (answer,) = reveal(server, client)
    assert isinstance(answer, Control)
    assert answer.opcode == Opcode.CLOSE
    assert Close.decode(answer.body).code == CloseCode.UNAUTHORIZED


@both_patterns
def test_a_client_that_is_not_let_in_learns_it(pattern: Pattern) -> None:
    client, server = sealed(client=True, pattern=pattern), server_that(refuse, pattern)
    exchange(client, server)
    assert isinstance(client.fault, UnauthorizedError)
    assert client.events_of(Established) == []


def test_a_server_that_is_objected_to_never_sees_the_clients_key() -> None:
    """After message 2 comes the refusal that every failure gets, in place of message 3."""
    verified: list[bytes] = []
    objection = HandshakeError("not this one")

    def verify(key: bytes) -> HandshakeError:
        verified.append(key)
        return objection

    client, server = client_that(verify, Pattern.XX), sealed(client=False, pattern=Pattern.XX)
    server.read(client.take())
    client.read(server.take())
    assert verified == [bytes(SERVER_KEY.public_key)]
    assert client.take() == REFUSED
    assert client.fault is objection
    assert client.protocol.channel_binding == b""


def test_a_server_without_objection_is_answered() -> None:
    verified: list[bytes] = []
    client = client_that(verified.append, Pattern.XX)
    server = sealed(client=False, pattern=Pattern.XX)
    server.read(client.take())
    client.read(server.take())
    (answer, *_) = frames(client.take()[: 4 + 1 + 64])
    assert isinstance(answer, Control)
    assert (answer.opcode, len(answer.body)) == (Opcode.HANDSHAKE, 64)
    assert verified == [bytes(SERVER_KEY.public_key)]
