"""What the codec for a :class:`~sealframe.framing.plan.Plan` refuses, and the texts of its errors.

As in :mod:`~sealframe.framing.refusals`, the functions return the exception, so that both
backends fail alike. No text depends on how the stream was split.
"""

from __future__ import annotations

import sys
from typing import Final

from ..errors import (
    ChecksumError,
    ConfigurationError,
    EncodeError,
    FrameTooLargeError,
    FrameTooSmallError,
    FramingError,
    MagicError,
    MalformedLengthError,
    MessageFormatError,
    NotSupportedError,
    TrailerError,
)
from .plan import BCD, BER, BODY, DIGITS, ESCAPED, HEAD, UINT, UNTIL, VARINT, Plan


def wrong_size(plan: Plan, value: int, header: int) -> FramingError:
    """A frame whose header has ``header`` bytes declares ``value``, and that cannot be."""
    counted = value * plan.unit + plan.adjustment + (0 if plan.includes_header else header)
    least = max(header, plan.strip)
    size = counted - (header if plan.strip < 0 else plan.strip)
    frame = counted + plan.end_sum + len(plan.trailer)
    frame += -frame % plan.align
    length = f"length {value}"
    if counted < least:
        text = f"makes a frame of {counted} bytes, but this one starts with {least} bytes"
        return FrameTooSmallError(f"{length} {text}")
    made = "is" if size == value else f"makes a message of {size} bytes,"
    if size > plan.maximum:
        return FrameTooLargeError(f"{length} {made} over the limit of {plan.maximum} bytes")
    if size < plan.minimum:
        return FrameTooSmallError(f"{length} {made} below the minimum of {plan.minimum} bytes")
    made = f"makes a frame of {frame} bytes on the wire,"
    if frame > plan.maximum_frame:
        return FrameTooLargeError(f"{length} {made} over the limit of {plan.maximum_frame} bytes")
    return FrameTooSmallError(f"{length} {made} below the minimum of {plan.minimum_frame} bytes")


def not_a_digit(plan: Plan, byte: int) -> MalformedLengthError:
    """A byte of the length is none of the digits, and not what ends them either."""
    digits = "decimal" if plan.base != 16 else "hexadecimal"
    return MalformedLengthError(f"byte {byte:#04x} where a {digits} digit of the length belongs")


def not_the_end(plan: Plan, byte: int) -> MalformedLengthError:
    """Behind the digits comes something other than what ends them."""
    return MalformedLengthError(
        f"byte {byte:#04x} in a length, where a digit or {plan.until!r} belongs"
    )


def leading_zero() -> MalformedLengthError:
    """A length up to a delimiter begins with 0 and goes on."""
    return MalformedLengthError("a length with leading zeros")


def too_many_digits(plan: Plan) -> MalformedLengthError:
    """A length up to a delimiter does not end."""
    return MalformedLengthError(f"a length of more than {plan.width} digits")


def malformed_varint(plan: Plan) -> MalformedLengthError:
    """A varint goes on behind its last byte, or has a value of 2**64 or more."""
    limit = "64 bits" if plan.width == 10 else f"{plan.width} bytes"
    return MalformedLengthError(f"a varint length runs on past {limit}")


def malformed_ber(plan: Plan, first: int) -> MalformedLengthError:
    """The first byte of a BER length is 0x80, or announces too many."""
    if first == 0x80:
        return MalformedLengthError("a BER length of the indefinite form (0x80)")
    return MalformedLengthError(
        f"a BER length of {first & 0x7F} bytes (0x{first:02x}), over the limit of {plan.width}"
    )


def wrong_magic(plan: Plan, place: int, byte: int) -> MagicError:
    """Byte ``place`` of the magic is another one."""
    where = plan.magic_at + place
    mask = plan.magic_mask[place]
    masked = "" if mask == 0xFF else f" (mask {mask:#04x})"
    return MagicError(
        f"byte {where} of a frame is {byte:#04x}, not {plan.magic[place]:#04x}{masked}: "
        f"frames have {plan.magic!r} there"
    )


def other_magic(plan: Plan, place: int, byte: int) -> MessageFormatError:
    """Byte ``place`` of the magic is another one in a message that brings its header."""
    return MessageFormatError(
        f"byte {plan.magic_at + place} of the frame would be {byte:#04x}, not "
        f"{plan.magic[place]:#04x}: frames have {plan.magic!r} there, and messages of this layout "
        "bring it"
    )


def wrong_trailer(plan: Plan, place: int, byte: int) -> TrailerError:
    """Byte ``place`` of the trailer is another one."""
    return TrailerError(
        f"a frame ends with byte {byte:#04x}, not {plan.trailer[place]:#04x}: frames end with "
        f"{plan.trailer!r}"
    )


def wrong_checksum(of: int, size: int, sent: int, worked_out: int) -> ChecksumError:
    """The checksum that came is not the one that the bytes come to."""
    what = "the header" if of == HEAD else "the body" if of == BODY else "the frame"
    digits = 2 + 2 * size
    return ChecksumError(
        f"checksum {sent:#0{digits}x} of a frame, but {what} comes to {worked_out:#0{digits}x}"
    )


