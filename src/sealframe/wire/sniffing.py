"""Names a wrong peer from the first bytes it sent. Best effort, for error texts alone.

The marks: an HTTP method or status line (RFC 9112 sections 3 and 4; ``PRI`` is HTTP/2's preface,
RFC 9113 section 3.4), SSH's identification string (RFC 4253 section 4.2), the greetings of SMTP and
FTP (220), IMAP (``* OK``) and POP3 (``+OK``), the head of a TLS record (RFC 8446 section 5.1), and
both versions of the PROXY protocol (HAProxy, "The PROXY protocol", sections 2.1 and 2.2).
"""

from __future__ import annotations

from .. import wire
from . import Opcode

_HTTP_STARTS = (
    b"GET ",
    b"POST",
    b"PUT ",
    b"HEAD",
    b"OPTI",
    b"DELE",
    b"PATC",
    b"CONN",
    b"PRI ",
)
_PROXY_STARTS = (b"PROXY ", b"\r\n\r\n\0\r\n")
_GREETINGS = (b"220 ", b"220-", b"* OK", b"+OK ")


def diagnose(first: bytes, *, swapped_limit: int = 1 << 20) -> str:
    """Return what the peer probably is, ``""`` if no mark fits.

    :param first: the first bytes of the stream, 8 are enough
    :param swapped_limit: the largest length, read as big-endian, that is taken for one
    """
    if len(first) < 4:
        return ""
    start = first[:4]
    if start in _HTTP_STARTS:
        return _named(first, "an HTTP client")
    if start == b"HTTP":
        return _named(first, "an HTTP server")
    if first.startswith(_PROXY_STARTS):
        return (
            "a load balancer sends the PROXY protocol, which is not expected here: "
            "see proxy_protocol of serve()"
        )
    if start == b"SSH-":
        return _named(first, "an SSH peer")
    if start in _GREETINGS:
        return _named(first, "a mail or FTP server")
    # change_cipher_spec, alert or handshake; versions 3.0 to 3.4
    if first[0] in (0x14, 0x15, 0x16) and first[1] == 3 and first[2] <= 4:
        return "the first bytes are a TLS record: a TLS peer?"
    return _diagnose_own(first) or _diagnose_length(first, swapped_limit)


def _diagnose_own(first: bytes) -> str:
    if not first[3] & 0x80 or len(first) < 5:
        return ""
    if first[4] == Opcode.HANDSHAKE and wire.MAGIC.startswith(first[5:8]):
        return "the peer asks for a sealed connection: give both ends the key, or neither"
    if first[4] == Opcode.HELLO:
        return "the peer asks for an extended connection"
    if first[4] == Opcode.CLOSE:
        return "the peer refused with a CLOSE frame"
    return ""


def _diagnose_length(first: bytes, swapped_limit: int) -> str:
    if all(32 <= byte < 127 or byte in b"\r\n\t" for byte in first):
        return _named(first, "a peer that sends lines of text")
    little = int.from_bytes(first[:4], "little")
    big = int.from_bytes(first[:4], "big")
    if 0 < big <= swapped_limit and big < little:
        return f"read as big-endian the length is {big}: a peer with swapped byte order?"
    return ""


def _named(first: bytes, what: str) -> str:
    length = int.from_bytes(first[:4], "little")
    shown = first.decode("ascii", errors="replace")
    return f"length {length} is ASCII {shown[:4]!r}: {what}?"
