"""AES-256-GCM with a counter, X25519 and Argon2id: all that needs ``cryptography``.

No other module imports that package, and this one does so at first use, so that
sealframe works without it for as long as nothing is to be sealed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cache
from threading import RLock
from typing import TYPE_CHECKING, Final, NoReturn
from weakref import ref

from ..buffers import BytesLike
from ..errors import (
    DecryptionError,
    KeyFormatError,
    MissingExtraError,
    NonceExhaustedError,
    NotSupportedError,
)
from ..framing import IMPLEMENTATION

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

if TYPE_CHECKING or IMPLEMENTATION == "python":
    from ._record_cipher_py import Aead, RecordCipher
else:
    from ._record_cipher import RecordCipher

__all__ = [
    "KEY_SIZE",
    "TAG_SIZE",
    "CipherState",
    "KeyPair",
    "argon2id",
    "generate_keypair",
    "public_key",
    "x25519",
]

KEY_SIZE: Final = 32
"""Bytes in every key here: AES-256, X25519 private and public, pre-shared."""
TAG_SIZE: Final = 16
"""Bytes by which a ciphertext is longer than its plaintext."""

MINIMUM_VERSION: Final = "48.0.1"
"""The ``cryptography`` that the extra ``crypto`` asks for, as errors name it."""

MAX_AWAKE: Final = 256
"""``AESGCM`` objects that are kept at a time; each connection has two ciphers. A cipher whose
object was dropped (asleep) makes another at its next use."""
_RESERVED_NONCE: Final = 2**64 - 1  # Noise, section 5.1: for REKEY alone
_NONCE_SIZE: Final = 12


@dataclass(frozen=True, slots=True)
class Primitives:
    """The parts of ``cryptography`` that are used."""

    aesgcm: type[AESGCM]
    invalid_tag: type[InvalidTag]
    generate: Callable[[], X25519PrivateKey]
    private_key: Callable[[bytes], X25519PrivateKey]
    public_key: Callable[[bytes], X25519PublicKey]
    argon2id: type[Argon2id]
    unsupported: type[UnsupportedAlgorithm]


@cache
def primitives() -> Primitives:
    """Import ``cryptography`` at the first call.

    :raises MissingExtraError: it is not installed, is too old, or cannot be imported
    """
    try:
        from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.x25519 import (
            X25519PrivateKey,
            X25519PublicKey,
        )
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
    except ModuleNotFoundError as error:
        raise _missing() from error
    except ImportError as error:
        # It is there: its own words, as of a subinterpreter, are the ones that help.
        raise MissingExtraError(
            f"sealing needs the cryptography package, which cannot be imported here: {error}"
        ) from error
    if not hasattr(AESGCM, "decrypt_into"):
        raise _missing()
    return Primitives(
        aesgcm=AESGCM,
        invalid_tag=InvalidTag,
        generate=X25519PrivateKey.generate,
        private_key=X25519PrivateKey.from_private_bytes,
        public_key=X25519PublicKey.from_public_bytes,
        argon2id=Argon2id,
        unsupported=UnsupportedAlgorithm,
    )


def _missing() -> MissingExtraError:
    return MissingExtraError(
        f"sealing needs the cryptography package, version {MINIMUM_VERSION} or newer: "
        'run: pip install "sealframe[crypto]"'
    )


def require() -> None:
    """Check that sealing is possible here, before anything depends on it.

    :raises MissingExtraError: ``cryptography`` is not installed, or is too old
    """
    primitives()


def raw_key(value: BytesLike, name: str) -> bytes:
    """Return `value` as ``bytes`` once it is known to be a key.

    :param value: 32 bytes
    :param name: what to call it in the error
    :raises KeyFormatError: it has another length
    :raises TypeError: it is not bytes-like
    """
    # Through a memoryview, because bytes(32) would make a key of zeros.
    raw = bytes(memoryview(value))
    if len(raw) != KEY_SIZE:
        raise KeyFormatError(f"{name} must be {KEY_SIZE} bytes, not {len(raw)}")
    return raw


def _octets(data: BytesLike) -> BytesLike:
    # The package refuses views whose items are wider than a byte.
    return memoryview(data).cast("B")


class Secret:
    """Base of what holds key material: nothing of it in a repr, no pickle, no copy."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds a secret and cannot be pickled or copied")


_changing: Final = RLock()
"""Held, for all ciphers, while one claims a nonce or gives it back, or changes its key or its
``AESGCM`` object. Never while data is encrypted. A finalizer or a signal handler may use a cipher
at any time, so a thread may take it again."""


