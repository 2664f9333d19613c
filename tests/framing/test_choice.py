"""Layouts that are chosen frame by frame."""

from __future__ import annotations

import copy
import re
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

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
    MagicError,
    MessageFormatError,
    MessageTooLargeError,
)
from sealframe.framing import (
    DEFAULT_MAXIMUM,
    NATIVE,
    Choice,
    Delimited,
    FrameLayout,
    Framing,
    HeaderLines,
    Sized,
)

from .any_split import read, read_at_every_split, splits
from .readings import feed, pour

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("stepping_backend")

relaxed = settings(max_examples=examples(200), deadline=None)

DATA = Framing(offset=2, width=2, byteorder="big", strip=0)
TEXT = HeaderLines(start_line=True, required=False, strip=0)
RTSP = Choice(lambda head: DATA if head == b"$" else TEXT, head=1)

FIXED = Sized(lambda _: 3, head=2)
SHORT = Framing(width=1, offset=1, strip=0)
LINE = Delimited(b"\n")
LAYOUTS = {b"a:": FIXED, b"b:": SHORT, b"c:": LINE, b"d:": TEXT}
FOUR = Choice(LAYOUTS.get, head=2)

REQUEST = b"OPTIONS * RTSP/1.0\r\nCSeq: 2\r\n\r\n"
ANSWER = b"RTSP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"
BLOCK = b"$\0\0\3abc"


def test_both_in_turn() -> None:
    messages = [BLOCK, REQUEST, BLOCK, BLOCK, ANSWER, REQUEST]
    stream = RTSP.encode_many(messages)
    assert stream == b"".join(messages)
    assert read_at_every_split(RTSP, stream).frames == messages


def read_plainly(layout: Choice, stream: bytes) -> tuple[list[Any], bool]:
    """Cut each frame with a new decoder of its layout, which gets byte after byte."""
    messages: list[Any] = []
    while len(stream) >= layout.head_size:
        chosen = layout.next_layout(stream[: layout.head_size])
        if chosen is None:
            return messages, True
        decoder = chosen.limited(min(chosen.maximum, layout.maximum)).decoder()
        for place in range(len(stream)):
            try:
                found = decoder.feed(stream[place : place + 1])
            except FramingError:
                return messages, True
            if found:
                if len(found[0]) < layout.minimum:
                    return messages, True
                messages += found
                stream = stream[place + 1 :]
                break
        else:
            break
    return messages, False


@given(data=st.data())
@relaxed
def test_any_streams(data: st.DataObject) -> None:
    minimum = data.draw(st.sampled_from([0, 0, 3]))
    layout = Choice(
        LAYOUTS.get,
        head=2,
        minimum=minimum,
        maximum=data.draw(st.integers(4, 30) | st.just(DEFAULT_MAXIMUM)),
    )
    frames = st.sampled_from(
        [
            *(b"a:x", b"a:y", b"b:", b"b:\0", b"b:\3xyz", b"c:\n", b"c:line\n"),
            *(b"d:\r\n\r\n", b"d:\r\nContent-Length: 2\r\n\r\nok", b"d", b":", b"e:", b"\n"),
        ]
    )
    stream = b"".join(data.draw(st.lists(frames, max_size=9)))
    messages, fault = read_plainly(layout, stream)
    reading = read(layout, [stream])
    assert reading.frames == messages
    assert (reading.fault is not None) == fault
    single = [stream[place : place + 1] for place in range(len(stream))]
    for take in (feed, pour):
        assert read(layout, data.draw(splits(stream)), take) == reading
        assert read(layout, single, take) == reading
    for message in messages:
        if len(message) >= 2:
            again = layout.encode(message)
            assert read(layout, [again]).frames == [message]


@pytest.mark.parametrize(
    ("layout", "bad", "kind", "words"),
    [
        (FOUR, b"x:", MagicError, "no layout is there for a frame that begins with b'x:'"),
        (
            FOUR.limited(9),
            b"c:34567890",
            FrameTooLargeError,
            r"a message is over the limit of 9 bytes: no b'\n' came within them",
        ),
        (
            Choice(lambda _: Framing(width=1, minimum=20), 1, maximum=10),
            b"\0",
            FrameTooLargeError,
            "a message of 20 bytes at least is over the limit of 10 bytes",
        ),
        (
            Choice(LAYOUTS.get, 2, minimum=4),
            b"a:x",
            FrameTooSmallError,
            "a message of 3 bytes is below the minimum of 4 bytes",
        ),
    ],
)
def test_faults(layout: Choice, bad: bytes, kind: type[FramingError], words: str) -> None:
    good = b"c:5678\n" if layout.head_size == 2 else b""
    reading = read_at_every_split(layout, good + bad)
    assert reading.fault == (kind, words)
    assert reading.frames == ([good[:-1]] if good else [])
    assert read(layout, [good + bad[:-1]]).fault is None


