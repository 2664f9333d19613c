"""The published vectors are what the specification's own script makes, and what the code does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from core.peers import WITH_PSK, Peer, ephemerals, fixed_kem

from sealframe.core.protocol import ProtocolMachine
from sealframe.noise.cipher import CipherState
from sealframe.noise.credentials import Credentials
from sealframe.noise.records import RecordLayer
from sealframe.trust.keys import PrivateKey
from sealframe.wire import Pattern
from sealframe.wire.control import Close

from . import make_vectors

pytestmark = pytest.mark.fixed_keys(reason="the keys of the vectors are published")

DOCS = Path(__file__).parents[2] / "docs"
VECTORS: dict[str, Any] = json.loads((DOCS / "vectors.json").read_text(encoding="utf-8"))
MIB = 1 << 20


def secret(name: str) -> bytes:
    return bytes.fromhex(VECTORS[name])


def captured_kem() -> AbstractContextManager[None]:
    """Let ML-KEM-768 give what it does in the vectors."""
    return fixed_kem(secret("client ML-KEM-768 seed"), secret("ML-KEM-768 ciphertext"))


def credentials(pattern: Pattern, *, client: bool) -> Credentials:
    """Return what an end of the vectors has."""
    if pattern in WITH_PSK:
        return Credentials(pattern, psk=secret("shared key"))
    if not client:
        return Credentials(pattern, static=secret("server static private"))
    known = bytes(PrivateKey(secret("server static private")).public_key)
    remote = known if pattern in (Pattern.XK, Pattern.XKHFS) else None
    return Credentials(pattern, static=secret("client static private"), remote_static=remote)


def layer(pattern: Pattern, *, client: bool) -> RecordLayer:
    return RecordLayer(
        initiator=client,
        credentials=credentials(pattern, client=client),
        context=secret("context"),
    )


def end(pattern: Pattern, *, client: bool) -> Peer:
    """Return one end of the connection of the vectors."""
    ephemeral = secret(f"{'client' if client else 'server'} ephemeral private")
    with ephemerals(ephemeral), captured_kem():
        return Peer(
            ProtocolMachine(
                client=client,
                max_message_size=16 * MIB if client else MIB,
                records=layer(pattern, client=client),
                software="sealframe/0.1.0",
                client_id="" if client else "5f0c2a-1",
            )
        )


def read(peer: Peer, data: bytes, *, client: bool) -> None:
    """Let a server make its ephemeral key, if it does so now."""
    if client:
        peer.read(data)
        return
    with ephemerals(secret("server ephemeral private")), captured_kem():
        peer.read(data)


def test_the_file_is_what_the_script_makes() -> None:
    """``python tests/noise_/make_vectors.py docs/vectors.json`` writes it anew."""
    assert (DOCS / "vectors.json").read_text(encoding="utf-8") == make_vectors.text()


def test_the_transcript_of_the_specification_is_what_the_script_makes() -> None:
    page = (DOCS / "PROTOCOL.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"^```text transcript\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert found == make_vectors.transcript()


def test_the_steps_of_the_specification_are_what_the_script_makes() -> None:
    page = (DOCS / "PROTOCOL.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"^```text xkhfs-steps\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert found == make_vectors.steps(Pattern.XKHFS)


@pytest.mark.parametrize("made", VECTORS["handshakes"], ids=lambda made: made["name"])
def test_handshakes(made: dict[str, Any]) -> None:
    """All messages, the hash, and the keys of both directions."""
    pattern = Pattern(made["pattern"])
    with (
        ephemerals(secret("client ephemeral private"), secret("server ephemeral private")),
        captured_kem(),
    ):
        writer, reader = layer(pattern, client=True), layer(pattern, client=False)
        client, server = writer, reader
        said: list[str] = []
        while writer.output:
            (frame,) = writer.output
            writer.output = []
            said.append(frame.hex())
            reader.feed(frame)
            writer, reader = reader, writer
    assert said == made["frames"]
    assert client.channel_binding.hex() == server.channel_binding.hex() == made["hash"]
    for sender, key in ((client, "client sends under"), (server, "server sends under")):
        (record,) = sender.seal(b"x")
        assert record[4:] == make_vectors.encrypt(bytes.fromhex(made[key]), 0, b"x")
    assert made["steps"][-1]["h"] == made["hash"]


@pytest.mark.parametrize("pair", list(pairwise(VECTORS["records"]["records"])))
def test_records(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Of those that follow each other, the same object makes both, and goes to the next key."""
    first, second = pair
    sealer = layer(Pattern.NNPSK0, client=True)
    state = CipherState(bytes.fromhex(VECTORS["records"]["first key"]))
    for _ in range(first["number"] // 4096):
        state.rekey()
    # Counted in place of sealing thousands of records; test_records.py seals them all.
    state.set_nonce(first["number"])
    sealer.sender = state
    plaintext = bytes.fromhex(VECTORS["records"]["plaintext"])
    assert [record.hex() for record in sealer.seal(plaintext)] == [first["record"]]
    if second["number"] == first["number"] + 1:
        assert [record.hex() for record in sealer.seal(plaintext)] == [second["record"]]


@pytest.mark.parametrize("case", VECTORS["failures"], ids=lambda case: case["name"])
def test_failures(case: dict[str, Any]) -> None:
    """An end with the right keys answers just so, and delivers nothing."""
    client = case["end"] == "client"
    peer = end(Pattern(case["pattern"]), client=client)
    written = [peer.take()]
    for data in case["reads"]:
        read(peer, bytes.fromhex(data), client=client)
        written.append(peer.take())
    assert b"".join(written).hex() == "".join(case["writes"])
    assert peer.error is not None
    assert not peer.established()


@pytest.mark.parametrize("client", [True, False])
def test_a_whole_connection(client: bool) -> None:
    """Either end writes its part of the transcript, byte for byte, when it reads the other's."""
    peer = end(Pattern.NNPSK0, client=client)
    do: dict[str, Callable[[], object]] = {
        "record 1: a message": lambda: peer.send(b"hi"),
        "record 1: PING": lambda: peer.protocol.ping(bytes(range(1, 9))),
        "record 2: a message": lambda: peer.send(b"ho"),
        "record 3: CLOSE; the client sends no more": lambda: peer.protocol.close(Close()),
        "record 3: CLOSE; both close": lambda: peer.protocol.close(Close()),
    }
    for turn in VECTORS["connection"]:
        if (turn["from"] == "client") != client:
            read(peer, bytes.fromhex(turn["bytes"]), client=client)
            continue
        if turn["what"] in do:
            do[turn["what"]]()
        assert peer.take().hex() == turn["bytes"], turn["what"]
    assert peer.error is None
    assert peer.messages == [b"ho" if client else b"hi"]
    assert peer.close == Close(frames_received=1)
