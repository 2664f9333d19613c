"""get_buffer and buffer_updated: whose memory it is, for how long, and misuse."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import socket
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from sealframe.framing import NATIVE, PACKET, PROTOBUF_DELIMITED, Framing
from sealframe.wire import Control, Opcode

if TYPE_CHECKING:
    from types import ModuleType

SCRATCH = 256 * 1024
LARGE = 64 * 1024
DIRECT = 16 * 1024


def pour(decoder: Any, stream: bytes, step: int = sys.maxsize) -> list[bytes | Control]:
    """Pass ``stream`` through exported buffers, at most ``step`` bytes at a time."""
    frames: list[bytes | Control] = []
    place = 0
    while place < len(stream):
        buffer = decoder.get_buffer()
        piece = stream[place : place + min(len(buffer), step)]
        buffer[: len(piece)] = piece
        frames += decoder.buffer_updated(len(piece))
        place += len(piece)
    return frames


def export_scratch(backend: ModuleType) -> Any:
    return backend.Decoder(PACKET.layout)


def export_storage(backend: ModuleType) -> Any:
    decoder = backend.Decoder(PACKET.layout)
    decoder.feed((10 * LARGE).to_bytes(4, "little"))
    return decoder


@pytest.fixture(params=[export_scratch, export_storage])
def decoder(request: pytest.FixtureRequest, backend: ModuleType) -> Any:
    """A decoder that exports a scratch buffer, and one that exports a message's own storage."""
    return request.param(backend)


def test_the_buffer_can_be_written_and_stays_the_same(decoder: Any) -> None:
    buffer = decoder.get_buffer()
    assert isinstance(buffer, memoryview)
    assert not buffer.readonly
    assert (buffer.format, buffer.itemsize, buffer.ndim) == ("B", 1, 1)
    assert buffer.c_contiguous
    assert len(buffer) == buffer.nbytes
    assert decoder.get_buffer() is buffer


def test_sizes(backend: ModuleType) -> None:
    """A scratch buffer, or what is missing of a large message as far as it may be allocated."""
    decoder = backend.Decoder(PACKET.layout)
    sizes = []
    stream = PACKET.encode(bytes(20 * LARGE)) + PACKET.encode(bytes(LARGE)) + b"\x05"
    while stream:
        buffer = decoder.get_buffer()
        sizes.append(len(buffer))
        piece = stream[: len(buffer)]
        buffer[: len(piece)] = piece
        decoder.buffer_updated(len(piece))
        stream = stream[len(piece) :]
    received = SCRATCH - 4
    assert sizes == [SCRATCH, received, 2 * received, 20 * LARGE - 4 * received, SCRATCH]


def test_exactly_16_kib_missing_are_not_many(backend: ModuleType) -> None:
    decoder = backend.Decoder(PACKET.layout)
    decoder.feed(DIRECT.to_bytes(4, "little"))
    assert len(decoder.get_buffer()) == SCRATCH
    decoder = backend.Decoder(PACKET.layout)
    decoder.feed((DIRECT + 1).to_bytes(4, "little"))
    assert len(decoder.get_buffer()) == DIRECT + 1


def test_the_rest_of_a_message_is_exported_and_no_more(backend: ModuleType) -> None:
    decoder = backend.Decoder(PACKET.layout)
    decoder.feed((10 * LARGE).to_bytes(4, "little") + bytes(10 * LARGE - DIRECT - 1))
    assert len(decoder.get_buffer()) == DIRECT + 1
    decoder.buffer_updated(1)
    assert len(decoder.get_buffer()) == SCRATCH


