"""What was written from docs/PROTOCOL.md alone computes what the text and vectors.json have."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from kyber_py.ml_kem import ML_KEM_768

from .hybrid_noise import PATTERNS, Handshake, Records, RefusedError, Step, public
from .hybrid_peer import HANDSHAKE, REFUSED, close, frame

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "PROTOCOL.md").read_text(encoding="utf-8")
VECTORS = json.loads((DOCS / "vectors.json").read_text(encoding="utf-8"))

NAMES = {4: "nnhfs_psk0", 5: "xkhfs", 6: "xxhfs"}
"""Those of the blocks of the text."""

each_pattern = pytest.mark.parametrize("pattern", PATTERNS, ids=NAMES.values())


def block(name: str) -> bytes:
    """Return the bytes that a block of the text has."""
    found = re.search(rf"^```hex {name}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert found, name
    return bytes.fromhex(found[1])


def given(name: str) -> bytes:
    return bytes.fromhex(VECTORS[name])


def fixed_kem() -> Any:
    """Return an ML-KEM-768 that encapsulates with the ``m`` of the vectors."""
    kem = copy.copy(ML_KEM_768)
    kem.random_bytes = lambda size: given("ML-KEM-768 m")[:size]
    return kem


def frozen(pattern: int, end: str) -> Handshake:
    """Return one end of the handshakes of the vectors."""
    return Handshake(
        pattern,
        end == "client",
        given("context"),
        psk=given("shared key"),
        static=given(f"{end} static private"),
        server=public(given("server static private")),
        ephemeral=given(f"{end} ephemeral private"),
        seed=given("client ML-KEM-768 seed"),
        kem=fixed_kem(),
    )


def shake_hands(client: Handshake, server: Handshake) -> list[bytes]:
    """Return the frames; the preamble is not the handshake's to read."""
    frames = []
    ends = client, server
    for number in range(len(client.flights)):
        message = ends[number % 2].write()
        frames.append(frame(HANDSHAKE, message))
        ends[1 - number % 2].read(message[0 if number else 10 :])
    return frames


def test_the_kem() -> None:
    key, secret_key = ML_KEM_768.key_derive(given("client ML-KEM-768 seed"))
    assert hashlib.sha256(key).digest() == block("kem-key-sha256")
    secret, ciphertext = fixed_kem().encaps(key)
    assert secret == block("kem-secret") == ML_KEM_768.decaps(secret_key, ciphertext)
    assert ciphertext == block("kem-ciphertext") == given("ML-KEM-768 ciphertext")


@each_pattern
def test_each_step(pattern: int) -> None:
    (vector,) = (each for each in VECTORS["handshakes"] if each["pattern"] == pattern)
    steps = [
        Step(*(bytes.fromhex(step.get(name, "")) for name in Step._fields))
        for step in vector["steps"]
    ]
    client, server = frozen(pattern, "client"), frozen(pattern, "server")
    frames = shake_hands(client, server)
    assert client.name == vector["name"]
    assert client.prologue == block(f"{NAMES[pattern]}-prologue")
    assert client.noise.steps == server.noise.steps == steps
    assert [each.hex() for each in frames] == vector["frames"]
    assert client.noise.h == bytes.fromhex(vector["hash"]) == block(f"{NAMES[pattern]}-hash")
    for end in (client.split(), reversed(server.split())):
        keys = [records.key.hex() for records in end]
        assert keys == [vector["client sends under"], vector["server sends under"]]


def test_the_steps_in_the_text() -> None:
    found = re.search(r"^```text xkhfs-steps\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert found
    steps = re.findall(r"\n   ck (\w+)\n   h  (\w+)(?:\n   k  (\w+))?", found[1])
    client = frozen(5, "client")
    shake_hands(client, frozen(5, "server"))
    assert [tuple(value.hex() for value in step) for step in client.noise.steps] == steps


@each_pattern
def test_the_first_records(pattern: int) -> None:
    client, server = frozen(pattern, "client"), frozen(pattern, "server")
    shake_hands(client, server)
    (sealing, opening), (from_server, _) = client.split(), server.split()
    hello = block("hello-invited" if pattern == 5 else "hello")
    answer = block("unauthorized" if pattern == 6 else "welcome")
    assert frame(None, sealing.seal(hello)) == block(f"{NAMES[pattern]}-client-0")
    assert frame(None, from_server.seal(answer)) == block(f"{NAMES[pattern]}-server-0")
    assert opening.open(block(f"{NAMES[pattern]}-server-0")[4:]) == answer


def test_records_and_their_keys() -> None:
    vectors = {each["number"]: each for each in VECTORS["records"]["records"]}
    first, plaintext = (bytes.fromhex(VECTORS["records"][x]) for x in ("first key", "plaintext"))
    sealing, opening = Records(first), Records(first)
    for number in range(max(vectors) + 1):
        key = sealing.key
        record = sealing.seal(plaintext)
        assert opening.open(record) == plaintext
        if number in vectors:
            assert key.hex() == vectors[number]["key"]
            assert frame(None, record).hex() == vectors[number]["record"]


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(each, id=each["name"])
        for each in VECTORS["failures"]
        if each["pattern"] in PATTERNS
    ],
)
def test_what_fails(case: dict[str, Any]) -> None:
    handshake = frozen(case["pattern"], case["end"])
    (read,) = (bytes.fromhex(each)[5:] for each in case["reads"])
    expected = [close(REFUSED).hex()]
    if handshake.client:
        expected.insert(0, frame(HANDSHAKE, handshake.write()).hex())
    else:
        assert read[:10] == handshake.preamble
        read = read[10:]
    with pytest.raises(RefusedError):
        handshake.read(read)
        handshake.write()
    assert case["writes"] == expected
