"""Delimiters and header lines, beside readings that take the whole stream at once."""

from __future__ import annotations

import copy
import pickle
import re
import tracemalloc
from typing import Any

import pytest
from example_counts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from sealframe import errors
from sealframe.errors import (
    ConfigurationError,
    FrameTooLargeError,
    FrameTooSmallError,
    FramingError,
    IncompleteFrameError,
    MagicError,
    MalformedLengthError,
    MessageFormatError,
    MessageTooLargeError,
    MessageTooSmallError,
    NotSupportedError,
)
from sealframe.framing import DEFAULT_MAXIMUM, Delimited, FrameLayout, HeaderLines, text

from .any_split import Touched, read, read_at_every_split, splits
from .readings import feed, pour

relaxed = settings(max_examples=examples(300), deadline=None)

MLLP = Delimited(b"\x1c\r", start=b"\x0b")
LINES = Delimited(b"\n")
LSP = HeaderLines()
RTSP = HeaderLines(start_line=True, required=False, strip=0)


@pytest.mark.parametrize(
    ("layout", "message", "frame"),
    [
        (LINES, b"hello", b"hello\n"),
        (LINES, b"", b"\n"),
        (Delimited(b"\r\n"), b"a\rb\nc\r", b"a\rb\nc\r\r\n"),
        (Delimited(b"\0"), b"hello", b"hello\0"),
        (MLLP, b"MSH|^~\\&|", b"\x0bMSH|^~\\&|\x1c\r"),
        (MLLP, b"\x0b\x1c", b"\x0b\x0b\x1c\x1c\r"),
        (LSP, b"{}", b"Content-Length: 2\r\n\r\n{}"),
        (LSP, b"", b"Content-Length: 0\r\n\r\n"),
        (HeaderLines("Size"), b"\r\n\r\n", b"Size: 4\r\n\r\n\r\n\r\n"),
    ],
)
def test_worked_bytes(layout: FrameLayout, message: bytes, frame: bytes) -> None:
    assert layout.encode(message) == frame
    assert layout.encode(memoryview(message)) == frame
    assert layout.encode_many([message, bytearray(message)]) == frame * 2
    assert layout.new_encoder().pack([message, message]) == [frame * 2]
    assert read_at_every_split(layout, frame * 2).frames == [message, message]
    frames = layout.decoder().feed(frame)
    assert type(frames[0]) is bytes


def test_bytes_that_only_a_peer_would_send() -> None:
    stream = (
        b"content-type: application/vscode-jsonrpc; charset=utf-8\r\n"
        b"CONTENT-LENGTH:\t 0002 \r\nX-Empty:\r\n\r\nhi"
    )
    assert read_at_every_split(LSP, stream).frames == [b"hi"]
    whole = HeaderLines(strip=0)
    assert read_at_every_split(whole, stream * 2).frames == [stream, stream]


def test_messages_that_are_whole_frames() -> None:
    request = b"OPTIONS rtsp://host RTSP/1.0\r\nCSeq: 1\r\n\r\n"
    answer = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 4\r\n\r\nbody"
    reading = read_at_every_split(RTSP, request + answer + request)
    assert reading.frames == [request, answer, request]
    for message in reading.frames:
        assert RTSP.encode(message) == message
    for message, text_ in [
        (b"", "the message has 0 bytes, which are no whole frame"),
        (answer[:-1], "the message has 50 bytes, which are no whole frame, but the beginning of "),
        (answer + b"!", "the message has 52 bytes, but the frame that it begins with has 51"),
        (b"A\r\nB\r\n\r\n", "no frame of this layout, whose messages are whole frames: line 2 of"),
    ]:
        with pytest.raises(MessageFormatError, match=re.escape(text_)):
            RTSP.encode(message)


# A message can be refused only by those who send.


@pytest.mark.parametrize(
    ("layout", "message", "place"),
    [
        (LINES, b"a\nb", 1),
        (LINES, b"ab\n", 2),
        (MLLP, b"a\x1c\rb", 1),
        (Delimited(b"aa"), b"ba", 1),
        (Delimited(b"abab"), b"xab", 1),
        (Delimited(b"abab"), b"xabab", 1),
    ],
)
def test_a_delimiter_inside_is_refused(layout: FrameLayout, message: bytes, place: int) -> None:
    for call in (
        lambda: layout.encode(message),
        lambda: layout.encode_many([b"", message]),
        lambda: layout.encoder.pack([message]),
    ):
        with pytest.raises(MessageFormatError, match=f"inside, at byte {place}: the receiver"):
            call()


