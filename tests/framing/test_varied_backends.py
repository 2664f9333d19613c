"""The two codecs for layouts of all kinds, compiled and pure, side by side.

The invariants. For each layout and each stream of bytes, well formed or not:

1. Both give the same after each call: messages, error, what is pending.
2. So they do one frame at a time.
"""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from compiled import compiled
from example_counts import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealframe.errors import (
    ConfigurationError,
    FramingError,
    IncompleteFrameError,
    SealframeError,
    TrailerError,
)
from sealframe.framing import (
    Bcd,
    Ber,
    Checksum,
    Choice,
    Delimited,
    Digits,
    Escaped,
    Framing,
    Sized,
    Varint,
    _stepping_py,
    _varied_py,
    varied_encoder,
)

from .any_split import splits
from .readings import feed, pour
from .slow_reading import read_frame
from .varied import carried, varied_framings, varied_streams

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

relaxed = settings(
    max_examples=examples(200),
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)

NETSTRING = Framing(length=Digits(until=b":"), trailer=b",")
SUMMED = Framing(width=2, checksums=(Checksum(4, zlib.crc32),))


@pytest.fixture(params=["c", "python"])
def varied(request: pytest.FixtureRequest) -> ModuleType:
    """Each in turn."""
    return compiled("framing._varied") if request.param == "c" else _varied_py


@pytest.fixture(scope="module")
def c_varied() -> ModuleType:
    return compiled("framing._varied")


def seen(
    decoder: Any, data: bytes, take: Callable[[Any, bytes], list[Any]] = feed
) -> tuple[Any, ...]:
    """All that can be seen of one call."""
    fault: tuple[type[Exception], str] | None = None
    end: tuple[type[Exception], str] | None = None
    try:
        frames = take(decoder, data)
    except FramingError as error:
        frames, fault = error.frames, (type(error), str(error))
    try:
        decoder.finish()
    except FramingError as error:
        end = type(error), str(error)
    return (
        frames,
        [type(frame) for frame in frames],
        fault,
        end,
        decoder.pending,
        decoder.frame_size,
        decoder.prefix,
        decoder.saw_control,
    )


@given(data=st.data())
@relaxed
def test_both_give_the_same(c_varied: ModuleType, data: st.DataObject) -> None:
    framing = data.draw(varied_framings())
    pieces = data.draw(splits(data.draw(varied_streams(framing))))
    if data.draw(st.booleans()):
        stream = b"".join(pieces)
        pieces = [stream[place : place + 1] for place in range(len(stream))]
    for take in (feed, pour):
        first, second = c_varied.Decoder(framing.plan), _varied_py.Decoder(framing.plan)
        for piece in pieces:
            assert seen(first, piece, take) == seen(second, piece, take)


@given(data=st.data())
@relaxed
def test_both_advance_alike(c_varied: ModuleType, data: st.DataObject) -> None:
    """One frame at a time, and none behind its end."""
    framing = data.draw(varied_framings())
    stream = data.draw(varied_streams(framing))
    whole = _varied_py.Decoder(framing.plan)
    expected = seen(whole, stream)
    pieces = data.draw(splits(stream))
    for backend in (c_varied, _varied_py):
        decoder = backend.Decoder(framing.plan)
        frames: list[Any] = []
        fault: tuple[type[Exception], str] | None = None
        for piece in pieces:
            place = 0
            while place < len(piece) and not fault:
                before = len(frames)
                try:
                    stop = decoder.advance(piece, place, frames)
                except FramingError as error:
                    fault = type(error), str(error)
                    break
                assert place < stop <= len(piece)
                assert len(frames) <= before + 1
                assert len(frames) > before or stop == len(piece)
                if len(frames) > before:
                    assert (decoder.pending, decoder.frame_size) == (0, 0)
                place = stop
        assert frames == expected[0]
        assert fault == expected[2]
        if not fault:
            assert (decoder.pending, decoder.frame_size) == expected[4:6]


LINES = Sized(lambda head: len(head) + len(head.strip()), head=9, until=b"\r\n")
TABLE = Sized(lambda head: 2 + head[1] if len(head) > 1 else None, head=(1, 3), maximum=40)
PARTS = {b"a": Framing(width=1, offset=1), b"b": LINES, b"c": Delimited(b"\n"), b"d": TABLE}
TOLD: list[tuple[Sized | Choice, list[bytes]]] = [
    (LINES, [b"ab\r\n??", b"\r\n", b"a\rb\r\n???"]),
    (TABLE, [b"a\3xyz", b"a\0", b"a\x26" + bytes(38)]),
    (Choice(PARTS.get, 1), [b"a\0", b"a\1!", b"bc\r\n??", b"c\n", b"cline\n", b"d\2ab"]),
    (Choice(PARTS.get, 1, minimum=2), [b"a\1!", b"bc\r\n??", b"cline\n", b"d\2ab"]),
    (Choice(lambda head: PARTS.get(head[:1]), 3), [b"a\1!", b"bc\r\n??", b"cline\n", b"d\0"]),
]


