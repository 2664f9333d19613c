"""What both codec backends refuse, and the texts of their errors.

The functions return the exception; the backend raises it. The texts are here alone, so that
both backends fail alike.
"""

from __future__ import annotations

import sys
from typing import Final

from ..errors import (
    ConfigurationError,
    FrameTooLargeError,
    FrameTooSmallError,
    IncompleteFrameError,
    MalformedLengthError,
    MessageTooLargeError,
    MessageTooSmallError,
    NotSupportedError,
)
from .codec_types import Layout
from .native import LENGTH_MASK

# A varint adds at most this many bytes in front of the message.
_MAX_VARINT = 10
_sound: Final[list[Layout | None]] = [None]
"""The layout that was checked last: the connections of a server all have the same."""


def check_layout(layout: Layout) -> None:
    """Refuse numbers that contradict each other: the codecs rely on every one of them."""
    if layout is _sound[0]:
        return
    header = layout.offset + layout.width
    if layout.width == 0:
        sound = layout.offset == layout.extra == layout.strip == 0 and not layout.control
    else:
        sound = (
            1 <= layout.width <= 8
            and layout.offset >= 0
            and layout.strip >= 0
            and layout.smallest + layout.extra >= max(header, layout.strip)
        )
    if layout.control:
        sound = (
            sound
            and (layout.width, layout.big_endian, layout.offset) == (4, False, 0)
            and layout.extra == layout.strip == 4
            and layout.largest <= LENGTH_MASK
            and 1 <= layout.max_control <= LENGTH_MASK
        )
    if not (
        sound
        and 0 <= layout.smallest <= layout.largest < 1 << 8 * (layout.width or 8)
        and layout.largest + layout.extra <= sys.maxsize - _MAX_VARINT
        and layout.minimum == layout.smallest + layout.extra - layout.strip
        and layout.maximum == layout.largest + layout.extra - layout.strip
    ):
        raise ConfigurationError(f"contradictory frame layout: {layout}")
    if type(layout) is Layout:
        # One of a subclass may hold on to anything.
        _sound[0] = layout


def _length(value: int, layout: Layout) -> str:
    """Name a length as it was read, and as it may have been meant."""
    bits = 8 * layout.width
    if bits and not layout.control and value >> (bits - 1):
        return f"length {value} ({value - (1 << bits)} as a signed {bits}-bit integer)"
    return f"length {value}"


def too_large(value: int, layout: Layout) -> FrameTooLargeError:
    """The length field holds more than ``layout.largest``."""
    size = value + layout.extra - layout.strip
    if size == value:
        problem = f"is over the limit of {layout.maximum} bytes"
    else:
        problem = f"makes a message of {size} bytes, over the limit of {layout.maximum} bytes"
    return FrameTooLargeError(f"{_length(value, layout)} {problem}")


def too_small(value: int, layout: Layout) -> FrameTooSmallError:
    """The length field holds less than ``layout.smallest``."""
    frame = value + layout.extra
    least = max(layout.offset + layout.width, layout.strip)
    size = frame - layout.strip
    if frame < least:
        problem = f"makes a frame of {frame} bytes, but every frame starts with {least} bytes"
    elif size == value:
        problem = f"is below the minimum of {layout.minimum} bytes"
    else:
        problem = f"makes a message of {size} bytes, below the minimum of {layout.minimum} bytes"
    return FrameTooSmallError(f"{_length(value, layout)} {problem}")


def control_too_large(size: int, layout: Layout) -> FrameTooLargeError:
    """A control frame is longer than ``layout.max_control``."""
    return FrameTooLargeError(
        f"a control frame of {size} bytes is over the limit of {layout.max_control} bytes"
    )


def control_empty() -> FrameTooSmallError:
    """A control frame has no room for its opcode."""
    return FrameTooSmallError("a control frame of 0 bytes has no opcode")


def malformed_varint() -> MalformedLengthError:
    """A varint has an eleventh byte, or a value of 2**64 or more."""
    return MalformedLengthError("a varint length runs on past 64 bits")


def incomplete(received: int, size: int, *, number: int | None = None) -> IncompleteFrameError:
    """The stream ended where a frame had ``received`` of its ``size`` bytes; 0 if not known."""
    where = "a frame" if number is None else f"frame {number}"
    if size:
        came = f"{received} of its {size} bytes came, {size - received} are missing"
    else:
        came = f"{_bytes(received)} of it came, which do not tell its size"
    error = IncompleteFrameError(f"the stream ends inside {where}: {came}")
    error.received, error.size = received, size
    return error


def _bytes(count: int) -> str:
    return "1 byte" if count == 1 else f"{count} bytes"


def not_bytes(value: object) -> TypeError:
    """Something other than bytes-like was to be fed or encoded."""
    return TypeError(
        f"a bytes-like object is required, not {type(value).__name__}; "
        "encode text first, e.g. text.encode()"
    )


def not_contiguous() -> BufferError:
    """A view with gaps was to be fed or encoded."""
    return BufferError("a contiguous buffer is required; copy this one first, e.g. bytes(view)")


def message_too_large(size: int, layout: Layout) -> MessageTooLargeError:
    """A message of ``size`` bytes cannot be encoded: too large."""
    return MessageTooLargeError(size, layout.maximum)


def message_too_small(size: int, layout: Layout) -> MessageTooSmallError:
    """A message of ``size`` bytes cannot be encoded: too small."""
    return MessageTooSmallError(size, layout.minimum)


def no_head(layout: Layout) -> NotSupportedError:
    """A head cannot be made without its payload, because they overlap."""
    return NotSupportedError(
        f"head() needs a layout that strips its whole header of {layout.offset + layout.width} "
        f"bytes, not {layout.strip} of it; use encode()"
    )


def buffer_exported() -> RuntimeError:
    """``feed`` between ``get_buffer`` and ``buffer_updated`` would leave the order open."""
    return RuntimeError("feed() while a buffer is lent; call buffer_updated() first")


def busy() -> RuntimeError:
    """A decoder was called while it was still in another call."""
    return RuntimeError("the decoder is busy: one thread at a time, and no call from within a call")


def nothing_exported() -> ValueError:
    """``buffer_updated`` came without ``get_buffer``."""
    return ValueError("buffer_updated() without get_buffer() before it")


def bad_count(count: object, size: int) -> ValueError:
    """``buffer_updated`` got a number that the buffer cannot hold."""
    return ValueError(f"buffer_updated({count}): the buffer has {size} bytes")


def no_pickle(codec: object) -> TypeError:
    """Codecs belong to one stream in one process."""
    return TypeError(f"{type(codec).__name__} objects cannot be copied or pickled")