@given(
    delimiter=st.text("ab", min_size=1, max_size=4).map(str.encode),
    start=st.text("ab", max_size=2).map(str.encode),
    message=st.text("abc", max_size=9).map(str.encode),
)
@relaxed
def test_what_is_not_refused_arrives(delimiter: bytes, start: bytes, message: bytes) -> None:
    layout = Delimited(delimiter, start)
    whole = start + message + delimiter
    arrives = whole.find(delimiter, len(start)) == len(start) + len(message)
    try:
        frame = layout.encode(message)
    except MessageFormatError:
        assert not arrives
    else:
        assert arrives
        assert read_at_every_split(layout, frame).frames == [message]


def test_sizes_of_what_is_sent() -> None:
    for layout in (
        Delimited(b"\n", minimum=2, maximum=3),
        HeaderLines(minimum=2, maximum=3),
    ):
        assert layout.encode(b"abc")
        with pytest.raises(MessageTooLargeError):
            layout.encode(b"abcd")
        with pytest.raises(MessageTooSmallError):
            layout.encoder.pack([b"ab", b"a"])
        with pytest.raises(TypeError, match="encode text first"):
            layout.encode("text")  # type: ignore[arg-type]
        with pytest.raises(BufferError, match="contiguous"):
            layout.encode(memoryview(b"abcdef")[::2])
    assert HeaderLines(maximum=3).head(3) == b"Content-Length: 3\r\n\r\n"
    with pytest.raises(MessageTooLargeError):
        HeaderLines(maximum=3).head(4)
    with pytest.raises(NotSupportedError, match="use encode"):
        LINES.head(3)


def test_large_payloads_are_not_copied() -> None:
    large = bytes(65_536)
    for layout, head, tail in ((LSP, b"Content-Length: 65536\r\n\r\n", b""), (LINES, b"", b"\n")):
        buffers = layout.encoder.pack([b"one", large, b"two"])
        assert b"".join(buffers) == layout.encode_many([b"one", large, b"two"])
        assert buffers[1] is large
        assert len(buffers) == 3
        assert [buffer for buffer in layout.encoder.pack([large]) if buffer] == [
            part for part in (head, large, tail) if part
        ]


# Plain readings: what a stream comes to, seen at once.


def read_delimited(layout: Delimited, stream: bytes) -> tuple[list[bytes], bool]:
    """Return the messages, and whether what follows them is at fault."""
    messages: list[bytes] = []
    while stream:
        begin = stream[: len(layout.start)]
        if not layout.start.startswith(begin):
            return messages, True
        message, found, rest = stream[len(layout.start) :].partition(layout.delimiter)
        if not found:
            # At fault if no delimiter could come in time.
            room = layout.maximum + len(layout.delimiter)
            late = all(
                layout.delimiter not in (message + layout.delimiter[n:])[:room]
                for n in range(len(layout.delimiter))
            )
            return messages, late
        if not layout.minimum <= len(message) <= layout.maximum:
            return messages, True
        messages.append(message)
        stream = rest
    return messages, False


@given(data=st.data())
@relaxed
def test_delimited_streams(data: st.DataObject) -> None:
    minimum = data.draw(st.integers(0, 2))
    layout = Delimited(
        data.draw(st.text("ab", min_size=1, max_size=4)).encode(),
        data.draw(st.text("ab", max_size=3)).encode(),
        minimum=minimum,
        maximum=data.draw(st.integers(minimum, 9) | st.just(DEFAULT_MAXIMUM)),
    )
    pieces = st.sampled_from([layout.start, layout.delimiter, b"a", b"b", b"c", b"cccc"])
    stream = b"".join(data.draw(st.lists(pieces, max_size=20)))
    messages, fault = read_delimited(layout, stream)
    reading = read(layout, [stream])
    assert reading.frames == messages
    assert (reading.fault is not None) == fault
    for take in (feed, pour):
        assert read(layout, data.draw(splits(stream)), take) == reading
        single = [stream[place : place + 1] for place in range(len(stream))]
        assert read(layout, single, take) == reading


