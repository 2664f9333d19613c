"""What each failure of a sealed handshake answers, byte for byte, and what it tells."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from core.peers import (
    CLIENT_KEY,
    CONTEXT,
    HELLO,
    NOISE_SIZES,
    PSK,
    WITH_MESSAGE_3,
    WITH_XX,
    Peer,
    check_failed,
    first_message,
    handshake,
    handshaken,
    message,
    noise,
    places,
    plain,
    preamble,
    sealed,
    sealed_pair,
    waiting_client,
)

from sealframe import wire
from sealframe.errors import HandshakeError, ProtocolError
from sealframe.noise.cipher import KeyPair
from sealframe.noise.credentials import Credentials
from sealframe.noise.handshake_driver import BUSY_REPLY
from sealframe.noise.kem import DecapsulationKey, EncapsulationKey
from sealframe.noise.records import RecordLayer
from sealframe.trust.keys import PrivateKey
from sealframe.wire import CloseCode, Opcode, Pattern, control
from sealframe.wire.control import Close

pytestmark = pytest.mark.usefixtures("backend")

REFUSED = bytes.fromhex("0400008044050000")
VERSION = bytes.fromhex("0400008044040000")
PLAIN = bytes.fromhex("0400008044070000")
SEALED = bytes.fromhex("0400008044100000")
BUSY = bytes.fromhex("0400008044060000")

WRONG_PSK = bytes(32)

every_pattern = pytest.mark.parametrize("pattern", list(Pattern), ids=lambda p: p.name)
with_message_3 = pytest.mark.parametrize(
    "pattern", WITH_MESSAGE_3, ids=lambda pattern: pattern.name
)


def awaiting_message_3(pattern: Pattern) -> tuple[Peer, bytes]:
    """Return a server, and the frame that it waits for."""
    client, server = sealed(client=True, pattern=pattern), sealed(client=False, pattern=pattern)
    server.read(client.take())
    client.read(server.take())
    layer = client.protocol.records
    assert layer is not None
    (third,) = layer.output
    return server, third


# What a server answers


UNSEALED = {
    "packet": message(b"hello"),
    "empty packet": message(b""),
    "large packet": (2**31 - 1).to_bytes(4, "little"),
    "http": b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "tls": bytes.fromhex("16030102000100 01fc0303"),
    "hello": HELLO,
}


@every_pattern
@pytest.mark.parametrize("step", [1, None])
@pytest.mark.parametrize("name", UNSEALED)
def test_a_client_that_is_not_sealed_is_told_so(
    name: str, step: int | None, pattern: Pattern
) -> None:
    """The end of the stream alone would look like a close in order to it."""
    server = sealed(client=False, pattern=pattern)
    server.read(UNSEALED[name], step=step)
    check_failed(server, SEALED)


@every_pattern
@pytest.mark.parametrize("said", [b"", b"\x30", HELLO[:3], "first message"])
def test_only_who_has_said_nothing_in_time_is_told_that_this_server_is_sealed(
    said: bytes | str, pattern: Pattern
) -> None:
    """Whoever began to seal knows, and other bytes get no answer."""
    server = sealed(client=False, pattern=pattern)
    server.read(first_message(pattern)[:-1] if isinstance(said, str) else said)
    server.protocol.expire()
    assert server.take() == (b"" if said else SEALED)


def test_a_packet_in_place_of_message_3_gets_no_answer() -> None:
    """Whoever began to seal knows that the server is sealed."""
    server, _ = awaiting_message_3(Pattern.XK)
    server.read(message(b"hello"))
    check_failed(server, b"")


SILENT = {
    "close": control.frame(Opcode.CLOSE, Close().encode()),
    "ping": control.frame(Opcode.PING, b"12345678"),
    "pad": control.frame(Opcode.PAD, bytes(5000)),
    "welcome": control.frame(Opcode.WELCOME, b"sealfram\x01"),
    "no magic": handshake(b"sealfran\x01\x01" + bytes(48)),
    "no body": handshake(b""),
    "half a magic": handshake(b"seal"),
    "long and no magic": handshake(bytes(3000)),
    "empty control frame": wire.CONTROL_BIT.to_bytes(4, "little"),
    "control frame over 65536": (65_537 | wire.CONTROL_BIT).to_bytes(4, "little"),
    "all ones": b"\xff" * 8,
}


@every_pattern
@pytest.mark.parametrize("step", [1, None])
@pytest.mark.parametrize("name", SILENT)
def test_who_does_not_say_the_magic_gets_no_answer(
    name: str, step: int | None, pattern: Pattern
) -> None:
    server = sealed(client=False, pattern=pattern)
    server.read(SILENT[name], step=step)
    check_failed(server, b"")


@pytest.mark.parametrize("step", [1, None])
@pytest.mark.parametrize("length", [0, 1, 48, 1200, 60_000])
@pytest.mark.parametrize(
    "numbers", [b"\x02\x01", b"\x00\x01", b"\x01\x02", b"\x01\x00", b"\xff\xff"]
)
def test_another_version_or_pattern_is_told_so(
    numbers: bytes, length: int, step: int | None
) -> None:
    """However long its message 1 is: that of a later pattern may be over 1 KiB."""
    server = sealed(client=False)
    server.read(handshake(b"sealfram" + numbers + bytes(length)), step=step)
    error = check_failed(server, VERSION)
    assert error.code == CloseCode.VERSION


@every_pattern
@pytest.mark.parametrize("ours", list(Pattern), ids=lambda ours: ours.name)
def test_a_server_takes_the_pattern_that_it_was_given_and_no_other(
    pattern: Pattern, ours: Pattern
) -> None:
    server = sealed(client=False, pattern=ours)
    server.read(first_message(pattern))
    if pattern is ours:
        assert server.error is None
        return
    error = check_failed(server, VERSION)
    assert error.code == CloseCode.VERSION
    client = waiting_client(pattern)
    client.read(VERSION)
    assert "this kind of handshake" in str(client.fault)
    assert ("give post_quantum=False" in str(client.fault)) == pattern.post_quantum
    assert ("takes post-quantum handshakes alone" in str(client.fault)) != pattern.post_quantum
    insists = ours.post_quantum and not pattern.post_quantum
    assert ("this server takes no other" if insists else "another kind of key") in str(error)


@pytest.mark.parametrize("pattern", [one for one in Pattern if one.post_quantum])
def test_a_server_without_ml_kem_says_so_and_the_client_is_told_what_to_do(
    pattern: Pattern,
) -> None:
    first = first_message(pattern)
    server = sealed(client=False, pattern=pattern)
    with patch("sealframe.noise.kem.primitives", return_value=None):
        server.read(first)
        error = check_failed(server, VERSION)
    assert error.code == CloseCode.VERSION
    assert "has no ML-KEM-768" in str(error)
    assert "post_quantum=False" in str(error)


@every_pattern
@pytest.mark.parametrize("step", [1, None])
@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 47, 48, 49, 64, 1215, 1247, 1249, 60_000])
def test_a_message_1_of_another_length_is_refused(
    length: int, step: int | None, pattern: Pattern
) -> None:
    """Payloads are empty and lengths exact."""
    server = sealed(client=False, pattern=pattern)
    server.read(handshake((first_message(pattern)[5:] + bytes(60_000))[: 10 + length]), step=step)
    if length == NOISE_SIZES[pattern][0]:
        assert server.error is None
        return
    error = check_failed(server, REFUSED)
    assert error.code == CloseCode.REFUSED


@every_pattern
@pytest.mark.parametrize("size", [1, 16, 100])
def test_a_payload_in_the_handshake_is_refused(size: int, pattern: Pattern) -> None:
    """Noise would carry one, and authentic it is: its length alone gives it away."""
    talkative = noise(pattern, initiator=True)
    server = sealed(client=False, pattern=pattern)
    server.read(handshake(preamble(pattern) + talkative.write_message(bytes(size))))
    check_failed(server, REFUSED)
    talkative = noise(pattern, initiator=False)
    client = sealed(client=True, pattern=pattern)
    talkative.read_message(client.take()[15:])
    client.read(handshake(talkative.write_message(bytes(size))))
    check_failed(client, REFUSED)
    if len(NOISE_SIZES[pattern]) == 3:
        talkative = noise(pattern, initiator=True)
        server = sealed(client=False, pattern=pattern)
        server.read(handshake(preamble(pattern) + talkative.write_message()))
        talkative.read_message(server.take()[5:])
        server.read(handshake(talkative.write_message(bytes(size))))
        check_failed(server, REFUSED)


@pytest.mark.parametrize(
    ("psk", "context"),
    [
        (WRONG_PSK, CONTEXT),
        (PSK, b""),
        (PSK, b"chat.exampl"),
        (PSK, b"chat.example\x00"),
        (PSK, b"Chat.example"),
    ],
)
def test_another_key_or_context_is_refused(psk: bytes, context: bytes) -> None:
    """Both ends learn it, and both texts say what to check; nobody is listed."""
    client = sealed(client=True, psk=psk, context=context)
    server = sealed(client=False)
    server.read(client.take())
    reply = server.take()
    assert reply == REFUSED
    assert "another key, or the context differs: check both" in str(server.fault)
    client.read(reply)
    assert "check the key and the context at both ends" in str(client.fault)
    assert client.fault.code == server.fault.code == CloseCode.REFUSED
    check_failed(client, b"")
    check_failed(server, b"")


@with_message_3
@pytest.mark.parametrize("context", [b"", b"chat.exampl", b"chat.example\x00", b"Chat.example"])
def test_another_context_is_refused_with_identities_too(pattern: Pattern, context: bytes) -> None:
    """With XK the server finds out; with XX, whose message 1 proves nothing, the client."""
    client = sealed(client=True, context=context, pattern=pattern)
    server = sealed(client=False, pattern=pattern)
    server.read(client.take())
    first, second = (client, server) if pattern in WITH_XX else (server, client)
    client.read(server.take() if pattern in WITH_XX else b"")
    reply = first.take()
    assert reply == REFUSED
    second.read(reply)
    for end in (client, server):
        assert end.fault.code == CloseCode.REFUSED
        assert "context" in str(end.fault)
    # The client of XX knows the server's key by now, and may have refused that; it has shown none.
    assert ("key" in str(client.fault)) == (pattern not in WITH_XX)
    assert "key" in str(server.fault)
    for end in (client, server):
        check_failed(end, b"")


@pytest.mark.parametrize("pattern", [Pattern.XK, Pattern.XKHFS], ids=lambda p: p.name)
def test_another_server_key_is_refused(pattern: Pattern) -> None:
    """The client of XK has it in message 1; the server finds out that it is not its own."""
    other = PrivateKey(bytes(range(7, 39))).public_key
    keys = Credentials(pattern, static=CLIENT_KEY.secret_bytes(), remote_static=bytes(other))
    client = RecordLayer(initiator=True, credentials=keys, context=CONTEXT)
    server = sealed(client=False, pattern=pattern)
    server.read(b"".join(client.output))
    check_failed(server, REFUSED)


@pytest.mark.parametrize(
    "pattern", [one for one in Pattern if one not in WITH_XX], ids=lambda p: p.name
)
def test_every_changed_byte_of_message_1_fails_as_its_place_says(pattern: Pattern) -> None:
    """By public bytes only: magic, nothing; version and pattern, VERSION; Noise, REFUSED."""
    first = first_message(pattern)
    size = NOISE_SIZES[pattern][0]
    assert len(first) == 15 + size
    for place in [*range(5, 15), *(15 + place for place in places(size))]:
        data = bytearray(first)
        data[place] ^= 0x40
        server = sealed(client=False, pattern=pattern)
        server.read(bytes(data))
        if place < 13:
            check_failed(server, b"")
        elif place < 15:
            check_failed(server, VERSION)
        else:
            check_failed(server, REFUSED)


@pytest.mark.parametrize("step", [1, None])
def test_a_malformed_encapsulation_key_is_refused(step: int | None) -> None:
    """In XX, whose message 1 proves nothing, anybody can send one; coefficients of 4,095 are over
    the modulus (FIPS 203, section 7.2). The answer is that of any other Noise error, and comes
    before anything is generated or agreed on."""
    first = first_message(Pattern.XXHFS)
    server = sealed(client=False, pattern=Pattern.XXHFS)
    with patch.object(KeyPair, "generate") as generate:
        server.read(first[:47] + b"\xff" * 1184, step=step)
    generate.assert_not_called()
    assert "is malformed, or was changed on its way" in str(check_failed(server, REFUSED))


@pytest.mark.parametrize("pattern", [one for one in Pattern if one.post_quantum])
def test_a_malformed_encapsulation_key_of_who_has_the_key_is_refused(pattern: Pattern) -> None:
    evil = noise(pattern, initiator=True)
    pair = DecapsulationKey.generate()
    pair.public = b"\xff" * 1184
    with patch("sealframe.noise.handshake.DecapsulationKey.generate", return_value=pair):
        data = evil.write_message()
    server = sealed(client=False, pattern=pattern)
    server.read(handshake(preamble(pattern) + data))
    check_failed(server, REFUSED)


@pytest.mark.parametrize("pattern", [one for one in Pattern if one.post_quantum])
def test_an_authentic_ciphertext_for_another_key_is_refused(pattern: Pattern) -> None:
    """Decapsulation refuses nothing: it gives another secret, under which nothing opens."""
    client, evil = sealed(client=True, pattern=pattern), noise(pattern, initiator=False)
    evil.read_message(client.take()[15:])
    made = EncapsulationKey(DecapsulationKey.generate().public).encapsulate()
    with patch.object(EncapsulationKey, "encapsulate", return_value=made):
        data = evil.write_message()
    client.read(handshake(data))
    check_failed(client, REFUSED)


@pytest.mark.fixed_keys(reason="its public key is always the same, and each codec runs it")
@every_pattern
def test_a_public_key_of_low_order_is_refused(pattern: Pattern) -> None:
    """Also from a holder of the key, whose message is valid otherwise."""
    evil = noise(pattern, initiator=True)
    pair = KeyPair.generate()
    pair.public = bytes(32)
    with patch("sealframe.noise.handshake.KeyPair.generate", return_value=pair):
        data = evil.write_message()
    assert data[:32] == bytes(32)
    server = sealed(client=False, pattern=pattern)
    server.read(handshake(preamble(pattern) + data))
    check_failed(server, REFUSED)


@with_message_3
@pytest.mark.parametrize("step", [1, None])
def test_every_changed_byte_of_message_3_is_refused(pattern: Pattern, step: int | None) -> None:
    for place in range(64):
        server, third = awaiting_message_3(pattern)
        data = bytearray(third)
        assert len(data) == 5 + 64
        data[5 + place] ^= 1
        server.read(bytes(data), step=step)
        error = check_failed(server, REFUSED)
        assert error.code == CloseCode.REFUSED
        assert server.protocol.peer is None


@with_message_3
@pytest.mark.parametrize("step", [1, None])
@pytest.mark.parametrize("length", [0, 1, 48, 63, 65, 400, 60_000])
def test_a_message_3_of_another_length_is_refused(
    length: int, step: int | None, pattern: Pattern
) -> None:
    server, third = awaiting_message_3(pattern)
    server.read(handshake((third[5:] + bytes(60_000))[:length]), step=step)
    check_failed(server, REFUSED)


# What a client makes of the answer


@every_pattern
@pytest.mark.parametrize("step", [1, None])
def test_every_changed_byte_of_message_2_is_refused(pattern: Pattern, step: int | None) -> None:
    for place in places(NOISE_SIZES[pattern][1]):
        client, server = sealed(client=True, pattern=pattern), sealed(client=False, pattern=pattern)
        server.read(client.take())
        data = bytearray(server.take())
        data[5 + place] ^= 1
        client.read(bytes(data), step=step)
        error = check_failed(client, REFUSED)
        assert error.code == CloseCode.REFUSED
        assert client.protocol.peer is None


@every_pattern
@pytest.mark.parametrize("length", [0, 1, 10, 32, 47, 49, 58, 95, 97, 250, 1151, 1199, 60_000])
def test_a_message_2_of_another_length_is_refused(length: int, pattern: Pattern) -> None:
    client = waiting_client(pattern)
    client.read(handshake(bytes(length)))
    check_failed(client, REFUSED)


@pytest.mark.parametrize(
    "data",
    [
        message(b"welcome to chat"),
        message(b""),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        HELLO,
        control.frame(Opcode.PAD),
        control.frame(Opcode.WELCOME, b"sealfram\x01"),
        wire.CONTROL_BIT.to_bytes(4, "little"),
    ],
)
@every_pattern
def test_an_answer_that_is_not_sealed_is_told_and_not_answered(
    data: bytes, pattern: Pattern
) -> None:
    client = waiting_client(pattern)
    client.read(data)
    check_failed(client, b"")


def test_a_wrong_server_is_named() -> None:
    client = waiting_client()
    client.read(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert "the server does not answer as a sealed one" in str(client.fault)
    assert "an HTTP server" in str(client.fault)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (CloseCode.REFUSED, "check the key and the context at both ends"),
        (CloseCode.VERSION, "this kind of handshake"),
        (CloseCode.BUSY, "at its limit of connections"),
        (CloseCode.PLAIN, "the server is not sealed"),
        (CloseCode.KICKED, "the peer closed during the handshake (KICKED)"),
        (4711, "the peer closed during the handshake (code 4711)"),
    ],
)
@every_pattern
def test_a_plaintext_close_is_a_hint(code: int, text: str, pattern: Pattern) -> None:
    """It is named and not answered."""
    client = waiting_client(pattern)
    client.read(control.frame(Opcode.CLOSE, Close(code, "why").encode()))
    if pattern in WITH_XX:
        # Its server has no key of the client that could be wrong.
        text = text.replace("the key and ", "")
    assert text in str(client.fault)
    assert (client.fault.code, client.fault.reason) == (code, "why")
    check_failed(client, b"")


# A plaintext CLOSE in place of the first record


def with_keys(pattern: Pattern, *, client: bool) -> tuple[Peer, Peer]:
    """Return an end that waits for the other's first record, and that other end."""
    pair = handshaken(pattern)
    ends = pair if client else pair[::-1]
    for end in ends:
        end.take()
    return ends


