"""Games, and what lights and sounds of a stage are steered with."""

from __future__ import annotations

from typing import Final

from ..layout import Framing
from .entry import Entry

MINECRAFT: Final = Framing(varint=True, minimum=1, maximum=2_097_151)
"""Minecraft, Java Edition: a message is a packet without its length."""

SOURCE_RCON: Final = Framing(minimum=10, maximum=4096)
"""Source RCON: a message is identifier, type and text, without the length."""

OSC_TCP: Final = Framing(byteorder="big", minimum=4)
"""OSC 1.0 over TCP: a message is a packet without its length."""

ENTRIES: Final = (
    Entry(
        name="minecraft",
        layout=MINECRAFT,
        title="Minecraft, Java Edition: varint, packet",
        source="Minecraft Wiki, Java Edition protocol: packet format",
        ports=(25565,),
        pipelining="Yes, as the state of the connection allows.",
        empty_frames="None: there is a packet identifier.",
        first_packet="The client speaks first, with Handshake.",
        heartbeats="Keep Alive from the server, answered by the client.",
        limits="2,097,151 bytes: the length has at most three bytes.",
        notes=(
            "After Login Success or Encryption Request, packets may be compressed and encrypted. "
            "The recorded packets were written by one package for both ends."
        ),
        recorded=("mcproto 0.6.0",),
    ),
    Entry(
        name="source-rcon",
        layout=SOURCE_RCON,
        title="Source RCON: length, identifier, type, text, two NUL",
        source="Valve Developer Community, Source RCON Protocol: basic packet structure",
        ports=(27015, 25575),
        pipelining="Servers differ: Minecraft's drops requests that come in one segment.",
        empty_frames="The text may be empty: 10 bytes.",
        first_packet="The client speaks first, with its password.",
        heartbeats="None.",
        limits="4,096 bytes; a longer answer comes in several packets.",
        notes="The recorded packets were packed by the package, by one end; no conversation.",
        recorded=("rcon 2.4.9",),
    ),
    Entry(
        name="osc-tcp",
        layout=OSC_TCP,
        title="OSC 1.0 over TCP: length, message or bundle",
        source="Open Sound Control 1.0, section OSC Packets",
        pipelining="Yes; nothing is answered but by messages of their own.",
        empty_frames="None: there is an address.",
        first_packet="Whoever has something to say.",
        heartbeats="None.",
        limits="None; the size is a multiple of four.",
        notes="OSC 1.1 has SLIP in place of the length. Only a client is recorded.",
        recorded=("python-osc 1.10.2",),
    ),
)
"""All of this module."""
