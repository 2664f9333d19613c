"""Whole connections against another implementation of Noise, in both roles."""

from __future__ import annotations

import pytest
from noise.connection import Keypair, NoiseConnection

from sealframe.cipher import generate_keypair
from sealframe.handshake import _PATTERNS, Handshake

PSK = bytes(range(100, 132))
PROLOGUE = b"sealfram\x01\x01\x00\x04name"


def pair(pattern: str, *, initiator: bool) -> tuple[Handshake, NoiseConnection]:
    """Return our side, which initiates or not, and the other implementation's."""
    ours, theirs = generate_keypair(), generate_keypair()
    peer = NoiseConnection.from_name(f"Noise_{pattern}_25519_AESGCM_SHA256".encode())
    keys = {}
    if "psk" in pattern:
        keys["psk"] = PSK
        peer.set_psks(PSK)
    else:
        keys["static"] = ours[0]
        peer.set_keypair_from_private_bytes(Keypair.STATIC, theirs[0])
    if pattern == "XK" and initiator:
        keys["remote_static"] = theirs[1]
    if pattern == "XK" and not initiator:
        peer.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, ours[1])
    peer.set_prologue(PROLOGUE)
    if initiator:
        peer.set_as_responder()
    else:
        peer.set_as_initiator()
    peer.start_handshake()
    return Handshake(pattern, initiator=initiator, prologue=PROLOGUE, **keys), peer


@pytest.mark.parametrize("initiator", [True, False], ids=["initiator", "responder"])
@pytest.mark.parametrize("pattern", _PATTERNS)
def test_handshake_transport_and_rekey(pattern: str, initiator: bool) -> None:
    handshake, peer = pair(pattern, initiator=initiator)
    ours = initiator
    while not handshake.finished:
        if ours:
            assert peer.read_message(handshake.write_message(b"from us")) == b"from us"
        else:
            assert handshake.read_message(peer.write_message(b"from them")) == b"from them"
        ours = not ours
    assert peer.handshake_finished
    assert handshake.hash == peer.get_handshake_hash()

    send, receive = handshake.split()
    for number in range(20):
        # Each direction on its own, so that a mix-up of the two would show.
        if number in (5, 6, 15):
            send.rekey()
            peer.rekey_inbound_cipher()
        if number == 10:
            receive.rekey()
            peer.rekey_outbound_cipher()
        text = b"message %d" % number
        assert peer.decrypt(send.seal(text)) == text
        assert receive.open(peer.encrypt(text)) == text
    assert send.nonce == receive.nonce == 20
