"""The ways in which protocols write the length of a frame.

``Framing(length=...)`` takes one of them. Each says how many bytes it has and how they are
read; where the number stands and what it counts are parameters of
:class:`~sealframe.Framing`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from ..errors import ConfigurationError
from . import plan

__all__ = ["Bcd", "Ber", "Digits", "Escaped", "Number", "Uint", "Varint"]

_DIGITS: Final = {10: b"0123456789", 16: b"0123456789abcdefABCDEF"}
_UINT64: Final = 2**64 - 1


class Number(ABC):
    """A way to write a length: one of the classes below."""

    @property
    @abstractmethod
    def widths(self) -> tuple[int, int]:
        """Bytes in the field: the fewest and the most."""

    @property
    @abstractmethod
    def reach(self) -> int:
        """The largest number that can be written."""

    @abstractmethod
    def in_plan(self) -> dict[str, Any]:
        """Return what a :class:`~sealframe.framing.plan.Plan` says of it."""

    def __repr__(self) -> str:
        """Return the expression that makes it, without what it would be anyway."""
        given = {
            field.name: getattr(self, field.name)
            for field in fields(self)  # type: ignore[arg-type]  # each is a dataclass
            if getattr(self, field.name) != field.default
        }
        return f"{type(self).__name__}({', '.join(f'{n}={value!r}' for n, value in given.items())})"


@dataclass(frozen=True, repr=False)
class Uint(Number):
    """A binary number of fixed width: ``Framing(width=2)`` is ``Framing(length=Uint(2))``.

    :param width: its bytes, 1 to 8
    :param byteorder: ``"little"`` or ``"big"``
    :param mask: the bits that are the length, if not all are; they stand side by side
    :param flags: the other bits as they are sent. Where ``strip`` keeps the header, they are
        those of the payload. In what comes they may be anything.
    :raises ConfigurationError: a value is out of range
    """

    width: int
    byteorder: Literal["little", "big"] = "little"
    mask: int | None = None
    flags: int = 0

    def __post_init__(self) -> None:
        _check_uint(self.width, self.byteorder)
        _check_bits(self.width, self.mask, self.flags)

    @property
    def widths(self) -> tuple[int, int]:
        """Bytes in the field: the fewest and the most."""
        return self.width, self.width

    @property
    def reach(self) -> int:
        """The largest number that can be written."""
        mask = _all_bits(self.width) if self.mask is None else self.mask
        return mask >> _lowest_bit(mask)

    @property
    def is_whole(self) -> bool:
        """Every bit is the length."""
        return self.reach == _all_bits(self.width)

    def in_plan(self) -> dict[str, Any]:
        """Return what a plan says of it."""
        mask = _all_bits(self.width) if self.mask is None else self.mask
        return {
            "kind": plan.UINT,
            "width": self.width,
            "big_endian": self.byteorder == "big",
            "mask": mask,
            "shift": _lowest_bit(mask),
            "flags": self.flags,
        }


@dataclass(frozen=True, repr=False)
class Digits(Number):
    """ASCII digits, either a fixed number of them or up to a delimiter.

    Up to a delimiter, the first digit is 0 only where it is the only one, as netstrings, RFC
    6587 and RESP have it; anything else is refused.

    :param width: how many digits, at most 19, or 16 hexadecimal ones; with ``until`` the most
        there may be
    :param base: 10, or 16: hexadecimal, read in upper and lower case, and written in lower case
    :param until: what ends the digits, 1 to 16 bytes that do not begin with a digit; ``b":"``
        in a netstring
    :raises ConfigurationError: a value is out of range
    """

    width: int | None = None
    base: Literal[10, 16] = 10
    until: bytes = b""

    def __post_init__(self) -> None:
        if self.base not in (10, 16):
            raise ConfigurationError(f"base must be 10 or 16, not {self.base!r}")
        until: object = self.until
        if not isinstance(until, bytes) or len(until) > 16:
            raise ConfigurationError(f"until must be bytes, at most 16, not {self.until!r}")
        if self.until and self.until[:1] in _DIGITS[self.base]:
            raise ConfigurationError(f"until must not begin with a digit, as {self.until!r} does")
        if self.width is None:
            if not self.until:
                raise ConfigurationError("Digits needs width= or until=")
        else:
            _check_int("width", self.width, 1, self._enough)

    @property
    def _enough(self) -> int:
        return 19 if self.base == 10 else 16

    @property
    def _most(self) -> int:
        return self._enough if self.width is None else self.width

    @property
    def widths(self) -> tuple[int, int]:
        """Bytes in the field: the fewest and the most."""
        if self.until:
            return 1 + len(self.until), self._most + len(self.until)
        return self._most, self._most

    @property
    def reach(self) -> int:
        """The largest number that can be written."""
        return int(self.base**self._most) - 1

    def in_plan(self) -> dict[str, Any]:
        """Return what a plan says of it."""
        return {
            "kind": plan.UNTIL if self.until else plan.DIGITS,
            "width": self._most,
            "base": self.base,
            "until": self.until,
        }


@dataclass(frozen=True, repr=False)
class Bcd(Number):
    """Packed decimal digits, two in a byte, the first in the upper half.

    :param width: its bytes, 1 to 8
    :raises ConfigurationError: a value is out of range
    """

    width: int

    def __post_init__(self) -> None:
        _check_int("width", self.width, 1, 8)

    @property
    def widths(self) -> tuple[int, int]:
        """Bytes in the field: the fewest and the most."""
        return self.width, self.width

    @property
    def reach(self) -> int:
        """The largest number that can be written."""
        return int(100**self.width) - 1

    def in_plan(self) -> dict[str, Any]:
        """Return what a plan says of it."""
        return {"kind": plan.BCD, "width": self.width, "big_endian": True}


@dataclass(frozen=True, repr=False)
class Varint(Number):
    """An unsigned LEB128 number: seven bits in a byte, the lowest first, and one that says go on.

    ``Framing(varint=True)`` is ``Framing(length=Varint())``. MQTT has
    ``Framing(offset=1, length=Varint(4))``.

    :param max_bytes: its most bytes, 1 to 10; the number is below 2**64
    :raises ConfigurationError: a value is out of range
    """

    max_bytes: int = 10

    def __post_init__(self) -> None:
        _check_int("max_bytes", self.max_bytes, 1, 10)

    @property
    def widths(self) -> tuple[int, int]:
        """Bytes in the field: the fewest and the most."""
        return 1, self.max_bytes

    @property
    def reach(self) -> int:
        """The largest number that can be written."""
        return min(int(2 ** (7 * self.max_bytes)) - 1, _UINT64)

    def in_plan(self) -> dict[str, Any]:
        """Return what a plan says of it."""
        return {"kind": plan.VARINT, "width": self.max_bytes}


@dataclass(frozen=True, repr=False)
class Ber(Number):
    """A definite length of ASN.1's basic encoding rules (X.690, section 8.1.3), as in LDAP.

    One byte up to 127, otherwise 0x80 plus the number of bytes that follow, big-endian.

    :param max_bytes: how many may follow, 1 to 8
    :raises ConfigurationError: a value is out of range
    """

    max_bytes: int = 4

    def __post_init__(self) -> None:
        _check_int("max_bytes", self.max_bytes, 1, 8)

    @property
    def widths(self) -> tuple[int, int]:
        """Bytes in the field: the fewest and the most."""
        return 1, 1 + self.max_bytes

    @property
    def reach(self) -> int:
        """The largest number that can be written."""
        return _all_bits(self.max_bytes)

    def in_plan(self) -> dict[str, Any]:
        """Return what a plan says of it."""
        return {"kind": plan.BER, "width": self.max_bytes, "big_endian": True}


@dataclass(frozen=True, init=False, repr=False)
class Escaped(Number):
    """A binary number some of whose values mean that a wider one follows, as in WebSocket.

    WebSocket (RFC 6455, section 5.2) is ``Framing(offset=1, length=Escaped(1, "big",
    mask=0x7F, wider={126: 2, 127: 8}, adds={0x80: 4}), strip=0)``.

    :param width: bytes in the first field, 1 to 8
    :param byteorder: ``"little"`` or ``"big"``, of both
    :param mask: the bits of the first field that are the length, if not all are; they stand
        side by side
    :param wider: the values that are no length, and how many bytes, ``width`` to 8, follow then
    :param adds: bits of the first field outside the mask, and how many bytes follow the length
        where the bit is set. They belong to the header, and the length does not count them
        unless ``includes_header`` says so.
    :raises ConfigurationError: a value is out of range
    """

    width: int
    byteorder: Literal["little", "big"]
    mask: int | None
    wider: tuple[tuple[int, int], ...]
    adds: tuple[tuple[int, int], ...]

    def __init__(
        self,
        width: int = 1,
        byteorder: Literal["little", "big"] = "big",
        *,
        mask: int | None = None,
        wider: Mapping[int, int],
        adds: Mapping[int, int] | None = None,
    ) -> None:
        _check_uint(width, byteorder)
        _check_bits(width, mask, 0)
        given: tuple[object, object] = wider, adds
        if not isinstance(given[0], Mapping) or not wider:
            raise ConfigurationError(f"wider must be like {{126: 2, 127: 8}}, not {wider!r}")
        if not isinstance(given[1], Mapping | None):
            raise ConfigurationError(f"adds must be like {{0x80: 4}}, not {adds!r}")
        reading = _all_bits(width) if mask is None else mask
        for value, more in wider.items():
            _check_int("a value in wider", value, 0, reading >> _lowest_bit(reading))
            _check_int("a width in wider", more, width, 8)
        for bit, more in (adds or {}).items():
            _check_int("a bit in adds", bit, 1, _all_bits(width))
            _check_int("the bytes that a bit adds", more, 1, 64)
            if bit & bit - 1 or bit & reading:
                raise ConfigurationError(f"{bit:#x} in adds must be one bit outside the mask")
        self.__dict__.update(
            width=width,
            byteorder=byteorder,
            mask=mask,
            wider=tuple(sorted(wider.items())),
            adds=tuple(sorted((adds or {}).items())),
        )

    def __repr__(self) -> str:
        rest = "" if self.mask is None else f", mask={self.mask:#x}"
        rest += f", wider={dict(self.wider)}"
        if self.adds:
            rest += f", adds={dict(self.adds)}"
        return f"Escaped({self.width}, {self.byteorder!r}{rest})"

    @property
    def widths(self) -> tuple[int, int]:
        """Bytes in the field: the fewest and the most."""
        return self.width, self.width + max(more for _, more in self.wider)

    @property
    def reach(self) -> int:
        """The largest number that can be written."""
        return max(self._uint.reach, *(_all_bits(more) for _, more in self.wider))

    @property
    def _uint(self) -> Uint:
        return Uint(self.width, self.byteorder, self.mask)

    def in_plan(self) -> dict[str, Any]:
        """Return what a plan says of it."""
        own = {"kind": plan.ESCAPED, "wider": self.wider, "adds": self.adds}
        return self._uint.in_plan() | own


def _all_bits(width: int) -> int:
    return (1 << 8 * width) - 1


def _lowest_bit(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def _check_int(name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigurationError(f"{name} must be {least} to {most}, not {value!r}")


def _check_uint(width: object, byteorder: object) -> None:
    _check_int("width", width, 1, 8)
    if byteorder not in ("little", "big"):
        raise ConfigurationError(f'byteorder must be "little" or "big", not {byteorder!r}')


def _check_bits(width: int, mask: int | None, flags: int) -> None:
    if mask is not None:
        _check_int("mask", mask, 1, _all_bits(width))
        run = mask >> _lowest_bit(mask)
        if run & run + 1:
            raise ConfigurationError(f"the bits of mask must stand side by side, not {mask:#x}")
    _check_int("flags", flags, 0, _all_bits(width))
    if flags & (_all_bits(width) if mask is None else mask):
        raise ConfigurationError("flags must be bits outside mask, which are not the length")
