"""From the parameters of a :class:`~sealframe.Framing` to the numbers of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..errors import ConfigurationError
from .parts import Checksum, Magic
from .plan import BODY, FRAME, HEAD, Check, Plan
from .varied_encoder import write_number

if TYPE_CHECKING:
    from .layout import Framing
    from .numbers import Number

__all__ = ["DEFAULT_MAXIMUM", "make_plan", "settle_limits"]

DEFAULT_MAXIMUM: Final = 16 * 1024 * 1024
"""The largest message, in bytes, where no maximum is given: 16 MiB."""

_OF: Final = {"head": HEAD, "body": BODY, "frame": FRAME}
_UNLIMITED: Final = 2**63 - 1
_MAX_ADJUSTMENT: Final = 2**40
_MAX_TRAILER: Final = 64
_MAX_UNIT: Final = 65_536
_MAX_ALIGN: Final = 4096
_NO_NUMBER: Final[dict[str, Any]] = {
    "big_endian": False,
    "mask": 0,
    "shift": 0,
    "flags": 0,
    "base": 10,
    "until": b"",
    "wider": (),
    "adds": (),
}


def make_plan(framing: Framing, number: Number, minimum: int, limit: int | None) -> Plan:
    """Return the plan of a layout whose messages have ``minimum`` to ``limit`` bytes.

    :raises ConfigurationError: the parameters cannot work together
    """
    fewest, most = number.widths
    head_checks = _checks(framing.checksums, "head")
    end_checks = _checks(framing.checksums, "end")
    head_sum = sum(check.size for check in head_checks)
    end_sum = sum(check.size for check in end_checks)
    strip = -1 if framing.strip is None else framing.strip
    magic = framing.magic if isinstance(framing.magic, Magic) else Magic(framing.magic or b"\0")
    magic_end = magic.offset + len(magic.value) if framing.magic else 0
    if fewest != most and strip > 0:
        raise ConfigurationError(
            f"strip is {strip}, but the length has {fewest} to {most} bytes: leave strip= out, "
            "which drops the header, or say strip=0, which keeps it"
        )
    header = framing.offset + fewest + head_sum
    if magic_end > framing.offset and (
        fewest != most
        or head_checks
        or magic.offset < header
        or not (strip == 0 or magic_end <= strip)
    ):
        raise ConfigurationError(
            f"magic is at {magic.offset} to {magic_end}, but a frame can have it only in the "
            f"first {framing.offset} bytes, before the length; behind the length where that has a "
            "fixed width, no checksum is in the header, and strip= is 0 or drops it"
        )

    # In message bytes: what the smallest and the largest number come to.
    counted_anyway = framing.adjustment + (0 if framing.includes_header else header)
    least = max(counted_anyway, header, strip, magic_end)
    smallest = least - (header if strip < 0 else strip)
    longest = framing.offset + most + head_sum
    reached = number.reach * framing.unit + framing.adjustment
    reached += 0 if framing.includes_header else longest
    largest = reached - (longest if strip < 0 else strip)
    if smallest > largest:
        raise ConfigurationError(
            f"no message fits: this length reaches frames of {reached} bytes, but every frame "
            f"starts with {least}; use a wider length or correct adjustment and strip"
        )
    if abs(framing.adjustment) > _MAX_ADJUSTMENT:
        raise ConfigurationError(
            f"adjustment must be within {_MAX_ADJUSTMENT}, not {framing.adjustment}"
        )
    added = sum(more for _, more in getattr(number, "adds", ()))
    plan = Plan(
        **_NO_NUMBER
        | number.in_plan()
        | {
            "offset": framing.offset,
            "unit": framing.unit,
            "adjustment": framing.adjustment,
            "includes_header": framing.includes_header,
            "head_checks": head_checks,
            "end_checks": end_checks,
            "head_sum": head_sum,
            "end_sum": end_sum,
            "strip": strip,
            "magic": magic.value if framing.magic else b"",
            "magic_mask": magic.mask or b"\xff" * len(magic.value) if framing.magic else b"",
            "magic_at": magic.offset,
            "trailer": framing.trailer,
            "align": framing.align,
            "minimum": 0,
            "maximum": 0,
            "minimum_frame": framing.minimum_frame,
            "maximum_frame": _UNLIMITED if framing.maximum_frame is None else framing.maximum_frame,
            "largest": 0,
        }
    )
    smallest, largest = _in_frames(plan, smallest, largest, fewest, most)
    minimum, maximum = settle_limits(minimum, limit, smallest, largest)
    number_limit = maximum - framing.adjustment + max(longest + added, strip)
    return plan._replace(
        minimum=minimum,
        maximum=maximum,
        largest=min(number.reach, number_limit // framing.unit),
    )


def settle_limits(minimum: int, limit: int | None, smallest: int, largest: int) -> tuple[int, int]:
    """Return the sizes of the smallest and the largest message, in bytes.

    :param minimum: what the program gave
    :param limit: what it gave as the maximum
    :param smallest: what the layout comes to
    :param largest: the same
    :raises ConfigurationError: no message fits, or the limit is out of reach
    """
    maximum = min(DEFAULT_MAXIMUM, largest) if limit is None else limit
    if maximum > largest:
        raise ConfigurationError(
            f"maximum is {maximum}, but this length field reaches only {largest} bytes; "
            "use a wider field or a smaller maximum"
        )
    if smallest > maximum:
        raise ConfigurationError(
            f"maximum is {maximum}, but the smallest message of this layout has {smallest} "
            "bytes; raise maximum or correct adjustment"
        )
    if minimum > maximum:
        raise ConfigurationError(
            f"minimum is {minimum}, over the maximum of {maximum}; change either"
        )
    return max(smallest, minimum), maximum


def _checks(checksums: tuple[Checksum, ...], at: str) -> tuple[Check, ...]:
    return tuple(
        Check(each.size, _OF[each.of], each.byteorder == "big", each.function)
        for each in checksums
        if each.at == at
    )


def _in_frames(plan: Plan, smallest: int, largest: int, fewest: int, most: int) -> tuple[int, int]:
    """Narrow the sizes of messages to what minimum_frame and maximum_frame allow."""

    def frame_of(size: int) -> int:
        if plan.strip < 0:
            counted = plan.offset + _field_width(plan, size, fewest) + plan.head_sum + size
        else:
            counted = plan.strip + size
        frame = counted + tail
        return frame + -frame % plan.align

    tail = plan.end_sum + len(plan.trailer)
    around = tail + (plan.strip if plan.strip >= 0 else plan.offset + plan.head_sum)
    field = 0 if plan.strip >= 0 else 1
    if plan.maximum_frame < _UNLIMITED:
        room = plan.maximum_frame // plan.align * plan.align
        largest = min(largest, room - around - field * fewest)
        while largest >= smallest and frame_of(largest) > plan.maximum_frame:
            largest -= 1
    if plan.minimum_frame:
        smallest = max(smallest, plan.minimum_frame - plan.align + 1 - around - field * most)
        while smallest <= largest and frame_of(smallest) < plan.minimum_frame:
            smallest += 1
    return _some(smallest, largest, plan.minimum_frame, plan.maximum_frame)


def narrow(framing: Framing, smallest: int, largest: int) -> tuple[int, int]:
    """Return the sizes of messages that are whole frames, within the limits of frames."""
    highest = _UNLIMITED if framing.maximum_frame is None else framing.maximum_frame
    smallest, largest = max(smallest, framing.minimum_frame), min(largest, highest)
    return _some(smallest, largest, framing.minimum_frame, highest)


def _some(smallest: int, largest: int, minimum_frame: int, maximum_frame: int) -> tuple[int, int]:
    if smallest > largest:
        raise ConfigurationError(
            f"no message fits: with minimum_frame={minimum_frame} and "
            f"maximum_frame={maximum_frame} it would have {smallest} bytes or more, and {largest} "
            "or fewer; change either, or correct the other parameters"
        )
    return smallest, largest


def check_ends(framing: Framing) -> None:
    """Refuse trailer, unit, align and limits of frames that are out of range."""
    trailer: object = framing.trailer
    if not isinstance(trailer, bytes) or len(trailer) > _MAX_TRAILER:
        raise ConfigurationError(
            f"trailer must be bytes, at most {_MAX_TRAILER}, not {framing.trailer!r}"
        )
    if not 1 <= framing.unit <= _MAX_UNIT:
        raise ConfigurationError(f"unit must be 1 to {_MAX_UNIT}, not {framing.unit}")
    if not 1 <= framing.align <= _MAX_ALIGN:
        raise ConfigurationError(f"align must be 1 to {_MAX_ALIGN}, not {framing.align}")
    if framing.minimum_frame < 0:
        raise ConfigurationError(
            f"minimum_frame must not be negative, but is {framing.minimum_frame}"
        )
    most = framing.maximum_frame
    if most is not None and not framing.minimum_frame <= most <= _UNLIMITED:
        raise ConfigurationError(
            f"maximum_frame must be {framing.minimum_frame} to {_UNLIMITED}, not {most}"
        )


def _field_width(plan: Plan, size: int, fewest: int) -> int:
    """Return the bytes of the length in front of a message, where the header is stripped."""
    width = fewest
    while True:
        total = size - plan.adjustment
        total += plan.offset + width + plan.head_sum if plan.includes_header else 0
        needed = len(write_number(plan, max(0, -(-total // plan.unit)), 0))
        if needed <= width:
            return width
        width = needed
