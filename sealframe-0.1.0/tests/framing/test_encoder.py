"""The encoder: what it takes, what it refuses, and in which words."""

from __future__ import annotations

import copy
import pickle
from array import array
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from sealframe.errors import MessageTooLargeError, NotSupportedError
from sealframe.framing import INT32_BE, NATIVE, PACKET, PROTOBUF_DELIMITED, UINT16_BE, Framing

if TYPE_CHECKING:
    from types import ModuleType

# The second layout takes the path on which payload and header overlap.
PATHS = [PACKET, Framing(strip=0, adjustment=-4), PROTOBUF_DELIMITED]


class Number:
    """An integer to ``operator.index`` alone."""

    def __index__(self) -> int:
        return 5


class Bytes(bytes):
    """Not exactly bytes, but bytes-like."""


@pytest.mark.parametrize("framing", PATHS)
@pytest.mark.parametrize(
    "payload",
    [
        Bytes(b"abcdefgh"),
        bytearray(b"abcdefgh"),
        memoryview(b"abcdefgh"),
        memoryview(bytearray(b"..abcdefgh.."))[2:-2],
        array("H", b"abcdefgh"),
        memoryview(array("H", b"abcdefgh")),
        memoryview(b"abcdefgh").cast("B", (2, 4)),
    ],
    ids=["subclass", "bytearray", "memoryview", "slice", "array", "array-view", "two-dimensions"],
)
def test_any_contiguous_bytes_like(backend: ModuleType, framing: Framing, payload: Any) -> None:
    encoder = backend.Encoder(framing.layout)
    expected = encoder.encode(b"abcdefgh")
    assert encoder.encode(payload) == expected
    assert encoder.encode_many([payload, b"abcdefgh"]) == expected * 2


@pytest.mark.parametrize("framing", PATHS)
@pytest.mark.parametrize(
    ("payload", "name"), [("text", "str"), (5, "int"), (None, "NoneType"), ([1, 2], "list")]
)
def test_other_types(backend: ModuleType, framing: Framing, payload: Any, name: str) -> None:
    encoder = backend.Encoder(framing.layout)
    text = f"a bytes-like object is required, not {name}; encode text first, e.g. text.encode()"
    with pytest.raises(TypeError) as caught:
        encoder.encode(payload)
    assert str(caught.value) == text
    with pytest.raises(TypeError) as caught:
        encoder.encode_many([b"abcdefgh", payload])
    assert str(caught.value) == text


@pytest.mark.parametrize("framing", PATHS)
def test_views_with_gaps(backend: ModuleType, framing: Framing) -> None:
    encoder = backend.Encoder(framing.layout)
    with pytest.raises(BufferError, match="a contiguous buffer is required; copy this one first"):
        encoder.encode(memoryview(b"a.b.c.d.")[::2])
    with pytest.raises(BufferError, match="a contiguous buffer is required; copy this one first"):
        encoder.encode_many([memoryview(b"a.b.c.d.")[::2]])


def test_encode_many_takes_any_iterable(backend: ModuleType) -> None:
    encoder = backend.Encoder(UINT16_BE.layout)
    expected = b"\x00\x01a\x00\x00\x00\x02bb"
    assert encoder.encode_many([b"a", b"", b"bb"]) == expected
    assert encoder.encode_many((b"a", b"", b"bb")) == expected
    assert encoder.encode_many([]) == b""
    assert encoder.encode_many(iter([b"a", bytearray(), memoryview(b"bb")])) == expected
    with pytest.raises(TypeError, match="not iterable"):
        encoder.encode_many(5)
    with pytest.raises(TypeError, match="a bytes-like object is required, not int"):
        encoder.encode_many(b"abc")


def test_encode_many_leaves_the_callers_list_alone(backend: ModuleType) -> None:
    payload = bytearray(b"a")
    payloads = [payload]
    backend.Encoder(UINT16_BE.layout).encode_many(payloads)
    assert payloads[0] is payload
    payload.append(0)  # no export is left behind


