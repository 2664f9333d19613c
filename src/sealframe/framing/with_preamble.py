"""Layouts in which a stream begins with something else than the frames that follow."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, NoReturn

from ..errors import ConfigurationError, FramingError, IncompleteFrameError, MagicError
from . import refusals as refuse
from .base import FrameLayout
from .buffered import BufferedDecoder
from .layout import Framing
from .pieces import FieldsLayout
from .stepping import stepper

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self, SupportsIndex

    from typing_extensions import Buffer

    from .base import FrameDecoder, FrameEncoder, Sender
    from .codec_types import Control
    from .stepping import FrameStepper

__all__ = ["WithPreamble"]

_PREFIX: Final = 8


@dataclass(frozen=True)
class WithPreamble(FieldsLayout):
    r"""Frames of a layout, with something else before the first.

    Either fixed bytes, which are sent once and checked where they arrive, as in HTTP/2::

        HTTP2 = WithPreamble(
            Framing(width=3, byteorder="big", adjustment=6, strip=0),
            client=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        )

    or a first message that has a layout of its own, as in PostgreSQL, where only it has no type
    in front of its length::

        POSTGRESQL = WithPreamble(
            Framing(offset=1, width=4, byteorder="big", adjustment=-4, strip=0, minimum=5),
            client=Framing(width=4, byteorder="big", includes_header=True, strip=0, maximum=10_000),
        )

    The bytes are no message: a connection sends them by itself, before the first message, and
    hands out none for those of its peer. A first message is sent and received like any other.

    :param layout: what the frames have that follow
    :param client: what the end that connects sends first: bytes, the layout of its first message,
        or None
    :param server: the same for the end that accepts

    A decoder has to be told whose bytes it gets: ``decoder(sender="client")``. Limits are those
    of the layouts: ``minimum`` is the least of them, and ``maximum`` the greatest.

    :raises ConfigurationError: one of them is no layout, or cannot be part of this one
    """

    layout: FrameLayout
    client: bytes | FrameLayout | None = None
    server: bytes | FrameLayout | None = None
    minimum: int = field(init=False, repr=False, compare=False)
    maximum: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.layout, FrameLayout):
            raise ConfigurationError(
                f"layout must be a layout, as Framing(...), not {self.layout!r}"
            )
        for name in ("client", "server"):
            opening = getattr(self, name)
            if opening is not None and not isinstance(opening, bytes | FrameLayout):
                raise ConfigurationError(f"{name} must be bytes, a layout or None, not {opening!r}")
            if opening == b"":
                raise ConfigurationError(f"{name} must have a byte at least; leave it out for none")
        layouts = self._layouts()
        for layout in layouts:
            if isinstance(layout, WithPreamble):
                raise ConfigurationError(
                    "a layout with a preamble cannot be part of another; put the bytes together"
                )
            if isinstance(layout, Framing) and layout.control:
                raise ConfigurationError("a layout with control frames has no preamble")
        object.__setattr__(self, "minimum", min(layout.minimum for layout in layouts))
        object.__setattr__(self, "maximum", max(layout.maximum for layout in layouts))

    def _layouts(self) -> list[FrameLayout]:
        parts = (self.layout, self.client, self.server)
        return [part for part in parts if isinstance(part, FrameLayout)]

    @property
    def size_decides(self) -> bool:
        """Whether a message is refused for its size alone: where no first message has a layout of
        its own, the layout's own answer."""
        return self._layouts() == [self.layout] and self.layout.size_decides

    @cached_property
    def encoder(self) -> FrameEncoder:
        """The encoder of all messages but a first one that has a layout of its own."""
        return self.layout.encoder

    def limited(self, maximum: int) -> Self:
        """Return the same layout, whose messages have at most ``maximum`` bytes.

        :raises ConfigurationError: no message of one of its layouts is that small
        """
        if maximum >= self.maximum:
            return self
        return replace(
            self,
            layout=self.layout.limited(maximum),
            client=_limited(self.client, maximum),
            server=_limited(self.server, maximum),
        )

    def preamble(self, sender: Sender) -> bytes:
        """Return the bytes that an end sends once, before its first message."""
        opening = self._opening(sender)
        return opening if isinstance(opening, bytes) else b""

    def new_encoder(self, *, sender: Sender | None = None) -> FrameEncoder:
        """Return an encoder for one stream in one direction.

        :param sender: who sends, where the two ends begin differently
        :raises ConfigurationError: they do, and no sender is given
        """
        opening = self._opening(sender)
        rest = self.layout.new_encoder(sender=sender)
        if isinstance(opening, FrameLayout):
            return _OpeningEncoder(opening.new_encoder(sender=sender), rest)
        return rest

    def decoder(self, *, sender: Sender | None = None) -> FrameDecoder:
        """Return a new decoder, for one stream in one direction.

        :param sender: whose bytes it will get, where the two ends begin differently
        :raises ConfigurationError: they do, and no sender is given
        """
        opening = self._opening(sender)
        rest = self.layout.decoder(sender=sender)
        if opening is None:
            return rest
        if isinstance(opening, bytes):
            return _PreambleDecoder(opening, sender, rest)
        return _FirstFrameDecoder(opening, sender, rest)

    def _opening(self, sender: Sender | None) -> bytes | FrameLayout | None:
        if sender not in ("client", "server"):
            if sender is None and self.client == self.server:
                return self.client
            raise ConfigurationError(
                "the two ends begin differently in this layout: say whose bytes they are, "
                f'sender="client" or sender="server", not {sender!r}'
            )
        return self.client if sender == "client" else self.server


