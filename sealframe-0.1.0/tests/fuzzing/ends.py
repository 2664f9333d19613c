"""The two ends of a sealed connection that the targets attack, with keys known to them."""

from __future__ import annotations

from typing import Final

from core.peers import MAXIMUM, Announced, Peer

from sealframe.core.protocol import ProtocolMachine
from sealframe.errors import ConnectionClosedError, HandshakeError
from sealframe.noise.cipher import public_key
from sealframe.noise.credentials import Credentials
from sealframe.noise.records import RecordLayer
from sealframe.trust.keys import PublicKey
from sealframe.trust.peer import Peer as Identity
from sealframe.trust.peer import unknown_client
from sealframe.wire import Pattern

EPHEMERALS: Final = (bytes(range(97, 129)), bytes(range(129, 161)))
"""The client's and the server's private ephemeral key, so that each run is the same."""

PATTERNS: Final = (Pattern.NNPSK0, Pattern.XK, Pattern.XX)

ANNOUNCED: Final[Announced] = {"window": 100_000, "max_streams": 3, "max_requests": 3}
"""What both ends take beside messages."""

_CONTEXT: Final = b"fuzz"
_PSK, _CLIENT, _SERVER, _OTHER = (bytes([fill]) * 32 for fill in (1, 2, 3, 4))
_CLIENT_PUBLIC = public_key(_CLIENT)
_SERVER_PUBLIC = public_key(_SERVER)
_OTHER_PUBLIC = public_key(_OTHER)

_SERVERS: Final = {
    Pattern.NNPSK0: Credentials(Pattern.NNPSK0, psk=_PSK),
    Pattern.XK: Credentials(Pattern.XK, Pattern.XX, static=_SERVER),
    Pattern.XX: Credentials(Pattern.XK, Pattern.XX, static=_SERVER),
}
_CLIENTS: Final = {
    Pattern.NNPSK0: Credentials(Pattern.NNPSK0, psk=_PSK),
    Pattern.XK: Credentials(Pattern.XK, static=_CLIENT, remote_static=_SERVER_PUBLIC),
    Pattern.XX: Credentials(Pattern.XX, static=_CLIENT),
}
_STRANGERS: Final = {
    Pattern.NNPSK0: [Credentials(Pattern.NNPSK0, psk=_OTHER)],
    Pattern.XK: [
        Credentials(Pattern.XK, static=_CLIENT, remote_static=_OTHER_PUBLIC),
        Credentials(Pattern.XK, static=_OTHER, remote_static=_SERVER_PUBLIC),
    ],
    Pattern.XX: [Credentials(Pattern.XX, static=_OTHER)],
}
"""Clients that look for another server, or whose key the server does not know."""


def pair(
    pattern: Pattern, *, stranger: int | None = None, context: bytes = _CONTEXT
) -> tuple[Peer, Peer]:
    """Return a client and a server; the client may be a stranger, or give another context."""
    keys = _CLIENTS[pattern]
    if stranger is not None:
        keys = _STRANGERS[pattern][stranger % len(_STRANGERS[pattern])]
    return _end(keys, context, client=True), _end(_SERVERS[pattern], _CONTEXT, client=False)


def _end(keys: Credentials, context: bytes, *, client: bool) -> Peer:
    layer = RecordLayer(
        initiator=client, credentials=keys, context=context, verify_server_key=_verify
    )
    with_identity = Pattern.NNPSK0 not in keys.patterns
    return Peer(
        ProtocolMachine(
            client=client,
            max_message_size=MAXIMUM,
            records=layer,
            identify=_identify if with_identity else None,
            **ANNOUNCED,
        )
    )


def _verify(key: bytes) -> ConnectionClosedError | None:
    return None if key == _SERVER_PUBLIC else HandshakeError("another server")


def _identify(key: bytes, token: bytes) -> Identity | HandshakeError:
    known = {_CLIENT_PUBLIC: "client", _SERVER_PUBLIC: "server"}
    return Identity(known[key], PublicKey(key)) if key in known else unknown_client(key)


def records_of(peer: Peer) -> RecordLayer:
    """Return the sealed layer of an end; it must have one."""
    layer = peer.protocol.records
    assert layer is not None
    return layer


def read(peer: Peer, data: bytes) -> None:
    """Let it receive ``data``; check that a fault is the last that ever happens."""
    messages, events, failed = len(peer.messages), len(peer.events), peer.error is not None
    peer.read(data)
    if failed:
        assert len(peer.messages) == messages, "a message was delivered after the fault"
        assert len(peer.events) == events, "something happened after the fault"


def finish(peer: Peer) -> None:
    """Let the stream end and be lost; check that this adds one event at most."""
    events, failed = len(peer.events), peer.error is not None
    messages = len(peer.messages)
    peer.end()
    peer.protocol.receive_loss(None)
    peer.note()
    assert len(peer.messages) == messages
    assert len(peer.events) <= events + (not failed)
    _ = peer.error
