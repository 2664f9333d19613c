r"""Bytes as programs write them, and plain digits.

::

    b'\x00\x00\x00\x05hello'   "\x00\x05"   \x00\x05            Python, C, Wireshark
    {0x00, 0x05}   [0, 0, 0, 5, 104]   <<0,0,0,5>>              C, Python, Go, Erlang
    const char peer0_0[] = { 0x00, 0x05 };                      Wireshark, "Follow stream"
    [0, 0, 0, 5, -54]   <Buffer 00 00 00 05>                    Java, Node.js
    0000000568656c6c6f   00 00 00 05   00:00:00:05   00-00      plain hex
    0 0 0 5 68   0 0 0 5 104   AAAABWhlbGxv                     %x, %d, Base64
    12:30:01 RX 00 00 00 05 68 65 6c 6c 6f                      in a line of text

Each literal was one read or one message, as a rule: their ends are kept as boundaries.
"""

from __future__ import annotations

import base64
import re
from itertools import pairwise
from typing import Final, Literal

from .stream import CaptureError, Stream, joined

_STRING: Final = re.compile(
    r"""(?P<prefix>\b[bB][rR]?|\b[rR][bB])?
        (?P<quote>["'])(?P<body>(?:\\.|(?!(?P=quote))[^\\\n])*)(?P=quote)""",
    re.VERBOSE,
)
_BYTES: Final = re.compile(r"\\x|\\[0-7]")
"""What strings without a prefix need to have: those of C, strace, and other languages."""
_ESCAPED: Final = re.compile(
    r"(?:\\x(?:[0-9a-fA-F]{2}|\{[0-9a-fA-F]{1,2}\})(?:[ -\[\]-~]*?(?=\\x))?)+"
)
r"""A run of ``\x..`` outside quotes, with characters between."""
_ESCAPED_LINE: Final = re.compile(r"[ \t]*(\\x\{?[0-9a-fA-F]{2}[ -~]*)\r?")
r"""A line that begins with ``\x..``: what stands behind its last one are bytes as well."""
_ESCAPE: Final = re.compile(r"\\(?:x\{?([0-9a-fA-F]{1,2})\}?|u00([0-9a-fA-F]{2})|([0-7]{1,3})|(.))")
_LETTERS: Final = dict(zip("abtnvfr", (7, 8, 9, 10, 11, 12, 13), strict=True))

_PEER: Final = re.compile(r"peer(\d)_\d+\[\d*\]\s*=\s*$")
_LIST: Final = re.compile(r"[\[({<]{1,2}([^\[\](){}<>]*)[\])}>]{1,2}")
_COMMENT: Final = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_ITEM: Final = re.compile(r"0x[0-9a-fA-F]{1,2}|-?\d{1,3}")
_CAST: Final = re.compile(r"\((?:byte|char|unsigned char|uint8_t|u8)\)|(?<=[0-9a-fA-F])u8\b")
_LABEL: Final = re.compile(
    r"^\s*(?:[^\s:]{1,24}[ \t]+){0,5}?[^\s:=]{0,24}[A-Za-z)\]][ \t]*[:=>]+\s+"
)
_DIGITS: Final = re.compile(r"(?:0[xX])?(?:[0-9a-fA-F]{2})+")
_BARE: Final = re.compile(r"(?:[0-9a-fA-F]{2})+")
_MARKED: Final = re.compile(r"(?:&[hH]|\$)[0-9a-fA-F]{2}|[0-9a-fA-F]{2}[hH]")
"""A byte as BASIC, Pascal and assemblers write it."""
_PAIRS: Final = re.compile(r"(?:[0-9a-fA-F]{2} )+(?:[0-9a-fA-F]{2}(?= ))?")
_WORDS: Final = re.compile(
    r"(?:[0-9a-fA-F]{4} )*[0-9a-fA-F]{2,4}|(?:[0-9a-fA-F]{8} )*[0-9a-fA-F]{8}"
)
_AS_THEY_STAND: Final = (
    "the bytes of each group of digits were read as they stand; od and hexdump print numbers, with "
    "their bytes the other way round: print it again with od -t x1"
)
_RUN: Final = re.compile(r"((?:[0-9a-fA-F]{2}[ :-])*[0-9a-fA-F]{2})(?:$|\s*[#|;]|\s{2,})")
_NUMBERED: Final = re.compile(r"\b[0-9a-fA-F]*\d[0-9a-fA-F]*\b")
_LONGEST: Final = 1024
"""Characters of a row in which a column of the bytes as characters is looked for."""
_SEPARATORS: Final = re.compile(r"[\s:,;-]+")
_UNPADDED: Final = re.compile(r"[0-9a-fA-F]{1,2}")
_DECIMAL: Final = re.compile(r"[01]?[0-9]{1,2}|2[0-4][0-9]|25[0-5]|-[1-9][0-9]{0,2}")
_WITHIN: Final = re.compile(r"(?<![\w:.-])(?:[0-9a-fA-F]{2}[ :-]){7,}[0-9a-fA-F]{2}(?![\w:-])")
"""Digits in a line of text, of 8 bytes at least: an address of hardware has 6."""
_FEWEST: Final = 8
_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/\s]{32,}|[A-Za-z0-9_\s-]{32,})={0,2}\s*")
_SPACED: Final = re.compile(r"\S[ \t]+\S")
_DECODES: Final = re.compile(r"(?:[hH][eE][xX]|64)\w*\(\s*$")
"""``bytes.fromhex(``, ``b64decode(``, ``FromBase64String(``."""


