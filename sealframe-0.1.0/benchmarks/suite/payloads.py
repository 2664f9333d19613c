"""The messages that are sent, and the checksum that proves that they came."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from functools import cache
from typing import Final, TypeAlias

Check: TypeAlias = Callable[[bytes, int], int]

_DIFFERENT: Final = 61
"""Payloads of a small size. A prime, so that they do not fall in step with batches."""
_POOL: Final = 16 * 1024 * 1024
"""Bytes of payload at most: larger ones are fewer."""
_SMALL: Final = 256
"""Messages up to this size are always checked whole."""
_CACHE_LINE: Final = 64


@cache
def make_payloads(size: int) -> list[bytes]:
    """Return different messages of ``size`` bytes, the same ones each time."""
    source = random.Random(size)
    count = max(2, min(_DIFFERENT, _POOL // max(1, size)))
    return [source.randbytes(size) for _ in range(count)]


def checker(size: int, *, thorough: bool) -> Check:
    """Return ``check(message, checksum)``, which returns the next checksum.

    A checksum of every byte of a large message would take longer than its transport. There
    a byte of each cache line goes into it, so that the whole message is touched;
    thorough runs, which are not timed, cover every byte.
    """
    if thorough or size <= _SMALL:
        return zlib.adler32
    return _touch


def checked(message: bytes, *, thorough: bool) -> bytes:
    """Return what goes into the checksum, in a run of messages of that size."""
    return message if thorough or len(message) <= _SMALL else message[::_CACHE_LINE]


def _touch(message: bytes, checksum: int) -> int:
    return zlib.adler32(message[::_CACHE_LINE], checksum)
