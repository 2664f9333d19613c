"""What each failure of a sealed handshake answers, byte for byte, and what it tells."""

from __future__ import annotations

import pytest

from sealframe import control, wire
from sealframe.cipher import public_key
from sealframe.control import Close
from sealframe.errors import HandshakeError
from sealframe.handshake import Handshake
from sealframe.seal import BUSY_REPLY
from sealframe.wire import CloseCode, Opcode

from .peers import (
    CONTEXT,
    HELLO,
    PSK,
    check_failed,
    first_message,
    handshake,
    message,
    plain,
    sealed,
    waiting_client,
)

pytestmark = pytest.mark.usefixtures("twin")

REFUSED = bytes.fromhex("0400008044050000")
VERSION = bytes.fromhex("0400008044040000")
PLAIN = bytes.fromhex("0400008044070000")
BUSY = bytes.fromhex("0400008044060000")

PREAMBLE = b"sealfram\x01\x01"
WRONG_PSK = bytes(32)


# What a server answers


SILENT = {
    "packet": message(b"hello"),
    "empty packet": message(b""),
    "large packet": (2**31 - 1).to_bytes(4, "little"),
    "http": b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "tls": bytes.fromhex("16030102000100 01fc0303"),
    "hello": HELLO,
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


@pytest.mark.parametrize("step", [1, None])
@pytest.mark.parametrize("name", SILENT)
def test_who_does_not_say_the_magic_gets_no_answer(name: str, step: int | None) -> None:
    server = sealed(client=False)
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


@pytest.mark.parametrize("step", [1, None])
@pytest.mark.parametrize("length", [0, 1, 32, 47, 49, 64, 400, 60_000])
def test_a_message_1_of_another_length_is_refused(length: int, step: int | None) -> None:
    """Payloads are empty and lengths exact."""
    server = sealed(client=False)
    server.read(handshake((first_message()[5:] + bytes(60_000))[: 10 + length]), step=step)
    error = check_failed(server, REFUSED)
    assert error.code == CloseCode.REFUSED


@pytest.mark.parametrize("size", [1, 16, 100])
def test_a_payload_in_the_handshake_is_refused(size: int) -> None:
    """Noise would carry one, and authentic it is: its length alone gives it away."""
    prologue = PREAMBLE + len(CONTEXT).to_bytes(2, "little") + CONTEXT
    talkative = Handshake("NNpsk0", initiator=True, prologue=prologue, psk=PSK)
    server = sealed(client=False)
    server.read(handshake(PREAMBLE + talkative.write_message(bytes(size))))
    check_failed(server, REFUSED)
    talkative = Handshake("NNpsk0", initiator=False, prologue=prologue, psk=PSK)
    client = sealed(client=True)
    talkative.read_message(client.take()[15:])
    client.read(handshake(talkative.write_message(bytes(size))))
    check_failed(client, REFUSED)


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
    assert "check that both ends have the same key and the same context" in str(client.fault)
    assert client.fault.code == server.fault.code == CloseCode.REFUSED
    check_failed(client, b"")
    check_failed(server, b"")


def test_every_changed_byte_of_message_1_fails_as_its_place_says() -> None:
    """By public bytes only: magic, nothing; version and pattern, VERSION; Noise, REFUSED."""
    for place in range(5, 63):
        data = bytearray(first_message())
        assert len(data) == 63
        data[place] ^= 0x40
        server = sealed(client=False)
        server.read(bytes(data))
        if place < 13:
            check_failed(server, b"")
        elif place < 15:
            check_failed(server, VERSION)
        else:
            check_failed(server, REFUSED)


def test_a_public_key_of_low_order_is_refused() -> None:
    """Also from a holder of the key, whose message is valid otherwise."""
    prologue = PREAMBLE + len(CONTEXT).to_bytes(2, "little") + CONTEXT
    honest = public_key(bytes(range(97, 129)))
    evil = Handshake("NNpsk0", initiator=True, prologue=prologue, psk=PSK, ephemeral=honest)
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr("sealframe.handshake.public_key", lambda private: bytes(32))
        data = evil.write_message()
    assert data[:32] == bytes(32)
    server = sealed(client=False)
    server.read(handshake(PREAMBLE + data))
    check_failed(server, REFUSED)


# What a client makes of the answer


@pytest.mark.parametrize("step", [1, None])
@pytest.mark.parametrize("place", range(48))
def test_every_changed_byte_of_message_2_is_refused(place: int, step: int | None) -> None:
    client, server = sealed(client=True), sealed(client=False)
    server.read(client.take())
    data = bytearray(server.take())
    data[5 + place] ^= 1
    client.read(bytes(data), step=step)
    error = check_failed(client, REFUSED)
    assert error.code == CloseCode.REFUSED


@pytest.mark.parametrize("length", [0, 1, 10, 47, 49, 58, 250, 60_000])
def test_a_message_2_of_another_length_is_refused(length: int) -> None:
    client = waiting_client()
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
def test_an_answer_that_is_not_sealed_is_told_and_not_answered(data: bytes) -> None:
    client = waiting_client()
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
        (CloseCode.REFUSED, "the same key and the same context"),
        (CloseCode.VERSION, "another version of the sealed protocol"),
        (CloseCode.BUSY, "at its limit of connections"),
        (CloseCode.PLAIN, "the server is not sealed"),
        (CloseCode.KICKED, "the peer closed during the handshake (KICKED)"),
        (4711, "the peer closed during the handshake (code 4711)"),
    ],
)
def test_a_plaintext_close_is_a_hint(code: int, text: str) -> None:
    """It is named and not answered."""
    client = waiting_client()
    client.read(control.frame(Opcode.CLOSE, Close(code, "why").encode()))
    assert text in str(client.fault)
    assert (client.fault.code, client.fault.reason) == (code, "why")
    check_failed(client, b"")


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
    """The server tells its owner; the client sees the end of the stream and no byte."""
    client, server = plain(client=True), sealed(client=False)
    client.send(b"hello")
    server.read(client.take())
    assert "a client that is not sealed connected to a sealed server" in str(server.fault)
    check_failed(server, b"")
    client.end()
    assert client.close is None


def test_an_extended_client_at_a_sealed_server() -> None:
    client, server = plain(client=True, extended=True), sealed(client=False)
    server.read(client.take())
    assert "the peer asks for an extended connection" in str(server.fault)
    check_failed(server, b"")
    client.end()
    assert isinstance(client.fault, HandshakeError)


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
