"""Frames whose size a function tells."""

from __future__ import annotations

import copy
import pickle
import re
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from example_counts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from sealframe.errors import (
    ConfigurationError,
    FrameTooLargeError,
    FrameTooSmallError,
    FramingError,
    IncompleteFrameError,
    MalformedLengthError,
    MessageFormatError,
    MessageTooLargeError,
    MessageTooSmallError,
)
from sealframe.framing import DEFAULT_MAXIMUM, Sized, _stepping_py, sized

from .any_split import Touched, read, read_at_every_split, splits
from .readings import feed, pour

pytestmark = pytest.mark.usefixtures("stepping_backend")

relaxed = settings(max_examples=examples(200), deadline=None)


def fastcgi(head: bytes) -> int:
    assert len(head) == 8
    return 8 + int.from_bytes(head[4:6], "big") + head[6]


def sized_line(head: bytes) -> int:
    """A line that ends in the size of what follows it."""
    try:
        return len(head) + int(head.split()[-1]) + 2
    except (IndexError, ValueError):
        raise MalformedLengthError(f"no size in {head!r}") from None


def segments(head: bytes) -> int | None:
    """Cap'n Proto's: the number of segments less one, and the size of each in words."""
    count = int.from_bytes(head[:4], "little") + 1
    table = 4 * (1 + count + (count + 1) % 2)
    if len(head) < table:
        return None
    words = sum(int.from_bytes(head[4 * n : 4 * n + 4], "little") for n in range(1, count + 1))
    return table + 8 * words


FASTCGI = Sized(fastcgi, head=8)
NATS = Sized(sized_line, head=64, until=b"\r\n")
CAPNP = Sized(segments, head=(4, 512))


def capnp(*sizes: int) -> bytes:
    table = b"".join(n.to_bytes(4, "little") for n in (len(sizes) - 1, *sizes))
    return table + bytes(len(table) % 8) + bytes(8 * sum(sizes))


FRAMES = {
    FASTCGI: [
        b"\1\1\0\1\0\5\3\0hello\0\0\0",
        b"\1\5\0\1\0\0\0\0",
        b"\1\5\0\1\0\1\0\0!",
    ],
    NATS: [b"PUB a 5\r\nhello\r\n", b"PUB b 0\r\n\r\n", b"P\rX 2\r\n\r\n\r\n"],
    CAPNP: [capnp(1), capnp(0), capnp(1, 2), capnp(0, 0, 1), capnp(*[0] * 100)],
}


@pytest.mark.parametrize("layout", FRAMES)
def test_frames_are_cut_and_sent_whole(layout: Sized) -> None:
    frames = FRAMES[layout]
    stream = layout.encode_many(frames * 2)
    assert stream == b"".join(frames * 2)
    assert read_at_every_split(layout, stream).frames == frames * 2


@given(data=st.data())
@relaxed
def test_any_streams(data: st.DataObject) -> None:
    layout = data.draw(st.sampled_from(list(FRAMES)))
    if data.draw(st.booleans()):
        layout = layout.limited(data.draw(st.integers(layout.minimum, 60)))
    frames = st.sampled_from(FRAMES[layout if layout in FRAMES else match(layout)])
    rubbish = st.binary(max_size=5) | st.sampled_from([b"\r\n", b"\r", b"7\r\n", bytes(30)])
    stream = b"".join(data.draw(st.lists(frames | rubbish, max_size=6)))
    messages, fault = read_plainly(layout, stream)
    reading = read(layout, [stream])
    assert reading.frames == messages
    assert (reading.fault is not None) == fault
    single = [stream[place : place + 1] for place in range(len(stream))]
    for take in (feed, pour):
        assert read(layout, data.draw(splits(stream)), take) == reading
        assert read(layout, single, take) == reading
    for message in messages:
        assert layout.encode(message) == message


def match(layout: Sized) -> Sized:
    return next(other for other in FRAMES if other.function is layout.function)


def read_plainly(layout: Sized, stream: bytes) -> tuple[list[bytes], bool]:
    """Try each beginning of a frame, from the shortest on."""
    messages: list[bytes] = []
    least, most = layout.head_size
    while True:
        size = None
        for count in range(least, most + 1):
            if count > len(stream):
                return messages, False
            head = stream[:count]
            if layout.until and not head.endswith(layout.until):
                continue
            try:
                size = layout.function(head)
            except FramingError:
                return messages, True
            if size is not None:
                break
        if size is None or not layout.minimum <= size <= layout.maximum or size < count:
            return messages, True
        if size > len(stream):
            return messages, False
        messages.append(stream[:size])
        stream = stream[size:]


