"""The recorder of nonces sees what it is there for, and a test that reuses one is red."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nonce_recorder import NonceRecorder

from sealframe.noise.cipher import CipherState

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
REKEY_NONCE = bytes(4) + b"\xff" * 8

TESTS = Path(__file__).parents[1]
SUITE = """
from __future__ import annotations

import pytest
from sealframe.noise.cipher import CipherState


def test_each_nonce_once():
    cipher = CipherState(bytes(32))
    for _ in range(3):
        cipher.seal(b"x")


def test_a_second_cipher_with_the_key_of_another_test():
    CipherState(bytes(32)).seal(b"y")


@pytest.mark.fixed_keys(reason="on purpose")
def test_on_purpose():
    CipherState(bytes(32)).seal(b"y")


@pytest.fixture
def reused():
    CipherState(bytes(32)).seal(b"z")


def test_in_a_fixture(reused):
    pass


def test_counter_set_back():
    cipher = CipherState(bytes([1]) * 32)
    cipher.seal(b"x")
    cipher.next_nonce = 0
    try:
        cipher.seal(b"x")
    except Exception:
        pass


def test_both_ends_and_a_rekey():
    sender, receiver = CipherState(bytes([2]) * 32), CipherState(bytes([2]) * 32)
    for _ in range(3):
        receiver.open(sender.seal(b"x"))
        sender.rekey()
        receiver.rekey()
"""


def run(folder: Path, suite: str) -> subprocess.CompletedProcess[str]:
    """Run a suite of its own under this project's conftest."""
    for name in ("conftest.py", "nonce_recorder.py"):
        shutil.copy(TESTS / name, folder)
    (folder / "test_suite.py").write_text(suite)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider -p no:xdist\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "--strict-markers", "test_suite.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_test_that_reuses_a_nonce_fails_and_no_other(tmp_path: Path) -> None:
    result = run(tmp_path, SUITE)
    lines = result.stdout.splitlines()
    results = {
        words[1].partition("::")[2]: words[0]
        for line in lines
        if (words := line.split()) and words[0] in ("PASSED", "FAILED", "ERROR")
    }
    assert results == {
        "test_each_nonce_once": "PASSED",
        "test_a_second_cipher_with_the_key_of_another_test": "FAILED",
        "test_on_purpose": "PASSED",
        "test_in_a_fixture": "ERROR",
        "test_counter_set_back": "FAILED",
        "test_both_ends_and_a_rekey": "PASSED",
    }, result.stdout + result.stderr
    assert "nonce 0 sealed twice under one key:" in lines
    assert any("test_suite.py:" in line and "set_back" in line for line in lines)
    assert bytes(32).hex() not in result.stdout


def test_a_mark_without_a_reason_is_refused(tmp_path: Path) -> None:
    mark = "import pytest\n\n@pytest.mark.fixed_keys\ndef test_one():\n    pass\n"
    result = run(tmp_path, mark)
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_one: fixed_keys needs reason=..." in result.stderr


def test_this_suite_is_watched(request: pytest.FixtureRequest) -> None:
    """Else a change of how AES-GCM is called would switch the recorder off unseen."""
    (conftest,) = (
        plugin
        for plugin in request.config.pluginmanager.get_plugins()
        if getattr(plugin, "__file__", "") == str(TESTS / "conftest.py")
    )
    recorder: NonceRecorder = conftest.recorder
    before = recorder.count
    cipher = CipherState(AESGCM.generate_key(256))
    cipher.seal(b"one")
    cipher.rekey()
    cipher.seal(b"two")
    cipher.seal_records([b"three"])
    assert recorder.count == before + 3


def test_nonces_are_told_apart_and_keys_too() -> None:
    recorder = NonceRecorder()
    make = recorder.watch(AESGCM)
    first, again, other = make(KEY), make(KEY), make(OTHER_KEY)
    for number in range(300):
        nonce = number.to_bytes(12, "big")
        assert first.encrypt(nonce, b"x", b"") == AESGCM(KEY).encrypt(nonce, b"x", b"")
        other.encrypt(nonce, b"x", b"")
    assert recorder.take_violations() == []
    assert recorder.count == 600
    again.encrypt((299).to_bytes(12, "big"), b"x", b"")
    (violation,) = recorder.take_violations()
    assert violation.startswith("nonce 299 sealed twice under one key:")
    assert recorder.take_violations() == []


@pytest.mark.parametrize("first", ["encrypt", "encrypt_into"])
@pytest.mark.parametrize("second", ["encrypt", "encrypt_into"])
def test_both_ways_to_encrypt_are_one(first: str, second: str) -> None:
    recorder = NonceRecorder()
    cipher = recorder.watch(AESGCM)(KEY)
    for way in (first, second):
        assert recorder.take_violations() == []
        if way == "encrypt":
            cipher.encrypt(bytes(12), b"x", None)
        else:
            place = bytearray(17)
            cipher.encrypt_into(bytes(12), b"x", None, place)
            assert place == AESGCM(KEY).encrypt(bytes(12), b"x", None)
    (violation,) = recorder.take_violations()
    assert violation.startswith("nonce 0 sealed twice under one key:")


def test_what_is_opened_into_memory_is_not_counted() -> None:
    recorder = NonceRecorder()
    cipher = recorder.watch(AESGCM)(KEY)
    sealed = cipher.encrypt(bytes(12), b"x", None)
    for _ in range(2):
        place = bytearray(1)
        cipher.decrypt_into(bytes(12), sealed, None, place)
        assert place == b"x"
    assert recorder.count == 1
    assert recorder.take_violations() == []


def test_what_is_opened_is_not_counted() -> None:
    recorder = NonceRecorder()
    cipher = recorder.watch(AESGCM)(KEY)
    sealed = cipher.encrypt(bytes(12), b"x", b"")
    assert cipher.decrypt(bytes(12), sealed, b"") == b"x"
    assert cipher.decrypt(bytes(12), sealed, b"") == b"x"
    assert recorder.take_violations() == []


@pytest.mark.parametrize(("data", "ad"), [(b"x", b""), (bytes(31), b""), (bytes(32), b"ad")])
def test_the_nonce_of_rekey_seals_nothing_else(data: bytes, ad: bytes) -> None:
    recorder = NonceRecorder()
    cipher = recorder.watch(AESGCM)(KEY)
    for _ in range(2):
        cipher.encrypt(REKEY_NONCE, bytes(32), b"")
    assert recorder.take_violations() == []
    cipher.encrypt(REKEY_NONCE, data, ad)
    (violation,) = recorder.take_violations()
    assert violation.startswith("the nonce of REKEY sealed data:")


def test_of_many_threads_with_one_nonce_all_but_one_are_found() -> None:
    recorder = NonceRecorder()
    make = recorder.watch(AESGCM)
    barrier = Barrier(4)

    def seal() -> None:
        cipher = make(KEY)
        barrier.wait()
        for number in range(500):
            cipher.encrypt(number.to_bytes(12, "big"), b"x", b"")

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(seal) for _ in range(4)]:
            done.result()
    assert len(recorder.take_violations()) == 3 * 500
