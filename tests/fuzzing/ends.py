"""The two ends of a sealed connection that the targets attack, with keys known to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from core.peers import MAXIMUM, Announced, Peer, ephemerals, fixed_kem

from sealframe.core.protocol import ProtocolMachine
from sealframe.errors import ConnectionClosedError, HandshakeError
from sealframe.noise.cipher import public_key
from sealframe.noise.credentials import Credentials
from sealframe.noise.records import RecordLayer
from sealframe.trust.keys import PublicKey
from sealframe.trust.peer import Peer as Identity
from sealframe.trust.peer import unknown_client
from sealframe.wire import Pattern

_EPHEMERALS: Final = (bytes(range(97, 129)), bytes(range(129, 161)))
"""The client's and the server's private ephemeral key."""
_KEM: Final = (bytes(range(64)), bytes(1088))
"""The client's seed for ML-KEM-768, and the server's ciphertext. Whatever a ciphertext is, a
secret comes of it (FIPS 203, section 6.3), the same at both ends."""

PATTERNS: Final = tuple(Pattern)

ANNOUNCED: Final[Announced] = {"window": 100_000, "max_streams": 3, "max_requests": 3}
"""What both ends take beside messages."""

_CONTEXT: Final = b"fuzz"
_PSK, _CLIENT, _SERVER, _OTHER = (bytes([fill]) * 32 for fill in (1, 2, 3, 4))
_CLIENT_PUBLIC = public_key(_CLIENT)
_SERVER_PUBLIC = public_key(_SERVER)
_OTHER_PUBLIC = public_key(_OTHER)

SHARED: Final = (Pattern.NNPSK0, Pattern.NNHFS_PSK0)
"""Those of two messages, with a shared key."""
_PINNED: Final = (Pattern.XK, Pattern.XKHFS)


def _client(
    pattern: Pattern, psk: bytes = _PSK, own: bytes = _CLIENT, server: bytes = _SERVER_PUBLIC
) -> Credentials:
    if pattern in SHARED:
        return Credentials(pattern, psk=psk)
    return Credentials(pattern, static=own, remote_static=server if pattern in _PINNED else None)


# Each server takes several.
_WITHSHARED: Final = Credentials(*SHARED, psk=_PSK)
_WITH_IDENTITY: Final = Credentials(*(set(Pattern) - set(SHARED)), static=_SERVER)
_CLIENTS: Final = {pattern: _client(pattern) for pattern in PATTERNS}
_STRANGERS: Final = {
    pattern: [
        _client(pattern, psk=_OTHER, own=_CLIENT, server=_OTHER_PUBLIC),
        _client(pattern, psk=_OTHER, own=_OTHER),
    ]
    if pattern in _PINNED
    else [_client(pattern, psk=_OTHER, own=_OTHER)]
    for pattern in PATTERNS
}
"""Clients that look for another server, or whose key the server does not know."""


@contextmanager
def known_keys() -> Iterator[None]:
    """Let handshakes draw no keys, so that each run is the same."""
    with ephemerals(*_EPHEMERALS), fixed_kem(*_KEM):
        yield


def pair(
    pattern: Pattern, *, stranger: int | None = None, context: bytes = _CONTEXT
) -> tuple[Peer, Peer]:
    """Return a client and a server; the client may be a stranger, or give another context."""
    keys = _CLIENTS[pattern]
    if stranger is not None:
        keys = _STRANGERS[pattern][stranger % len(_STRANGERS[pattern])]
    server = _WITHSHARED if pattern in SHARED else _WITH_IDENTITY
    return _end(keys, context, client=True), _end(server, _CONTEXT, client=False)


def _end(keys: Credentials, context: bytes, *, client: bool) -> Peer:
    layer = RecordLayer(
        initiator=client, credentials=keys, context=context, verify_server_key=_verify
    )
    with_identity = not set(SHARED) & set(keys.patterns)
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
