"""The keys of one end of a sealed connection, and the Noise patterns that it uses them in.

The patterns are those of Noise revision 34, section 7.5 (XK, XX) and section 9.4 (the modifier
psk0 of NNpsk0), and of its extension for hybrid forward secrecy, section 5 (the modifier hfs);
docs/PROTOCOL.md section 6 says when each is used.
"""

from __future__ import annotations

from typing import Final

from ..wire import Pattern
from . import kem
from .cipher import KeyPair, Secret, require
from .handshake import Handshake, Preparation

_NAMES: Final = {
    Pattern.NNPSK0: "NNpsk0",
    Pattern.XK: "XK",
    Pattern.XX: "XX",
    Pattern.NNHFS_PSK0: "NNhfs+psk0",
    Pattern.XKHFS: "XKhfs",
    Pattern.XXHFS: "XXhfs",
}
_MAX_PREPARED: Final = 8
"""Preparations that one object keeps: one for each side, pattern and context in use."""


class Credentials(Secret):
    """Keys, and the handshake patterns that they are for.

    It keeps what its handshakes have in common, for as long as whoever holds the keys
    keeps it.

    :param patterns: a client has exactly one, a server those that it accepts
    :param psk: the pre-shared key, 32 bytes; for ``NNPSK0``
    :param static: our own private key, 32 bytes, or the pair, which saves
        computing the public key for each connection; for ``XK`` and ``XX``
    :param remote_static: the server's public key, 32 bytes; for a client with ``XK``
    """

    __slots__ = ("_prepared", "_psk", "_remote_static", "_static", "patterns")

    def __init__(
        self,
        *patterns: Pattern,
        psk: bytes | None = None,
        static: bytes | KeyPair | None = None,
        remote_static: bytes | None = None,
    ) -> None:
        self.patterns: Final = patterns
        self._psk = psk
        self._static = static
        self._remote_static = remote_static
        self._prepared: dict[tuple[Pattern, bool, bytes], Preparation] = {}

    def require(self, *, client: bool) -> None:
        """Check that one of the patterns can be used here.

        :param client: whose keys they are, for the error
        :raises MissingExtraError: ``cryptography`` is not installed; or all of them need
            ML-KEM-768, which it does not have
        """
        require()
        if all(pattern.post_quantum for pattern in self.patterns):
            kem.require("give post_quantum=False" if client else "give patterns= without hfs")

    def handshake(self, pattern: Pattern, *, initiator: bool, prologue: bytes) -> Handshake:
        """Return a new handshake of one of the patterns."""
        prepared = self._prepared.get((pattern, initiator, prologue))
        if prepared is None:
            prepared = Preparation(
                _NAMES[pattern],
                initiator=initiator,
                prologue=prologue,
                psk=self._psk,
                static=self._static,
                remote_static=self._remote_static,
            )
            if len(self._prepared) >= _MAX_PREPARED:
                self._prepared.clear()
            self._prepared[pattern, initiator, prologue] = prepared
        return Handshake.prepared(prepared)
