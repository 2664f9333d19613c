"""Why a given layout does not fit."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from sealframe import Framing
from sealframe.framing.inference import Capture, explain

WORDS = [
    "status",
    "motor",
    "ready",
    "error",
    "user",
    "order",
    "price",
    "temperature",
    "started",
    "stopped",
]


def payloads(seed: int = 1, count: int = 12) -> list[bytes]:
    """Return payloads of words, of differing size."""
    source = random.Random(seed)
    return [" ".join(source.choices(WORDS, k=source.randint(1, 9))).encode() for _ in range(count)]


def stream(head: Callable[[bytes], bytes], tail: bytes = b"") -> bytes:
    """Return frames: a head, the payload, a tail."""
    return b"".join(head(payload) + payload + tail for payload in payloads())


def big(width: int, more: int = 0) -> Callable[[bytes], bytes]:
    """Return what writes a big-endian length."""
    return lambda payload: (len(payload) + more).to_bytes(width, "big")


def said(data: bytes, framing: Framing) -> str:
    """Return the explanation as one text."""
    return " ".join(explain(data, framing))


def test_a_layout_that_fits() -> None:
    assert said(stream(big(4)), Framing(byteorder="big")).startswith("It fits: 12 frames")


@pytest.mark.parametrize(
    ("data", "framing", "words"),
    [
        (stream(big(4)), Framing(), ["big-endian", 'Framing(byteorder="big")']),
        (stream(big(4, 4)), Framing(byteorder="big"), ["includes_header=True"]),
        (stream(big(4, 4)), Framing(), ["big-endian and counts the header"]),
        (
            stream(big(4)),
            Framing(byteorder="big", includes_header=True),
            ["does not count the header"],
        ),
        (stream(big(4), b"\xce"), Framing(byteorder="big"), ["1 more", "trailer"]),
        (stream(big(2, 3)), Framing(width=2, byteorder="big"), ["counts 3 more"]),
        (stream(big(2)), Framing(byteorder="big"), ["The length has 2 bytes"]),
        (
            stream(lambda payload: b"\x07" + big(4)(payload)),
            Framing(byteorder="big"),
            ["stands at offset 1"],
        ),
        (
            stream(lambda payload: (len(payload) | 1 << 31).to_bytes(4, "big")),
            Framing(byteorder="big"),
            ["top bit", "flag"],
        ),
        (
            b"HELLO 1\n" + stream(big(4)),
            Framing(byteorder="big"),
            ["begin at offset 8", "preamble"],
        ),
        (
            stream(big(4))[3:],
            Framing(byteorder="big"),
            ["begin at offset", "in whose midst the capture began"],
        ),
        (
            stream(big(4))[:-5],
            Framing(byteorder="big"),
            ["as far as the capture goes", "11 frames"],
        ),
        (
            stream(big(4)) + b"[warn] no fuel\n" + stream(big(4)),
            Framing(byteorder="big"),
            ["15 bytes at offset", "belong to no frame", "5b 77 61 72 6e"],
        ),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Framing(byteorder="big"), ["HTTP/1"]),
        (bytes.fromhex("160301020001000200"), Framing(byteorder="big"), ["TLS"]),
    ],
    ids=[
        "byteorder",
        "counts-the-header",
        "both",
        "does-not",
        "trailer",
        "counts-more",
        "width",
        "offset",
        "flag",
        "preamble",
        "midst",
        "cut",
        "foreign",
        "http",
        "tls",
    ],
)
def test_the_reason_is_told(data: bytes, framing: Framing, words: list[str]) -> None:
    text = said(data, framing)
    for word in words:
        assert word in text


def test_characters_counted_in_place_of_bytes() -> None:
    texts = ["größer", "schön warm", "Maß", "plain", "für Ölwechsel", "日本語"]
    data = b"".join(len(text).to_bytes(4, "big") + text.encode() for text in texts)
    assert "counts characters and not bytes: 5 of 6 frames" in said(data, Framing(byteorder="big"))


def test_characters_of_utf_16() -> None:
    texts = ["warm", "colder than before", "x", "hello", "what is that"]
    data = b"".join(len(t).to_bytes(4, "little") + t.encode("utf-16-le") for t in texts)
    text = said(data, Framing())
    assert "units of 2 bytes" in text
    assert "UTF-16" in text


def test_another_layout_is_named() -> None:
    data = stream(lambda payload: b"AB" + len(payload).to_bytes(3, "little") + b"\x01\x02")
    assert "Framing(width=2, offset=2, adjustment=3" in said(data, Framing(byteorder="big"))


def test_the_reason_is_told_where_the_end_is_cut() -> None:
    """What fits does not fit to the last byte then, and is told by the search."""
    cut = stream(big(4, 4))[:-3]
    assert "The length counts the header too: includes_header=True." in said(
        cut, Framing(byteorder="big")
    )
    assert "big-endian and counts the header too" in said(cut, Framing())
    # A length within text is none of a frame that has only begun.
    text = said(stream(big(2, 2))[:-3], Framing(width=2, byteorder="big", offset=2, strip=0))
    assert "It may fit" not in text
    assert 'What fits is Framing(width=2, byteorder="big", includes_header=True)' in text


def test_each_capture_is_explained() -> None:
    good, bad = Capture(stream(big(4))), Capture(stream(big(2)))
    first, second = explain([good, bad], Framing(byteorder="big"))
    assert first.startswith("Capture 1: It fits")
    assert second.startswith("Capture 2: ")


def test_where_nothing_fits_the_place_is_told() -> None:
    data = stream(big(4))[:60] + bytes(random.Random(3).randbytes(400))
    assert "offset" in said(data, Framing(byteorder="big"))


def test_a_read_that_is_a_part_of_a_message() -> None:
    data = (3000).to_bytes(4, "big") + b"x" * 1020
    (sentence,) = explain(data, Framing(byteorder="big"))
    assert "the beginning of a frame, 1,024 of its 3,004 bytes" in sentence
    assert "read on" in sentence
    # A length that cannot be is none that has only begun.
    assert "It may fit" not in said(b"\x01\0\0\0hello", Framing(byteorder="big", maximum=1 << 30))
