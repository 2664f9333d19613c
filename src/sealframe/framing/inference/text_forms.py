"""Forms of text that says how many bytes follow it: a word of a line, members of JSON, a header."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from ...errors import MalformedLengthError
from ..sized import Sized
from ..text import HeaderLines
from .expressions import literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..base import FrameLayout

__all__ = ["LONGEST", "Head", "heads", "readable", "written"]

LONGEST: Final = 8192
"""Bytes of a head."""
_DIGITS: Final = 9
_MOST: Final = 24
"""Words of a line, members or header lines; a table has more."""
_LINE_ENDS: Final = (b"\r\n", b"\n")
_HEADER_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\r\n]*)\r?\n")
_NOT_THESE: Final = re.compile(rb"[^\r\n]*(HTTP|RTSP)/[0-9]")
"""Their bodies may be in chunks, and frames may stand between."""
_PRINTABLE: Final = frozenset((*range(0x20, 0x7F), 9, 10, 13, *range(0x80, 0x100)))


class Head(Protocol):
    """How a head tells the size of what follows it."""

    form: ClassVar[int]
    """Bits that it tells by its form alone, where chance put it behind a body."""

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

    form: ClassVar[int] = 3
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
        return _sized(self, f"int(head.split()[{self.index}])")


@dataclass(frozen=True)
class _Members:
    """A line of JSON, of which the members are the numbers whose names end so."""

    form: ClassVar[int] = 8
    ending: str
    until: bytes
    trailer: bytes

    def body(self, head: bytes) -> int | None:
        members = _members_of(head)
        if members is None:
            return None
        told = [size for key, size in members.items() if key.endswith(self.ending)]
        sizes = [size for size in told if type(size) is int and 0 <= size < 10**_DIGITS]
        return sum(sizes) + len(self.trailer) if len(sizes) == len(told) else None

    def layout(self) -> tuple[FrameLayout, str]:
        return _sized(
            self,
            "sum(size for key, size in json.loads(head).items() "
            f"if key.endswith({literal(self.ending)}))",
        )


@dataclass(frozen=True)
class _Lines:
    """Header lines, one of which has the number, up to an empty one."""

    form: ClassVar[int] = 8
    trailer: ClassVar[bytes] = b""
    name: str
    end: bytes
    start_line: bool
    pattern: re.Pattern[bytes] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        name = re.escape(self.name.encode())
        object.__setattr__(
            self, "pattern", re.compile(rb"(?im)^" + name + rb":[ \t]*(\d{1,9})[ \t]*\r?$")
        )

    @property
    def until(self) -> bytes:
        return self.end + self.end

    def body(self, head: bytes) -> int | None:
        lines = head.removesuffix(self.end)
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
        if self.end == b"\r\n":
            name = "" if self.name == "Content-Length" else literal(self.name)
            if not self.start_line:
                return HeaderLines(self.name), f"HeaderLines({name})"
            lines = HeaderLines(self.name, start_line=True, strip=0)
            return lines, f"HeaderLines({name}{', ' if name else ''}start_line=True, strip=0)"
        # No quote that would end it is in the name of a header.
        return _sized(self, f'int(re.findall(rb"{self.pattern.pattern.decode()}", head)[0])')


def heads(data: bytes) -> Iterator[Head]:
    """Yield what the text at the beginning of a stream may be.

    :param data: its first :data:`LONGEST` bytes
    """
    if _NOT_THESE.match(data):
        return
    for end in _LINE_ENDS:
        first, found, _ = data.partition(end)
        if not found or not first or not readable(first):
            continue
        yield from _lines(data, end)
        words = first.split(None, _MOST)
        for trailer in (end, b"", b"\n", b"\r\n"):
            if first.startswith(b"{"):
                yield from _members(first, end, trailer)
            elif len(words) <= _MOST:
                yield from _words(words, end, trailer)


def written(expression: str) -> Iterator[tuple[FrameLayout, str]]:
    """Yield the layouts that an expression may be of, with how those are written.

    :param expression: of a ``Sized``, as :func:`ast.unparse` writes it
    """
    for end in _LINE_ENDS:
        for trailer in (b"", b"\n", b"\r\n"):
            if word := re.search(r"\.split\(\)\[(-?\d{1,3})\]", expression):
                yield _Word(int(word[1]), end, trailer).layout()
            if ending := re.search(r"\.endswith\('([^'\\]*)'\)", expression):
                yield _Members(ending[1], end, trailer).layout()
    if name := re.search(r"\^([^:']+):", expression):
        lines = _Lines(name[1].replace("\\", ""), b"\n", start_line=True)
        yield _reading(lines, replace(lines, start_line=False)), lines.layout()[1]


def readable(text: bytes) -> bool:
    """Return whether no byte is a control character, beside tabs and line ends."""
    return _PRINTABLE.issuperset(text)


def _words(words: list[bytes], end: bytes, trailer: bytes) -> Iterator[_Word]:
    for index, word in enumerate(words):
        if _number(word) is not None:
            yield _Word(index, end, trailer)
            yield _Word(index - len(words), end, trailer)


def _lines(data: bytes, end: bytes) -> Iterator[_Lines]:
    header, found, _ = data.partition(end + end)
    lines = [_HEADER_LINE.fullmatch(line + end) for line in header.split(end, _MOST)]
    if not found or len(lines) > _MOST:
        return
    for line in lines:
        if line and _number(line[2].strip()) is not None:
            yield _Lines(line[1].decode(), end, start_line=lines[0] is None)


def _members(line: bytes, end: bytes, trailer: bytes) -> Iterator[_Members]:
    members = _members_of(line) or {}
    sizes = [key for key in members if re.search("(?i)(len|length|size|bytes)$", key)]
    # What this one lacks may be a member of others, of a like name.
    endings = [re.split("[_-]", key)[-1] for key in sizes]
    for ending in list(dict.fromkeys((*sizes, *endings)))[:_MOST]:
        yield _Members(ending, end, trailer)


def _members_of(text: bytes) -> dict[str, object] | None:
    """Return the members of an object of JSON, or None where it is something else."""
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return members if isinstance(members, dict) else None


def _number(text: bytes) -> int | None:
    return int(text) if text.isdigit() and len(text) <= _DIGITS else None


def _sized(head: Head, number: str) -> tuple[FrameLayout, str]:
    trailer = f" + {len(head.trailer)}" if head.trailer else ""
    return _reading(head), (
        f"Sized(lambda head: len(head) + {number}{trailer}, head={LONGEST}, "
        f"until={literal(head.until)})"
    )


def _reading(*heads: Head) -> FrameLayout:
    """Return the layout of frames with one of these heads."""

    def size(text: bytes) -> int:
        for head in heads:
            body = head.body(text)
            if body is not None:
                return len(text) + body
        raise MalformedLengthError(f"{text[:60]!r} does not say how many bytes follow")

    return Sized(size, head=LONGEST, until=heads[0].until)