@pytest.mark.parametrize("step", [1000, LARGE - 1, LARGE, LARGE + 1, sys.maxsize])
@pytest.mark.parametrize(
    "framing",
    [PACKET, NATIVE, PROTOBUF_DELIMITED, Framing(strip=1), Framing(width=3, offset=1, strip=11)],
)
def test_large_messages(backend: ModuleType, framing: Framing, step: int) -> None:
    messages = [
        bytes([number]) * 11 + framing.layout.width.to_bytes(1, "big") + bytes(range(256)) * size
        for number, size in enumerate([0, 1024, 2000, 1, 257, 1])
    ]
    stream = framing.encode_many(messages)
    expected = framing.decoder().feed(stream)
    decoder = backend.Decoder(framing.layout)
    assert pour(decoder, stream, step) == expected
    assert (decoder.pending, decoder.frame_size) == (0, 0)


def test_feeds_and_exports_take_turns(backend: ModuleType) -> None:
    message = bytes(range(256)) * 1500
    stream = PACKET.encode(message) * 2
    decoder = backend.Decoder(PACKET.layout)
    frames = []
    while stream:
        frames += decoder.feed(stream[:7000])
        frames += pour(decoder, stream[7000:50_000])
        stream = stream[50_000:]
    assert frames == [message, message]


@pytest.mark.parametrize("late", [False, True], ids=["like-asyncio", "like-uvloop"])
def test_a_large_message_is_read_into_its_final_bytes(c_backend: ModuleType, late: bool) -> None:
    """Even where the borrower lets go of the buffer only after buffer_updated."""
    decoder = c_backend.Decoder(PACKET.layout)
    size = 10 * LARGE
    decoder.feed(size.to_bytes(4, "little"))
    message = b""
    while not message:
        buffer = decoder.get_buffer()
        length = len(buffer)
        exports = [ctypes.c_char.from_buffer(buffer)]
        address = ctypes.addressof(exports[0])
        if not late:
            exports.clear()
        del buffer
        for message in decoder.buffer_updated(length):
            assert len(message) == size
            assert id(message) < address < id(message) + sys.getsizeof(message)
        exports.clear()


def test_the_prefix_is_kept_even_of_exported_storage(backend: ModuleType) -> None:
    framing = Framing(width=1, adjustment=10 * LARGE)
    decoder = backend.Decoder(framing.layout)
    decoder.feed(b"\x01")
    decoder.get_buffer()[:5] = b"abcde"
    decoder.buffer_updated(5)
    assert decoder.prefix == b"\x01abcde"
    decoder.get_buffer()[:5] = b"fghij"
    decoder.buffer_updated(5)
    assert decoder.prefix == b"\x01abcdefg"


@pytest.mark.parametrize("count", [-1, 10**30, -(10**30)])
def test_impossible_counts(decoder: Any, count: int) -> None:
    size = len(decoder.get_buffer())
    for bad in (count, size + 1):
        with pytest.raises(ValueError, match="the buffer has") as caught:
            decoder.buffer_updated(bad)
        assert str(caught.value) == f"buffer_updated({bad}): the buffer has {size} bytes"
    for wrong in ("1", 1.0, None):
        with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
            decoder.buffer_updated(wrong)
    assert decoder.buffer_updated(0) == []


def test_a_count_that_ends_the_export_itself(decoder: Any) -> None:
    class Count:
        def __index__(self) -> int:
            decoder.buffer_updated(0)
            return 1

    pending = decoder.pending
    decoder.get_buffer()
    with pytest.raises(ValueError, match=r"^buffer_updated\(\) without get_buffer\(\) before it$"):
        decoder.buffer_updated(Count())
    assert decoder.pending == pending


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ is new in Python 3.12")
def test_data_that_borrows_the_buffer_itself(c_backend: ModuleType) -> None:
    decoder = export_storage(c_backend)

    class Data:
        def __buffer__(self, flags: int) -> memoryview:
            decoder.get_buffer()
            return memoryview(bytes(4 * LARGE))

    with pytest.raises(RuntimeError, match=r"^feed\(\) while a buffer is lent; call buffer_upd"):
        decoder.feed(Data())
    assert decoder.pending == 4
    assert decoder.buffer_updated(5) == []
    assert decoder.pending == 9


