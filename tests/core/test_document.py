"""The hex examples and the tables of docs/PROTOCOL.md are what the code makes."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest

from sealframe import wire
from sealframe.core.multiplexer import Multiplexer
from sealframe.core.protocol import ProtocolMachine
from sealframe.errors import NotSupportedError
from sealframe.framing import NATIVE
from sealframe.noise.credentials import Credentials
from sealframe.noise.kem import DecapsulationKey
from sealframe.noise.records import RecordLayer
from sealframe.options import Options
from sealframe.trust.keys import Invitation, PrivateKey, SharedKey
from sealframe.wire import CloseCode, FailureCode, Opcode, Pattern, ResetCode, StreamKind, control
from sealframe.wire.control import Close, Hello, SessionHello, SessionWelcome
from sealframe.wire.writers import Writers

from .peers import NOISE_SIZES, WITH_PSK, ephemerals, fixed_kem

pytestmark = pytest.mark.fixed_keys(reason="the keys of the examples are in the document")

TEXT = (Path(__file__).parents[2] / "docs" / "PROTOCOL.md").read_text(encoding="utf-8")
SOFTWARE = "sealframe/0.1.0"
MEBIBYTE = 1024 * 1024

CONTEXT = b"demo"
PSK = bytes(range(32))
CLIENT = PrivateKey(b"\x33" * 32)
SERVER = PrivateKey(b"\x44" * 32)
TOKEN = bytes(range(1, 9))
SEED = b"\x55" * 32 + b"\x66" * 32
PASSPHRASE = "eight words that nobody can ever guess here"


def credentials(pattern: Pattern) -> tuple[Credentials, Credentials]:
    """Return what the client and the server of an example have."""
    if pattern in WITH_PSK:
        return Credentials(pattern, psk=PSK), Credentials(pattern, psk=PSK)
    known = bytes(SERVER.public_key) if pattern in (Pattern.XK, Pattern.XKHFS) else None
    return (
        Credentials(pattern, static=CLIENT.secret_bytes(), remote_static=known),
        Credentials(pattern, static=SERVER.secret_bytes()),
    )


def blocks(kind: str) -> dict[str, str]:
    """Return the document's blocks of one kind by their names."""
    found = re.findall(rf"^```{kind} (\S+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert len(dict(found)) == len(found), "two blocks have one name"
    return dict(found)


def examples() -> dict[str, bytes]:
    """Return the bytes of the document's hex blocks."""
    return {name: bytes.fromhex(digits) for name, digits in blocks("hex").items()}


def introductions() -> dict[str, bytes]:
    """Return HELLO and what answers it, as the code makes them."""
    welcome = Hello(max_frame=MEBIBYTE, software=SOFTWARE, client_id="5f0c2a-1").encode()
    refusal = Close(CloseCode.UNAUTHORIZED, frames_received=0).encode(size=len(welcome))
    invited = Hello(max_frame=16 * MEBIBYTE, software=SOFTWARE, invitation=TOKEN)
    return {
        "hello": control.frame(
            Opcode.HELLO, Hello(max_frame=16 * MEBIBYTE, software=SOFTWARE).encode()
        ),
        "hello-invited": control.frame(Opcode.HELLO, invited.encode()),
        "welcome": control.frame(Opcode.WELCOME, welcome),
        "unauthorized": control.frame(Opcode.CLOSE, refusal),
    }


@cache
def expected() -> dict[str, bytes]:
    """Return the same examples as the code makes them."""
    ping = bytes(range(1, 9))
    frames = {
        "message": NATIVE.encode("grüß".encode()),
        "empty": NATIVE.encode(b""),
        "ping": control.frame(Opcode.PING, ping),
        "pong": control.frame(Opcode.PONG, ping),
        "unsupported": control.unsupported(0x20, b"\x01\0\0\0hello"),
        "goaway": control.frame(Opcode.GOAWAY, Close(CloseCode.GOING_AWAY, "restart").encode()),
        "pad": control.frame(Opcode.PAD, bytes(4)),
        "close": control.frame(Opcode.CLOSE, Close(frames_received=3).encode()),
        "close-restart": control.frame(
            Opcode.CLOSE, Close(CloseCode.GOING_AWAY, "restart", frames_received=3).encode()
        ),
        "refused": control.frame(Opcode.CLOSE, Close(CloseCode.REFUSED).encode()),
        "sealed": control.frame(Opcode.CLOSE, Close(CloseCode.SEALED).encode()),
        "client-public": bytes(CLIENT.public_key),
        "server-public": bytes(SERVER.public_key),
    }
    frames |= channels()
    frames |= sessions()
    frames |= encapsulation()
    first = introductions()
    frames |= first
    for pattern in Pattern:
        frames |= sealed_session(pattern, first)
    return frames


def encapsulation() -> dict[str, bytes]:
    """Return what the decapsulating end makes of the ciphertext, which is a given."""
    ciphertext, pair = examples()["kem-ciphertext"], DecapsulationKey(SEED)
    return {
        "kem-key-sha256": sha256(pair.public).digest(),
        "kem-secret": pair.decapsulate(ciphertext),
        "kem-ciphertext": ciphertext,
    }


def channels() -> dict[str, bytes]:
    """Return the frames of the sections on flow control, streams and requests, as two ends
    write them that do what the text says."""
    hello = Hello(
        max_frame=16 * MEBIBYTE,
        software=SOFTWARE,
        window=MEBIBYTE,
        max_streams=128,
        max_requests=64,
    )
    client, server = (
        Multiplexer(client=client, local=hello, peer=hello) for client in (True, False)
    )

    def written(multiplexer: Multiplexer) -> bytes:
        return b"".join([*multiplexer.take_all_urgent(), *multiplexer.take(MEBIBYTE)])

    found = {"hello-channels": control.frame(Opcode.HELLO, hello.encode())}
    protocol = ProtocolMachine(client=False, max_message_size=1)
    protocol.give_credit(65_536)
    found["credit"] = b"".join(protocol.take_output([]))
    client.open(StreamKind.APPLICATION, b"log", window=MEBIBYTE)
    found["stream-open"] = written(client)
    client.write(0, b"hi")
    found["stream-data"] = written(client)
    client.update_window(0, 65_536)
    found["stream-credit"] = written(client)
    client.end(0)
    found["stream-end"] = written(client)
    stream = server.open(StreamKind.APPLICATION, b"", window=MEBIBYTE)
    written(server)
    server.reset(stream, 16, "enough")
    found["stream-reset"] = written(server)
    client.request(b"time?")
    found["request"] = written(client)
    client.cancel(0)
    found["cancel"] = written(client)
    server.reply(0, b"noon")
    found["reply"] = written(server)
    server.fail(0, FailureCode.RAISED, "ValueError", "no clock")
    found["failure"] = written(server)
    client = Multiplexer(client=True, local=hello, peer=hello)
    client.request_on_stream()
    found["request-on-stream"] = written(client)
    return found


def sessions() -> dict[str, bytes]:
    """Return the frames of the example of a session: its two links, and what may answer a third."""
    numbering = 0x1122334455667788
    window = 65_536
    begun = SessionHello(bytes(range(1, 17)), 1, 1, 0, 0, 0, window, MEBIBYTE)
    gone_on = replace(
        begun,
        link=2,
        numbering=numbering,
        received=5,
        acknowledged=5,
        credit=window + 5 * (36 + wire.MESSAGE_OVERHEAD),
        known=True,
    )
    begins = SessionWelcome(numbering, 0, 0, window, 0, 120, MEBIBYTE)
    goes_on = replace(
        begins, received=3, acknowledged=2, credit=window + 2 * (1 + wire.MESSAGE_OVERHEAD)
    )

    def introduction(session: SessionHello | SessionWelcome, writers: bytes = b"") -> bytes:
        hello = Hello(
            max_frame=16 * MEBIBYTE, window=window, session=session.encode(), writers=writers
        )
        return hello.encode()

    size = len(introduction(goes_on))
    return {
        "hello-session-first": control.frame(Opcode.HELLO, introduction(begun)),
        "welcome-session-first": control.frame(Opcode.WELCOME, introduction(begins)),
        "hello-session": control.frame(Opcode.HELLO, introduction(gone_on)),
        "welcome-session": control.frame(Opcode.WELCOME, introduction(goes_on)),
        "hello-writers": control.frame(
            Opcode.HELLO,
            introduction(
                replace(begun, start=2, known=True),
                Writers(b"12345678", (b"!\"#$%&'(", b"!\"#$%&'(")).encode(),
            ),
        ),
        "ack": control.ack(3),
        "session-over": control.frame(Opcode.CLOSE, Close(frames_received=4).encode(size=size)),
        "session-lost": control.frame(
            Opcode.CLOSE, Close(CloseCode.SESSION_LOST).encode(size=size)
        ),
        "goaway-retry": control.frame(
            Opcode.GOAWAY, Close(CloseCode.GOING_AWAY, "restart", retry_after=1500).encode()
        ),
    }


def sealed_session(pattern: Pattern, first: dict[str, bytes]) -> dict[str, bytes]:
    """Return what the two ends of the document's example of one pattern send."""
    ours, theirs = credentials(pattern)
    name = pattern.name.lower()
    with (
        ephemerals(b"\x11" * 32, b"\x22" * 32),
        fixed_kem(SEED, examples()["kem-ciphertext"]),
    ):
        client = RecordLayer(initiator=True, credentials=ours, context=CONTEXT)
        server = RecordLayer(initiator=False, credentials=theirs, context=CONTEXT)
        said: list[bytes] = []
        writer, reader = client, server
        while writer.output:
            (message,) = writer.output
            writer.output = []
            said.append(message)
            reader.feed(message)
            writer, reader = reader, writer
    assert client.channel_binding == server.channel_binding
    hello = "hello-invited" if pattern in (Pattern.XK, Pattern.XKHFS) else "hello"
    records = {f"{name}-client-0": client.seal(first[hello])}
    if pattern is Pattern.NNPSK0:
        records[f"{name}-client-1"] = client.seal(NATIVE.encode(b"hi"))
    answer = "unauthorized" if pattern in (Pattern.XX, Pattern.XXHFS) else "welcome"
    records[f"{name}-server-0"] = server.seal(first[answer])
    # The messages of the hybrids are in vectors.json alone: they are long.
    shown = [] if pattern.post_quantum else said
    return (
        {f"{name}-handshake-{number}": message for number, message in enumerate(shown, 1)}
        | {f"{name}-hash": client.channel_binding}
        | {f"{name}-prologue": _prologue(pattern)}
        | {key: b"".join(value) for key, value in records.items()}
    )


def _prologue(pattern: Pattern) -> bytes:
    preamble = wire.MAGIC + bytes((wire.VERSION, pattern))
    return preamble + len(CONTEXT).to_bytes(2, "little") + CONTEXT


def expected_texts() -> dict[str, str]:
    """Return the document's keys as text."""
    return {
        "shared-key": SharedKey(PSK).to_text(),
        "private-key": SERVER.to_text(),
        "public-key": SERVER.public_key.to_text(),
        "invitation": Invitation(SERVER.public_key, TOKEN).to_text(),
    }


def test_the_document_has_every_example() -> None:
    """No example is missing, and none is there that no code makes."""
    assert examples().keys() == expected().keys()


@pytest.mark.parametrize("name", sorted(examples()))
def test_example(name: str) -> None:
    """The example is what the code makes, byte for byte."""
    assert examples()[name] == expected()[name]


def test_keys_as_text() -> None:
    """Each kind of key is shown as the code writes it, with its length beside it."""
    texts = {name: text.strip() for name, text in blocks("key").items()}
    assert texts == expected_texts()
    for text in texts.values():
        prefix = text[: text.rindex("1")]
        assert re.search(rf"^\| `{prefix}` \|.*\| {len(text)} \|$", TEXT, re.MULTILINE)


def test_the_key_of_a_passphrase() -> None:
    """The document's passphrase makes the key that stands below it."""
    assert f"`{PASSPHRASE}`" in TEXT
    try:
        key = SharedKey.from_passphrase(PASSPHRASE)
    except NotSupportedError as error:
        pytest.skip(str(error))
    assert bytes.fromhex(blocks("argon2id")["passphrase"]) == key.secret_bytes()


@pytest.mark.parametrize("pattern", Pattern)
def test_handshake_messages_have_the_lengths_of_the_table(pattern: Pattern) -> None:
    """The table's lengths are those of the examples, without head, opcode and preamble."""
    row = re.search(
        rf"^\| {pattern.value} \| (Noise_([\w+]+)_([\w+]+)_AESGCM_SHA256) \| ([\d, ]+) \|",
        TEXT,
        re.MULTILINE,
    )
    assert row is not None
    assert row[2].upper().replace("+", "_") == pattern.name
    assert row[3] == ("25519+MLKEM768" if pattern.post_quantum else "25519")
    assert row[4] == ", ".join(map(str, NOISE_SIZES[pattern]))
    if pattern.post_quantum:
        return
    name = pattern.name.lower()
    count = len(row[4].split(", "))
    lengths = [len(examples()[f"{name}-handshake-{n}"]) - 5 for n in range(1, count + 1)]
    lengths[0] -= len(wire.MAGIC) + 2
    assert ", ".join(map(str, lengths)) == row[4]


def test_the_times_are_those_of_the_library() -> None:
    """The timers' defaults stand in brackets."""
    options = Options()
    timers = TEXT.partition("### Timers")[2].partition("\n###")[0].partition("```")[0]
    assert re.findall(r"\[(?:(\d+) s|none)\]", timers) == [
        f"{options.handshake_timeout:g}",
        f"{options.keepalive_interval:g}",
        f"{options.keepalive_timeout:g}",
        "",
        f"{options.close_timeout:g}",
    ]
    assert options.idle_timeout is None


def test_each_rule_of_the_grammar_has_one_name() -> None:
    """Each name is defined once in all ``abnf`` blocks, and each that is used is defined."""
    grammar = "".join(re.findall(r"^```abnf\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL))
    defined: list[str] = []
    used: set[str] = set()
    for line in grammar.splitlines():
        name, _, elements = line.partition("=")
        assert re.fullmatch(r"[a-z][a-z-]*", name.strip()), line
        defined.append(name.strip())
        elements = re.sub(r'"[^"]*"|%x[0-9A-F.]+|;.*', "", elements)
        used.update(re.findall(r"[A-Za-z][A-Za-z-]*", elements))
    assert sorted(defined) == sorted(set(defined))
    assert used - {"OCTET"} <= set(defined)


def test_unauthorized_is_as_long_as_welcome() -> None:
    """Whoever looks on does not see which of the two answered HELLO."""
    assert len(examples()["unauthorized"]) == len(examples()["welcome"])


def test_every_number_of_the_code_is_in_the_document() -> None:
    """Opcodes, close codes and field types stand in the document under their names."""
    for opcode in Opcode:
        in_table = f"| 0x{opcode:02X} | {opcode.name} |"
        assert in_table in TEXT or f"{opcode.name} 0x{opcode:02X}" in TEXT
    for code in CloseCode:
        assert f"| {code.value} | {code.name} |" in TEXT
    for enumeration in (ResetCode, FailureCode):
        for number in enumeration:
            assert f"| {number.value} | {number.name} |" in TEXT
    for kind in wire.Tlv:
        name = kind.name.lower()
        assert any(f"| {kind.value} | {n} |" in TEXT for n in (name, name.replace("_", " ")))
