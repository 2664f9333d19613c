"""The streams that are looked at: handed to the search, named to people and to programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from ...framing.inference import Capture
from ..captures.stream import Stream
from ..text import visible


def capture_of(stream: Stream) -> Capture:
    """Return a stream as what the search takes."""
    return Capture(stream.data, stream.boundaries, stream.complete, stream.sender)


def introduced(streams: Sequence[Stream]) -> Iterator[Text]:
    """Yield the lines that say what is looked at."""
    for stream in streams:
        sent = f", sent by the {stream.sender}" if stream.sender else ""
        segments = len(stream.boundaries)
        known = f" in {segments:,} segments or reads" if segments > 1 else ""
        yield Text(visible(f"{stream.name}: {len(stream.data):,} bytes{known}{sent}"), "bold")
        for note in stream.notes:
            yield Text(f"  {visible(note)}")


def listed(streams: Sequence[Stream]) -> list[dict[str, Any]]:
    """Return what a program reads of the streams."""
    return [
        {
            "name": stream.name,
            "sender": stream.sender,
            "bytes": len(stream.data),
            "segments": len(stream.boundaries),
            "complete": stream.complete,
            "notes": list(stream.notes),
        }
        for stream in streams
    ]
