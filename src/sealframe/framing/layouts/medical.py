"""Hospitals."""

from __future__ import annotations

from typing import Final

from ..layout import Framing
from ..text import Delimited
from .entry import Entry

DICOM: Final = Framing(offset=2, byteorder="big", strip=0, minimum=10)
"""DICOM upper layer: a message is a PDU with its header of 6 bytes."""

MLLP: Final = Delimited(b"\x1c\r", start=b"\x0b")
"""HL7 version 2 in MLLP: a message is what stands between VT and FS CR."""

ENTRIES: Final = (
    Entry(
        name="dicom",
        layout=DICOM,
        title="DICOM upper layer: type, reserved byte, length, PDU",
        source="DICOM PS3.8, section 9.3.1",
        ports=(104, 11_112, 2762),
        pipelining=(
            "No, unless an asynchronous operations window was negotiated (PS3.7, annex D.3.3.3)."
        ),
        empty_frames="None: A-RELEASE and A-ABORT have 4 bytes behind the header, 10 in all.",
        first_packet="The client sends A-ASSOCIATE-RQ, and nothing else before A-ASSOCIATE-AC.",
        heartbeats="None; a C-ECHO serves as one.",
        limits="P-DATA-TF: the maximum length that the other end named at the association.",
        notes="2762 is the port for TLS.",
        recorded=("pynetdicom 3.0.4",),
    ),
    Entry(
        name="mllp",
        layout=MLLP,
        title="MLLP, which carries HL7 version 2: VT, message, FS, CR",
        source="HL7 Transport Specification: MLLP, releases 1 and 2, block format",
        ports=(2575,),
        pipelining=(
            "No: a sender waits for the acknowledgement of a message. Use connect(..., "
            "pipelining=False)."
        ),
        empty_frames="None in practice.",
        first_packet="The sender of messages connects and speaks first.",
        heartbeats="None.",
        limits="None in the specification; hl7 0.4.5 reads messages of up to 64 KiB by default.",
        notes=(
            "The segments of a message end in CR, which is no part of the frame. Release 2 also "
            "has blocks of one byte, ACK (0x06) and NAK (0x15)."
        ),
        recorded=("hl7 0.4.5",),
    ),
)
"""All of this module."""
