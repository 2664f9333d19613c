"""The hybrid handshakes and the records, by an implementation that is no part of sealframe.

It was written from docs/PROTOCOL.md alone, with ML-KEM-768 in pure Python and the rest from
libsodium. It shares nothing with the library, neither code nor what computes for it: where the two
understand each other, the text says enough. It is for tests: nothing in it hides its timing.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kyber_py.ml_kem import ML_KEM_768
from nacl.bindings import (
    crypto_aead_aes256gcm_decrypt,
    crypto_aead_aes256gcm_encrypt,
    crypto_scalarmult,
    crypto_scalarmult_base,
)
from nacl.exceptions import CryptoError

INTRODUCTION = b"sealfram\x01"
TAG = 16


class RefusedError(Exception):
    """A Noise message that fails in any way: it is answered with CLOSE(REFUSED)."""


class Cipher:
    """AES-256-GCM with a nonce that counts; Noise's CipherState."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.count = 0

    def seal(self, plaintext: bytes, data: bytes = b"") -> bytes:
        sealed = crypto_aead_aes256gcm_encrypt(plaintext, data, self._nonce(), self.key)
        self.count += 1
        return sealed

    def open(self, sealed: bytes, data: bytes = b"") -> bytes:
        try:
            opened = crypto_aead_aes256gcm_decrypt(sealed, data, self._nonce(), self.key)
        except (CryptoError, ValueError) as error:
            raise RefusedError from error
        self.count += 1
        return opened

    def _nonce(self) -> bytes:
        return bytes(4) + self.count.to_bytes(8, "big")


class Records(Cipher):
    """One direction of records: the key is replaced behind every 4,096th."""

    def seal(self, plaintext: bytes, data: bytes = b"") -> bytes:
        sealed = super().seal(plaintext, data)
        self._rekey()
        return sealed

    def open(self, sealed: bytes, data: bytes = b"") -> bytes:
        opened = super().open(sealed, data)
        self._rekey()
        return opened

    def _rekey(self) -> None:
        if self.count % 4096 == 0:
            last = bytes(4) + b"\xff" * 8
            self.key = crypto_aead_aes256gcm_encrypt(bytes(32), b"", last, self.key)[:32]


def hkdf(chaining_key: bytes, material: bytes, outputs: int) -> list[bytes]:
    secret = hmac.digest(chaining_key, material, "sha256")
    made = [b""]
    for number in range(1, outputs + 1):
        made.append(hmac.digest(secret, made[-1] + bytes([number]), "sha256"))
    return made[1:]


class Step(NamedTuple):
    ck: bytes
    h: bytes
    k: bytes
    """Empty before the first."""


class Symmetric:
    """Noise's SymmetricState. ``steps`` is what it was after each step."""

    def __init__(self, name: bytes) -> None:
        self.h = self.ck = hashlib.sha256(name).digest()
        self.cipher: Cipher | None = None
        self.steps: list[Step] = []
        self._note()

    def mix_hash(self, data: bytes) -> None:
        self.h = hashlib.sha256(self.h + data).digest()
        self._note()

    def mix_key(self, material: bytes) -> None:
        self.ck, key = hkdf(self.ck, material, 2)
        self.cipher = Cipher(key)
        self._note()

    def mix_key_and_hash(self, material: bytes) -> None:
        self.ck, data, key = hkdf(self.ck, material, 3)
        self.cipher = Cipher(key)
        self.mix_hash(data)

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        sealed = self.cipher.seal(plaintext, self.h) if self.cipher else plaintext
        self.mix_hash(sealed)
        return sealed

    def decrypt_and_hash(self, sealed: bytes) -> bytes:
        plaintext = self.cipher.open(sealed, self.h) if self.cipher else sealed
        self.mix_hash(sealed)
        return plaintext

    def _note(self) -> None:
        self.steps.append(Step(self.ck, self.h, self.cipher.key if self.cipher else b""))


class Pattern(NamedTuple):
    name: str
    flights: list[str]
    lengths: list[int]


PATTERNS = {
    4: Pattern("NNhfs+psk0", ["psk e e1", "e ee ekem1"], [1248, 1152]),
    5: Pattern("XKhfs", ["e es e1", "e ee ekem1", "s se"], [1248, 1152, 64]),
    6: Pattern("XXhfs", ["e e1", "e ee ekem1 s es", "s se"], [1216, 1200, 64]),
}