FAULTS = [
    pytest.param(
        Sized(fastcgi, 8, maximum=100),
        b"\1\1\0\1\0\x64\0\0",
        FrameTooLargeError,
        "the head makes a frame of 108 bytes, over the limit of 100 bytes",
        id="large",
    ),
    pytest.param(
        Sized(fastcgi, 8, minimum=10),
        b"\1\1\0\1\0\1\0\0",
        FrameTooSmallError,
        "the head makes a frame of 9 bytes, below the minimum of 10 bytes",
        id="small",
    ),
    pytest.param(
        Sized(lambda head: head[0], 4),
        b"\3abc",
        FrameTooSmallError,
        "the head makes a frame of 3 bytes, but 4 bytes of it are there already",
        id="less-than-the-head",
    ),
    pytest.param(
        # Bytes 2 and 3 are the size, which may be less than the bytes that tell it.
        Sized(lambda head: int.from_bytes(head[2:4], "big") if len(head) > 3 else None, (2, 4)),
        b"\0\0\0\2",
        FrameTooSmallError,
        "the head makes a frame of 2 bytes, but more bytes had to be there to tell",
        id="less-than-what-tells-it",
    ),
    pytest.param(
        Sized(lambda head: None, (1, 3)),
        b"abc",
        MalformedLengthError,
        "a frame begins with 3 bytes that do not tell its size",
        id="never",
    ),
    pytest.param(
        Sized(lambda head: None, 30, until=b"\n"),
        b"abc\n",
        MalformedLengthError,
        "a frame begins with 4 bytes that do not tell its size",
        id="no-size-in-the-line",
    ),
    pytest.param(
        Sized(sized_line, 5, until=b"\r\n"),
        b"12 4\r",
        MalformedLengthError,
        r"the first 5 bytes of a frame are without b'\r\n'",
        id="long-line",
    ),
    pytest.param(
        NATS, b"PUB x\r\n", MalformedLengthError, r"no size in b'PUB x\r\n'", id="of-the-function"
    ),
]


@pytest.mark.parametrize(("layout", "bad", "kind", "words"), FAULTS)
def test_faults(layout: Sized, bad: bytes, kind: type[FramingError], words: str) -> None:
    """The last byte brings the fault, and none before it."""
    good = b"\1\1\0\1\0\2\0\0ok" if layout.function is fastcgi else b""
    reading = read_at_every_split(layout, good + bad)
    assert reading.fault == (kind, words)
    assert reading.frames == ([good] if good else [])
    assert read(layout, [good + bad[:-1]]).fault is None
    assert read(layout, [good + bad + bytes(300)]).fault == reading.fault


@pytest.mark.parametrize("size", [b"9", True, 9.0])
def test_a_function_that_returns_no_size(size: Any) -> None:
    decoder = Sized(lambda _: size, 1).decoder()
    with pytest.raises(TypeError, match="must return an int or None, not "):
        decoder.feed(b"x")
    with pytest.raises(FramingError, match="the decoder was left by TypeError"):
        decoder.feed(b"x")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            b"\1\1\0\1\0\5\0\0hell",
            "has 12 bytes, which are no whole frame, but the beginning of one",
        ),
        (b"\1\1\0\1\0\3\0\0hell", "has 12 bytes, but the frame that it begins with has 11; send"),
    ],
)
def test_what_is_sent_has_to_be_one_frame(message: bytes, words: str) -> None:
    for call in (FASTCGI.encode, lambda m: FASTCGI.encoder.pack([FRAMES[FASTCGI][0], m])):
        with pytest.raises(MessageFormatError, match=words):
            call(message)
    with pytest.raises(MessageTooSmallError):
        FASTCGI.encode(b"\1\1\0\1\0\0\0")
    with pytest.raises(MessageTooLargeError):
        FASTCGI.limited(10).encode(bytes(11))
    with pytest.raises(MessageFormatError, match="no size in"):
        NATS.encode(b"PUB x\r\n")


def test_the_end_inside_a_frame() -> None:
    decoder = FASTCGI.decoder()
    decoder.feed(FRAMES[FASTCGI][0] + FRAMES[FASTCGI][0][:9])
    with pytest.raises(
        IncompleteFrameError, match="frame 2: 9 of its 16 bytes came, 7 are missing"
    ):
        decoder.finish()
    decoder = NATS.decoder()
    decoder.feed(b"PUB")
    with pytest.raises(
        IncompleteFrameError, match="frame 1: 3 bytes of it came, which do not tell"
    ):
        decoder.finish()


