"""The published vectors of every pattern there is, in both roles, byte for byte."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sealframe.noise.cipher import public_key
from sealframe.noise.handshake import PATTERNS, Handshake

pytestmark = pytest.mark.fixed_keys(reason="the keys are in the vectors")

SUITE = "25519_AESGCM_SHA256"

FLYNN = Path("/usr/share/gocode/src/github.com/flynn/noise/vectors.txt")
"""Where Debian's golang-github-flynn-noise-dev puts the vectors of that library."""

KEYS = ("prologue", "psk", "static", "remote_static", "ephemeral")


@dataclass
class Vector:
    """One conversation: what each side is given, and every message of it."""

    pattern: str
    sides: dict[str, dict[str, bytes]]
    """Per role, ``init`` and ``resp``: the arguments of `Handshake`."""
    messages: list[tuple[bytes, bytes]]
    """Payload and ciphertext. Those of the handshake first."""
    initiator_goes_on: bool = False
    """Whether the initiator sends the first message after the handshake, even where it
    sent the last one in it; otherwise the two take turns without a break."""
    hash: bytes | None = None
    """None where the source does not say."""
    unused: list[str] = field(default_factory=list)
    """Fields that no test looks at."""


def cacophony(path: Path) -> list[Vector]:
    """Return the vectors of a file in the JSON format that cacophony and snow share."""
    found = []
    for raw in json.loads(path.read_bytes())["vectors"]:
        _, pattern, suite = raw.pop("protocol_name").split("_", 2)
        if suite != SUITE or pattern not in PATTERNS:
            continue
        sides: dict[str, dict[str, bytes]] = {}
        for role in ("init", "resp"):
            (psk,) = raw.pop(f"{role}_psks", [None])
            given = {name: raw.pop(f"{role}_{name}", None) for name in KEYS if name != "psk"}
            given["psk"] = psk
            sides[role] = {name: bytes.fromhex(v) for name, v in given.items() if v is not None}
        messages = [
            (bytes.fromhex(message["payload"]), bytes.fromhex(message["ciphertext"]))
            for message in raw.pop("messages")
        ]
        handshake_hash = bytes.fromhex(raw.pop("handshake_hash"))
        found.append(Vector(pattern, sides, messages, hash=handshake_hash, unused=list(raw)))
    return found


def flynn(path: Path) -> list[Vector]:
    """Return the vectors of flynn/noise: blocks of ``name=hex`` lines."""
    found = []
    for block in path.read_text().split("\n\n"):
        raw = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if not raw:
            continue
        _, pattern, suite = raw.pop("handshake").split("_", 2)
        if suite != SUITE or pattern not in PATTERNS:
            continue
        fields = {name: bytes.fromhex(value) for name, value in raw.items()}
        both = {
            name: fields.pop(theirs)
            for name, theirs in (("prologue", "prologue"), ("psk", "preshared_key"))
            if theirs in fields
        }
        sides = {}
        for role in ("init", "resp"):
            sides[role] = {**both, "ephemeral": fields.pop(f"gen_{role}_ephemeral")}
            if f"{role}_static" in fields:
                sides[role]["static"] = fields.pop(f"{role}_static")
        if pattern == "XK":
            sides["init"]["remote_static"] = public_key(sides["resp"]["static"])
        messages: list[tuple[bytes, bytes]] = []
        while f"msg_{len(messages)}_payload" in fields:
            name = f"msg_{len(messages)}"
            messages.append((fields.pop(f"{name}_payload"), fields.pop(f"{name}_ciphertext")))
        found.append(Vector(pattern, sides, messages, initiator_goes_on=True, unused=list(fields)))
    return found


def check(vector: Vector, role: str) -> None:
    """Check one side alone, against the bytes that the vector has for the other."""
    initiator = role == "init"
    assert vector.unused == []
    handshake = Handshake(vector.pattern, initiator=initiator, **vector.sides[role])
    messages = list(vector.messages)
    ours = initiator
    while not handshake.finished:
        payload, sealed = messages.pop(0)
        if ours:
            assert handshake.write_message(payload) == sealed
        else:
            assert handshake.read_message(sealed) == payload
        ours = not ours
    assert vector.hash in (None, handshake.hash)
    if vector.initiator_goes_on:
        ours = initiator
    send, receive = handshake.split()
    assert len(messages) >= 2
    for payload, sealed in messages:
        if ours:
            assert send.seal(payload) == sealed
        else:
            assert receive.open(sealed) == payload
        ours = not ours
    assert send.nonce + receive.nonce == len(messages)


both_roles = pytest.mark.parametrize("role", ["init", "resp"])
# There are none with the modifier hfs and ML-KEM-768.
every_pattern = pytest.mark.parametrize("pattern", ["NNpsk0", "XK", "XX"])


@both_roles
@every_pattern
def test_vectors_of_cacophony(pattern: str, role: str, vectors: Path) -> None:
    found = [
        vector
        for path in sorted((vectors / "noise").glob("*.json"))
        for vector in cacophony(path)
        if vector.pattern == pattern
    ]
    assert found
    for vector in found:
        assert vector.hash is not None
        # Payloads in the handshake too.
        assert all(payload for payload, _ in vector.messages)
        check(vector, role)


@both_roles
@every_pattern
def test_vectors_of_flynn(pattern: str, role: str) -> None:
    if not FLYNN.exists():
        pytest.skip("the vectors of flynn/noise are not installed (golang-github-flynn-noise-dev)")
    found = [vector for vector in flynn(FLYNN) if vector.pattern == pattern]
    # Without and with a prologue, and each without and with payloads in the handshake.
    assert [
        ("prologue" in vector.sides[role], bool(vector.messages[0][0])) for vector in found
    ] == [(False, False), (False, True), (True, False), (True, True)]
    for vector in found:
        check(vector, role)