@pytest.mark.parametrize(
    ("layout", "message", "words"),
    [
        (FOUR, b"x:12", "no layout is there for a message that begins with b'x:'"),
        (FOUR, b"a", "no layout is there for a message that begins with b'a'"),
        (FOUR, b"a:12", "has 4 bytes, but the frame that it begins with has 3"),
        (
            Choice({b"h": Framing(width=1), b"\1": LINE}.get, head=1),
            b"h",
            r"the message begins with b'h' and its frame with b'\x01'",
        ),
    ],
)
def test_messages_that_cannot_be_sent(layout: Choice, message: bytes, words: str) -> None:
    for call in (layout.encode, lambda m: layout.encoder.pack([m])):
        with pytest.raises(MessageFormatError, match=re.escape(words)):
            call(message)


def test_sizes_of_what_is_sent() -> None:
    with pytest.raises(MessageTooLargeError):
        FOUR.limited(9).encode(b"c:34567890")
    assert FOUR.encode(b"c:345678") == b"c:345678\n"


def test_the_end_inside_a_frame() -> None:
    for stream, words in [
        (b"c:\nb", "frame 2: 1 byte of it came, which do not tell its size"),
        (b"c:\nc:\na:", "frame 3: 2 of its 3 bytes came, 1 are missing"),
    ]:
        decoder = FOUR.decoder()
        decoder.feed(stream)
        with pytest.raises(IncompleteFrameError, match=words):
            decoder.finish()


def test_no_decoder_is_made_for_each_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    original = Sized.decoder

    def decoder(self: Sized, **options: Any) -> Any:
        made.append(self)
        return original(self, **options)

    monkeypatch.setattr(Sized, "decoder", decoder)
    assert len(FOUR.decoder().feed(b"a:xc:\n" * 1000)) == 2000
    assert made == [FIXED]


def test_the_function_is_asked_once_about_what_begins_alike() -> None:
    asked = []

    def next_layout(head: bytes) -> FrameLayout | None:
        asked.append(head)
        return LAYOUTS.get(head)

    decoder = Choice(next_layout, head=2).decoder()
    assert len(decoder.feed(b"a:xc:\n" * 1000)) == 2000
    assert asked == [b"a:", b"c:"]


@pytest.mark.parametrize("size", [2, 17])
def test_what_is_remembered_of_beginnings_is_bounded(size: int) -> None:
    pairs = Sized(lambda _: size, size)
    stream = b"".join(number.to_bytes(size, "big") for number in range(5000))
    decoder = Choice(lambda _: pairs, head=size).decoder()
    tracemalloc.start()
    try:
        decoder.feed(stream)
        assert tracemalloc.get_traced_memory()[0] < 30_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9])
def test_many_beginnings_in_turn(size: int) -> None:
    """Each with the layout that was chosen for it, however many there are."""
    layouts = [Framing(offset=size, width=width, strip=0) for width in (1, 2, 3)]
    layouts.append(Framing(offset=size, width=2, byteorder="big", strip=0, minimum=4))
    heads = [bytes([40 * number]) * size for number in range(6)]
    heads += [bytes([number]) + bytes(size - 1) for number in range(1, 70)]
    chosen = {head: layouts[sum(head) % 4] for head in heads}
    decoder = Choice(chosen.get, head=size).decoder()
    for turn in range(3):
        messages = [
            head + bytes(size + 3)[size:] + bytes([turn, number])
            for number, head in enumerate([*heads, *heads[:20], heads[0], heads[0]])
        ]
        frames = [chosen[message[:size]].encode(message) for message in messages]
        assert decoder.feed(b"".join(frames)) == frames


def test_a_fault_of_a_layout_that_was_chosen_before() -> None:
    """It is found, and told, as in the first frame."""
    limited = Framing(offset=1, width=1, strip=0, maximum=6)
    layout = Choice({b"a": limited}.get, head=1, minimum=3)
    for bad, words in ((b"a\x09", "over the limit of 6"), (b"a\0", "below the minimum of 3")):
        for before in (0, 2):
            with pytest.raises(FramingError, match=words) as caught:
                layout.decoder().feed(b"a\1!" * before + bad)
            assert caught.value.frames == [b"a\1!"] * before