def read_strings(text: str) -> list[Stream]:
    """Return the bytes of quoted literals and of runs of escapes."""
    parts = []
    quoted = list(_STRING.finditer(text))
    # Of strings without a prefix only those that need to be bytes.
    some = [match for match in quoted if match["prefix"] or _BYTES.search(match["body"])]
    if some:
        lone = any(not match["prefix"] for match in some)
        parts = [_unescaped(match["body"]) for match in some]
        if not lone or len(some) == 1:
            return [joined(parts)]
        # C puts strings together that follow each other.
        return [joined([b"".join(parts)])] if _adjacent(text, some) else [joined(parts)]
    for line in text.split("\n"):
        if whole := _ESCAPED_LINE.fullmatch(line):
            parts.append(_unescaped(whole[1]))
        else:
            parts += (_unescaped(match[0]) for match in _ESCAPED.finditer(line))
    return [joined(parts)]


def read_quoted(text: str) -> list[Stream]:
    """Return the bytes of strings of hex digits or Base64 that a program decodes.

    Without a call that does it, such a string may be a part of a protocol of text.
    """
    parts = []
    for match in _STRING.finditer(text):
        if _DECODES.search(text, max(0, match.start() - 40), match.start()):
            digits = re.sub(r"[ :-]|\b0[xX]", "", match["body"])
            whole = _BARE.fullmatch(digits)
            parts.append(bytes.fromhex(digits) if whole else _of_base64(match["body"]))
    return [joined(parts)]


def _adjacent(text: str, strings: list[re.Match[str]]) -> bool:
    between = (text[a.end() : b.start()] for a, b in pairwise(strings))
    return all(not gap.strip(" \t\n\\") for gap in between)


def _unescaped(body: str) -> bytes:
    data, at = bytearray(), 0
    for match in _ESCAPE.finditer(body):
        data += body[at : match.start()].encode()
        at = match.end()
        hexadecimal = match[1] or match[2]
        if hexadecimal:
            data.append(int(hexadecimal, 16))
        elif match[3]:
            data.append(int(match[3], 8) & 255)
        elif match[4] in _LETTERS:
            data.append(_LETTERS[match[4]])
        else:
            data += match[4].encode()
    return bytes(data + body[at:].encode())


def read_lists(text: str) -> list[Stream]:
    """Return the bytes of lists of numbers, in brackets or with commas between them."""
    text = _COMMENT.sub(" ", _CAST.sub("", text))
    sent: dict[str, list[bytes]] = {}
    for match in _LIST.finditer(text):
        data = _numbers(match[1])
        if data:
            peer = _PEER.search(text, max(0, match.start() - 40), match.start())
            sent.setdefault(peer[1] if peer else "", []).append(data)
    if not sent:
        lines = (_numbers(_LABEL.sub("", line)) for line in text.split("\n"))
        return [joined([b"".join(filter(None, lines))])] if "0x" in text or "," in text else []
    senders: dict[str, Literal["client", "server"]] = {"0": "client", "1": "server"}
    return [joined(parts, sender=senders.get(peer)) for peer, parts in sorted(sent.items())]


def _numbers(text: str) -> bytes | None:
    """Return the bytes of a list; None if it is not one of at least two numbers."""
    text = text.strip(" \t\n,;")
    items = re.split(r"[\s,;]+", text)
    if len(items) < 2:
        return None
    if all(len(item) == 2 for item in items) and "," not in text:
        return None
    data = bytearray()
    for item in items:
        if _ITEM.fullmatch(item) is None:
            return None
        number = int(item, 16 if "x" in item else 10)
        if not -128 <= number <= 255:
            return None
        data.append(number & 255)
    return bytes(data)


