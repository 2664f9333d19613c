"""What bytes are that are not frames with a length."""

from __future__ import annotations

import gzip
import json
import random
import zlib

import pytest

from sealframe.framing import Framing
from sealframe.framing.inference import Capture, diagnose
from sealframe.framing.inference.naming import known

TEXT = b"".join(b"line %d of a log: all is well\n" % number for number in range(80))
TLS = b"".join(b"\x17\x03\x03" + (60).to_bytes(2, "big") + bytes(range(60)) for _ in range(12))
RESP = b"*2\r\n$3\r\nGET\r\n$4\r\nname\r\n+OK\r\n$5\r\nhello\r\n:12\r\n"
JSON = json.dumps([{"name": "motor", "speed": number} for number in range(90)]).encode()
WORDS = random.Random(4).choices(["motor", "valve", "open", "closed"], k=900)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1, a request"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1, a response"),
        (TLS, "TLS"),
        (b"\x28\0\0\x80\x42sealfram\x01" + bytes(30), "extended connection"),
        (b"\xe6\x04\0\x80\x41sealfram\x01\x04" + bytes(1247), "sealframe decrypt"),
        (b"SSH-2.0-OpenSSH_9.6\r\n" + bytes(40), "SSH"),
        (zlib.compress(" ".join(WORDS).encode()), "zlib"),
        (gzip.compress(TEXT), "gzip"),
        (b"\x89PNG\r\n\x1a\n" + bytes(80), "PNG"),
        (b"\x7fELF\x02\x01\x01" + bytes(100), "ELF"),
        (bytes(5000), "All bytes are 0x00"),
    ],
)
def test_what_is_sure_has_no_candidates(data: bytes, said: str) -> None:
    diagnosis = diagnose(data)
    assert diagnosis.candidates == ()
    assert said in (diagnosis.verdict or "")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (TEXT, "lines of text that end in LF"),
        (TEXT.replace(b"\n", b"\r\n"), "lines of text that end in CR LF"),
        (JSON, "JSON"),
        (random.Random(5).randbytes(3000), "encrypted, compressed or random"),
        (TEXT.replace(b"\n", b"\x03"), 'Delimited(b"\\x03")'),
    ],
)
def test_what_is_likely_is_said_and_nothing_is_high(data: bytes, said: str) -> None:
    diagnosis = diagnose(data)
    assert all(one.confidence == "guess" for one in diagnosis.candidates)
    assert said in (diagnosis.verdict or "")


def test_few_bytes_and_none() -> None:
    assert "no bytes" in (diagnose(b"").verdict or "")
    assert "no bytes" in (diagnose([Capture(b""), Capture(b"")]).verdict or "")
    assert diagnose(b"\x07").verdict


def test_redis_is_recognised() -> None:
    diagnosis = diagnose(RESP)
    names = [one.name for one in diagnosis.candidates]
    assert "resp" in names or "RESP" in (diagnosis.verdict or "")


@pytest.mark.parametrize(("kinds", "size"), [(2, 300_000), (8, 3000), (8, 300_000)])
def test_chance_of_few_kinds_of_bytes_is_never_sure(kinds: int, size: int) -> None:
    data = bytes(random.Random(size).choices(range(kinds), k=size))
    assert all(one.confidence == "guess" for one in diagnose(data).candidates)


@pytest.mark.parametrize("first", [b"\x03", b"\x10"], ids=["iscsi", "coap-tcp"])
def test_few_kinds_of_bytes_have_no_name(first: bytes) -> None:
    """Zeros are typical of much: behind such a byte they read as frames of a protocol."""
    assert known([Capture(first + bytes(400), complete=False)]) == [None]


def test_frames_of_few_kinds_of_bytes_are_found_and_not_sure() -> None:
    chosen = random.Random(2)
    sizes = [chosen.randrange(1, 10) for _ in range(100)]
    bodies = [bytes(chosen.choices(range(10), k=size)) for size in sizes]
    found = diagnose(b"".join(len(body).to_bytes(2, "big") + body for body in bodies)).candidates
    assert found[0].framing == Framing(width=2, byteorder="big")
    assert found[0].confidence == "guess"


@pytest.mark.parametrize(
    ("data", "expression"),
    [
        (b"\0\0\0\x0bhello world", 'Framing(byteorder="big")'),
        (b"\x0b\0\0\0hello world", "Framing()"),
        (b"\0\x0dhello world", 'Framing(width=2, byteorder="big", includes_header=True)'),
        (b"\x02\x07\x0b\0hello world", "Framing(width=2, offset=2, strip=0)"),
    ],
)
def test_one_message_alone_is_a_guess(data: bytes, expression: str) -> None:
    diagnosis = diagnose(data)
    assert diagnosis.candidates[0].expression == expression
    assert diagnosis.candidates[0].confidence == "guess"
    assert "one whole message" in (diagnosis.verdict or "")
    assert diagnose(Capture(data, complete=False)).candidates == ()
    assert diagnose(data + b"!").candidates == ()


def test_characters_that_are_counted_are_told_without_a_layout() -> None:
    texts = ["gr\u00f6\u00dfer", "sch\u00f6n", "Ma\u00df 3", "plain", "na\u00efve caf\u00e9"]
    data = b"".join(len(text).to_bytes(2, "big") + text.encode() for text in texts)
    verdict = diagnose(data).verdict or ""
    assert 'As Framing(width=2, byteorder="big")' in verdict
    assert "characters and not bytes: 4 of 5 frames" in verdict


def test_zeros_between_frames_are_no_empty_messages_of_a_protocol() -> None:
    # As DNS over TCP they would be a thousand messages of 0 bytes, where 12 are the fewest.
    frames = b"".join(b"RCmb" + bytes(20) + bytes(range(1, 90)) + bytes(1901) for _ in range(3))
    assert known([Capture(bytes(1900) + frames)]) == [None]


@pytest.mark.parametrize(
    ("frame", "cassandra"),
    [
        # The head of execnet's CHANNEL_DATA is one of Cassandra's STARTUP: 4, 0, 0, 0, 1, a length.
        (b"\x04\0\0\0\x01%sN\0\0\0%s", False),
        (b"\x04\0\0\0\x07%s\0\0\0%s", True),
        (b"\x84\0\0\0\x07%s\0\0\0%s", False),
        (b"\x84\0\0\0\x08%s\0\0\0\x02%s", True),
    ],
    ids=["no-startup", "query", "query-of-a-server", "result"],
)
def test_frames_of_cassandra_have_bodies_of_its_operations(frame: bytes, cassandra: bool) -> None:
    texts = [b"item %d" % number * (number + 1) for number in range(9)]
    bodies = [bytes([len(text)]) + text for text in texts]
    fixed = len(frame) - frame.index(b"%s") - 4
    data = b"".join(frame % ((fixed + len(body)).to_bytes(4, "big"), body) for body in bodies)
    (found,) = known([Capture(data)])
    assert (found is not None and found.entry.name == "cassandra") is cassandra