HEADER_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([^\n]*)\r\n")


def read_header_lines(layout: HeaderLines, stream: bytes) -> tuple[list[bytes], bool, bool]:
    """Return the messages, whether what follows is at fault, and whether it is unfinished.

    Of a header that is not whole it says nothing.
    """
    messages: list[bytes] = []
    while stream:
        header, found, body = stream.partition(b"\r\n\r\n")
        if stream.startswith(b"\r\n"):
            header, body, found = b"", stream[2:], b"\r\n"
        elif not found:
            return messages, False, True
        lines = re.split(rb"(?<=\n)", header + b"\r\n")[:-1] if header else []
        size = len(stream) - len(body)
        if size > layout.maximum_header:
            return messages, True, False
        if layout.start_line and lines and not lines.pop(0).endswith(b"\r\n"):
            return messages, True, False
        lengths = []
        for line in lines:
            match = HEADER_LINE.fullmatch(line)
            if match is None:
                return messages, True, False
            if match[1].lower() == layout.length.lower().encode():
                lengths.append(match[2].strip(b" \t"))
        if len(lengths) > 1 or (layout.required and not lengths):
            return messages, True, False
        if lengths and not re.fullmatch(rb"[0-9]{1,19}", lengths[0]):
            return messages, True, False
        length = int(lengths[0]) if lengths else 0
        whole = length if layout.strip is None else size + length
        if not layout.minimum <= whole <= layout.maximum:
            return messages, True, False
        if len(body) < length:
            return messages, False, True
        messages.append(body[:length] if layout.strip is None else stream[: size + length])
        stream = body[length:]
    return messages, False, False


@given(data=st.data())
@relaxed
def test_streams_with_header_lines(data: st.DataObject) -> None:
    minimum = data.draw(st.sampled_from([0, 0, 1]))
    strip = data.draw(st.sampled_from([None, 0]))
    layout = HeaderLines(
        "Len",
        strip=strip,
        start_line=strip == 0 and data.draw(st.booleans()),
        required=data.draw(st.booleans()),
        minimum=minimum,
        maximum=data.draw(st.integers(minimum, 40) | st.just(DEFAULT_MAXIMUM)),
        maximum_header=data.draw(st.integers(27, 50) | st.just(8192)),
    )
    pieces = st.sampled_from(
        [
            *(
                b"Len: 3\r\n\r\nabc",
                b"Len: 0\r\n\r\n",
                b"len:11\r\nOther: Len: 5\r\n\r\nhello world",
            ),
            *(
                b"Len: 3\r\n",
                b"GET / HTTP/1.1\r\n",
                b"Other:\r\n",
                b"\r\n",
                b"\r\n\r\n",
                b"Len",
                b":",
            ),
            *(
                b"Len: +3\r\n\r\n",
                b"Len : 3\r\n\r\nabc",
                b" folded\r\n",
                b"\r",
                b"\n",
                b"3",
                b"\xff",
            ),
            *(b"X: 12345678901234567890\r\n", b"Len: 12345678901234567890\r\n\r\n"),
        ]
    )
    stream = b"".join(data.draw(st.lists(pieces, max_size=8)))
    messages, fault, unfinished = read_header_lines(layout, stream)
    reading = read(layout, [stream])
    assert reading.frames == messages
    if not unfinished:
        assert (reading.fault is not None) == fault
        assert reading.pending == 0
    if reading.fault:
        # What came was at fault already: nothing that could follow makes a frame of it.
        for more in (b"\r\n", b"\r\n\r\n", b":\r\n\r\n", b": 1\r\n\r\nx" + bytes(50)):
            after = read_header_lines(layout, stream + more)
            assert after[0][: len(messages)] == messages
            assert after[0] == messages
    for take in (feed, pour):
        assert read(layout, data.draw(splits(stream)), take) == reading
        single = [stream[place : place + 1] for place in range(len(stream))]
        assert read(layout, single, take) == reading
    for message in messages:
        if strip == 0:
            assert layout.encode(message) == message
        else:
            assert read(layout, [layout.encode(message)]).frames == [message]


