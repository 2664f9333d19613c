"""How the demo's links are protected, and what it says of that."""

from __future__ import annotations

from dataclasses import dataclass

from ... import SharedKey
from .. import missing


@dataclass(frozen=True)
class Links:
    """The security of all links, and the words for it: none of them claims more than there is."""

    security: SharedKey | None
    name: str
    """One word."""
    listening: str
    """What the server says of itself."""
    said: str
    """What a client says of it to all others."""
    summary: str
    """The outcome; ``{links}`` stands for their number."""


def links() -> Links:
    """Return sealed links with a new key; plain ones where cryptography is not installed."""
    if missing("cryptography"):
        return PLAIN
    return Links(
        SharedKey.generate(),
        name="sealed",
        listening="sealed with a new key",
        said="all of it is sealed: AES-256-GCM after a post-quantum handshake",
        summary="yes; {links} handshakes",
    )


PLAIN = Links(
    None,
    name="not sealed",
    listening="and nothing is sealed",
    said="none of it is sealed: whoever is on the way can read and change it",
    summary="no: all of it went in the clear; {links} links",
)
