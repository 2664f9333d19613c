"""A frame as a line for people, or as JSON for programs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from ..captures.following import Followed
from ..captures.reading import shown
from ..text import readable, visible
from .dialogue import Dialogue, Frame, Kind
from .fields import Value, frame_fields, frame_name, pattern_name

_EXCERPT = 64
"""Bytes of a payload that are shown."""
_SHORT = 16
"""Bytes of any other field."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = 253_402_300_799.0
"""The end of the year 9999, in seconds since 1970."""


def introduced(followed: Followed, dialogue: Dialogue, time: float) -> str:
    """Return the line with which a connection begins."""
    kind = "plain"
    if dialogue.kind is Kind.SEALED:
        kind = f"sealed, pattern {pattern_name(dialogue.pattern)}"
    return f"{named(followed)}, {kind}, {_moment(time):%Y-%m-%d} (times are UTC)"


def named(followed: Followed) -> str:
    """Return which connection it is."""
    tcp = followed.tcp
    return f"connection {followed.number}: {shown(tcp.client)} → {shown(tcp.server)}"


def line(followed: Followed, frame: Frame) -> str:
    """Return a frame as one line, safe to print."""
    way = ">" if frame.sender == "client" else "<"
    piece = frame.piece
    start = (
        f"{followed.number} {_moment(frame.time):%H:%M:%S.%f} {way} "
        f"{frame_name(piece)}, {len(piece.body):,} bytes"
    )
    said = " ".join(_said(name, value) for name, value in frame_fields(piece).items())
    return f"{start}: {said}" if said else start


def as_json(followed: Followed, frame: Frame) -> str:
    """Return a frame as one object; bytes are in hexadecimal, and whole."""
    tcp, piece = followed.tcp, frame.piece
    fields = {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in frame_fields(piece).items()
    }
    return json.dumps(
        {
            "connection": followed.number,
            "client": shown(tcp.client),
            "server": shown(tcp.server),
            "time": round(frame.time, 6),
            "sender": frame.sender,
            "sealed": frame.sealed,
            "frame": frame_name(piece),
            "opcode": piece.opcode if piece.is_control else None,
            "bytes": len(piece.body),
            "fields": fields,
        }
    )


def _moment(time: float) -> datetime:
    # A damaged capture may name any time, also one that no calendar has.
    return _EPOCH + timedelta(seconds=min(max(time, 0.0), _LAST))


def _said(name: str, value: Value) -> str:
    if name == "payload" and isinstance(value, bytes):
        return readable(value, _EXCERPT)
    if isinstance(value, bytes):
        short = value[:_SHORT].hex()
        return f"{name}={short}… ({len(value):,} bytes)" if value[_SHORT:] else f"{name}={short}"
    return (
        f"{name}={visible(value)!r}"
        if isinstance(value, str) and " " in value
        else (f"{name}={visible(str(value))}")
    )
