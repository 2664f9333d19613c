"""What a session is called where its token must not stand."""

from __future__ import annotations

import hashlib

from sealframe.wire.session_name import public_name

TOKEN = bytes(range(1, 17))


def test_it_is_half_the_hash_of_the_token() -> None:
    assert public_name(TOKEN) == hashlib.sha256(TOKEN).digest()[:16].hex()
