"""Digests, and what is said where one is missing."""

from __future__ import annotations

import sys

import pytest

from sealframe.errors import MissingExtraError, NotSupportedError
from sealframe.files import digest
from sealframe.files.digest import Algorithm
from sealframe.files.store import Store
from sealframe.wire import FileRefusal

from .receiving import KEY, refused

EMPTY = {
    Algorithm.SHA256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    Algorithm.BLAKE3: "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
}
ABC = {
    Algorithm.SHA256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    Algorithm.BLAKE3: "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
}


@pytest.mark.parametrize("algorithm", digest.available())
def test_known_answers(algorithm: Algorithm) -> None:
    made = digest.new(algorithm)
    assert made.digest().hex() == EMPTY[algorithm]
    made.update(b"a")
    made.update(memoryview(b"bc"))
    assert made.digest().hex() == ABC[algorithm]
    assert len(made.digest()) == digest.DIGEST_SIZE


def test_numbers_on_the_wire() -> None:
    assert {algorithm.name: int(algorithm) for algorithm in Algorithm} == {
        "SHA256": 1,
        "BLAKE3": 2,
    }


def test_everybody_has_sha256() -> None:
    assert digest.available()[-1] == Algorithm.SHA256


@pytest.mark.parametrize("algorithm", [0, 3, 255])
def test_no_such_algorithm(algorithm: int) -> None:
    with pytest.raises(NotSupportedError, match=f"no digest algorithm {algorithm}"):
        digest.new(algorithm)


def test_the_package_is_missing(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    monkeypatch.setitem(sys.modules, "blake3", None)
    digest.available.cache_clear()
    try:
        assert digest.available() == (Algorithm.SHA256,)
        with pytest.raises(MissingExtraError, match=r"sealframe\[speed\]"):
            digest.new(Algorithm.BLAKE3)
        with refused(FileRefusal.NOT_SUPPORTED):
            store.begin("x", 1, KEY, algorithm=Algorithm.BLAKE3)
    finally:
        digest.available.cache_clear()
