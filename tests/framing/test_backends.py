"""Random layouts, streams and splits, through both codecs.

The invariants. For each layout and each stream of bytes, well formed or not:

1. Both codecs give the same after each call: frames, error, what is pending.
2. How the stream is split makes no difference to the frames, to the error, and to
   what is pending at the end.
3. Exported buffers give the same as ``feed``.
4. What was encoded is decoded to what it was.
5. A plain reading of the layout, frame after frame from the whole stream, finds
   the same frames, and a fault in the same place.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from example_counts import examples
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sealframe.errors import ConfigurationError
from sealframe.framing import Framing
from sealframe.wire import CONTROL_BIT, Layout

from .readings import Outcome, feed, observe, pour, read_plainly

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

relaxed = settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.filter_too_much]
)


@st.composite
def framings(draw: st.DrawFn, *, limited: bool = True) -> Framing:
    fields: dict[str, Any] = {}
    if limited:
        fields["minimum"] = draw(st.integers(0, 5))
        fields["maximum"] = draw(st.none() | st.integers(0, 300))
    kind = draw(st.sampled_from(["varint", "control", "fields", "fields", "fields"]))
    if kind != "fields":
        fields[kind] = True
    else:
        fields |= {
            "width": draw(st.integers(1, 8)),
            "byteorder": draw(st.sampled_from(["little", "big"])),
            "offset": draw(st.integers(0, 5)),
            "adjustment": draw(st.just(0) | st.integers(-12, 12)),
            "includes_header": draw(st.booleans()),
            "strip": draw(st.none() | st.integers(0, 16)),
        }
    try:
        return Framing(**fields)
    except ConfigurationError:
        assume(False)
        raise


@st.composite
def payloads(draw: st.DrawFn, layout: Layout) -> bytes:
    """A message that the layout can carry, with its length where the payload has to have it."""
    most = min(layout.maximum, layout.minimum + 40)
    payload = bytearray(draw(st.binary(min_size=layout.minimum, max_size=most)))
    header = layout.offset + layout.width
    if layout.strip < header:
        value = len(payload) + layout.strip - layout.extra
        field = value.to_bytes(layout.width, "big" if layout.big_endian else "little")
        for place, byte in enumerate(field, layout.offset - layout.strip):
            if place >= 0:
                payload[place] = byte
    return bytes(payload)


@st.composite
def streams(draw: st.DrawFn, framing: Framing) -> bytes:
    """Frames, control frames and rubbish, in any order."""
    kinds: list[st.SearchStrategy[bytes]] = [
        payloads(framing.layout).map(framing.encode),
        payloads(framing.layout).map(framing.encode),
    ]
    if framing.control:
        kinds.append(st.builds(control, st.integers(0, 255), st.binary(max_size=30)))
        kinds.append(st.sampled_from([b"\0\0\0\x80", b"\1\0\1\x80", b"\0\0\1\x80\x44"]))
    if draw(st.booleans()):
        kinds.append(st.binary(max_size=12))
        kinds.append(st.sampled_from([b"\0", b"\x80", b"\xff"]).map(lambda byte: byte * 11))
    return b"".join(draw(st.lists(st.one_of(kinds), max_size=8)))


def control(opcode: int, body: bytes) -> bytes:
    return (CONTROL_BIT + 1 + len(body)).to_bytes(4, "little") + bytes([opcode]) + body


@st.composite
def splits(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    return [
        stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)
    ]


@given(data=st.data())
@relaxed
def test_both_codecs_give_the_same(
    backends: tuple[ModuleType, ModuleType], data: st.DataObject
) -> None:
    framing = data.draw(framings())
    pieces = data.draw(splits(data.draw(streams(framing))))
    first, second = backends
    for take in (feed, pour):
        assert observe(first, framing.layout, pieces, take) == observe(
            second, framing.layout, pieces, take
        )


@given(data=st.data())
@relaxed
def test_splits_and_exported_buffers_make_no_difference(
    backend: ModuleType, data: st.DataObject
) -> None:
    framing = data.draw(framings())
    stream = data.draw(streams(framing))
    whole = Outcome.of(observe(backend, framing.layout, [stream]))
    pieces = data.draw(splits(stream))
    steps = observe(backend, framing.layout, pieces)
    assert Outcome.of(steps) == whole
    assert observe(backend, framing.layout, pieces, pour) == steps
    single = [stream[place : place + 1] for place in range(len(stream))] or [b""]
    assert Outcome.of(observe(backend, framing.layout, single)) == whole


@given(data=st.data())
@relaxed
def test_a_plain_reading_finds_the_same(backend: ModuleType, data: st.DataObject) -> None:
    framing = data.draw(framings())
    stream = data.draw(streams(framing))
    frames, left, fault = read_plainly(framing.layout, stream)
    outcome = Outcome.of(observe(backend, framing.layout, [stream]))
    assert outcome.frames == frames
    assert (outcome.fault is not None) == fault
    assert outcome.pending == (0 if fault else len(left))


@given(data=st.data())
@relaxed
def test_what_was_encoded_is_decoded(backend: ModuleType, data: st.DataObject) -> None:
    framing = data.draw(framings())
    messages = data.draw(st.lists(payloads(framing.layout), max_size=8))
    encoder = backend.Encoder(framing.layout)
    stream = encoder.encode_many(messages)
    assert stream == b"".join(map(encoder.encode, messages))
    pieces = data.draw(splits(stream))
    decoder = backend.Decoder(framing.layout)
    assert [frame for piece in pieces for frame in decoder.feed(piece)] == messages
    assert (decoder.pending, decoder.frame_size) == (0, 0)


@given(data=st.data())
@relaxed
def test_both_codecs_encode_the_same(
    backends: tuple[ModuleType, ModuleType], data: st.DataObject
) -> None:
    framing = data.draw(framings())
    payload = data.draw(st.binary(max_size=40) | st.binary(min_size=290, max_size=310))
    results = []
    for backend in backends:
        encoder = backend.Encoder(framing.layout)
        for call in (
            partial(encoder.encode, payload),
            partial(encoder.encode_many, [payload, bytearray(payload)]),
            partial(encoder.head, len(payload)),
        ):
            try:
                results.append(call())
            except Exception as error:  # noqa: BLE001 - any difference is a failure
                results.append((type(error), str(error)))
    assert results[:3] == results[3:]


@st.composite
def large_and_small(draw: st.DrawFn, layout: Layout) -> list[Any]:
    """Messages of all sizes and kinds, some of which the layout may not carry."""
    sizes = st.integers(0, 10) | st.sampled_from([65_535, 65_536, 65_537, 70_000])
    if layout.minimum <= layout.maximum:
        sizes |= st.integers(layout.minimum, min(layout.maximum, layout.minimum + 300))
    kinds: list[Callable[[int], Any]] = [bytes, bytes, bytearray, lambda n: memoryview(bytes(n))]
    if draw(st.integers(0, 5)) == 0:
        kinds += [str, lambda n: memoryview(bytes(2 * n))[::2]]
    return [draw(st.sampled_from(kinds))(size) for size in draw(st.lists(sizes, max_size=6))]


@given(data=st.data())
@relaxed
def test_both_codecs_pack_the_same_and_what_encode_many_gives(
    backends: tuple[ModuleType, ModuleType], data: st.DataObject
) -> None:
    """In any layout of small messages or of large ones."""
    framing = data.draw(framings(limited=data.draw(st.booleans())))
    messages = data.draw(large_and_small(framing.layout))
    results: list[Any] = []
    for backend in backends:
        encoder = backend.Encoder(framing.layout)
        for call in (encoder.encode_many, encoder.pack):
            try:
                results.append(call(messages))
            except Exception as error:  # noqa: BLE001 - any difference is a failure
                results.append((type(error), str(error)))
    assert results[:2] == results[2:]
    joined, buffers = results[:2]
    if isinstance(buffers, list):
        assert b"".join(buffers) == joined
        assert all(type(buffer) is bytes and buffer for buffer in buffers)
    else:
        assert buffers == joined
