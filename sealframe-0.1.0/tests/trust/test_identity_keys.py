"""Private keys, public keys and invitations: as objects, as text, as files."""

from __future__ import annotations

import copy
import os
import pickle
import stat
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealframe.errors import KeyFileError, KeyFormatError
from sealframe.trust import bech32
from sealframe.trust.keys import Invitation, PrivateKey, PublicKey, SharedKey

from .secrecy import assert_not_copied, assert_not_shown

if TYPE_CHECKING:
    from pathlib import Path

Kind: TypeAlias = type[SharedKey] | type[PrivateKey] | type[PublicKey] | type[Invitation]

# Alice of RFC 7748, section 6.1; the texts were made by another Bech32 encoder.
PRIVATE = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
PUBLIC = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
TOKEN = bytes(range(8))
TEXTS: dict[Kind, str] = {
    SharedKey: "SEALFRAME-SHARED-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0STGQ2DK",
    PrivateKey: "SEALFRAME-PRIVATE-KEY-1WURK6ZNNRZJH60QKC9E9RVNXGH05CTU8A0QFJ243WLA628DE9S4QJVJPTM",
    PublicKey: "sealframe1s5s0qzvfxzn4gayt0hwtg0hhtgxm7wsdycup4a8t5j5ca25mfe4qft06dv",
    Invitation: "SEALFRAME-INVITE-1"
    "S5S0QZVFXZN4GAYT0HWTG0HHTGXM7WSDYCUP4A8T5J5CA25MFE4QQQGZQVZQ2PS8QQUT4Q",
}
NAMES: dict[Kind, str] = {
    SharedKey: "a shared key",
    PrivateKey: "a private key",
    PublicKey: "a public key",
    Invitation: "an invitation",
}
HEADS: dict[Kind, str] = {
    SharedKey: "SEALFRAME-SHARED-KEY-1...",
    PrivateKey: "SEALFRAME-PRIVATE-KEY-1...",
    PublicKey: "sealframe1...",
    Invitation: "SEALFRAME-INVITE-1...",
}

posix_only = pytest.mark.skipif(
    os.name != "posix", reason="files here have access lists instead of a mode"
)
every_kind = pytest.mark.parametrize("kind", TEXTS, ids=lambda kind: kind.__name__)
every_other = pytest.mark.parametrize("other", TEXTS, ids=lambda kind: kind.__name__)


def invitation() -> Invitation:
    return Invitation(PublicKey(PUBLIC), TOKEN)


# As text


def test_texts_are_frozen() -> None:
    assert PrivateKey(PRIVATE).to_text() == TEXTS[PrivateKey]
    assert PublicKey(PUBLIC).to_text() == str(PublicKey(PUBLIC)) == TEXTS[PublicKey]
    assert invitation().to_text() == TEXTS[Invitation]
    assert PrivateKey.from_text(TEXTS[PrivateKey]).secret_bytes() == PRIVATE
    assert bytes(PublicKey.from_text(TEXTS[PublicKey])) == PUBLIC
    read = Invitation.from_text(TEXTS[Invitation])
    assert (bytes(read.server), read.token) == (PUBLIC, TOKEN)


def test_lengths_are_frozen() -> None:
    lengths = {kind: len(text) for kind, text in TEXTS.items()}
    assert lengths == {SharedKey: 80, PrivateKey: 81, PublicKey: 68, Invitation: 88}


@every_kind
def test_case_and_white_space_around_a_text_do_not_matter(kind: Kind) -> None:
    text = TEXTS[kind]
    for variant in (text.upper(), text.lower(), f"\t{text.lower()} \r\n"):
        assert kind.from_text(variant).to_text() == text


@every_kind
@every_other
def test_another_kind_is_refused_and_both_are_named(kind: Kind, other: Kind) -> None:
    for text in (TEXTS[other].lower(), TEXTS[other].upper()):
        if kind is other:
            kind.from_text(text)
            continue
        with pytest.raises(KeyFormatError) as refusal:
            kind.from_text(text)
        assert f"this is {NAMES[other]}, and {NAMES[kind]} is needed" in str(refusal.value)
        assert HEADS[kind] in str(refusal.value)
        assert text[25:35] not in str(refusal.value)


@every_kind
def test_a_typing_error_anywhere_is_found(kind: Kind) -> None:
    """In the part that says the kind too: no typing error makes one kind of another."""
    text = TEXTS[kind].lower()
    for place in range(len(text)):
        for character in "q-1b":
            mistyped = text[:place] + character + text[place + 1 :]
            if mistyped != text:
                with pytest.raises(KeyFormatError) as refusal:
                    kind.from_text(mistyped)
                assert text[-10:] not in str(refusal.value).lower()
                assert refusal.value.__cause__ is None


@every_kind
@pytest.mark.parametrize("size", [0, 1, 31, 33, 38])
def test_another_number_of_bytes_is_refused(kind: Kind, size: int) -> None:
    prefix = TEXTS[kind].lower().rpartition("1")[0]
    with pytest.raises(KeyFormatError, match=r"bytes, not \d+"):
        kind.from_text(bech32.encode(prefix, bytes(size)))


