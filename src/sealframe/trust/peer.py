"""Who is at the other end, where identities are used."""

from __future__ import annotations

from dataclasses import dataclass

from .keys import PublicKey


@dataclass(frozen=True)
class Peer:
    """The proven identity of a peer."""

    name: str
    """On a server, the name beside the key in the authorised-clients file, where two
    keys may have the same; on a client, the address that was connected to."""
    key: PublicKey
    """The peer's public key."""
