"""Short messages, mobile networks, calls."""

from __future__ import annotations

import re
from typing import Final

from ...errors import MalformedLengthError
from ..choice import Choice
from ..layout import Framing
from ..sized import Sized
from .entry import Entry

SMPP: Final = Framing(byteorder="big", includes_header=True, strip=0, minimum=16)
"""SMPP: a message is a PDU, from its command length on."""

DIAMETER: Final = Framing(
    magic=b"\x01", offset=1, width=3, byteorder="big", includes_header=True, strip=0, minimum=20
)
"""Diameter: a message has its header of 20 bytes."""

_SIP_LENGTH: Final = re.compile(
    rb"\r\n(?:content-length|l)[ \t]*:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE
)


def sip_size(head: bytes) -> int:
    """Return the size of a message with this header, whichever way its length is named.

    :raises MalformedLengthError: it has no Content-Length, or several
    """
    # Each line ends where the next begins: both have to find the end of line between them.
    found = _SIP_LENGTH.findall(head.replace(b"\r\n", b"\r\n\r\n"))
    if len(found) != 1:
        raise MalformedLengthError(
            f"a message of SIP over a stream has one Content-Length (or l), not {len(found)}"
        )
    return len(head) + int(found[0])


def _sip_keepalive(head: bytes) -> int:
    """Return the size of a line that keeps a connection alive, an empty one."""
    return len(head)


_SIP_MESSAGE: Final = Sized(sip_size, head=65_536, until=b"\r\n\r\n")
_SIP_KEEPALIVE: Final = Sized(_sip_keepalive, head=2)


def sip_layout(head: bytes) -> Sized:
    """Return the layout of what begins so: an empty line keeps the connection alive."""
    return _SIP_KEEPALIVE if head == b"\r\n" else _SIP_MESSAGE


SIP: Final = Choice(sip_layout, head=2)
"""SIP over TCP or TLS: a message is a request or a response, whole, or an empty line."""

ENTRIES: Final = (
    Entry(
        name="smpp",
        layout=SMPP,
        title="SMPP: command length of all, command, status, sequence number, body",
        source="SMPP v3.4, section 3.2; SMPP v5.0, section 3.2",
        ports=(2775, 3550),
        pipelining=(
            "Yes, within a window that the provider sets; SMPP v3.4 recommends 10 at most. "
            "Sequence numbers tell."
        ),
        empty_frames="enquire_link, unbind and generic_nack are a header alone, 16 bytes.",
        first_packet="The client binds; a server may send outbind before.",
        heartbeats="enquire_link from either end; it wants enquire_link_resp.",
        notes="minimum= without strip=0 would be 12: a legal enquire_link is 16 bytes in all.",
        recorded=("smpplib 2.2.4", "smpp 0.5.1 (npm)"),
    ),
    Entry(
        name="diameter",
        layout=DIAMETER,
        title="Diameter: version 1, length of all in three bytes, 16 more bytes of header, AVPs",
        source="RFC 6733, section 3",
        ports=(3868, 5658),
        pipelining="Yes; the hop-by-hop identifier tells answers apart.",
        empty_frames="Not in practice: every command has AVPs.",
        first_packet="The client sends CER, and nothing else before CEA.",
        heartbeats="DWR from either end after Tw (30 s by default, RFC 3539); it wants DWA.",
        limits="16,777,212 bytes: the length has 24 bits and is a multiple of 4.",
        notes="5658 is the port for TLS.",
        recorded=("python-diameter 0.9.0",),
    ),
    Entry(
        name="sip",
        layout=SIP,
        title="SIP over TCP or TLS: start line, header lines, body",
        source="RFC 3261, sections 7.3.3 (short names), 18.3 and 20.14; RFC 5626, section 4.4.1",
        ports=(5060, 5061),
        pipelining="Yes: responses have the Via branch and the CSeq of their request.",
        empty_frames=(
            "The body may be empty: Content-Length is 0 then. Two empty lines are a ping, and one "
            "is its answer; each line is a message of two bytes here."
        ),
        first_packet="Either end sends requests.",
        heartbeats="Two empty lines where outbound (RFC 5626) is used, or OPTIONS.",
        limits="None in the text; this layout takes headers of 65,536 bytes, and 16 MiB in all.",
        notes=(
            "Content-Length may be written l. It has to be there over a stream: without it this "
            "layout refuses a message, where the specification has servers answer 400."
        ),
        recorded=("SIPp 3.6.1 (Debian)",),
    ),
)
"""All of this module."""