@every_pattern
@pytest.mark.parametrize("client", [True, False])
@pytest.mark.parametrize("step", [1, 6, None])
def test_a_plaintext_close_in_place_of_the_first_record_is_a_hint(
    step: int | None, client: bool, pattern: Pattern
) -> None:
    """An end finds only in the last handshake message that it has to refuse; by then the other
    waits for records."""
    waiting, _ = with_keys(pattern, client=client)
    reply = control.frame(Opcode.CLOSE, Close(CloseCode.BUSY, "why").encode())
    waiting.read(reply, step=step)
    assert "at its limit of connections" in str(waiting.fault)
    assert (waiting.fault.code, waiting.fault.reason) == (CloseCode.BUSY, "why")
    assert isinstance(waiting.fault, HandshakeError)
    assert not waiting.established()
    waiting.end()
    assert waiting.take() == b""


@with_message_3
def test_the_refusal_of_message_3_is_understood(pattern: Pattern) -> None:
    """Until the client reads it, it has sent message 3 and HELLO."""
    client, server = sealed(client=True, pattern=pattern), sealed(client=False, pattern=pattern)
    server.read(client.take())
    client.read(server.take())
    sent = bytearray(client.take())
    sent[10] ^= 1
    server.read(bytes(sent))
    reply = check_refused(server)
    client.read(reply)
    assert client.fault.code == CloseCode.REFUSED
    told = "message was changed" if pattern in WITH_XX else "check the key and the context at both"
    assert told in str(client.fault)
    # The server has no key of a client of XX beforehand that could be wrong.
    assert ("key" in str(client.fault)) == (pattern not in WITH_XX)
    assert client.take() == b""


