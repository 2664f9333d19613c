"""The Noise handshake, bytes in and bytes out: Noise_*_25519_AESGCM_SHA256.

Section numbers here are those of the Noise Protocol Framework, revision 34.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from ..buffers import BytesLike
from ..errors import (
    ConfigurationError,
    DecryptionError,
    HandshakeError,
    KeyFormatError,
    MessageTooLargeError,
)
from .cipher import KEY_SIZE, TAG_SIZE, CipherState, KeyPair, Secret, primitives, raw_key, require

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Handshake", "Preparation", "SymmetricState"]


class _Pattern(NamedTuple):
    """A handshake pattern (section 7), with its modifiers (section 9)."""

    messages: tuple[tuple[str, ...], ...]
    """The tokens of each message. The initiator sends the first, then they take turns."""
    responder_known: bool = False
    """The initiator has the responder's static key beforehand: pre-message ``<- s``."""


PATTERNS: Final = {
    "NNpsk0": _Pattern((("psk", "e"), ("e", "ee"))),
    "XK": _Pattern((("e", "es"), ("e", "ee"), ("s", "se")), responder_known=True),
    "XX": _Pattern((("e",), ("e", "ee", "s", "es"), ("s", "se"))),
}

_HASH_SIZE: Final = 32  # HASHLEN of SHA256, section 12.6
_MAX_MESSAGE: Final = 65_535  # section 3
_MAX_OVERHEAD: Final = KEY_SIZE + (KEY_SIZE + TAG_SIZE) + TAG_SIZE
"""The most that a message adds to its payload: ``e``, encrypted ``s``, tag."""

_NOT_VALID: Final = (
    "the handshake message is not valid: the two sides have different keys or contexts, "
    "or it was changed on its way"
)


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
    DecryptAndHash pass the data through. There is no :class:`CipherState`: most keys
    of a handshake are for one message, and some for none.
    """

    __slots__ = ("_chaining_key", "_key", "_nonce", "hash")

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
            aead = primitives().aesgcm(self._key)
            sealed = aead.encrypt(self._next_nonce(), plaintext, self.hash)
        self.mix_hash(sealed)
        return sealed

    def decrypt_and_hash(self, sealed: bytes) -> bytes:
        plaintext = sealed
        if self._key:
            package = primitives()
            aead = package.aesgcm(self._key)
            try:
                plaintext = aead.decrypt(self._next_nonce(), sealed, self.hash)
            except package.invalid_tag:
                raise DecryptionError("the ciphertext is not authentic") from None
        self.mix_hash(sealed)
        return plaintext

    def split(self) -> tuple[CipherState, CipherState]:
        first, second = hkdf(self._chaining_key, b"", 2)
        return CipherState(first), CipherState(second)

    def _set_key(self, key: bytes) -> None:
        self._key = key
        self._nonce = 0

    def _next_nonce(self) -> bytes:
        # Four zero bytes and a 64-bit big-endian counter (section 12.4).
        nonce = self._nonce
        self._nonce = nonce + 1
        return nonce.to_bytes(12, "big")


class Preparation(Secret):
    """What the handshakes of one side have in common that have the same keys and prologue.

    It is what Initialize (section 5.3) computes, up to the first ephemeral key. For the
    parameters and errors see :class:`Handshake`.
    """

    __slots__ = ("initiator", "known", "messages", "mixes_ephemeral", "side", "static", "symmetric")

    def __init__(
        self,
        pattern: str,
        *,
        initiator: bool,
        prologue: BytesLike = b"",
        psk: BytesLike | None = None,
        static: BytesLike | KeyPair | None = None,
        remote_static: BytesLike | None = None,
    ) -> None:
        require()
        if pattern not in PATTERNS:
            raise ConfigurationError(
                f"no handshake pattern {pattern!r}; there are {', '.join(PATTERNS)}"
            )
        messages, responder_known = PATTERNS[pattern]
        ours = messages[0 if initiator else 1 :: 2]
        with_psk = any("psk" in tokens for tokens in messages)
        with_static = any("s" in tokens for tokens in ours) or (responder_known and not initiator)
        with_remote = responder_known and initiator
        side = f"{pattern} as {'initiator' if initiator else 'responder'}"
        shared = _checked("psk", psk, with_psk, side)
        raw = static.public if isinstance(static, KeyPair) else static
        own = _checked("static", raw, with_static, side)
        self.known = _checked("remote_static", remote_static, with_remote, side)
        """The peer's static public key, if it is known beforehand."""
        self.static: KeyPair | None = None
        """Our own static key pair, if the pattern has one."""
        if own:
            self.static = static if isinstance(static, KeyPair) else KeyPair(own)
        responder = self.known if initiator or self.static is None else self.static.public
        self.side = side
        self.initiator = initiator
        self.messages = messages
        """As in the pattern, less the psk where that is the first token."""
        self.mixes_ephemeral = with_psk
        """Whether public ephemeral keys go into the key (section 9.2): otherwise nothing
        random would be in the one that the psk gives."""
        self.symmetric = SymmetricState(f"Noise_{pattern}_25519_AESGCM_SHA256".encode())
        self.symmetric.mix_hash(bytes(memoryview(prologue)))
        if responder_known:
            self.symmetric.mix_hash(responder)
        if messages[0][0] == "psk":
            self.symmetric.mix_key_and_hash(shared)
            self.messages = (messages[0][1:], *messages[1:])