@pytest.mark.parametrize("framing", [Framing(maximum=9), Framing(varint=True, maximum=9)])
def test_too_large(backend: ModuleType, framing: Framing) -> None:
    encoder = backend.Encoder(framing.layout)
    assert encoder.encode(b"a" * 9).endswith(b"a" * 9)
    for refused in (
        partial(encoder.encode, b"a" * 10),
        partial(encoder.encode, bytearray(10)),
        partial(encoder.encode_many, [b"a", b"a" * 10]),
        partial(encoder.head, 10),
    ):
        with pytest.raises(MessageTooLargeError) as caught:
            refused()
        assert (caught.value.size, caught.value.limit) == (10, 9)
        assert str(caught.value) == "a message of 10 bytes is over the limit of 9 bytes"


@pytest.mark.parametrize(
    ("framing", "minimum"),
    [
        (Framing(minimum=3), 3),
        (Framing(varint=True, minimum=3), 3),
        (Framing(control=True, minimum=3), 3),
        (Framing(strip=1), 3),
        (Framing(adjustment=3), 3),
    ],
)
def test_too_small(backend: ModuleType, framing: Framing, minimum: int) -> None:
    encoder = backend.Encoder(framing.layout)
    assert backend.Decoder(framing.layout).feed(encoder.encode(bytes(minimum))) == [bytes(minimum)]
    for refused in (
        partial(encoder.encode, bytes(minimum - 1)),
        partial(encoder.encode_many, [bytes(minimum), bytearray(minimum - 1)]),
    ):
        with pytest.raises(ValueError, match="is below the minimum of") as caught:
            refused()
        assert str(caught.value) == "a message of 2 bytes is below the minimum of 3 bytes"


@pytest.mark.parametrize(
    "framing",
    [PACKET, NATIVE, INT32_BE, PROTOBUF_DELIMITED, Framing(width=3, offset=2, strip=9)],
)
@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 70_000])
def test_head(backend: ModuleType, framing: Framing, size: int) -> None:
    encoder = backend.Encoder(framing.layout)
    assert encoder.head(size) + bytes(size) == encoder.encode(bytes(size))


def test_head_arguments(backend: ModuleType) -> None:
    encoder = backend.Encoder(PACKET.layout)
    assert encoder.head(Number()) == b"\x05\x00\x00\x00"
    with pytest.raises(MessageTooLargeError) as caught:
        encoder.head(10**30)
    assert caught.value.size == 10**30
    with pytest.raises(ValueError, match=r"^a message of -1 bytes is below the minimum of 0 bytes"):
        encoder.head(-1)
    with pytest.raises(TypeError, match="'str' object cannot be interpreted as an integer"):
        encoder.head("5")


def test_head_without_its_payload_is_impossible_where_they_overlap(backend: ModuleType) -> None:
    encoder = backend.Encoder(Framing(width=2, offset=4, strip=1).layout)
    with pytest.raises(NotSupportedError) as caught:
        encoder.head(10)
    assert str(caught.value) == (
        "head() needs a layout that strips its whole header of 6 bytes, not 1 of it; use encode()"
    )


def test_encoders_are_not_copied_or_pickled(backend: ModuleType) -> None:
    encoder = backend.Encoder(PACKET.layout)
    for refused in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="Encoder objects cannot be copied or pickled"):
            refused(encoder)


# pack: what encode_many gives, in few buffers

LARGE = 64 * 1024


@pytest.mark.parametrize("framing", [PACKET, INT32_BE, PROTOBUF_DELIMITED, Framing(strip=7)])
def test_small_payloads_are_packed_in_one_buffer(backend: ModuleType, framing: Framing) -> None:
    encoder = backend.Encoder(framing.layout)
    payloads = [b"a", b"", bytes(LARGE - 1), bytearray(b"bc"), memoryview(b"d")]
    assert encoder.pack(payloads) == [encoder.encode_many(payloads)]
    assert encoder.pack(iter(payloads)) == [encoder.encode_many(payloads)]
    assert encoder.pack([b""]) == [encoder.encode(b"")]
    assert encoder.pack([]) == encoder.pack(()) == []


