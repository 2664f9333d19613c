"""Handshake and records against two other implementations of Noise, in both roles."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from dissononce.cipher.aesgcm import AESGCMCipher
from dissononce.dh.x25519.private import PrivateKey
from dissononce.dh.x25519.public import PublicKey
from dissononce.dh.x25519.x25519 import X25519DH
from dissononce.exceptions.decrypt import DecryptFailedException
from dissononce.hash.sha256 import SHA256Hash
from dissononce.processing.handshakepatterns.interactive.NN import NNHandshakePattern
from dissononce.processing.handshakepatterns.interactive.XK import XKHandshakePattern
from dissononce.processing.handshakepatterns.interactive.XX import XXHandshakePattern
from dissononce.processing.impl.cipherstate import CipherState as DissononceCipherState
from dissononce.processing.impl.handshakestate import HandshakeState
from dissononce.processing.impl.symmetricstate import SymmetricState
from dissononce.processing.modifiers.psk import PSKPatternModifier
from noise.connection import Keypair, NoiseConnection
from noise.exceptions import NoiseInvalidMessage

from sealframe.errors import DecryptionError
from sealframe.noise.cipher import public_key
from sealframe.noise.handshake import Handshake
from sealframe.wire import REKEY_INTERVAL

if TYPE_CHECKING:
    from collections.abc import Iterator

PSK = bytes(range(100, 132))
CLIENT = bytes(range(33, 65))
SERVER = bytes(range(65, 97))
PROLOGUE = b"sealfram\x01\x01\x00\x04name"


class Noiseprotocol:
    """One end, of the noiseprotocol package."""

    not_authentic = NoiseInvalidMessage

    def __init__(self, pattern: str, *, initiator: bool) -> None:
        self.connection = NoiseConnection.from_name(f"Noise_{pattern}_25519_AESGCM_SHA256".encode())
        if "psk" in pattern:
            self.connection.set_psks(PSK)
        else:
            own = CLIENT if initiator else SERVER
            self.connection.set_keypair_from_private_bytes(Keypair.STATIC, own)
        if pattern == "XK" and initiator:
            server = public_key(SERVER)
            self.connection.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, server)
        self.connection.set_prologue(PROLOGUE)
        if initiator:
            self.connection.set_as_initiator()
        else:
            self.connection.set_as_responder()
        self.connection.start_handshake()
        # Let go of by the package when the handshake is over.
        self.state = self.connection.noise_protocol.handshake_state

    def write_message(self, payload: bytes) -> bytes:
        return bytes(self.connection.write_message(payload))

    def read_message(self, message: bytes) -> bytes:
        return bytes(self.connection.read_message(message))

    @property
    def finished(self) -> bool:
        return bool(self.connection.handshake_finished)

    @property
    def hash(self) -> bytes:
        return bytes(self.connection.get_handshake_hash())

    @property
    def remote_static(self) -> bytes | None:
        return getattr(self.state.rs, "public_bytes", None)

    def seal(self, plaintext: bytes) -> bytes:
        return bytes(self.connection.encrypt(plaintext))

    def open(self, record: bytes) -> bytes:
        return bytes(self.connection.decrypt(record))

    def rekey_sender(self) -> None:
        self.connection.rekey_outbound_cipher()

    def rekey_receiver(self) -> None:
        self.connection.rekey_inbound_cipher()


class Dissononce:
    """One end, of the dissononce package."""

    not_authentic = DecryptFailedException

    def __init__(self, pattern: str, *, initiator: bool) -> None:
        dh = X25519DH()
        symmetric = SymmetricState(DissononceCipherState(AESGCMCipher()), SHA256Hash())
        self.state = HandshakeState(symmetric, dh)
        self.initiator = initiator
        self.ciphers: tuple[Any, Any] | None = None
        if "psk" in pattern:
            described = PSKPatternModifier(0).modify(NNHandshakePattern())
            self.state.initialize(described, initiator, PROLOGUE, psks=[PSK])
            return
        own = CLIENT if initiator else SERVER
        self.state.initialize(
            XKHandshakePattern() if pattern == "XK" else XXHandshakePattern(),
            initiator,
            PROLOGUE,
            s=dh.generate_keypair(PrivateKey(own)),
            rs=PublicKey(public_key(SERVER)) if pattern == "XK" and initiator else None,
        )

    def write_message(self, payload: bytes) -> bytes:
        message = bytearray()
        self.ciphers = self.state.write_message(payload, message)
        return bytes(message)

    def read_message(self, message: bytes) -> bytes:
        payload = bytearray()
        self.ciphers = self.state.read_message(message, payload)
        return bytes(payload)

    @property
    def finished(self) -> bool:
        return self.ciphers is not None

    @property
    def hash(self) -> bytes:
        return bytes(self.state.symmetricstate.get_handshake_hash())

    @property
    def remote_static(self) -> bytes | None:
        return getattr(self.state.rs, "data", None)

    def cipher(self, *, sending: bool) -> Any:
        assert self.ciphers is not None
        return self.ciphers[0 if sending == self.initiator else 1]

    def seal(self, plaintext: bytes) -> bytes:
        return bytes(self.cipher(sending=True).encrypt_with_ad(b"", plaintext))

    def open(self, record: bytes) -> bytes:
        return bytes(self.cipher(sending=False).decrypt_with_ad(b"", record))

    def rekey_sender(self) -> None:
        self.rekey(self.cipher(sending=True))

    def rekey_receiver(self) -> None:
        self.rekey(self.cipher(sending=False))

    @staticmethod
    def rekey(state: Any) -> None:
        # The package's own keeps the tag in the key and starts the counter again; Noise
        # takes the first 32 bytes (section 4.2) and goes on counting (section 11.3).
        state._key = state.cipher.rekey(state._key)[:32]


Other = Noiseprotocol | Dissononce

OTHERS: dict[str, type[Other]] = {"noiseprotocol": Noiseprotocol, "dissononce": Dissononce}

# Neither of the two knows the modifier hfs.
every_pattern = pytest.mark.parametrize("pattern", ["NNpsk0", "XK", "XX"])
both_roles = pytest.mark.parametrize("initiator", [True, False], ids=["initiator", "responder"])
every_other = pytest.mark.parametrize("other", OTHERS)


def pair(pattern: str, other: str, *, initiator: bool) -> tuple[Handshake, Other]:
    """Return our side, which initiates or not, and the other implementation's."""
    keys = {}
    if "psk" in pattern:
        keys["psk"] = PSK
    else:
        keys["static"] = CLIENT if initiator else SERVER
    if pattern == "XK" and initiator:
        keys["remote_static"] = public_key(SERVER)
    ours = Handshake(pattern, initiator=initiator, prologue=PROLOGUE, **keys)
    return ours, OTHERS[other](pattern, initiator=not initiator)


