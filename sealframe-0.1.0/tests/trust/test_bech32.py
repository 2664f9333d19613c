from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealframe.errors import KeyFormatError
from sealframe.trust import bech32

# Both lists are those of BIP 173, "Test vectors".
VALID = [
    "A12UEL5L",
    "a12uel5l",
    "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
    "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
    f"11{'q' * 82}c8247j",
    "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w",
    "?1ezyfcl",
]
INVALID = [
    (" 1nwldj5", "part in front"),
    ("\x7f1axkwrx", "part in front"),
    ("\x801eym55h", "never used"),
    (
        "an84characterslonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1569pvx",
        "longer than 90",
    ),
    ("pzry9x0s0muk", "part in front"),
    ("1pzry9x0s0muk", "part in front"),
    ("x1b4n0q5v", "character 3 "),
    ("li1dgmt3", "too short"),
    ("de1lg7wt\xff", "never used"),
    ("A1G7SGD8", "checksum"),
    ("10a06t8", "part in front"),
    ("1qzzfhee", "part in front"),
]

ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
TEXT = bech32.encode("sealframe-test-", bytes(range(32)))


@pytest.mark.parametrize("text", VALID)
def test_valid_texts(text: str) -> None:
    prefix, data = bech32.decode(text)
    assert text.lower().startswith(f"{prefix}1")
    assert bech32.encode(prefix, data) == text.lower()


@pytest.mark.parametrize(("text", "reason"), INVALID)
def test_invalid_texts(text: str, reason: str) -> None:
    with pytest.raises(KeyFormatError, match=reason):
        bech32.decode(text)


def test_known_data() -> None:
    # All 32 characters in the order of their values, thus 0 to 31 in five bits each.
    _, data = bech32.decode(VALID[3])
    assert data.hex() == "00443214c74254b635cf84653a56d7c675be77df"


# How long an example takes says nothing here, least of all on a busy machine.
@settings(deadline=None)
@given(prefix=st.from_regex(r"\A[!-@\[-~]{1,20}\Z"), data=st.binary(max_size=38))
def test_any_data_comes_back(prefix: str, data: bytes) -> None:
    text = bech32.encode(prefix, data)
    assert bech32.decode(text) == bech32.decode(text.upper()) == (prefix, data)


def test_every_single_mistyped_character_is_found() -> None:
    start = TEXT.rindex("1") + 1
    for position in range(start, len(TEXT)):
        for character in set(ALPHABET) - {TEXT[position]}:
            with pytest.raises(KeyFormatError, match="checksum does not match"):
                bech32.decode(TEXT[:position] + character + TEXT[position + 1 :])


def test_swapped_and_missing_characters_are_found() -> None:
    start = TEXT.rindex("1") + 1
    for position in range(start, len(TEXT) - 1):
        one, two = TEXT[position], TEXT[position + 1]
        for middle in {two + one, one, two} - {one + two}:
            with pytest.raises(KeyFormatError, match="checksum does not match"):
                bech32.decode(TEXT[:position] + middle + TEXT[position + 2 :])


@pytest.mark.parametrize("position", range(len(TEXT)))
def test_mixed_case_is_refused(position: int) -> None:
    text = TEXT[:position] + TEXT[position].upper() + TEXT[position + 1 :]
    if text != TEXT:
        with pytest.raises(KeyFormatError, match="mixed"):
            bech32.decode(text)


def test_letter_that_only_looks_right_is_refused() -> None:
    # The Kelvin sign is a k in lower case.
    text = bech32.encode("k", b"").upper()
    bech32.decode(text)
    with pytest.raises(KeyFormatError, match="never used"):
        bech32.decode(text.replace("K", "\N{KELVIN SIGN}"))


@pytest.mark.parametrize("words", [[1], [0] * 8 + [0], [0, 1], [0, 0, 0, 1]])
def test_data_that_is_not_whole_bytes_is_refused(words: list[int]) -> None:
    checksum = bech32.polymod("x", [*words, *bytes(6)]) ^ 1
    words = words + [checksum >> 5 * place & 31 for place in reversed(range(6))]
    with pytest.raises(KeyFormatError, match="whole number of bytes"):
        bech32.decode("x1" + "".join(ALPHABET[word] for word in words))


@pytest.mark.parametrize(
    ("prefix", "size"), [("", 1), ("Capital", 1), ("sp ace", 1), ("žluť", 1), ("x", 52)]
)
def test_what_cannot_be_written_is_refused(prefix: str, size: int) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        bech32.encode(prefix, bytes(size))
