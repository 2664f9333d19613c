"""ML-KEM-768 as the handshakes use it: published vectors, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from trust.secrecy import assert_not_copied, assert_not_shown

from sealframe.errors import ConfigurationError, KeyFormatError, MissingExtraError
from sealframe.noise import kem
from sealframe.noise.handshake import Handshake
from sealframe.noise.kem import DecapsulationKey, EncapsulationKey

pytestmark = pytest.mark.fixed_keys(reason="the keys of the vectors are published")

VECTORS: dict[str, Any] = json.loads(Path(__file__).with_name("mlkem768.json").read_text())
SEED = bytes(range(64))


def published(name: str) -> list[dict[str, Any]]:
    tests: list[dict[str, Any]] = VECTORS[name]["tests"]
    return tests


def test_key_generation() -> None:
    assert len(published("key generation")) == 25
    for case in published("key generation"):
        pair = DecapsulationKey(bytes.fromhex(case["d"] + case["z"]))
        assert sha256(pair.public).hexdigest() == case["ek sha256"], case["tcId"]


def test_decapsulation() -> None:
    """Among them one whose ciphertext differs from the right one behind a zero byte, so that it
    is rejected implicitly."""
    assert any("Strcmp" in case["flags"] for case in published("decapsulation"))
    for case in published("decapsulation"):
        assert case["result"] == "valid"
        pair = DecapsulationKey(bytes.fromhex(case["seed"]))
        assert sha256(pair.public).hexdigest() == case["ek sha256"]
        assert pair.decapsulate(bytes.fromhex(case["c"])).hex() == case["K"], case["tcId"]


def test_malformed_encapsulation_keys() -> None:
    cases = [bytes.fromhex(case["ek"]) for case in published("malformed encapsulation keys")]
    for public in [*cases, b"", bytes(1183), bytes(1185), b"\xff" * 1184]:
        with pytest.raises(KeyFormatError, match="encapsulation key is malformed"):
            EncapsulationKey(public)


@pytest.mark.parametrize("size", [0, 1087, 1089])
def test_a_ciphertext_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(KeyFormatError, match="ciphertext has the wrong length"):
        DecapsulationKey(SEED).decapsulate(bytes(size))


def test_both_ends_have_the_same_secret_and_each_time_another() -> None:
    pair = DecapsulationKey.generate()
    made = [EncapsulationKey(pair.public).encapsulate() for _ in range(3)]
    assert [(len(ciphertext), len(secret)) for ciphertext, secret in made] == [(1088, 32)] * 3
    assert [pair.decapsulate(ciphertext) for ciphertext, _ in made] == [one for _, one in made]
    assert len(set(made)) == 3
    assert DecapsulationKey.generate().public != pair.public


@pytest.mark.parametrize("size", [0, 63, 65])
def test_a_seed_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(KeyFormatError, match=f"seed must be 64 bytes, not {size}"):
        DecapsulationKey(bytes(size))
    with pytest.raises(ConfigurationError, match=f"kem_seed must be 64 bytes, not {size}"):
        Handshake("XXhfs", initiator=True, static=bytes(32), kem_seed=bytes(size))


@pytest.mark.parametrize(("pattern", "initiator"), [("XX", True), ("XXhfs", False)])
def test_a_seed_that_is_not_used_is_refused(pattern: str, initiator: bool) -> None:
    with pytest.raises(ConfigurationError, match="no use for kem_seed="):
        Handshake(pattern, initiator=initiator, static=bytes(32), kem_seed=SEED)


def test_a_key_pair_tells_nothing_of_itself() -> None:
    pair = DecapsulationKey(SEED)
    assert_not_shown(SEED, pair)
    assert_not_copied(pair)


def test_without_ml_kem_each_use_says_what_to_do() -> None:
    uses: list[Callable[[], object]] = [
        DecapsulationKey.generate,
        lambda: DecapsulationKey(SEED),
        lambda: EncapsulationKey(bytes(1184)),
        lambda: Handshake("NNhfs+psk0", initiator=True, psk=bytes(32)),
        kem.require,
    ]
    with patch("sealframe.noise.kem.primitives", return_value=None):
        assert not kem.is_available()
        for use in uses:
            with pytest.raises(MissingExtraError) as failure:
                use()
            assert "pip install --upgrade cryptography" in str(failure.value)
            assert str(failure.value).endswith("or take a pattern without hfs")
        Handshake("NNpsk0", initiator=True, psk=bytes(32))
    assert kem.is_available()
