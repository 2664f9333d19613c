"""ML-KEM-768 (FIPS 203): the post-quantum half of the hybrid handshakes.

The wheels of every ``cryptography`` that the extra ``crypto`` allows have it. One that was built
with an OpenSSL without it has not; everything else is sealed then.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from ..errors import KeyFormatError, MissingExtraError
from .cipher import MINIMUM_VERSION, Secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from cryptography.hazmat.primitives.asymmetric.mlkem import (
        MLKEM768PrivateKey,
        MLKEM768PublicKey,
    )

PUBLIC_SIZE: Final = 1184
"""Bytes of an encapsulation key (FIPS 203, table 3)."""
CIPHERTEXT_SIZE: Final = 1088
"""Bytes of a ciphertext."""
SEED_SIZE: Final = 64
"""Bytes that a decapsulation key is made from: d and z (FIPS 203, section 7.1)."""


@dataclass(frozen=True, slots=True)
class Primitives:
    """The parts of ``cryptography`` that are used."""

    generate: Callable[[], MLKEM768PrivateKey]
    private_key: Callable[[bytes], MLKEM768PrivateKey]
    public_key: Callable[[bytes], MLKEM768PublicKey]


@cache
def primitives() -> Primitives | None:
    """Import ML-KEM at the first call; None where this installation has none."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.mlkem import (
            MLKEM768PrivateKey,
            MLKEM768PublicKey,
        )
    except ImportError:
        return None
    try:
        MLKEM768PrivateKey.generate()
    except UnsupportedAlgorithm:
        # Its classes are there whatever OpenSSL it was built with.
        return None
    return Primitives(
        generate=MLKEM768PrivateKey.generate,
        private_key=MLKEM768PrivateKey.from_seed_bytes,
        public_key=MLKEM768PublicKey.from_public_bytes,
    )


def is_available() -> bool:
    """Return whether this installation has ML-KEM-768."""
    return primitives() is not None


def require(instead: str = "take a pattern without hfs") -> Primitives:
    """Return the parts that are used.

    :param instead: what to do without it, for the error
    :raises MissingExtraError: this installation has no ML-KEM-768
    """
    package = primitives()
    if package is None:
        raise MissingExtraError(
            "the post-quantum handshake needs ML-KEM-768, which the installed cryptography does "
            "not have: run: pip install --upgrade cryptography, whose wheels have it "
            f"({MINIMUM_VERSION} or newer), or {instead}"
        )
    return package


class DecapsulationKey(Secret):
    """A key pair for one handshake, and for one ciphertext.

    :param seed: 64 random bytes, d and z of FIPS 203
    :raises KeyFormatError: there are not 64 of them
    :raises MissingExtraError: this installation has no ML-KEM-768
    """

    __slots__ = ("_private", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_SIZE:
            raise KeyFormatError(f"a seed must be {SEED_SIZE} bytes, not {len(seed)}")
        self._set(require().private_key(seed))

    @classmethod
    def generate(cls) -> Self:
        """Return a new one.

        :raises MissingExtraError: this installation has no ML-KEM-768
        """
        pair = cls.__new__(cls)
        pair._set(require().generate())
        return pair

    def _set(self, private: MLKEM768PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()
        """The encapsulation key, 1,184 bytes."""

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """Return the secret of a ciphertext, 32 bytes.

        A ciphertext that was made for another key, or was changed, gives another secret and no
        error (FIPS 203, section 6.3: implicit rejection).

        :param ciphertext: 1,088 bytes
        :raises KeyFormatError: it has another length
        """
        try:
            return self._private.decapsulate(ciphertext)
        except ValueError:
            raise KeyFormatError("the ML-KEM-768 ciphertext has the wrong length") from None


class EncapsulationKey:
    """The public half of a key pair, as the peer sent it.

    :param public: 1,184 bytes
    :raises KeyFormatError: it has another length, or a coefficient that is not reduced (FIPS 203,
        section 7.2)
    :raises MissingExtraError: this installation has no ML-KEM-768
    """

    __slots__ = ("_public",)

    def __init__(self, public: bytes) -> None:
        try:
            self._public = require().public_key(public)
        except ValueError:
            raise KeyFormatError("the ML-KEM-768 encapsulation key is malformed") from None

    def encapsulate(self) -> tuple[bytes, bytes]:
        """Return a new ciphertext for the holder of the pair, 1,088 bytes, and its secret, 32."""
        secret, ciphertext = self._public.encapsulate()
        return ciphertext, secret
