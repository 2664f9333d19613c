"""Messages behind text that says how many bytes follow."""

from __future__ import annotations

import json
import random
import re
import time
from typing import TYPE_CHECKING

import pytest

from sealframe.errors import ConfigurationError, FramingError
from sealframe.framing import HeaderLines, Sized
from sealframe.framing.inference import Capture, diagnose, parse_pasted, run
from sealframe.framing.inference.text_heads import text_heads

if TYPE_CHECKING:
    from sealframe.framing.base import FrameLayout

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


def header_lines_with_a_tab(number: int, body: bytes) -> bytes:
    return b"Event: %d\nA+Size:\t%d\n\n" % (number, len(body)) + body


def start_line(number: int, body: bytes) -> bytes:
    return b"NOTIFY %d\r\nContent-Length: %d\r\n\r\n" % (number, len(body)) + body


def made(expression: str) -> FrameLayout:
    """Return the layout that an expression makes, as a person gets it who pastes it."""
    names = {"Sized": Sized, "HeaderLines": HeaderLines, "json": json, "re": re}
    layout: FrameLayout = eval(expression, names)
    return layout


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (words, r'Sized(lambda head: len(head) + int(head.split()[1]), head=8192, until=b"\r\n")'),
        (
            last_word,
            r'Sized(lambda head: len(head) + int(head.split()[-1]) + 1, head=8192, until=b"\n")',
        ),
        (members, 'if key.endswith("length")), head=8192'),
        (header_lines, r'rb"(?im)^Content\-Length:[ \t]*(\d{1,9})[ \t]*\r?$", head)[0]), head='),
        (header_lines_with_a_tab, r"^A\+Size:[ \t]*"),
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
    # The layout itself cuts them, as its expression does.
    pasted = parse_pasted(found.expression)
    for layout in (found.framing, made(found.expression), pasted):
        done = run(Capture(b"".join(frames)), layout)
        assert done.fits
        assert done.frames == len(frames)
    # Where the capture ends in the midst of one, it is a guess.
    cut = diagnose(b"".join(frames)[:-3])
    assert all(one.confidence == "guess" for one in cut.candidates)
    assert cut.verdict


@pytest.mark.parametrize(
    "text",
    [
        "Sized(lambda head: 4, head=8192)",
        'Sized(lambda head: len(head) + int(head.split()[1]) + 9, head=8192, until=b"\\n")',
        'Sized(lambda head: exit(head.split()[1]), head=8192, until=b"\\n")',
        # A byte of a command line that is no UTF-8.
        'Sized(re.findall(rb"(?im)^\udcff:", head))',
    ],
)
def test_other_functions_are_not_read(text: str) -> None:
    with pytest.raises(ConfigurationError, match="describes no layout"):
        parse_pasted(text)


def test_what_is_pasted_may_have_other_quotes_and_spaces() -> None:
    text = "Sized(lambda head: len(head)+int(head.split( )[1]),head=8192, until=b'\\r\\n')"
    said = b"".join(words(number, body) for number, body in enumerate(BODIES))
    assert run(Capture(said), parse_pasted(text)).fits
    assert parse_pasted("layouts.MODBUS_TCP") == parse_pasted("modbus-tcp")


def test_both_directions_have_to_have_it() -> None:
    said = b"".join(words(number, body) for number, body in enumerate(BODIES))
    assert diagnose([Capture(said), Capture(said)]).candidates[0].evidence.frames == 14
    other = diagnose([Capture(said), Capture(b"OK\r\n" * 9)])
    assert all("Sized" not in one.expression for one in other.candidates)


def rows(seed: int, columns: int = 100, share: float = 0.1) -> bytes:
    """Return a matrix of numbers, most of which are 0."""
    some = random.Random(seed)
    used = [some.random() < share for _ in range(columns)]
    return b"".join(
        b" ".join(b"%d" % (some.randrange(256) if one else 0) for one in used) + b"\n"
        for _ in range(30)
    )


