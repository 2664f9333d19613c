"""Layouts of text protocols: a delimiter behind each message, or header lines before it.

::

    Delimited    | start | message | delimiter |

    HeaderLines  | Content-Length: 17 CR LF | other lines ... | CR LF | body of 17 bytes |

Nothing that was searched is searched again: what is kept of an unfinished frame is looked at
only where a delimiter may begin in it and end in what comes next.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import index
from typing import TYPE_CHECKING, Final

from ..errors import (
    ConfigurationError,
    FrameTooLargeError,
    FrameTooSmallError,
    IncompleteFrameError,
    MagicError,
    MalformedLengthError,
    MessageFormatError,
)
from .layout import DEFAULT_MAXIMUM
from .pieces import FieldsLayout, PiecesEncoder, check_int, check_limits
from .stepping import SteppingDecoder, WholeFrameEncoder

if TYPE_CHECKING:
    from typing import Self, SupportsIndex

    from .base import FrameDecoder, FrameEncoder, Sender
    from .codec_types import Control

__all__ = ["Delimited", "HeaderLines"]

_LONGEST: Final = 64
"""The longest delimiter and start, in bytes."""
_MAX_MESSAGE: Final = sys.maxsize // 4
_MAX_HEADER: Final = 1024 * 1024
_MAX_DIGITS: Final = 19
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]*")
"""What the name of a header line is made of (RFC 9110, section 5.6.2)."""


@dataclass(frozen=True)
class Delimited(FieldsLayout):
    r"""Messages with a delimiter behind each, as lines are.

    ``Delimited(b"\n")`` are lines, ``Delimited(b"\0")`` strings as C has them, and
    ``Delimited(b"\x1c\r", start=b"\x0b")`` is MLLP, in which HL7 version 2 travels. A message is
    what stands before the delimiter, without it. It cannot have the delimiter inside: ``encode``
    and ``send`` refuse such a one.

    :param delimiter: 1 to 64 bytes
    :param start: what each frame begins with, 0 to 64 bytes; checked, and dropped
    :param minimum: the smallest message, in bytes
    :param maximum: the largest message, in bytes; a peer that sends more without a delimiter is
        cut off there
    :raises ConfigurationError: a value is out of range, or they cannot work together
    """

    delimiter: bytes
    start: bytes = b""
    minimum: int = field(default=0, kw_only=True)
    maximum: int = field(default=DEFAULT_MAXIMUM, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("delimiter", "start"):
            value = getattr(self, name)
            if not isinstance(value, bytes):
                raise ConfigurationError(f"{name} must be bytes, not {value!r}")
            if len(value) > _LONGEST:
                raise ConfigurationError(
                    f"{name} must have at most {_LONGEST} bytes, not {len(value)}"
                )
        if not self.delimiter:
            raise ConfigurationError(r'delimiter must have a byte at least, as b"\n" has')
        check_limits(self.minimum, self.maximum, _MAX_MESSAGE)

    @cached_property
    def encoder(self) -> FrameEncoder:
        """The encoder behind :meth:`~sealframe.framing.FrameLayout.encode`, shared by senders."""
        return _DelimitedEncoder(self)

    def limited(self, maximum: int) -> Self:
        """Return the same layout, whose messages have at most ``maximum`` bytes.

        :raises ConfigurationError: ``minimum`` is more than that
        """
        return self if maximum >= self.maximum else replace(self, maximum=maximum)

    def decoder(self, *, sender: Sender | None = None) -> FrameDecoder:
        """Return a new decoder, for one stream in one direction."""
        del sender
        return _DelimitedDecoder(self)


class _DelimitedDecoder(SteppingDecoder):
    __slots__ = ("_delimiter", "_held", "_maximum", "_minimum", "_start")

    def __init__(self, layout: Delimited) -> None:
        super().__init__()
        self._delimiter = layout.delimiter
        self._start = layout.start
        self._minimum = layout.minimum
        self._maximum = layout.maximum
        self._held = bytearray()
        """The bytes of the unfinished frame, from its start on."""

    def finish(self) -> None:
        """Say that the stream has ended; raises IncompleteFrameError inside a frame."""
        self._check_fault()
        if self.pending:
            count = "1 byte" if self.pending == 1 else f"{self.pending} bytes"
            error = IncompleteFrameError(
                f"the stream ends inside frame {self._count + 1}: {count} of it came, and its "
                f"delimiter {self._delimiter!r} did not"
            )
            error.received = self.pending
            raise error

    def _clear(self) -> None:
        self._held = bytearray()

    def _split(self, data: bytes, frames: list[bytes | Control]) -> None:
        place = 0
        if self.pending:
            place = self.advance(data, place, frames)
        if not self._start and place < len(data):
            parts = (data[place:] if place else data).split(self._delimiter)
            rest = len(parts[-1])
            largest = max(map(len, parts[:-1]), default=0)
            smallest = min(map(len, parts[:-1]), default=largest)
            if largest <= self._maximum and (smallest >= self._minimum or len(parts) == 1):
                frames += parts[:-1]
                place = len(data) - rest
        # The hot loop where there is a start; of the others a fault is left, or half a message.
        find, append, end = data.find, frames.append, len(data)
        delimiter, start = self._delimiter, self._start
        smallest, largest = self._minimum, self._maximum
        begins, ends = len(start), len(delimiter)
        while place < end:
            first = place + begins
            stop = find(delimiter, first)
            if not (smallest <= stop - first <= largest and data.startswith(start, place)):
                # Not whole, or at fault.
                place = self.advance(data, place, frames)
                continue
            append(data[first:stop])
            place = stop + ends

    def advance(self, data: bytes, place: int, frames: list[bytes | Control], /) -> int:
        """Take bytes from ``place`` on, and none behind the end of the frame."""
        held, start, delimiter = self._held, self._start, self._delimiter
        if len(held) < len(start):
            piece = data[place : place + len(start) - len(held)]
            self._check_start(len(held), piece)
            held += piece
            self.pending = len(held)
            place += len(piece)
            if len(held) < len(start) or place == len(data):
                return place
        kept = len(held) - len(start)
        # A delimiter that begins in what is held: it ends in the next bytes.
        seam = held[len(start) + max(0, kept - len(delimiter) + 1) :]
        before = len(seam)
        found = -1
        if before:
            seam += data[place : place + len(delimiter) - 1]
            found = seam.find(delimiter) - before
            stop = place + found
            whole = found >= -before
        else:
            whole = False
        if not whole:
            stop = data.find(delimiter, place)
            whole = stop >= 0
        if not whole:
            self._check_growth(kept, data, place)
            held += memoryview(data)[place:]
            self.pending = len(held)
            return len(data)
        size = kept + stop - place
        if size > self._maximum:
            raise self._too_large()
        if size < self._minimum:
            raise FrameTooSmallError(
                f"a message of {size} bytes is below the minimum of {self._minimum} bytes"
            )
        if kept:
            held += memoryview(data)[place : max(stop, place)]
            frames.append(bytes(memoryview(held)[len(start) : len(start) + size]))
        else:
            frames.append(data[place:stop])
        self._held = bytearray()
        self.pending = 0
        return stop + len(delimiter)

    def _check_start(self, done: int, piece: bytes) -> None:
        """Compare what came of the start, of which ``done`` bytes are known to be right."""
        expected = self._start[done : done + len(piece)]
        if piece != expected:
            wrong = next(i for i in range(len(piece)) if piece[i] != expected[i])
            raise MagicError(
                f"a frame begins with {self._start[:done] + piece[: wrong + 1]!r}, but every frame "
                f"of this layout begins with {self._start!r}"
            )

    def _check_growth(self, kept: int, data: bytes, place: int) -> None:
        """Raise if an unfinished message is too large, whatever comes next."""
        delimiter = self._delimiter
        size = kept + len(data) - place
        over = size - self._maximum
        if over <= 0:
            return
        if over >= len(delimiter):
            raise self._too_large()
        # Its last bytes are no part of the message if they are the first of a delimiter.
        last = bytes(self._held[-len(delimiter) :]) + data[max(place, len(data) - len(delimiter)) :]
        if not any(
            last.endswith(delimiter[:n]) for n in range(over, min(size + 1, len(delimiter)))
        ):
            raise self._too_large()

    def _too_large(self) -> FrameTooLargeError:
        return FrameTooLargeError(
            f"a message is over the limit of {self._maximum} bytes: no {self._delimiter!r} came "
            "within them"
        )


class _DelimitedEncoder(PiecesEncoder):
    __slots__ = ("_delimiter", "_start")

    def __init__(self, layout: Delimited) -> None:
        super().__init__(layout)
        self._delimiter = layout.delimiter
        self._start = layout.start

    def _pieces(self, payload: bytes) -> tuple[bytes, ...]:
        delimiter = self._delimiter
        place = payload.find(delimiter)
        if place < 0 and len(delimiter) > 1:
            # One that begins in the payload and ends in the delimiter behind it.
            edge = max(0, len(payload) - len(delimiter) + 1)
            place = edge + (payload[edge:] + delimiter).find(delimiter)
            if place == len(payload):
                place = -1
        if place >= 0:
            raise MessageFormatError(
                f"the message has the delimiter {delimiter!r} inside, at byte {place}: the "
                "receiver would take it for its end; escape it as the protocol says, or send two "
                "messages"
            )
        return self._start, payload, delimiter


@dataclass(frozen=True)
class HeaderLines(FieldsLayout):
    """Messages with header lines before each, one of which says how many bytes the body has.

    The Language Server Protocol and the Debug Adapter Protocol are ``HeaderLines()``. With
    ``strip=0`` and ``start_line=True`` it cuts the messages of SIP and of RTSP, whole.

    Lines end in CR LF, and an empty one ends the header. The names of lines are compared without
    regard to case. A line has no space before its colon, and goes on in no further line; a
    length that is written twice, or not as digits alone, is refused: two programs might read it
    in two ways (RFC 9112, sections 5 and 6.3).

    :param length: the name of the line that has the length
    :param start_line: the first line is a request or a status, and has no name; needs ``strip=0``
    :param required: refuse a header without that line; otherwise there is no body behind it
    :param strip: by default a message is the body, and
        :meth:`~sealframe.framing.FrameLayout.encode` writes the one line that it needs; with
        ``strip=0`` it is the whole frame, and ``encode`` takes whole frames
    :param minimum: the smallest message, in bytes
    :param maximum: the largest message, in bytes
    :param maximum_header: the largest header, in bytes, up to the end of the empty line
    :raises ConfigurationError: a value is out of range, or they cannot work together
    """

    length: str = "Content-Length"
    start_line: bool = field(default=False, kw_only=True)
    required: bool = field(default=True, kw_only=True)
    strip: int | None = field(default=None, kw_only=True)
    minimum: int = field(default=0, kw_only=True)
    maximum: int = field(default=DEFAULT_MAXIMUM, kw_only=True)
    maximum_header: int = field(default=8192, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.length, str):
            raise ConfigurationError(f"length must be the name of a line, not {self.length!r}")
        if (
            not self.length.isascii()
            or not _TOKEN.fullmatch(self.length.encode())
            or not self.length
        ):
            raise ConfigurationError(f"no header line can be called {self.length!r}")
        for name in ("start_line", "required"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"{name} must be a bool, not {getattr(self, name)!r}")
        if self.strip is not None:
            check_int("strip", self.strip, 0, 0)
        if self.start_line and self.strip is None:
            raise ConfigurationError(
                "start_line=True needs strip=0: a message without its start line says little"
            )
        check_limits(self.minimum, self.maximum, _MAX_MESSAGE)
        check_int("maximum_header", self.maximum_header, len(self.length) + 24, _MAX_HEADER)

    @cached_property
    def encoder(self) -> FrameEncoder:
        """The encoder behind :meth:`~sealframe.framing.FrameLayout.encode`, shared by senders."""
        return _HeaderLinesEncoder(self) if self.strip is None else WholeFrameEncoder(self)

    def limited(self, maximum: int) -> Self:
        """Return the same layout, whose messages have at most ``maximum`` bytes.

        :raises ConfigurationError: ``minimum`` is more than that
        """
        return self if maximum >= self.maximum else replace(self, maximum=maximum)

    def decoder(self, *, sender: Sender | None = None) -> FrameDecoder:
        """Return a new decoder, for one stream in one direction."""
        del sender
        return _HeaderLinesDecoder(self)


class _HeaderLinesDecoder(SteppingDecoder):
    __slots__ = (
        "_checked",
        "_colon",
        "_held",
        "_layout",
        "_length",
        "_line",
        "_lines",
        "_name",
        "_strip",
    )

    def __init__(self, layout: HeaderLines) -> None:
        super().__init__()
        self._layout = layout
        self._name = layout.length.lower().encode()
        self._clear()

    def _clear(self) -> None:
        """Begin a frame."""
        self._held = bytearray()
        """The header until it is whole, then the message."""
        self._line = 0
        """Where the line that is being read begins."""
        self._lines = 0
        self._checked = 0
        self._colon = -1
        self._length: int | None = None
        self._strip = 0

    def advance(self, data: bytes, place: int, frames: list[bytes | Control], /) -> int:
        """Take bytes from ``place`` on, and none behind the end of the frame."""
        before = place
        while not self.frame_size:
            if place == len(data):
                self.pending += place - before
                return place
            place = self._take_line(data, place)
        missing = self.frame_size - self.pending - (place - before)
        piece = data[place : place + missing]
        place += len(piece)
        if len(piece) == missing:
            frames.append(bytes(self._held) + piece if self._held else piece)
            self.pending = self.frame_size = 0
            self._clear()
        else:
            self._held += piece
            self.pending += place - before
        return place

    def _take_line(self, data: bytes, place: int) -> int:
        """Take bytes up to the end of a line; know the size of the frame behind the empty one."""
        held = self._held
        most = self._layout.maximum_header
        stop = min(place + most - len(held), len(data))
        stop = data.find(b"\n", place, stop) + 1 or stop
        held += memoryview(data)[place:stop]
        if self._colon < 0:
            self._check_name()
        if held[-1] == 0x0A:
            if not held.endswith(b"\r\n", self._line):
                raise MalformedLengthError(
                    f"{self._where()} ends in a line feed without a carriage return before it"
                )
            if len(held) == self._line + 2:
                self._end_header()
                return stop
            self._read_line()
            self._line = self._checked = len(held)
            self._lines += 1
            self._colon = -1
        if len(held) == most:
            raise FrameTooLargeError(
                f"the header is over the limit of {most} bytes: no empty line came within them"
            )
        return stop

    def _where(self) -> str:
        return f"line {self._lines + 1} of the header"

    def _check_name(self) -> None:
        """Find the colon of a line that has come in part, or the byte that no name has."""
        held = self._held
        if self._layout.start_line and not self._lines:
            return
        match = _TOKEN.match(held, self._checked)
        self._checked = match.end() if match else len(held)
        if self._checked == len(held):
            return
        if held[self._checked] == 0x3A and self._checked > self._line:
            self._colon = self._checked
            return
        if bytes(held[self._line :]) in (b"\r", b"\r\n"):
            return  # the empty line, or half of it
        raise MalformedLengthError(
            f"{self._where()} has {bytes(held[self._checked : self._checked + 1])!r} after "
            f"{bytes(held[self._line : self._checked])!r}, where a header line goes on with its "
            "name, or with a colon behind it"
        )

    def _read_line(self) -> None:
        """Read a whole line, if it is the one with the length."""
        held, colon = self._held, self._colon
        if colon < 0 or held[self._line : colon].lower() != self._name:
            return
        if self._length is not None:
            raise MalformedLengthError(f"{self._where()} gives {self._layout.length} a second time")
        value = bytes(held[colon + 1 : -2]).strip(b" \t")
        if not value.isdigit() or len(value) > _MAX_DIGITS:
            raise MalformedLengthError(
                f"{self._where()} gives {self._layout.length} as {value[:40]!r}, which is not a "
                f"number of 1 to {_MAX_DIGITS} digits"
            )
        self._length = int(value)

    def _end_header(self) -> None:
        layout = self._layout
        length = self._length
        if length is None:
            if layout.required:
                raise MalformedLengthError(f"a header without {layout.length}")
            length = 0
        size = length if layout.strip is None else length + len(self._held)
        told = f"{layout.length} {length}"
        if size != length:
            told += f" makes a message of {size} bytes, which"
        if size > layout.maximum:
            raise FrameTooLargeError(f"{told} is over the limit of {layout.maximum} bytes")
        if size < layout.minimum:
            raise FrameTooSmallError(f"{told} is below the minimum of {layout.minimum} bytes")
        self.frame_size = length + len(self._held)
        if layout.strip is None:
            self._held = bytearray()


class _HeaderLinesEncoder(PiecesEncoder):
    __slots__ = ("_line",)

    def __init__(self, layout: HeaderLines) -> None:
        super().__init__(layout)
        self._line = layout.length.encode() + b": %d\r\n\r\n"

    def _pieces(self, payload: bytes) -> tuple[bytes, ...]:
        return self._line % len(payload), payload

    def head(self, length: SupportsIndex, /) -> bytes:
        """Return what goes before a payload of ``length`` bytes."""
        size = index(length)
        self._check_size(size)
        return self._line % size
