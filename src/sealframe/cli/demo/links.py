"""How the demo's links are protected, and what it says of that."""

from __future__ import annotations

from dataclasses import dataclass

from ... import MissingExtraError, SharedKey, connect


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
    why_plain: str = ""
    """Why nothing can be sealed here; empty where all of it is."""


def links() -> Links:
    """Return sealed links with a new key; plain ones where nothing can be sealed."""
    key = SharedKey.generate()
    try:
        # It opens nothing yet. That cryptography is installed says neither that it can be imported
        # nor that it is new enough.
        connect("127.0.0.1", 1, security=key)
    except MissingExtraError as error:
        return _plain(str(error))
    return Links(
        key,
        name="sealed",
        listening="sealed with a new key",
        said="all of it is sealed: AES-256-GCM after a post-quantum handshake",
        summary="yes; {links} handshakes",
    )


def _plain(why: str) -> Links:
    return Links(
        None,
        name="not sealed",
        listening="and nothing is sealed",
        said="none of it is sealed: whoever is on the way can read and change it",
        summary="no: all of it went in the clear; {links} links",
        why_plain=why,
    )
