"""Cards and banks. ISO 8583 defines the message and leaves the frame to each network."""

from __future__ import annotations

from typing import Final

from ..layout import Framing
from ..numbers import Bcd, Digits
from .entry import Entry

_SOURCE: Final = "Convention of the network; ISO 8583 defines only the message"
_PIPELINING: Final = "Yes; the trace number (field 11) and others tell answers apart."
_FIRST: Final = "Either end; mostly a sign-on (MTI 0800) first."
_HEARTBEATS: Final = "An echo test (MTI 0800, field 70 = 301), or a frame without a message."

ISO_8583_BINARY: Final = Framing(width=2, byteorder="big")
"""ISO 8583 behind two bytes of length, big-endian."""

ISO_8583_BINARY_4: Final = Framing(byteorder="big")
"""ISO 8583 behind four bytes of length, big-endian."""

ISO_8583_ASCII: Final = Framing(length=Digits(4))
"""ISO 8583 behind four decimal digits in ASCII."""

ISO_8583_BCD: Final = Framing(length=Bcd(2))
"""ISO 8583 behind two bytes of BCD."""

ENTRIES: Final = (
    Entry(
        name="iso-8583-binary",
        layout=ISO_8583_BINARY,
        title="ISO 8583 behind a length of two bytes, big-endian",
        source=_SOURCE,
        pipelining=_PIPELINING,
        empty_frames="Some networks use a length of 0 as a heartbeat.",
        first_packet=_FIRST,
        heartbeats=_HEARTBEATS,
        limits="65,535 bytes.",
        notes=(
            "Where a TPDU of 5 bytes comes between length and message, it is a part of the message "
            "here. A network that counts the length itself wants includes_header=True."
        ),
        recorded=("iso8583sim 1.6.0",),
    ),
    Entry(
        name="iso-8583-binary-4",
        layout=ISO_8583_BINARY_4,
        title="ISO 8583 behind a length of four bytes, big-endian",
        source=_SOURCE,
        pipelining=_PIPELINING,
        empty_frames="Some networks use a length of 0 as a heartbeat.",
        first_packet=_FIRST,
        heartbeats=_HEARTBEATS,
        recorded=("iso8583sim 1.6.0",),
    ),
    Entry(
        name="iso-8583-ascii",
        layout=ISO_8583_ASCII,
        title="ISO 8583 behind a length of four decimal digits in ASCII",
        source=_SOURCE,
        pipelining=_PIPELINING,
        empty_frames="Some networks use 0000 as a heartbeat.",
        first_packet=_FIRST,
        heartbeats=_HEARTBEATS,
        limits="9,999 bytes.",
        notes="A network that counts the digits too wants includes_header=True.",
        recorded=("iso8583sim 1.6.0",),
    ),
    Entry(
        name="iso-8583-bcd",
        layout=ISO_8583_BCD,
        title="ISO 8583 behind a length of four decimal digits in two bytes of BCD",
        source=_SOURCE,
        pipelining=_PIPELINING,
        first_packet=_FIRST,
        heartbeats=_HEARTBEATS,
        limits="9,999 bytes.",
        notes="There are no bytes of a real program in the tests for it.",
    ),
)
"""All of this module."""