# Faults, told as soon as they are known.

FAULTS = [
    pytest.param(
        Delimited(b"\r\n", maximum=5),
        b"abcdef",
        FrameTooLargeError,
        r"a message is over the limit of 5 bytes: no b'\r\n' came within them",
        id="no-delimiter",
    ),
    pytest.param(
        Delimited(b"\r\n", maximum=5),
        b"abcde\ra",
        FrameTooLargeError,
        r"a message is over the limit of 5 bytes: no b'\r\n' came within them",
        id="half-a-delimiter",
    ),
    pytest.param(
        Delimited(b"\n", minimum=2),
        b"a\n",
        FrameTooSmallError,
        "a message of 1 bytes is below the minimum of 2 bytes",
        id="too-small",
    ),
    pytest.param(
        MLLP,
        b"G",
        MagicError,
        r"a frame begins with b'G', but every frame of this layout begins with b'\x0b'",
        id="start",
    ),
    pytest.param(
        Delimited(b"\n", start=b"$GP"),
        b"$GX",
        MagicError,
        "a frame begins with b'$GX', but every frame of this layout begins with b'$GP'",
        id="longer-start",
    ),
    pytest.param(
        LSP,
        b"GET ",
        MalformedLengthError,
        "line 1 of the header has b' ' after b'GET', where a header line goes on with its name, "
        "or with a colon behind it",
        id="http",
    ),
    pytest.param(
        LSP,
        b"Content-Type: a\r\n{",
        MalformedLengthError,
        "line 2 of the header has b'{' after b'', where a header line goes on with its name, or "
        "with a colon behind it",
        id="second-line",
    ),
    pytest.param(
        LSP,
        b":",
        MalformedLengthError,
        "line 1 of the header has b':' after b'', where a header line goes on with its name, or "
        "with a colon behind it",
        id="no-name",
    ),
    pytest.param(
        LSP,
        b"Content-Length: 2\n",
        MalformedLengthError,
        "line 1 of the header ends in a line feed without a carriage return before it",
        id="line-feed",
    ),
    pytest.param(
        LSP,
        b"Content-Length: 2\r\nContent-length: 2\r\n",
        MalformedLengthError,
        "line 2 of the header gives Content-Length a second time",
        id="twice",
    ),
    pytest.param(
        LSP,
        b"Content-Length: +2\r\n",
        MalformedLengthError,
        "line 1 of the header gives Content-Length as b'+2', which is not a number of 1 to 19 "
        "digits",
        id="sign",
    ),
    pytest.param(
        LSP,
        b"Content-Length: 00000000000000000002\r\n",
        MalformedLengthError,
        "line 1 of the header gives Content-Length as b'00000000000000000002', which is not a "
        "number of 1 to 19 digits",
        id="twenty-digits",
    ),
    pytest.param(
        LSP, b"A: 1\r\n\r\n", MalformedLengthError, "a header without Content-Length", id="without"
    ),
    pytest.param(
        HeaderLines(maximum=10),
        b"Content-Length: 11\r\n\r\n",
        FrameTooLargeError,
        "Content-Length 11 is over the limit of 10 bytes",
        id="large",
    ),
    pytest.param(
        HeaderLines(minimum=2),
        b"Content-Length: 1\r\n\r\n",
        FrameTooSmallError,
        "Content-Length 1 is below the minimum of 2 bytes",
        id="small",
    ),
    pytest.param(
        HeaderLines(strip=0, maximum=25),
        b"Content-Length: 5\r\n\r\n",
        FrameTooLargeError,
        "Content-Length 5 makes a message of 26 bytes, which is over the limit of 25 bytes",
        id="large-with-header",
    ),
    pytest.param(
        HeaderLines(maximum_header=40),
        b"X: " + b"a" * 37,
        FrameTooLargeError,
        "the header is over the limit of 40 bytes: no empty line came within them",
        id="header",
    ),
    pytest.param(
        HeaderLines(maximum_header=40, start_line=True, strip=0),
        b"X: " + b"a" * 35 + b"\r\n",
        FrameTooLargeError,
        "the header is over the limit of 40 bytes: no empty line came within them",
        id="header-line",
    ),
]


