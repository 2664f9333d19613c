"""Every input that is kept holds the invariants of its target, without any fuzzer."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

pytest.importorskip("cryptography", reason="cryptography is not installed")

from sealframe.core.multiplexer import Multiplexer
from sealframe.errors import DecryptionError
from sealframe.framing import _codec_py, _varied_py
from sealframe.noise.cipher import CipherState
from sealframe.noise.symmetric import SymmetricState

from .targets import TARGETS, inputs, run

pytestmark = pytest.mark.fixed_keys(reason="the keys are known, so that each run is the same")


@pytest.mark.parametrize("target", TARGETS)
def test_every_kept_input_goes_as_it_should(target: str) -> None:
    """What was once found is mended, and the corpus, which reaches much, finds nothing."""
    kept = inputs(target)
    assert len(kept) >= 50, "where is the corpus?"
    for name, data in kept.items():
        try:
            run(target, data)
        except Exception as error:
            error.add_note(f"{target}, {name}: {data.hex()}")
            raise


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Break what a target looks at; return the target."""
    if request.param == "decoder":
        if find_spec("sealframe.framing._codec") is None:
            pytest.skip("without the extension there is no other decoder to compare with")
        monkeypatch.setattr(_codec_py, "UNKNOWN_BODY_KEPT", 7)
    elif request.param == "layouts":
        monkeypatch.setattr(_varied_py, "_compare_trailer", lambda *_: None)
    elif request.param == "channels":
        monkeypatch.setattr(Multiplexer, "refuse_body", lambda *_: None)
    elif request.param == "handshake":
        decrypt = SymmetricState.decrypt_and_hash

        def unchecked_hash(state: SymmetricState, sealed: bytes) -> bytes:
            try:
                return decrypt(state, sealed)
            except DecryptionError:
                state.mix_hash(sealed)
                return sealed[:-16]

        monkeypatch.setattr(SymmetricState, "decrypt_and_hash", unchecked_hash)
    else:
        checked = CipherState.open_record

        def unchecked(state: CipherState, ciphertext: bytes) -> bytes:
            try:
                return checked(state, ciphertext)
            except DecryptionError:
                state.set_nonce(state.nonce + 1)
                return bytes(ciphertext[:-16])

        monkeypatch.setattr(CipherState, "open_record", unchecked)
    target: str = request.param
    return target


@pytest.mark.parametrize("planted", TARGETS, indirect=True)
def test_a_planted_fault_is_found(planted: str) -> None:
    """The targets do look: a codec that keeps a byte too few, trailers and a tag that nobody
    checks, a request that was answered and whose body may still come."""
    with pytest.raises(AssertionError):
        for data in inputs(planted).values():
            run(planted, data)
