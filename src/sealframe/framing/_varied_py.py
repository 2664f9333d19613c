"""The decoder for layouts of all kinds, in pure Python.

Theory of operation. Where a frame is whole in the input it is cut out of it. Of any other the
bytes are kept as they arrive, first one by one until the field can be read and its size is
known, then up to that size. What stands at known places (magic, checksums, trailer) is
verified in the order of the bytes, each as soon as it is there; ``_stage`` says how far that
is. So the fault that is found, and its text, do not depend on how the stream was split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final

from . import faults
from .buffered import BufferedDecoder
from .plan import BCD, BER, BODY, DIGITS, ESCAPED, HEAD, UINT, UNTIL, VARINT, Check, Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from .codec_types import Control

__all__ = ["Decoder", "read_field"]

_Bytes: TypeAlias = bytes | bytearray
_Field: TypeAlias = tuple[int, int, int]
"""Bytes that the field has, the number in it, and the bytes that its bits add to the header."""
_INCOMPLETE: Final = (0, 0, 0)


@final
class Decoder(BufferedDecoder):
    """Cuts one byte stream into frames as a :class:`~sealframe.framing.plan.Plan` has them."""

    __slots__ = (
        "_bare",
        "_counted",
        "_header",
        "_kept",
        "_magic_behind",
        "_plan",
        "_read",
        "_simple",
        "_stage",
        "_start",
    )

    def __init__(self, plan: Plan) -> None:
        faults.check_plan(plan)
        super().__init__()
        self._plan = plan
        self._read = _READERS[plan.kind]
        self._magic_behind = plan.magic_at + len(plan.magic) > plan.offset
        self._bare = not (plan.head_checks or plan.end_checks or plan.trailer or self._magic_behind)
        """Nothing but the head is to be verified."""
        self._simple = not (
            plan.head_checks
            or plan.end_checks
            or self._magic_behind
            or plan.magic_mask.strip(b"\xff")
        )
        """Frames can be cut out by :meth:`_split_whole`."""
        self._kept = bytearray()
        # Of the frame whose head was read last:
        self._header = 0
        self._counted = 0
        self._start = 0
        self._stage = 0

    def _split(self, data: bytes, frames: list[bytes | Control]) -> None:
        place, end = 0, len(data)
        while self._kept and place < end:
            place = self._keep(data, place, frames)
        bare = self._bare
        while place < end:
            if self._simple and (place := self._split_whole(data, place, frames)) == end:
                break
            have = end - place
            if not self._read_head(data, place, have):
                self._kept += data[place:]
                break
            size = self.frame_size
            if not bare:
                self._stage = 0
                self._verify(data, place, min(have, size))
            if size > have:
                self._kept += data[place:]
                break
            frames.append(data[place + self._start : place + self._counted])
            self.frame_size = 0
            place += size
        self.pending = len(self._kept)

    def advance(self, data: bytes, place: int, frames: list[bytes | Control], /) -> int:
        """Take bytes from ``place`` on, and none behind the end of the frame."""
        end, have = len(data), len(data) - place
        if self._kept:
            while place < end:
                place = self._keep(data, place, frames)
                if not self._kept:
                    break
            self.pending = len(self._kept)
            return place
        if self._read_head(data, place, have):
            size = self.frame_size
            if not self._bare:
                self._stage = 0
                self._verify(data, place, min(have, size))
            if size <= have:
                frames.append(data[place + self._start : place + self._counted])
                self.frame_size = 0
                return place + size
        self._kept += data[place:]
        self.pending = have
        return end

    def _split_whole(self, data: bytes, place: int, frames: list[bytes | Control]) -> int:
        """The hot loop: cut out messages while they are whole and nothing is wrong with them.

        :meth:`_read_head` and :meth:`_verify` tell what is.
        """
        plan = self._plan
        read, append, end = self._read, frames.append, len(data)
        offset, strip, unit, adjustment = plan.offset, plan.strip, plan.unit, plan.adjustment
        magic, magic_at, trailer, align = plan.magic, plan.magic_at, plan.trailer, plan.align
        minimum, maximum = plan.minimum, plan.maximum
        minimum_frame, maximum_frame = plan.minimum_frame, plan.maximum_frame
        tail, counts_header = len(trailer), plan.includes_header
        while (field := place + offset) < end:
            if magic and not data.startswith(magic, place + magic_at):
                break
            used, value, added = read(plan, data, field, end)
            header = offset + used + added
            counted = value * unit + adjustment
            if not counts_header:
                counted += header
            start = header if strip < 0 else strip
            after = counted + tail
            if align > 1:
                after += -after % align
            if (
                not used
                or after > end - place
                or counted < header
                or not minimum <= counted - start <= maximum
                or not minimum_frame <= after <= maximum_frame
                or (trailer and not data.startswith(trailer, place + counted))
            ):
                break
            append(data[place + start : place + counted])
            place += after
        return place

    def _keep(self, data: bytes, place: int, frames: list[bytes | Control]) -> int:
        """Take bytes from ``place`` on for the frame that is kept; return where it stopped."""
        kept = self._kept
        known = self.frame_size
        stop = place + max(1, (known or self._plan.offset) - len(kept))
        kept += data[place:stop]
        place = min(stop, len(data))
        have = len(kept)
        if not known:
            if not self._read_head(kept, 0, have):
                return place
            self._stage = 0
        if not self._bare:
            self._verify(kept, 0, have)
        if have == self.frame_size:
            with memoryview(kept) as view:
                frames.append(view[self._start : self._counted].tobytes())
            self._clear()
            self.frame_size = 0
        return place

    def _clear(self) -> None:
        self._kept = bytearray()

    def _read_head(self, data: _Bytes, place: int, have: int) -> bool:
        """Read the field of the frame that starts at ``place``; False if it is incomplete.

        Sets what is known of the frame then.
        """
        plan = self._plan
        if plan.magic and not self._magic_behind:
            self._verify_magic(data, place, have)
        if have <= plan.offset:
            return False
        used, value, added = self._read(plan, data, place + plan.offset, place + have)
        if not used:
            return False
        header = plan.offset + used + added + plan.head_sum
        counted = value * plan.unit + plan.adjustment
        if not plan.includes_header:
            counted += header
        start = header if plan.strip < 0 else plan.strip
        size = counted - start
        frame = counted + plan.end_sum + len(plan.trailer)
        frame += -frame % plan.align
        if (
            value > plan.largest
            or counted < header
            or counted < start
            or not plan.minimum <= size <= plan.maximum
            or not plan.minimum_frame <= frame <= plan.maximum_frame
        ):
            raise faults.wrong_size(plan, value, header)
        self._header = header
        self._counted = counted
        self._start = start
        self.frame_size = frame
        return True

    def _verify(self, data: _Bytes, place: int, have: int) -> None:
        """Verify what has not been yet, of a frame of which ``have`` bytes are there."""
        plan = self._plan
        if self._stage == 0:
            if self._magic_behind and not self._verify_magic(data, place, have):
                return
            if have < self._header:
                return
            self._verify_head(data, place, of_body=False)
            self._stage = 1
        if self._stage == 1:
            if have < self._counted:
                return
            self._verify_head(data, place, of_body=True)
            self._stage = 2
        at = self._counted
        for number, check in enumerate(plan.end_checks, 2):
            if have < at + check.size:
                return
            if self._stage == number:
                self._verify_check(check, data, place, at)
                self._stage += 1
            at += check.size
        _compare_trailer(plan, data, place + at, min(place + have, place + at + len(plan.trailer)))

    def _verify_magic(self, data: _Bytes, place: int, have: int) -> bool:
        """Compare as much of it as is there; return whether that is all."""
        plan = self._plan
        start = place + plan.magic_at
        for number, byte in enumerate(data[start : min(start + len(plan.magic), place + have)]):
            if (byte ^ plan.magic[number]) & plan.magic_mask[number]:
                raise faults.wrong_magic(plan, number, byte)
        return have >= plan.magic_at + len(plan.magic)

    def _verify_head(self, data: _Bytes, place: int, *, of_body: bool) -> None:
        at = self._header - self._plan.head_sum
        for check in self._plan.head_checks:
            if (check.of != HEAD) == of_body:
                self._verify_check(check, data, place, at)
            at += check.size

    def _verify_check(self, check: Check, data: _Bytes, place: int, at: int) -> None:
        """Verify the checksum that stands ``at`` bytes into the frame."""
        sent = int.from_bytes(
            data[place + at : place + at + check.size], "big" if check.big_endian else "little"
        )
        with memoryview(data) as whole, whole[place:] as view:
            worked_out = sum_up(check, view, self._plan, self._header, self._counted, at)
        if sent != worked_out:
            raise faults.wrong_checksum(check.of, check.size, sent, worked_out)


def sum_up(check: Check, frame: memoryview, plan: Plan, header: int, counted: int, at: int) -> int:
    """Return what a checksum that stands ``at`` bytes into the frame has to be."""
    if check.of == HEAD:
        of = frame[: header - plan.head_sum]
    else:
        of = frame[header:counted] if check.of == BODY else frame[:at]
    with of:
        return check.function(of) & ((1 << 8 * check.size) - 1)


def _compare_trailer(plan: Plan, data: _Bytes, start: int, end: int) -> None:
    for number, byte in enumerate(data[start:end]):
        if byte != plan.trailer[number]:
            raise faults.wrong_trailer(plan, number, byte)


def read_field(plan: Plan, data: _Bytes, start: int, end: int) -> _Field:
    """Read the field that starts at ``start``, of which bytes up to ``end`` are there.

    :raises MalformedLengthError: it is not written as the plan says
    """
    return _READERS[plan.kind](plan, data, start, end)


def _read_uint(plan: Plan, data: _Bytes, start: int, end: int) -> _Field:
    width = plan.width
    if end - start < width:
        return _INCOMPLETE
    raw = int.from_bytes(data[start : start + width], "big" if plan.big_endian else "little")
    return width, (raw & plan.mask) >> plan.shift, 0


def _read_escaped(plan: Plan, data: _Bytes, start: int, end: int) -> _Field:
    byteorder: Literal["little", "big"] = "big" if plan.big_endian else "little"
    first = start + plan.width
    if end < first:
        return _INCOMPLETE
    raw = int.from_bytes(data[start:first], byteorder)
    value = (raw & plan.mask) >> plan.shift
    more = next((more for escape, more in plan.wider if escape == value), 0)
    if end - first < more:
        return _INCOMPLETE
    if more:
        value = int.from_bytes(data[first : first + more], byteorder)
    added = sum(count for bit, count in plan.adds if raw & bit)
    return plan.width + more, value, added


def _read_digits(plan: Plan, data: _Bytes, start: int, end: int) -> _Field:
    value = 0
    for byte in data[start : min(end, start + plan.width)]:
        digit = _DIGITS[byte]
        if digit >= plan.base:
            raise faults.not_a_digit(plan, byte)
        value = value * plan.base + digit
    return _INCOMPLETE if end - start < plan.width else (plan.width, value, 0)


def _read_until(plan: Plan, data: _Bytes, start: int, end: int) -> _Field:
    stop = data.find(plan.until, start, min(end, start + plan.width + len(plan.until)))
    digits = data[start : max(stop, start)]
    if plan.base == 10 and digits.isdigit() and (digits[0] != _ZERO or len(digits) == 1):
        return stop - start + len(plan.until), int(digits), 0
    value, place = 0, start
    while place < end and (digit := _DIGITS[data[place]]) < plan.base:
        if place - start == plan.width:
            raise faults.too_many_digits(plan)
        if place > start and data[start] == _ZERO:
            raise faults.leading_zero()
        value = value * plan.base + digit
        place += 1
    if place == end:
        return _INCOMPLETE
    if place == start:
        raise faults.not_a_digit(plan, data[place])
    for expected in plan.until:
        if place == end:
            return _INCOMPLETE
        if data[place] != expected:
            raise faults.not_the_end(plan, data[place])
        place += 1
    return place - start, value, 0


def _read_bcd(plan: Plan, data: _Bytes, start: int, end: int) -> _Field:
    value = 0
    for byte in data[start : min(end, start + plan.width)]:
        if byte >> 4 > 9 or byte & 15 > 9:
            raise faults.not_a_digit(plan, byte)
        value = value * 100 + 10 * (byte >> 4) + (byte & 15)
    return _INCOMPLETE if end - start < plan.width else (plan.width, value, 0)


def _read_varint(plan: Plan, data: _Bytes, start: int, end: int) -> _Field:
    if data[start] < 0x80:
        return 1, data[start], 0
    value = 0
    for count, byte in enumerate(data[start : min(end, start + plan.width)]):
        if count == 9 and byte > 1:
            raise faults.malformed_varint(plan)
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return count + 1, value, 0
    if end - start >= plan.width:
        raise faults.malformed_varint(plan)
    return _INCOMPLETE


def _read_ber(plan: Plan, data: _Bytes, start: int, end: int) -> _Field:
    first = data[start]
    if first < 0x80:
        return 1, first, 0
    count = first & 0x7F
    if not 1 <= count <= plan.width:
        raise faults.malformed_ber(plan, first)
    stop = start + 1 + count
    return (
        (1 + count, int.from_bytes(data[start + 1 : stop], "big"), 0)
        if stop <= end
        else _INCOMPLETE
    )


_ZERO: Final = ord("0")
_DIGITS: Final = bytes(
    int(chr(byte), 16) if chr(byte) in "0123456789abcdefABCDEF" else 255 for byte in range(256)
)
"""What each byte is as a hexadecimal digit; 255 for none."""
_READERS: Final[dict[int, Callable[[Plan, _Bytes, int, int], _Field]]] = {
    UINT: _read_uint,
    DIGITS: _read_digits,
    UNTIL: _read_until,
    BCD: _read_bcd,
    VARINT: _read_varint,
    BER: _read_ber,
    ESCAPED: _read_escaped,
}
