"""What the two sides of a Noise handshake mix, each into a state of its own.

Section numbers here are those of the Noise Protocol Framework, revision 34.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from ..errors import DecryptionError
from .cipher import TAG_SIZE, CipherState, Secret, primitives

if TYPE_CHECKING:
    from ._record_cipher_py import Aead

_HASH_SIZE: Final = 32  # HASHLEN of SHA256, section 12.6

# HMAC (RFC 2104): the key, up to the 64 bytes of a block, XORed with one byte all along.
_INNER_PAD: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD: Final = bytes(byte ^ 0x5C for byte in range(256))
_REST_OF_BLOCK: Final = bytes(64 - _HASH_SIZE)


def hkdf(chaining_key: bytes, material: bytes, outputs: int) -> tuple[bytes, ...]:
    """HKDF (section 4.3): return `outputs` blocks of 32 bytes, two or three.

    HMAC is written out here, and is half the time of ``hmac.digest``: a handshake
    calls it some thirty times.

    :param chaining_key: 32 bytes
    """
    key = chaining_key + _REST_OF_BLOCK
    inner = sha256(key.translate(_INNER_PAD) + material).digest()
    key = sha256(key.translate(_OUTER_PAD) + inner).digest() + _REST_OF_BLOCK
    inside, outside = key.translate(_INNER_PAD), key.translate(_OUTER_PAD)
    first = sha256(outside + sha256(inside + b"\1").digest()).digest()
    second = sha256(outside + sha256(inside + first + b"\2").digest()).digest()
    if outputs == 2:
        return first, second
    return first, second, sha256(outside + sha256(inside + second + b"\3").digest()).digest()


def initial_hash(protocol_name: bytes) -> bytes:
    """Return the h with which InitializeSymmetric (section 5.2) starts: 32 bytes.

    A name of at most HASHLEN bytes is padded with zeros, a longer one is hashed.
    """
    if len(protocol_name) <= _HASH_SIZE:
        return protocol_name.ljust(_HASH_SIZE, b"\0")
    return sha256(protocol_name).digest()


class SymmetricState(Secret):
    """SymmetricState (section 5.2): ck, h, and the k and n of the CipherState in use.

    A ``_key`` of no bytes stands for the empty key, under which EncryptAndHash and
    DecryptAndHash pass the data through. There is no :class:`CipherState`: the keys of a
    handshake are for two messages at most, and some for none.
    """

    __slots__ = ("_aead", "_chaining_key", "_key", "_nonce", "hash")

    def __init__(self, protocol_name: bytes) -> None:
        self.hash = initial_hash(protocol_name)
        self._chaining_key = self.hash
        self._set_key(b"")

    def copy(self) -> SymmetricState:
        """Return one that goes on from here by itself; nothing was encrypted yet.

        The key is left out: two must not use its nonces, and each mixes another one in first.
        """
        other = SymmetricState.__new__(SymmetricState)
        other.hash = self.hash
        other._chaining_key = self._chaining_key
        other._set_key(b"")
        return other

    @property
    def overhead(self) -> int:
        """Bytes that `encrypt_and_hash` adds now."""
        return TAG_SIZE if self._key else 0

    def mix_hash(self, data: bytes) -> None:
        self.hash = sha256(self.hash + data).digest()

    def mix_key(self, material: bytes) -> None:
        self._chaining_key, key = hkdf(self._chaining_key, material, 2)
        self._set_key(key)

    def mix_key_and_hash(self, material: bytes) -> None:
        self._chaining_key, to_hash, key = hkdf(self._chaining_key, material, 3)
        self.mix_hash(to_hash)
        self._set_key(key)

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        sealed = plaintext
        if self._key:
            aead = self._cipher()
            sealed = aead.encrypt(self._next_nonce(), plaintext, self.hash)
        self.mix_hash(sealed)
        return sealed

    def decrypt_and_hash(self, sealed: bytes) -> bytes:
        plaintext = sealed
        if self._key:
            aead = self._cipher()
            try:
                plaintext = aead.decrypt(self._next_nonce(), sealed, self.hash)
            except primitives().invalid_tag:
                raise DecryptionError("the ciphertext is not authentic") from None
        self.mix_hash(sealed)
        return plaintext

    def split(self) -> tuple[CipherState, CipherState]:
        first, second = hkdf(self._chaining_key, b"", 2)
        return CipherState(first), CipherState(second)

    def _set_key(self, key: bytes) -> None:
        self._key = key
        self._nonce = 0
        self._aead: Aead | None = None

    def _cipher(self) -> Aead:
        # Made at the first use of a key, and let go with it.
        if self._aead is None:
            self._aead = primitives().aesgcm(self._key)
        return self._aead

    def _next_nonce(self) -> bytes:
        # Four zero bytes and a 64-bit big-endian counter (section 12.4).
        nonce = self._nonce
        self._nonce = nonce + 1
        return nonce.to_bytes(12, "big")