@pytest.mark.parametrize(("layout", "bad", "kind", "words"), FAULTS)
def test_faults(layout: FrameLayout, bad: bytes, kind: type[FramingError], words: str) -> None:
    """The last byte brings the fault, and none before it; whole frames are not lost."""
    message = b"abc" if not isinstance(layout, HeaderLines) or layout.strip is None else None
    good = layout.encode(message) if message else b""
    if isinstance(layout, HeaderLines) and len(good) - 3 > layout.maximum_header:
        good = b""
    frames = [message] if good else []
    reading = read_at_every_split(layout, good + bad)
    assert reading.frames == frames
    assert reading.fault == (kind, words)
    assert reading.pending == reading.frame_size == 0
    before = read(layout, [good + bad[:-1]])
    assert before.fault is None
    assert before.pending == len(bad) - 1
    assert read(layout, [good + bad + b"anything\r\n"]).fault == reading.fault


def test_half_a_delimiter_is_no_fault_yet() -> None:
    layout = Delimited(b"\r\n", maximum=5)
    assert read_at_every_split(layout, b"abcde\r\nfghij\r").frames == [b"abcde"]
    assert read_at_every_split(layout, b"abcd\r\r\n").frames == [b"abcd\r"]
    nothing = Delimited(b"aab", start=b"a", maximum=0)
    assert read_at_every_split(nothing, b"aaab").frames == [b""]
    assert read_at_every_split(nothing, b"aa").fault is None


# The end of a stream.


@pytest.mark.parametrize(
    ("layout", "stream", "words", "received", "size"),
    [
        (
            MLLP,
            b"\x0bone\x1c\r\x0bt\x1c",
            r"inside frame 2: 3 bytes of it came, and its delimiter b'\x1c\r' did not",
            3,
            0,
        ),
        (
            LINES,
            b"o",
            r"inside frame 1: 1 byte of it came, and its delimiter b'\n' did not",
            1,
            0,
        ),
        (
            LSP,
            b"Content-Length: 8\r\n\r\n{}",
            "the stream ends inside frame 1: 23 of its 29 bytes came, 6 are missing",
            23,
            29,
        ),
        (
            LSP,
            b"Content-Length: 0\r\n\r\nContent",
            "the stream ends inside frame 2: 7 bytes of it came, which do not tell its size",
            7,
            0,
        ),
    ],
)
def test_the_end_inside_a_frame(
    layout: FrameLayout, stream: bytes, words: str, received: int, size: int
) -> None:
    decoder = layout.decoder()
    decoder.finish()
    decoder.feed(stream)
    with pytest.raises(IncompleteFrameError, match=re.escape(words)) as caught:
        decoder.finish()
    assert (caught.value.received, caught.value.size) == (received, size)


def test_the_end_between_frames() -> None:
    for layout in (LINES, MLLP, LSP):
        decoder = layout.decoder()
        decoder.feed(layout.encode(b"whole"))
        decoder.finish()


# What it costs.


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize(
    ("layout", "stream"),
    [
        (Delimited(b"\r\n"), (b"a" * 20_000 + b"\r\n") * 2),
        (Delimited(b"\r\n"), b"\r" * 20_000 + b"\r\n"),
        (Delimited(b"ab" * 8 + b"c", start=b"ab"), b"ab" * 10_000 + b"c"),
        (
            HeaderLines(maximum_header=30_000),
            b"X: " + b"a" * 20_000 + b"\r\nContent-Length: 0\r\n\r\n",
        ),
        (HeaderLines(maximum_header=30_000), b"A" * 20_000 + b": 1\r\nContent-Length: 0\r\n\r\n"),
        (HeaderLines(maximum_header=30_000), b"A:\r\n" * 5000 + b"Content-Length: 0\r\n\r\n"),
        (LSP, LSP.encode(bytes(20_000))),
        (RTSP, b"A\r\nContent-Length: 20000\r\n\r\n" + bytes(20_000)),
    ],
)
def test_work_is_linear_however_the_stream_is_split(
    monkeypatch: pytest.MonkeyPatch, layout: FrameLayout, stream: bytes, step: int
) -> None:
    touched = Touched()
    monkeypatch.setattr(text, "bytearray", touched.kind, raising=False)
    pieces = [stream[place : place + step] for place in range(0, len(stream), step)]
    assert len(read(layout, pieces).frames) >= 1
    # At most the delimiter's length for each byte that comes alone.
    assert touched.bytes < len(stream) * 40