class CipherState(Secret, RecordCipher):
    """AES-256-GCM under one key, with a counter as the nonce.

    This is the CipherState of the Noise specification, revision 34, section 5.1,
    with the ``AESGCM`` functions of section 12.4: the nonce is four zero bytes and
    the counter as a 64-bit big-endian number. One object serves one direction; each
    call that succeeds takes the next counter value. Calls from several threads
    are safe: a nonce is never used twice.

    `cryptography` releases the GIL while it encrypts, and two uses of one nonce give away
    AES-GCM's authentication key (RFC 5116, section 5.1.1). So each call claims its nonce
    before it encrypts. One that fails gives it back, unless another call has come since.

    :param key: 32 bytes, never to be given to a second object that seals
    :raises KeyFormatError: the key is not 32 bytes long
    :raises MissingExtraError: ``cryptography`` is not installed
    """

    # Each idle sealed connection has two.
    __slots__ = ("__weakref__", "_key")

    def __init__(self, key: BytesLike) -> None:
        require()
        self._key = raw_key(key, "a cipher key")
        self.aead = None
        self.next_nonce = 0

    @property
    def nonce(self) -> int:
        """The counter value that the next call will use."""
        return self.next_nonce

    @property
    def is_awake(self) -> bool:
        """Whether it has its ``AESGCM`` object now; it makes one at its next use otherwise."""
        return self.aead is not None

    def secret_bytes(self) -> bytes:
        """Return the key that is in use now, 32 bytes: a secret, for a key log."""
        return self._key

    def set_nonce(self, nonce: int) -> None:
        """Skip counter values: SetNonce of section 5.1. It never goes back.

        :raises ValueError: the value was used already
        """
        with _changing:
            if nonce < self.next_nonce:
                raise ValueError(f"nonce {nonce} was used: the next one is {self.next_nonce}")
            self.next_nonce = nonce

    def seal(self, plaintext: BytesLike, ad: BytesLike = b"") -> bytes:
        """Encrypt and authenticate.

        :param plaintext: any bytes-like object, less than 2**31 bytes
        :param ad: authenticated along with it, and not part of the result
        :returns: the ciphertext, 16 bytes longer than the plaintext
        :raises NonceExhaustedError: every counter value was used
        """
        data = plaintext if type(plaintext) is bytes else _octets(plaintext)
        more = ad if type(ad) is bytes else _octets(ad)
        aead, nonce = self.aead or self.wake(), self._claim()
        try:
            return aead.encrypt(_encoded(nonce), data, more or None)
        except BaseException:
            self.give_back(nonce)
            raise

    def open(self, ciphertext: BytesLike, ad: BytesLike = b"") -> bytes:
        """Verify and decrypt. A failed call leaves the object as it was.

        :param ciphertext: what ``seal`` returned; any bytes-like object
        :param ad: what ``seal`` was given
        :returns: the plaintext, 16 bytes shorter
        :raises DecryptionError: it was not sealed under this key, counter value and
            `ad`, or was changed since, or is shorter than 16 bytes
        :raises NonceExhaustedError: every counter value was used
        """
        data = ciphertext if type(ciphertext) is bytes else _octets(ciphertext)
        more = ad if type(ad) is bytes else _octets(ad)
        aead, nonce = self.aead or self.wake(), self._claim()
        try:
            return aead.decrypt(_encoded(nonce), data, more or None)
        except BaseException as error:
            self.give_back(nonce)
            if isinstance(error, primitives().invalid_tag):
                raise DecryptionError("the ciphertext is not authentic") from None
            raise

    def rekey(self) -> None:
        """Replace the key by one derived from it; the counter goes on.

        This is Rekey of Noise revision 34, sections 4.2 and 11.3: the key becomes the first
        32 bytes of ENCRYPT(k, 2^64 - 1, "", zeros). The old key cannot be computed from it.
        """
        with _changing:
            aead = self.aead or self.wake()
            derived = aead.encrypt(_encoded(_RESERVED_NONCE), bytes(KEY_SIZE), None)
            self._key = derived[:KEY_SIZE]
            aead = primitives().aesgcm(self._key)
            # If it was put to sleep meanwhile, `awake` has no entry for it: it stays asleep, or
            # more would be awake than counted.
            if self.aead is not None:
                self.aead = aead

    def wake(self) -> Aead:
        """Make the ``AESGCM`` object; beyond ``MAX_AWAKE``, drop the oldest of another cipher.

        It takes 2.5 KB, most of what an idle sealed connection would cost, and a microsecond
        to make.
        """
        with _changing:
            aead = self.aead
            if aead is not None:
                return aead
            self.aead = aead = primitives().aesgcm(self._key)
            awake.append(ref(self))
            if len(awake) > MAX_AWAKE:
                other = awake.popleft()()
                if other is not None:
                    other.aead = None
        return aead

    def exhausted(self) -> NonceExhaustedError:
        """Return the error for a key of which all nonces are used."""
        return NonceExhaustedError("every nonce of this key was used; open a new connection")

    def misfit(self, place: memoryview, size: int) -> ValueError:
        """Return the error for a place of another size."""
        return ValueError(f"the place for the result has {len(place)} bytes, not {size}")

    def refusal(self, error: Exception) -> Exception:
        """Return the error for what does not open."""
        if isinstance(error, primitives().invalid_tag):
            return DecryptionError("the ciphertext is not authentic")
        return error

    def _claim(self) -> int:
        """Take the next counter value, which no other call gets."""
        with _changing:
            nonce = self.next_nonce
            if nonce >= _RESERVED_NONCE:
                raise self.exhausted()
            self.next_nonce = nonce + 1
        return nonce

    def give_back(self, nonce: int) -> None:
        """Nothing was encrypted with it: it is the next one again, if it was the last claimed."""
        with _changing:
            if self.next_nonce == nonce + 1:
                self.next_nonce = nonce