def _limited(opening: bytes | FrameLayout | None, maximum: int) -> bytes | FrameLayout | None:
    return opening.limited(maximum) if isinstance(opening, FrameLayout) else opening


class _OpeningDecoder(BufferedDecoder):
    """Takes what a stream begins with; another decoder gets what follows."""

    __slots__ = ("_opened", "_rest")

    def __init__(self, rest: FrameDecoder) -> None:
        super().__init__()
        self._rest = rest
        self._opened = False

    @abstractmethod
    def _open(self, data: bytes, frames: list[bytes | Control]) -> int:
        """Take bytes up to the end of the opening; return where it ends, or -1 if it goes on.

        Sets ``pending`` and ``frame_size`` meanwhile.
        """

    def _split(self, data: bytes, frames: list[bytes | Control]) -> None:
        stop = 0
        if not self._opened:
            stop = self._open(data, frames)
            if stop < 0:
                return
            self._opened = True
        if stop < len(data):
            try:
                frames += self._rest.feed(data[stop:])
            except FramingError as error:
                frames += error.frames
                raise
        self._follow()

    def feed(self, data: Buffer, /) -> list[bytes | Control]:
        """Take the next bytes of the stream; return the messages that are now whole."""
        if not self._passes():
            return super().feed(data)
        try:
            return self._rest.feed(data)
        finally:
            self._follow()

    def get_buffer(self) -> memoryview:
        """Export the memory that the next bytes of the stream are to be written to."""
        return self._rest.get_buffer() if self._passes() else super().get_buffer()

    def buffer_updated(self, nbytes: SupportsIndex, /) -> list[bytes | Control]:
        """Take the first ``nbytes`` bytes of the exported buffer, like :meth:`feed`."""
        if not self._passes():
            return super().buffer_updated(nbytes)
        try:
            return self._rest.buffer_updated(nbytes)
        finally:
            self._follow()

    def finish(self) -> None:
        """Say that the stream has ended; raises IncompleteFrameError inside a frame."""
        self._check_fault()
        if self._opened:
            self._rest.finish()
        elif self.pending:
            self._finish_opening()

    @abstractmethod
    def _finish_opening(self) -> None:
        """Raise the IncompleteFrameError that says what is missing of the opening."""

    def _passes(self) -> bool:
        """Whether all goes to the other decoder by now: it has buffers of its own.

        Not before the first bytes of the stream are noted, for a diagnosis.
        """
        return self._opened and self._exported is None and len(self.prefix) == _PREFIX

    def _follow(self) -> None:
        self.pending = self._rest.pending
        self.frame_size = self._rest.frame_size


