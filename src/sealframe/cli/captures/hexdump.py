"""Dumps as people paste them: text in, bytes out.

A dump with offsets (xxd, hexdump, od, tcpdump -X, Wireshark, gdb) is read line by line in
:mod:`.offsets`, one of cells (od -c) in :mod:`.cells`; literals of programs
(``b"\\x00"``, ``{0x00, 5}``) and plain digits in :mod:`.literals`. Lines that
are no part of a dump are left out.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from . import cells, literals, offsets
from .stream import CaptureError, Stream

_CERTAIN: Final = re.compile(
    r"\\x\{?[0-9a-fA-F]{2}|\\[0-3][0-7]{2}|(?:(?:\([\w ]+\))?\s*0x[0-9a-fA-F]{1,2}\b[\s,]*){3}"
)
"""Escapes and lists of numbers, which no protocol sends as characters."""
_READERS: Final = (
    literals.read_strings,
    literals.read_quoted,
    literals.read_lists,
    literals.read_digits,
    literals.read_base64,
)
_SAMPLE: Final = 64 * 1024
"""Characters in which a dump with offsets is to begin."""


def read(text: str) -> list[Stream]:
    """Return the streams in a text.

    :raises CaptureError: there is no dump in it
    """
    text = text.replace("\r\n", "\n").replace("\N{NO-BREAK SPACE}", " ")
    if found := cells.read(text):
        return found
    dumps = offsets.read(text)
    if dumps:
        return offsets.streams(dumps)
    for reader in _READERS if not offsets.has_sizes(text) else ():
        streams = [stream for stream in reader(text) if stream.data]
        if streams:
            return streams
    raise CaptureError(
        "there are no bytes in this text: paste the output of xxd, hexdump -C, od, tcpdump -X or "
        r"Wireshark, plain hex digits, or a literal such as b'\x00\x05' or [0, 5]"
    )


def find(data: bytes) -> list[Stream]:
    """Return the streams in a file that is a text with a dump; none where it is the bytes itself.

    Plain digits and lists have to be half of the text: a protocol may be text too.
    """
    try:
        # A character may be cut at the end of what was read.
        text = data.decode() if data.isascii() else data[:-4].decode()
        if any(ord(char) < 32 and char not in "\t\n\r" for char in text):
            return []
        streams = read(text)
    except (UnicodeDecodeError, CaptureError):
        return []
    size = sum(len(stream.data) for stream in streams)
    sample = text[:_SAMPLE]
    unmistakable = _CERTAIN.search(text) or cells.read(sample) or offsets.read(sample)
    if not unmistakable and 8 * size < len("".join(text.split())):
        return []
    note = f"read as a dump of {size:,} bytes; --raw takes the characters themselves"
    return [replace(streams[0], notes=(note, *streams[0].notes)), *streams[1:]]
