"""What bytes are whose beginning is known: protocols that have no length in front, and files."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["BEGINNINGS", "Beginning", "beginning_of"]


class Beginning(NamedTuple):
    """How bytes of a kind begin, and what to say of them."""

    pattern: re.Pattern[bytes]
    short: str
    sentence: str


_TABLE: Final = (
    (
        rb"(GET|POST|PUT|HEAD|DELETE|OPTIONS|PATCH|TRACE|CONNECT) \S{1,4000} HTTP/1\.",
        "an HTTP request",
        (
            "This is HTTP/1, a request: header lines, then a body of Content-Length bytes "
            "or in chunks. No length stands in front of a message."
        ),
    ),
    (
        rb"HTTP/1\.[01] \d\d\d",
        "an HTTP response",
        (
            "This is HTTP/1, a response: header lines, then a body of Content-Length bytes "
            "or in chunks. No length stands in front of a message."
        ),
    ),
    (
        rb"\x16\x03[\x00-\x04]|[\x14\x15\x17]\x03[\x01-\x04][\x00-\x48][\s\S]",
        "TLS",
        (
            "This is TLS: its records can be cut, but what is framed inside is encrypted. "
            "Capture behind the encryption, or log the keys and decrypt."
        ),
    ),
    (
        rb"SSH-[12]\.\d",
        "SSH",
        (
            "This is SSH: a line of text with the version, then packets whose lengths are "
            "encrypted in most ciphers."
        ),
    ),
    (
        # docs/PROTOCOL.md, sections 4 and 6: a head with bit 31, the opcode, the magic.
        rb"[\s\S]{3}\x80\x42sealfram",
        "sealframe's own protocol",
        (
            "This is sealframe's own protocol, an extended connection: a 32-bit little-endian "
            "length before each frame, with bit 31 set in control frames, of which this HELLO is "
            'one. Use it with sealframe, without framing=; "sealframe decrypt" prints a capture '
            "of it."
        ),
    ),
    (
        rb"[\s\S]{3}\x80\x41sealfram",
        "a sealed connection of sealframe",
        (
            "This is sealframe's own protocol, a sealed connection: its records can be cut, but "
            'what is framed inside is encrypted. "sealframe decrypt" reads a capture of it with '
            "the key log of one of its ends."
        ),
    ),
    (
        rb"PROXY (TCP[46]|UNKNOWN)",
        "a PROXY header, version 1",
        (
            "This begins with a PROXY header, a line of text that a load balancer puts in "
            "front; cut it off, then what follows can be looked at."
        ),
    ),
    (
        rb"\r\n\r\n\x00\r\nQUIT\n",
        "a PROXY header, version 2",
        (
            "This begins with a binary PROXY header, which a load balancer puts in front; "
            "cut it off, then what follows can be looked at."
        ),
    ),
    (
        rb"(?i:Content-Length: *\d+\r?\n|Content-Type: [^\r\n]+\r?\nContent-Length)",
        "header lines with Content-Length",
        (
            "These are header lines with Content-Length before each message, as LSP and DAP "
            "write them: HeaderLines()."
        ),
    ),
    (
        rb"RTSP/1\.0 \d|[A-Z_]{4,13} rtsp://",
        "RTSP",
        ("This is RTSP: header lines as in HTTP, and interleaved binary frames between them."),
    ),
    (
        rb"[0-9a-f]{4}(git-(upload|receive)-pack |[0-9a-f]{40} |version [12]\n|# service=git)",
        "Git",
        (
            "This is Git's protocol: pkt-lines, each behind 4 hexadecimal digits that count "
            "themselves. 0000, 0001 and 0002 have nothing behind them, which no layout here says."
        ),
    ),
    (
        rb"\x1f\x8b\x08",
        "gzip",
        "This is compressed by gzip: decompress it first.",
    ),
    (
        rb"\x28\xb5\x2f\xfd",
        "Zstandard",
        "This is compressed by Zstandard: decompress it first.",
    ),
    (
        rb"\x04\x22\x4d\x18",
        "LZ4",
        "This is compressed by LZ4: decompress it first.",
    ),
    (
        rb"BZh[1-9]1AY",
        "bzip2",
        "This is compressed by bzip2: decompress it first.",
    ),
    (
        rb"\xfd7zXZ\0",
        "xz",
        "This is compressed by xz: decompress it first.",
    ),
    (
        rb"PK\x03\x04",
        "a ZIP file",
        "This is a ZIP file (or a JAR, DOCX, XLSX), not a stream.",
    ),
    (
        rb"\x7fELF",
        "an ELF file",
        "This is an ELF file, a program or a library, not a stream.",
    ),
    (
        rb"MZ[\s\S]{58}",
        "a Windows program",
        "This is a Windows program, not a stream.",
    ),
    (
        rb"\x89PNG\r\n",
        "a PNG image",
        "This is a PNG image, not a stream of messages.",
    ),
    (
        rb"\xff\xd8\xff",
        "a JPEG image",
        "This is a JPEG image, not a stream of messages.",
    ),
    (
        rb"GIF8[79]a",
        "a GIF image",
        "This is a GIF image, not a stream of messages.",
    ),
    (
        rb"%PDF-",
        "a PDF file",
        "This is a PDF file, not a stream of messages.",
    ),
    (
        rb"SQLite format 3",
        "an SQLite file",
        "This is an SQLite file, not a stream.",
    ),
    (
        rb"\xd4\xc3\xb2\xa1|\xa1\xb2\xc3\xd4|\x4d\x3c\xb2\xa1|\xa1\xb2\x3c\x4d",
        "a pcap file",
        ("This is a pcap file: the packets in it are to be looked at, not the file's bytes."),
    ),
    (
        rb"\x0a\x0d\x0d\x0a[\s\S]{4}(\x4d\x3c\x2b\x1a|\x1a\x2b\x3c\x4d)",
        "a pcapng file",
        ("This is a pcapng file: the packets in it are to be looked at, not the file's bytes."),
    ),
)

BEGINNINGS: Final = tuple(
    Beginning(re.compile(pattern), short, sentence) for pattern, short, sentence in _TABLE
)


def beginning_of(data: bytes) -> Beginning | None:
    """Return how these bytes begin, if that is known."""
    head = data[:4200]
    for beginning in BEGINNINGS:
        if beginning.pattern.match(head):
            return beginning
    return None
