"""Checksums of frames, held to the frames: which number, of which bytes, in which order.

They stand at the end of a frame, or at the end of its head, worked out from the head alone.

A checksum that comes out in every frame says more than all else: by chance that happens once in as
many streams as its bits, times the frames, allow.
"""

from __future__ import annotations

import binascii
import zlib
from dataclasses import dataclass
from functools import cache, reduce
from operator import xor
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["KINDS", "Found", "HeadFound", "checksum_of", "checksum_of_head"]

_FRAMES: Final = 12
"""So many frames are checked."""
_FEWEST: Final = 3
_LONGEST: Final = 2048
"""Longer frames are left out where others are there."""
_BEGINS: Final = 9
"""So many bytes of a frame may be left out at its beginning."""
_HEAD: Final = 8
"""So far behind a length a checksum of the head is looked for."""
_BEHIND: Final = (0, 1, 2, 4)
"""Bytes behind it: a mark of the end."""
_ORDERS: Final[tuple[Literal["big", "little"], ...]] = ("big", "little")
_BITS: Final = 40.0
"""Bits by which a checksum has to be unlikely by chance."""


@dataclass(frozen=True)
class HeadFound:
    """A checksum that all heads have.

    :ivar name: as people call it
    :ivar size: its bytes
    :ivar begin: the first byte of the frame that it is worked out from
    :ivar at: where it stands, and what it is worked out from ends
    """

    name: str
    size: int
    order: Literal["big", "little"]
    begin: int
    at: int

    @property
    def sentence(self) -> str:
        """What to say of it."""
        order = f", {self.order}-endian" if self.size > 1 else ""
        many = self.size > 1
        place = f"Bytes {self.at} to {self.at + self.size - 1}" if many else f"Byte {self.at}"
        whose = (
            f"the {self.at} before" if not self.begin else f"bytes {self.begin} to {self.at - 1}"
        )
        return (
            f"{place} of each frame {'are' if many else 'is'} the {self.name} of {whose}{order}: "
            "a checksum of the head, right in all that were checked."
        )


@dataclass(frozen=True)
class Found:
    """A checksum that all frames have.

    :ivar name: as people call it
    :ivar size: its bytes
    :ivar begin: the first byte of the frame that it is worked out from
    :ivar behind: bytes of the frame that stand behind it
    :ivar bits: how unlikely that is by chance
    """

    name: str
    size: int
    order: Literal["big", "little"]
    begin: int
    behind: int
    bits: float

    @property
    def sentence(self) -> str:
        """What to say of it."""
        order = f", {self.order}-endian" if self.size > 1 else ""
        what = "byte" if self.size == 1 else f"{self.size} bytes"
        place = f" before the {self.behind} at the end" if self.behind else ""
        whose = "all before" if not self.begin else f"what is before, from byte {self.begin} on"
        return (
            f"The last {what} of each frame{place} {'is' if self.size == 1 else 'are'} the "
            f"{self.name} of {whose}{order}: it is right in all that were checked."
        )


def checksum_of(frames: Sequence[bytes]) -> Found | None:
    """Return the checksum at the end of these frames, None where there is none that is known."""
    told = _some([frame for frame in frames if len(frame) <= _LONGEST])
    if len(told) < _FEWEST:
        return None
    for size, name, function in KINDS:
        for behind in _BEHIND:
            ends = [(frame, len(frame) - size - behind) for frame in told]
            if min(end for _, end in ends) < 1:
                continue
            # Where it is often the same number, so is what it is worked out from: zeros.
            bits = 8.0 * size * len({frame[end : end + size] for frame, end in ends}) - 8
            if bits < _BITS:
                continue
            for begin in range(min(_BEGINS, *(end for _, end in ends))):
                for order in _ORDERS if size > 1 else _ORDERS[:1]:
                    if all(
                        function(frame[begin:end]) == int.from_bytes(frame[end : end + size], order)
                        for frame, end in ends
                    ) and not _is_copy(
                        [frame[begin:end] for frame, end in ends],
                        [frame[end : end + size] for frame, end in ends],
                    ):
                        return Found(name, size, order, begin, behind, bits)
    return None


