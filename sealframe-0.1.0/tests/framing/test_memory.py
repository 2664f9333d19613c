"""Memory follows what arrived, never what was declared, and none of it leaks."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from sealframe.framing import Framing

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

GIB = 1024**3
DECLARED = [
    pytest.param(Framing(maximum=GIB), GIB.to_bytes(4, "little"), id="fixed"),
    pytest.param(Framing(control=True, maximum=GIB), GIB.to_bytes(4, "little"), id="native"),
    pytest.param(Framing(varint=True, maximum=GIB), b"\x80\x80\x80\x80\x04", id="varint"),
    pytest.param(Framing(width=8, maximum=2 * GIB), GIB.to_bytes(8, "little"), id="eight-bytes"),
]
CHUNK = bytes(1000)


def by_feed(decoder: Any) -> None:
    decoder.feed(CHUNK)


def by_buffer(decoder: Any) -> None:
    decoder.get_buffer()[: len(CHUNK)] = CHUNK
    decoder.buffer_updated(len(CHUNK))


@pytest.mark.parametrize("take", [by_feed, by_buffer])
@pytest.mark.parametrize(("framing", "head"), DECLARED)
def test_a_declared_gibibyte_costs_what_arrived(
    backend: ModuleType, framing: Framing, head: bytes, take: Callable[[Any], None]
) -> None:
    tracemalloc.start()
    try:
        decoder = backend.Decoder(framing.layout)
        decoder.feed(head)
        assert decoder.frame_size == GIB + len(head)
        assert tracemalloc.get_traced_memory()[1] < 10_000
        for _ in range(100):
            take(decoder)
        assert decoder.pending == len(head) + 100 * len(CHUNK)
        # 100 KB arrived: doubled, and for a moment twice while they are moved.
        assert tracemalloc.get_traced_memory()[1] < 500_000
        del decoder
        assert tracemalloc.get_traced_memory()[0] < 10_000
    finally:
        tracemalloc.stop()


def test_a_fault_frees_what_was_held(backend: ModuleType) -> None:
    decoder = backend.Decoder(Framing(maximum=1000).layout)
    decoder.feed(b"\xe8\x03\0\0" + bytes(900))
    tracemalloc.start()
    try:
        decoder = backend.Decoder(Framing(maximum=1_000_000).layout)
        decoder.feed((1_000_000).to_bytes(4, "little") + bytes(999_999))
        with pytest.raises(Exception, match="over the limit"):
            decoder.feed(b"\0\xff\xff\xff\xff")
        # What is left is the fault itself, and what a tracer notes of it.
        assert tracemalloc.get_traced_memory()[0] < 200_000
    finally:
        tracemalloc.stop()


LEAK = """
import gc, importlib, sys

from sealframe.errors import FramingError
from sealframe.framing import NATIVE, PACKET, PROTOBUF_DELIMITED, Framing

backend = importlib.import_module(sys.argv[1])
framings = [PACKET, NATIVE, PROTOBUF_DELIMITED, Framing(strip=0), Framing(width=3, offset=3)]
messages = [bytes(size) for size in (4, 40, 400, 4000, 40000)]
control = bytes.fromhex("05000080 44 00000000 15000080 9f") + bytes(20)


def rss():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def use(framing):
    "Feed about 600 KB, and return how many bytes it was."
    encoder = backend.Encoder(framing.layout)
    stream = encoder.encode_many(messages * 2) + b"".join(map(encoder.encode, messages))
    if framing.control:
        stream += control
    fed = 0
    for step in (len(stream), 5000, 777):
        decoder = backend.Decoder(framing.layout)
        for place in range(0, len(stream), step):
            decoder.feed(stream[place : place + step])
        fed += len(stream)
    for _ in range(2):
        place = 0
        while place < len(stream):
            buffer = decoder.get_buffer()
            piece = stream[place : place + min(70_000, len(buffer))]
            buffer[: len(piece)] = piece
            decoder.buffer_updated(len(piece))
            place += len(piece)
        fed += len(stream)
    large = encoder.encode(bytes(300_000))
    for stop in (len(large), 290_000):
        decoder.feed(large[:4])
        place = 4
        while place < stop:
            buffer = decoder.get_buffer()
            piece = large[place : place + min(50_000, len(buffer))]
            buffer[: len(piece)] = piece
            decoder.buffer_updated(len(piece))
            place += len(piece)
        fed += place
        decoder.get_buffer()[:0]
        decoder = backend.Decoder(framing.layout)
    for broken in (b"\\xff" * 20, b"\\0\\0\\0\\x80" + b"\\xff" * 20):
        for refused in (encoder.encode, encoder.encode_many, decoder.feed):
            try:
                refused(5)
            except (TypeError, FramingError):
                pass
        for half in (b"", stream[:50], stream[:20_000]):
            decoder = backend.Decoder(framing.layout)
            for data in (half, stream[len(half) :] + broken, b""):
                try:
                    decoder.feed(data)
                except FramingError:
                    pass
                fed += len(data)
    for _ in range(200):  # so that what costs a few bytes each time is seen too
        decoder = backend.Decoder(framing.layout)
        for data in (stream[:3], stream[3:12], b"", stream[12:30]):
            decoder.feed(data)
            decoder.get_buffer()
            decoder.buffer_updated(0)
        try:
            decoder.feed(stream[30:100] + b"\\xff" * 20)
        except FramingError:
            pass
        try:
            decoder.get_buffer()
        except FramingError:
            pass
        fed += 100
    return fed


def run(target):
    fed = 0
    while fed < target:
        for framing in framings:
            fed += use(framing)
    return fed


run(20_000_000)
before = rss()
fed = run(300_000_000)
print(fed, rss() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/statm")
def test_no_leak(backend: ModuleType) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAK, backend.__name__],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "SEALFRAME_NO_EXTENSIONS": "0"},
    )
    assert done.returncode == 0, done.stderr
    fed, grown = map(int, done.stdout.split())
    assert fed >= 300_000_000
    assert grown < 300_000