class _PreambleDecoder(_OpeningDecoder):
    """Bytes that are always the same."""

    __slots__ = ("_expected", "_whose")

    def __init__(self, expected: bytes, sender: Sender | None, rest: FrameDecoder) -> None:
        super().__init__(rest)
        self._expected = expected
        self._whose = f"of the {sender}" if sender else "of either end"

    def _clear(self) -> None:
        """Nothing is kept: the bytes that came are those that were expected."""

    def _open(self, data: bytes, frames: list[bytes | Control]) -> int:
        done, expected = self.pending, self._expected
        count = min(len(data), len(expected) - done)
        if data[:count] != expected[done : done + count]:
            wrong = next(i for i in range(count) if data[i] != expected[done + i])
            raise MagicError(
                f"the stream begins with {expected[:done] + data[: wrong + 1]!r}, but that "
                f"{self._whose} begins with {expected!r} in this layout"
            )
        if done + count == len(expected):
            return count
        self.pending = done + count
        self.frame_size = len(expected) if self.pending else 0
        return -1

    def _finish_opening(self) -> None:
        received, size = self.pending, len(self._expected)
        error = IncompleteFrameError(
            f"the stream ends inside its preamble: {received} of its {size} bytes came, "
            f"{size - received} are missing"
        )
        error.received, error.size = received, size
        raise error


class _FirstFrameDecoder(_OpeningDecoder):
    """A first frame that has a layout of its own."""

    __slots__ = ("_first",)

    def __init__(self, layout: FrameLayout, sender: Sender | None, rest: FrameDecoder) -> None:
        super().__init__(rest)
        self._first: FrameStepper | None = stepper(layout, 1, sender=sender)

    def _clear(self) -> None:
        self._first = None

    def _open(self, data: bytes, frames: list[bytes | Control]) -> int:
        first, stop = self._first, 0
        if first is None:
            return 0
        while stop < len(data):
            stop = first.advance(data, stop, frames)
            if frames:
                self._clear()
                return stop
        self.pending = first.pending
        self.frame_size = first.frame_size
        return -1

    def _finish_opening(self) -> None:
        raise refuse.incomplete(self.pending, self.frame_size, number=1)


class _OpeningEncoder:
    """The encoder of one stream, whose first message has a layout of its own."""

    __slots__ = ("_first", "_rest")

    def __init__(self, first: FrameEncoder, rest: FrameEncoder) -> None:
        self._first: FrameEncoder | None = first
        self._rest = rest

    def __reduce__(self) -> NoReturn:
        raise refuse.no_pickle(self)

    def encode(self, payload: Buffer, /) -> bytes:
        """Return the frame that carries ``payload``."""
        frame = (self._first or self._rest).encode(payload)
        self._first = None
        return frame

    def encode_many(self, payloads: Iterable[Buffer], /) -> bytes:
        """Return the frames that carry ``payloads``, joined; or raise and make none."""
        return b"".join(self.pack(payloads))

    def pack(self, payloads: Iterable[Buffer], /) -> list[bytes]:
        """Return the frames that carry ``payloads`` as buffers to be written in one call."""
        messages = list(payloads)
        if self._first is None or not messages:
            return self._rest.pack(messages)
        buffers = [*self._first.pack(messages[:1]), *self._rest.pack(messages[1:])]
        self._first = None
        return buffers

    def head(self, length: SupportsIndex, /) -> bytes:
        """Return what goes before a payload of ``length`` bytes, which is to be sent next."""
        head = (self._first or self._rest).head(length)
        self._first = None
        return head
