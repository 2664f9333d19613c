"""A slow reading of layouts of all kinds, by the definitions in docs/reference/framing.rst.

It goes byte after byte and knows no plan.
"""

from __future__ import annotations

from sealframe.errors import (
    ChecksumError,
    FrameTooLargeError,
    FrameTooSmallError,
    FramingError,
    MagicError,
    MalformedLengthError,
    TrailerError,
)
from sealframe.framing import (
    Bcd,
    Ber,
    Checksum,
    Digits,
    Escaped,
    Framing,
    Magic,
    Number,
    Uint,
    Varint,
)


def xor(data: memoryview) -> int:
    value = 0
    for byte in data:
        value ^= byte
    return value


class Short(Exception):  # noqa: N818 - no error, the stream just goes on later
    """The stream ends here."""


class Reading:
    """One frame of a stream.

    :ivar taken: its bytes so far
    """

    def __init__(self, stream: bytes) -> None:
        self.stream = stream
        self.place = 0

    def take(self, count: int) -> bytes:
        if self.place + count > len(self.stream):
            raise Short
        self.place += count
        return self.stream[self.place - count : self.place]

    def one(self) -> int:
        return self.take(1)[0]


def read_number(number: Number, reading: Reading) -> tuple[int, int]:
    """Return the number, and the bytes that its bits announce behind it."""
    match number:
        case Uint():
            raw = int.from_bytes(reading.take(number.width), number.byteorder)
            return masked(raw, number.mask), 0
        case Escaped():
            raw = int.from_bytes(reading.take(number.width), number.byteorder)
            value = masked(raw, number.mask)
            for escape, more in number.wider:
                if value == escape:
                    value = int.from_bytes(reading.take(more), number.byteorder)
                    break
            return value, sum(more for bit, more in number.adds if raw & bit)
        case Bcd():
            digits = ""
            for _ in range(number.width):
                digits += f"{reading.one():02x}"
                if not digits.isdecimal():
                    raise MalformedLengthError
            return int(digits), 0
        case Varint():
            value = 0
            for count in range(number.max_bytes):
                byte = reading.one()
                value += byte % 128 * 128**count
                if value >= 2**64:
                    break
                if byte < 128:
                    return value, 0
                if count == 9:
                    break
            raise MalformedLengthError
        case Ber():
            first = reading.one()
            if first < 128:
                return first, 0
            if not 1 <= first - 128 <= number.max_bytes:
                raise MalformedLengthError
            return int.from_bytes(reading.take(first - 128), "big"), 0
        case Digits():
            return read_digits(number, reading), 0
    raise AssertionError(number)


def read_digits(number: Digits, reading: Reading) -> int:
    allowed = "0123456789" if number.base == 10 else "0123456789abcdefABCDEF"
    text = ""
    while number.until or len(text) < (number.width or 0):
        digit = chr(reading.one())
        if digit not in allowed:
            if not (text and number.until) or digit.encode("latin-1") != number.until[:1]:
                raise MalformedLengthError
            for byte in number.until[1:]:
                if reading.one() != byte:
                    raise MalformedLengthError
            break
        text += digit
        if number.until and (
            len(text) > (number.width or 19) or (len(text) > 1 and text[0] == "0")
        ):
            raise MalformedLengthError
    return int(text, number.base)


def masked(raw: int, mask: int | None) -> int:
    while mask is not None and not mask & 1:
        mask >>= 1
        raw >>= 1
    return raw if mask is None else raw & mask


def read_frame(framing: Framing, stream: bytes) -> tuple[bytes, int]:
    """Return the message of the frame with which a stream begins, and that frame's size.

    :raises Short: it is not all there, and as far as it is it is right
    :raises FramingError: the first byte with which it is wrong is there
    """
    reading = Reading(stream)
    magic = framing.magic if isinstance(framing.magic, Magic) else Magic(framing.magic or b"\0")
    mask = magic.mask or b"\xff" * len(magic.value)

    def go_to(end: int) -> None:
        while reading.place < end:
            at = reading.place - magic.offset
            byte = reading.one()
            if framing.magic and 0 <= at < len(mask) and (byte ^ magic.value[at]) & mask[at]:
                raise MagicError

    go_to(framing.offset)
    value, added = read_number(framing.number, reading)
    head_checks = [check for check in framing.checksums if check.at == "head"]
    open_head = reading.place + added
    header = open_head + sum(check.size for check in head_checks)
    counted = value * framing.unit + framing.adjustment
    counted += 0 if framing.includes_header else header
    strip = header if framing.strip is None else framing.strip
    end_checks = [check for check in framing.checksums if check.at == "end"]
    frame = counted + sum(check.size for check in end_checks) + len(framing.trailer)
    while frame % framing.align:
        frame += 1
    highest = frame if framing.maximum_frame is None else framing.maximum_frame
    if counted < max(header, strip):
        raise FrameTooSmallError
    if counted - strip > framing.maximum or frame > highest:
        raise FrameTooLargeError
    if counted - strip < framing.minimum or frame < framing.minimum_frame:
        raise FrameTooSmallError
    go_to(open_head)
    sent = [
        (check, int.from_bytes(reading.take(check.size), check.byteorder)) for check in head_checks
    ]
    for check, number in sent:
        if check.of == "head":
            compare(check, stream[:open_head], number)
    go_to(counted)
    for check, number in sent:
        if check.of == "body":
            compare(check, stream[header:counted], number)
    for check in end_checks:
        covered = {
            "head": stream[:open_head],
            "body": stream[header:counted],
            "frame": stream[: reading.place],
        }[check.of]
        compare(check, covered, int.from_bytes(reading.take(check.size), check.byteorder))
    for byte in framing.trailer:
        if reading.one() != byte:
            raise TrailerError
    reading.take(frame - reading.place)
    return stream[strip:counted], frame


def compare(check: Checksum, data: bytes, sent: int) -> None:
    if check.function(memoryview(data)) % 256**check.size != sent:
        raise ChecksumError


def read_slowly(
    framing: Framing, stream: bytes
) -> tuple[list[bytes], int, type[FramingError] | None]:
    """Return the messages, how many bytes are left over, and what is wrong with them."""
    messages: list[bytes] = []
    while stream:
        try:
            message, size = read_frame(framing, stream)
        except Short:
            break
        except FramingError as error:
            return messages, 0, type(error)
        messages.append(message)
        stream = stream[size:]
    return messages, len(stream), None