def read_digits(text: str) -> list[Stream]:
    """Return the bytes of plain hex digits: each line of the text one read, if there are several.

    Lines of one length are a text that was wrapped, and so is one that ends in a shorter line.
    """
    lines = text.split("\n")
    if (numbers := _decimals(text.split())) is not None:
        return [joined([numbers])]
    parts = []
    heads = set()
    for line in lines:
        if (run := _longest_run(line)) is not None:
            heads.add(_head(line[: run.start()]))
    for line in lines:
        data = _hexadecimal(line) or _behind(line, heads)
        if data:
            parts.append(data)
    if parts and any(line.strip() == "*" for line in lines):
        raise CaptureError(
            "rows were left out of this dump (*), and without offsets nobody knows how many: "
            "print it again with -v"
        )
    wrapped = len({len(part) for part in parts[:-1]}) == 1 and len(parts[-1]) <= len(parts[0])
    groups = [line.strip() for line in lines if line.strip()]
    words = any(" " in line for line in groups) and all(map(_WORDS.fullmatch, groups))
    notes = (_AS_THEY_STAND,) if words else ()
    return [joined([b"".join(parts)] if wrapped else parts, notes=notes)]


def _hexadecimal(line: str) -> bytes | None:
    if beside := _beside_characters(line.strip()):
        return beside
    bare = line.strip().strip("<>[](){}\"'").removeprefix("Buffer").strip()
    for text in (bare, _LABEL.sub("", bare)):
        items = [item for item in _SEPARATORS.split(text) if item]
        if items and all(map(_DIGITS.fullmatch, items)):
            return b"".join(bytes.fromhex(re.sub("0[xX]", "", item)) for item in items)
        if len(items) > 1 and all(map(_MARKED.fullmatch, items)):
            return bytes(int(item.strip("&hH$"), 16) for item in items)
        # Letters so far apart are characters: od -An -c.
        if "   " in text and all(len(item) == 1 for item in items):
            continue
        if len(items) >= _FEWEST and (data := _without_zeros(items, text.split())):
            return data
    run = _longest_run(line)
    return None if run is None else bytes.fromhex(re.sub("[ :-]", "", run[0]))


def _longest_run(line: str) -> re.Match[str] | None:
    return max(_WITHIN.finditer(line), key=lambda run: len(run[0]), default=None)


def _head(text: str) -> str:
    """Return what stands before the bytes of a line, with all numbers alike."""
    return _NUMBERED.sub("0", text)


def _behind(line: str, heads: set[str]) -> bytes | None:
    """Return the bytes of a line that has few, behind what stands before those of others."""
    for start in re.finditer(r"(?<![\w:.-])(?=[0-9a-fA-F]{2}\b)", line) if heads else ():
        run = _RUN.match(line, start.start())
        if run is not None and _head(line[: start.start()]) in heads:
            return bytes.fromhex(re.sub("[ :-]", "", run[1]))
    return None


def _decimals(items: list[str]) -> bytes | None:
    """Return the bytes of a text of nothing but decimal numbers, of which some are large."""
    items = [item.rstrip(",;") for item in items]
    if len(items) < _FEWEST or not all(map(_DECIMAL.fullmatch, items)):
        return None
    if not any(len(item) == 3 or item.startswith("-") for item in items):
        return None
    numbers = list(map(int, items))
    return bytes(number & 255 for number in numbers) if min(numbers) >= -128 else None


def _without_zeros(items: list[str], parts: list[str]) -> bytes | None:
    """Return the bytes of numbers without zeros in front: hexadecimal, or decimal ones.

    :param items: the numbers, apart
    :param parts: the same with what is no space between them, which may be signs
    """
    if all(map(_UNPADDED.fullmatch, items)) and not all(map(str.isdigit, items)):
        return bytes(int(item, 16) for item in items)
    return _decimals(parts)


def read_base64(text: str) -> list[Stream]:
    """Return the bytes of a text that is Base64 and nothing else, or says so of a word."""
    # Among other words it may be a part of a protocol of text, unless these say what it is.
    words = [word for word in text.split() if len(word) >= 32] if "base64" in text.lower() else []
    for one in (text, *(words if len(words) == 1 else ())):
        if data := _of_base64(one):
            return [joined([data])]
    return []


def _of_base64(text: str) -> bytes:
    """Return the bytes of Base64 (RFC 4648, sections 4 and 5); none if it is not."""
    kinds = (str.isupper, str.islower, str.isdigit)
    if (
        _BASE64.fullmatch(text) is None
        or _SPACED.search(text)
        or not all(any(map(kind, text)) for kind in kinds)
    ):
        return b""
    try:
        return base64.b64decode(
            "".join(text.split()).replace("-", "+").replace("_", "/"), validate=True
        )
    except ValueError:
        return b""


def _beside_characters(line: str) -> bytes | None:
    """Return the bytes of a row that ends with a column of the same as characters."""
    pairs = _PAIRS.match(line) if len(line) <= _LONGEST else None
    if pairs is None:
        return None
    whole = bytes.fromhex(pairs[0])
    # Some of the characters may look like bytes themselves.
    for size in range(len(whole), 1, -1):
        data, rest = whole[:size], line[len(" ".join(pairs[0].split()[:size])) :]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)
        if rest.strip() == shown.strip():
            return data
    return None
