"""Layouts in which the first bytes of a frame say which layout it has."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeAlias

from ..errors import ConfigurationError, FrameTooLargeError, MessageFormatError
from .backend import ChoiceDecoder
from .base import FrameLayout
from .layout import DEFAULT_MAXIMUM, Framing
from .pieces import FieldsLayout, PiecesEncoder, check_int, check_limits, one_head
from .stepping import stepper

if TYPE_CHECKING:
    from .base import FrameDecoder, FrameEncoder, Sender
    from .stepping import FrameStepper

__all__ = ["Choice"]

NextLayout: TypeAlias = Callable[[bytes], FrameLayout | None]

_MAX_HEAD: Final = 1024
_MAX_MESSAGE: Final = sys.maxsize // 4


@dataclass(frozen=True, init=False, repr=False)
class Choice(FieldsLayout):
    r"""Frames of several layouts on one stream, told apart by their first bytes.

    In RTSP a dollar sign begins a frame with a length, and anything else a message with header
    lines::

        DATA = Framing(offset=2, width=2, byteorder="big", strip=0)
        TEXT = HeaderLines(start_line=True, required=False, strip=0)

        RTSP = Choice(lambda head: DATA if head == b"$" else TEXT, head=1)

    :param next_layout: a function that gets the first bytes of a frame and returns its layout, or
        None where no frame begins so; as :meth:`dict.get` does. It has to depend on the bytes
        alone: for bytes that came before in a stream it may not be called again. Give it layouts
        that are made once.
    :param head: so many bytes it gets, 1 to 1024; every frame of every layout has them, with its
        delimiter and whatever else is dropped
    :param minimum: the smallest message, in bytes
    :param maximum: the largest message, in bytes; layouts that allow more are narrowed to it
    :param head_size: in place of ``head``, what the attribute has: :func:`dataclasses.replace`
        gives it

    To send a message, the layout is chosen by the first bytes of the message. They are the first
    ones of its frame too where the layout drops nothing in front (``strip=0``); a message whose
    frame would begin so that another layout is chosen for it is refused.

    :raises ConfigurationError: a value is out of range, or they cannot work together
    """

    next_layout: NextLayout
    head_size: int
    minimum: int
    maximum: int

    def __init__(
        self,
        next_layout: NextLayout,
        head: int | None = None,
        *,
        minimum: int = 0,
        maximum: int = DEFAULT_MAXIMUM,
        head_size: int | None = None,
    ) -> None:
        if not callable(next_layout):
            raise ConfigurationError(
                "next_layout must be a function that gets the first bytes of a frame and returns "
                f"its layout, not {next_layout!r}"
            )
        head = one_head(head, head_size)
        check_int("head", head, 1, _MAX_HEAD)
        check_limits(minimum, maximum, _MAX_MESSAGE)
        self.__dict__.update(
            next_layout=next_layout, head_size=head, minimum=minimum, maximum=maximum
        )

    def __repr__(self) -> str:
        """Return the expression that makes this layout, without what it would be anyway."""
        parts = [repr(self.next_layout), f"head={self.head_size}"]
        if self.minimum:
            parts.append(f"minimum={self.minimum}")
        if self.maximum != DEFAULT_MAXIMUM:
            parts.append(f"maximum={self.maximum}")
        return f"Choice({', '.join(parts)})"

    @cached_property
    def encoder(self) -> FrameEncoder:
        """The encoder behind :meth:`~sealframe.framing.FrameLayout.encode`, shared by senders."""
        return _ChoiceEncoder(self)

    def limited(self, maximum: int) -> Choice:
        """Return the same layout, whose messages have at most ``maximum`` bytes.

        :raises ConfigurationError: ``minimum`` is more than that
        """
        if maximum >= self.maximum:
            return self
        return replace(self, maximum=maximum)

    def decoder(self, *, sender: Sender | None = None) -> FrameDecoder:
        """Return a new decoder, for one stream in one direction."""
        del sender
        return ChoiceDecoder(self.next_layout, self._new_part, self.head_size, self.minimum)

    def layout_of(self, head: bytes) -> FrameLayout | None:
        """Return the layout of a frame that begins with these bytes, as it is given.

        :raises TypeError: the function returned something else
        """
        layout = self.next_layout(head)
        if layout is not None:
            _check_part(layout)
        return layout

    def _new_part(self, layout: FrameLayout) -> FrameStepper:
        """Return what cuts the frames of a layout that the function returned.

        :raises TypeError: it returned something else
        """
        _check_part(layout)
        return stepper(_narrowed(layout, self.maximum), self.head_size)


def _check_part(layout: object) -> None:
    if not isinstance(layout, FrameLayout):
        raise TypeError(
            f"next_layout must return a layout, as Framing(...) is, or None, not {layout!r}"
        )
    if isinstance(layout, Framing) and layout.control:
        raise ConfigurationError("a layout with control frames cannot be one of a Choice")


def _narrowed(layout: FrameLayout, maximum: int) -> FrameLayout:
    if layout.maximum <= maximum:
        return layout
    if layout.minimum > maximum:
        raise FrameTooLargeError(
            f"a message of {layout.minimum} bytes at least is over the limit of {maximum} bytes"
        )
    return layout.limited(maximum)


class _ChoiceEncoder(PiecesEncoder):
    __slots__ = ("_layout",)

    def __init__(self, layout: Choice) -> None:
        super().__init__(layout)
        self._layout = layout

    def _pieces(self, payload: bytes) -> tuple[bytes, ...]:
        size = self._layout.head_size
        head = payload[:size]
        layout = self._layout.layout_of(head)
        if layout is None:
            raise MessageFormatError(f"no layout is there for a message that begins with {head!r}")
        frame = layout.encode(payload)
        if frame[:size] != head:
            # Its own layout has to be chosen for it where it arrives.
            other = self._layout.layout_of(frame[:size]) if len(frame) >= size else None
            if other is not layout and other != layout:
                raise MessageFormatError(
                    f"the message begins with {head!r} and its frame with {frame[:size]!r}, for "
                    "which the receiver would choose another layout; choose among layouts whose "
                    "messages keep those bytes (strip=0)"
                )
        if len(frame) < size:
            raise MessageFormatError(
                f"the message makes a frame of {len(frame)} bytes, but {size} bytes tell which "
                "layout a frame has"
            )
        return (frame,)