def check_refused(server: Peer) -> bytes:
    """Check that it failed with CLOSE(REFUSED), and return that."""
    check_failed(server, REFUSED)
    return REFUSED


@pytest.mark.parametrize("client", [True, False])
@pytest.mark.parametrize(
    "data",
    [
        control.frame(Opcode.PING, b"1"),
        control.frame(Opcode.HANDSHAKE, bytes(48)),
        control.frame(Opcode.CLOSE, bytes(259)),
        (wire.CONTROL_BIT).to_bytes(4, "little") + b"\x44",
    ],
    ids=["PING", "HANDSHAKE", "a long CLOSE", "no opcode"],
)
@pytest.mark.parametrize("step", [1, None])
def test_nothing_else_may_come_in_place_of_the_first_record(
    data: bytes, step: int | None, client: bool
) -> None:
    waiting, _ = with_keys(Pattern.NNPSK0, client=client)
    waiting.read(data, step=step)
    assert "the sealed stream is broken" in str(waiting.fault)
    assert waiting.take() == b""


@pytest.mark.parametrize("client", [True, False])
def test_after_the_first_record_a_plaintext_close_is_an_error(client: bool) -> None:
    """The peer has proved its key, and would seal what it says."""
    ends = sealed_pair()
    victim = ends[0] if client else ends[1]
    victim.read(control.frame(Opcode.CLOSE, Close(CloseCode.UNAUTHORIZED).encode()))
    assert "the sealed stream is broken" in str(victim.fault)
    assert isinstance(victim.fault, ProtocolError)
    assert victim.fault.code is None
    assert victim.take() == b""


