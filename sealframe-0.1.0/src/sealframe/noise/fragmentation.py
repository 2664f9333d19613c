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
    lead = b""
    for plaintext in plaintexts:
        size = len(plaintext)
        rest = size % wire.MAX_RECORD_PLAINTEXT
        if len(lead) + rest > wire.MAX_RECORD_PLAINTEXT:
            pieces.append(lead)
            lead = b""
        if rest == size:
            lead += plaintext
            continue
        view = memoryview(plaintext)
        if lead:
            pieces.append(lead + view[:rest])
            lead = b""
        elif rest:
            pieces.append(view[:rest])
        starts = range(rest, size, wire.MAX_RECORD_PLAINTEXT)
        pieces += [view[start : start + wire.MAX_RECORD_PLAINTEXT] for start in starts]
    if lead:
        pieces.append(lead)
    return pieces