def attempt(call: Callable[..., Any], *arguments: object) -> Any:
    """What a call returned, or what it raised."""
    try:
        return call(*arguments)
    except (SealframeError, TypeError, BufferError) as error:
        return type(error), str(error)


@given(data=st.data())
@relaxed
def test_both_encode_alike(c_varied: ModuleType, data: st.DataObject) -> None:
    """Messages that fit and such that do not; also several, of which some do not."""
    framing = data.draw(varied_framings())
    payloads = carried(framing) | st.binary(max_size=30) | st.just(bytes(framing.minimum))
    several = data.draw(st.lists(payloads, min_size=1, max_size=4))
    first, second = c_varied.Encoder(framing.plan), varied_encoder.Encoder(framing.plan)
    for payload in several:
        assert attempt(first.encode, payload) == attempt(second.encode, bytearray(payload))
        size = data.draw(st.sampled_from([len(payload), -1, 0, 2**70]))
        assert attempt(first.head, size) == attempt(second.head, size)
    assert attempt(first.encode_many, several) == attempt(second.encode_many, several)
    assert attempt(first.pack, several) == attempt(second.pack, several)


def count(data: memoryview) -> int:
    return len(data)


ENCODED = [
    NETSTRING,
    Framing(length=Digits(3)),
    Framing(width=3, trailer=b"!", align=8),
    Framing(length=Varint(), checksums=Checksum(1, count, "head", "head")),
    SUMMED,
    Framing(offset=1, length=Varint(4), strip=0, maximum=300_000),
    Framing(offset=2, magic=b"ab", length=Ber(), trailer=b"\r\n"),
]


@pytest.mark.parametrize("number", range(len(ENCODED)))
def test_both_pack_large_messages_alike(c_varied: ModuleType, number: int) -> None:
    plan = ENCODED[number].plan
    large = b"\x30\0" + bytes(70_000)
    first, second = c_varied.Encoder(plan), varied_encoder.Encoder(plan)
    for several in ([large], [b"ab", large], [large, b"ab"], [large, large], [b"ab", large, b"ab"]):
        for given_as in (several, [*map(bytearray, several)]):
            packed = attempt(first.pack, given_as)
            assert packed == attempt(second.pack, several)
        for wrong in (1, "text", memoryview(b"abcd")[::2]):
            mixed = [*several, wrong, large]
            assert attempt(first.pack, mixed) == attempt(second.pack, mixed)
            assert attempt(first.encode_many, mixed) == attempt(second.encode_many, mixed)


@given(data=st.data())
@relaxed
def test_functions_that_tell_sizes_and_layouts(c_varied: ModuleType, data: st.DataObject) -> None:
    """Both backends give the same after each call, at any split."""
    layout, frames = data.draw(st.sampled_from(TOLD))
    rubbish = st.binary(max_size=4) | st.sampled_from([b"\r\n", b"7\r\n", bytes(30)])
    stream = b"".join(data.draw(st.lists(st.sampled_from(frames) | rubbish, max_size=6)))
    pieces = data.draw(splits(stream))
    if data.draw(st.booleans()):
        pieces = [stream[place : place + 1] for place in range(len(stream))]
    for take in (feed, pour):
        first = told_decoder(layout, c_varied, c_varied)
        second = told_decoder(layout, _stepping_py, _varied_py)
        for piece in pieces:
            assert seen(first, piece, take) == seen(second, piece, take)


def told_decoder(layout: Sized | Choice, module: ModuleType, parts: ModuleType) -> Any:
    if isinstance(layout, Sized):
        return module.SizedDecoder(
            layout.function, *layout.head_size, layout.until, layout.minimum, layout.maximum
        )

    def new_part(part: Any) -> Any:
        if isinstance(part, Sized):
            return told_decoder(part, module, parts)
        return parts.Decoder(part.plan) if isinstance(part, Framing) else part.decoder()

    return module.ChoiceDecoder(layout.next_layout, new_part, layout.head_size, layout.minimum)


