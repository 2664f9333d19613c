"""The Noise handshake, bytes in and bytes out: Noise_*_25519_AESGCM_SHA256, and its hybrids with
ML-KEM-768, Noise_*hfs*_25519+MLKEM768_AESGCM_SHA256.

Section numbers here are those of the Noise Protocol Framework, revision 34; "HFS" is its extension
"KEM-based Hybrid Forward Secrecy for Noise", revision 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ..buffers import BytesLike
from ..errors import (
    ConfigurationError,
    DecryptionError,
    HandshakeError,
    KeyFormatError,
    MessageTooLargeError,
)
from . import kem
from .cipher import KEY_SIZE, TAG_SIZE, CipherState, KeyPair, Secret, raw_key, require
from .kem import DecapsulationKey, EncapsulationKey
from .symmetric import SymmetricState

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

__all__ = ["Handshake", "Preparation"]


class _Pattern(NamedTuple):
    """A handshake pattern (section 7), with its modifiers (section 9)."""

    messages: tuple[tuple[str, ...], ...]
    """The tokens of each message. The initiator sends the first, then they take turns."""
    responder_known: bool = False
    """The initiator has the responder's static key beforehand: pre-message ``<- s``."""
    hybrid: bool = False
    """It has the modifier hfs (HFS, section 5)."""

    @property
    def max_payload(self) -> int:
        """The longest payload that fits every message, in bytes."""
        return _MAX_MESSAGE - (_MAX_HYBRID_OVERHEAD if self.hybrid else _MAX_OVERHEAD)


PATTERNS: Final = {
    "NNpsk0": _Pattern((("psk", "e"), ("e", "ee"))),
    "XK": _Pattern((("e", "es"), ("e", "ee"), ("s", "se")), responder_known=True),
    "XX": _Pattern((("e",), ("e", "ee", "s", "es"), ("s", "se"))),
    # e1 stands behind the DH tokens of its message, so that it is encrypted where that can be.
    "NNhfs+psk0": _Pattern((("psk", "e", "e1"), ("e", "ee", "ekem1")), hybrid=True),
    "XKhfs": _Pattern(
        (("e", "es", "e1"), ("e", "ee", "ekem1"), ("s", "se")), responder_known=True, hybrid=True
    ),
    "XXhfs": _Pattern((("e", "e1"), ("e", "ee", "ekem1", "s", "es"), ("s", "se")), hybrid=True),
}

_MAX_MESSAGE: Final = 65_535  # section 3
_MAX_OVERHEAD: Final = KEY_SIZE + (KEY_SIZE + TAG_SIZE) + TAG_SIZE
"""The most that a message adds to its payload: ``e``, encrypted ``s``, tag."""
_MAX_HYBRID_OVERHEAD: Final = KEY_SIZE + (kem.PUBLIC_SIZE + TAG_SIZE) + TAG_SIZE
"""The same with the modifier hfs: ``e``, encrypted ``e1``, tag."""

_SIZES: Final = {
    "e": KEY_SIZE,
    "s": KEY_SIZE,
    "e1": kem.PUBLIC_SIZE,
    "ekem1": kem.CIPHERTEXT_SIZE,
}
"""Bytes of what goes into a message for a token, before encryption. Other tokens send nothing."""

_NOT_VALID: Final = (
    "the handshake message is not valid: the two sides have different keys or contexts, "
    "or it was changed on its way"
)