def checksum_of_head(frames: Sequence[bytes], header: int) -> HeadFound | None:
    """Return the checksum at the end of the heads of these frames, None where none is known.

    :param header: the bytes of a frame up to the end of its length, which it is worked out from;
        those of a checksum behind may be part of it
    """
    longest = header + _HEAD
    heads = _some([frame[:longest] for frame in frames])
    if len(heads) < _FEWEST:
        return None
    shortest = min(map(len, heads))
    for size, name, function in KINDS:
        for at in range(header, min(longest, shortest) - size + 1):
            written = [head[at : at + size] for head in heads]
            bits = 8.0 * size * len({*zip(written, (head[:at] for head in heads), strict=True)})
            # As in a frame's: where it is often the same number, that says little.
            if min(bits, 8.0 * size * (len(set(written)) + 1)) - 8 < _BITS:
                continue
            for begin in range(min(_BEGINS, header, at - 1)):
                covered = [head[begin:at] for head in heads]
                for order in _ORDERS if size > 1 else _ORDERS[:1]:
                    if all(
                        function(part) == int.from_bytes(number, order)
                        for part, number in zip(covered, written, strict=True)
                    ) and not _is_copy(covered, written):
                        return HeadFound(name, size, order, begin, at)
    return None


def _is_copy(covered: Sequence[bytes], written: Sequence[bytes]) -> bool:
    """Whether what is written is a length that stands before it too: its own sum, among zeros."""
    varying = [column for column in zip(*covered, strict=False) if len(set(column)) > 1]
    numbers = [number.strip(b"\0") for number in written]
    if len(varying) == 1 and len({*map(len, covered)}) == 1:
        return numbers == [bytes([byte]).strip(b"\0") for byte in varying[0]]
    return all(
        part.strip(b"\0") in {number, number[::-1]}
        for part, number in zip(covered, numbers, strict=True)
    )


def _some(frames: Sequence[bytes]) -> list[bytes]:
    """Return some that differ, of all sizes."""
    told = sorted(dict.fromkeys(frames), key=len)
    return told[:: max(1, len(told) // _FRAMES)][:_FRAMES]


@cache
def _table(polynomial: int) -> tuple[int, ...]:
    """Return the table of a reflected CRC of 16 bits."""
    rows = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
        rows.append(value)
    return tuple(rows)


def _reflected(polynomial: int, start: int, end: int) -> Callable[[bytes], int]:
    def crc(data: bytes) -> int:
        table = _table(polynomial)
        value = start
        for byte in data:
            value = value >> 8 ^ table[(value ^ byte) & 0xFF]
        return value ^ end

    return crc


def _direct(bits: int, polynomial: int) -> Callable[[bytes], int]:
    """Return a CRC that is not reflected and begins with 0; its polynomial with the highest bit."""

    def crc(data: bytes) -> int:
        value = 0
        for byte in data:
            value ^= byte << (bits - 8)
            for _ in range(8):
                value = value << 1 ^ (polynomial if value >> (bits - 1) else 0)
        return value

    return crc


def _fletcher(data: bytes) -> int:
    first = second = 0
    for byte in data:
        first = first + byte & 0xFF
        second = second + first & 0xFF
    return first << 8 | second


KINDS: Final[tuple[tuple[int, str, Callable[[bytes], int]], ...]] = (
    (4, "CRC-32 (zlib.crc32)", zlib.crc32),
    (4, "Adler-32 (zlib.adler32)", zlib.adler32),
    (3, "CRC-24Q", _direct(24, 0x1864CFB)),
    (2, "CRC-16/MODBUS", _reflected(0xA001, 0xFFFF, 0)),
    (2, "CRC-16/X-25", _reflected(0x8408, 0xFFFF, 0xFFFF)),
    (2, "CRC-16/KERMIT", _reflected(0x8408, 0, 0)),
    (2, "CRC-16/XMODEM (binascii.crc_hqx from 0)", lambda data: binascii.crc_hqx(data, 0)),
    (2, "CRC-16/CCITT-FALSE (binascii.crc_hqx from 0xFFFF)", lambda d: binascii.crc_hqx(d, 0xFFFF)),
    (2, "CRC-16/UMTS (also called BUYPASS)", _direct(16, 0x18005)),
    (2, "Fletcher checksum of 8 bits", _fletcher),
    (2, "sum of 16 bits", lambda data: sum(data) & 0xFFFF),
    (1, "XOR", lambda data: reduce(xor, data, 0)),
    (1, "sum", lambda data: sum(data) & 0xFF),
    (1, "negated sum", lambda data: -sum(data) & 0xFF),
)
"""Size, name and function, those first that are least likely by chance."""
