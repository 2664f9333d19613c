"""Keys as a program holds them, as text, and as files.

The text form of each kind is Bech32 with a prefix of its own, in capitals where it
is secret, so that a mistyped key is noticed and a key of another kind is named.
"""

from __future__ import annotations

import hmac
import os
import secrets
from typing import TYPE_CHECKING, Final, Self
from unicodedata import normalize

from ..buffers import BytesLike
from ..errors import KeyFormatError
from ..noise import cipher
from ..noise.cipher import KEY_SIZE, Secret, argon2id, raw_key
from ..noise.credentials import Credentials
from ..wire import INVITATION_SIZE, Pattern
from . import bech32, keyfile
from .patterns import SHARED, accepted_patterns

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_SHARED: Final = "sealframe-shared-key-"
_PRIVATE: Final = "sealframe-private-key-"
_PUBLIC: Final = "sealframe"
_INVITE: Final = "sealframe-invite-"
_KINDS: Final = {
    _SHARED: "a shared key",
    _PRIVATE: "a private key",
    _PUBLIC: "a public key",
    _INVITE: "an invitation",
}

_ANY: Final = ("NNpsk0",)
"""The handshakes that a server with a shared key accepts unless told otherwise."""

_PASSPHRASE_SALT: Final = b"sealframe shared key 1"
_PASSPHRASE_LENGTH: Final = 20
_PASSPHRASE_VARIETY: Final = 8


