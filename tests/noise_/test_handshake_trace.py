"""What a handshake tells for the log: each step, and nothing that is secret or a peer's own."""

from __future__ import annotations

import pytest
from core.peers import CONTEXT, NOISE_SIZES, SERVER_KEY, credentials

from sealframe.errors import HandshakeError
from sealframe.noise.records import RecordLayer
from sealframe.wire import Pattern


def carry(client: RecordLayer, server: RecordLayer) -> None:
    """Carry the messages of the handshake both ways."""
    for writer, reader in ((client, server), (server, client)) * 2:
        reader.feed(b"".join(writer.output))
        writer.output = []


def traced(pattern: Pattern, *, server: Pattern | None = None) -> tuple[list[str], list[str]]:
    """Return what the two ends tell."""
    told: tuple[list[str], list[str]] = ([], [])
    ends = [
        RecordLayer(
            initiator=initiator,
            credentials=credentials(client=initiator, pattern=kind),
            context=CONTEXT,
            trace=steps.append,
        )
        for initiator, kind, steps in zip(
            (True, False), (pattern, server or pattern), told, strict=True
        )
    ]
    carry(*ends)
    return told


@pytest.mark.parametrize(
    ("pattern", "sizes"),
    NOISE_SIZES.items(),
)
def test_each_message_is_told_by_both_ends(pattern: Pattern, sizes: tuple[int, ...]) -> None:
    told = traced(pattern)
    for steps, verbs in zip(told, (("wrote", "read"), ("read", "wrote")), strict=True):
        assert steps == [
            f"{verbs[number % 2]} message {number + 1} of {pattern.name}, {size} bytes"
            for number, size in enumerate(sizes)
        ] + [f"the handshake is finished, {'' if pattern.post_quantum else 'without '}post-quantum"]


def test_a_refusal_is_told_by_both_ends() -> None:
    client, server = traced(Pattern.XK, server=Pattern.NNPSK0)
    assert server == [
        "VERSION: the peer asks for another version or pattern: does it have another kind of key?"
    ]
    assert client == ["wrote message 1 of XK, 48 bytes", "received CLOSE(VERSION) in plaintext"]


def test_neither_keys_nor_what_a_wrong_peer_sent_are_told() -> None:
    key = str(SERVER_KEY.public_key)
    told: list[str] = []
    client = RecordLayer(
        initiator=True,
        credentials=credentials(client=True, pattern=Pattern.XX),
        context=CONTEXT,
        verify_server_key=lambda _: HandshakeError(f"not the key {key}"),
        trace=told.append,
    )
    server = RecordLayer(
        initiator=False, credentials=credentials(client=False, pattern=Pattern.XX), context=CONTEXT
    )
    carry(client, server)
    assert told[-1] == "the server's key is not accepted"
    server = RecordLayer(
        initiator=False,
        credentials=credentials(client=False, pattern=Pattern.XX),
        trace=told.append,
    )
    server.feed(b"GET /secret HTTP/1.1\r\n\r\n")
    assert told[-1] == "the peer does not speak the sealed protocol"
    assert not any(key in step or "GET" in step for step in told)
