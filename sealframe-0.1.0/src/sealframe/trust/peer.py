"""Who is at the other end, where identities are used."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import HandshakeError
from ..wire import CloseCode
from .keys import PublicKey


@dataclass(frozen=True)
class Peer:
    """The proven identity of a peer."""

    name: str
    """On a server, the name beside the key in the authorised-clients file, where two
    keys may have the same; on a client, the address that was connected to."""
    key: PublicKey
    """The peer's public key."""


def unknown_client(key: bytes) -> HandshakeError:
    """Return the error by which a server refuses a client.

    :param key: the public key that the client has proved, 32 bytes
    """
    text = f"the client's key is not among the authorised ones: {PublicKey(key)}"
    return HandshakeError(text, code=CloseCode.UNAUTHORIZED)