def public(private: bytes) -> bytes:
    return crypto_scalarmult_base(private)


@dataclass
class Handshake:
    """One end of a handshake: `write` and `read` take turns, the client begins."""

    pattern: int
    client: bool
    context: bytes
    psk: bytes = b""
    static: bytes = b""
    """This end's private key."""
    server: bytes = b""
    """The server's public key, which the client knows before with XKhfs."""
    ephemeral: bytes = field(default_factory=lambda: os.urandom(32))
    seed: bytes = field(default_factory=lambda: os.urandom(64))
    kem: Any = ML_KEM_768

    def __post_init__(self) -> None:
        pattern, self.flights, self.lengths = PATTERNS[self.pattern]
        self.flight = 0
        self.name = f"Noise_{pattern}_25519+MLKEM768_AESGCM_SHA256"
        self.preamble = INTRODUCTION + bytes([self.pattern])
        self.prologue = self.preamble + len(self.context).to_bytes(2, "little") + self.context
        self.remote: dict[str, bytes] = {}
        self.noise = Symmetric(self.name.encode())
        self.noise.mix_hash(self.prologue)
        if self.pattern == 5:
            if self.client:
                self.remote["s"] = self.server
            self.noise.mix_hash(self.server if self.client else public(self.static))
        if self.client:
            self.encapsulation_key, self._decapsulation_key = self.kem.key_derive(self.seed)

    def write(self) -> bytes:
        """Return the next message, with the preamble if it is the first."""
        message = b"" if self.flight else self.preamble
        for token in self.flights[self.flight].split():
            if token == "e":
                message += self._mix_ephemeral(public(self.ephemeral))
            elif token == "e1":
                message += self.noise.encrypt_and_hash(self.encapsulation_key)
            elif token == "ekem1":
                try:
                    secret, ciphertext = self.kem.encaps(self.encapsulation_key)
                except ValueError as error:
                    raise RefusedError from error
                message += self.noise.encrypt_and_hash(ciphertext)
                self.noise.mix_key(secret)
            elif token == "s":
                message += self.noise.encrypt_and_hash(public(self.static))
            else:
                self._mix(token)
        self.flight += 1
        return message + self.noise.encrypt_and_hash(b"")

    def read(self, message: bytes) -> None:
        """:raises RefusedError: it is no such message, or not of an end with the right keys"""
        if len(message) != self.lengths[self.flight]:
            raise RefusedError

        def take(size: int, *, encrypted: bool = True) -> bytes:
            nonlocal message
            size += TAG if encrypted and self.noise.cipher else 0
            part, message = message[:size], message[size:]
            return self.noise.decrypt_and_hash(part) if encrypted else part

        for token in self.flights[self.flight].split():
            if token == "e":
                self.remote["e"] = self._mix_ephemeral(take(32, encrypted=False))
            elif token == "e1":
                self.encapsulation_key = take(1184)
            elif token == "ekem1":
                self.noise.mix_key(self.kem.decaps(self._decapsulation_key, take(1088)))
            elif token == "s":
                self.remote["s"] = take(32)
            else:
                self._mix(token)
        take(0)
        self.flight += 1

    def split(self) -> tuple[Records, Records]:
        """Return what this end seals with, and what it opens with."""
        ours, theirs = (Records(key) for key in hkdf(self.noise.ck, b"", 2))
        return (ours, theirs) if self.client else (theirs, ours)

    def _mix_ephemeral(self, key: bytes) -> bytes:
        self.noise.mix_hash(key)
        if self.pattern == 4:
            self.noise.mix_key(key)
        return key

    def _mix(self, token: str) -> None:
        if token == "psk":
            self.noise.mix_key_and_hash(self.psk)
            return
        client, server = token[0], token[1]
        ours, theirs = (client, server) if self.client else (server, client)
        private = self.ephemeral if ours == "e" else self.static
        try:
            self.noise.mix_key(crypto_scalarmult(private, self.remote[theirs]))
        except RuntimeError as error:  # A result of zeros.
            raise RefusedError from error
