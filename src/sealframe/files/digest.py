"""Digests, which prove that a file arrived unchanged; numbered as on the wire."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import IntEnum
from functools import cache
from typing import Final, Protocol, Self

from ..errors import MissingExtraError, NotSupportedError

DIGEST_SIZE: Final = 32
"""Bytes of a digest, whatever the algorithm."""
_STEP: Final = 1 << 20


class Algorithm(IntEnum):
    """How digests are made."""

    SHA256 = 1
    """Everybody has it."""
    BLAKE3 = 2
    """Takes a third of the time; needs the package ``blake3``, from the extra ``speed``."""


class Hash(Protocol):
    """What :mod:`hashlib` and ``blake3`` have in common, as far as it is used."""

    def update(self, data: bytes | memoryview, /) -> object: ...

    def digest(self) -> bytes: ...

    def copy(self) -> Self: ...


@cache
def available() -> tuple[Algorithm, ...]:
    """Return the algorithms that can be used here, the fastest first."""
    try:
        import blake3  # noqa: F401
    except ImportError:
        return (Algorithm.SHA256,)
    return (Algorithm.BLAKE3, Algorithm.SHA256)


def new(algorithm: int) -> Hash:
    """Return an empty hash.

    :param algorithm: an :class:`Algorithm`, or its number
    :raises MissingExtraError: it needs a package that is not installed
    :raises NotSupportedError: there is no such algorithm
    """
    if algorithm == Algorithm.SHA256:
        return hashlib.sha256()
    if algorithm != Algorithm.BLAKE3:
        raise NotSupportedError(f"there is no digest algorithm {algorithm}; 1 is SHA-256")
    try:
        from blake3 import blake3
    except ImportError:
        raise MissingExtraError(
            "BLAKE3 needs the package blake3: pip install 'sealframe[speed]'"
        ) from None
    return blake3()


def feed(
    target: Hash,
    read: Callable[[int], bytes],
    length: int,
    watch: Callable[[int], None] | None = None,
) -> int:
    """Hash what is read, in steps of 1 MiB.

    :param read: as that of a file
    :param length: bytes to read
    :param watch: called with the bytes hashed so far, after each step; what it raises
        ends the work
    :return: bytes that were hashed; fewer than ``length`` where the file ends before
    """
    done = 0
    while done < length and (data := read(min(_STEP, length - done))):
        target.update(data)
        done += len(data)
        if watch is not None:
            watch(done)
    return done
