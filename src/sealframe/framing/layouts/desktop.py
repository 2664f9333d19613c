"""Desktops, browsers and their helpers."""

from __future__ import annotations

import sys
from typing import Final, Literal

from ..choice import Choice
from ..layout import Framing
from ..sized import Sized
from ..text import Delimited
from ..with_preamble import WithPreamble
from .entry import Entry


def dbus_size(head: bytes) -> int:
    """Return the size of a message of D-Bus: header, fields, padding to 8 bytes, body."""
    order: Literal["little", "big"] = "little" if head[:1] == b"l" else "big"
    fields = int.from_bytes(head[12:16], order)
    return 16 + (fields + 7) // 8 * 8 + int.from_bytes(head[4:8], order)


_DBUS_MAXIMUM: Final = 128 * 1024 * 1024
_DBUS_MESSAGE: Final = Sized(dbus_size, head=16, maximum=_DBUS_MAXIMUM)
_DBUS_LINE: Final = Delimited(b"\r\n", maximum=16_384)


def dbus_layout(head: bytes) -> Sized | Delimited:
    """Return the layout of what begins so: a byte order and a type from 1 to 4 begin a message."""
    return _DBUS_MESSAGE if head[0] in b"lB" and 1 <= head[1] <= 4 else _DBUS_LINE


DBUS: Final = Choice(dbus_layout, head=2, maximum=_DBUS_MAXIMUM)
"""D-Bus: a message is whole, with its header; before the first, a line of the authentication."""


def x11_setup_size(head: bytes) -> int:
    """Return the size of a client's first message: two strings, each padded to 4 bytes."""
    order: Literal["little", "big"] = "big" if head[:1] == b"B" else "little"
    sizes = (int.from_bytes(head[place : place + 2], order) for place in (6, 8))
    return 12 + sum((size + 3) // 4 * 4 for size in sizes)


def x11_request_size(head: bytes) -> int | None:
    """Return the size of a request: in units of 4 bytes; 0 means that 4 bytes of length follow."""
    units = int.from_bytes(head[2:4], "little")
    if units:
        return 4 * units
    return 4 * int.from_bytes(head[4:8], "little") if len(head) == 8 else None


def x11_setup_reply_size(head: bytes) -> int:
    """Return the size of a server's first message: units of 4 bytes behind the first 8."""
    return 8 + 4 * int.from_bytes(head[6:8], "little")


def x11_reply_size(head: bytes) -> int:
    """Return the size of a reply, an event or an error: only replies and GenericEvent have more."""
    more = int.from_bytes(head[4:8], "little") if head[0] & 0x7F in (1, 35) else 0
    return 32 + 4 * more


X11_REQUESTS: Final = WithPreamble(
    Sized(x11_request_size, head=(4, 8)), client=Sized(x11_setup_size, head=12)
)
"""What a little-endian client of X11 sends: a message is a request, the first one the setup."""

X11_REPLIES: Final = WithPreamble(
    Sized(x11_reply_size, head=32), server=Sized(x11_setup_reply_size, head=8)
)
"""What an X server sends to a little-endian client: the answer to the setup, then replies,
events and errors."""

NATIVE_MESSAGING: Final = Framing(byteorder=sys.byteorder, maximum=64 * 1024 * 1024)
"""Native messaging of browsers: a message is the JSON. Its length is in this machine's order."""

ENTRIES: Final = (
    Entry(
        name="dbus",
        layout=DBUS,
        title="D-Bus: lines of the authentication, then messages",
        source='D-Bus Specification, "Message Format" and "Authentication Protocol"',
        pipelining="Yes: replies name the serial of their call.",
        empty_frames="None: a message has a header, and no body if its type needs none.",
        first_packet=(
            "The client speaks first: a NUL, which belongs to its first line, AUTH and so on, "
            "BEGIN. Each line is a message that you send."
        ),
        heartbeats="None; org.freedesktop.DBus.Peer.Ping is a call.",
        limits="134,217,728 bytes for a message, 67,108,864 for an array.",
        notes="File descriptors travel beside the bytes: do not agree on them.",
        recorded=("dbus-fast 5.2.0", "jeepney 0.9.0", "dbus-daemon 1.14.10"),
    ),
    Entry(
        name="x11-requests",
        layout=X11_REQUESTS,
        title="X11, what a client sends: setup, then requests in units of 4 bytes",
        source='X Window System Protocol, X11R7, section 1 "Protocol Formats" and section 8',
        ports=(6000,),
        pipelining="Yes; requests without a reply have no answer unless they fail.",
        empty_frames="None: a request has 4 bytes at least.",
        first_packet="The client speaks first, with the setup, whose first byte is its byte order.",
        heartbeats="None.",
        limits=(
            "262,140 bytes, or as many units as BigReqEnable answers; this layout takes 16 MiB."
        ),
        notes=(
            "The two directions have layouts of their own, so this one reads a client, or what "
            "was captured of one. For little-endian clients, which begin with l."
        ),
        recorded=("python-xlib 0.33",),
    ),
    Entry(
        name="x11-replies",
        layout=X11_REPLIES,
        title="X11, what a server sends: setup, then replies, events and errors",
        source='X Window System Protocol, X11R7, section 1 "Protocol Formats" and section 8',
        ports=(6000,),
        pipelining="Replies come in the order of their requests, with events between them.",
        empty_frames="None: all have 32 bytes at least.",
        first_packet="The client speaks first; the server's first message answers the setup.",
        heartbeats="None.",
        limits="32 bytes, and 4 times a 32-bit number for replies; this layout takes 16 MiB.",
        notes=(
            "The numbers are in the order that the client asked for: this is for little-endian "
            "ones."
        ),
        recorded=("Xvfb 21.1.7",),
    ),
    Entry(
        name="native-messaging",
        layout=NATIVE_MESSAGING,
        title="Native messaging of Chrome and Firefox: length, JSON",
        source='Chrome for Developers, "Native messaging", "Native messaging protocol"',
        pipelining="Yes: messages are on their own in either direction.",
        empty_frames="None: a message is a JSON value.",
        first_packet="The browser speaks first, or the host; there is no rule.",
        heartbeats="None.",
        limits=(
            "1 MiB from the host to the browser; to the host 64 MiB in Chrome, 4 GiB in Firefox."
        ),
        notes=(
            "Over standard input and output; no bytes of a real program are recorded. The length "
            "is in the byte order of the machine."
        ),
    ),
)
"""All of this module."""
