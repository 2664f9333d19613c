"""Protocols of text: lines, and header lines."""

from __future__ import annotations

from typing import Final

from ..choice import Choice
from ..layout import Framing
from ..numbers import Digits
from ..text import Delimited, HeaderLines
from .entry import Entry

NETSTRING: Final = Framing(length=Digits(until=b":"), trailer=b",")
"""Netstrings: a message is the string."""

LSP: Final = HeaderLines()
"""The Language Server Protocol: a message is the JSON, without its header."""

DAP: Final = HeaderLines()
"""The Debug Adapter Protocol: a message is the JSON, without its header."""

JSON_LINES: Final = Delimited(b"\n")
"""JSON Lines: a message is a line, without its end."""

_RTSP_DATA: Final = Framing(offset=2, width=2, byteorder="big", strip=0)
_RTSP_TEXT: Final = HeaderLines(start_line=True, required=False, strip=0)


def rtsp_layout(head: bytes) -> Framing | HeaderLines:
    """Return the layout of what begins so: a dollar sign begins interleaved data."""
    return _RTSP_DATA if head == b"$" else _RTSP_TEXT


RTSP: Final = Choice(rtsp_layout, head=1)
"""RTSP: a message is a request, a response or interleaved data, whole."""

ENTRIES: Final = (
    Entry(
        name="netstring",
        layout=NETSTRING,
        title="Netstrings: decimal length, colon, string, comma",
        source='D. J. Bernstein, "Netstrings", 1997, section 2',
        pipelining="As the protocol on top says.",
        empty_frames="Yes: 0:, is the empty string.",
        limits=(
            "None in the text. Twisted's NetstringReceiver takes 99,999 bytes unless MAX_LENGTH is "
            "set, and closes on more without a word. This layout takes 16 MiB."
        ),
        notes=(
            "A length has no leading zeros, and is refused with them. The recorded strings were "
            "written into memory; there was no conversation."
        ),
        recorded=("Twisted 26.10.0", "pynetstring 0.5"),
    ),
    Entry(
        name="lsp",
        layout=LSP,
        title="Language Server Protocol: header lines, JSON",
        source='Language Server Protocol 3.17, "Base Protocol", "Header Part"',
        pipelining="Yes: answers name their request.",
        empty_frames="None: a body is an object of JSON-RPC.",
        first_packet="The client speaks first, with initialize.",
        heartbeats="None.",
        limits="None in the specification; this layout takes 16 MiB.",
        notes=(
            "Content-Type may stand in the header and is dropped. pygls 2.1.1 sends it with each "
            "message."
        ),
        recorded=("pygls 2.1.1",),
    ),
    Entry(
        name="dap",
        layout=DAP,
        title="Debug Adapter Protocol: header lines, JSON",
        source='Debug Adapter Protocol, "Base protocol"',
        pipelining="Yes: responses name their request.",
        empty_frames="None: a body is an object.",
        first_packet="The client speaks first, with initialize.",
        heartbeats="None.",
        limits="None in the specification; this layout takes 16 MiB.",
        notes="The recorded messages were written into memory; there was no conversation.",
        recorded=("debugpy 1.8.22",),
    ),
    Entry(
        name="json-lines",
        layout=JSON_LINES,
        title="JSON Lines, and other values of which each is a line",
        source='jsonlines.org, "JSON Lines"; NDJSON is alike',
        pipelining="As the protocol on top says.",
        empty_frames="None by the text; some readers pass over empty lines.",
        limits="None in the text; this layout takes 16 MiB.",
        notes=(
            "A carriage return before the end of the line is white space to a reader of JSON. The "
            "recorded lines were written into memory."
        ),
        recorded=("jsonlines 4.0.0",),
    ),
    Entry(
        name="rtsp",
        layout=RTSP,
        title="RTSP 1.0: requests and responses with header lines, interleaved data",
        source="RFC 2326, sections 4 and 10.12",
        ports=(554,),
        pipelining="Yes: responses have the CSeq of their request (section 9.1).",
        empty_frames="Interleaved data may have no bytes.",
        first_packet="The client speaks first; a server may send requests too.",
        heartbeats="A request within the time-out of the Session header, as GET_PARAMETER.",
        limits="65,535 bytes of interleaved data; this layout takes headers of 8,192 bytes.",
        notes="Only bytes of a client are recorded.",
        recorded=("aiortsp 1.4.0",),
    ),
)
"""All of this module."""
