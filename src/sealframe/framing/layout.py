"""How a frame is laid out: the parameters that a program gives, and the numbers they come to.

With every parameter in use a frame looks like this::

    0        offset             header = offset + width
    +--------+------------------+-----------------------------+
    | offset |  length field    |  rest                       |
    | bytes  |  width bytes     |                             |
    +--------+------------------+-----------------------------+
    |<------------- length + extra bytes -------------------->|
    |<--- strip bytes --->|<---------- message -------------->|

``extra`` is ``adjustment``, plus ``header`` unless the length counts the header itself. ``strip``
may end anywhere, before the end of the header or behind it; by default it is ``header``, and the
message is what follows the length field. A LEB128 varint stands alone: its width is counted as 0,
and the codec adds the bytes it read.

:class:`Framing` checks the parameters once and works them out to a
:class:`~sealframe.framing.codec_types.Layout`. The codec depends on those numbers alone.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from ..errors import ConfigurationError, NotSupportedError
from .backend import Decoder, Encoder, VariedDecoder, VariedEncoder
from .base import FrameLayout
from .codec_types import Layout
from .heads import HeadsCodec
from .native import KNOWN_OPCODES, MAX_CONTROL, MAX_LENGTH
from .numbers import Number, Uint, Varint
from .parts import Checksum, Magic, checked_checksums, checked_magic
from .plan import Plan
from .planning import DEFAULT_MAXIMUM, check_ends, make_plan, narrow, settle_limits

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from .base import FrameDecoder, FrameEncoder, Sender

__all__ = ["DEFAULT_MAXIMUM", "Framing"]

_MAX_OFFSET: Final = 1024
_MAX_STRIP: Final = 4096
_MAX_MESSAGE: Final = sys.maxsize // 2


@dataclass(frozen=True, init=False, repr=False)
class Framing(FrameLayout):
    """A frame layout: ``offset`` bytes, a length field of ``width`` bytes, the rest.

    The size of a frame on the wire is the value of the length field, plus
    ``adjustment``, plus ``offset + width`` unless ``includes_header`` is set.
    The message handed out is the frame without its first ``strip`` bytes.

    :param width: bytes in the length field, 1 to 8
    :param byteorder: ``"little"`` or ``"big"``
    :param offset: bytes before the length field, 0 to 1024
    :param adjustment: added to the length, where the peer counts more or fewer
        bytes than those after the length field; may be negative
    :param includes_header: the length counts the bytes up to the end of the
        length field too
    :param strip: bytes dropped from the front of each frame, 0 to 4096; by default
        all up to the end of the length field. With less, the message keeps bytes of
        its header, and :meth:`~sealframe.framing.FrameLayout.encode` expects a payload that
        has them, in which it fills in the length. With more, it sends zeros in their place.
    :param minimum: the smallest message, in bytes; as an attribute what it comes to, with
        the bytes that ``strip`` leaves of the header
    :param maximum: the largest message, in bytes; by default 16 MiB, or as much as
        the length field can express, and that is what the attribute has
    :param varint: the length is an unsigned LEB128 number of 1 to 10 bytes, as
        Protocol Buffers write it; of the other parameters only ``minimum`` and
        ``maximum`` go with it
    :param length: how the length is written, where ``width`` and ``byteorder`` do not say it:
        :class:`~sealframe.framing.Uint`, :class:`~sealframe.framing.Digits`,
        :class:`~sealframe.framing.Bcd`, :class:`~sealframe.framing.Varint`,
        :class:`~sealframe.framing.Ber` or :class:`~sealframe.framing.Escaped`. Where its width
        varies, ``strip`` is None or 0, ``includes_header`` means the header as it is in that
        frame, and a payload that brings its header has any length in it, which is replaced where
        it is not right.
    :param magic: bytes that stand in every frame, written and checked: ``bytes`` from its
        beginning, or :class:`~sealframe.framing.Magic`. A payload that brings its header has them,
        or zeros, which are replaced
    :param trailer: bytes that end every frame, at most 64, behind what the length counts:
        written, checked and dropped
    :param checksums: :class:`~sealframe.framing.Checksum` objects, written, checked and dropped
        (those in the header with the header)
    :param unit: the length counts in units of so many bytes, 1 to 65,536
    :param align: frames are filled up to a multiple of so many bytes, 1 to 4096. The length does
        not count what fills them; it is sent as zeros and may be anything in what comes
    :param minimum_frame: the smallest frame, in bytes on the wire
    :param maximum_frame: the largest frame, in bytes on the wire
    :param control: sealframe's own head, a 32-bit little-endian number whose top
        bit marks control frames, which come out as
        :class:`~sealframe.wire.Control`; of the other parameters only ``minimum``
        and ``maximum`` go with it, and they concern messages alone
    :raises ConfigurationError: a value is out of range, or they cannot work together
    """

    width: int
    byteorder: Literal["little", "big"]
    offset: int
    adjustment: int
    includes_header: bool
    strip: int | None
    minimum: int
    maximum: int
    varint: bool
    control: bool
    length: Number | None
    magic: bytes | Magic
    trailer: bytes
    checksums: tuple[Checksum, ...]
    unit: int
    align: int
    minimum_frame: int
    maximum_frame: int | None

    def __init__(
        self,
        *,
        width: int = 4,
        byteorder: Literal["little", "big"] = "little",
        offset: int = 0,
        adjustment: int = 0,
        includes_header: bool = False,
        strip: int | None = None,
        minimum: int = 0,
        maximum: int | None = None,
        varint: bool = False,
        control: bool = False,
        length: Number | None = None,
        magic: bytes | Magic = b"",
        trailer: bytes = b"",
        checksums: Checksum | Iterable[Checksum] = (),
        unit: int = 1,
        align: int = 1,
        minimum_frame: int = 0,
        maximum_frame: int | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name in _DEFAULTS}
        self.__dict__.update(given)
        self._settle_length()
        self.__dict__["checksums"] = checked_checksums(checksums)
        self.__dict__["magic"] = checked_magic(magic)
        self._check_types()
        self._check_combination()
        if not 1 <= self.width <= 8:
            raise ConfigurationError(f"width must be 1 to 8 bytes, not {self.width}")
        if self.byteorder not in ("little", "big"):
            raise ConfigurationError(f'byteorder must be "little" or "big", not {self.byteorder!r}')
        if not 0 <= self.offset <= _MAX_OFFSET:
            raise ConfigurationError(f"offset must be 0 to {_MAX_OFFSET}, not {self.offset}")
        if self.strip is not None and not 0 <= self.strip <= _MAX_STRIP:
            raise ConfigurationError(f"strip must be 0 to {_MAX_STRIP}, not {self.strip}")
        if self.minimum < 0:
            raise ConfigurationError(f"minimum must not be negative, but is {self.minimum}")
        if maximum is not None and not 0 <= maximum <= _MAX_MESSAGE:
            raise ConfigurationError(f"maximum must be 0 to {_MAX_MESSAGE}, not {maximum}")
        check_ends(self)
        # Made here so that a layout that allows no message is refused here.
        worked_out: Plan | Layout
        if self._is_varied:
            worked_out = self.__dict__["plan"] = make_plan(self, self.number, minimum, maximum)
        else:
            worked_out = self.__dict__["layout"] = self._work_out(minimum, maximum)
        self.__dict__.update(minimum=worked_out.minimum, maximum=worked_out.maximum)

    def _settle_length(self) -> None:
        """Keep the shorter way to say what two ways say: equal layouts compare equal."""
        length: object = self.length
        if length is None:
            return
        if not isinstance(length, Number):
            raise ConfigurationError(f"length must be like Uint(2) or Digits(4), not {length!r}")
        for name in ("width", "byteorder", "varint", "control"):
            if getattr(self, name) != _DEFAULTS[name]:
                raise ConfigurationError(
                    f"length={length!r} says how the length is written; leave out {name}="
                )
        if isinstance(length, Uint) and length.is_whole:
            self.__dict__.update(length=None, width=length.width, byteorder=length.byteorder)
        elif length == Varint() and all(
            getattr(self, name) == default
            for name, default in _DEFAULTS.items()
            if name not in ("length", "minimum", "maximum")
        ):
            self.__dict__.update(length=None, varint=True)

    def _check_types(self) -> None:
        numbers = [name for name, default in _DEFAULTS.items() if type(default) is int]
        for name in (*numbers, "strip", "maximum", "maximum_frame"):
            value = getattr(self, name)
            if value is None and name not in numbers:
                continue
            if not isinstance(value, int) or isinstance(value, bool):
                raise ConfigurationError(f"{name} must be an int, not {value!r}")
        for name in ("includes_header", "varint", "control"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"{name} must be a bool, not {getattr(self, name)!r}")

    def _check_combination(self) -> None:
        if not (self.varint or self.control):
            return
        head = "varint" if self.varint else "control"
        free = {head, "minimum", "maximum"}
        for name, default in _DEFAULTS.items():
            if name not in free and getattr(self, name) != default:
                instead = ", or say length=Varint() instead" if self.varint else ""
                raise ConfigurationError(
                    f"{head}=True settles the whole head; leave out {name}={instead}"
                )

    @property
    def number(self) -> Number:
        """How the length is written, whichever parameters said so."""
        if self.length is not None:
            return self.length
        return Varint() if self.varint else Uint(self.width, self.byteorder)

    @property
    def size_decides(self) -> bool:
        """Whether a message is refused for its size alone: one with a length of fixed width, or a
        plain varint, and nothing else of its own."""
        return not self._is_varied

    @property
    def _is_varied(self) -> bool:
        """It takes more than a :class:`Layout` to say what it is."""
        limited = self.minimum_frame or self.maximum_frame is not None
        return bool(
            self.length is not None
            or self.magic
            or self.trailer
            or self.checksums
            or self.unit > 1
            or self.align > 1
            or (limited and self.strip != 0)
        )

    @cached_property
    def plan(self) -> Plan:
        """The layout worked out to numbers, for the codec that knows layouts of all kinds.

        :raises NotSupportedError: the layout has control frames
        """
        if self.control:
            raise NotSupportedError("a layout with control frames has no plan; use layout")
        return make_plan(self, self.number, self.minimum, self.maximum)

    @cached_property
    def layout(self) -> Layout:
        """The layout worked out to numbers, for the codec of length fields of fixed width.

        :raises NotSupportedError: it needs more than these can say
        """
        if self._is_varied:
            raise NotSupportedError("this layout needs more than a Layout can say; use plan")
        return self._work_out(self.minimum, self.maximum)

    def _work_out(self, minimum: int, limit: int | None) -> Layout:
        width = 0 if self.varint else self.width
        header = self.offset + width
        strip = header if self.strip is None else self.strip
        extra = self.adjustment + (0 if self.includes_header else header)
        if self.varint:
            highest = 2**64 - 1
        elif self.control:
            highest = MAX_LENGTH
        else:
            highest = 2 ** (8 * width) - 1

        # In message bytes: what the field's highest and lowest value come to, and
        # the header where strip leaves some of it.
        largest = highest + extra - strip
        smallest = max(extra - strip, header - strip, 0)
        if smallest > largest:
            raise ConfigurationError(
                f"no message fits: this length field reaches frames of {highest + extra} bytes, "
                f"but every frame starts with {max(extra, header, strip)}; "
                "use a wider field or correct adjustment and strip"
            )
        if self.strip == 0:  # then message and frame are the same
            smallest, largest = narrow(self, smallest, largest)
        smallest, maximum = settle_limits(minimum, limit, smallest, largest)
        return Layout(
            width=width,
            big_endian=self.byteorder == "big",
            offset=self.offset,
            extra=extra,
            strip=strip,
            smallest=smallest + strip - extra,
            largest=maximum + strip - extra,
            minimum=smallest,
            maximum=maximum,
            control=self.control,
            max_control=MAX_CONTROL if self.control else 0,
            known=KNOWN_OPCODES if self.control else frozenset(),
        )

    @cached_property
    def encoder(self) -> FrameEncoder:
        """The encoder behind :meth:`~sealframe.framing.FrameLayout.encode`, shared by senders."""
        return VariedEncoder(self.plan) if self._is_varied else Encoder(self.layout)

    def __getstate__(self) -> dict[str, Any]:
        """Leave what is cached out of copies and pickles."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __repr__(self) -> str:
        """Return the expression that makes this layout, without what it would be anyway."""
        parameters = {
            name: getattr(self, name)
            for name, default in _DEFAULTS.items()
            if name not in ("minimum", "maximum") and getattr(self, name) != default
        }
        unlimited = Framing(**parameters)
        for name in ("minimum", "maximum"):
            if getattr(self, name) != getattr(unlimited, name):
                parameters[name] = getattr(self, name)
        return f"Framing({', '.join(f'{name}={value!r}' for name, value in parameters.items())})"

    def limited(self, maximum: int) -> Self:
        """Return the same layout, whose messages have at most ``maximum`` bytes.

        :raises ConfigurationError: no message of this layout is that small
        """
        return self if maximum >= self.maximum else replace(self, maximum=maximum)

    def decoder(self, *, sender: Sender | None = None) -> FrameDecoder:
        """Return a new decoder, for one stream in one direction."""
        del sender
        return VariedDecoder(self.plan) if self._is_varied else Decoder(self.layout)

    def heads(self, size: int | None = None) -> HeadsCodec:
        """Return a ``codec=`` of :class:`~sealframe.framing.Framed` messages: a head, and a body.

        The layout keeps its header (``strip=0``). The head is the header's bytes without the
        length, which is filled in when such a message is sent.

        :param size: bytes in the head, where more belong to it than those before the length and
            the checksums behind it
        :raises ConfigurationError: the header is not kept, the smallest message has not so many
            bytes, or the field holds more than the length
        """
        return HeadsCodec(self, size)


_DEFAULTS: Final[dict[str, Any]] = Framing.__init__.__kwdefaults__ or {}
"""The parameters, and what they are unless given."""