@pytest.mark.parametrize("stop", [0, 9])
def test_a_decoder_that_stops_where_it_cannot(stop: int) -> None:
    """It is a program's own, so what it says is not relied on."""

    class Own(Delimited):
        def decoder(self, **options: Any) -> Any:
            stops = iter([stop])

            class Decoder:
                pending = frame_size = 0

                def advance(self, data: bytes, place: int, frames: list[bytes]) -> int:
                    return next(stops)

            return Decoder()

    own = Own(b"\n")
    decoder = Choice(lambda _: own, head=1).decoder()
    with pytest.raises(RuntimeError, match=rf"advance\(\) began at 0 and returned {stop}; it has"):
        decoder.feed(b"abc")


def test_layouts_that_are_made_for_each_frame_do_not_pile_up() -> None:
    alive = 0

    class Counted(Delimited):
        def __init__(self) -> None:
            nonlocal alive
            alive += 1
            super().__init__(b"\n")

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    # Each begins otherwise: what is chosen for a beginning that is known is not asked for again.
    decoder = Choice(lambda _: Counted(), head=4).decoder()
    assert len(decoder.feed(b"".join(b"%04d\n" % number for number in range(1000)))) == 1000
    assert alive <= 65


def test_a_frame_that_ends_inside_what_it_was_chosen_by() -> None:
    """Its peer would decide which bytes of the next frame are lost."""
    lines = Delimited(b"\n")
    layout = Choice(lambda head: lines, head=4)
    stream = b"abc\nab\ncdef\n"
    for pieces in ([stream], [stream[:6], stream[6:]], [bytes([byte]) for byte in stream]):
        reading = read(layout, pieces)
        assert reading.frames == [b"abc"]
        assert reading.fault == (
            FrameTooSmallError,
            "a frame of 3 bytes, but 4 bytes tell which layout a frame has",
        )


def test_a_message_whose_frame_is_too_short_to_be_chosen_by_is_not_sent() -> None:
    pairs = Sized(lambda head: 2, 2)
    with pytest.raises(MessageFormatError, match="a frame of 2 bytes, but 4 bytes tell"):
        Choice(lambda head: pairs, head=4).encode(b"ab")


def test_a_function_that_returns_something_else() -> None:
    decoder = Choice(lambda _: b"no layout", head=1).decoder()  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="next_layout must return a layout, as Framing"):
        decoder.feed(b"x")
    with pytest.raises(FramingError, match="the decoder was left by TypeError"):
        decoder.feed(b"x")
    with pytest.raises(ConfigurationError, match="a layout with control frames cannot be one of"):
        Choice(lambda _: NATIVE, head=1).decoder().feed(b"x")


def test_each_byte_of_a_large_frame_is_handed_on_once() -> None:
    """However the stream is split: what is fed to the part's decoder is counted."""
    fed = 0

    class Counting(Framing):
        def decoder(self, **options: Any) -> Any:
            real = super().decoder(**options)

            class Decoder:
                @property
                def pending(self) -> int:
                    return real.pending

                @property
                def frame_size(self) -> int:
                    return real.frame_size

                def feed(self, data: bytes) -> Any:
                    nonlocal fed
                    fed += len(data)
                    return real.feed(data)

            return Decoder()

    part: FrameLayout = Counting(width=4, offset=1, strip=0)
    stream = part.encode(b"x" + bytes(4) + bytes(20_000)) * 2
    for step in (1, 7, 1000, len(stream)):
        fed = 0
        decoder = Choice(lambda _: part, head=1).decoder()
        for place in range(0, len(stream), step):
            decoder.feed(stream[place : place + step])
        assert decoder.pending == 0
        assert fed == len(stream)


def test_the_layout_itself() -> None:
    assert (FOUR.minimum, FOUR.maximum) == (0, DEFAULT_MAXIMUM)
    assert FOUR.limited(DEFAULT_MAXIMUM) is FOUR
    assert repr(FOUR.limited(99)).endswith(", head=2, maximum=99)")
    _ = FOUR.encoder
    assert copy.copy(FOUR) == FOUR
    assert replace(FOUR) == FOUR
    assert replace(FOUR, minimum=1) == Choice(FOUR.next_layout, 2, minimum=1)
    wrong: Any = LAYOUTS
    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: Choice(wrong, 2), "next_layout must be a function"),
        (lambda: Choice(LAYOUTS.get, 0), "head must be 1 to 1024, not 0"),
        (lambda: Choice(LAYOUTS.get, 1, minimum=2, maximum=1), "minimum is 2, over the maximum"),
    ]
    for make, words in cases:
        with pytest.raises(ConfigurationError, match=words):
            make()
