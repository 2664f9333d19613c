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

from ..errors import ConfigurationError
from .backend import Decoder, Encoder
from .base import FrameLayout
from .codec_types import Layout
from .native import KNOWN_OPCODES, MAX_CONTROL, MAX_LENGTH

if TYPE_CHECKING:
    from typing import Self

    from .base import Sender

__all__ = ["DEFAULT_MAXIMUM", "Framing"]

DEFAULT_MAXIMUM: Final = 16 * 1024 * 1024
"""The largest message, in bytes, where no maximum is given: 16 MiB."""
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
        its header, and :meth:`encode` expects a payload that has them, in which it
        fills in the length. With more, :meth:`encode` sends zeros in their place.
    :param minimum: the smallest message, in bytes; as an attribute what it comes to, with
        the bytes that ``strip`` leaves of the header
    :param maximum: the largest message, in bytes; by default 16 MiB, or as much as
        the length field can express, and that is what the attribute has
    :param varint: the length is an unsigned LEB128 number of 1 to 10 bytes, as
        Protocol Buffers write it; of the other parameters only ``minimum`` and
        ``maximum`` go with it
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
    ) -> None:
        given = {name: value for name, value in locals().items() if name in _DEFAULTS}
        self.__dict__.update(given)
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
        # Made here so that a layout that allows no message is refused here.
        layout = self._work_out(minimum, maximum)
        self.__dict__.update(minimum=layout.minimum, maximum=layout.maximum, layout=layout)

    def _check_types(self) -> None:
        for name in ("width", "offset", "adjustment", "strip", "minimum", "maximum"):
            value = getattr(self, name)
            if value is None and name in ("strip", "maximum"):
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
                raise ConfigurationError(f"{head}=True settles the whole head; leave out {name}=")

    @cached_property
    def layout(self) -> Layout:
        """The layout worked out to numbers, with every default filled in."""
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
        smallest = max(smallest, minimum)
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
    def encoder(self) -> Encoder:
        """The encoder behind :meth:`encode`, shared by all who send in this layout."""
        return Encoder(self.layout)

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

    def decoder(self, *, sender: Sender | None = None) -> Decoder:
        """Return a new decoder, for one stream in one direction."""
        del sender
        return Decoder(self.layout)


_DEFAULTS: Final[dict[str, Any]] = Framing.__init__.__kwdefaults__ or {}
"""The parameters, and what they are unless given."""
