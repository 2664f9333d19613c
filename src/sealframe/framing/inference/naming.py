"""Finds the catalogue's layouts that cut a capture into frames typical of their protocol."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2
from typing import TYPE_CHECKING, Final

from ...errors import ConfigurationError, FramingError
from .given import hypothesis_of
from .signatures import SIGNATURES
from .walking import Cutting, walk
from .window import WINDOW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..base import Sender
    from ..layouts.entry import Entry
    from .results import Capture
    from .signatures import Signature

__all__ = ["Known", "known"]

_DECODED: Final = 1 << 13
"""So many bytes are cut byte by byte where only a decoder knows how."""
_LOOKED_AT: Final = 200
_EITHER: Final[tuple[Sender, Sender]] = ("client", "server")


@dataclass(frozen=True)
class Known:
    """An entry of the catalogue that fits.

    :ivar exact: the last frame ends where the capture does
    """

    entry: Entry
    cutting: Cutting
    bits: float
    exact: bool


def known(capture: Capture) -> Known | None:
    """Return the entry whose frames these are, or None where they are not typical of any."""
    # The catalogue is not needed before somebody asks for a name.
    from ..layouts import ENTRIES

    entries = {entry.name: entry for entry in ENTRIES}
    data = bytes(capture.data[:WINDOW])
    if len(set(data)) < 2:
        # Zeros are typical of much.
        return None
    found = [
        match
        for signature in SIGNATURES
        if signature.name in entries
        for match in _matches(capture, data, signature, entries[signature.name])
    ]
    return max(found, key=lambda match: match.bits, default=None)


def _matches(capture: Capture, data: bytes, signature: Signature, entry: Entry) -> Iterator[Known]:
    if signature.first is None:
        if not signature.pattern.match(data):
            return
    elif not signature.first.match(data):
        return
    cutting = _cut(capture, data, signature, entry)
    if cutting is None:
        return
    size = len(data)
    exact = cutting.ended and cutting.end == size and len(capture.data) == size
    starts = cutting.starts[:_LOOKED_AT]
    # The head of a frame that is cut off may be too short to tell.
    heads = [data[start : start + 32] for start in starts if start + 32 <= size or exact]
    if not heads or not all(signature.pattern.match(head) for head in heads):
        return
    if signature.typical and not any(signature.typical.match(head) for head in heads):
        return
    different = len({head[:16] for head in heads})
    bits = signature.bits * min(different, 30) + (24 if signature.typical else 0)
    bits += 40 if signature.first else 0
    bits += log2(max(2, size / len(starts))) + 3 if exact else 0
    yield Known(entry, cutting, bits, exact)


def _cut(capture: Capture, data: bytes, signature: Signature, entry: Entry) -> Cutting | None:
    hypothesis = hypothesis_of(entry.layout)
    if hypothesis is not None:
        match = signature.first.match(data) if signature.first else None
        cutting = walk(data, hypothesis, match.end() if match else 0)
        if cutting and cutting.end != len(data) and len(cutting.starts) < 3:
            return None
        return cutting
    senders = (capture.sender,) if capture.sender else _EITHER
    for sender in senders:
        cutting = _decoded(data[:_DECODED], entry, sender, whole=len(data) <= _DECODED)
        if cutting:
            return cutting
    return None


def _decoded(data: bytes, entry: Entry, sender: Sender, *, whole: bool) -> Cutting | None:
    """Cut byte by byte, so that it shows where each frame ends."""
    try:
        decoder = entry.layout.decoder(sender=sender)
        starts = [len(entry.layout.preamble(sender))]
        for position in range(len(data)):
            starts += [position + 1] * len(decoder.feed(data[position : position + 1]))
    except (FramingError, ConfigurationError):
        return None
    end = starts.pop()
    if not starts:
        return None
    if end < len(data):
        if len(starts) < 3:
            return None
        return Cutting((*starts, end), len(data) + 1, ended=whole)
    return Cutting(tuple(starts), end, ended=whole)
