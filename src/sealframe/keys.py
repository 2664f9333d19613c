"""Keys as a program holds them, as text, and as files.

A shared key is 32 secret bytes that all sides of a sealed connection have. Its
text form is Bech32 in capitals, so that a mistyped key is noticed and a key of
another kind is named.
"""

from __future__ import annotations

import hmac
import os
import secrets
import shlex
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final, Self
from unicodedata import normalize

from . import bech32
from .cipher import KEY_SIZE, BytesLike, Secret, argon2id, raw_key
from .errors import KeyFileError, KeyFormatError

_SHARED_PREFIX: Final = "sealframe-shared-key-"
_MAX_FILE: Final = 4096
_FILE_COMMENT: Final = "# A sealframe shared key. Whoever has it can join and read: keep it secret."
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

_PASSPHRASE_SALT: Final = b"sealframe shared key 1"
_PASSPHRASE_LENGTH: Final = 20
_PASSPHRASE_VARIETY: Final = 8


class SharedKey(Secret):
    """A secret key that every side of a connection has: 32 bytes, never changed.

    Whoever holds it can connect, and can also pose as the server. Keys compare
    equal in constant time, cannot be hashed, pickled or copied, and show nothing
    of themselves in ``repr``.

    :param raw: 32 random bytes; `generate` makes them
    :raises KeyFormatError: there are not 32 of them
    """

    __slots__ = ("_raw",)
    # A hash is often printed or compared, and would tell something of the key.
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, raw: BytesLike) -> None:
        self._raw = raw_key(raw, "a shared key")

    @classmethod
    def generate(cls) -> Self:
        """Return a new key from the operating system's random source."""
        return cls(secrets.token_bytes(KEY_SIZE))

    @classmethod
    def from_passphrase(cls, passphrase: str, *, salt: bytes = _PASSPHRASE_SALT) -> Self:
        """Return the key that belongs to a passphrase, the same one everywhere.

        The key is Argon2id (RFC 9106; 64 MiB, 3 passes, 4 lanes) of the passphrase
        in Unicode form NFKC, as UTF-8. Whoever records one handshake can try
        passphrases at leisure, so it must be one that nobody guesses: six words
        drawn by dice, say. A generated key is always better.

        This blocks for some tenths of a second and needs 64 MiB: in a program
        with an event loop call it before the loop starts, or through
        :func:`asyncio.to_thread`.

        :param passphrase: at least 20 characters, 8 different ones among them, all
            of them printable
        :param salt: at least 8 bytes, the same on all sides; a value of your own
            keeps guesses that were worked out for others from serving against you
        :raises KeyFormatError: the passphrase is too weak or the salt too short
        :raises MissingExtraError: ``cryptography`` is not installed
        :raises NotSupportedError: its OpenSSL has no Argon2id
        """
        text = normalize("NFKC", passphrase)
        # Line ends and surrogates come from files and terminals by accident, and
        # another machine would then make another key.
        if not text.isprintable():
            raise KeyFormatError("a passphrase cannot hold line breaks or invisible characters")
        if len(text) < _PASSPHRASE_LENGTH or len(set(text)) < _PASSPHRASE_VARIETY:
            raise KeyFormatError(
                f"a passphrase needs at least {_PASSPHRASE_LENGTH} characters, "
                f"{_PASSPHRASE_VARIETY} different ones among them; "
                "better still, use a key made by: sealframe keygen"
            )
        return cls(argon2id(text.encode(), salt))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the key that `to_text` wrote; white space around it does not matter.

        :param text: ``SEALFRAME-SHARED-KEY-1...``, all in capitals or all small
        :raises KeyFormatError: it is mistyped, or is a key of another kind
        """
        prefix, raw = bech32.decode(text.strip())
        if prefix != _SHARED_PREFIX:
            raise KeyFormatError(
                f"this is of the kind {prefix.upper()}1..., "
                f"and a shared key is needed: {_SHARED_PREFIX.upper()}1..."
            )
        return cls(raw)

    def to_text(self) -> str:
        """Return the key as text of 80 characters. The text is the secret."""
        return bech32.encode(_SHARED_PREFIX, self._raw).upper()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a key file: one line with the key's text, and comment lines with ``#``.

        :param path: a file of at most 4 KiB which, except on Windows, gives its group
            and others no permission at all
        :raises KeyFileError: it is not there, is not such a file, or cannot be read
        :raises KeyFormatError: it does not hold one shared key
        """
        name = os.fspath(path)
        lines = [line.strip() for line in _read(name).decode("ascii", "replace").splitlines()]
        texts = [line for line in lines if line and not line.startswith("#")]
        if len(texts) != 1:
            raise KeyFormatError(f"{name} must hold one line with a key, not {len(texts)}")
        try:
            return cls.from_text(texts[0])
        except KeyFormatError as error:
            raise KeyFormatError(f"{name}: {error}") from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a new key file that only its owner can read (mode 0600).

        On Windows the folder's access rules apply instead of the mode. The data is
        on the disk when this returns; if it raises, no file is left.

        :raises KeyFileError: something is there already, which is never overwritten,
            or the file cannot be written
        """
        name = os.fspath(path)
        try:
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise KeyFileError(
                f"{name} is there already and is not overwritten: choose another name"
            ) from None
        except OSError as error:
            raise KeyFileError(f"cannot write the key file {name}: {error.strerror}") from None
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(f"{_FILE_COMMENT}\n{self.to_text()}\n".encode())
                file.flush()
                os.fsync(file.fileno())
        except BaseException as error:
            with suppress(OSError):
                Path(name).unlink()
            if isinstance(error, OSError):
                raise KeyFileError(f"cannot write the key file {name}: {error.strerror}") from None
            raise

    def secret_bytes(self) -> bytes:
        """Return the 32 secret bytes, for use as a pre-shared key."""
        return self._raw

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SharedKey):
            return NotImplemented
        return hmac.compare_digest(self._raw, other._raw)


def _without_waiting(path: str, flags: int) -> int:
    # Else a named pipe that nobody writes to would hold us up before it is refused.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read(name: str) -> bytes:
    try:
        with open(name, "rb", opener=_without_waiting) as file:
            # Of what was opened: what the path names may change at any moment.
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise KeyFileError(f"{name} is not a file with a key in it")
            if os.name == "posix" and mode & _OTHERS:
                raise KeyFileError(
                    f"the key file {name} is readable by others; run: chmod 600 {shlex.quote(name)}"
                )
            data = file.read(_MAX_FILE + 1)
    except KeyFileError:
        raise
    except FileNotFoundError:
        raise KeyFileError(
            f"there is no key file {name}; make one with: sealframe keygen {shlex.quote(name)}"
        ) from None
    except OSError as error:
        raise KeyFileError(f"cannot read the key file {name}: {error.strerror}") from None
    if len(data) > _MAX_FILE:
        raise KeyFileError(f"{name} is too large to be a key file")
    return data
