"""What a session is called where its token, a secret, must not stand."""

from __future__ import annotations

import hashlib


def public_name(token: bytes) -> str:
    """Return the public name of a session: the first 16 bytes of SHA-256(token), in hex."""
    return hashlib.sha256(token).hexdigest()[:32]
