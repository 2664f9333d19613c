r"""Messages behind text that says how many bytes follow: a line, or header lines.

::

    SIZE 12 PUT\r\n                         a line, of which one word is the number
    {"type": "audio", "length": 12}\n       JSON, of which members are
    Event: 7\nContent-Length: 12\n\n        header lines up to an empty one

Here the layout needs no chance: all of a stream is such text, bodies of the sizes that it tells,
and nothing else.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from math import log2
from typing import TYPE_CHECKING, Final, Protocol

from ..sized import Sized
from ..text import HeaderLines
from .expressions import literal
from .results import Candidate, Evidence
from .window import WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..base import FrameLayout
    from .results import Capture

__all__ = ["text_heads"]

_LONGEST: Final = 8192
"""Bytes of a head."""
_DIGITS: Final = 9
_SURE: Final = 40.0
_FEWEST: Final = 3
_LINE_ENDS: Final = (b"\r\n", b"\n")
_HEADER_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*?)[ \t]*\r?\n")
_NOT_THESE: Final = re.compile(rb"[^\r\n]*(HTTP|RTSP)/1\.")
"""Their bodies may be in chunks, and frames may stand between."""
_PRINTABLE: Final = frozenset((*range(0x20, 0x7F), 9, 10, 13, *range(0x80, 0x100)))


class _Head(Protocol):
    """How a head tells the size of what follows it."""

    @property
    def until(self) -> bytes:
        """What a head ends with."""

    @property
    def trailer(self) -> bytes:
        """What stands behind each body."""

    def body(self, head: bytes) -> int | None:
        """Return how many bytes follow, trailer and all; None if that is no such head."""

    def layout(self) -> tuple[FrameLayout, str]:
        """Return the layout, and Python that makes it."""


@dataclass(frozen=True)
class _Word:
    """A line, of which one word is the number."""

    index: int
    until: bytes
    trailer: bytes

    def body(self, head: bytes) -> int | None:
        words = head.split()
        if not -len(words) <= self.index < len(words) or len(words) < 2:
            return None
        size = _number(words[self.index])
        return None if size is None else size + len(self.trailer)

    def layout(self) -> tuple[FrameLayout, str]:
        index, more = self.index, len(self.trailer)
        return _sized(
            lambda head: len(head) + int(head.split()[index]) + more,
            f"int(head.split()[{index}])",
            self,
        )


@dataclass(frozen=True)
class _Members:
    """A line of JSON, of which the members are the numbers whose names end so."""

    ending: str
    until: bytes
    trailer: bytes

    def body(self, head: bytes) -> int | None:
        try:
            members = json.loads(head)
        except ValueError:
            return None
        if not isinstance(members, dict):
            return None
        told = [size for key, size in members.items() if key.endswith(self.ending)]
        sizes = [size for size in told if type(size) is int and 0 <= size < 10**_DIGITS]
        return sum(sizes) + len(self.trailer) if len(sizes) == len(told) else None

    def layout(self) -> tuple[FrameLayout, str]:
        ending, more = self.ending, len(self.trailer)

        def size(head: bytes) -> int:
            members: dict[str, int] = json.loads(head)
            told = (size for key, size in members.items() if key.endswith(ending))
            return len(head) + more + sum(told)

        number = (
            "sum(size for key, size in json.loads(head).items() "
            f"if key.endswith({literal(ending)}))"
        )
        return _sized(size, number, self)


@dataclass(frozen=True)
class _Lines:
    """Header lines, one of which has the number."""

    name: str
    until: bytes
    start_line: bool
    trailer: bytes = b""
    pattern: re.Pattern[bytes] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        name = re.escape(self.name.encode())
        object.__setattr__(
            self, "pattern", re.compile(rb"(?im)^" + name + rb":[ \t]*(\d{1,9})[ \t]*\r?$")
        )

    def body(self, head: bytes) -> int | None:
        lines = head[: -len(self.until) // 2]
        if self.start_line:
            first, _, lines = lines.partition(b"\n")
            if not first.strip() or _HEADER_LINE.fullmatch(first + b"\n"):
                return None
        place = 0
        while place < len(lines):
            line = _HEADER_LINE.match(lines, place)
            if line is None:
                return None
            place = line.end()
        found = self.pattern.findall(head)
        return int(found[0]) if len(found) == 1 else None

    def layout(self) -> tuple[FrameLayout, str]:
        if self.until == b"\r\n\r\n":
            name = "" if self.name == "Content-Length" else literal(self.name)
            if not self.start_line:
                return HeaderLines(self.name), f"HeaderLines({name})"
            lines = HeaderLines(self.name, start_line=True, strip=0)
            return lines, f"HeaderLines({name}{', ' if name else ''}start_line=True, strip=0)"
        pattern = self.pattern
        return _sized(
            lambda head: len(head) + int(pattern.findall(head)[0]),
            f'int(re.findall(rb"(?im)^{self.name}: *(\\d+)", head)[0])',
            self,
        )


def text_heads(captures: Sequence[Capture]) -> Candidate | None:
    """Return the layout of messages behind text that tells their size; None where it is another."""
    largest = max(captures, key=lambda capture: min(len(capture.data), WINDOW))
    for head in _heads(bytes(largest.data[:_LONGEST])):
        cuttings = [_cut(capture, head) for capture in captures]
        told = [cutting for cutting in cuttings if cutting]
        if len(told) < len(cuttings):
            continue
        sizes = {size for _, bodies in told for size in bodies if size > len(head.trailer)}
        frames = sum(len(bodies) for _, bodies in told)
        if len(sizes) < 2 or frames < _FEWEST:
            continue
        return _candidate(captures, head, told)
    return None


def _candidate(
    captures: Sequence[Capture], head: _Head, told: Sequence[tuple[list[int], list[int]]]
) -> Candidate:
    layout, expression = head.layout()
    # That text of this kind begins behind a body is no chance, and more so behind a long one.
    form = 3 if isinstance(head, _Word) else 8
    bits = sum(log2(size + 2) + form for _, bodies in told for size in bodies)
    left_over = sum(
        len(capture.data) - starts[-1]
        for capture, (starts, bodies) in zip(captures, told, strict=True)
        if len(starts) > len(bodies)
    )
    sizes = {size for _, bodies in told for size in bodies}
    frames = sum(len(bodies) for _, bodies in told)
    sure = bits > _SURE and not left_over and frames > _FEWEST and len(sizes) > 2
    sure = sure and all(capture.complete and len(capture.data) <= WINDOW for capture in captures)
    return Candidate(
        framing=layout,
        expression=expression,
        preamble=b"",
        confidence="high" if sure else "guess",
        evidence=Evidence(
            frames,
            left_over,
            bits,
            bits,
            tuple(tuple(starts) for starts, _ in told),
            (f"Each begins with text that says what follows: {len(sizes):,} different sizes.",),
        ),
    )


def _cut(capture: Capture, head: _Head) -> tuple[list[int], list[int]] | None:
    """Return where frames start, and the bytes behind the heads of the whole ones."""
    data = bytes(capture.data[:WINDOW])
    ended = capture.complete and len(capture.data) <= WINDOW
    starts: list[int] = []
    bodies: list[int] = []
    place = 0
    while place < len(data):
        starts.append(place)
        behind = data.find(head.until, place, place + _LONGEST)
        text = data[place : behind + len(head.until)]
        if behind < 0:
            return None if ended or len(data) - place > _LONGEST else (starts, bodies)
        size = head.body(text) if _PRINTABLE.issuperset(text) else None
        if size is None:
            return None
        place += len(text) + size
        if place > len(data):
            return (starts, bodies) if len(bodies) >= _FEWEST else None
        if not data.endswith(head.trailer, 0, place):
            return None
        bodies.append(size)
    return starts, bodies


def _heads(data: bytes) -> Iterator[_Head]:
    """Yield what the first head may be."""
    if _NOT_THESE.match(data):
        return
    for end in _LINE_ENDS:
        first, found, _ = data.partition(end)
        if not found or not first or not _PRINTABLE.issuperset(first):
            continue
        yield from _lines(data, end)
        for trailer in (end, b"", b"\n", b"\r\n"):
            if first.startswith(b"{"):
                yield from _members(first, end, trailer)
                continue
            words = first.split()
            for index, word in enumerate(words):
                if _number(word) is not None:
                    yield _Word(index, end, trailer)
                    yield _Word(index - len(words), end, trailer)


def _lines(data: bytes, end: bytes) -> Iterator[_Lines]:
    header, found, _ = data.partition(end + end)
    if not found:
        return
    start_line = _HEADER_LINE.match(header + end) is None
    for line in _HEADER_LINE.finditer(header + end):
        if _number(line[2]) is not None:
            yield _Lines(line[1].decode(), end + end, start_line)


def _members(line: bytes, end: bytes, trailer: bytes) -> Iterator[_Members]:
    try:
        members = json.loads(line)
    except ValueError:
        return
    if isinstance(members, dict):
        sizes = [key for key in members if re.search("(?i)(len|length|size|bytes)$", key)]
        yield from (_Members(key, end, trailer) for key in sizes)
        # What this one lacks may be a member of others, of a like name.
        endings = dict.fromkeys(re.split("[_-]", key)[-1] for key in sizes)
        yield from (_Members(ending, end, trailer) for ending in endings)


def _number(text: bytes) -> int | None:
    return int(text) if text.isdigit() and len(text) <= _DIGITS else None


def _sized(function: Callable[[bytes], int], number: str, head: _Head) -> tuple[FrameLayout, str]:
    trailer = f" + {len(head.trailer)}" if head.trailer else ""
    text = (
        f"Sized(lambda head: len(head) + {number}{trailer}, head={_LONGEST}, "
        f"until={literal(head.until)})"
    )
    return Sized(function, head=_LONGEST, until=head.until), text