def _encoded(nonce: int) -> bytes:
    # As 12 big-endian bytes, a 64-bit counter has the four zero bytes in front.
    return nonce.to_bytes(_NONCE_SIZE, "big")


awake: Final[deque[ref[CipherState]]] = deque()
"""The ciphers that have an ``AESGCM`` object, those that made it first in front."""


class KeyPair(Secret):
    """An X25519 (RFC 7748) private key and its public key, which is costly to compute.

    :param private: 32 bytes
    :raises KeyFormatError: `private` is not 32 bytes long
    """

    __slots__ = ("_private", "public")

    def __init__(self, private: BytesLike) -> None:
        self._set(primitives().private_key(raw_key(private, "a private key")))

    @classmethod
    def generate(cls) -> Self:
        """Return a new one."""
        pair = cls.__new__(cls)
        pair._set(primitives().generate())
        return pair

    def _set(self, private: X25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()
        """The public key, 32 bytes."""

    def agree(self, public: BytesLike) -> bytes:
        """Return the secret that the private key and the peer's public key agree on.

        :param public: 32 bytes
        :returns: 32 bytes; not uniform, so to be hashed before it serves as a key
        :raises KeyFormatError: the public key is not 32 bytes long, or of low order, so
            that the result would be all zeros (RFC 7748, section 6.1)
        """
        theirs = primitives().public_key(raw_key(public, "a public key"))
        try:
            return self._private.exchange(theirs)
        except ValueError:
            raise KeyFormatError(
                "the public key is of low order: no secret can be agreed with it"
            ) from None


def generate_keypair() -> tuple[bytes, bytes]:
    """Return a new X25519 private key and its public key, 32 bytes each."""
    pair = KeyPair.generate()
    return pair._private.private_bytes_raw(), pair.public


def public_key(private: BytesLike) -> bytes:
    """Return the X25519 public key of `private`, both 32 bytes.

    :raises KeyFormatError: `private` is not 32 bytes long
    """
    return KeyPair(private).public


def x25519(private: BytesLike, public: BytesLike) -> bytes:
    """Return the secret that our private and the peer's public key agree on.

    For the parameters and errors see :class:`KeyPair`.
    """
    return KeyPair(private).agree(public)


def argon2id(passphrase: bytes, salt: bytes) -> bytes:
    """Return a 32-byte key made from a passphrase by Argon2id.

    The parameters are the second recommendation of RFC 9106, section 4: 64 MiB of
    memory, 3 passes, 4 lanes. The call blocks for some tenths of a second.

    :param salt: at least 8 bytes, best 16 random ones
    :raises KeyFormatError: the salt is shorter
    :raises NotSupportedError: OpenSSL as used by ``cryptography`` has no Argon2id
    """
    if len(salt) < 8:
        raise KeyFormatError(f"a salt must be at least 8 bytes, not {len(salt)}")
    package = primitives()
    try:
        function = package.argon2id(
            salt=salt, length=KEY_SIZE, iterations=3, lanes=4, memory_cost=64 * 1024
        )
    except package.unsupported:
        raise NotSupportedError(
            "the OpenSSL that cryptography uses has no Argon2id (it came with 3.2): "
            "use a generated key instead of a passphrase"
        ) from None
    return function.derive(passphrase)
