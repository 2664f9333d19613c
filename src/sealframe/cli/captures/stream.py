"""What is read from files, dumps and sockets: one direction of one connection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Literal

WINDOW: Final = 1024 * 1024
"""Bytes of a stream that are looked at: 1 MiB. What comes behind is not read."""

PCAPNG: Final = b"\n\r\r\n"
"""How a pcapng starts: the type of its section header block (draft-ietf-opsawg-pcapng, 4.1)."""
PCAP: Final = frozenset(
    magic.to_bytes(4, order)
    for magic in (0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34)
    for order in ("big", "little")
)
"""How a pcap starts, with microseconds, nanoseconds, or the longer heads of a variant of 1998."""


class CaptureError(Exception):
    """Something cannot be read as bytes of a stream; the text says what to do."""


@dataclass(frozen=True)
class Stream:
    """Bytes that one end sent, in order and without gaps.

    :ivar data: the bytes, at most :data:`WINDOW`
    :ivar boundaries: where each segment or read ends, in bytes from the start, ascending;
        empty where nobody knows
    :ivar complete: whether nothing is missing at the end
    :ivar sender: who sent it; None where nobody knows
    :ivar name: where it comes from, to be printed
    :ivar notes: sentences about how it was read, to be printed
    """

    data: bytes
    boundaries: tuple[int, ...] = ()
    complete: bool = True
    sender: Literal["client", "server"] | None = None
    name: str = ""
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> Iterator[bytes]:
        """The segments or reads, one by one; the whole where nobody knows of them."""
        for start, end in pairwise(sorted({0, *self.boundaries, len(self.data)})):
            yield self.data[start:end]

    def limited(self) -> Stream:
        """Return the first :data:`WINDOW` bytes of it."""
        if len(self.data) <= WINDOW:
            return self
        return replace(
            self,
            data=self.data[:WINDOW],
            boundaries=tuple(end for end in self.boundaries if end <= WINDOW),
            complete=False,
            notes=(*self.notes, f"only the first {WINDOW:,} bytes were looked at"),
        )


def joined(
    parts: list[bytes],
    *,
    complete: bool = True,
    sender: Literal["client", "server"] | None = None,
    name: str = "",
    notes: tuple[str, ...] = (),
) -> Stream:
    """Return a stream of parts that were sent or read one by one."""
    boundaries, end = [], 0
    for part in filter(None, parts):
        end += len(part)
        boundaries.append(end)
    # One part says nothing: it ends where the stream does.
    known = tuple(boundaries) if len(boundaries) > 1 else ()
    return Stream(b"".join(parts), known, complete, sender, name, notes).limited()
