"""Cards and banks. ISO 8583 defines the message and leaves the frame to each network."""

from __future__ import annotations

from typing import Final

from ..layout import Framing
from .entry import Entry

_SOURCE: Final = "Convention of the network; ISO 8583 defines only the message"
_PIPELINING: Final = "Yes; the trace number (field 11) and others tell answers apart."
_FIRST: Final = "Either end; mostly a sign-on (MTI 0800) first."
_HEARTBEATS: Final = "An echo test (MTI 0800, field 70 = 301), or a frame without a message."

ISO_8583_BINARY: Final = Framing(width=2, byteorder="big")
"""ISO 8583 behind two bytes of length, big-endian."""

ISO_8583_BINARY_4: Final = Framing(byteorder="big")
"""ISO 8583 behind four bytes of length, big-endian."""

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
)
"""All of this module."""
