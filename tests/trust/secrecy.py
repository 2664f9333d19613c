"""What holds for every object with a secret in it."""

from __future__ import annotations

import copy
import gc
import pickle
from types import FunctionType, ModuleType

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey


def assert_not_copied(holder: object) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            pickle.dumps(holder, protocol)
    for duplicate in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            duplicate(holder)


def assert_not_shown(secret: bytes, *shown: object) -> None:
    """Fail if a `repr` or `str` holds four bytes in a row of a secret, raw or as hex."""
    text = "".join(repr(thing) + str(thing) for thing in shown)
    for start in range(len(secret) - 3):
        piece = secret[start : start + 4]
        assert piece.hex() not in text.lower()
        assert repr(piece)[2:-1] not in text


def kept_alive(holder: object) -> list[object]:
    """Return every object that `holder` keeps alive, itself among them."""
    found: list[object] = []
    seen: set[int] = set()
    waiting = [holder]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, type | ModuleType | FunctionType):
            continue
        seen.add(id(thing))
        found.append(thing)
        waiting += gc.get_referents(thing)
    return found


def reachable(holder: object) -> list[bytes]:
    """Return every ``bytes`` object, private key and key of ML-KEM that `holder` keeps alive."""
    found: list[bytes] = []
    for thing in kept_alive(holder):
        if isinstance(thing, bytes):
            found.append(thing)
        if isinstance(thing, X25519PrivateKey | MLKEM768PrivateKey):
            found.append(thing.private_bytes_raw())
        if isinstance(thing, MLKEM768PublicKey):
            found.append(thing.public_bytes_raw())
    return found
