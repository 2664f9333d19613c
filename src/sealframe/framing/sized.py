"""Layouts whose frames have a size that a function reads from their first bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeAlias

from ..errors import (
    ConfigurationError,
    FrameTooLargeError,
    FrameTooSmallError,
    MalformedLengthError,
)
from .layout import DEFAULT_MAXIMUM
from .pieces import FieldsLayout, check_int, check_limits
from .stepping import SteppingDecoder, WholeFrameEncoder

if TYPE_CHECKING:
    from .base import FrameDecoder, FrameEncoder, Sender
    from .codec_types import Control

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
        head: int | tuple[int, int],
        *,
        until: bytes = b"",
        minimum: int = 0,
        maximum: int = DEFAULT_MAXIMUM,
    ) -> None:
        if not callable(function):
            raise ConfigurationError(
                "function must be one that gets the first bytes of a frame and returns its size, "
                f"not {function!r}"
            )
        if type(until) is not bytes or len(until) > _MAX_UNTIL:
            raise ConfigurationError(f"until must be 1 to {_MAX_UNTIL} bytes, not {until!r}")
        sizes = head if isinstance(head, tuple) else (head, head)
        if len(sizes) != 2:
            raise ConfigurationError(f"head must be an int, or (least, most), not {head!r}")
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
        return (
            self
            if maximum >= self.maximum
            else Sized(
                self.function,
                self.head_size[1] if self.until else self.head_size,
                until=self.until,
                minimum=self.minimum,
                maximum=maximum,
            )
        )

    def decoder(self, *, sender: Sender | None = None) -> FrameDecoder:
        """Return a new decoder, for one stream in one direction."""
        del sender
        return _SizedDecoder(self)


class _SizedDecoder(SteppingDecoder):
    __slots__ = ("_function", "_held", "_layout", "_least", "_most", "_until")

    def __init__(self, layout: Sized) -> None:
        super().__init__()
        self._layout = layout
        self._function = layout.function
        self._least, self._most = layout.head_size
        self._until = layout.until
        self._held = bytearray()
        """The bytes of the unfinished frame."""

    def _clear(self) -> None:
        self._held = bytearray()

    def advance(self, data: bytes, place: int, frames: list[bytes | Control], /) -> int:
        """Take bytes from ``place`` on, and none behind the end of the frame."""
        held = self._held
        size = self.frame_size or self._measure(data, place)
        stop = min(place + size - len(held), len(data)) if size else len(data)
        if not held and stop == place + size:
            frames.append(data[place:stop])
            return stop
        held += memoryview(data)[place:stop]
        if len(held) == size:
            self._held = bytearray()
            self.pending = self.frame_size = 0
            frames.append(bytes(held))
        else:
            self.pending = len(held)
            self.frame_size = size
        return stop

    def _measure(self, data: bytes, place: int) -> int:
        """Return the size of the frame that goes on at ``place``; 0 if more bytes are needed."""
        if self._until:
            return self._measure_line(data, place)
        held = self._held
        limit = min(len(held) + len(data) - place, self._most)
        if limit < self._least:
            return 0
        # With all that was there before, the function has been asked.
        count = min(max(self._least, len(held) + 1), limit)
        while True:
            head = data[place : place + count - len(held)]
            size = self._function(bytes(held) + head if held else head)
            if size is not None:
                self._check_size(size, self._least)
                if size < count:
                    self._check_told(size, bytes(held) + head)
                return size
            if count == limit:
                break
            count = min(2 * count, limit)
        if limit == self._most:
            raise MalformedLengthError(
                f"a frame begins with {self._most} bytes that do not tell its size"
            )
        return 0

    def _check_told(self, size: int, head: bytes) -> None:
        """Refuse a frame that ends before the bytes that told its size.

        Bytes of the next frame would have told it, and cut elsewhere the stream would be another.
        """
        if size <= len(self._held) or self._function(head[:size]) != size:
            raise FrameTooSmallError(
                f"the head makes a frame of {size} bytes, but more bytes had to be there to tell"
            )

    def _measure_line(self, data: bytes, place: int) -> int:
        held, until, most = self._held, self._until, self._most
        again = min(len(held), len(until) - 1)
        # Only so much of what is held that until may begin there.
        seam = bytes(held[len(held) - again :]) + data[place : place + len(until) - 1]
        found = seam.find(until) - again if again else -1
        if found < -again or not again:
            found = data.find(until, place, place + most - len(held)) - place
            if found < 0:
                if len(held) + len(data) - place >= most:
                    raise MalformedLengthError(
                        f"the first {most} bytes of a frame are without {until!r}"
                    )
                return 0
        count = len(held) + found + len(until)
        if count > most:
            raise MalformedLengthError(f"the first {most} bytes of a frame are without {until!r}")
        stop = place + found + len(until)
        size = self._function(bytes(held) + data[place:stop])
        if size is None:
            raise MalformedLengthError(
                f"a frame begins with {count} bytes that do not tell its size"
            )
        return self._check_size(size, count)

    def _check_size(self, size: int, least: int) -> int:
        if type(size) is not int:
            raise TypeError(
                f"the function of a Sized layout must return an int or None, not {size!r}"
            )
        if size < least:
            raise FrameTooSmallError(
                f"the head makes a frame of {size} bytes, but {least} bytes of it are there already"
            )
        if size > self._layout.maximum:
            raise FrameTooLargeError(
                f"the head makes a frame of {size} bytes, over the limit of "
                f"{self._layout.maximum} bytes"
            )
        if size < self._layout.minimum:
            raise FrameTooSmallError(
                f"the head makes a frame of {size} bytes, below the minimum of "
                f"{self._layout.minimum} bytes"
            )
        return size