@pytest.mark.parametrize("body", [b"", b"\x05\x00", b"\x05\x00\x05abc"])
def test_a_malformed_plaintext_close_fails_too(body: bytes) -> None:
    client = waiting_client()
    client.read(control.frame(Opcode.CLOSE, body))
    check_failed(client, b"")


def test_the_reply_of_a_full_server() -> None:
    assert BUSY_REPLY == BUSY
    client = waiting_client()
    client.read(BUSY_REPLY)
    assert client.fault.code == CloseCode.BUSY


# Plain meets sealed


def test_a_plain_client_at_a_sealed_server() -> None:
    """Both ends say what to do."""
    client, server = plain(client=True), sealed(client=False)
    client.send(b"hello")
    server.read(client.take())
    assert "a client that is not sealed connected to a sealed server" in str(server.fault)
    client.read(server.take())
    assert isinstance(client.fault, HandshakeError)
    assert client.fault.code == CloseCode.SEALED
    assert "give it the key (security=...)" in str(client.fault)


@pytest.mark.parametrize("before", [b"", message(b"hello")], ids=["another code", "later"])
def test_only_the_first_frame_says_that_a_server_is_sealed(before: bytes) -> None:
    client = plain(client=True)
    code = CloseCode.SEALED if before else CloseCode.PLAIN
    client.read(before + control.frame(Opcode.CLOSE, Close(code).encode()))
    assert isinstance(client.fault, ProtocolError)


def test_an_extended_client_at_a_sealed_server() -> None:
    client, server = plain(client=True, extended=True), sealed(client=False)
    server.read(client.take())
    assert "the peer asks for an extended connection" in str(server.fault)
    client.read(server.take())
    assert isinstance(client.fault, HandshakeError)
    assert client.fault.code == CloseCode.SEALED
    assert "give it the key (security=...)" in str(client.fault)


def test_a_sealed_client_at_a_plain_server() -> None:
    """Both ends say what to do; no message is made of the handshake."""
    client, server = sealed(client=True), plain(client=False)
    server.read(client.take())
    assert "this server is plain" in str(server.fault)
    assert server.messages == []
    reply = server.take()
    assert reply == PLAIN
    client.read(reply)
    assert "the server is not sealed: start it with a key" in str(client.fault)
    check_failed(client, b"")


def test_a_big_endian_client_is_named() -> None:
    server = sealed(client=False)
    server.read((5).to_bytes(4, "big") + b"hello")
    assert "read as big-endian the length is 5" in str(server.fault)