class Preparation(Secret):
    """What the handshakes of one side have in common that have the same keys and prologue.

    It is what Initialize (section 5.3) computes, up to the first ephemeral key. For the
    parameters and errors see :class:`Handshake`.
    """

    __slots__ = (
        "initiator",
        "known",
        "max_payload",
        "messages",
        "mixes_ephemeral",
        "side",
        "static",
        "symmetric",
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
    ) -> None:
        require()
        if pattern not in PATTERNS:
            raise ConfigurationError(
                f"no handshake pattern {pattern!r}; there are {', '.join(PATTERNS)}"
            )
        described = PATTERNS[pattern]
        messages, responder_known = described.messages, described.responder_known
        if described.hybrid:
            kem.require()
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
        self.max_payload = described.max_payload
        self.messages = messages
        """As in the pattern, less the psk where that is the first token."""
        self.mixes_ephemeral = with_psk
        """Whether public ephemeral keys go into the key (section 9.2): otherwise nothing
        random would be in the one that the psk gives."""
        agreement = "25519+MLKEM768" if described.hybrid else "25519"
        self.symmetric = SymmetricState(f"Noise_{pattern}_{agreement}_AESGCM_SHA256".encode())
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
    let go as soon as the handshake is finished or has failed, the key pair of ML-KEM-768
    as soon as its ciphertext was read.

    :param pattern: ``"NNpsk0"``, ``"XK"`` or ``"XX"``; with ML-KEM-768 beside X25519
        ``"NNhfs+psk0"``, ``"XKhfs"`` or ``"XXhfs"``
    :param initiator: whether this side writes first
    :param prologue: what both sides must already agree on, of any length; not sent
    :param psk: the pre-shared key, 32 bytes; for the patterns with ``psk0``
    :param static: our own private key, or the pair; for those with ``X``
    :param remote_static: the responder's public key; for the initiator of those with ``K``
    :param ephemeral: our ephemeral private key, only ever for test vectors: used
        twice, it makes both connections readable
    :param kem_seed: in the same way, 64 bytes that our ML-KEM-768 key pair is made
        from; for the initiator of those with ``hfs``
    :raises ConfigurationError: the pattern does not exist here; or a key is missing,
        has the wrong size, or is not used in this pattern by this side
    :raises MissingExtraError: ``cryptography`` is not installed, or has no ML-KEM-768
        and the pattern needs it
    """

    __slots__ = (
        "_ciphers",
        "_decapsulation_key",
        "_encapsulation_key",
        "_given_ephemeral",
        "_given_kem_seed",
        "_hash",
        "_initiator",
        "_max_payload",
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
        kem_seed: BytesLike | None = None,
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
        sends_e1 = PATTERNS[pattern].hybrid and initiator
        self._start(prepared, given, _checked_seed(kem_seed, sends_e1, prepared.side))

    @classmethod
    def prepared(cls, preparation: Preparation) -> Self:
        """Return a new one with the keys and the prologue of the preparation."""
        handshake = cls.__new__(cls)
        handshake._start(preparation, b"", b"")
        return handshake

    def _start(self, prepared: Preparation, ephemeral: bytes, kem_seed: bytes) -> None:
        self._side = prepared.side
        self._initiator = prepared.initiator
        self._messages = prepared.messages
        self._mixes_ephemeral = prepared.mixes_ephemeral
        self._max_payload = prepared.max_payload
        self._given_ephemeral = ephemeral
        self._given_kem_seed = kem_seed
        self._decapsulation_key: DecapsulationKey | None = None
        self._step = 0
        self.local: dict[str, KeyPair] = {}
        """Our key pairs by their letter in the tokens (section 5.3): ``e`` and ``s``."""
        if prepared.static is not None:
            self.local["s"] = prepared.static
        self._encapsulation_key: EncapsulationKey | None = None
        # The peer's public keys of X25519, by the same letters.
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

        :param payload: at most 65,439 bytes, 64,287 with ``hfs``. How well it is protected
            depends on the pattern and message (section 7.7); in the first message of XX, not
            at all
        :raises HandshakeError: it is not our turn, or the handshake is over, or the
            peer's last message held a key with which no secret can be agreed
        :raises MessageTooLargeError: the payload is too long; nothing has changed
        """
        data = bytes(memoryview(payload))
        if len(data) > self._max_payload:
            raise MessageTooLargeError(len(data), self._max_payload)
        self._begin_turn(writing=True)
        return self._take_turn(self._write, data)

    def read_message(self, message: BytesLike) -> bytes:
        """Take the peer's next message and return its payload.

        Whatever follows the keys is payload, so it is for the caller to check the
        length where a payload is not expected.

        :param message: exactly what the peer's `write_message` returned
        :raises HandshakeError: the message is too short, too long, not authentic, or
            holds a bad key: one text for all of these, and the handshake is over; or
            it is not the peer's turn, and nothing has changed
        """
        data = bytes(memoryview(message))
        self._begin_turn(writing=False)
        return self._take_turn(self._read, data)

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

    def _begin_turn(self, *, writing: bool) -> None:
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

    def _take_turn(self, way: Callable[[SymmetricState, bytes], bytes], data: bytes) -> bytes:
        assert self._symmetric is not None
        try:
            result = way(self._symmetric, data)
        except (DecryptionError, KeyFormatError):
            # Raised below, where it is not the context of what the caller may keep: the frames
            # in its traceback have keys.
            self._fail()
        except BaseException:
            self._fail()
            raise
        else:
            self._end_turn()
            return result
        raise HandshakeError(_NOT_VALID)

    def _end_turn(self) -> None:
        assert self._symmetric is not None
        self._step += 1
        if self._step == len(self._messages):
            self._ciphers = self._symmetric.split()
            self._hash = self._symmetric.hash
            self._let_go()

    def _fail(self) -> None:
        self._let_go()
        self._remote.clear()

    def _let_go(self) -> None:
        self._symmetric = None
        self.local.clear()
        self._decapsulation_key = self._encapsulation_key = None
        self._given_ephemeral = self._given_kem_seed = b""

    def _write(self, symmetric: SymmetricState, data: bytes) -> bytes:
        message = b""
        for token in self._messages[self._step]:
            if token == "e":
                message += self._send_ephemeral(symmetric)
            elif token == "s":
                message += symmetric.encrypt_and_hash(self.local["s"].public)
            elif token == "e1":
                message += self._send_encapsulation_key(symmetric)
            elif token == "ekem1":
                message += self._send_ciphertext(symmetric)
            else:
                self._mix(symmetric, token)
        return message + symmetric.encrypt_and_hash(data)

    def _read(self, symmetric: SymmetricState, rest: bytes) -> bytes:
        if len(rest) > _MAX_MESSAGE:
            raise DecryptionError("too long")
        for token in self._messages[self._step]:
            if token not in _SIZES:
                self._mix(symmetric, token)
                continue
            size = _SIZES[token] + (0 if token == "e" else symmetric.overhead)
            part, rest = rest[:size], rest[size:]
            if len(part) < size:
                raise DecryptionError("too short")
            if token == "e":
                self._receive_ephemeral(symmetric, part)
            elif token == "e1":
                self._encapsulation_key = EncapsulationKey(symmetric.decrypt_and_hash(part))
            elif token == "ekem1":
                self._receive_ciphertext(symmetric, part)
            else:
                self._remote[token] = symmetric.decrypt_and_hash(part)
        return symmetric.decrypt_and_hash(rest)

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

    # HFS, section 4: key and ciphertext go as a static key does, encrypted once there is a key.

    def _send_encapsulation_key(self, symmetric: SymmetricState) -> bytes:
        seed, self._given_kem_seed = self._given_kem_seed, b""
        pair = DecapsulationKey(seed) if seed else DecapsulationKey.generate()
        self._decapsulation_key = pair
        return symmetric.encrypt_and_hash(pair.public)

    def _send_ciphertext(self, symmetric: SymmetricState) -> bytes:
        key, self._encapsulation_key = self._encapsulation_key, None
        assert key is not None
        ciphertext, secret = key.encapsulate()
        sealed = symmetric.encrypt_and_hash(ciphertext)
        symmetric.mix_key(secret)
        return sealed

    def _receive_ciphertext(self, symmetric: SymmetricState, sealed: bytes) -> None:
        pair, self._decapsulation_key = self._decapsulation_key, None
        assert pair is not None
        # Authentic before it comes near the key: decapsulation itself refuses nothing.
        symmetric.mix_key(pair.decapsulate(symmetric.decrypt_and_hash(sealed)))

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


def _checked_seed(seed: BytesLike | None, usable: bool, side: str) -> bytes:
    """Return the seed as bytes, or nothing where none is given."""
    if seed is None:
        return b""
    raw = bytes(memoryview(seed))
    if not usable:
        raise ConfigurationError(f"{side} has no use for kem_seed=")
    if len(raw) != kem.SEED_SIZE:
        raise ConfigurationError(f"kem_seed must be {kem.SEED_SIZE} bytes, not {len(raw)}")
    return raw
