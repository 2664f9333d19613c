from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sealframe.errors import KeyFormatError
from sealframe.noise.cipher import argon2id, generate_keypair, public_key, x25519

if TYPE_CHECKING:
    from pathlib import Path

# RFC 7748, section 6.1.
ALICE = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
ALICE_PUBLIC = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
BOB = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
BOB_PUBLIC = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
SHARED = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")


def test_agreement_of_the_rfc() -> None:
    assert public_key(ALICE) == ALICE_PUBLIC
    assert public_key(BOB) == BOB_PUBLIC
    assert x25519(ALICE, BOB_PUBLIC) == x25519(BOB, ALICE_PUBLIC) == SHARED


def test_new_keypairs_differ_and_agree() -> None:
    private, public = generate_keypair()
    other_private, other_public = generate_keypair()
    assert len({private, public, other_private, other_public}) == 4
    assert {len(private), len(public)} == {32}
    assert public_key(private) == public
    assert x25519(private, other_public) == x25519(other_private, public)


def test_published_vectors(vectors: Path) -> None:
    groups = json.loads((vectors / "x25519-wycheproof.json").read_bytes())["testGroups"]
    zero = 0
    for case in (case for group in groups for case in group["tests"]):
        private, public = bytes.fromhex(case["private"]), bytes.fromhex(case["public"])
        if "ZeroSharedSecret" in case["flags"]:
            zero += 1
            with pytest.raises(KeyFormatError, match="low order"):
                x25519(private, public)
        else:
            assert x25519(private, public).hex() == case["shared"], case["tcId"]
    assert zero == 31


@pytest.mark.parametrize("length", [0, 31, 33])
def test_key_of_another_size_is_refused(length: int) -> None:
    wrong = bytes(length)
    with pytest.raises(KeyFormatError, match=f"private key must be 32 bytes, not {length}"):
        x25519(wrong, BOB_PUBLIC)
    with pytest.raises(KeyFormatError, match=f"public key must be 32 bytes, not {length}"):
        x25519(ALICE, wrong)
    with pytest.raises(KeyFormatError, match=f"private key must be 32 bytes, not {length}"):
        public_key(wrong)


def test_argon2id_refuses_a_short_salt() -> None:
    with pytest.raises(KeyFormatError, match="8 bytes, not 7"):
        argon2id(b"a passphrase", b"7 bytes")
