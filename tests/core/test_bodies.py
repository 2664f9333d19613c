"""Bodies that are not as docs/PROTOCOL.md says: which are errors, and which are nothing."""

from __future__ import annotations

import pytest

from sealframe.core.events import Phase
from sealframe.wire import CloseCode, Control, Opcode, control
from sealframe.wire.control import Close

from .peers import PAIRS, inject, message, reveal

pytestmark = pytest.mark.usefixtures("backend")

NUMBER = bytes(8)
"""Of a stream or request that nobody opened."""

MALFORMED = {
    "HELLO again": (Opcode.HELLO, b"sealfram\x01"),
    "WELCOME again": (Opcode.WELCOME, b"sealfram\x01"),
    "CLOSE cut short": (Opcode.CLOSE, b"\x00\x00"),
    "CLOSE, its reason cut short": (Opcode.CLOSE, b"\x00\x00\x02x"),
    "CLOSE, its field cut short": (Opcode.CLOSE, b"\x00\x00\x00\x08\x00\x08"),
    "CLOSE, frames received of 4 bytes": (Opcode.CLOSE, b"\0\0\0\x08\0\x04\0\0\0\0\0"),
    "CLOSE, a critical field": (Opcode.CLOSE, b"\0\0\0\x63\x80\0\0"),
    "GOAWAY cut short": (Opcode.GOAWAY, b"\x01\x00"),
    "GOAWAY, fields out of order": (Opcode.GOAWAY, b"\x01\0\0\x06\0\0\0\x06\0\0\0"),
    "PING of 9": (Opcode.PING, bytes(9)),
    "CREDIT of 3": (Opcode.CREDIT, b"\x01\0\0"),
    "CREDIT of 5": (Opcode.CREDIT, b"\x01\0\0\0\0"),
    "CREDIT of 0": (Opcode.CREDIT, bytes(4)),
    "CREDIT over 2^31 - 1": (Opcode.CREDIT, b"\0\0\0\x80"),
    "STREAM_OPEN cut short": (Opcode.STREAM_OPEN, NUMBER + bytes(4)),
    "STREAM_DATA without number": (Opcode.STREAM_DATA, bytes(7)),
    "REQUEST without number": (Opcode.REQUEST, bytes(7)),
    "FAILURE cut short": (Opcode.FAILURE, NUMBER + b"\0"),
    "CANCEL with more": (Opcode.CANCEL, bytes(9)),
}

IGNORED = {
    "PONG that nobody asked for": (Opcode.PONG, b""),
    "PONG of 100": (Opcode.PONG, bytes(100)),
    "UNSUPPORTED, empty": (Opcode.UNSUPPORTED, b""),
    "UNSUPPORTED of 100": (Opcode.UNSUPPORTED, bytes(100)),
    "PAD": (Opcode.PAD, b"\xff" * 100),
    "GOAWAY, no UTF-8": (Opcode.GOAWAY, b"\x01\0\x01\xff"),
    "GOAWAY with fields": (Opcode.GOAWAY, b"\x01\0\0\x63\0\x01\0x"),
    "CREDIT without windows": (Opcode.CREDIT, b"\x01\0\0\0"),
}

each_end = pytest.mark.parametrize("client", [True, False])
each_way = pytest.mark.parametrize("way", ["extended", "sealed"])


@each_end
@each_way
@pytest.mark.parametrize("name", MALFORMED)
def test_it_is_an_error(name: str, way: str, client: bool) -> None:
    """With CLOSE(PROTOCOL) as the answer, and nothing else."""
    ends = PAIRS[way]()
    peer, other = ends if client else ends[::-1]
    opcode, body = MALFORMED[name]
    inject(peer, other, control.frame(opcode, body))
    assert peer.protocol.phase is Phase.FAILED
    (answer,) = reveal(peer, other)
    assert isinstance(answer, Control)
    assert answer.opcode == Opcode.CLOSE
    assert Close.decode(answer.body).code == CloseCode.PROTOCOL


@each_end
@each_way
@pytest.mark.parametrize("name", IGNORED)
def test_it_is_no_error(name: str, way: str, client: bool) -> None:
    ends = PAIRS[way]()
    peer, other = ends if client else ends[::-1]
    opcode, body = IGNORED[name]
    inject(peer, other, control.frame(opcode, body), message(b"after"))
    assert peer.error is None
    assert peer.messages == [b"after"]
    assert reveal(peer, other) == []