@pytest.mark.parametrize("framing", [PACKET, NATIVE, INT32_BE, PROTOBUF_DELIMITED])
def test_a_large_payload_is_a_buffer_of_its_own(backend: ModuleType, framing: Framing) -> None:
    """Its head ends the buffer before it, and it is the very object that was given."""
    encoder = backend.Encoder(framing.layout)
    large, larger = bytes(LARGE), b"x" * (LARGE + 1)
    head, headr = encoder.head(LARGE), encoder.head(LARGE + 1)
    few = encoder.encode_many([b"a", b"bc"])
    for payloads, buffers in [
        ([large], [head, large]),
        ([large, larger], [head, large, headr, larger]),
        ([b"a", b"bc", large], [few + head, large]),
        ([large, b"a", b"bc"], [head, large, few]),
        ([b"a", b"bc", larger, b"a", b"bc", large], [few + headr, larger, few + head, large]),
    ]:
        packed = encoder.pack(payloads)
        assert packed == buffers
        assert {id(payload) for payload in payloads if len(payload) >= LARGE} == {
            id(buffer) for buffer in packed if len(buffer) >= LARGE
        }


def test_a_large_payload_that_is_not_bytes_is_copied(backend: ModuleType) -> None:
    """Its owner may change it before it is written."""
    encoder = backend.Encoder(PACKET.layout)
    payload = bytearray(LARGE)
    for other in (payload, memoryview(payload), Bytes(payload)):
        head, body = encoder.pack([other])
        assert head == encoder.head(LARGE)
        assert type(body) is bytes
        assert body == payload
    payload.append(0)  # no export is left behind


def test_where_the_head_stands_in_the_payload_it_is_not_on_its_own(backend: ModuleType) -> None:
    encoder = backend.Encoder(Framing(strip=0, adjustment=-4).layout)
    payloads = [b"....a", bytes(LARGE), b"....bc"]
    assert encoder.pack(payloads) == [encoder.encode_many(payloads)]


@pytest.mark.parametrize("framing", [Framing(maximum=9), Framing(varint=True, maximum=LARGE)])
def test_nothing_is_packed_where_one_does_not_fit(backend: ModuleType, framing: Framing) -> None:
    encoder = backend.Encoder(framing.layout)
    limit = framing.layout.maximum
    for payloads in ([b"a", bytes(limit + 1)], [bytes(limit + 1), b"a"]):
        with pytest.raises(MessageTooLargeError) as caught:
            encoder.pack(payloads)
        assert (caught.value.size, caught.value.limit) == (limit + 1, limit)
    encoder = backend.Encoder(Framing(minimum=3).layout)
    with pytest.raises(ValueError, match="a message of 2 bytes is below the minimum of 3 bytes"):
        encoder.pack([bytes(LARGE), b"ab"])
    with pytest.raises(TypeError, match="a bytes-like object is required, not str"):
        encoder.pack([bytes(LARGE), "abc"])
    with pytest.raises(BufferError, match="a contiguous buffer is required; copy this one first"):
        encoder.pack([memoryview(bytes(2 * LARGE))[::2]])
    with pytest.raises(TypeError, match="not iterable"):
        encoder.pack(5)


def test_of_several_faults_the_first_is_told(backend: ModuleType) -> None:
    encoder = backend.Encoder(Framing(maximum=9).layout)
    for call in (encoder.encode_many, encoder.pack):
        with pytest.raises(MessageTooLargeError):
            call([b"a", bytes(10), "text"])
        with pytest.raises(TypeError):
            call([b"a", "text", bytes(10)])


def test_pack_leaves_the_callers_list_alone(backend: ModuleType) -> None:
    payload = bytearray(b"a")
    payloads: list[object] = [payload, bytes(LARGE)]
    backend.Encoder(PACKET.layout).pack(payloads)
    assert payloads[0] is payload
    assert len(payloads) == 2
