"""Notes each (key, nonce) pair that AES-GCM encrypts with, to find one used twice.

Two messages under one pair give away their difference and the key that
authenticates. The recorder stands where sealframe calls AES-GCM, below
CipherState, and so depends on none of the code that counts.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from sealframe.noise import cipher

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_REKEY_NONCE: Final = bytes(4) + b"\xff" * 8
_REKEY_PLAINTEXT: Final = bytes(32)
_SHOWN_CALLERS: Final = 6


class NonceRecorder:
    """What was encrypted with, over many tests, and what was encrypted with twice."""

    def __init__(self) -> None:
        self.active = True
        """Whether new pairs are noted; off for a test that uses fixed keys."""
        self.count = 0
        """How many encryptions were noted."""
        self._violations: list[str] = []
        # Digests, so that a key lives no longer for being watched.
        self._used: dict[bytes, set[bytes]] = {}
        self._lock = Lock()

    def install(self) -> None:
        """Let every cipher made from now on be watched."""
        # Only when first used: without the package sealframe must go on working.
        real = cipher.primitives

        @cache
        def watched() -> Any:
            package = real()
            return replace(package, aesgcm=self.watch(package.aesgcm))  # type: ignore[arg-type]

        setattr(cipher, "primitives", watched)  # noqa: B010 - mypy takes no other function there

    def take_violations(self) -> list[str]:
        """Return what was found since the last call."""
        found, self._violations = self._violations, []
        return found

    def watch(self, aesgcm: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
        """Return what makes objects like those of `aesgcm`, and notes what they encrypt with."""
        recorder = self

        class Watched:
            def __init__(self, key: bytes) -> None:
                real = aesgcm(key)
                self._real = real
                self.decrypt = real.decrypt
                self._key = blake2b(key, digest_size=16).digest()

            def encrypt(self, nonce: bytes, data: bytes, ad: bytes | None) -> bytes:
                recorder.note(self._key, nonce, data, ad)
                return self._real.encrypt(nonce, data, ad)  # type: ignore[no-any-return]

            def encrypt_into(
                self, nonce: bytes, data: bytes, ad: bytes | None, place: memoryview
            ) -> None:
                recorder.note(self._key, nonce, data, ad)
                self._real.encrypt_into(nonce, data, ad, place)

            def decrypt_into(
                self, nonce: bytes, data: bytes, ad: bytes | None, place: memoryview
            ) -> None:
                self._real.decrypt_into(nonce, data, ad, place)

        return Watched

    def note(self, key: bytes, nonce: bytes, data: bytes, ad: bytes | None) -> None:
        if nonce == _REKEY_NONCE:
            # Both ends replace one key so. The result is never sent, and is the same.
            if data != _REKEY_PLAINTEXT or ad:
                self._violations.append(f"the nonce of REKEY sealed data:\n{_callers()}")
            return
        if not self.active:
            return
        with self._lock:
            self.count += 1
            used = self._used.setdefault(key, set())
            before = len(used)
            used.add(nonce)
            if len(used) == before:
                number = int.from_bytes(nonce, "big")
                self._violations.append(f"nonce {number} sealed twice under one key:\n{_callers()}")


def _callers() -> str:
    frame: FrameType | None = sys._getframe(2)
    lines: list[str] = []
    while frame is not None and len(lines) < _SHOWN_CALLERS:
        code = frame.f_code
        lines.append(f"  {code.co_filename}:{frame.f_lineno} in {code.co_qualname}")
        frame = frame.f_back
    return "\n".join(lines)