def test_nothing_is_exported(decoder: Any) -> None:
    with pytest.raises(ValueError, match=r"^buffer_updated\(\) without get_buffer\(\) before it$"):
        decoder.buffer_updated(0)
    decoder.get_buffer()
    decoder.buffer_updated(0)
    with pytest.raises(ValueError, match=r"^buffer_updated\(\) without get_buffer\(\) before it$"):
        decoder.buffer_updated(0)


def test_feed_while_a_buffer_is_exported(decoder: Any) -> None:
    pending = decoder.pending
    buffer = decoder.get_buffer()
    with pytest.raises(RuntimeError, match=r"^feed\(\) while a buffer is lent; call buffer_upd"):
        decoder.feed(b"\x01\x00\x00\x00")
    assert decoder.get_buffer() is buffer
    buffer[:2] = b"\x01\x00"
    assert decoder.buffer_updated(2) == []
    assert decoder.pending == pending + 2
    decoder.feed(b"\x00")
    assert decoder.pending == pending + 3


def test_the_export_ends_with_buffer_updated(decoder: Any) -> None:
    buffer = decoder.get_buffer()
    decoder.buffer_updated(0)
    with pytest.raises(ValueError, match="released memoryview"):
        buffer[0] = 1


KEEPERS = [
    pytest.param(lambda buffer: buffer[10:], id="slice"),
    pytest.param(memoryview, id="view"),
    pytest.param(lambda buffer: memoryview(buffer.obj), id="owner"),
    pytest.param((ctypes.c_char * 9).from_buffer, id="export"),
]


@pytest.mark.parametrize("keep", KEEPERS)
def test_who_keeps_views_of_scratch_buffers_keeps_the_buffers(
    backend: ModuleType, keep: Any
) -> None:
    """No decoder gets a buffer that someone else could still write to."""
    decoder = backend.Decoder(PACKET.layout)
    kept = []
    for number in range(20):
        buffer = decoder.get_buffer()
        kept.append(keep(buffer))
        frame = PACKET.encode(bytes([number]) * 1000)
        buffer[: len(frame)] = frame
        del buffer
        assert decoder.buffer_updated(len(frame)) == [bytes([number]) * 1000]
    for number, view in enumerate(kept):
        assert bytes(view)[4:9][-1] == number
        view[:9] = bytes(9)
    frame = PACKET.encode(b"next")
    decoder.get_buffer()[: len(frame)] = frame
    for view in kept:
        view[:9] = bytes(9)
    assert decoder.buffer_updated(len(frame)) == [b"next"]


@pytest.mark.parametrize("keep", KEEPERS)
def test_who_keeps_views_of_storage_keeps_the_memory(backend: ModuleType, keep: Any) -> None:
    """What is received later goes elsewhere, and the message is right."""
    message = bytes(range(256)) * 8192
    stream = PACKET.encode(message)
    decoder = backend.Decoder(PACKET.layout)
    decoder.feed(stream[:4])
    kept = []
    frames: list[bytes | Control] = []
    place = 4
    while not frames:
        buffer = decoder.get_buffer()
        kept.append(keep(buffer))
        piece = stream[place : place + len(buffer)]
        buffer[:] = piece
        del buffer
        frames = decoder.buffer_updated(len(piece))
        place += len(piece)
    assert frames == [message]
    assert len(kept) > 3
    del decoder, frames
    gc.collect()
    for view in kept:
        view[:9] = b"abcdefghi"
        assert bytes(view[:9]) == b"abcdefghi"


@pytest.mark.parametrize("end", ["feed", "drop"])
def test_storage_whose_view_is_kept_can_be_left(backend: ModuleType, end: str) -> None:
    decoder = export_storage(backend)
    kept = decoder.get_buffer()[:]
    kept[:] = b"\xaa" * len(kept)
    assert decoder.buffer_updated(1000) == []
    if end == "feed":
        message = b"\xaa" * 1000 + b"\xbb" * (10 * LARGE - 1000)
        assert decoder.feed(message[1000:]) == [message]
    del decoder
    gc.collect()
    assert bytes(kept[:1000]) == b"\xaa" * 1000


