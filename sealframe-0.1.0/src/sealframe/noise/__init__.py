"""Noise (revision 34) over X25519, AES-256-GCM and SHA-256: ciphers and handshakes.

What seals the connections, for whoever builds or tests a peer. Raw keys are 32 bytes.
"""

from __future__ import annotations

from .cipher import (
    KEY_SIZE,
    TAG_SIZE,
    CipherState,
    KeyPair,
    argon2id,
    generate_keypair,
    public_key,
    x25519,
)
from .handshake import Handshake

__all__ = [
    "KEY_SIZE",
    "TAG_SIZE",
    "CipherState",
    "Handshake",
    "KeyPair",
    "argon2id",
    "generate_keypair",
    "public_key",
    "x25519",
]
