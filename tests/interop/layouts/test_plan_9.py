"""9P, with pyroute2 as server and as client."""

from __future__ import annotations

import importlib.util
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sealframe
from sealframe.framing.layouts import PLAN_9

from ..programs import running

if TYPE_CHECKING:
    from sealframe import Connection

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pyroute2") is None or sys.platform != "linux",
    reason="pyroute2 is not installed, or this is not Linux",
)
PEER = Path(__file__).with_name("other_ends") / "plan_9.py"

T_VERSION, T_ATTACH, T_WALK, T_OPEN, T_READ = 100, 104, 110, 112, 116
QID = bytes(13)


def message(kind: int, tag: int, body: bytes = b"") -> bytes:
    """A message whose size is filled in when it is sent."""
    return struct.pack("<IBH", 0, kind, tag) + body


def string(text: bytes) -> bytes:
    return len(text).to_bytes(2, "little") + text


async def test_a_client_reads_a_file(port: int) -> None:
    requests = [
        message(T_VERSION, 0xFFFF, struct.pack("<I", 8192) + string(b"9P2000")),
        message(T_ATTACH, 1, struct.pack("<II", 0, 0xFFFFFFFF) + string(b"a") + string(b"")),
        message(T_WALK, 2, struct.pack("<IIH", 0, 1, 1) + string(b"parts")),
        message(T_READ, 3, struct.pack("<IQI", 1, 0, 100)),
    ]
    async with running(sys.executable, PEER, "serve", port) as peer:
        assert peer.stdout
        assert await peer.stdout.readline() == b"serving\n"
        answers = []
        async with sealframe.connect("127.0.0.1", port, framing=PLAN_9) as conn:
            for request in requests:
                await conn.send(request)
                answers.append(await conn.recv())
    assert [answer[4] for answer in answers] == [101, 105, 111, 117]
    assert [struct.unpack_from("<I", answer)[0] for answer in answers] == list(map(len, answers))
    assert answers[0][7:] == struct.pack("<I", 8192) + string(b"9P2000")
    assert answers[-1][7:] == struct.pack("<I", 4) + b"bolt"


async def serve_one_file(conn: Connection) -> None:
    """Answer as a server of one file does."""
    async for request in conn:
        kind, tag = request[4], int.from_bytes(request[5:7], "little")
        body = {
            T_VERSION: request[7:],
            T_ATTACH: QID,
            T_WALK: b"\1\0" + QID,
            T_OPEN: QID + bytes(4),
            T_READ: struct.pack("<I", 4) + b"bolt",
        }[kind]
        await conn.send(message(kind + 1, tag, body))


async def test_a_server_is_read() -> None:
    async with sealframe.serve(serve_one_file, "127.0.0.1", 0, framing=PLAN_9) as server:
        async with running(sys.executable, PEER, "ask", server.port) as peer:
            assert peer.stdout
            assert await peer.stdout.readline() == b"bolt\n"
