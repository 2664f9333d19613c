"""What the driver of a handshake keeps of keys, and what it says of a failure."""

from __future__ import annotations

import pytest
from trust.secrecy import kept_alive

from sealframe.errors import ConnectionClosedError, HandshakeError
from sealframe.noise.cipher import KeyPair
from sealframe.noise.credentials import Credentials
from sealframe.noise.handshake import Handshake, Preparation
from sealframe.noise.handshake_driver import HandshakeDriver, HandshakeStage
from sealframe.noise.kem import DecapsulationKey, EncapsulationKey
from sealframe.noise.symmetric import SymmetricState
from sealframe.wire import HEAD_SIZE, Pattern

SHARED = (Pattern.NNPSK0, Pattern.NNHFS_PSK0)
KNOWN = (Pattern.XK, Pattern.XKHFS)
LEARNED = (Pattern.XX, Pattern.XXHFS)
PREAMBLE = HEAD_SIZE + 1 + 10
"""Bytes in front of the first Noise message."""

every_pattern = pytest.mark.parametrize("pattern", list(Pattern), ids=lambda one: one.name)


class Verifier:
    """What a client asks about the server's key; it leads to files and names."""

    objection: ConnectionClosedError | None = None

    def verify(self, key: bytes) -> ConnectionClosedError | None:
        return self.objection


KEYS = (
    *(Handshake, Preparation, Credentials, SymmetricState),
    *(KeyPair, DecapsulationKey, EncapsulationKey, Verifier),
)


def ends(
    pattern: Pattern, objection: ConnectionClosedError | None = None
) -> tuple[HandshakeDriver, HandshakeDriver]:
    """Return client and server, whose keys nobody else keeps.

    :param objection: what the client has against the server's key
    """
    verifier = Verifier()
    verifier.objection = objection
    if pattern in SHARED:
        client, server = (Credentials(pattern, psk=bytes(32)) for _ in range(2))
    else:
        pair = KeyPair.generate()
        known = pair.public if pattern in KNOWN else None
        client = Credentials(pattern, static=KeyPair.generate(), remote_static=known)
        server = Credentials(pattern, static=pair)
    return (
        HandshakeDriver(
            initiator=True,
            credentials=client,
            context=b"",
            verify_server_key=verifier.verify,
            trace=None,
        ),
        HandshakeDriver(
            initiator=False, credentials=server, context=b"", verify_server_key=None, trace=None
        ),
    )


def taken(driver: HandshakeDriver) -> bytes:
    """Return what it wants to send."""
    said = b"".join(driver.output)
    driver.output.clear()
    return said


def leads_to_keys(driver: HandshakeDriver) -> bool:
    return any(isinstance(thing, KEYS) for thing in kept_alive(driver))


@every_pattern
def test_when_it_is_done_nothing_leads_to_keys(pattern: Pattern) -> None:
    """What connections keep for days are the two ciphers of the records."""
    client, server = ends(pattern)
    assert leads_to_keys(client)
    assert leads_to_keys(server)
    for _ in range(2):
        server.receive(taken(client))
        client.receive(taken(server))
    for end in (client, server):
        assert end.stage is HandshakeStage.DONE
        assert not leads_to_keys(end)


@every_pattern
@pytest.mark.parametrize("fails", [0, 1])
def test_when_it_has_failed_nothing_leads_to_keys(pattern: Pattern, fails: int) -> None:
    """By message 1 at the server, or message 2 at the client."""
    client, server = ends(pattern)
    if fails:
        server.receive(taken(client))
    writer, reader = (server, client) if fails else (client, server)
    said = bytearray(taken(writer))
    # A coefficient of e1, where nothing else is proved; without that, one that is no message.
    said[(HEAD_SIZE + 1 if fails else PREAMBLE) :] = b"\xff" * 1300
    said[:4] = (len(said) - HEAD_SIZE | 0x80000000).to_bytes(4, "little")
    reader.receive(bytes(said))
    assert reader.stage is HandshakeStage.FAILED
    assert not leads_to_keys(reader)


@every_pattern
def test_when_it_is_given_up_nothing_leads_to_keys(pattern: Pattern) -> None:
    for end in ends(pattern):
        end.abandon()
        assert not leads_to_keys(end)


@every_pattern
def test_what_is_not_valid_is_put_down_to_what_can_have_been_wrong(pattern: Pattern) -> None:
    """To keys and context where the message shows whether they agree: the server's log."""
    client, server = ends(pattern)
    first = bytearray(taken(client))
    # In XX of e1 or of the key itself: the only message that proves nothing.
    first[-1184 if pattern.post_quantum else PREAMBLE :] = b"\xff" * (
        1184 if pattern.post_quantum else len(first) - PREAMBLE
    )
    server.receive(bytes(first))
    if pattern is Pattern.XX:
        # Nothing is wrong with it before the client sees the answer.
        client.receive(taken(server))
        assert "check the context at both ends" in str(client.failure)
        assert "key" not in str(client.failure)
    elif pattern is Pattern.XXHFS:
        assert str(server.failure) == (
            "a handshake message is malformed, or was changed on its way"
        )
    else:
        assert "the peer has another key, or the context differs" in str(server.failure)


@pytest.mark.parametrize("pattern", [*KNOWN, *LEARNED], ids=lambda one: one.name)
def test_a_last_message_that_was_changed_is_not_put_down_to_keys(pattern: Pattern) -> None:
    client, server = ends(pattern)
    server.receive(taken(client))
    client.receive(taken(server))
    last = bytearray(taken(client))
    last[-1] ^= 1
    server.receive(bytes(last))
    assert str(server.failure) == "a handshake message is malformed, or was changed on its way"


@pytest.mark.parametrize("pattern", LEARNED, ids=lambda one: one.name)
def test_a_server_whose_key_is_refused_is_told_what_it_is_likely_to_be(pattern: Pattern) -> None:
    client, server = ends(pattern, HandshakeError("it was another one"))
    for one, other in ((client, server), (server, client), (client, server)):
        other.receive(taken(one))
    assert str(client.failure) == "it was another one"
    assert "does not accept this server's key (has it changed?)" in str(server.failure)
