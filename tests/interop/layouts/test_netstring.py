"""Netstrings, with Twisted's at the other end."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

import sealframe
from sealframe.framing.layouts import NETSTRING

from ..programs import running

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("twisted") is None, reason="twisted is not installed"
)
PEER = Path(__file__).with_name("other_ends") / "netstring.py"
STRINGS = [b"bolt", b"", b"12:,", bytes(range(256)) * 300, *(b"%d" % n for n in range(500))]


async def test_a_client_is_echoed() -> None:
    async with running(sys.executable, PEER) as peer:
        assert peer.stdout
        port = int(await peer.stdout.readline())
        async with sealframe.connect("127.0.0.1", port, framing=NETSTRING) as conn:
            for string in STRINGS:
                await conn.send(string)
            assert [await conn.recv() for _ in STRINGS] == STRINGS


async def test_it_closes_on_more_than_99_999_bytes() -> None:
    """As the entry says."""
    async with running(sys.executable, PEER) as peer:
        assert peer.stdout
        port = int(await peer.stdout.readline())
        async with sealframe.connect("127.0.0.1", port, framing=NETSTRING) as conn:
            await conn.send(bytes(99_999))
            assert await conn.recv() == bytes(99_999)
            await conn.send(bytes(100_000))
            with pytest.raises(sealframe.ConnectionClosedOK):
                await conn.recv()
