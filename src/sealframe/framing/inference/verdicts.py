"""Verdicts: what bytes are that are not frames with a length, or why that cannot be told."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from dataclasses import dataclass
from math import log2
from typing import TYPE_CHECKING, Final

from .beginnings import beginning_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Verdict", "cut_end", "kind_of", "no_layout", "one_frame", "unknown_front", "unsure"]

_SAMPLE: Final = 16384
_PRINTABLE: Final = frozenset((*range(0x20, 0x7F), 9, 10, 13))
_DELIMITERS: Final = (b"\x1c\r", b"\0", b"\x03", b"\x04", b"\xc0", b"\x7e", b"\x1e", b"\xff")
_RESP: Final = re.compile(rb"(?:[*$:+\-_#,(!=%~>][^\r\n]{0,200}\r\n)")
_LONGEST_LINE: Final = 8000


@dataclass(frozen=True)
class Verdict:
    """What the bytes are.

    :ivar sure: no layout that fits by chance can be right
    """

    sentence: str
    sure: bool


def kind_of(data: bytes) -> Verdict | None:
    """Return what the bytes are, if they are of a kind that has no length in front."""
    beginning = beginning_of(data)
    if beginning:
        return Verdict(beginning.sentence, sure=True)
    sample = data[:_SAMPLE]
    return _zlib(sample) or _resp(sample) or _text(sample) or _delimited(sample) or _even(sample)


def _zlib(sample: bytes) -> Verdict | None:
    if len(sample) < 16 or sample[0] & 0x8F != 0x08 or int.from_bytes(sample[:2], "big") % 31:
        return None
    try:
        inside = zlib.decompressobj().decompress(sample, 4096)
    except zlib.error:
        return None
    if len(inside) < 64:
        return None
    return Verdict("This is compressed by zlib: decompress it first.", sure=True)


def _resp(sample: bytes) -> Verdict | None:
    """Recognise RESP, the protocol of Redis: lines with a type, and lengths for what follows."""
    if not _RESP.match(sample) or sample.count(b"\r\n") < 3:
        return None
    lines = sample.split(b"\r\n")[:-1]
    counts = sum(1 for line in lines if re.fullmatch(rb"[$*]-?\d{1,9}|[:+\-][^\r\n]*", line))
    if counts < 0.3 * len(lines):
        return None
    return Verdict(
        "This is RESP, the protocol of Redis: lines that begin with * $ + - or :, and lengths in "
        "decimal digits before what follows.",
        sure=True,
    )


def _text(sample: bytes) -> Verdict | None:
    if not sample:
        return None
    readable = sum(count for byte, count in Counter(sample).items() if byte in _PRINTABLE)
    if readable < 0.97 * len(sample) and not _is_utf8(sample):
        return None
    for ending, name, text in ((b"\r\n", "CR LF", r"\r\n"), (b"\n", "LF", r"\n")):
        lines = sample.split(ending)
        if len(lines) > 3 and max(map(len, lines)) < _LONGEST_LINE:
            return Verdict(
                f"These are lines of text that end in {name}: no length stands in front of them; "
                f'Delimited(b"{text}") cuts them.',
                sure=False,
            )
    if sample.lstrip()[:1] in (b"{", b"[", b"<"):
        kind = "XML or HTML" if sample.lstrip()[:1] == b"<" else "JSON"
        return Verdict(f"This is {kind} without a length in front.", sure=False)
    return None


def _is_utf8(sample: bytes) -> bool:
    controls = sum(sample.count(byte) for byte in range(32) if byte not in _PRINTABLE)
    if controls:
        return False
    try:
        sample[: len(sample) - 4].decode()
    except UnicodeDecodeError as error:
        # The sample may end in the midst of a character.
        return error.start > len(sample) - 8
    return True


def _delimited(sample: bytes) -> Verdict | None:
    readable = sum(1 for byte in sample if byte in _PRINTABLE or byte == 0x0B)
    if readable < 0.85 * len(sample):
        return None
    for delimiter in _DELIMITERS:
        count = sample.count(delimiter)
        if count >= 3 and sample.endswith(delimiter):
            start = _common_start(sample.split(delimiter)[:-1])
            begins = f", start={start!r}" if start else ""
            return Verdict(
                f"This is text in {count} pieces, each ended by {delimiter.hex(' ')}: no length "
                f"stands in front of them; Delimited({delimiter!r}{begins}) cuts them.".replace(
                    "'", '"'
                ),
                sure=False,
            )
    return None


def _common_start(pieces: Sequence[bytes]) -> bytes:
    first = pieces[0][:1]
    if first and first[0] not in _PRINTABLE and all(piece[:1] == first for piece in pieces):
        return first
    return b""


def _even(sample: bytes) -> Verdict | None:
    """Recognise bytes that are spread as evenly as random ones are."""
    size = len(sample)
    if size < 256:
        return None
    counts = Counter(sample)
    if len(counts) == 1:
        return Verdict(
            f"All bytes are {sample[0]:#04x}: there is nothing to tell frames by.", sure=True
        )
    entropy = -sum(count / size * log2(count / size) for count in counts.values())
    # What random bytes have on average: Miller's correction for a sample of this size.
    expected = 8 - min(255 / (2 * size * 0.6931), 1.0)
    if entropy < expected - 0.12:
        return None
    return Verdict(
        "The bytes are spread as evenly as encrypted, compressed or random ones are: if lengths "
        "stand in front of messages, they are hidden among them. Capture behind the encryption.",
        sure=False,
    )


def no_layout(size: int) -> str:
    """Return what to say where nothing fits."""
    if size < 200:
        return (
            f"No layout fits, but {size} bytes are few. Capture 8 or more messages of differing "
            "size from the beginning of a connection."
        )
    return (
        "No layout fits these bytes: they are not framed by a length, or begin in the midst of a "
        "long frame, or are encrypted. Capture a connection from its beginning."
    )


def one_frame(size: int) -> str:
    """Return what to say where all of it may be one frame.

    :param size: its bytes
    """
    return (
        f"If these {size:,} bytes are one whole message, its length may stand so; one message is "
        "too little to be sure. Capture 8 or more of differing size."
    )


def cut_end(frames: int, left_over: int) -> str:
    """Return why frames that are likely are but a guess where the capture is cut.

    :param frames: how many are whole
    :param left_over: bytes behind them
    """
    left = f"with {left_over:,} bytes of the next one" if left_over else "and more may have come"
    return (
        f"{frames:,} frames fit, and the capture ends {left}. One that ends with a frame would "
        "make it sure: capture to the end of a message."
    )


def unknown_front(frames: int, front: int) -> str:
    """Return why frames that are likely are but a guess where something stands before them.

    :param frames: how many there are
    :param front: bytes before them
    """
    return (
        f"{frames:,} frames fit, but what the {front:,} bytes before them are is not known: a "
        "preamble, or the rest of a frame, so that all may begin some bytes later. Capture from "
        "the beginning of the connection."
    )


def unsure(frames: int, sizes: Sequence[int], size: int) -> str:
    """Return why the best candidate is but a guess.

    :param frames: how many it has
    :param sizes: those of its frames
    :param size: bytes in all
    """
    if frames >= 3 and len(set(sizes)) == 1:
        return (
            f"All {frames} frames have {sizes[0]} bytes: any byte that is the same in all of them "
            "could be the length. Capture messages of differing size."
        )
    if frames < 8:
        return (
            f"{frames} frame{'s' if frames != 1 else ''} in {size} bytes are too few to be sure: "
            "capture 8 or more of differing size, with the boundaries of their segments (a pcap)."
        )
    return (
        "The lengths could come out like this by chance. Capture more messages of differing size, "
        "both directions, and the boundaries of their segments (a pcap)."
    )
