"""Bech32, the text form of keys: letters and digits with a checksum against typing errors.

The format is BIP 173's: a human-readable part that says what kind of thing it is,
the separator ``1``, the data in groups of five bits, and a checksum of six
characters. It finds any four wrong characters in a text of 90 at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import KeyFormatError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_LENGTH: Final = 90
"""Characters in the longest text, separator and checksum included."""

_ALPHABET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES: Final = {character: value for value, character in enumerate(_ALPHABET)}
_CHECKSUM_SIZE: Final = 6
# What is added to the checksum for each of the five bits that leave it at the top.
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_VALID: Final = 1
"""The checksum of a whole text that is right."""


def encode(prefix: str, data: bytes) -> str:
    """Return `data` as Bech32 text, in lower case.

    :param prefix: the human-readable part: printable ASCII, no space, no capitals
    :raises ValueError: the prefix is not of that kind, or the text would be longer
        than 90 characters
    """
    words = _to_words(data)
    length = len(prefix) + len("1") + len(words) + _CHECKSUM_SIZE
    if not _is_prefix(prefix) or prefix != prefix.lower() or length > MAX_LENGTH:
        raise ValueError(f"{len(data)} bytes cannot be written as Bech32 with prefix {prefix!r}")
    checksum = polymod(prefix, [*words, *bytes(_CHECKSUM_SIZE)]) ^ _VALID
    words += [checksum >> 5 * place & 31 for place in reversed(range(_CHECKSUM_SIZE))]
    return f"{prefix}1{''.join(_ALPHABET[word] for word in words)}"


def decode(text: str) -> tuple[str, bytes]:
    """Return the human-readable part, in lower case, and the data of a Bech32 text.

    :param text: all lower case or all upper case, without white space around it
    :raises KeyFormatError: it is not Bech32, or a character is wrong; the error says
        where and never quotes the text, which may be a secret
    """
    if len(text) > MAX_LENGTH:
        raise KeyFormatError(f"the text is longer than {MAX_LENGTH} characters")
    if not text.isascii():
        raise KeyFormatError("the text has a character that is never used in a key")
    if text != text.lower() and text != text.upper():
        raise KeyFormatError("small and capital letters are mixed: one of them is mistyped")
    prefix, separator, body = text.lower().rpartition("1")
    if not separator or not _is_prefix(prefix):
        raise KeyFormatError("the part in front, up to the last digit 1, is missing or mistyped")
    if len(body) < _CHECKSUM_SIZE:
        raise KeyFormatError("the text is too short: its end is missing")
    for position, character in enumerate(body, len(prefix) + 2):
        if character not in _VALUES:
            raise KeyFormatError(f"character {position} is never used in a key: it is mistyped")
    words = [_VALUES[character] for character in body]
    if polymod(prefix, words) != _VALID:
        raise KeyFormatError("the checksum does not match: a character is mistyped or missing")
    return prefix, _to_bytes(words[:-_CHECKSUM_SIZE])


def _is_prefix(prefix: str) -> bool:
    return prefix != "" and all("!" <= character <= "~" for character in prefix)


def polymod(prefix: str, words: Sequence[int]) -> int:
    """The remainder of prefix and words, as a polynomial over GF(32), by the generator."""
    codes = [ord(character) for character in prefix]
    value = 1
    for word in (*(code >> 5 for code in codes), 0, *(code & 31 for code in codes), *words):
        top = value >> 25
        value = (value & 0x1FF_FFFF) << 5 ^ word
        for bit, addend in enumerate(_GENERATOR):
            if top >> bit & 1:
                value ^= addend
    return value


def _to_words(data: bytes) -> list[int]:
    """Cut into groups of five bits; zeros fill up the last."""
    count = -(-len(data) * 8 // 5)
    number = int.from_bytes(data, "big") << (count * 5 - len(data) * 8)
    return [number >> 5 * place & 31 for place in reversed(range(count))]


def _to_bytes(words: Sequence[int]) -> bytes:
    size, filler = divmod(len(words) * 5, 8)
    number = 0
    for word in words:
        number = number << 5 | word
    if filler >= 5 or number & ((1 << filler) - 1):
        raise KeyFormatError("the text does not hold a whole number of bytes")
    return (number >> filler).to_bytes(size, "big")
