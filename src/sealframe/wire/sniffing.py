"""Names a wrong peer from the first bytes it sent. Best effort, for error texts alone.

The marks: an HTTP method or status line (RFC 9112 sections 3 and 4; ``PRI`` is HTTP/2's preface,
RFC 9113 section 3.4), SSH's identification string (RFC 4253 section 4.2), the greetings of SMTP and
FTP (220), IMAP (``* OK``) and POP3 (``+OK``), the head of a TLS record (RFC 8446 section 5.1), and
both versions of the PROXY protocol (HAProxy, "The PROXY protocol", sections 2.1 and 2.2).
"""

from __future__ import annotations

from typing import Literal

from .. import wire
from ..framing import FrameLayout, Framing
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
_PROXY = (
    "a load balancer sends the PROXY protocol, which is not expected here: "
    "see proxy_protocol of serve()"
)
_SWAPPED_LIMIT = 1 << 20
"""The largest length, read in the other byte order, that is taken for one."""
_OWN = (Opcode.HANDSHAKE, Opcode.HELLO)
"""The first frames of sealframe's own protocol that a client sends."""


def diagnose(first: bytes, *, swapped_limit: int = _SWAPPED_LIMIT) -> str:
    """Return what the peer probably is, ``""`` if no mark fits.

    :param first: the first bytes of the stream, 8 are enough
    :param swapped_limit: the largest length, read as big-endian, that is taken for one
    """
    if len(first) < 4:
        return ""
    if first.startswith(_PROXY_STARTS):
        return _PROXY
    named = _diagnose_protocol(first)
    if named:
        return _named(first, named)
    if _is_tls(first):
        return "the first bytes are a TLS record: a TLS peer?"
    return _diagnose_own(first) or _diagnose_length(first, swapped_limit)


def begins_sealed(first: bytes) -> bool:
    """Return whether a stream begins with a handshake frame, as sealed ones do at both ends."""
    return len(first) > 4 and bool(first[3] & 0x80) and first[4] == Opcode.HANDSHAKE


def diagnose_foreign(
    first: bytes, layout: FrameLayout, *, received: int = 0, frame_size: int = 0
) -> str:
    """Return what a peer probably is that does not speak a foreign layout, ``""`` if no mark fits.

    :param first: the first bytes of the stream, 8 are enough
    :param received: where the stream ended inside its first frame, how many bytes of that came
    :param frame_size: bytes of that frame in all; 0 where they are not known
    """
    if len(first) < 4 or _begins_as_it_should(first, layout):
        return ""
    if first.startswith(_PROXY_STARTS):
        return _PROXY
    named = _diagnose_protocol(first)
    if named:
        return f"the first bytes are {first[:8]!r}: {named}?"
    if _is_tls(first):
        return "the first bytes are a TLS record: a TLS peer?"
    own = len(first) > 5 and first[3] & 0x80 and first[4] in _OWN
    if own and wire.MAGIC.startswith(first[5:8]):
        return "the peer speaks sealframe's own protocol: leave framing= away"
    if isinstance(layout, Framing) and layout.size_decides and not layout.varint:
        return _diagnose_field(first, layout, received, frame_size)
    return ""


def _begins_as_it_should(first: bytes, layout: FrameLayout) -> bool:
    """Return whether this is how a peer of a layout with preambles begins: "PRI " for one."""
    preambles = layout.preamble("client"), layout.preamble("server")
    return any(preamble.startswith(first[:4]) for preamble in preambles)


def _diagnose_field(first: bytes, framing: Framing, received: int, frame_size: int) -> str:
    """Return how a length of fixed width seems to be written, where it is not as it should be."""
    layout = framing.layout
    header = layout.offset + layout.width
    field = first[layout.offset : header]
    if len(field) < layout.width:
        return ""
    value = int.from_bytes(field, framing.byteorder)
    # Of a frame that came in part the length is legal, and text may well be inside.
    if not received and _is_text(first):
        return f"the first bytes are {first[:8]!r}: a peer that sends lines of text?"
    other: Literal["little", "big"] = "little" if layout.big_endian else "big"
    swapped = int.from_bytes(field, other)
    # One frame and no more, as the other order would have it, is no chance.
    fits = swapped + layout.extra == received if received else swapped <= _SWAPPED_LIMIT
    if 0 < swapped < value and fits and layout.smallest <= swapped <= layout.largest:
        return f"read as {other}-endian the length is {swapped}: a peer with swapped byte order?"
    if not received and framing.includes_header and value < header:
        return "does this peer's length not count the header? Then leave includes_header away"
    if received and frame_size - received == header and not framing.includes_header:
        return (
            "as many bytes are missing as the header has: does this peer's length count it "
            "(includes_header=True)?"
        )
    return ""


def _diagnose_protocol(first: bytes) -> str:
    """Return who begins in this way, ``""`` if nobody is known to."""
    start = first[:4]
    if start in _HTTP_STARTS:
        return "an HTTP client"
    if start == b"HTTP":
        return "an HTTP server"
    if start == b"SSH-":
        return "an SSH peer"
    if start in _GREETINGS:
        return "a mail or FTP server"
    return ""


def _is_tls(first: bytes) -> bool:
    # change_cipher_spec, alert or handshake; versions 3.0 to 3.4
    return first[0] in (0x14, 0x15, 0x16) and first[1] == 3 and first[2] <= 4


def _is_text(first: bytes) -> bool:
    return all(32 <= byte < 127 or byte in b"\r\n\t" for byte in first)


def _diagnose_own(first: bytes) -> str:
    if not first[3] & 0x80 or len(first) < 5:
        return ""
    if begins_sealed(first) and wire.MAGIC.startswith(first[5:8]):
        return "the peer asks for a sealed connection: give both ends the key, or neither"
    if first[4] == Opcode.HELLO:
        return "the peer asks for an extended connection"
    if first[4] == Opcode.CLOSE:
        return "the peer refused with a CLOSE frame"
    return ""


def _diagnose_length(first: bytes, swapped_limit: int) -> str:
    if _is_text(first):
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
