"""The hex examples and the tables of docs/PROTOCOL.md are what the code makes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sealframe import control, wire
from sealframe.control import Close, Hello
from sealframe.framing import NATIVE
from sealframe.handshake import Handshake
from sealframe.wire import CloseCode, Opcode

DOCUMENT = Path(__file__).parents[2] / "docs" / "PROTOCOL.md"
SOFTWARE = "sealframe/0.1.0"


def examples() -> dict[str, bytes]:
    """Return the document's hex blocks by their names."""
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = re.findall(r"^```hex (\S+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return {name: bytes.fromhex(digits) for name, digits in blocks}


def expected() -> dict[str, bytes]:
    """Return the same examples as the code makes them."""
    hello = control.frame(
        Opcode.HELLO, Hello(max_frame=16 * 1024 * 1024, software=SOFTWARE).encode()
    )
    welcome = Hello(max_frame=1024 * 1024, software=SOFTWARE, client_id="5f0c2a-1")
    ping = bytes(range(1, 9))
    frames = {
        "message": NATIVE.encode("grüß".encode()),
        "empty": NATIVE.encode(b""),
        "hello": hello,
        "welcome": control.frame(Opcode.WELCOME, welcome.encode()),
        "ping": control.frame(Opcode.PING, ping),
        "pong": control.frame(Opcode.PONG, ping),
        "unsupported": control.unsupported(Opcode.REQUEST, b"\x01\0\0\0hello"),
        "goaway": control.frame(Opcode.GOAWAY, Close(CloseCode.GOING_AWAY, "restart").encode()),
        "pad": control.frame(Opcode.PAD, bytes(4)),
        "close": control.frame(Opcode.CLOSE, Close(frames_received=3).encode()),
        "close-restart": control.frame(
            Opcode.CLOSE, Close(CloseCode.GOING_AWAY, "restart", frames_received=3).encode()
        ),
        "refused": control.frame(Opcode.CLOSE, Close(CloseCode.REFUSED).encode()),
    }
    return frames | sealed_session(hello)


def sealed_session(hello: bytes) -> dict[str, bytes]:
    """Return what the document's sealed example sends."""
    preamble = wire.MAGIC + bytes((wire.VERSION, wire.Pattern.NNPSK0))
    prologue = preamble + (4).to_bytes(2, "little") + b"demo"
    key = bytes(range(32))
    client = Handshake("NNpsk0", initiator=True, prologue=prologue, psk=key, ephemeral=b"\x11" * 32)
    server = Handshake(
        "NNpsk0", initiator=False, prologue=prologue, psk=key, ephemeral=b"\x22" * 32
    )
    first = client.write_message()
    server.read_message(first)
    second = server.write_message()
    client.read_message(second)
    sender, _ = client.split()
    records = [sender.seal(hello), sender.seal(NATIVE.encode(b"hi"))]
    return {
        "prologue": prologue,
        "handshake-1": control.frame(Opcode.HANDSHAKE, preamble + first),
        "handshake-2": control.frame(Opcode.HANDSHAKE, second),
        "hash": client.hash,
        "record-0": len(records[0]).to_bytes(4, "little") + records[0],
        "record-1": len(records[1]).to_bytes(4, "little") + records[1],
    }


def test_the_document_has_every_example() -> None:
    """No example is missing, and none is there that no code makes."""
    assert examples().keys() == expected().keys()


@pytest.mark.parametrize("name", sorted(expected()))
def test_example(name: str) -> None:
    """The example is what the code makes, byte for byte."""
    assert examples()[name] == expected()[name]


def test_every_number_of_the_code_is_in_the_document() -> None:
    """Opcodes, close codes and field types stand in the document under their names."""
    text = DOCUMENT.read_text(encoding="utf-8")
    for opcode in Opcode:
        in_table = f"| 0x{opcode:02X} | {opcode.name} |"
        assert in_table in text or f"{opcode.name} 0x{opcode:02X}" in text
    for code in CloseCode:
        assert f"| {code.value} | {code.name} |" in text
    for kind in wire.Tlv:
        name = kind.name.lower()
        assert any(f"| {kind.value} | {n} |" in text for n in (name, name.replace("_", " ")))