@every_kind
@pytest.mark.parametrize("thing", [None, b"sealframe1", 5])
def test_what_is_no_text_is_refused(kind: Kind, thing: object) -> None:
    with pytest.raises(TypeError, match=f"str, not {type(thing).__name__}"):
        kind.from_text(thing)  # type: ignore[arg-type]


# How long an example takes says nothing here, least of all on a busy machine.
@settings(deadline=None)
@given(raw=st.binary(min_size=32, max_size=32), token=st.binary(min_size=8, max_size=8))
def test_any_key_comes_back(raw: bytes, token: bytes) -> None:
    assert SharedKey.from_text(SharedKey(raw).to_text()).secret_bytes() == raw
    assert PrivateKey.from_text(PrivateKey(raw).to_text()).secret_bytes() == raw
    assert bytes(PublicKey.from_text(PublicKey(raw).to_text())) == raw
    again = Invitation.from_text(Invitation(PublicKey(raw), token).to_text())
    assert (bytes(again.server), again.token) == (raw, token)


# The objects


def test_the_public_key_belongs_to_the_private_one() -> None:
    key = PrivateKey(PRIVATE)
    assert key.public_key == PublicKey(PUBLIC)
    assert bytes(key.public_key) == PUBLIC


def test_new_ones_differ() -> None:
    keys = [PrivateKey.generate() for _ in range(5)]
    assert len({key.public_key for key in keys}) == 5
    server = PublicKey(PUBLIC)
    invitations = [Invitation.generate(server) for _ in range(5)]
    assert len({invitation.token for invitation in invitations}) == 5
    assert {invitation.server for invitation in invitations} == {server}


@pytest.mark.parametrize("length", [0, 31, 33])
def test_raw_bytes_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(KeyFormatError, match=f"a private key must be 32 bytes, not {length}"):
        PrivateKey(bytes(length))
    with pytest.raises(KeyFormatError, match=f"a public key must be 32 bytes, not {length}"):
        PublicKey(bytes(length))


@pytest.mark.parametrize("length", [0, 7, 9])
def test_a_token_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(KeyFormatError, match=f"a token is 8 bytes, not {length}"):
        Invitation(PublicKey(PUBLIC), bytes(length))


@pytest.mark.parametrize("wrong", [32, "k" * 32, None])
def test_raw_of_another_type_is_refused(wrong: object) -> None:
    for kind in (PrivateKey, PublicKey):
        with pytest.raises(TypeError):
            kind(wrong)  # type: ignore[arg-type]


def test_public_keys_are_values() -> None:
    key = PublicKey(bytearray(PUBLIC))
    assert key == PublicKey(PUBLIC)
    assert key != PublicKey(PRIVATE)
    assert key != PUBLIC
    assert {key: "alice"}[PublicKey(PUBLIC)] == "alice"
    assert eval(repr(key), {"PublicKey": PublicKey}) == key
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(key, protocol)) == key
    assert copy.copy(key) == copy.deepcopy(key) == key


def test_private_keys_compare_and_have_no_hash() -> None:
    assert PrivateKey(PRIVATE) == PrivateKey(PRIVATE)
    assert PrivateKey(PRIVATE) != PrivateKey(PUBLIC)
    assert PrivateKey(PRIVATE) != PRIVATE
    # The same bytes, another use.
    assert PrivateKey(PRIVATE) != SharedKey(PRIVATE)
    with pytest.raises(TypeError, match="unhashable"):
        hash(PrivateKey(PRIVATE))


def test_nothing_of_a_secret_is_shown_or_copied() -> None:
    key, invited = PrivateKey(PRIVATE), invitation()
    assert key.public_key == PublicKey(PUBLIC)
    assert repr(key) == str(key) == "<PrivateKey>"
    assert repr(invited) == str(invited) == "<Invitation>"
    for holder in (key, invited):
        assert_not_copied(holder)
        assert_not_shown(PRIVATE + TOKEN, holder)


# As files


def test_a_saved_private_key_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "server.key"
    PrivateKey(PRIVATE).save(path)
    assert PrivateKey.load(path) == PrivateKey.load(str(path)) == PrivateKey(PRIVATE)
    lines = path.read_text("ascii").splitlines()
    assert lines[-1] == TEXTS[PrivateKey]
    assert all(line.startswith("# ") for line in lines[:-1])
    assert f"# public key: {TEXTS[PublicKey]}" in lines


@posix_only
def test_a_saved_private_key_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "server.key"
    old = os.umask(0)
    try:
        PrivateKey.generate().save(path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_save_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "server.key"
    PrivateKey(PRIVATE).save(path)
    with pytest.raises(KeyFileError, match="choose another name"):
        PrivateKey.generate().save(path)
    assert PrivateKey.load(path) == PrivateKey(PRIVATE)


@posix_only
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "server.key"
    PrivateKey(PRIVATE).save(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="readable by others; run: chmod 600"):
        PrivateKey.load(path)


def test_a_file_with_a_key_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "one.key"
    SharedKey(PRIVATE).save(path)
    with pytest.raises(KeyFormatError) as refusal:
        PrivateKey.load(path)
    assert str(refusal.value).startswith(f"{path}: this is a shared key, and a private key")
    other = tmp_path / "other.key"
    PrivateKey(PRIVATE).save(other)
    with pytest.raises(KeyFormatError, match="this is a private key, and a shared key is needed"):
        SharedKey.load(other)
