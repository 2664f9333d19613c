"""Layouts whose frames have a size that a function reads from their first bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeAlias

from ..errors import ConfigurationError
from .backend import SizedDecoder
from .layout import DEFAULT_MAXIMUM
from .pieces import FieldsLayout, check_int, check_limits, one_head
from .stepping import WholeFrameEncoder

if TYPE_CHECKING:
    from .base import FrameDecoder, FrameEncoder, Sender

__all__ = ["Sized"]

FrameSize: TypeAlias = Callable[[bytes], int | None]

_MAX_HEAD: Final = 65_536
_MAX_UNTIL: Final = 64
_MAX_MESSAGE: Final = sys.maxsize // 4


@dataclass(frozen=True, init=False, repr=False)
class Sized(FieldsLayout):
    r"""Frames whose size a function reads from their first bytes.

    For heads that :class:`~sealframe.Framing` has no words for: two lengths, a table of lengths, a
    length in the middle of a line of text. A message is the whole frame, when it is received and
    when it is sent; one whose first bytes tell another size than it has is refused.

    FastCGI has the length of the content and that of the padding::

        def fastcgi(head: bytes) -> int:
            return 8 + int.from_bytes(head[4:6], "big") + head[6]


        FASTCGI = Sized(fastcgi, head=8)

    A line that ends in a size, as of beanstalkd and NATS::

        def line(head: bytes) -> int:
            return len(head) + int(head.split()[-1]) + 2


        LINES = Sized(line, head=4096, until=b"\r\n")

    :param function: it gets the first bytes of a frame and returns how many bytes the frame has in
        all, or None if it needs more of them to tell. It has to depend on the bytes alone, and a
        frame that it once told the size of keeps that size with more bytes. It raises
        :exc:`~sealframe.errors.FramingError` for bytes that are no frame; any other exception
        goes to whoever feeds the decoder, which is dead then.
    :param head: so many bytes the function gets; every frame has them. With ``(least, most)`` it
        gets ``least`` bytes first, and more of them as long as it returns None, up to ``most``.
    :param until: the function is called once, with the first bytes up to the end of these, 1 to
        64; ``head`` says within how many bytes they have to come
    :param minimum: the smallest frame, in bytes
    :param maximum: the largest frame, in bytes
    :param head_size: in place of ``head``, what the attribute has: :func:`dataclasses.replace`
        gives it
    :raises ConfigurationError: a value is out of range, or they cannot work together
    """

    function: FrameSize
    head_size: tuple[int, int]
    until: bytes
    minimum: int
    maximum: int

    def __init__(
        self,
        function: FrameSize,
        head: int | tuple[int, int] | None = None,
        *,
        until: bytes = b"",
        minimum: int = 0,
        maximum: int = DEFAULT_MAXIMUM,
        head_size: tuple[int, int] | None = None,
    ) -> None:
        if not callable(function):
            raise ConfigurationError(
                "function must be one that gets the first bytes of a frame and returns its size, "
                f"not {function!r}"
            )
        if type(until) is not bytes or len(until) > _MAX_UNTIL:
            raise ConfigurationError(f"until must be 1 to {_MAX_UNTIL} bytes, not {until!r}")
        told_by = one_head(head, head_size)
        sizes = told_by if isinstance(told_by, tuple) else (told_by, told_by)
        if len(sizes) != 2:
            raise ConfigurationError(f"head must be an int, or (least, most), not {told_by!r}")
        least, most = sizes
        check_int("head", least, max(1, len(until)), _MAX_HEAD)
        check_int("head", most, least, _MAX_HEAD)
        if until:
            least = len(until)
        check_limits(minimum, maximum, _MAX_MESSAGE)
        if least > maximum:
            raise ConfigurationError(
                f"maximum is {maximum}, but every frame has {least} bytes at least; raise maximum "
                "or correct head"
            )
        self.__dict__.update(
            function=function,
            head_size=(least, most),
            until=until,
            minimum=max(minimum, least),
            maximum=maximum,
        )

    def __repr__(self) -> str:
        """Return the expression that makes this layout, without what it would be anyway."""
        least, most = self.head_size
        parts = [repr(self.function), f"head={(least, most) if least < most else most}"]
        if self.until:
            parts[1:] = [f"head={most}", f"until={self.until!r}"]
        if self.minimum != least:
            parts.append(f"minimum={self.minimum}")
        if self.maximum != DEFAULT_MAXIMUM:
            parts.append(f"maximum={self.maximum}")
        return f"Sized({', '.join(parts)})"

    @cached_property
    def encoder(self) -> FrameEncoder:
        """The encoder behind :meth:`~sealframe.framing.FrameLayout.encode`, shared by senders."""
        return WholeFrameEncoder(self)

    def limited(self, maximum: int) -> Sized:
        """Return the same layout, whose messages have at most ``maximum`` bytes.

        :raises ConfigurationError: every frame is larger than that
        """
        return self if maximum >= self.maximum else replace(self, maximum=maximum)

    def decoder(self, *, sender: Sender | None = None) -> FrameDecoder:
        """Return a new decoder, for one stream in one direction."""
        del sender
        return SizedDecoder(self.function, *self.head_size, self.until, self.minimum, self.maximum)
