"""The published vectors of every pattern there is, in both roles, byte for byte."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sealframe.handshake import _PATTERNS, Handshake

if TYPE_CHECKING:
    from pathlib import Path

SUITE = "25519_AESGCM_SHA256"

Vector = dict[str, Any]


def side(vector: Vector, role: str, pattern: str) -> Handshake:
    keys = {
        name: bytes.fromhex(vector[f"{role}_{name}"])
        for name in ("prologue", "ephemeral", "static", "remote_static")
        if f"{role}_{name}" in vector
    }
    if f"{role}_psks" in vector:
        (psk,) = vector[f"{role}_psks"]
        keys["psk"] = bytes.fromhex(psk)
    return Handshake(pattern, initiator=role == "init", **keys)


def steps(vector: Vector) -> list[tuple[bytes, bytes]]:
    return [
        (bytes.fromhex(message["payload"]), bytes.fromhex(message["ciphertext"]))
        for message in vector["messages"]
    ]


@pytest.mark.parametrize("role", ["init", "resp"])
@pytest.mark.parametrize("pattern", _PATTERNS)
def test_vectors(pattern: str, role: str, vectors: Path) -> None:
    """One side alone, against the bytes that the vector has for the other."""
    found = [
        vector
        for path in sorted((vectors / "noise").glob("*.json"))
        for vector in json.loads(path.read_bytes())["vectors"]
        if vector["protocol_name"] == f"Noise_{pattern}_{SUITE}"
    ]
    assert found
    for vector in found:
        handshake = side(vector, role, pattern)
        messages = steps(vector)
        ours = role == "init"
        while not handshake.finished:
            payload, sealed = messages.pop(0)
            if ours:
                assert handshake.write_message(payload) == sealed
            else:
                assert handshake.read_message(sealed) == payload
            ours = not ours
        assert handshake.hash.hex() == vector["handshake_hash"]
        send, receive = handshake.split()
        assert len(messages) >= 2
        for payload, sealed in messages:
            if ours:
                assert send.seal(payload) == sealed
            else:
                assert receive.open(sealed) == payload
            ours = not ours
