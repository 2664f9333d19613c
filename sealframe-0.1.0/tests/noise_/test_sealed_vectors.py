"""Frozen bytes of sealed connections.

They were checked against two other implementations when they were made: Noise by the
noiseprotocol package, AES-GCM by a direct call of the cryptography package. Both checks
are repeated here, so that these bytes are more than what the code happens to do.
"""

from __future__ import annotations

import itertools

import pytest
from core.peers import (
    CLIENT_KEY,
    CONTEXT,
    PSK,
    SERVER_KEY,
    Peer,
    credentials,
    ephemerals,
    frames,
    identify,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from noise.connection import Keypair, NoiseConnection

from sealframe.core.protocol import ProtocolMachine
from sealframe.noise.cipher import CipherState
from sealframe.noise.credentials import Credentials
from sealframe.noise.records import RecordLayer
from sealframe.wire import Control, Opcode, Pattern
from sealframe.wire.control import Close

pytestmark = pytest.mark.fixed_keys(reason="known answers")

KEY = bytes(range(64, 96))
CLIENT_EPHEMERAL = bytes(range(97, 129))
SERVER_EPHEMERAL = bytes(range(129, 161))

# What the specification calls the patterns, on the wire and in Noise.
NUMBERS = {Pattern.NNPSK0: 1, Pattern.XK: 2, Pattern.XX: 3}
NAMES = {Pattern.NNPSK0: "NNpsk0", Pattern.XK: "XK", Pattern.XX: "XX"}

every_pattern = pytest.mark.parametrize("pattern", NUMBERS)

# Records number 0, 1, 4095, 4096, 8191 and 8192 under KEY, each with b"sealframe" inside.
RECORDS = {
    0: "1900000029515114f21ab3c6bd9c0788393c778d4f309b84083f561adb",
    1: "19000000c0cb125df4d4852c7543d9e2ec292332a66d34aa3b1ac85049",
    4095: "19000000836a157f4131edd36122e190a53c5bd83f78e078c4472c1b89",
    4096: "19000000e5d66d502861130ce46aac0f7f711acf76188b016e4ad46e5a",
    8191: "190000003ed69943e27fb18ebdfd818914826fab0f45d5b86274bb2c80",
    8192: "1900000053ac180e392c128a70ebbcc9a934bc5062e9e066a6550dfa95",
}

SESSIONS = {
    Pattern.NNPSK0: [
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
        (
            True,
            "24000000de1d1211d719dca7253bfc0d26dff771c4b1a82d29996843731b0492d628c22b2a860963",
        ),
        (
            False,
            (
                "27000000fec5efb6b139d08930715abe33166ba69f172d9a13995ebea4dbf85119dc25a841a99135"
                "d4c7ca"
            ),
        ),
    ],
    Pattern.XK: [
        (
            True,
            (
                "3b000080417365616c6672616d0102244fe3b963e899dd295baffce248d3530f3a9a7479ba063002"
                "680ebfe7adad49da9f8eb7af7dfe07c321ad658995eeb5"
            ),
        ),
        (
            False,
            (
                "3100008041883186b800b41d5cf0429695da9b3cc4f328ebcd184a6e482fa578c103f06c77445fb0"
                "705ace7b2ebe6c167871199faa"
            ),
        ),
        (
            True,
            (
                "4100008041d412a2fb93c02f2f65acbd656582050b6060fccfb81482a3385e0e03e4cccc406dd87a"
                "c6a40370c46fc8a7530097225c448944a1d41ae19cf9272fa2f9f3c38e2d0000006c3e56aec07b15"
                "26adb97e2e593dd316fc08eb12ff2fcf330b53ef998706b56898a7cecc253e398a61c63cda3c"
            ),
        ),
        (
            False,
            (
                "340000003aaf06477971244e109822341caee4c26816a7826bdfcc066319691e5ffa34198d48e5d7"
                "79958999c694cbac120f7d39d93af09b"
            ),
        ),
        (True, "160000003778d77f324811642a8cbc9c6374c14ecf9e3c002663"),
        (False, "180000004d6b0aadfef0e0e16753f289d1b7293bdce2c7527d6a3851"),
        (
            True,
            "24000000fd0066738c2bf1d942df097181a1ee21ff26be129ea9fb9413a27213acaf788a3201656c",
        ),
        (
            False,
            (
                "270000008ecc13d73904498c0a89a4e99a3105727eb9bfb0e3997afd216e5116b13cae956d22090a"
                "bc2957"
            ),
        ),
    ],
    Pattern.XX: [
        (
            True,
            (
                "2b000080417365616c6672616d0103244fe3b963e899dd295baffce248d3530f3a9a7479ba063002"
                "680ebfe7adad49"
            ),
        ),
        (
            False,
            (
                "6100008041883186b800b41d5cf0429695da9b3cc4f328ebcd184a6e482fa578c103f06c77d9585e"
                "852a702fa03482c08a6f59230e17c82912338dbd56bc7a057073c9d793a95eb4951b49776002fc45"
                "df4a09ca31293e75801eb7dffb5d429db2808cfa0d"
            ),
        ),
        (
            True,
            (
                "410000804162c55a9ba0a461fb30df291c2256752df81ea94673e4fa46eb94efb289b25f55c765a7"
                "20c09d41f730391a197baed7633c48c5d65604e27fd463c6af370f1ccb2d0000007cd0869bbb96db"
                "908780206c1786ea4ef9f4088542ac4d89753bbb88186869f29c934a869a5b30a917499989b0"
            ),
        ),
        (
            False,
            (
                "34000000c2340c8de0672d0793dcec4f595615d2ff515efe764bda7e2311f08a0e9ef8f1852118fc"
                "1aa33b8b82a36fe8eb3845fb4f7b4d16"
            ),
        ),
        (True, "1600000084778750a93af988bb9092cc3a59336f0d45523b2d5d"),
        (False, "18000000efa17e7e79f1e18e0c6c0f62d3e1e61fafc6195382996460"),
        (
            True,
            "24000000ed6eea00450fce5db7db433cfdb6ca0253b414ddc10ffc03bcc9e3aee40c44ce689e7e6e",
        ),
        (
            False,
            (
                "27000000fb21a95fef07b66d7f7e9f0b916535f8f870fa447167d9a5674deb14d0e4568f81245bc2"
                "b2b7e1"
            ),
        ),
    ],
}
"""Who writes what, in order: (client, bytes). HANDSHAKE frames, then records with HELLO,
WELCOME, b"up", b"down", and both CLOSEs. The third HANDSHAKE and HELLO go together."""

HASHES = {
    Pattern.NNPSK0: "2336787d9fac8a684ea8cd451172559be63a7afa6f4117474ed38dcc7eb69fc0",
    Pattern.XK: "27dbad7baf50f03373f1903c7af5742ae2dfad125535489ab8aaa2713586051f",
    Pattern.XX: "c319c431dde3490d52eeb10de8159f114c3b06ecc9cb2102a49c6ff6dc7dec40",
}


def layer_at(number: int) -> tuple[RecordLayer, CipherState]:
    """Return a record layer that has sent ``number`` records under KEY, and its sender."""
    layer = RecordLayer(initiator=True, credentials=Credentials(Pattern.NNPSK0, psk=PSK))
    state = CipherState(KEY)
    layer.sender = state
    for _ in range(number // 4096):
        state.rekey()
    # Counted in place of sealing thousands of records; test_records seals them all.
    state.set_nonce(number)
    return layer, state


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
    layer, state = layer_at(number)
    (record,) = layer.seal(b"sealframe")
    assert record.hex() == RECORDS[number]
    assert record == expected(number, b"sealframe")
    assert state.nonce == number + 1


@pytest.mark.parametrize("number", [4095, 8191])
def test_the_record_after_the_last_of_a_key_is_under_the_next(number: int) -> None:
    """One and the same object goes from one key to the next by itself."""
    layer, _ = layer_at(number)
    assert [record.hex() for _ in range(2) for record in layer.seal(b"sealframe")] == [
        RECORDS[number],
        RECORDS[number + 1],
    ]


def test_a_receiver_opens_them_in_order() -> None:
    """The other side of the same vectors: keys change on its side by themselves too."""
    layer = RecordLayer(initiator=True, credentials=Credentials(Pattern.NNPSK0, psk=PSK))
    opener = CipherState(KEY)
    opener.set_nonce(4095)
    layer.receiver = opener
    for number in (4095, 4096):
        assert layer.open(bytes.fromhex(RECORDS[number])[4:]) == b"sealframe"
    opener.set_nonce(8191)
    for number in (8191, 8192):
        assert layer.open(bytes.fromhex(RECORDS[number])[4:]) == b"sealframe"
    assert layer.failure is None


def test_nothing_to_seal_is_no_record() -> None:
    """An empty record would be refused by the peer."""
    layer, state = layer_at(0)
    assert layer.seal(b"") == []
    assert state.nonce == 0


LONG = bytes(range(256)) * 600
REST = len(LONG) % 65_519


@pytest.mark.parametrize(
    ("plaintexts", "sizes"),
    [
        ([LONG], [REST, 65_519, 65_519]),
        ([LONG[: 2 * 65_519]], [65_519, 65_519]),
        ([b"head", LONG], [4 + REST, 65_519, 65_519]),
        ([b"head", LONG[: 2 * 65_519]], [4, 65_519, 65_519]),
        ([b"head", LONG, b"head", LONG], [4 + REST, 65_519, 65_519] * 2),
        ([b"head", LONG, b"tail"], [4 + REST, 65_519, 65_519, 4]),
        ([b"a", b"b", b"", b"c"], [3]),
        ([LONG[:65_519], b"b"], [65_519, 1]),
        ([LONG[:65_000], LONG[:519], b"b", b"c"], [65_519, 2]),
        ([LONG[:65_518], b"bc", LONG], [65_518, 2 + REST, 65_519, 65_519]),
        ([LONG[: 65_519 - REST], LONG], [65_519, 65_519, 65_519]),
        ([LONG[: 65_520 - REST], LONG], [65_520 - REST, REST, 65_519, 65_519]),
    ],
)
def test_long_plaintexts_are_cut_into_full_records(
    plaintexts: list[bytes], sizes: list[int]
) -> None:
    """What is over is in a short record before them, along with what is short itself."""
    layer, state = layer_at(0)
    stream = b"".join(plaintexts)
    ends = list(itertools.accumulate(sizes))
    assert ends[-1] == len(stream)
    parts = [stream[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    sealed = b"".join(layer.seal(*plaintexts))
    assert sealed == b"".join(expected(n, part) for n, part in enumerate(parts))
    assert state.nonce == len(sizes)


def session_end(pattern: Pattern, *, client: bool) -> Peer:
    return Peer(
        ProtocolMachine(
            client=client,
            max_message_size=1 << 20,
            records=RecordLayer(
                initiator=client,
                credentials=credentials(client=client, pattern=pattern),
                context=CONTEXT,
            ),
            software="a/1" if client else "b/2",
            client_id="" if client else "c-1",
            identify=None if pattern is Pattern.NNPSK0 else identify,
        )
    )


def whole_session(pattern: Pattern) -> tuple[list[tuple[bool, str]], bytes]:
    """Return what both ends write when their ephemeral keys are fixed, and the hash."""
    written: list[tuple[bool, str]] = []

    def carry(writer: Peer, reader: Peer) -> bool:
        data = writer.take()
        if data:
            written.append((writer is client, data.hex()))
            reader.read(data)
        return bool(data)

    with ephemerals(CLIENT_EPHEMERAL, SERVER_EPHEMERAL):
        client = session_end(pattern, client=True)
        server = session_end(pattern, client=False)
        while carry(client, server):
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


@every_pattern
def test_a_whole_session_is_frozen(pattern: Pattern) -> None:
    """Same keys, context and ephemeral keys: same bytes on the wire, from the first to
    the last, and the same handshake hash."""
    written, binding = whole_session(pattern)
    assert written == SESSIONS[pattern]
    assert binding.hex() == HASHES[pattern]


def other_end(pattern: Pattern, *, client: bool) -> NoiseConnection:
    """Return another implementation's end of the frozen session."""
    noise = NoiseConnection.from_name(f"Noise_{NAMES[pattern]}_25519_AESGCM_SHA256".encode())
    preamble = b"sealfram" + bytes([1, NUMBERS[pattern]])
    noise.set_prologue(preamble + len(CONTEXT).to_bytes(2, "little") + CONTEXT)
    own = CLIENT_EPHEMERAL if client else SERVER_EPHEMERAL
    noise.set_keypair_from_private_bytes(Keypair.EPHEMERAL, own)
    if pattern is Pattern.NNPSK0:
        noise.set_psks(PSK)
    else:
        static = (CLIENT_KEY if client else SERVER_KEY).secret_bytes()
        noise.set_keypair_from_private_bytes(Keypair.STATIC, static)
        if pattern is Pattern.XK and client:
            remote = bytes(SERVER_KEY.public_key)
            noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, remote)
    if client:
        noise.set_as_initiator()
    else:
        noise.set_as_responder()
    with pytest.warns(UserWarning, match="ephemeral"):
        noise.start_handshake()
    return noise


@every_pattern
@pytest.mark.parametrize("client", [True, False])
def test_another_implementation_of_noise_reads_the_frozen_session(
    pattern: Pattern, client: bool
) -> None:
    """In either role: it makes the same handshake messages and opens all that comes."""
    noise = other_end(pattern, client=client)
    preamble = b"sealfram" + bytes([1, NUMBERS[pattern]])
    received = b""
    for from_client, text in SESSIONS[pattern]:
        for frame in frames(bytes.fromhex(text)):
            if isinstance(frame, Control):
                assert frame.opcode == Opcode.HANDSHAKE
                body = frame.body.removeprefix(preamble)
                if from_client == client:
                    assert bytes(noise.write_message()) == body
                else:
                    assert noise.read_message(body) == b""
                continue
            assert noise.handshake_finished
            if from_client != client:
                received += bytes(noise.decrypt(frame))
    assert noise.get_handshake_hash().hex() == HASHES[pattern]
    hello, message, close = frames(received)
    assert isinstance(hello, Control)
    assert hello.opcode == (Opcode.WELCOME if client else Opcode.HELLO)
    assert message == (b"down" if client else b"up")
    assert isinstance(close, Control)
    assert Close.decode(close.body) == Close(0, "bye" if client else "", 1)
