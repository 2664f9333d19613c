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

from .stream import Stream, joined

_STRING: Final = re.compile(
    r"""(?P<prefix>\b[bB][rR]?|\b[rR][bB])?
        (?P<quote>["'])(?P<body>(?:\\.|(?!(?P=quote))[^\\\n])*)(?P=quote)""",
    re.VERBOSE,
)
_ESCAPED: Final = re.compile(r"(?:\\x[0-9a-fA-F]{2}(?:[ -\[\]-~]*?(?=\\x))?)+")
r"""A run of ``\x..`` outside quotes, with characters between."""
_ESCAPED_LINE: Final = re.compile(r"[ \t]*(\\x[0-9a-fA-F]{2}[ -~]*)\r?")
r"""A line that begins with ``\x..``: what stands behind its last one are bytes as well."""
_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-fA-F]{1,2})|u00([0-9a-fA-F]{2})|([0-7]{1,3})|(.))")
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
_PAIRS: Final = re.compile(r"(?:[0-9a-fA-F]{2} )+(?:[0-9a-fA-F]{2}(?= ))?")
_SEPARATORS: Final = re.compile(r"[\s:,;-]+")
_UNPADDED: Final = re.compile(r"[0-9a-fA-F]{1,2}")
_DECIMAL: Final = re.compile(r"[01]?[0-9]{1,2}|2[0-4][0-9]|25[0-5]")
_WITHIN: Final = re.compile(r"(?<![\w:.-])(?:[0-9a-fA-F]{2}[ :-]){7,}[0-9a-fA-F]{2}(?![\w:-])")
"""Digits in a line of text, of 8 bytes at least: an address of hardware has 6."""
_FEWEST: Final = 8
_BASE64: Final = re.compile(r"[A-Za-z0-9+/\s]{40,}={0,2}\s*")


def read_strings(text: str) -> list[Stream]:
    """Return the bytes of quoted literals and of runs of escapes."""
    parts = []
    quoted = list(_STRING.finditer(text))
    # Of strings without a prefix only those that need to be bytes.
    some = [match for match in quoted if match["prefix"] or "\\x" in match["body"]]
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
    parts = []
    for line in text.split("\n"):
        data = _hexadecimal(line)
        if data:
            parts.append(data)
    wrapped = len({len(part) for part in parts[:-1]}) == 1 and len(parts[-1]) <= len(parts[0])
    return [joined([b"".join(parts)] if wrapped else parts)]


def _hexadecimal(line: str) -> bytes | None:
    if beside := _beside_characters(line.strip()):
        return beside
    bare = line.strip().strip("<>[](){}\"'").removeprefix("Buffer").strip()
    for text in (bare, _LABEL.sub("", bare)):
        items = [item for item in _SEPARATORS.split(text) if item]
        if items and all(map(_DIGITS.fullmatch, items)):
            return b"".join(bytes.fromhex(re.sub("0[xX]", "", item)) for item in items)
        # Letters so far apart are characters: od -An -c.
        if "   " in text and all(len(item) == 1 for item in items):
            continue
        if len(items) >= _FEWEST and (data := _without_zeros(items)):
            return data
    within = max(_WITHIN.findall(line), key=len, default="")
    return bytes.fromhex(re.sub("[ :-]", "", within)) or None


def _without_zeros(items: list[str]) -> bytes | None:
    """Return the bytes of numbers without zeros in front: hexadecimal, or decimal ones."""
    if all(map(_UNPADDED.fullmatch, items)) and not all(map(str.isdigit, items)):
        return bytes(int(item, 16) for item in items)
    if all(map(_DECIMAL.fullmatch, items)) and any(len(item) == 3 for item in items):
        return bytes(map(int, items))
    return None


def read_base64(text: str) -> list[Stream]:
    """Return the bytes of a text that is Base64 and nothing else."""
    kinds = (str.isupper, str.islower, str.isdigit)
    if _BASE64.fullmatch(text) is None or not all(any(map(kind, text)) for kind in kinds):
        return []
    try:
        return [joined([base64.b64decode("".join(text.split()), validate=True)])]
    except ValueError:
        return []


def _beside_characters(line: str) -> bytes | None:
    """Return the bytes of a row that ends with a column of the same as characters."""
    pairs = _PAIRS.match(line)
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