class _SecretKey(Secret):
    """32 secret bytes with a text form and a file form."""

    __slots__ = ("_raw",)
    # Unhashable: a hash is often printed or compared, and would leak part of the key.
    __hash__ = None  # type: ignore[assignment]

    _prefix: str
    _maker: str
    """The command that makes such a key file."""

    def __init__(self, raw: BytesLike) -> None:
        self._raw = raw_key(raw, _KINDS[self._prefix])

    @classmethod
    def generate(cls) -> Self:
        """Return a new key from the operating system's random source."""
        return cls(secrets.token_bytes(KEY_SIZE))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the key that `to_text` wrote; white space around it does not matter.

        :param text: all in capitals or all small
        :raises KeyFormatError: it is mistyped, or is a key of another kind
        """
        return cls(_decode(cls._prefix, text))

    def to_text(self) -> str:
        """Return the key as text in capitals. The text is the secret."""
        return bech32.encode(self._prefix, self._raw).upper()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a key file: one line with the key's text, and comment lines with ``#``.

        :param path: a file of at most 4 KiB which, except on Windows, belongs to this
            user or root, and gives its group and others no permission at all; of root's
            own user and group it may have mode 0440, as credentials of systemd have
            (``LoadCredential=``), where this process is not root
        :raises KeyFileError: it is not there, is not such a file, or cannot be read
        :raises KeyFormatError: it does not hold one key of this kind
        """
        return cls(cls._read(path))

    @classmethod
    def _read(cls, path: str | os.PathLike[str]) -> bytes:
        name = os.fspath(path)
        text = keyfile.read(name, maker=cls._maker)
        try:
            return _decode(cls._prefix, text)
        except KeyFormatError as error:
            raise KeyFormatError(f"{name}: {error}") from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a new key file that only its owner can read (mode 0600).

        On Windows the folder's access rules apply instead of the mode. The data is
        on the disk when this returns; if it raises, no file is left.

        :raises KeyFileError: something is there already, which is never overwritten,
            or the file cannot be written
        """
        keyfile.write(os.fspath(path), self.to_text(), *self._comments())

    def secret_bytes(self) -> bytes:
        """Return the 32 secret bytes."""
        return self._raw

    def _comments(self) -> list[str]:
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return hmac.compare_digest(self._raw, other._raw)


class SharedKey(_SecretKey):
    """A secret key that every side of a connection has: 32 bytes, never changed.

    Whoever holds it can connect, and can also pose as the server. Keys compare
    equal in constant time, cannot be hashed, pickled or copied, and show nothing
    of themselves in ``repr``. The text form is ``SEALFRAME-SHARED-KEY-1...``, 80
    characters.

    :param raw: 32 random bytes; `generate` makes them
    :param post_quantum: whether a client asks for keys that come of ML-KEM-768 beside X25519;
        False for servers that do not have it. It never tries the other by itself
    :param patterns: Noise handshakes that a server accepts, whatever ``post_quantum`` says:
        ``("NNpsk0",)`` is with ML-KEM-768 and without, ``("NNhfs+psk0",)`` with it alone
    :raises KeyFormatError: there are not 32 of them
    :raises ConfigurationError: ``patterns`` is something else
    """

    __slots__ = ("_as_client", "_as_server")
    _prefix = _SHARED
    _maker = "sealframe keygen --shared"

    def __init__(
        self,
        raw: BytesLike,
        *,
        post_quantum: bool = True,
        patterns: Collection[str] = _ANY,
    ) -> None:
        super().__init__(raw)
        # What connections have in common is worked out once, and goes with the key.
        own = Pattern.NNHFS_PSK0 if post_quantum else Pattern.NNPSK0
        self._as_client = Credentials(own, psk=self._raw)
        accepted = accepted_patterns(
            patterns, SHARED, advice="('NNpsk0',), or post-quantum alone ('NNhfs+psk0',)"
        )
        self._as_server = Credentials(*accepted, psk=self._raw)

    @classmethod
    def generate(cls, *, post_quantum: bool = True, patterns: Collection[str] = _ANY) -> Self:
        """Return a new key from the operating system's random source.

        :param post_quantum: as of the class
        :param patterns: as of the class
        """
        return cls(secrets.token_bytes(KEY_SIZE), post_quantum=post_quantum, patterns=patterns)

    @classmethod
    def from_text(
        cls, text: str, *, post_quantum: bool = True, patterns: Collection[str] = _ANY
    ) -> Self:
        """Return the key that `to_text` wrote; white space around it does not matter.

        :param text: all in capitals or all small
        :param post_quantum: as of the class
        :param patterns: as of the class
        :raises KeyFormatError: it is mistyped, or is a key of another kind
        """
        return cls(_decode(_SHARED, text), post_quantum=post_quantum, patterns=patterns)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        post_quantum: bool = True,
        patterns: Collection[str] = _ANY,
    ) -> Self:
        """Read a key file, as :meth:`PrivateKey.load` does.

        :param post_quantum: as of the class
        :param patterns: as of the class
        :raises KeyFileError: it is not there, is not such a file, or cannot be read
        :raises KeyFormatError: it does not hold one shared key
        """
        return cls(cls._read(path), post_quantum=post_quantum, patterns=patterns)

    @classmethod
    def from_passphrase(
        cls,
        passphrase: str,
        *,
        salt: bytes = _PASSPHRASE_SALT,
        post_quantum: bool = True,
        patterns: Collection[str] = _ANY,
    ) -> Self:
        """Return the key that belongs to a passphrase, the same one everywhere.

        The key is Argon2id (RFC 9106; 64 MiB, 3 passes, 4 lanes) of the passphrase
        in Unicode form NFKC, as UTF-8. Whoever records one handshake can try
        passphrases at leisure, so it must be one that nobody guesses: the eight
        words of ``sealframe keygen --words``, say. A generated key is always better.

        This blocks for some tenths of a second and needs 64 MiB: in a program
        with an event loop call it before the loop starts. From ``cryptography`` 50
        on :func:`asyncio.to_thread` lets the loop run meanwhile; older ones hold
        up every thread.

        :param passphrase: at least 20 characters, 8 different ones among them, all
            of them printable
        :param salt: at least 8 bytes, the same on all sides; a value of your own
            keeps guesses that were worked out for others from serving against you
        :param post_quantum: as of the class
        :param patterns: as of the class
        :raises KeyFormatError: the passphrase is too weak or the salt too short
        :raises MissingExtraError: ``cryptography`` is not installed
        :raises NotSupportedError: its OpenSSL has no Argon2id
        """
        text = normalize("NFKC", passphrase)
        # Line ends and surrogates get into a passphrase by accident, from files and terminals,
        # and another machine would derive another key from it.
        if not text.isprintable():
            raise KeyFormatError("a passphrase cannot hold line breaks or invisible characters")
        if len(text) < _PASSPHRASE_LENGTH or len(set(text)) < _PASSPHRASE_VARIETY:
            raise KeyFormatError(
                f"a passphrase needs at least {_PASSPHRASE_LENGTH} characters, "
                f"{_PASSPHRASE_VARIETY} different ones among them; "
                "better still, use a key made by: sealframe keygen --shared"
            )
        raw = argon2id(text.encode(), salt)
        return cls(raw, post_quantum=post_quantum, patterns=patterns)

    def _comments(self) -> list[str]:
        return ["A sealframe shared key. Whoever has it can join and read: keep it secret."]


def shared_credentials(key: SharedKey, *, client: bool) -> Credentials:
    """Return what the Noise handshake of a client or of a server needs of a shared key."""
    return key._as_client if client else key._as_server


class PrivateKey(_SecretKey):
    """The secret half of an identity: an X25519 private key (RFC 7748), 32 bytes.

    It never leaves the machine; others are given `public_key`. It compares, hashes
    and shows itself as little as a :class:`SharedKey` does. The text form is
    ``SEALFRAME-PRIVATE-KEY-1...``, 81 characters.

    :param raw: 32 random bytes; `generate` makes them
    :raises KeyFormatError: there are not 32 of them
    """

    __slots__ = ("_public",)
    _prefix = _PRIVATE
    _maker = "sealframe keygen"

    def __init__(self, raw: BytesLike) -> None:
        super().__init__(raw)
        self._public: PublicKey | None = None

    @property
    def public_key(self) -> PublicKey:
        """The public half.

        :raises MissingExtraError: ``cryptography`` is not installed
        """
        if self._public is None:
            self._public = PublicKey(cipher.public_key(self._raw))
        return self._public

    def _comments(self) -> list[str]:
        return [
            "A sealframe private key. It stays on this machine: keep it secret.",
            f"public key: {self.public_key}",
        ]


class PublicKey:
    """The half of an identity that others are given, 32 bytes; no secret.

    The text form is ``sealframe1...``, 68 characters, and is also its ``str``. Keys
    are hashable and equal if their bytes are; ``bytes(key)`` returns them.

    :param raw: the 32 bytes of an X25519 public key
    :raises KeyFormatError: there are not 32 of them
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: BytesLike) -> None:
        self._raw = raw_key(raw, "a public key")

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the key that `to_text` wrote; white space around it does not matter.

        :raises KeyFormatError: it is mistyped, or is a key of another kind
        """
        return cls(_decode(_PUBLIC, text))

    def to_text(self) -> str:
        """Return the key as text of 68 characters."""
        return bech32.encode(_PUBLIC, self._raw)

    def __bytes__(self) -> bytes:
        return self._raw

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return f"PublicKey.from_text({self.to_text()!r})"

    def __eq__(self, other: object) -> bool:
        return self._raw == other._raw if isinstance(other, PublicKey) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._raw)

    def __reduce__(self) -> tuple[Callable[[bytes], PublicKey], tuple[bytes]]:
        return type(self), (self._raw,)


class Invitation(Secret):
    """Lets one new client in, once: the server's public key and a secret token.

    Made by :meth:`sealframe.ServerIdentity.invite`. The text form is
    ``SEALFRAME-INVITE-1...``, 88 characters.
    """

    __slots__ = ("server", "token")

    def __init__(self, server: PublicKey, token: bytes) -> None:
        if len(token) != INVITATION_SIZE:
            raise KeyFormatError(f"a token is {INVITATION_SIZE} bytes, not {len(token)}")
        self.server = server
        """The public key of the server that made it."""
        self.token = token
        """The secret that the client shows in its encrypted HELLO: 8 bytes (docs/PROTOCOL.md
        section 6)."""

    @classmethod
    def generate(cls, server: PublicKey) -> Self:
        """Return a new one from the operating system's random source."""
        # 64 bits are enough: guesses can be tested only by asking the server.
        return cls(server, secrets.token_bytes(INVITATION_SIZE))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the invitation that `to_text` wrote.

        :raises KeyFormatError: it is mistyped, or is something else
        """
        raw = _decode(_INVITE, text)
        return cls(PublicKey(raw[:KEY_SIZE]), raw[KEY_SIZE:])

    def to_text(self) -> str:
        """Return it as text of 88 characters. The text is a secret while it is valid."""
        return bech32.encode(_INVITE, bytes(self.server) + self.token).upper()


def _decode(wanted: str, text: str) -> bytes:
    if not isinstance(text, str):
        raise TypeError(f"a key's text is str, not {type(text).__name__}")
    prefix, raw = bech32.decode(text.strip())
    if prefix != wanted:
        kind = _KINDS.get(prefix, f"of the kind {prefix.upper()}1...")
        shown = wanted if wanted == _PUBLIC else wanted.upper()
        raise KeyFormatError(f"this is {kind}, and {_KINDS[wanted]} is needed: {shown}1...")
    return raw
