"""A layout that is no ``Framing``: lines, each end of which begins with a greeting of its own.

It is as small as a program's own could be, and refuses messages for what is in them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self, SupportsIndex

from sealframe import ConfigurationError, FramingError, MessageTooLargeError, NotSupportedError
from sealframe.framing import FrameDecoder, FrameLayout, Sender
from sealframe.framing.buffered import BufferedDecoder
from sealframe.framing.codec_types import Control

if TYPE_CHECKING:
    from typing_extensions import Buffer

GREETINGS: dict[Sender, bytes] = {"client": b"HELO\n", "server": b"220 \n"}


class NewlineError(ValueError):
    """A message has a line feed in it."""


class Lines(BufferedDecoder):
    """Cuts lines; the first has to be the greeting of who sends."""

    def __init__(self, maximum: int, greeting: bytes) -> None:
        super().__init__()
        self._maximum = maximum
        self._greeting: bytes | None = greeting
        self._line = bytearray()

    def _split(self, data: bytes, frames: list[bytes | Control]) -> None:
        *whole, rest = data.split(b"\n")
        for part in whole:
            line = bytes(self._line) + part
            self._line.clear()
            if self._greeting is not None:
                if line + b"\n" != self._greeting:
                    raise FramingError(f"the stream begins with {line!r}")
                self._greeting = None
            else:
                self._check(len(line))
                frames.append(line)
        self._line += rest
        self._check(len(self._line))
        self.pending = len(self._line)

    def _check(self, size: int) -> None:
        if size > self._maximum:
            raise FramingError(f"a line of more than {self._maximum} bytes")

    def _clear(self) -> None:
        self._line.clear()


class LineEncoder:
    """Writes lines."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum

    def encode(self, payload: Buffer, /) -> bytes:
        """Return the line."""
        line = bytes(payload)
        if len(line) > self._maximum:
            raise MessageTooLargeError(len(line), self._maximum)
        if b"\n" in line:
            raise NewlineError("a message has a line feed in it")
        return line + b"\n"

    def encode_many(self, payloads: Iterable[Buffer], /) -> bytes:
        """Return the lines, joined."""
        return b"".join(map(self.encode, payloads))

    def pack(self, payloads: Iterable[Buffer], /) -> list[bytes]:
        """Return the lines."""
        return list(map(self.encode, payloads))

    def head(self, length: SupportsIndex, /) -> bytes:
        """Refuse: nothing goes before a line."""
        raise NotSupportedError("lines have no head")


@dataclass(frozen=True)
class GreetedLines(FrameLayout):
    """Lines of at most ``maximum`` bytes."""

    maximum: int = 1 << 20
    minimum: int = 0

    def limited(self, maximum: int) -> Self:
        """Return the same, with shorter lines."""
        if maximum < 1:
            raise ConfigurationError("lines need a byte")
        return self if maximum >= self.maximum else replace(self, maximum=maximum)

    def decoder(self, *, sender: Sender | None = None) -> FrameDecoder:
        """Return a decoder for the lines of that end."""
        assert sender is not None
        return Lines(self.maximum, GREETINGS[sender])

    @property
    def encoder(self) -> LineEncoder:
        """What writes lines."""
        return LineEncoder(self.maximum)

    def preamble(self, sender: Sender) -> bytes:
        """Return the greeting of that end."""
        return GREETINGS[sender]
