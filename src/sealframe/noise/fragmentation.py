"""How plaintexts are spread over records (docs/PROTOCOL.md, section 6, "Records")."""

from __future__ import annotations

from collections.abc import Sequence

from .. import wire


def fragment(plaintexts: Sequence[bytes]) -> Sequence[bytes | memoryview]:
    """Return what goes into each record, so that they are few and little is copied.

    The short record of a long plaintext is its first: there it shares a record with
    the small ones before it, the head of a large message for example.
    """
    if len(plaintexts) == 1 and 0 < len(plaintexts[0]) <= wire.MAX_RECORD_PLAINTEXT:
        return plaintexts
    pieces: list[bytes | memoryview] = []
    # What shares the next record. It is joined once: frames of streams are nearly as large as a
    # record, and each has a head before it.
    lead: list[bytes | memoryview] = []
    taken = 0
    for plaintext in plaintexts:
        size = len(plaintext)
        rest = size % wire.MAX_RECORD_PLAINTEXT
        if taken + rest > wire.MAX_RECORD_PLAINTEXT:
            pieces.append(_joined(lead))
            lead, taken = [], 0
        if rest == size:
            if size:
                lead.append(plaintext)
                taken += size
            continue
        view = memoryview(plaintext)
        if rest:
            lead.append(view[:rest])
        if lead:
            pieces.append(_joined(lead))
            lead, taken = [], 0
        starts = range(rest, size, wire.MAX_RECORD_PLAINTEXT)
        pieces += [view[start : start + wire.MAX_RECORD_PLAINTEXT] for start in starts]
    if lead:
        pieces.append(_joined(lead))
    return pieces


def _joined(pieces: list[bytes | memoryview]) -> bytes | memoryview:
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