@pytest.mark.parametrize(
    ("layout", "head"),
    [
        (LINES, b""),
        (LSP, b"Content-Length: 16000000\r\n\r\n"),
        (RTSP, b"A\r\nContent-Length: 16000000\r\n\r\n"),
    ],
)
def test_memory_follows_what_came(layout: FrameLayout, head: bytes) -> None:
    chunk = bytes(1000)
    tracemalloc.start()
    try:
        decoder = layout.decoder()
        decoder.feed(head)
        assert tracemalloc.get_traced_memory()[1] < 10_000
        for _ in range(100):
            decoder.feed(chunk)
        assert decoder.pending == len(head) + 100_000
        assert tracemalloc.get_traced_memory()[1] < 300_000
        with pytest.raises(IncompleteFrameError):
            decoder.finish()
    finally:
        tracemalloc.stop()


def test_a_fault_frees_what_was_held() -> None:
    layout = Delimited(b"\n", maximum=1_000_000)
    tracemalloc.start()
    try:
        decoder = layout.decoder()
        decoder.feed(bytes(1_000_000))
        with pytest.raises(FrameTooLargeError):
            decoder.feed(b"a")
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


# The layouts themselves.


def wrong(value: object) -> Any:
    """A parameter of another type than it has to be, which no type checker is to see."""
    return value


def test_limits() -> None:
    for layout in (LINES, LSP):
        assert (layout.minimum, layout.maximum) == (0, DEFAULT_MAXIMUM)
        assert layout.limited(DEFAULT_MAXIMUM) is layout
        narrow = layout.limited(10)
        assert narrow.maximum == 10
        assert narrow.limited(20) is narrow
        assert type(narrow) is type(layout)
    with pytest.raises(ConfigurationError, match="minimum is 5, over the maximum of 4"):
        Delimited(b"\n", minimum=5).limited(4)


@pytest.mark.parametrize("layout", [LINES, MLLP, LSP, RTSP])
def test_copies_and_pickles_are_equal(layout: FrameLayout) -> None:
    _ = layout.encoder
    for other in (copy.deepcopy(layout), pickle.loads(pickle.dumps(layout))):
        assert other == layout
        assert hash(other) == hash(layout)
        assert "encoder" not in vars(other)
    for codec in (layout.decoder(), layout.encoder):
        with pytest.raises(TypeError, match="cannot be copied or pickled"):
            pickle.dumps(codec)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Delimited(b""), "delimiter must have a byte at least"),
        (lambda: Delimited(wrong("\n")), "delimiter must be bytes, not '\\n'"),
        (lambda: Delimited(b"\n", start=wrong(None)), "start must be bytes, not None"),
        (lambda: Delimited(bytes(65)), "delimiter must have at most 64 bytes, not 65"),
        (lambda: Delimited(b"\n", maximum=wrong(None)), "maximum must be an int, not None"),
        (lambda: Delimited(b"\n", minimum=-1), "minimum must be 0 to "),
        (lambda: HeaderLines("Content Length"), "no header line can be called 'Content Length'"),
        (lambda: HeaderLines("Länge"), "no header line can be called 'Länge'"),
        (lambda: HeaderLines(""), "no header line can be called ''"),
        (lambda: HeaderLines(wrong(b"Length")), "length must be the name of a line, not b'Length'"),
        (lambda: HeaderLines(strip=1), "strip must be 0 to 0, not 1"),
        (lambda: HeaderLines(start_line=True), "start_line=True needs strip=0"),
        (lambda: HeaderLines(required=wrong(1)), "required must be a bool, not 1"),
        (lambda: HeaderLines(maximum_header=20), "maximum_header must be 38 to 1048576, not 20"),
    ],
)
def test_senseless_parameters(make: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        make()


def test_a_message_that_cannot_be_sent_is_an_error_of_its_own() -> None:
    assert issubclass(errors.MessageFormatError, ValueError)