@pytest.mark.parametrize("size", [16_384, 16_385, 70_000, 300_000])
@pytest.mark.parametrize(
    "framing",
    [
        NETSTRING,
        Framing(length=Digits(6), trailer=b"\r\n", align=8),
        Framing(offset=1, length=Varint(4), strip=0),
        Framing(width=4, strip=9, offset=2, magic=b"ab"),
        Framing(width=4, checksums=Checksum(4, zlib.crc32)),
    ],
    ids=["netstring", "padded", "kept-header", "cut-header", "summed"],
)
def test_large_messages_at_any_split(varied: ModuleType, framing: Framing, size: int) -> None:
    """They are read into their own memory, or kept until their checksum is there."""
    message = bytes(range(256)) * (size // 256 + 1)
    message = message[:size]
    if framing.strip == 0:
        message = read_frame(framing, framing.encode(b"\x30\0" + message[2:]))[0]
    frame = framing.encode(message)
    stream = frame * 2 + frame[:-1]
    for take in (feed, pour):
        for step in (1000, 4096, 65_536, 262_144, len(stream)):
            decoder = varied.Decoder(framing.plan)
            frames: list[Any] = []
            for place in range(0, len(stream), step):
                frames += take(decoder, stream[place : place + step])
            assert frames == [message, message]
            assert (decoder.pending, decoder.frame_size) == (len(frame) - 1, len(frame))
            if framing.trailer and framing.align == 1:
                with pytest.raises(TrailerError):
                    take(decoder, b"?")
            else:
                take(decoder, frame[-1:])
                assert decoder.pending == 0


def test_a_large_message_is_read_into_its_own_memory(c_varied: ModuleType) -> None:
    """What is exported then is that of the message, and a view that is kept keeps its memory."""
    decoder = c_varied.Decoder(NETSTRING.plan)
    decoder.feed(b"300000:" + b"a" * 1000)
    held = decoder.get_buffer()
    view = held[:5]
    assert 65_536 <= len(held) < 299_000
    held[:1000] = b"b" * 1000
    assert decoder.buffer_updated(1000) == []
    assert decoder.feed(b"c" * 298_000) == []
    view[:5] = b"wrong"
    (message,) = decoder.feed(b",")
    assert message == b"a" * 1000 + b"b" * 1000 + b"c" * 298_000 or message[1000:1005] == b"wrong"
    assert len(message) == 300_000


@pytest.mark.parametrize(
    "framing",
    [Framing(), Framing(width=3, byteorder="big"), Framing(width=1, offset=2, strip=0, maximum=99)],
)
@given(data=st.data())
@settings(max_examples=examples(50), deadline=None)
def test_plain_layouts_too(framing: Framing, data: st.DataObject) -> None:
    """They have a codec of their own, but a choice of layouts takes this one for them."""
    messages = data.draw(
        st.lists(st.binary(min_size=framing.minimum, max_size=min(framing.maximum, 60)), max_size=4)
    )
    pieces = data.draw(splits(framing.encode_many(messages) + data.draw(st.binary(max_size=6))))
    backends = [_varied_py] if "c" not in BUILT else [_varied_py, compiled("framing._varied")]
    for backend in backends:
        decoder, plain = backend.Decoder(framing.plan), framing.decoder()
        for piece in pieces:
            one = seen(decoder, piece)
            two = seen(plain, piece)
            assert one[:2] == two[:2]
            assert one[4:] == two[4:]
            assert (one[2] is None) == (two[2] is None)


def _built() -> str:
    try:
        compiled("framing._varied")
    except BaseException:  # noqa: BLE001 - what skips a test is not an Exception
        return ""
    return "c"


BUILT = _built()


def test_memory_follows_what_came(varied: ModuleType) -> None:
    for framing in (Framing(length=Varint(), minimum=1), NETSTRING, Framing(length=Ber())):
        head = {"Varint": b"\x80\x80\x80\x04", "Digits": b"8000000:", "Ber": b"\x83\x7f\0\0"}[
            type(framing.number).__name__
        ]
        tracemalloc.start()
        try:
            decoder = varied.Decoder(framing.plan)
            decoder.feed(head)
            assert decoder.frame_size > 8_000_000
            for _ in range(100):
                decoder.feed(bytes(1000))
            assert decoder.pending == len(head) + 100_000
            assert tracemalloc.get_traced_memory()[1] < 400_000
            del decoder
            assert tracemalloc.get_traced_memory()[0] < 20_000
        finally:
            tracemalloc.stop()


def test_a_list_of_messages_has_room_for_as_many_as_the_last(c_varied: ModuleType) -> None:
    """And takes no more memory than the bytes that came."""
    plain = Framing()
    decoders = (
        compiled("framing._codec").Decoder(plain.layout),
        c_varied.Decoder(plain.plan),
    )
    for decoder in decoders:
        many = plain.encode_many([bytes(8)] * 1000)
        decoder.feed(many)
        # One that grows has more room than it needs.
        assert sys.getsizeof(decoder.feed(many)) == sys.getsizeof([b""] * 1000)
        one = plain.encode(bytes(3000))
        assert sys.getsizeof(decoder.feed(one)) <= sys.getsizeof([]) + len(one)


def test_a_fault_frees_what_was_held(varied: ModuleType) -> None:
    framing = Framing(length=Digits(until=b":"), trailer=b",")
    tracemalloc.start()
    try:
        decoder = varied.Decoder(framing.plan)
        decoder.feed(b"1000000:" + bytes(1_000_000))
        with pytest.raises(FramingError):
            decoder.feed(b"!")
        assert tracemalloc.get_traced_memory()[0] < 100_000
        assert (decoder.pending, decoder.frame_size) == (0, 0)
    finally:
        tracemalloc.stop()


def test_a_function_that_fails(varied: ModuleType) -> None:
    def fails(data: memoryview) -> int:
        raise ZeroDivisionError("by hand")

    decoder = varied.Decoder(Framing(width=1, checksums=Checksum(1, fails)).plan)
    with pytest.raises(ZeroDivisionError):
        decoder.feed(b"\0\0")
    for call in (lambda: decoder.feed(b""), decoder.get_buffer, decoder.finish):
        with pytest.raises(
            FramingError, match="the decoder was left by ZeroDivisionError: by hand"
        ):
            call()


def test_a_function_that_keeps_what_it_got(varied: ModuleType) -> None:
    """The view is over when the function returns; what it copied stays."""
    kept: list[memoryview] = []

    def keeps(data: memoryview) -> int:
        kept.append(data)
        return data[0]

    framing = Framing(width=1, checksums=Checksum(1, keeps, "frame"))
    decoder = varied.Decoder(framing.plan)
    for byte in b"\2hi\2":
        frames = decoder.feed(bytes([byte]))
    assert frames == [b"hi"]
    with pytest.raises(ValueError, match="released memoryview"):
        bytes(kept[0])


@pytest.mark.parametrize("value", [-1, -256, 2**80 + 7, True])
def test_the_low_bytes_of_a_checksum_count(varied: ModuleType, value: int) -> None:
    framing = Framing(width=1, checksums=Checksum(2, lambda _: value))
    sent = b"\1x" + (value % 65536).to_bytes(2, "big")
    assert varied.Decoder(framing.plan).feed(sent * 2) == [b"x", b"x"]


def test_a_call_from_within_a_call_is_refused(c_varied: ModuleType) -> None:
    """Memory that the outer call reads must not move: in C this has to be an error."""
    refusals: list[str] = []

    def enters(data: memoryview) -> int:
        for call in (
            lambda: decoder.feed(b"\0"),
            decoder.get_buffer,
            lambda: decoder.buffer_updated(0),
            lambda: decoder.advance(b"\0", 0, []),
            decoder.finish,
        ):
            try:
                call()
            except RuntimeError as error:
                refusals.append(str(error))
        return 0

    decoder = c_varied.Decoder(Framing(width=1, checksums=Checksum(1, enters)).plan)
    for byte in b"\2hi\0":
        frames = decoder.feed(bytes([byte]))
    assert frames == [b"hi"]
    assert (
        refusals
        == ["the decoder is busy: one thread at a time, and no call from within a call"] * 5
    )


def test_exported_buffers(varied: ModuleType) -> None:
    decoder = varied.Decoder(NETSTRING.plan)
    with pytest.raises(ValueError, match="without get_buffer"):
        decoder.buffer_updated(0)
    buffer = decoder.get_buffer()
    assert decoder.get_buffer() is buffer
    assert len(buffer) == 256 * 1024
    buffer[:5] = b"2:hi,"
    with pytest.raises(RuntimeError, match="while a buffer is lent"):
        decoder.feed(b"")
    for wrong in (-1, 256 * 1024 + 1, 2**80):
        with pytest.raises(ValueError, match="the buffer has 262144 bytes"):
            decoder.buffer_updated(wrong)
    assert decoder.buffer_updated(5) == [b"hi"]
    with pytest.raises(ValueError, match="released"):
        len(buffer)
    decoder.get_buffer().release()
    kept = decoder.get_buffer()[:1]
    assert decoder.buffer_updated(0) == []
    other = decoder.get_buffer()
    other[:1] = b"2"
    kept[:1] = b"9"
    assert decoder.buffer_updated(1) == []
    assert decoder.feed(b":ok,") == [b"ok"]


def test_what_is_fed(varied: ModuleType) -> None:
    decoder = varied.Decoder(NETSTRING.plan)
    assert decoder.feed(bytearray(b"1:a,")) == [b"a"]
    assert decoder.feed(memoryview(b"..1:b,..")[2:-2]) == [b"b"]
    with pytest.raises(TypeError, match="a bytes-like object is required, not str"):
        decoder.feed("1:c,")
    with pytest.raises(BufferError, match="contiguous"):
        decoder.feed(memoryview(b"1.:.c.,.")[::2])
    assert decoder.feed(b"1:d,") == [b"d"]
    with pytest.raises(IncompleteFrameError, match="inside frame 4: 2 of its 4 bytes came, 2 are"):
        decoder.feed(b"1:")
        decoder.finish()
    for refused in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="Decoder objects cannot be copied or pickled"):
            refused(decoder)


