"""What goes into the codec for layouts that are more than a field of fixed width: :class:`Plan`.

With all of it in use a frame looks like this::

    |<------------------ header ------------------>|
    +--------+--------------+-------+--------------+------+-----------+---------+---------+
    | offset |    field     | added | head_checks  | body | end_checks| trailer | padding |
    +--------+--------------+-------+--------------+------+-----------+---------+---------+
    |<-------------------- counted ---------------------->|<---------- tail ----->|

The field is the length as it is written, with its delimiter or its wider form. ``added`` are
bytes that bits of the field announce. ``counted`` is ``number * unit + adjustment``, and
``header`` on top of it unless ``includes_header`` is set. The message is the counted part
without its first ``strip`` bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

UINT: Final = 0
"""``width`` bytes in byte order: the bits of ``mask``, shifted down by ``shift``."""
DIGITS: Final = 1
"""``width`` ASCII digits to ``base``."""
UNTIL: Final = 2
"""1 to ``width`` ASCII digits to ``base`` without leading zeros, and then ``until``."""
BCD: Final = 3
"""``width`` bytes of two decimal digits each, the first in the upper half."""
VARINT: Final = 4
"""1 to ``width`` bytes of LEB128, below 2**64."""
BER: Final = 5
"""X.690, section 8.1.3, definite: 1 byte, or 0x80 + n and n bytes, n at most ``width``."""
ESCAPED: Final = 6
"""As ``UINT``, and values in ``wider`` mean that the number stands in the bytes behind it."""

HEAD: Final = 0
"""A checksum of the header's bytes in front of the first checksum in it."""
BODY: Final = 1
"""A checksum of the body."""
FRAME: Final = 2
"""A checksum of all bytes of the frame in front of it."""


class Check(NamedTuple):
    """A checksum, as a part of a plan."""

    size: int
    """Bytes that it has."""
    of: int
    """``HEAD``, ``BODY`` or ``FRAME``."""
    big_endian: bool
    function: Callable[[memoryview], int]
    """Its low ``size`` bytes are what is compared."""


class Plan(NamedTuple):
    """A layout worked out to numbers: all that the codec needs to know."""

    kind: int
    """How the number is written: ``UINT`` to ``ESCAPED``."""
    offset: int
    """Bytes before the field."""
    width: int
    """Bytes in the field; see the kinds."""
    big_endian: bool
    mask: int
    """``UINT``, ``ESCAPED``: the bits of the field that are the number."""
    shift: int
    """Where the mask begins."""
    flags: int
    """Bits outside the mask that are set in what is sent, where the header is stripped."""
    base: int
    """``DIGITS``, ``UNTIL``: 10 or 16."""
    until: bytes
    """``UNTIL``: what ends the digits."""
    wider: tuple[tuple[int, int], ...]
    """``ESCAPED``: numbers, and how many bytes behind the field have the number then."""
    adds: tuple[tuple[int, int], ...]
    """``ESCAPED``: bits of the field, and how many bytes behind it they announce."""
    unit: int
    """Bytes that the number counts as one."""
    adjustment: int
    """Added to the bytes counted."""
    includes_header: bool
    """The number counts the header too."""
    head_checks: tuple[Check, ...]
    end_checks: tuple[Check, ...]
    head_sum: int
    """Bytes in ``head_checks``."""
    end_sum: int
    """Bytes in ``end_checks``."""
    strip: int
    """Bytes of the counted part that are dropped from its front; -1 for the whole header."""
    magic: bytes
    """What stands in each frame at ``magic_at``, as far as ``magic_mask`` has its bits set."""
    magic_mask: bytes
    """As long as ``magic``."""
    magic_at: int
    """From the frame's first byte; it ends before the field, or begins behind it."""
    trailer: bytes
    align: int
    """Padding makes the frame a multiple of so many bytes."""
    minimum: int
    """The smallest message, in bytes."""
    maximum: int
    """The largest message, in bytes."""
    minimum_frame: int
    """The smallest frame, in bytes, with all that is in the drawing."""
    maximum_frame: int
    """The largest one."""
    largest: int
    """No number over this one can be right: what is under it does not overflow 64 bits."""
