"""A layout that somebody gave, run over a capture: how far it comes, and as a hypothesis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...errors import ConfigurationError, FramingError
from ..layout import Framing
from ..numbers import Bcd, Ber, Digits, Escaped, Uint, Varint
from .hypotheses import (
    BcdField,
    BerField,
    DigitsField,
    DigitsUntil,
    EscapedField,
    FixedField,
    Hypothesis,
    VarintField,
)

if TYPE_CHECKING:
    from ..base import FrameLayout, Sender
    from ..numbers import Number
    from .hypotheses import Field
    from .results import Capture

__all__ = ["Run", "hypothesis_of", "read_length", "run", "sender_of"]

_PIECE: Final = 1 << 16
_EITHER: Final[tuple[Sender, Sender]] = ("client", "server")


@dataclass(frozen=True)
class Run:
    """How far a decoder came.

    :ivar frames: whole frames
    :ivar pending: bytes of the frame that is not whole
    :ivar wanted: bytes that it has in all, 0 where that is not known
    :ivar error: what the decoder said, ``None`` if nothing was wrong
    :ivar cut: what it said of the end of a stream that ends there, ``None`` if nothing is missing
    """

    frames: int
    pending: int
    wanted: int
    error: str | None
    cut: str | None = None

    @property
    def fits(self) -> bool:
        """Whether every byte belongs to a whole frame."""
        return self.error is None and not self.pending and self.frames > 0


def run(capture: Capture, framing: FrameLayout, start: int = 0) -> Run:
    """Feed a capture to the layout's decoder, from ``start`` on.

    Where the two ends begin differently, and whose bytes these are is not known, the end counts
    that comes further.
    """
    return max((_run(capture, framing, start, one) for one in _senders(capture, framing)), key=_far)


def sender_of(capture: Capture, framing: FrameLayout, start: int = 0) -> Sender | None:
    """Return whose bytes these are, which a layout may ask for that has a preamble of its own for
    each direction.

    :param start: where the first frame begins, in bytes
    :return: as the capture says; else, where the layout needs to know, the one whose frames it
        cuts more of
    """
    first, *others = _senders(capture, framing)
    if not others:
        return first
    return max(first, *others, key=lambda one: _far(_run(capture, framing, start, one)))


def _senders(capture: Capture, framing: FrameLayout) -> tuple[Sender | None, ...]:
    """Return whose bytes these may be."""
    try:
        framing.decoder(sender=capture.sender)
    except ConfigurationError:
        return _EITHER
    return (capture.sender,)


def _far(done: Run) -> tuple[bool, int]:
    return done.error is None, done.frames


def _run(capture: Capture, framing: FrameLayout, start: int, sender: Sender | None) -> Run:
    decoder = framing.decoder(sender=sender)
    data = memoryview(capture.data)
    frames = 0
    try:
        for position in range(start, len(data), _PIECE):
            frames += len(decoder.feed(data[position : position + _PIECE]))
    except FramingError as error:
        return Run(frames + len(error.frames), 0, 0, str(error))
    pending, wanted = decoder.pending, decoder.frame_size
    cut = None
    if capture.complete:
        try:
            decoder.finish()
        except FramingError as error:
            cut = str(error)
    return Run(frames, pending, wanted, None, cut)


def hypothesis_of(framing: FrameLayout) -> Hypothesis | None:
    """Return the layout as a hypothesis, or None where it is none of them."""
    if not isinstance(framing, Framing) or framing.control:
        return None
    field = _field_of(framing.number)
    if field is None:
        return None
    extra = framing.adjustment + len(framing.trailer)
    varies = not isinstance(field, FixedField | DigitsField | BcdField)
    inclusive = framing.includes_header or not varies
    if inclusive and not framing.includes_header:
        extra += framing.offset + field.width
    # Checksums in the header are a part of it, those at the end are never counted.
    in_header = not framing.includes_header
    extra += sum(one.size for one in framing.checksums if one.at == "end" or in_header)
    return Hypothesis(
        field,
        framing.offset,
        extra,
        framing.unit,
        framing.align,
        inclusive,
    )


def _field_of(length: Number) -> Field | None:
    """Return how a length is written, as a field, or None where it is none of them."""
    match length:
        case Uint():
            return FixedField(length.width, length.byteorder, length.mask)
        case Escaped():
            mask = (1 << 8 * length.width) - 1 if length.mask is None else length.mask
            return EscapedField(length.wider, length.byteorder, mask, length.adds, length.width)
        case Digits(width=None):
            return DigitsUntil(length.until, length.base)
        case Digits(width=int(width)):
            return DigitsField(width, length.base)
        case Bcd():
            return BcdField(length.width)
        case Varint():
            return VarintField()
        case Ber():
            return BerField()
    return None


def read_length(framing: Framing, frame: bytes) -> tuple[int, int] | None:
    """Return the length that a frame begins with and the bytes of its field, if it is all there."""
    field = _field_of(framing.number)
    if field is None:
        return None
    if isinstance(field, EscapedField):
        return field.written(frame, framing.offset)
    return field.read(frame, framing.offset)