def test_no_reference_is_lost_or_kept(varied: ModuleType) -> None:
    plan = SUMMED.plan
    message = bytes(300)
    data = bytearray(SUMMED.encode_many([message, b"abc"]))
    broken = bytes(data[:-1]) + b"\xff"

    def use() -> None:
        decoder = varied.Decoder(plan)
        decoder.feed(data)
        decoder.feed(bytes(data[:100]))
        decoder.get_buffer()[: len(data) - 100] = data[100:]
        decoder.buffer_updated(len(data) - 100)
        frames: list[Any] = []
        decoder.advance(bytes(data), 0, frames)
        with pytest.raises(FramingError):
            decoder.feed(broken)
        with pytest.raises(FramingError):
            decoder.feed(b"")
        varied.Decoder(plan).feed(b"\xff")

    use()
    gc.collect()
    shared = (plan, data, broken, varied.Decoder, plan.end_checks, zlib.crc32, FramingError)
    before = [sys.getrefcount(thing) for thing in shared]
    for _ in range(20):
        use()
    gc.collect()
    assert [sys.getrefcount(thing) for thing in shared] == before
    data.append(0)  # no export is left behind


def test_a_decoder_in_a_cycle_is_collected(varied: ModuleType) -> None:
    alive = []

    class Function:
        decoder: Any = None

        def __init__(self) -> None:
            alive.append(self)

        def __call__(self, data: memoryview) -> int:
            return 0

        def __del__(self) -> None:
            gone.append(1)

    gone: list[int] = []
    function = Function()
    alive.clear()
    function.decoder = varied.Decoder(Framing(width=1, checksums=Checksum(1, function)).plan)
    varied.Decoder(NETSTRING.plan)  # what was checked last is kept
    del function
    gc.collect()
    assert gone == [1]


