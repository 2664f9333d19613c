"""The section on files of docs/PROTOCOL.md is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sealframe.core.multiplexer import Multiplexer
from sealframe.files.digest import Algorithm
from sealframe.files.messages import DONE, Accept, go
from sealframe.wire import FIRST_OWN_RESET_CODE, Control, FileAbort, FileRefusal, Opcode, StreamKind
from sealframe.wire.control import Hello

from .pair import hash_of, offer_of

TEXT = (Path(__file__).parents[2] / "docs" / "PROTOCOL.md").read_text(encoding="utf-8")
SECTION = TEXT[TEXT.index(". Files\n") :]
EXAMPLES = {
    name: bytes.fromhex(digits)
    for name, digits in re.findall(
        r"^```bytes ([\w-]+)\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL
    )
}


def expected() -> dict[str, bytes]:
    client = Multiplexer(client=True, local=Hello(), peer=Hello(max_streams=1))
    server = Multiplexer(client=False, local=Hello(max_streams=1), peer=Hello())

    def said(by: Multiplexer) -> bytes:
        return b"".join([*by.take_all_urgent(), *by.take(1 << 20)])

    frames = {}
    number = client.open(StreamKind.FILE, offer_of("hi", 5).pack(), window=1 << 20)
    frames["offer"] = said(client)
    server.receive(Control(Opcode.STREAM_OPEN, frames["offer"][5:]))
    server.write(number, Accept(Algorithm.SHA256, 0, hash_of(b"")).pack())
    frames["accept"] = said(server)
    client.write(number, go(0) + b"hello" + hash_of(b"hello"))
    frames["data"] = said(client)
    client.end(number)
    frames["end-of-data"] = said(client)
    server.write(number, DONE)
    frames["done"] = said(server)
    server.end(number)
    frames["end"] = said(server)
    return frames


@pytest.mark.parametrize("name", ["offer", "accept", "data", "end-of-data", "done", "end"])
def test_example(name: str) -> None:
    assert EXAMPLES.keys() == expected().keys()
    made = expected()[name]
    assert EXAMPLES[name].hex(" ") == made.hex(" ")


def test_every_refusal_is_in_the_table() -> None:
    table = dict(re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", SECTION, re.MULTILINE))
    assert table == {str(int(code)): code.name for code in FileRefusal}


def test_the_codes_of_senders_are_in_the_text() -> None:
    for code in FileAbort:
        assert re.search(rf"{int(code)}\s+\({code.name}\)", SECTION)
    # The two kinds of codes cannot be taken for each other.
    assert max(FileRefusal) + FIRST_OWN_RESET_CODE < min(FileAbort)
