from __future__ import annotations

import array
from concurrent.futures import ThreadPoolExecutor

import pytest

from sealframe.cipher import CipherState
from sealframe.errors import DecryptionError, KeyFormatError, NonceExhaustedError

from .secrecy import assert_not_copied, assert_not_shown

pytestmark = pytest.mark.fixed_keys(reason="every test seals under KEY, from nonce 0 on")

KEY = bytes(range(32))
TEXT = b"sealed frames"

# Worked out with AES-256-GCM alone, nonces and derived keys put together by hand.
FROZEN = [
    (b"", b"", "f05d76ae4ab99fe5a6f69b3148c2363d"),
    (TEXT, b"", "66b3de90219010787c4f3c5c9f9343c923a22a032f1b4a863a6098d432"),
    (TEXT, b"with these", "ba144f11d12ffab7cb6c5174043cee415a0de8200a5c351d1db8b2dad7"),
]
FROZEN_REKEYED = [
    "68500254e8a5e6e98c10adfd6ddfff14ea522c391ada7d56e1c064862d",
    "f7c1113a936e80cd7f9ae37e528a33dd7329aaee1d97d7f5682ea58813",
]
FROZEN_NONCES = [
    (0x0102030405060708, "77340462b88529f871fe908a6d64792cfb5c468ef5ed63e0928105b247"),
    (2**64 - 2, "950977e8fd807997d8986796d595f343bdcbd624a613d030c289e4cfef"),
]


def at(nonce: int) -> CipherState:
    cipher = CipherState(KEY)
    cipher._nonce = nonce
    return cipher


def test_known_answers_and_a_rekey_after_each_further_call() -> None:
    sender, receiver = CipherState(KEY), CipherState(KEY)
    for count, (plaintext, ad, sealed) in enumerate(FROZEN):
        assert sender.nonce == receiver.nonce == count
        assert sender.seal(plaintext, ad).hex() == sealed
        assert receiver.open(bytes.fromhex(sealed), ad) == plaintext
    for count, sealed in enumerate(FROZEN_REKEYED, len(FROZEN)):
        sender.rekey()
        receiver.rekey()
        assert sender.nonce == receiver.nonce == count
        assert sender.seal(TEXT).hex() == sealed
        assert receiver.open(bytes.fromhex(sealed)) == TEXT


@pytest.mark.parametrize(("nonce", "sealed"), FROZEN_NONCES)
def test_nonce_is_big_endian_after_four_zero_bytes(nonce: int, sealed: str) -> None:
    assert at(nonce).seal(TEXT).hex() == sealed
    assert at(nonce).open(bytes.fromhex(sealed)) == TEXT


def test_rekeyed_cipher_does_not_open_what_the_old_key_sealed() -> None:
    sender, receiver = CipherState(KEY), CipherState(KEY)
    sealed = sender.seal(TEXT)
    receiver.rekey()
    with pytest.raises(DecryptionError):
        receiver.open(sealed)


@pytest.mark.parametrize(
    "plaintext",
    [
        bytearray(TEXT),
        memoryview(TEXT),
        memoryview(b"<" + TEXT + b">")[1:-1],
        memoryview(bytearray(TEXT)),
    ],
)
def test_any_bytes_like_object_is_taken(plaintext: bytearray | memoryview) -> None:
    sealed = CipherState(KEY).seal(plaintext, plaintext)
    assert sealed == CipherState(KEY).seal(TEXT, TEXT)
    opened = CipherState(KEY).open(bytearray(sealed), memoryview(TEXT))
    assert (opened, type(opened)) == (TEXT, bytes)


def test_view_of_wider_items_is_taken_as_its_bytes() -> None:
    numbers = memoryview(array.array("I", [1, 2, 3]))
    sealed = CipherState(KEY).seal(numbers)
    assert CipherState(KEY).open(sealed) == numbers.tobytes()


@pytest.mark.parametrize("position", range(len(TEXT) + 16))
def test_changed_ciphertext_is_refused_and_changes_nothing(position: int) -> None:
    sender, receiver = CipherState(KEY), CipherState(KEY)
    sealed = sender.seal(TEXT)
    changed = bytearray(sealed)
    changed[position] ^= 0x80
    with pytest.raises(DecryptionError):
        receiver.open(changed)
    assert receiver.nonce == 0
    assert receiver.open(sealed) == TEXT
    assert receiver.open(sender.seal(TEXT)) == TEXT


@pytest.mark.parametrize("length", range(16))
def test_ciphertext_shorter_than_its_tag_is_refused(length: int) -> None:
    receiver = CipherState(KEY)
    with pytest.raises(DecryptionError):
        receiver.open(CipherState(KEY).seal(TEXT)[:length])
    assert receiver.nonce == 0


def test_wrong_ad_order_and_repetition_are_refused() -> None:
    sender, receiver = CipherState(KEY), CipherState(KEY)
    first, second = sender.seal(TEXT, b"ad"), sender.seal(TEXT)
    for sealed, ad in [(first, b""), (first, b"da"), (second, b"")]:
        with pytest.raises(DecryptionError):
            receiver.open(sealed, ad)
    receiver.open(first, b"ad")
    with pytest.raises(DecryptionError):
        receiver.open(first, b"ad")
    assert receiver.open(second) == TEXT


@pytest.mark.parametrize("wrong", ["text", 16, None, memoryview(bytes(8))[::2]])
def test_seal_that_fails_takes_no_nonce(wrong: object) -> None:
    cipher = CipherState(KEY)
    with pytest.raises(TypeError):
        cipher.seal(wrong)  # type: ignore[arg-type]
    assert cipher.nonce == 0
    assert cipher.seal(b"").hex() == FROZEN[0][2]


def test_last_nonce_is_never_used() -> None:
    sender, receiver = at(2**64 - 2), at(2**64 - 2)
    assert receiver.open(sender.seal(TEXT)) == TEXT
    for cipher in (sender, receiver):
        for _ in range(2):
            with pytest.raises(NonceExhaustedError):
                cipher.seal(TEXT)
            with pytest.raises(NonceExhaustedError):
                cipher.open(bytes(32))
            assert cipher.nonce == 2**64 - 1
            cipher.rekey()


def test_threads_never_share_a_nonce() -> None:
    cipher = CipherState(KEY)
    plaintext = bytes(100_000)
    with ThreadPoolExecutor(4) as pool:
        sealed = list(pool.map(lambda _: cipher.seal(plaintext), range(200)))
    # Equal plaintexts under one nonce would give equal ciphertexts.
    assert len(set(sealed)) == cipher.nonce == 200


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_key_of_another_size_is_refused(length: int) -> None:
    with pytest.raises(KeyFormatError, match=f"32 bytes, not {length}"):
        CipherState(bytes(length))


@pytest.mark.parametrize("wrong", [32, "k" * 32, None])
def test_key_of_another_type_is_refused(wrong: object) -> None:
    with pytest.raises(TypeError):
        CipherState(wrong)  # type: ignore[arg-type]


def test_nothing_of_the_key_gets_out() -> None:
    cipher = CipherState(KEY)
    with pytest.raises(DecryptionError) as failure:
        cipher.open(bytes(20))
    assert_not_shown(KEY, cipher, failure.value, failure.value.args)
    assert_not_copied(cipher)
