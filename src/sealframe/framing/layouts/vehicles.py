"""Cars, drones and robots."""

from __future__ import annotations

from typing import Final

from ...errors import MagicError
from ..layout import Framing
from ..sized import Sized
from .entry import Entry

DOIP: Final = Framing(offset=4, byteorder="big", strip=0)
"""Diagnostics over IP: a message has its header of 8 bytes."""

SOMEIP: Final = Framing(offset=4, byteorder="big", strip=0, minimum=16)
"""SOME/IP over TCP: a message has its header of 16 bytes."""


def mavlink_size(head: bytes) -> int:
    """Return the size of a packet of MAVLink 2, with its signature if there is one, or 1.

    :raises MagicError: it begins with neither 0xFD nor 0xFE
    """
    if head[0] == 0xFD:
        return 12 + head[1] + (13 if head[2] & 1 else 0)
    if head[0] == 0xFE:
        return 8 + head[1]
    raise MagicError(f"a packet of MAVLink begins with 0xfd or 0xfe, not {head[0]:#04x}")


MAVLINK: Final = Sized(mavlink_size, head=3)
"""MAVLink 1 and 2: a message is a packet with its header and its checksum."""


TCPROS: Final = Framing()
"""ROS 1 over TCP, a topic: a message is the header of the connection, then one of the topic."""

ENTRIES: Final = (
    Entry(
        name="doip",
        layout=DOIP,
        title="DoIP: version, its inverse, payload type, length, payload",
        source="ISO 13400-2, generic DoIP header",
        ports=(13_400, 3496),
        pipelining="No: a tester waits for the acknowledgement, then for the answer.",
        empty_frames="An alive check request has no payload, 8 bytes.",
        first_packet="The tester sends a routing activation request.",
        heartbeats=(
            "The vehicle may send an alive check request; unanswered for 500 ms it hangs up."
        ),
        notes=(
            "3496 is the port for TLS. The recorded vehicle is a script around the same package's "
            "messages."
        ),
        recorded=("doipclient 1.2.2",),
    ),
    Entry(
        name="someip",
        layout=SOMEIP,
        title="SOME/IP: message identifier, length, 8 more bytes of header, payload",
        source="AUTOSAR FO R22-11 PRS_SOMEIPProtocol, header",
        pipelining="Yes; client and session identifier tell answers apart.",
        empty_frames="Calls without arguments have no payload, 16 bytes.",
        first_packet="The client speaks first; ports come from service discovery over UDP.",
        heartbeats=(
            "None; Magic Cookies, messages of 16 bytes where they are used, help to find the next "
            "message."
        ),
        notes=(
            "The length counts from the request identifier on, so it is 8 at least. The recorded "
            "packets were packed by a package whose sockets are UDP; there was no conversation."
        ),
        recorded=("someip 0.3.0",),
    ),
    Entry(
        name="mavlink",
        layout=MAVLINK,
        title="MAVLink 1 and 2: start byte, length of the payload, header, payload, checksum",
        source="MAVLink developer guide, packet serialization",
        ports=(5760,),
        pipelining="Yes; commands are acknowledged by messages of their own.",
        empty_frames="MAVLink 2 sends at least one byte of payload.",
        first_packet="Both ends send HEARTBEAT, without waiting.",
        heartbeats="HEARTBEAT, once a second.",
        limits="280 bytes a packet of MAVLink 2, 263 of MAVLink 1.",
        notes=(
            "The checksum covers a byte that depends on the kind of message (CRC_EXTRA): this "
            "layout does not check it. The recorded packets were packed by the package, by one end."
        ),
        recorded=("pymavlink 2.4.50",),
    ),
    Entry(
        name="tcpros",
        layout=TCPROS,
        title="TCPROS, of ROS 1, for topics: length, little-endian, message",
        source='ROS wiki, "TCPROS", "TCPROS Header Format"',
        pipelining="Yes: nothing is answered.",
        empty_frames="A message of a type without fields has no bytes, as std_msgs/Empty.",
        first_packet=(
            "The subscriber sends the header of the connection, a message of fields each with its "
            "length, and the publisher its own; then only the publisher sends."
        ),
        heartbeats="None.",
        limits="4 GiB by the length; this layout takes 16 MiB.",
        notes=(
            "Ports are asked of the publisher over XML-RPC (requestTopic). The answers of a "
            "service have a byte in front that says whether it went well: they are not this. ROS 2 "
            "has DDS in place of all that."
        ),
        recorded=("rospy 1.15.15 (Debian)",),
    ),
)
"""All of this module."""