FSTAB = zip(
    (b"/ /boot /home /var /srv /opt /data /scratch /mnt/a /mnt/b /mnt/c none").split(),
    (1, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0, 0),
    strict=True,
)
FLAGS = b"READ WRITE EXEC APPEND SYNC CREAT EXCL TRUNC NOCTTY DIRECT NONE LAST".split()
NAMES = b"alpha beta gamma delta eps zeta".split()
NOT_FRAMED = {
    "numbers": b"".join(b"item %d costs %d\n" % (number, 7 * number) for number in range(40)),
    "zeros": b"".join(b"empty 0\n" for _ in range(20)),
    "json-lines": b"".join(b'{"number": %d, "length": 0}\n' % number for number in range(20)),
    "json-numbers": b"".join(b'{"id": %d, "size": %d}\n' % (i, i % 4) for i in range(20)),
    "http": b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello" * 3,
    "one-size": b"a 3\nxyz" * 9,
    "fstab": b"".join(b"UUID=1f-%d %s ext4 defaults 0 %d\n" % (n, p, n) for p, n in FSTAB),
    "modules": b"".join(
        b"%-20s%6d  %d\n" % (b"module_name_%d" % number, 4096 * (number + 3), count)
        for number, count in enumerate((1, 2, 0, 3, 4, 0, 0, 2, 1, 0, 6, 0, 0))
    ),
    "sockets": b"".join(
        b"tcp  %4d %4d 10.0.0.%d:22 10.0.0.9:%d ESTABLISHED\n" % (0, count, number, 5000 + number)
        for number, count in enumerate((0, 1, 2, 0, 0, 2, 1, 1, 0, 2, 3, 0, 0, 1, 0))
    ),
    "tabs": b"".join(b"name%d\t%d\t%d\n" % (number, number % 3, number) for number in range(58)),
    "defines": b"".join(
        b"#define FLAG_%s %d\n" % pair
        for pair in zip(FLAGS, (1, 2, 3, 4, 5, 6, 1, 2, 3, 2, 1, 0), strict=True)
    ),
    "indented": b"".join(b"        item %d x\n" % (number % 4) for number in range(21)),
    "blocks": b"".join(
        b"hostname: %s\nretries: %d\n\n" % pair
        for pair in zip(NAMES, (2, 1, 3, 0, 2, 0), strict=True)
    ),
    "matrix": rows(2),
    "syslog": b"".join(
        b"Nov  %d %02d:00:07 host app[%d]: %d done\n" % (1 + number // 20, number % 24, 9, number)
        for number in range(40)
    ),
    "counts": b"".join(b"%7d word%d\n" % (number * 7 % 5, number) for number in range(31)),
    "access": b"".join(
        b'10.0.0.%d - - "GET /page/%d HTTP/2.0" 200 %d\n' % (number, number, number * 37 % 90)
        for number in range(40)
    ),
}


@pytest.mark.parametrize("name", NOT_FRAMED)
def test_what_only_has_numbers_is_not_sure(name: str) -> None:
    found = text_heads([Capture(NOT_FRAMED[name])])
    assert found is None or found.confidence == "guess"


@pytest.mark.parametrize("name", ["counts", "blocks", "defines"])
def test_what_only_has_numbers_is_lines_of_text(name: str) -> None:
    diagnosis = diagnose(NOT_FRAMED[name])
    assert all(one.confidence == "guess" for one in diagnosis.candidates)
    assert "lines of text" in str(diagnosis.verdict)


def test_tables_of_small_numbers_are_not_sure() -> None:
    some = random.Random(7)
    values = (b"0", b"1", b"2", b"5", b"17", b"tcp", b"alpha", b"-")
    for _ in range(300):
        kinds = [some.sample(values, some.randrange(1, 5)) for _ in range(some.randrange(2, 7))]
        lines = (b" ".join(some.choice(kind) for kind in kinds) for _ in range(40))
        found = text_heads([Capture(b"\n".join(lines) + b"\n")])
        assert found is None or found.confidence == "guess"


def test_a_guess_leaves_the_verdict_and_comes_first() -> None:
    # Three frames, and text that is not one: it may be chance.
    bodies = (b"status ok 12", b"a b\n" * 12, b"motor\n\nstopped" * 9)
    data = b"".join(b"PUT %d now\n" % len(body) + body for body in bodies)
    diagnosis = diagnose(data)
    assert "Sized" in diagnosis.candidates[0].expression
    assert diagnosis.candidates[0].confidence == "guess"
    assert "lines of text" in str(diagnosis.verdict)


def test_all_of_a_large_capture_is_counted() -> None:
    bodies = [random.Random(number).randbytes(1 + number * 37 % 900) for number in range(230)]
    data = b"".join(words(number, body) for number, body in enumerate(bodies))
    assert len(data) > 1 << 16
    (found,) = diagnose(data).candidates
    assert found.confidence == "high"
    assert found.evidence.frames == 230
    assert found.evidence.left_over == 0
    cut = text_heads([Capture(data[:-1])])
    assert cut is not None
    assert (cut.confidence, cut.evidence.left_over) == ("guess", len(frame_of(data)) - 1)
    # What is no such head behind the part that is searched refutes it.
    assert text_heads([Capture(data + b"and text\r\n" * 3)]) is None


def frame_of(data: bytes) -> bytes:
    """Return the last frame."""
    return data[data.rindex(b"SIZE ") :]


def test_json_that_is_nested_deeply_is_no_head() -> None:
    nest = b'{"length": 3, "a": ' + b"[" * 5000 + b"\n"
    assert text_heads([Capture(nest + b"abc")]) is None
    data = b"".join(members(number, body) for number, body in enumerate(BODIES))
    assert text_heads([Capture(data + nest + b"abc")]) is None
    # The layout that is handed out says so too.
    (found,) = diagnose(data).candidates
    with pytest.raises(FramingError, match="does not say how many bytes follow"):
        found.framing.decoder().feed(nest)


@pytest.mark.parametrize(
    "data",
    [
        b"a: 1\nb:" + b" " * 800 + b"\rx\n\n",
        b"a" * 8000 + b"\n\n",
        (b"0 " * 512 + b"\n") * 64,
        b'{"length": 0, ' + b", ".join(b'"%d_length": 0' % n for n in range(400)) + b"}\n",
        b"a 3 b 3 c 3 d 3\nxyz" * 3500,
    ],
    ids=["blanks", "token", "words", "members", "one-size"],
)
def test_text_costs_little(data: bytes) -> None:
    before = time.thread_time()
    text_heads([Capture(data)])
    assert time.thread_time() - before < 0.15


def test_a_line_of_two_words_is_no_message_of_nats() -> None:
    data = b"".join(b"MSG %d\r\n%s\r\n" % (len(body), body) for body in BODIES)
    (found,) = diagnose(data).candidates
    assert found.name is None
    assert "until=" in found.expression