def shake_hands(handshake: Handshake, peer: Other, *, ours: bool, payload: bytes = b"") -> None:
    """Pass messages until both have finished, ours first or not."""
    while not handshake.finished:
        if ours:
            assert peer.read_message(handshake.write_message(payload)) == payload
        else:
            assert handshake.read_message(peer.write_message(payload)) == payload
        ours = not ours
    assert peer.finished


@every_other
@both_roles
@every_pattern
@pytest.mark.parametrize("payload", [b"", b"a payload"], ids=["empty", "payload"])
def test_handshake(pattern: str, initiator: bool, other: str, payload: bytes) -> None:
    handshake, peer = pair(pattern, other, initiator=initiator)
    shake_hands(handshake, peer, ours=initiator, payload=payload)
    assert handshake.hash == peer.hash
    if pattern == "NNpsk0":
        assert handshake.remote_static is None
        assert peer.remote_static is None
    else:
        client, server = public_key(CLIENT), public_key(SERVER)
        assert handshake.remote_static == (server if initiator else client)
        assert peer.remote_static == (client if initiator else server)


def texts(direction: bytes) -> Iterator[bytes]:
    """Yield plaintexts of several sizes, never empty and no two alike."""
    number = 0
    while True:
        yield direction + b" %d " % number + b"." * (number % 50)
        number += 1


@every_other
@both_roles
@every_pattern
def test_records(pattern: str, initiator: bool, other: str) -> None:
    """One direction is always ahead of the other, so that a mix-up of them would show;
    both go over a change of keys in the middle of a burst, one of them over two."""
    handshake, peer = pair(pattern, other, initiator=initiator)
    shake_hands(handshake, peer, ours=initiator)
    send, receive = handshake.split()
    outward, inward = texts(b"to them"), texts(b"to us")
    sent = received = 0
    while received <= 2 * REKEY_INTERVAL:
        for text in islice(outward, 37):
            assert peer.open(send.seal(text)) == text
            sent += 1
            if sent % REKEY_INTERVAL == 0:
                send.rekey()
                peer.rekey_receiver()
        for text in islice(inward, 59):
            assert receive.open(peer.seal(text)) == text
            received += 1
            if received % REKEY_INTERVAL == 0:
                receive.rekey()
                peer.rekey_sender()
    assert REKEY_INTERVAL < sent < 2 * REKEY_INTERVAL
    assert (send.nonce, receive.nonce) == (sent, received)


@every_other
@both_roles
@every_pattern
def test_neither_opens_what_comes_after_a_forgotten_rekey(
    pattern: str, initiator: bool, other: str
) -> None:
    """A rekey that changed nothing would pass the test above."""
    handshake, peer = pair(pattern, other, initiator=initiator)
    shake_hands(handshake, peer, ours=initiator)
    send, receive = handshake.split()
    send.rekey()
    with pytest.raises(peer.not_authentic):
        peer.open(send.seal(b"text"))
    peer.rekey_sender()
    with pytest.raises(DecryptionError):
        receive.open(peer.seal(b"text"))
