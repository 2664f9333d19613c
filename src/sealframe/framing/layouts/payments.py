"""Cards, banks and exchanges. ISO 8583 defines the message and leaves the frame to each network."""

from __future__ import annotations

from typing import Final

from ...errors import MalformedLengthError
from ..layout import Framing
from ..numbers import Bcd, Digits
from ..sized import Sized
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


def fix_size(head: bytes) -> int:
    """Return the size of a message of FIX, given its first fields: BodyLength, and 7 of CheckSum.

    :raises MalformedLengthError: it does not begin with BeginString and BodyLength
    """
    fields = head.split(b"\x01")
    if len(fields) != 3 or not head.startswith(b"8=FIX") or not fields[1].startswith(b"9="):
        raise MalformedLengthError("a message of FIX begins with BeginString and BodyLength")
    length = fields[1][2:]
    if not 0 < len(length) < 9 or not length.isdigit():
        raise MalformedLengthError(f"the BodyLength of a message is {length!r}")
    return len(head) - len(fields[2]) + int(length) + len(b"10=000\x01")


FIX: Final = Sized(fix_size, head=64, until=b"\x0135=", minimum=30)
"""FIX, of tags and values: a message is whole, from BeginString to CheckSum."""


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
    Entry(
        name="fix",
        layout=FIX,
        title="FIX tag=value: BeginString, BodyLength in decimal digits, fields, CheckSum",
        source="FIX session layer, FIX 4.4 volume 2: standard header and trailer",
        pipelining="Yes; MsgSeqNum orders the messages of each direction.",
        empty_frames="None: a heartbeat has a header too.",
        first_packet="The client speaks first, with Logon (35=A); the server answers with one.",
        heartbeats="Both ends send Heartbeat (35=0) after HeartBtInt seconds without a message.",
        limits="None in the specification; BodyLength has at most 8 digits in this layout.",
        notes=(
            "BodyLength counts from behind its own field to before CheckSum, which is the sum of "
            "all bytes before it, modulo 256, in three digits: this layout does not check it. The "
            "recorded messages were packed by the package; there was no conversation."
        ),
        recorded=("simplefix 1.0.17",),
    ),
)
"""All of this module."""