class Handshake(Secret):
    """One side of one Noise handshake (the HandshakeState of section 5.3).

    The two sides call `write_message` and `read_message` in turn, the initiator
    writing first, until both are `finished`; then `split` gives the two ciphers.
    What one side's `write_message` returned is given whole to the other's
    `read_message`. Any failure there is final: the object then refuses everything.

    All keys are raw X25519 keys of 32 bytes. Private keys and the chaining key are
    let go as soon as the handshake is finished or has failed.

    :param pattern: ``"NNpsk0"``, ``"XK"`` or ``"XX"``
    :param initiator: whether this side writes first
    :param prologue: what both sides must already agree on, of any length; not sent
    :param psk: the pre-shared key, 32 bytes; for ``NNpsk0``
    :param static: our own private key, or the pair; for ``XK`` and ``XX``
    :param remote_static: the responder's public key; for the initiator of ``XK``
    :param ephemeral: our ephemeral private key, only ever for test vectors: used
        twice, it makes both connections readable
    :raises ConfigurationError: the pattern does not exist here; or a key is missing,
        has the wrong size, or is not used in this pattern by this side
    :raises MissingExtraError: ``cryptography`` is not installed
    """

    __slots__ = (
        "_ciphers",
        "_given_ephemeral",
        "_hash",
        "_initiator",
        "_messages",
        "_mixes_ephemeral",
        "_remote",
        "_side",
        "_step",
        "_symmetric",
        "local",
    )

    def __init__(
        self,
        pattern: str,
        *,
        initiator: bool,
        prologue: BytesLike = b"",
        psk: BytesLike | None = None,
        static: BytesLike | KeyPair | None = None,
        remote_static: BytesLike | None = None,
        ephemeral: BytesLike | None = None,
    ) -> None:
        prepared = Preparation(
            pattern,
            initiator=initiator,
            prologue=prologue,
            psk=psk,
            static=static,
            remote_static=remote_static,
        )
        given = _checked("ephemeral", ephemeral, ephemeral is not None, prepared.side)
        self._start(prepared, given)

    @classmethod
    def prepared(cls, preparation: Preparation) -> Self:
        """Return a new one with the keys and the prologue of the preparation."""
        handshake = cls.__new__(cls)
        handshake._start(preparation, b"")
        return handshake

    def _start(self, prepared: Preparation, ephemeral: bytes) -> None:
        self._side = prepared.side
        self._initiator = prepared.initiator
        self._messages = prepared.messages
        self._mixes_ephemeral = prepared.mixes_ephemeral
        self._given_ephemeral = ephemeral
        self._step = 0
        self.local: dict[str, KeyPair] = {}
        """Our key pairs by their letter in the tokens (section 5.3): ``e`` and ``s``."""
        if prepared.static is not None:
            self.local["s"] = prepared.static
        # The peer's public keys, by the same letters.
        self._remote = {"s": prepared.known} if prepared.known else {}
        self._hash: bytes | None = None
        self._ciphers: tuple[CipherState, CipherState] | None = None
        # None once the handshake is finished or has failed.
        self._symmetric: SymmetricState | None = prepared.symmetric.copy()

    def __repr__(self) -> str:
        return f"<Handshake {self._side}>"

    @property
    def finished(self) -> bool:
        """Whether the last message was written or read; it stays so after `split`."""
        return self._hash is not None

    @property
    def hash(self) -> bytes:
        """The handshake hash, 32 bytes: the same on both sides, unique to this handshake.

        It names the connection (channel binding, section 11.2) and is no secret.

        :raises HandshakeError: the handshake is not finished
        """
        if self._hash is None:
            raise HandshakeError("the handshake is not finished: there is no hash yet")
        return self._hash

    @property
    def remote_static(self) -> bytes | None:
        """The peer's static public key, 32 bytes, given or learned.

        ``None`` where the pattern has none, until the message that carries it was
        verified, and after a failure.
        """
        return self._remote.get("s")

    def write_message(self, payload: BytesLike = b"") -> bytes:
        """Return our next message.

        :param payload: at most 65,439 bytes. How well it is protected depends on the
            pattern and message (section 7.7); in the first message of XX, not at all
        :raises HandshakeError: it is not our turn, or the handshake is over, or the
            peer's last message held a key with which no secret can be agreed
        :raises MessageTooLargeError: the payload is too long; nothing has changed
        """
        data = bytes(memoryview(payload))
        if len(data) > _MAX_MESSAGE - _MAX_OVERHEAD:
            raise MessageTooLargeError(len(data), _MAX_MESSAGE - _MAX_OVERHEAD)
        symmetric = self._begin_turn(writing=True)
        try:
            message = b""
            for token in self._messages[self._step]:
                if token == "e":
                    message += self._send_ephemeral(symmetric)
                elif token == "s":
                    message += symmetric.encrypt_and_hash(self.local["s"].public)
                else:
                    self._mix(symmetric, token)
            message += symmetric.encrypt_and_hash(data)
        except BaseException as error:
            self._fail(error)
            raise
        self._end_turn(symmetric)
        return message

    def read_message(self, message: BytesLike) -> bytes:
        """Take the peer's next message and return its payload.

        Whatever follows the keys is payload, so it is for the caller to check the
        length where a payload is not expected.

        :param message: exactly what the peer's `write_message` returned
        :raises HandshakeError: the message is too short, too long, not authentic, or
            holds a bad key: one text for all of these, and the handshake is over; or
            it is not the peer's turn, and nothing has changed
        """
        rest = bytes(memoryview(message))
        symmetric = self._begin_turn(writing=False)
        try:
            if len(rest) > _MAX_MESSAGE:
                raise DecryptionError("too long")
            for token in self._messages[self._step]:
                if token in ("e", "s"):
                    size = KEY_SIZE + (symmetric.overhead if token == "s" else 0)
                    part, rest = rest[:size], rest[size:]
                    if len(part) < size:
                        raise DecryptionError("too short")
                    if token == "e":
                        self._receive_ephemeral(symmetric, part)
                    else:
                        self._remote["s"] = symmetric.decrypt_and_hash(part)
                else:
                    self._mix(symmetric, token)
            payload = symmetric.decrypt_and_hash(rest)
        except BaseException as error:
            self._fail(error)
            raise
        self._end_turn(symmetric)
        return payload

    def split(self) -> tuple[CipherState, CipherState]:
        """Return the ciphers for what we send and for what we receive, in this order.

        This can be done once: two ciphers with one key would use each nonce twice.

        :raises HandshakeError: the handshake is not finished, or this was done before
        """
        if self._hash is None:
            raise HandshakeError("the handshake is not finished: there are no ciphers yet")
        if self._ciphers is None:
            raise HandshakeError("the handshake was split before")
        first, second = self._ciphers
        self._ciphers = None
        return (first, second) if self._initiator else (second, first)

    # Each message is a turn. It ends in one of two ways, both of which may be the end of all.

    def _begin_turn(self, *, writing: bool) -> SymmetricState:
        if self._hash is not None:
            raise HandshakeError("the handshake is finished: go on with split()")
        if self._symmetric is None:
            raise HandshakeError("the handshake has failed: start another on a new connection")
        if writing != (self._initiator == (self._step % 2 == 0)):
            raise HandshakeError(
                "it is the peer's turn: call read_message()"
                if writing
                else "it is our turn: call write_message()"
            )
        return self._symmetric

    def _end_turn(self, symmetric: SymmetricState) -> None:
        self._step += 1
        if self._step == len(self._messages):
            self._ciphers = symmetric.split()
            self._hash = symmetric.hash
            self._let_go()

    def _fail(self, error: BaseException) -> None:
        """End the handshake; raise what the caller is told, where it is another error."""
        self._let_go()
        self._remote.clear()
        if isinstance(error, DecryptionError | KeyFormatError):
            raise HandshakeError(_NOT_VALID) from None

    def _let_go(self) -> None:
        self._symmetric = None
        self.local.clear()
        self._given_ephemeral = b""

    def _send_ephemeral(self, symmetric: SymmetricState) -> bytes:
        given = self._given_ephemeral
        pair = self.local["e"] = KeyPair(given) if given else KeyPair.generate()
        self._mix_ephemeral(symmetric, pair.public)
        return pair.public

    def _receive_ephemeral(self, symmetric: SymmetricState, public: bytes) -> None:
        self._remote["e"] = public
        self._mix_ephemeral(symmetric, public)

    def _mix_ephemeral(self, symmetric: SymmetricState, public: bytes) -> None:
        symmetric.mix_hash(public)
        if self._mixes_ephemeral:
            symmetric.mix_key(public)

    def _mix(self, symmetric: SymmetricState, token: str) -> None:
        # "es" is the initiator's e and the responder's s, whoever sends the message.
        ours, theirs = (token[0], token[1]) if self._initiator else (token[1], token[0])
        symmetric.mix_key(self.local[ours].agree(self._remote[theirs]))


def _checked(name: str, key: BytesLike | None, needed: bool, side: str) -> bytes:
    """Return `key` as bytes, or nothing where the pattern has no such key."""
    if key is None:
        if needed:
            raise ConfigurationError(f"{side} needs the key {name}=")
        return b""
    if not needed:
        raise ConfigurationError(f"{side} has no use for the key {name}=")
    try:
        return raw_key(key, name)
    except KeyFormatError as error:
        raise ConfigurationError(str(error)) from None
