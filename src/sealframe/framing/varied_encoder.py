"""The encoder for layouts of all kinds, in pure Python."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Final, Literal, NoReturn, final

from ..errors import MalformedLengthError, MessageTooLargeError, MessageTooSmallError
from . import faults
from . import refusals as refuse
from ._varied_py import read_field, sum_up
from .plan import BCD, BER, BODY, DIGITS, ESCAPED, UNTIL, VARINT, Check, Plan
from .scratch import readable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import SupportsIndex

    from typing_extensions import Buffer

__all__ = ["Encoder", "write_number"]

_LARGE: Final = 64 * 1024
"""A payload of so many bytes is written from its own memory."""


@final
class Encoder:
    """Makes frames as a :class:`~sealframe.framing.plan.Plan` has them.

    Besides what every :class:`~sealframe.framing.FrameEncoder` raises it is an
    :exc:`~sealframe.errors.EncodeError` where the length cannot express a size, and where the
    header that a payload has to bring has no length in it.
    """

    __slots__ = ("_plain", "_plan", "_stripped")

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stripped = plan.strip < 0 or plan.strip >= plan.offset + _fewest(plan) + plan.head_sum
        """The payload has nothing of the header."""
        self._plain = self._stripped and not (
            plan.end_checks or any(check.of == BODY for check in plan.head_checks)
        )
        """Nothing but its size depends on the payload."""

    def __reduce__(self) -> NoReturn:
        raise refuse.no_pickle(self)

    def encode(self, payload: Buffer, /) -> bytes:
        """Return the frame that carries ``payload``."""
        return b"".join(self._pieces(readable(payload)))

    def encode_many(self, payloads: Iterable[Buffer], /) -> bytes:
        """Return the frames that carry ``payloads``, joined; or raise and make none."""
        pieces: list[Buffer] = []
        for payload in list(payloads):
            pieces += self._pieces(readable(payload))
        return b"".join(pieces)

    def pack(self, payloads: Iterable[Buffer], /) -> list[bytes]:
        """Return the frames that carry ``payloads`` as buffers to be written in one call.

        Small ones are joined. A payload of 64 KiB or more is a buffer of its own and not
        copied, where nothing of the frame but the length depends on it.
        """
        buffers: list[bytes] = []
        pieces: list[Buffer] = []
        for payload in list(payloads):
            message = payload if type(payload) is bytes else readable(payload).tobytes()
            if len(message) < _LARGE or not self._plain:
                pieces += self._pieces(readable(message))
                continue
            head, tail = self._ends(len(message))
            buffers += (b"".join([*pieces, head]), message)
            pieces = [tail] if tail else []
        if pieces:
            buffers.append(b"".join(pieces))
        return buffers

    def head(self, length: SupportsIndex, /) -> bytes:
        """Return what goes before a payload of ``length`` bytes.

        Raises :exc:`~sealframe.errors.NotSupportedError` where it depends on the payload
        itself, or something goes behind it.
        """
        plan = self._plan
        if not self._plain or plan.trailer or plan.align > 1:
            raise faults.no_head(plan)
        return bytes(self._ends(index(length))[0])

    def _pieces(self, payload: memoryview) -> tuple[Buffer, ...]:
        if self._plain:
            head, tail = self._ends(payload.nbytes)
            return head, payload, tail
        plan = self._plan
        if self._stripped:
            frame, header = self._front(payload.nbytes)
            frame += payload
        else:
            frame, header = self._filled_in(payload)
        counted = len(frame)
        self._complete_head(frame, header, counted)
        for check in plan.end_checks:
            frame += self._checksum(check, frame, header, counted, len(frame))
        frame += self._tail(len(frame))
        return (frame,)

    def _ends(self, size: int) -> tuple[bytearray, bytes]:
        """Return what goes before a payload of ``size`` bytes, and what goes behind it."""
        front, header = self._front(size)
        counted = len(front) + size
        self._complete_head(front, header, counted)
        return front, self._tail(counted)

    def _front(self, size: int) -> tuple[bytearray, int]:
        """Return what is stripped, with the length in it, and how much of it is the header."""
        plan = self._plan
        stripped = plan.strip - _fewest(plan) if plan.strip >= 0 else plan.offset + plan.head_sum
        field = self._field(stripped + size, plan.flags, 0)
        header = plan.offset + len(field) + plan.head_sum
        front = bytearray(max(header, plan.strip))
        front[plan.offset : plan.offset + len(field)] = field
        return front, header

    def _filled_in(self, payload: memoryview) -> tuple[bytearray, int]:
        """Return the counted part for a payload that brings its header, and the header's size.

        A length that is right stays as it is: it may be longer than it has to be.
        """
        plan = self._plan
        frame = bytearray(max(plan.strip, 0)) + payload
        self._check_magic(frame)
        start = plan.offset
        if len(frame) <= start:
            raise MessageTooSmallError(payload.nbytes, plan.minimum)
        try:
            used, value, added = read_field(plan, frame, start, len(frame))
        except MalformedLengthError as fault:
            raise faults.no_length_in(fault) from None
        if not used:
            raise MessageTooSmallError(payload.nbytes, plan.minimum)
        if self._total(len(frame), used, added) != value * plan.unit:
            raw = int.from_bytes(
                frame[start : start + plan.width], "big" if plan.big_endian else "little"
            )
            field = self._field(len(frame) - used, raw & ~plan.mask, added)
            frame[start : start + used] = field
            used = len(field)
        return frame, plan.offset + used + added + plan.head_sum

    def _check_magic(self, frame: bytearray) -> None:
        """Refuse a payload that brings other bytes than the magic; zeros are to be filled in."""
        plan = self._plan
        wrong = -1
        filled = False
        for place in range(max(0, plan.strip - plan.magic_at), len(plan.magic)):
            at = plan.magic_at + place
            if at < len(frame):
                bits = frame[at] & plan.magic_mask[place]
                filled = filled or bits != 0
                if wrong < 0 and bits != plan.magic[place] & plan.magic_mask[place]:
                    wrong = place
        if filled and wrong >= 0:
            raise faults.other_magic(plan, wrong, frame[plan.magic_at + wrong])

    def _field(self, rest: int, bits: int, added: int) -> bytes:
        """Return the length of a frame of whose counted part ``rest`` bytes are not the length.

        :param bits: those outside the mask
        :param added: bytes that they add to the header
        """
        plan = self._plan
        width = _fewest(plan)
        while True:
            total = self._total(rest + width, width, added)
            value, over = divmod(total, plan.unit)
            if over:
                raise faults.not_in_units(total, plan, over=over)
            field = write_number(plan, value, bits, least=width)
            if len(field) == width:
                return field
            width = len(field)

    def _total(self, counted: int, used: int, added: int) -> int:
        """Return the bytes that the length of such a frame counts, if it can be sent."""
        plan = self._plan
        header = plan.offset + used + added + plan.head_sum
        size = counted - (header if plan.strip < 0 else plan.strip)
        frame = counted + plan.end_sum + len(plan.trailer)
        frame += -frame % plan.align
        if size > plan.maximum or frame > plan.maximum_frame:
            raise MessageTooLargeError(size, plan.maximum)
        total = counted - plan.adjustment - (0 if plan.includes_header else header)
        if size < plan.minimum or frame < plan.minimum_frame:
            raise MessageTooSmallError(size, plan.minimum)
        if counted < header or total < 0:
            raise MessageTooSmallError(size, size + max(header - counted, -total))
        return total

    def _complete_head(self, frame: bytearray, header: int, counted: int) -> None:
        plan = self._plan
        for place, (byte, mask) in enumerate(
            zip(plan.magic, plan.magic_mask, strict=True), plan.magic_at
        ):
            # Bits that are not the magic's own are those of a payload that brings them.
            brought = not self._stripped and place >= plan.strip
            frame[place] = byte & mask | frame[place] & ~mask if brought else byte
        at = header - plan.head_sum
        for check in plan.head_checks:
            frame[at : at + check.size] = self._checksum(check, frame, header, counted, at)
            at += check.size

    def _checksum(
        self, check: Check, frame: bytearray, header: int, counted: int, at: int
    ) -> bytes:
        with memoryview(frame) as view:
            number = sum_up(check, view, self._plan, header, counted, at)
        return number.to_bytes(check.size, "big" if check.big_endian else "little")

    def _tail(self, size: int) -> bytes:
        plan = self._plan
        return plan.trailer + bytes(-(size + len(plan.trailer)) % plan.align)


def write_number(plan: Plan, value: int, bits: int, *, least: int = 0) -> bytes:
    """Return a field, as short as can be.

    :param bits: those of the field that are outside the mask
    :param least: bytes of a wider form that is to be taken although a shorter one would do: where
        the length counts itself, a number may need the wider form, and then, one larger, no more
    """
    match plan.kind:
        case kind if kind in (DIGITS, UNTIL):
            digits = f"{value:x}" if plan.base == 16 else f"{value}"
            return (digits if kind == UNTIL else digits.zfill(plan.width)).encode() + plan.until
        case kind if kind == BCD:
            return bytes.fromhex(str(value).zfill(2 * plan.width))
        case kind if kind == VARINT:
            field = bytearray()
            while value > 0x7F:
                field.append(value & 0x7F | 0x80)
                value >>= 7
            return bytes([*field, value])
        case kind if kind == BER:
            if value < 0x80:
                return bytes([value])
            count = (value.bit_length() + 7) // 8
            return bytes([0x80 | count]) + value.to_bytes(count, "big")
    byteorder: Literal["little", "big"] = "big" if plan.big_endian else "little"
    wider = b""
    if plan.kind == ESCAPED and (
        plan.width < least
        or value > plan.mask >> plan.shift
        or any(value == escape for escape, _ in plan.wider)
    ):
        more, escape = min(
            (more, escape)
            for escape, more in plan.wider
            if value >> 8 * more == 0 and plan.width + more >= least
        )
        wider, value = value.to_bytes(more, byteorder), escape
    return (value << plan.shift | bits).to_bytes(plan.width, byteorder) + wider


def _fewest(plan: Plan) -> int:
    if plan.kind in (VARINT, BER):
        return 1
    return 1 + len(plan.until) if plan.kind == UNTIL else plan.width
