"""Messages behind text that says how many bytes follow."""

from __future__ import annotations

import json

import pytest

from sealframe.framing.inference import Capture, diagnose, run

BODIES = [
    b"status ok",
    b"motor 3 stopped\r\n\r\n",
    b"\0\1\2" * 9,
    b"up",
    b"x" * 71,
    b"",
    b"bye 12\n",
]


def words(number: int, body: bytes) -> bytes:
    return b"SIZE %d %s\r\n" % (len(body), (b"PUT", b"REPORT")[number % 2]) + body


def last_word(number: int, body: bytes) -> bytes:
    return (b"MSG a" + b" b" * number)[:9] + b" %d\n" % len(body) + body + b"\n"


def members(number: int, body: bytes) -> bytes:
    sizes = {"type": number, "data_length": 3} | ({"payload_length": len(body)} if body else {})
    return json.dumps(sizes).encode() + b"\nabc" + body


def header_lines(number: int, body: bytes) -> bytes:
    return b"Event: %d\nContent-Length: %d\n\n" % (number, len(body)) + body


def header_lines_with_another_name(number: int, body: bytes) -> bytes:
    return b"Size: %d\r\nNumber: %d\r\n\r\n" % (len(body), number) + body


def start_line(number: int, body: bytes) -> bytes:
    return b"NOTIFY %d\r\nContent-Length: %d\r\n\r\n" % (number, len(body)) + body


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (words, r'Sized(lambda head: len(head) + int(head.split()[1]), head=8192, until=b"\r\n")'),
        (
            last_word,
            r'Sized(lambda head: len(head) + int(head.split()[-1]) + 1, head=8192, until=b"\n")',
        ),
        (members, 'if key.endswith("length")), head=8192'),
        (header_lines, r'rb"(?im)^Content-Length: *(\d+)", head)[0]), head=8192, until=b"\n\n"'),
        (header_lines_with_another_name, 'HeaderLines("Size")'),
        (start_line, "HeaderLines(start_line=True, strip=0)"),
    ],
)
def test_the_size_in_the_text_is_found(write, expected: str) -> None:  # type: ignore[no-untyped-def]
    frames = [write(number, body) for number, body in enumerate(BODIES)]
    diagnosis = diagnose(b"".join(frames))
    (found,) = diagnosis.candidates
    assert expected in found.expression
    assert found.confidence == "high"
    assert diagnosis.verdict is None
    starts = [sum(map(len, frames[:number])) for number in range(len(frames))]
    assert list(found.evidence.starts[0]) == starts
    # The layout itself cuts them, and where the capture ends in the midst of one, it is a guess.
    assert run(Capture(b"".join(frames)), found.framing).frames == len(frames)
    cut = diagnose(b"".join(frames)[:-3])
    assert all(one.confidence == "guess" for one in cut.candidates)
    assert cut.verdict


def test_the_expression_makes_the_layout() -> None:
    from sealframe.framing import Sized

    data = b"".join(last_word(number, body) for number, body in enumerate(BODIES))
    made = eval(diagnose(data).candidates[0].expression, {"Sized": Sized})
    assert run(Capture(data), made).fits


def test_both_directions_have_to_have_it() -> None:
    said = b"".join(words(number, body) for number, body in enumerate(BODIES))
    assert diagnose([Capture(said), Capture(said)]).candidates[0].evidence.frames == 14
    other = diagnose([Capture(said), Capture(b"OK\r\n" * 9)])
    assert all("Sized" not in one.expression for one in other.candidates)


@pytest.mark.parametrize(
    "data",
    [
        b"".join(b"item %d costs %d\n" % (number, 7 * number) for number in range(40)),
        b"".join(b"empty 0\n" for _ in range(20)),
        b"".join(b'{"number": %d, "length": 0}\n' % number for number in range(20)),
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello" * 3,
        b"a 3\nxyz" * 9,
    ],
    ids=["numbers", "zeros", "json-lines", "http", "one-size"],
)
def test_what_only_has_numbers_is_not_sure(data: bytes) -> None:
    assert all(one.confidence == "guess" for one in diagnose(data).candidates)


def test_a_line_of_two_words_is_no_message_of_nats() -> None:
    data = b"".join(b"MSG %d\r\n%s\r\n" % (len(body), body) for body in BODIES)
    (found,) = diagnose(data).candidates
    assert found.name is None
    assert "until=" in found.expression
