"""Random layouts with random payloads, of which the inference knows nothing.

``python -m tests.framing.inference.blind 500 7`` counts how many of 500 it cuts rightly, those of
seed 70000 and on; ``... --files /usr/bin/*`` what it says of files, which have no frames.
"""

from __future__ import annotations

import json
import random
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sealframe.framing.inference import Candidate, Capture, diagnose

FEWEST = 8
"""Frames that a stream has if it is counted."""
MOST = 1 << 17
"""Bytes of a file that are looked at; twice what is searched."""

WORDS = (
    "status motor ready error user order price temperature started stopped set get value speed "
    "pressure valve open closed alarm level name time count total left right up down"
)


@dataclass
class Stream:
    """A stream, and where its frames start."""

    data: bytes
    starts: list[int]
    layout: str
    complete: bool = True
    boundaries: list[int] = field(default_factory=list)

    @property
    def capture(self) -> Capture:
        """What is shown of it."""
        return Capture(self.data, tuple(self.boundaries), self.complete)


def _payloads(source: random.Random) -> Callable[[], bytes]:
    """Return what makes one payload after the other, of one kind."""
    kind = source.choice(["words", "json", "records", "random", "mixed", "binary"])
    longest = source.choice([8, 40, 200, 600, 2000])

    def size() -> int:
        return source.randint(0, longest)

    words = WORDS.split()

    def text() -> bytes:
        return " ".join(source.choices(words, k=1 + size() // 8)).encode()

    def record() -> bytes:
        return bytes(source.choice([0, 0, 1, 2, 255]) for _ in range(4 * (size() // 4)))

    def binary() -> bytes:
        numbers = (source.randint(0, 5000).to_bytes(4, "little") for _ in range(size() // 4 + 1))
        return b"".join(numbers)

    def objects() -> bytes:
        pairs = {word: source.randint(0, 999) for word in source.choices(words, k=1 + size() // 16)}
        return json.dumps(pairs).encode()

    def noise() -> bytes:
        return source.randbytes(size())

    def mixed() -> bytes:
        return source.choice([text, record, noise])()

    return {
        "words": text,
        "json": objects,
        "records": record,
        "random": noise,
        "mixed": mixed,
        "binary": binary,
    }[kind]


def _varint(value: int) -> bytes:
    written = b""
    while value >= 0x80:
        written += bytes([value & 0x7F | 0x80])
        value >>= 7
    return written + bytes([value])


def _ber(value: int) -> bytes:
    if value < 0x80:
        return bytes([value])
    body = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(body)]) + body


def _bytes_before(source: random.Random, size: int) -> Callable[[int], bytes]:
    """Return what writes the part of a header before or behind the length."""
    kinds = [source.choice(["constant", "counter", "type", "random"]) for _ in range(size)]
    constants = source.randbytes(size)
    few = [source.randbytes(size) for _ in range(3)]

    def write(index: int) -> bytes:
        written = bytearray()
        for place, kind in enumerate(kinds):
            written.append(
                {
                    "constant": constants[place],
                    "counter": index & 0xFF,
                    "type": source.choice(few)[place],
                    "random": source.getrandbits(8),
                }[kind]
            )
        return bytes(written)

    return write


def random_stream(seed: int) -> Stream:
    """Return a stream in a layout that the seed decides."""
    source = random.Random(seed)
    kind = source.choices(
        ["fixed", "varint", "until", "digits", "ber", "bcd"], [12, 2, 2, 2, 1, 1]
    )[0]
    offset = source.choice([0, 0, 0, 1, 2, 3, 4, 5, 8, 12, source.randint(0, 16)])
    more = source.choice([0, 0, 0, 1, 2, 4, source.randint(0, 12)])
    width = source.choice([2, 2, 4, 4, 4, 3, 8, 1])
    order = source.choice(["big", "little"])
    counted = source.choice(["rest", "rest", "all", "payload"])
    trailer = source.choice([b"", b"", b"", b"\r\n", b"\xce", source.randbytes(2)])
    unit = source.choice([1] * 9 + [2, 4]) if kind == "fixed" else 1
    if kind == "varint":
        offset, more = source.choice([0, 0, 1, 2]), 0
    elif kind in ("until", "ber"):
        offset = more = 0
    elif kind in ("digits", "bcd"):
        offset = source.choice([0, 0, 2])
        more = 0
    preamble = source.choice(
        [b""] * 6 + [b"HELLO 1.0\r\n", source.randbytes(source.randint(1, 16))]
    )
    if kind in ("varint", "ber"):
        preamble = b""
    before, behind = _bytes_before(source, offset), _bytes_before(source, more)
    payload = _payloads(source)
    until = source.choice([b":", b" ", b"\n", b"\r\n"])
    digits = source.choice([3, 4, 6])
    base = source.choice([10, 16])
    if kind not in ("fixed", "until"):
        trailer = b""
    if kind == "until":
        trailer = source.choice([b"", b",", b"\n"])
        base = 10

    def frame(index: int) -> bytes | None:
        body = behind(index) + payload()
        if unit > 1:
            body += bytes(-len(body + trailer) % unit)
            body += bytes(-(offset + width + len(body + trailer)) % unit if counted == "all" else 0)
        length = len(body) + len(trailer)
        if kind == "fixed":
            length = {
                "rest": length,
                "all": offset + width + length,
                "payload": len(body) - (more if unit == 1 else 0),
            }[counted]
            if unit > 1 and length % unit:
                return None
            length //= unit
            if length >= 1 << 8 * width:
                return None
            head = length.to_bytes(width, order)  # type: ignore[arg-type]
        elif kind == "varint":
            head = _varint(length)
        elif kind == "ber":
            head = _ber(length)
        elif kind == "until":
            head = str(len(body)).encode() + until
        elif kind == "bcd":
            if length > 9999:
                return None
            head = bytes.fromhex(f"{length:04d}")
        else:
            written = f"{length:0{digits}{'d' if base == 10 else 'x'}}"
            if len(written) > digits:
                return None
            head = written.encode()
        return before(index) + head + body + trailer

    data = bytearray(preamble)
    starts: list[int] = []
    wanted = source.randint(8, 40)
    for index in range(4 * wanted):
        made = frame(index)
        if made and len(starts) < wanted:
            starts.append(len(data))
            data += made
    layout = (
        f"{kind} offset={offset} more={more} width={width} {order} counts={counted} unit={unit} "
        f"trailer={trailer!r} preamble={preamble!r} until={until!r}"
    )
    return Stream(bytes(data), starts, layout)


def not_framed(seed: int) -> tuple[str, bytes]:
    """Return the name and the bytes of something that has no lengths."""
    source = random.Random(seed)
    size = source.choice([300, 2000, 20000, 60000])
    kind = source.choice(
        ["random", "text", "compressed", "floats", "json", "tls", "records", "pixels", "code"]
    )
    words = WORDS.split()
    if kind == "random":
        data = source.randbytes(size)
    elif kind == "text":
        lines = (
            " ".join(source.choices(words, k=source.randint(2, 14))) for _ in range(size // 40)
        )
        data = "\n".join(lines).encode()
    elif kind == "compressed":
        text = " ".join(source.choices(words, k=size)).encode()
        data = zlib.compress(text)[source.choice([0, 2]) :]
    elif kind == "floats":
        order = source.choice("<>")
        values = (source.gauss(20, 5) for _ in range(size // 8))
        data = b"".join(struct.pack(f"{order}d", value) for value in values)
    elif kind == "json":
        rows = [
            {word: source.random() for word in source.choices(words, k=5)}
            for _ in range(size // 120)
        ]
        data = json.dumps(rows).encode()
    elif kind == "tls":
        data = b""
        while len(data) < size:
            length = source.randint(30, 1500)
            data += b"\x17\x03\x03" + length.to_bytes(2, "big") + source.randbytes(length)
    elif kind == "records":
        row = source.choice([8, 12, 16, 24, 40])
        data = b"".join(
            index.to_bytes(4, "little") + bytes(source.choices([0, 0, 0, 1, 7], k=row - 4))
            for index in range(size // row)
        )
    elif kind == "pixels":
        value = 100
        pixels = bytearray()
        for _ in range(size):
            value = max(0, min(255, value + source.choice([-2, -1, 0, 0, 1, 2])))
            pixels.append(value)
        data = bytes(pixels)
    else:
        with Path(sys.executable).open("rb") as program:
            program.seek(4096 * source.randint(1, 200))
            data = program.read(size)
    return kind, data


def right(stream: Stream, candidates: Sequence[Candidate], first: int = 1) -> bool:
    """Whether one of the first candidates has the frames of the stream, of its first 64 KiB."""
    starts = tuple(start for start in stream.starts if start < 1 << 16)
    return any(one.evidence.starts[0] == starts for one in candidates[:first])


def tried(seed: int) -> str:
    """Return what the first answer to a random layout is, in three words."""
    stream = random_stream(seed)
    if len(stream.starts) < FEWEST:
        return "too few frames"
    candidates = diagnose(stream.capture).candidates
    confidence = candidates[0].confidence if candidates else "none"
    said = f"{confidence} {'right' if right(stream, candidates) else 'wrong'}"
    if said.endswith("wrong"):
        said += ", in the first three" if right(stream, candidates, 3) else ""
        print(seed, said, stream.layout, candidates[:1] and candidates[0].expression, flush=True)
    return said


def main() -> None:
    """Count what is said of so many random layouts, and of as many files as are given."""
    result: Counter[str] = Counter()
    if "--files" in sys.argv:
        for name in sys.argv[sys.argv.index("--files") + 1 :]:
            candidates = diagnose(Path(name).read_bytes()[:MOST]).candidates
            confidence = candidates[0].confidence if candidates else "none"
            result[confidence] += 1
            if confidence == "high":
                print(name, candidates[0].expression, flush=True)
    else:
        count, first = int(sys.argv[1]), int(sys.argv[2])
        for seed in range(first * 10000, first * 10000 + count):
            result[tried(seed)] += 1
    print(dict(result))


if __name__ == "__main__":
    main()
