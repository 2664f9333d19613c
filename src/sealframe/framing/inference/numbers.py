"""Explains a suspicious length: what the four bytes are that somebody read as a number."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final

from .beginnings import beginning_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["explain_number"]

_WORDS: Final = {
    b"GET ": "an HTTP request begins so",
    b"POST": "an HTTP request begins so",
    b"PUT ": "an HTTP request begins so",
    b"HEAD": "an HTTP request begins so",
    b"DELE": "an HTTP request (DELETE) or FTP begins so",
    b"OPTI": "an HTTP request (OPTIONS) begins so",
    b"PATC": "an HTTP request (PATCH) begins so",
    b"CONN": "an HTTP request (CONNECT) begins so",
    b"PRI ": "HTTP/2 begins so, with its preface",
    b"HTTP": "an HTTP response begins so",
    b"SSH-": "SSH begins so",
    b"PROX": "a PROXY header of a load balancer begins so",
    b"AMQP": "AMQP begins so, with its protocol header",
    b"RTSP": "RTSP begins so",
    b"Cont": "a header line such as Content-Length begins so",
    b"Host": "a header line begins so",
    b"EHLO": "SMTP begins so",
    b"HELO": "SMTP begins so",
    b"220 ": "the greeting of an SMTP or FTP server begins so",
    b"+OK ": "the greeting of a POP3 server begins so",
    b"* OK": "the greeting of an IMAP server begins so",
    b"+PON": "a reply of Redis begins so",
    b"PING": "IRC, NATS or Redis say so",
    b"INFO": "NATS begins so",
    b"ZBXD": "a packet of Zabbix begins so",
    b"JDWP": "the handshake of JDWP begins so",
    b"<?xm": "XML begins so",
    b"<htm": "HTML begins so",
    b"<!DO": "HTML begins so",
    b"RIFF": "a WAV or AVI file begins so",
}
_BINARY: Final = (
    (
        re.compile(rb"\x16\x03([\x00-\x04]|$)"),
        "a TLS handshake: the peer speaks TLS and you do not",
    ),
    (re.compile(rb"\x15\x03([\x00-\x04]|$)"), "a TLS alert: the peer expects TLS and refuses"),
    (re.compile(rb"[\x14\x17]\x03[\x00-\x04]"), "a TLS record: the stream is encrypted"),
    (
        re.compile(rb"\x03\x00[\x00-\x0f][\x07-\xff]"),
        "the head of a TPKT packet (S7, RDP): 03 00, then the size",
    ),
    (re.compile(rb"\r\n\r\n"), "a binary PROXY header, or the empty line after HTTP headers"),
    (re.compile(rb"\xef\xbb\xbf"), "the byte order mark of UTF-8: text follows"),
    (re.compile(rb"\xff\xfe|\xfe\xff"), "the byte order mark of UTF-16: text follows"),
    (re.compile(rb"\xff\x53\x4d\x42"), "the head of an SMB 1 message"),
    (re.compile(rb"\xfeSMB"), "the head of an SMB 2 message"),
    (re.compile(rb"\x78[\x01\x5e\x9c\xda]"), "the head of data compressed by zlib"),
    (re.compile(rb"\xde\xad\xbe\xef|\xca\xfe\xba\xbe|\xcd{4}|\xcc{4}|\xfe\xed\xfa"), "a marker"),
)
_SMALL: Final = 1 << 20
_SWAPPED: Final = 1 << 15


def explain_number(number: int) -> list[str]:
    """Return what a number may be that was read as a length and cannot be one.

    :param number: the number, as an error message or a debugger shows it; may be negative
    :returns: sentences, the likeliest first; empty where the number is nothing special
    """
    if number < 0:
        return _negative(number)
    if number >= 1 << 64:
        return ["This is over 2^64: no length field of 8 bytes holds it."]
    if number < 1 << 8:
        return []
    width = 2 if number < 1 << 16 else 4 if number < 1 << 32 else 8
    big = number.to_bytes(width, "big")
    orders = ((big, "big"), (big[::-1], "little"))
    known = [sentence for data, order in orders for sentence in _known(data, order)]
    if known or width == 2:
        return known
    if adjusted := list(_adjusted(number, width)):
        return adjusted
    text = next((sentence for data, order in orders for sentence in _text(data, order)), None)
    if text:
        return [text]
    found = [*_special(number, width), *_swapped(number, big)]
    if width == 4 and not found:
        found += _as_float(orders)
    return found or list(_shifted(number, big))


def _negative(number: int) -> list[str]:
    for width in (2, 4, 8):
        if number >= -(1 << 8 * width - 1):
            unsigned = number + (1 << 8 * width)
            return [
                (
                    f"A length is never negative: it was read as a signed number. Unsigned, the "
                    f"{width} bytes are {unsigned:,} ({unsigned:#x})."
                ),
                *explain_number(unsigned),
            ]
    return ["This is below -2^63: no length field of 8 bytes holds it."]


def _shown(data: bytes, order: str) -> str:
    return f"Read as {order}-endian, the bytes are {data.hex(' ')}"


def _known(data: bytes, order: str) -> Iterator[str]:
    """Yield what begins with such bytes."""
    for word, meaning in _WORDS.items():
        if data.startswith(word[: len(data)]):
            yield f"{_shown(data, order)}, {_quoted(data)}: {meaning}. That is another protocol."
            return
    for pattern, meaning in _BINARY:
        if pattern.match(data):
            yield f"{_shown(data, order)}: {meaning}."
            return
    beginning = beginning_of(data)
    if beginning and len(data) > 2:
        yield f"{_shown(data, order)}: {beginning.short} begins so."


def _adjusted(number: int, width: int) -> Iterator[str]:
    """Yield what a number is that has the size of the field or the header added to it.

    Netty's ``LengthFieldBasedFrameDecoder`` tells that sum as the adjusted frame length.
    """
    for added in (4, 8, 2):
        data = (number - added).to_bytes(width, "big")
        # Only whole words: of a few bytes some begin like anything.
        for read, order in ((data, "big"), (data[::-1], "little")):
            if read in _WORDS:
                known = ", ".join(_known(read, order))
                yield f"Less {added}, which the header adds in an adjusted frame length: {known}"
                return


def _text(data: bytes, order: str) -> Iterator[str]:
    """Yield which characters the bytes are."""
    if data.isdigit():
        yield (
            f"{_shown(data, order)}, the digits {_quoted(data)}: the length is written as text, "
            f"length=Digits({len(data)}) or digits up to a delimiter."
        )
    elif _is_text(data):
        yield (
            f"{_shown(data, order)}, the text {_quoted(data)}: what was read as a length is part "
            "of a message. The frame before was cut too short or too long, or there is no length."
        )
    elif _is_text(data[::2]) and not any(data[1::2]):
        yield f"{_shown(data, order)}, the text {_quoted(data[::2])} in UTF-16: part of a message."


def _quoted(data: bytes) -> str:
    return (
        '"'
        + data.decode("ascii", "backslashreplace").replace("\r", r"\r").replace("\n", r"\n")
        + '"'
    )


def _is_text(data: bytes) -> bool:
    return all(0x20 <= byte < 0x7F or byte in b"\t\r\n" for byte in data)


def _swapped(number: int, big: bytes) -> Iterator[str]:
    other = int.from_bytes(big, "little")
    if other < _SWAPPED and other < number >> 4:
        yield (
            f"In the other byte order it is {other:,}: "
            'change byteorder from "big" to "little", or the reverse.'
        )


def _shifted(number: int, big: bytes) -> Iterator[str]:
    if number >= 1 << 32:
        upper, lower = number >> 32, number & 0xFFFFFFFF
        if lower < _SMALL or upper < _SMALL:
            yield (f"Its halves are {upper:,} and {lower:,}: the length may have 4 bytes, not 8.")
        return
    for width in (2, 1):
        low, rest = divmod(number, 256**width)
        if not rest and low < 4096:
            yield (
                f"It is {low:,} x {256**width:,}: the field was read {width} byte"
                f"{'s' if width > 1 else ''} off, or is narrower than {len(big)} bytes."
            )
            return


def _special(number: int, width: int) -> Iterator[str]:
    bits = 8 * width
    if number == (1 << bits - 1) - 1:
        yield f"It is the largest signed number of {bits} bits: a limit, or a mark for no length."
    if number >= 1 << bits - 1:
        negative = number - (1 << bits)
        if negative > -_SMALL:
            yield f"As a signed number it is {negative:,}: an error code, or -1 for nothing."
        rest = number & (1 << bits - 1) - 1
        if 0 < rest < _SMALL:
            yield (
                f"Without its top bit it is {rest:,}: the bit may be a flag (RFC 5531 record "
                f"marks have one): length=Uint({width}, mask={(1 << bits - 1) - 1:#x})."
            )


def _as_float(orders: tuple[tuple[bytes, str], ...]) -> Iterator[str]:
    for data, order in orders:
        value = struct.unpack(">f", data)[0]
        if 1e-3 <= abs(value) <= 1e6 and f"{value:.3g}" == f"{value:.6g}":
            yield f"Read as {order}-endian, the bytes are the floating-point number {value:g}."
            return