def not_in_units(total: int, plan: Plan, *, over: int) -> EncodeError:
    """The length cannot express so many bytes."""
    return EncodeError(
        f"the length counts in units of {plan.unit} bytes, and would have to count {total} bytes: "
        f"make the message longer by {plan.unit - over}"
    )


def no_length_in(fault: FramingError) -> EncodeError:
    """The payload has to bring its header, and there is no length in it."""
    return EncodeError(
        f"strip=0 keeps the header, so what is sent has to bring one, but its length is not "
        f"well-formed ({fault}): put any length there, for example 0, which is replaced"
    )


def no_head(plan: Plan) -> NotSupportedError:
    """What goes before a payload depends on it, or something goes behind it."""
    del plan
    return NotSupportedError(
        "head() needs a layout in which nothing but its size depends on the payload, and nothing "
        "goes behind it; use encode()"
    )


def size_not_told(count: int) -> MalformedLengthError:
    """The function of a Sized layout does not know the size, and gets no more bytes."""
    return MalformedLengthError(f"a frame begins with {count} bytes that do not tell its size")


def told_too_late(size: int) -> FrameTooSmallError:
    """A frame ends before the bytes that told its size."""
    return FrameTooSmallError(
        f"the head makes a frame of {size} bytes, but more bytes had to be there to tell"
    )


def without_end(most: int, until: bytes) -> MalformedLengthError:
    """What ends the head of a frame did not come."""
    return MalformedLengthError(f"the first {most} bytes of a frame are without {until!r}")


def wrong_told_size(told: object, least: int, minimum: int, maximum: int) -> Exception:
    """The function of a Sized layout told a size that no frame has.

    :param least: bytes of the frame that are there already
    """
    if type(told) is not int:
        return TypeError(f"the function of a Sized layout must return an int or None, not {told!r}")
    makes = f"the head makes a frame of {told} bytes,"
    if told < least:
        return FrameTooSmallError(f"{makes} but {least} bytes of it are there already")
    if told > maximum:
        return FrameTooLargeError(f"{makes} over the limit of {maximum} bytes")
    return FrameTooSmallError(f"{makes} below the minimum of {minimum} bytes")


def no_layout(head: bytes) -> MagicError:
    """A Choice has no layout for a frame that begins so."""
    return MagicError(f"no layout is there for a frame that begins with {head!r}")


def ends_in_its_head(size: int, head_size: int) -> FrameTooSmallError:
    """A frame ends inside the bytes that it was chosen by."""
    return FrameTooSmallError(
        f"a frame of {size} bytes, but {head_size} bytes tell which layout a frame has"
    )


def below_minimum(size: int, minimum: int) -> FrameTooSmallError:
    """A message is smaller than its Choice allows."""
    return FrameTooSmallError(f"a message of {size} bytes is below the minimum of {minimum} bytes")


def wrong_stop(start: int, stop: int, size: int) -> RuntimeError:
    """A decoder that was given to a Choice did not take any bytes, or more than there are."""
    return RuntimeError(
        f"advance() began at {start} and returned {stop}; it has to be over that, at most {size}"
    )


def contradictory_sizes() -> ConfigurationError:
    """A decoder is made with numbers that contradict each other."""
    return ConfigurationError("contradictory sizes of heads or frames")


def contradictory(plan: Plan) -> ConfigurationError:
    """The numbers of a plan contradict each other."""
    return ConfigurationError(f"contradictory frame layout: {plan}")


def check_plan(plan: Plan) -> None:
    """Refuse numbers that contradict each other: the codecs rely on every one of them.

    :raises ConfigurationError: they do
    """
    if plan is _sound[0]:
        return
    widest = _WIDEST.get(plan.kind, 0)
    sound = (
        1 <= plan.width <= widest
        and 0 <= plan.offset <= _MOST
        and 0 <= plan.shift < 64
        and 0 <= plan.mask < 1 << 64
        and plan.base in (10, 16)
        and len(plan.magic) == len(plan.magic_mask)
        and 0 <= plan.magic_at <= _MOST
        and 1 <= plan.unit <= _MOST
        and 1 <= plan.align <= _MOST
        and -1 <= plan.strip <= _MOST
        and abs(plan.adjustment) <= 2**40
        and all(1 <= more <= 8 for _, more in plan.wider)
        and all(0 <= more <= _MOST for _, more in plan.adds)
        and all(1 <= check.size <= 8 for check in plan.head_checks + plan.end_checks)
        and plan.head_sum == sum(check.size for check in plan.head_checks)
        and plan.end_sum == sum(check.size for check in plan.end_checks)
        and 0 <= plan.minimum <= plan.maximum <= sys.maxsize // 2
        and 0 <= plan.minimum_frame <= plan.maximum_frame <= 2**63 - 1
        and 0 <= plan.largest < 1 << 64
        and plan.largest * plan.unit <= 2**63 - 1 - 2**41
    )
    if not sound:
        raise contradictory(plan)
    _sound[0] = plan


_MOST: Final = 1024 * 1024
_WIDEST: Final = {UINT: 8, DIGITS: 19, UNTIL: 19, BCD: 8, VARINT: 10, BER: 8, ESCAPED: 8}
_sound: Final[list[Plan | None]] = [None]
"""The plan that was checked last: the connections of a server all have the same."""
