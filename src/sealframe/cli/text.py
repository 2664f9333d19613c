"""Text from peers, made safe to print, and figures made readable."""

from __future__ import annotations

import codecs
from contextvars import ContextVar
from typing import Any

_HARMLESS = frozenset("\N{NO-BREAK SPACE}\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}")
"""Characters that are not printable by name, and that ordinary text needs."""

_speaker: ContextVar[str] = ContextVar("_speaker", default="")


def speak_as(label: str) -> None:
    """Put a label before each line that this process prints from now on: one of several has one."""
    _speaker.set(label)


def labelled(text: str) -> str:
    """Return a line with the label of this process before it, if it has one."""
    return _speaker.get() + text


def visible(text: str) -> str:
    """Return text in which everything that could steer a terminal shows as an escape.

    Line ends are among it, so the result is one line; ``ESC`` becomes ``\\x1b``, and
    marks that reverse the direction of writing show as escapes too.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in _HARMLESS else char.encode("unicode_escape").decode()
        for char in text
    )


def readable(message: bytes, limit: int | None = None) -> str:
    """Return a message as one line of text; bytes that are not UTF-8 show as escapes.

    :param limit: bytes after which it is cut and its size told; None never cuts
    """
    cut = limit is not None and len(message) > limit
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    # Not final where it is cut: half a character is not an error then.
    text = visible(decoder.decode(message[:limit] if cut else message, not cut))
    return f"{text}… ({size(len(message))})" if cut else text


def size(count: float) -> str:
    """Return a number of bytes with its unit: ``512 B``, ``4.0 MiB``."""
    if count < 1024:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB"):
        count /= 1024
        if count < 1024:
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} GiB"


def seal(figures: dict[str, Any]) -> str:
    """Return how a connection is sealed, for a table.

    :param figures: what ``Server.stats()`` has of it
    """
    if not figures["sealed"]:
        return "plain"
    return "hybrid" if figures["post_quantum"] else "classic"
