"""What routers and name servers tell those who watch them or feed them."""

from __future__ import annotations

from typing import Final

from ..layout import Framing
from ..sized import Sized
from .entry import Entry

RTR: Final = Framing(
    offset=4, width=4, byteorder="big", includes_header=True, strip=0, minimum=8, maximum=65_536
)
"""RPKI to Router: a message is a PDU with its header of 8 bytes."""


def frame_streams_size(head: bytes) -> int | None:
    """Return the size of a frame of data, or of one of control behind a length of 0.

    None asks for more bytes.
    """
    size = int.from_bytes(head[:4], "big")
    if size:
        return 4 + size
    return 8 + int.from_bytes(head[4:8], "big") if len(head) >= 8 else None


FRAME_STREAMS: Final = Sized(frame_streams_size, head=(4, 8))
"""Frame Streams, which carry dnstap: a message is a frame with its length in front."""

IPFIX: Final = Framing(
    offset=2,
    width=2,
    byteorder="big",
    includes_header=True,
    strip=0,
    minimum=16,
    magic=b"\x00\x0a",
)
"""IPFIX over TCP: a message has its header of 16 bytes."""

ENTRIES: Final = (
    Entry(
        name="rtr",
        layout=RTR,
        title="RPKI to Router: version, type, session or zero, length of all, contents",
        source="RFC 8210, section 5",
        ports=(323, 324),
        pipelining="No: a router waits for End of Data before it asks again.",
        empty_frames="Reset Query, Cache Reset and Cache Response are a header alone, 8 bytes.",
        first_packet="The router sends Reset Query, or Serial Query if it knows a serial number.",
        heartbeats="None; a cache may send Serial Notify, a router asks each refresh interval.",
        limits=(
            "None but those of the types: the largest are Router Key and Error Report. This layout "
            "takes 65,536 bytes."
        ),
        notes="Port 324 is that over TLS. Many caches listen at 3323 or 8282 in place of 323.",
        recorded=("rtrlib 0.8.0 (Debian)", "stayrtr 0.5.1 (Debian)"),
    ),
    Entry(
        name="frame-streams",
        layout=FRAME_STREAMS,
        title="Frame Streams, which carry dnstap: length, data; or 0, length, control frame",
        source="fstrm, fstrm/control.h: control frames; README of fstrm, encapsulation",
        pipelining="Yes: data is not answered.",
        empty_frames="None: a length of 0 begins a control frame.",
        first_packet=(
            "With a handshake the sender sends READY and waits for ACCEPT, then sends START; "
            "without one it begins with START."
        ),
        heartbeats="None. STOP ends the stream, which a receiver answers with FINISH.",
        limits=(
            "512 bytes a control frame. Of data the reader of libfstrm takes 1 MiB by default, "
            "fstrm_capture 262,144 bytes unless it is given a larger buffer."
        ),
        notes=(
            "What a file has is the same, without READY, ACCEPT and FINISH. The content type of "
            "dnstap is protobuf:dnstap.Dnstap."
        ),
        recorded=("fstrm 0.6.1 (Debian)",),
    ),
    Entry(
        name="ipfix",
        layout=IPFIX,
        title="IPFIX over TCP: version 10, length of all, time, number, domain, sets",
        source="RFC 7011, sections 3.1 and 10.4",
        ports=(4739, 4740),
        pipelining="Yes: nothing is answered.",
        empty_frames="A message without sets has 16 bytes.",
        first_packet="The exporter sends its templates, once over TCP.",
        heartbeats="None.",
        limits="65,535 bytes; the package writes as much as it is told, 65,535 by default.",
        notes=(
            "NetFlow 9 has no length, but a count of records, and is not this. Files of RFC 5655 "
            "are the same. Only an exporter is recorded, as the package writes to a stream: a "
            "collector sends nothing."
        ),
        recorded=("ipfix 0.9.7",),
    ),
)
"""All of this module."""
