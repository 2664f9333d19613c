"""Frozen bytes of sealed connections.

They were checked against two other implementations when they were made: Noise by the
noiseprotocol package, AES-GCM by a direct call of the cryptography package. Both checks
are repeated here, so that these bytes are more than what the code happens to do.
"""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from noise.connection import Keypair, NoiseConnection

from sealframe.cipher import CipherState
from sealframe.control import Close
from sealframe.framing import Framing
from sealframe.protocol import Protocol
from sealframe.seal import Seal
from sealframe.wire import Control, Opcode

from .peers import CONTEXT, PSK, Peer, ephemerals, frames, records

KEY = bytes(range(64, 96))
CLIENT_EPHEMERAL = bytes(range(97, 129))
SERVER_EPHEMERAL = bytes(range(129, 161))

# Records number 0, 1, 4095, 4096, 8191 and 8192 under KEY, each with b"sealframe" inside.
RECORDS = {
    0: "1900000029515114f21ab3c6bd9c0788393c778d4f309b84083f561adb",
    1: "19000000c0cb125df4d4852c7543d9e2ec292332a66d34aa3b1ac85049",
    4095: "19000000836a157f4131edd36122e190a53c5bd83f78e078c4472c1b89",
    4096: "19000000e5d66d502861130ce46aac0f7f711acf76188b016e4ad46e5a",
    8191: "190000003ed69943e27fb18ebdfd818914826fab0f45d5b86274bb2c80",
    8192: "1900000053ac180e392c128a70ebbcc9a934bc5062e9e066a6550dfa95",
}

SESSION = [
    (
        True,
        (
            "3b000080417365616c6672616d0101244fe3b963e899dd295baffce248d3530f3a9a7479ba063002"
            "680ebfe7adad4924d1a9db319d5438cc5cc469c911e8b4"
        ),
    ),
    (
        False,
        (
            "3100008041883186b800b41d5cf0429695da9b3cc4f328ebcd184a6e482fa578c103f06c77c1f9fd"
            "1b7c12d8caf0995b8ce31c4a10"
        ),
    ),
    (
        True,
        (
            "2d0000006aab7dd43dc841d4080a8261e14415e2b05752cc156810449645f99eaab7018b7f897ad9"
            "df117d0226c52f892a"
        ),
    ),
    (
        False,
        (
            "340000003218a825cf061129984adfc794a3977f6a4fd806529d5bb1614be17f1932d9c57840a7e1"
            "111fec5f7af8c2a7dde3323f97075c10"
        ),
    ),
    (True, "16000000fdc205ef32e0095aff5cb9f2eabccd576b9a1afb18f7"),
    (False, "18000000ea2b203d807f5c016ed67835bdf103e09cff65d1c4edaf7c"),
    (True, "24000000de1d1211d719dca7253bfc0d26dff771c4b1a82d29996843731b0492d628c22b2a860963"),
    (
        False,
        ("27000000fec5efb6b139d08930715abe33166ba69f172d9a13995ebea4dbf85119dc25a841a99135d4c7ca"),
    ),
]
"""Who writes what, in order: (client, bytes). HANDSHAKE twice, then records with HELLO,
WELCOME, b"up", b"down", and both CLOSEs."""

HASH = "2336787d9fac8a684ea8cd451172559be63a7afa6f4117474ed38dcc7eb69fc0"