@pytest.mark.parametrize(
    "change",
    [
        {"width": 0},
        {"width": 20},
        {"offset": -1},
        {"unit": 0},
        {"align": 0},
        {"shift": 64},
        {"mask": 2**64},
        {"strip": -2},
        {"magic": b"x"},
        {"magic_at": -1},
        {"head_sum": 1},
        {"end_sum": -1},
        {"adjustment": 2**41},
        {"minimum": -1},
        {"maximum": 2**63},
        {"minimum": 5, "maximum": 4},
        {"largest": 2**63},
        {"wider": ((1, 9),)},
        {"adds": ((1, -1),)},
        {"base": 8},
        {"kind": 7},
    ],
)
def test_contradictory_plans(varied: ModuleType, change: dict[str, Any]) -> None:
    """No program makes them, but the compiled codec relies on every number."""
    with pytest.raises(ConfigurationError, match="contradictory frame layout"):
        varied.Decoder(NETSTRING.plan._replace(**change))


@pytest.mark.parametrize(
    "framing",
    [
        Framing(length=Bcd(8)),
        Framing(length=Ber(8)),
        Framing(length=Digits(19)),
        Framing(length=Digits(16, base=16)),
        Framing(length=Varint(10), offset=1),
        Framing(length=Escaped(8, wider={0: 8}), unit=65536),
    ],
)
@pytest.mark.parametrize("byte", [b"\x00", b"\x09", b"9", b"f", b"\x7f", b"\x80", b"\xff", b"\x99"])
def test_the_largest_numbers(c_varied: ModuleType, framing: Framing, byte: bytes) -> None:
    """No number overflows in C."""
    for data in (byte * 30, b"\x88" + byte * 29, b"\0" * 8 + byte * 20, b"\0" + b"\xff" * 9 + byte):
        first, second = c_varied.Decoder(framing.plan), _varied_py.Decoder(framing.plan)
        assert seen(first, data) == seen(second, data)
