"""Receivers of navigation satellites, and what corrects them."""

from __future__ import annotations

from typing import Final

from ..layout import Framing
from ..numbers import Uint
from ..parts import Checksum
from .entry import Entry


def ubx_checksum(data: memoryview) -> int:
    """Return Fletcher's sum of 8 bits (RFC 1145) of what follows the two bytes in front."""
    first = second = 0
    for byte in data[2:]:
        first = (first + byte) & 0xFF
        second = (second + first) & 0xFF
    return first << 8 | second


UBX: Final = Framing(
    offset=4,
    width=2,
    strip=0,
    magic=b"\xb5\x62",
    checksums=Checksum(2, ubx_checksum, of="frame"),
)
"""UBX of u-blox: a message is whole but for its checksum, which is checked."""


def crc24q(data: memoryview) -> int:
    """Return Qualcomm's CRC of 24 bits: polynomial 0x864CFB, from 0 on, not reflected."""
    crc = 0
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1864CFB
    return crc


RTCM_3: Final = Framing(
    offset=1,
    length=Uint(2, "big", mask=0x3FF),
    magic=b"\xd3",
    checksums=Checksum(3, crc24q, of="frame"),
)
"""RTCM 3: a message begins with its number; header and checksum are checked and dropped."""

SBF: Final = Framing(offset=6, width=2, includes_header=True, strip=0, minimum=8, magic=b"$@")
"""SBF of Septentrio: a message is a block with its header of 8 bytes."""

ENTRIES: Final = (
    Entry(
        name="ubx",
        layout=UBX,
        title="UBX, of u-blox: 0xB5 0x62, class, identifier, length, payload, checksum",
        source='u-blox interface descriptions, "UBX frame structure" and "UBX checksum"',
        pipelining="Yes; ACK-ACK and ACK-NAK name the kind of message, and no number.",
        empty_frames="A poll has no payload, 6 bytes.",
        first_packet="A receiver sends what it is set to send, without waiting.",
        heartbeats="None; what it sends comes at the rate that was set.",
        limits="65,535 bytes of payload; real messages have a few hundred.",
        notes=(
            "Receivers mix NMEA lines and RTCM 3 into the same stream unless they are told not to: "
            "make a Choice of the first byte, 0xB5, 0x24 or 0xD3, or send CFG-VALSET first. The "
            "recorded messages were packed by the package, for both ends; no conversation."
        ),
        recorded=("pyubx2 1.4.0",),
    ),
    Entry(
        name="rtcm-3",
        layout=RTCM_3,
        title="RTCM 3: 0xD3, 6 reserved bits, length of 10 bits, message, CRC-24Q",
        source="RTCM 10403.3, section 4 (transport layer)",
        ports=(2101,),
        pipelining="Nothing is asked: a station sends.",
        empty_frames="This layout takes messages of 0 bytes; pyrtcm 1.2.1 reports one as an error.",
        first_packet="Over NTRIP the client asks for a mount point by HTTP, then the server sends.",
        heartbeats="None; most stations send each second.",
        limits="1,023 bytes.",
        notes=(
            "The reserved bits are sent as zeros and not looked at. Behind NTRIP 2 the stream may "
            "be chunked HTTP. pyrtcm 1.2.1 cannot read MSM2 (1072 and its like). Only a station is "
            "recorded, as the package packs its messages."
        ),
        recorded=("pyrtcm 1.2.1",),
    ),
    Entry(
        name="sbf",
        layout=SBF,
        title="SBF, of Septentrio: $@, CRC, identifier, length of all, block",
        source='Septentrio reference guides, "SBF Reference", "SBF Outline"',
        pipelining="Commands are lines of text with a prompt; blocks are not answered.",
        empty_frames="A block has its header at least, 8 bytes.",
        first_packet="The receiver sends its prompt, and blocks when it was told to.",
        heartbeats="None; blocks come at the rate that was set.",
        limits="The length is a multiple of 4; no block of the guides has more than 4,096 bytes.",
        notes=(
            "The CRC of 16 bits stands in front of what it covers, and is not checked here. Other "
            "output on the same port, NMEA and replies to commands, begins with $ too: $R, $T, $G. "
            "Only a receiver is recorded, as the package packs its blocks."
        ),
        recorded=("pysbf2 1.0.7",),
    ),
)
"""All of this module."""