def test_how_often_the_function_is_called() -> None:
    calls: list[bytes] = []

    def size(head: bytes) -> int | None:
        calls.append(head)
        return 5000 if len(head) >= 700 else None

    layout = Sized(size, (1, 1000))
    assert layout.decoder().feed(bytes(10_000)) == [bytes(5000)] * 2
    # Doubled from the least on, for each of the two.
    assert [len(head) for head in calls] == [2**n for n in range(10)] + [1000, *calls_of_one()]
    calls.clear()
    read(layout, [bytes(1)] * 5000)
    assert [len(head) for head in calls] == list(range(1, 701))


def calls_of_one() -> list[int]:
    return [*(2**n for n in range(10)), 1000]


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize(
    ("layout", "stream"),
    [
        (Sized(lambda _: 20_000, 4), bytes(40_000)),
        (Sized(sized_line, 30_000, until=b"\r\n"), b"a" * 20_000 + b" 1\r\n!\r\n"),
        (Sized(sized_line, 30_000, until=b"\r\n"), b"\r" * 20_000 + b" 1\r\n!\r\n"),
    ],
)
def test_work_is_linear_however_the_stream_is_split(
    monkeypatch: pytest.MonkeyPatch, layout: Sized, stream: bytes, step: int
) -> None:
    touched = Touched()
    monkeypatch.setattr(_stepping_py, "bytearray", touched.kind, raising=False)
    monkeypatch.setattr(sized, "SizedDecoder", _stepping_py.SizedDecoder)
    pieces = [stream[place : place + step] for place in range(0, len(stream), step)]
    assert read(layout, pieces).frames
    assert len(stream) // 2 < touched.bytes < len(stream) * 10 or step == 1000


def test_memory_follows_what_came() -> None:
    layout = Sized(lambda _: 16_000_000, 4)
    tracemalloc.start()
    try:
        decoder = layout.decoder()
        for _ in range(100):
            decoder.feed(bytes(1000))
        assert (decoder.pending, decoder.frame_size) == (100_000, 16_000_000)
        assert tracemalloc.get_traced_memory()[1] < 300_000
    finally:
        tracemalloc.stop()


def test_the_layout_itself() -> None:
    assert (FASTCGI.minimum, FASTCGI.maximum) == (8, DEFAULT_MAXIMUM)
    assert (NATS.minimum, NATS.head_size) == (2, (2, 64))
    assert repr(NATS).endswith("head=64, until=b'\\r\\n')")
    assert repr(CAPNP).endswith("head=(4, 512))")
    assert repr(FASTCGI.limited(99)).endswith("head=8, maximum=99)")
    assert FASTCGI.limited(DEFAULT_MAXIMUM) is FASTCGI
    for layout in FRAMES:
        assert replace(layout) == layout
    assert replace(CAPNP, head_size=(4, 8)) == Sized(segments, (4, 8))
    with pytest.raises(ConfigurationError, match="say head= or head_size=, not both"):
        Sized(segments, 4, head_size=(4, 8))
    narrow = NATS.limited(99)
    assert (narrow.maximum, narrow.until, narrow.head_size) == (99, b"\r\n", (2, 64))
    _ = FASTCGI.encoder
    for other in (copy.copy(FASTCGI), pickle.loads(pickle.dumps(FASTCGI))):
        assert other == FASTCGI
        assert hash(other) == hash(FASTCGI)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ((8, 8), "function must be one that gets the first bytes"),
        ((fastcgi, 0), "head must be 1 to 65536, not 0"),
        ((fastcgi, (4, 3)), "head must be 4 to 65536, not 3"),
        ((fastcgi, (4, 5, 6)), "head must be an int, or (least, most), not (4, 5, 6)"),
        ((fastcgi, None), "head must be an int, not None"),
    ],
)
def test_senseless_parameters(parameters: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        Sized(*parameters)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"until": "\n"}, "until must be 1 to 64 bytes, not '\\n'"),
        ({"until": bytes(9)}, "head must be 9 to 65536, not 8"),
        ({"maximum": 7}, "maximum is 7, but every frame has 8 bytes at least"),
        ({"minimum": 9, "maximum": 8}, "minimum is 9, over the maximum of 8"),
    ],
)
def test_senseless_options(options: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        Sized(fastcgi, 8, **options)
