"""Short messages, mobile networks."""

from __future__ import annotations

from typing import Final

from ..layout import Framing
from .entry import Entry

SMPP: Final = Framing(byteorder="big", includes_header=True, strip=0, minimum=16)
"""SMPP: a message is a PDU, from its command length on."""

DIAMETER: Final = Framing(
    magic=b"\x01", offset=1, width=3, byteorder="big", includes_header=True, strip=0, minimum=20
)
"""Diameter: a message has its header of 20 bytes."""

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
)
"""All of this module."""
