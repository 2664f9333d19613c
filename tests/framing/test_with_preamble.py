"""What a stream begins with, in both directions."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest
from example_counts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from sealframe.errors import (
    ConfigurationError,
    FrameTooLargeError,
    IncompleteFrameError,
    MagicError,
    MessageTooLargeError,
)
from sealframe.framing import NATIVE, Delimited, Framing, Sender, WithPreamble

from .any_split import read, read_at_every_split, splits
from .readings import feed, pour

relaxed = settings(max_examples=examples(150), deadline=None)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAMES = Framing(width=3, byteorder="big", adjustment=6, strip=0)
HTTP2 = WithPreamble(FRAMES, client=PREFACE)
AMQP = WithPreamble(Framing(byteorder="big"), client=b"AMQP\0\0\t\1", server=b"AMQP\0\1\0\0")
BOTH = WithPreamble(Framing(width=1), client=b"hi", server=b"hi")

TYPED = Framing(offset=1, width=4, byteorder="big", adjustment=-4, strip=0, minimum=5)
START = Framing(width=4, byteorder="big", includes_header=True, strip=0, maximum=10_000)
POSTGRESQL = WithPreamble(TYPED, client=START)
STARTED = b"\0\0\0\x09start"
QUERY = b"Q\0\0\0\x07sel"


def test_fixed_bytes_are_checked_and_are_no_message() -> None:
    frame = b"\0\0\2\4\0\0\0\0\0hi"
    assert HTTP2.preamble("client") == PREFACE
    assert HTTP2.preamble("server") == b""
    reading = read_at_every_split(HTTP2, PREFACE + frame * 2, sender="client")
    assert reading.frames == [frame, frame]
    assert read_at_every_split(HTTP2, frame * 2, sender="server").frames == [frame, frame]
    assert HTTP2.new_encoder(sender="client").encode_many([frame, frame]) == frame * 2


@pytest.mark.parametrize("sender", ["client", "server"])
def test_both_ends(sender: Sender) -> None:
    preamble = AMQP.preamble(sender)
    reading = read_at_every_split(AMQP, preamble + AMQP.encode(b"frame"), sender=sender)
    assert reading.frames == [b"frame"]
    other = AMQP.preamble("server" if sender == "client" else "client")
    reading = read_at_every_split(AMQP, other + b"anything", sender=sender)
    assert reading.fault is not None
    kind, words = reading.fault
    assert kind is MagicError
    assert words == (
        f"the stream begins with {other[:6]!r}, but that of the {sender} begins with {preamble!r} "
        "in this layout"
    )


def test_both_ends_alike_need_no_name() -> None:
    assert read_at_every_split(BOTH, b"hi\1a\1b").frames == [b"a", b"b"]
    assert BOTH.preamble("client") == BOTH.preamble("server") == b"hi"
    assert BOTH.new_encoder().encode(b"a") == b"\1a"
    assert read(BOTH, [b"ho"]).fault == (
        MagicError,
        "the stream begins with b'ho', but that of either end begins with b'hi' in this layout",
    )


def test_the_first_wrong_byte_tells() -> None:
    decoder = HTTP2.decoder(sender="client")
    assert decoder.feed(b"PRI") == []
    assert (decoder.pending, decoder.frame_size, decoder.prefix) == (3, 24, b"PRI")
    with pytest.raises(MagicError, match=re.escape("the stream begins with b'PRIX', but")):
        decoder.feed(b"X anything else")
    with pytest.raises(MagicError):
        decoder.get_buffer()
    assert decoder.prefix == b"PRIX any"


def test_a_first_frame_of_another_layout() -> None:
    stream = STARTED + QUERY * 2
    assert read_at_every_split(POSTGRESQL, stream, sender="client").frames == [
        STARTED,
        QUERY,
        QUERY,
    ]
    assert read_at_every_split(POSTGRESQL, QUERY * 2, sender="server").frames == [QUERY, QUERY]
    assert POSTGRESQL.preamble("client") == b""
    messages = [b"\0\0\0\0start", b"Q\0\0\0\0sel"]
    for call in (
        lambda encoder: b"".join(map(encoder.encode, messages)),
        lambda encoder: encoder.encode_many([]) + encoder.encode_many(messages),
        lambda encoder: b"".join(encoder.pack([]) + encoder.pack(messages)),
    ):
        encoder = POSTGRESQL.new_encoder(sender="client")
        assert call(encoder) == STARTED + QUERY
        assert encoder.encode_many([QUERY]) == QUERY
    assert POSTGRESQL.new_encoder(sender="server").encode(QUERY) == QUERY
    assert POSTGRESQL.encode(QUERY) == QUERY


def test_a_first_message_that_is_refused_is_still_to_come() -> None:
    encoder = POSTGRESQL.new_encoder(sender="client")
    for call in (
        encoder.encode,
        lambda m: encoder.pack([m, QUERY]),
        lambda m: encoder.encode_many([m]),
    ):
        with pytest.raises(MessageTooLargeError):
            call(bytes(10_001))
    with pytest.raises(Exception, match="below the minimum"):
        encoder.pack([STARTED, b"Q"])
    assert encoder.encode_many([STARTED, QUERY]) == STARTED + QUERY


def test_heads() -> None:
    layout = WithPreamble(Framing(width=1), client=Framing(width=2))
    encoder = layout.new_encoder(sender="client")
    assert [encoder.head(3), encoder.head(3)] == [b"\3\0", b"\3"]
    with pytest.raises(TypeError, match="cannot be copied or pickled"):
        pickle.dumps(encoder)


@given(data=st.data())
@relaxed
def test_any_streams(data: st.DataObject) -> None:
    """Byte after byte, by hand: the opening, and then what a decoder of the rest makes of it."""
    opening: Any = data.draw(
        st.sampled_from([b"ab", b"longer than eight", Delimited(b"\n", maximum=4)])
    )
    rest = data.draw(st.sampled_from([Framing(width=1, maximum=5), Delimited(b"\n")]))
    layout = WithPreamble(rest, server=opening)
    begin = opening if isinstance(opening, bytes) else data.draw(st.sampled_from([b"\n", b"one\n"]))
    if data.draw(st.integers(0, 3)) == 0:
        begin = data.draw(st.sampled_from([b"", b"a", b"longer than nine", b"aaaaa\n", begin[:-1]]))
    stream = begin + data.draw(st.binary(max_size=12) | st.just(b"\2hi\1\n\0"))
    first: list[bytes] = []
    size = 0
    if isinstance(opening, bytes):
        size = len(opening)
        wrong = not (stream.startswith(opening) or opening.startswith(stream))
        whole = len(stream) >= size
    else:
        line, newline, _ = stream.partition(b"\n")
        size = len(line) + 1
        wrong = len(line) > 4
        whole = bool(newline) and not wrong
        first = [line] if whole else []
    reading = read(layout, [stream], sender="server")
    if whole and not wrong:
        expected = read(rest, [stream[size:]])
        assert reading == expected._replace(frames=first + expected.frames)
    else:
        assert (reading.fault is not None) == wrong
        assert reading.frames == []
        assert reading.pending == (0 if wrong else len(stream))
    single = [stream[place : place + 1] for place in range(len(stream))]
    for take in (feed, pour):
        assert read(layout, data.draw(splits(stream)), take, sender="server") == reading
        assert read(layout, single, take, sender="server") == reading


def test_the_end_of_the_stream() -> None:
    for layout, stream, words in [
        (HTTP2, b"PRI * ", "ends inside its preamble: 6 of its 24 bytes came, 18 are missing"),
        (HTTP2, PREFACE + b"\0", "ends inside a frame: 1 byte of it came"),
        (POSTGRESQL, STARTED[:5], "inside frame 1: 5 of its 9 bytes came, 4 are missing"),
        (POSTGRESQL, STARTED[:3], "inside frame 1: 3 bytes of it came, which do not tell its size"),
        (POSTGRESQL, STARTED + QUERY[:6], "6 of its 8 bytes came, 2 are missing"),
    ]:
        decoder = layout.decoder(sender="client")
        decoder.finish()
        decoder.feed(stream)
        with pytest.raises(IncompleteFrameError, match=words) as caught:
            decoder.finish()
        assert caught.value.received == decoder.pending
        assert caught.value.size == decoder.frame_size
    decoder = HTTP2.decoder(sender="client")
    decoder.feed(PREFACE)
    decoder.finish()


def test_a_large_message_behind_the_preamble_has_its_own_memory() -> None:
    """The event loop reads into the buffers of the decoder behind it."""
    decoder = WithPreamble(Framing(), client=b"12345678").decoder(sender="client")
    decoder.feed(b"12345678" + (10**6).to_bytes(4, "little"))
    assert len(decoder.get_buffer()) == 65_536
    decoder.buffer_updated(65_536)
    assert (decoder.pending, decoder.frame_size) == (65_540, 1_000_004)


def test_faults_behind_the_preamble() -> None:
    layout = WithPreamble(Framing(width=1, maximum=5), client=b"12345678")
    reading = read_at_every_split(layout, b"12345678\1a\6", sender="client")
    assert reading.frames == [b"a"]
    assert reading.fault == (FrameTooLargeError, "length 6 is over the limit of 5 bytes")


def test_limits() -> None:
    assert (POSTGRESQL.minimum, POSTGRESQL.maximum) == (4, 16 * 1024 * 1024)
    assert POSTGRESQL.limited(POSTGRESQL.maximum) is POSTGRESQL
    narrow = POSTGRESQL.limited(5000)
    assert narrow.maximum == 5000
    assert isinstance(narrow.client, Framing)
    assert (narrow.client.maximum, narrow.layout.maximum) == (5000, 5000)
    assert POSTGRESQL.limited(20_000).client is START
    assert HTTP2.limited(100).client == PREFACE


def test_whose_bytes_has_to_be_said() -> None:
    for sender in (None, "both", 1):
        unknown: Any = sender
        for call in (HTTP2.decoder, HTTP2.new_encoder):
            with pytest.raises(ConfigurationError, match="say whose bytes they are"):
                call(sender=unknown)
    with pytest.raises(ConfigurationError):
        HTTP2.preamble("neither")  # type: ignore[arg-type]


def test_the_layout_itself() -> None:
    _ = POSTGRESQL.encoder
    for other in (copy.copy(POSTGRESQL), pickle.loads(pickle.dumps(POSTGRESQL))):
        assert other == POSTGRESQL
        assert hash(other) == hash(POSTGRESQL)
    assert repr(HTTP2).startswith("WithPreamble(layout=Framing(")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"layout": b"x"}, "layout must be a layout"),
        ({"client": "text"}, "client must be bytes, a layout or None"),
        ({"server": b""}, "server must have a byte at least"),
        ({"layout": HTTP2}, "cannot be part of another; put the bytes together"),
        ({"layout": NATIVE}, "a layout with control frames has no preamble"),
    ]
    for options, words in cases:
        parameters: Any = {"layout": FRAMES, **options}
        with pytest.raises(ConfigurationError, match=re.escape(words)):
            WithPreamble(**parameters)