def test_the_borrower_may_release_the_view(decoder: Any) -> None:
    pending = decoder.pending
    with decoder.get_buffer() as buffer:
        buffer[:3] = b"\x02\x00\x00"
    with decoder.get_buffer() as again:
        assert again is not buffer
        assert again[:3] == b"\x02\x00\x00"
    assert decoder.buffer_updated(3) == []
    assert decoder.pending == pending + 3


def test_a_view_outlives_its_decoder(backend: ModuleType) -> None:
    for export in (export_scratch, export_storage):
        view = export(backend).get_buffer()
        gc.collect()
        others = [export(backend).get_buffer() for export in (export_scratch, export_storage)]
        view[:] = b"\xaa" * len(view)
        for other in others:
            other[:] = b"\xbb" * len(other)
        assert bytes(view) == b"\xaa" * len(view)


def test_what_is_left_of_an_export_of_storage_is_empty(c_backend: ModuleType) -> None:
    decoder = export_storage(c_backend)
    owner = decoder.get_buffer().obj
    decoder.buffer_updated(0)
    assert memoryview(owner).nbytes == 0


def test_decoders_never_share_a_buffer_that_is_exported(backend: ModuleType) -> None:
    first, second = backend.Decoder(PACKET.layout), backend.Decoder(PACKET.layout)
    first.get_buffer()
    first.buffer_updated(0)  # leaves a spare buffer for one of them
    buffers = [first.get_buffer(), second.get_buffer()]
    for buffer, frame in zip(buffers, (b"\x01\0\0\0a", b"\x01\0\0\0b"), strict=True):
        buffer[:5] = frame
        buffer.release()
    third = backend.Decoder(PACKET.layout)
    third.get_buffer()[:5] = b"\x01\0\0\0c"
    assert first.buffer_updated(5) == [b"a"]
    assert second.buffer_updated(5) == [b"b"]
    assert third.buffer_updated(5) == [b"c"]


def test_idle_decoders_hold_no_buffer(backend: ModuleType) -> None:
    decoders = [backend.Decoder(PACKET.layout) for _ in range(100)]
    tracemalloc.start()
    try:
        for decoder in decoders:
            buffer = decoder.get_buffer()
            buffer[:10] = b"\x64\0\0\0 a start"[:10]
            decoder.buffer_updated(10)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert [decoder.pending for decoder in decoders] == [10] * 100
    assert held < SCRATCH + 100 * 2048


class Receiver(asyncio.BufferedProtocol):
    """Decodes what a transport reads straight into the decoder's buffers."""

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder
        self.frames: list[bytes | Control] = []
        self.ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint: int) -> Any:
        return self.decoder.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        self.frames += self.decoder.buffer_updated(nbytes)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(exc)


@pytest.mark.parametrize("loop_name", ["asyncio", "uvloop"])
def test_under_an_event_loop(backend: ModuleType, loop_name: str) -> None:
    messages = [bytes([size % 256]) * size for size in (5, 0, 300_000, 70_000, 1, 2_000_000, 66)]
    ping = (0x8000_0001).to_bytes(4, "little") + bytes([Opcode.PING])

    async def exchange() -> list[bytes | Control]:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.setblocking(False)
            _, receiver = await loop.create_connection(
                lambda: Receiver(backend.Decoder(NATIVE.layout)), sock=ours
            )
            await loop.sock_sendall(theirs, NATIVE.encode_many(messages) + ping)
        assert await receiver.ended is None
        return receiver.frames

    factory = None
    if loop_name == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        frames = runner.run(asyncio.wait_for(exchange(), 30))
    assert frames == [*messages, Control(Opcode.PING, b"")]