def seal_at(number: int) -> tuple[Seal, CipherState]:
    """Return a seal that has sent ``number`` records under KEY, and its sender."""
    seal = Seal(initiator=True, psk=PSK)
    state = CipherState(KEY)
    seal._sender = state
    for _ in range(number // 4096):
        state.rekey()
    # Counted in place of sealing thousands of records; test_seal_records seals them all.
    state._nonce = number
    return seal, state


def expected(number: int, plaintext: bytes) -> bytes:
    """Return a record as the specification says, by the cipher alone."""
    key = KEY
    for _ in range(number // 4096):
        key = AESGCM(key).encrypt(bytes(4) + b"\xff" * 8, bytes(32), b"")[:32]
    body = AESGCM(key).encrypt(bytes(4) + number.to_bytes(8, "big"), plaintext, b"")
    return len(body).to_bytes(4, "little") + body


@pytest.mark.parametrize("number", RECORDS)
def test_records_are_frozen(number: int) -> None:
    """Nonce, rekeying and head, around both ends of the first three keys."""
    seal, state = seal_at(number)
    (record,) = seal.seal(b"sealframe")
    assert record.hex() == RECORDS[number]
    assert record == expected(number, b"sealframe")
    assert state.nonce == number + 1


@pytest.mark.parametrize("number", [4095, 8191])
def test_the_record_after_the_last_of_a_key_is_under_the_next(number: int) -> None:
    """One and the same object goes from one key to the next by itself."""
    seal, _ = seal_at(number)
    assert [record.hex() for _ in range(2) for record in seal.seal(b"sealframe")] == [
        RECORDS[number],
        RECORDS[number + 1],
    ]


def test_a_receiver_opens_them_in_order() -> None:
    """The other side of the same vectors: keys change on its side by themselves too."""
    seal = Seal(initiator=True, psk=PSK)
    opener = CipherState(KEY)
    opener._nonce = 4095
    seal._receiver = opener
    frozen = [bytes.fromhex(RECORDS[number])[4:] for number in (4095, 4096)]
    assert seal._open(frozen) == [b"sealframe", b"sealframe"]
    opener._nonce = 8191
    frozen = [bytes.fromhex(RECORDS[number])[4:] for number in (8191, 8192)]
    assert seal._open(frozen) == [b"sealframe", b"sealframe"]
    assert seal.failure is None


def test_nothing_to_seal_is_no_record() -> None:
    """An empty record would be refused by the peer."""
    seal, state = seal_at(0)
    assert seal.seal(b"") == []
    assert state.nonce == 0


def test_a_long_plaintext_is_cut_into_full_records() -> None:
    seal, _ = seal_at(0)
    plaintext = bytes(range(256)) * 600
    parts = [plaintext[start : start + 65_519] for start in range(0, len(plaintext), 65_519)]
    assert seal.seal(plaintext) == [expected(n, part) for n, part in enumerate(parts)]


def whole_session() -> tuple[list[tuple[bool, str]], bytes]:
    """Return what both ends write when their ephemeral keys are fixed, and the hash."""
    with ephemerals(CLIENT_EPHEMERAL, SERVER_EPHEMERAL):
        client = Peer(
            Protocol(
                client=True,
                max_message_size=1 << 20,
                seal=Seal(initiator=True, psk=PSK, context=CONTEXT),
                software="a/1",
            )
        )
        server = Peer(
            Protocol(
                client=False,
                max_message_size=1 << 20,
                seal=Seal(initiator=False, psk=PSK, context=CONTEXT),
                software="b/2",
                client_id="c-1",
            )
        )
        written: list[tuple[bool, str]] = []

        def carry(writer: Peer, reader: Peer) -> None:
            data = writer.take()
            written.append((writer is client, data.hex()))
            reader.read(data)

        carry(client, server)
        carry(server, client)
    carry(client, server)
    carry(server, client)
    client.send(b"up")
    carry(client, server)
    server.send(b"down")
    carry(server, client)
    client.protocol.close(Close())
    carry(client, server)
    server.protocol.close(Close(0, "bye"))
    carry(server, client)
    assert (server.messages, client.messages) == ([b"up"], [b"down"])
    assert client.protocol.channel_binding == server.protocol.channel_binding
    return written, client.protocol.channel_binding


def test_a_whole_session_is_frozen() -> None:
    """Same key, context and ephemeral keys: same bytes on the wire, from the first to the
    last, and the same handshake hash."""
    written, binding = whole_session()
    assert written == SESSION
    assert binding.hex() == HASH


@pytest.mark.parametrize("client", [True, False])
def test_another_implementation_of_noise_reads_the_frozen_session(client: bool) -> None:
    """In either role: it makes the same handshake message and opens all that comes."""
    preamble = b"sealfram\x01\x01"
    noise = NoiseConnection.from_name(b"Noise_NNpsk0_25519_AESGCM_SHA256")
    noise.set_psks(PSK)
    noise.set_prologue(preamble + len(CONTEXT).to_bytes(2, "little") + CONTEXT)
    own = CLIENT_EPHEMERAL if client else SERVER_EPHEMERAL
    noise.set_keypair_from_private_bytes(Keypair.EPHEMERAL, own)
    if client:
        noise.set_as_initiator()
    else:
        noise.set_as_responder()
    with pytest.warns(UserWarning, match="ephemeral"):
        noise.start_handshake()
    handshake, stream = SESSION[:2], SESSION[2:]
    for from_client, text in handshake:
        (frame,) = frames(bytes.fromhex(text))
        assert isinstance(frame, Control)
        assert frame.opcode == Opcode.HANDSHAKE
        body = frame.body.removeprefix(preamble) if from_client else frame.body
        if from_client == client:
            assert bytes(noise.write_message()) == body
        else:
            assert noise.read_message(body) == b""
    assert noise.handshake_finished
    assert noise.get_handshake_hash().hex() == HASH
    received = b""
    for from_client, text in stream:
        if from_client != client:
            for record in records(bytes.fromhex(text)):
                received += bytes(noise.decrypt(record))
    inside = Framing(control=True).decoder().feed(received)
    hello, message, close = inside
    assert isinstance(hello, Control)
    assert hello.opcode == (Opcode.WELCOME if client else Opcode.HELLO)
    assert message == (b"down" if client else b"up")
    assert isinstance(close, Control)
    assert Close.decode(close.body) == Close(0, "bye" if client else "", 1)
