"""Decoders that can be asked for one frame at a time, for layouts that are made of others.

A decoder that cuts a stream takes all that it gets. Where the next frame may have another
layout it has to stop behind each: :meth:`FrameStepper.advance` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..errors import FramingError, MessageFormatError
from .backend import VariedDecoder
from .buffered import SteppingDecoder
from .layout import Framing
from .pieces import PiecesEncoder

if TYPE_CHECKING:
    from .base import FrameDecoder, FrameLayout, Sender
    from .codec_types import Control

__all__ = ["FrameStepper", "SteppingDecoder", "WholeFrameEncoder", "stepper"]


@runtime_checkable
class FrameStepper(Protocol):
    """Cuts one frame at a time."""

    @property
    def pending(self) -> int:
        """Bytes of the unfinished frame that have arrived; 0 between frames."""

    @property
    def frame_size(self) -> int:
        """Bytes the unfinished frame has in all; 0 while that is not known."""

    def advance(self, data: bytes, place: int, frames: list[bytes | Control], /) -> int:
        """Take bytes from ``place`` on, and none behind the end of the frame.

        Appends the message if the frame is whole now.

        :param place: less than ``len(data)``
        :returns: where it stopped: the end of the frame, or of the data
        :raises FramingError: it is no frame of this layout; use the stepper no more
        """


class WholeFrameEncoder(PiecesEncoder):
    """The encoder of a layout whose messages are whole frames: it holds them to the layout."""

    __slots__ = ("_layout",)

    def __init__(self, layout: FrameLayout) -> None:
        super().__init__(layout)
        self._layout = layout

    def _pieces(self, payload: bytes) -> tuple[bytes, ...]:
        decoder = stepper(self._layout, 1)
        frames: list[bytes | Control] = []
        stop = 0
        try:
            while stop < len(payload) and not frames:
                stop = decoder.advance(payload, stop, frames)
        except FramingError as error:
            raise MessageFormatError(
                f"the message is no frame of this layout, whose messages are whole frames: {error}"
            ) from None
        if not frames:
            size = f" of {decoder.frame_size} bytes" if decoder.frame_size else ""
            raise MessageFormatError(
                f"the message has {len(payload)} bytes, which are no whole frame, but the "
                f"beginning of one{size}; messages of this layout are whole frames"
            )
        if stop < len(payload):
            raise MessageFormatError(
                f"the message has {len(payload)} bytes, but the frame that it begins with has "
                f"{stop}; send each frame as a message of its own"
            )
        return (payload,)


class _Fed:
    """Makes a stepper of any decoder: gives it as many bytes as are sure to be of one frame."""

    __slots__ = ("_decoder", "_least")

    def __init__(self, decoder: FrameDecoder, least: int) -> None:
        self._decoder = decoder
        self._least = least

    @property
    def pending(self) -> int:
        return self._decoder.pending

    @property
    def frame_size(self) -> int:
        return self._decoder.frame_size

    def advance(self, data: bytes, place: int, frames: list[bytes | Control], /) -> int:
        decoder = self._decoder
        while place < len(data):
            sure = max(decoder.frame_size, self._least) - decoder.pending
            piece = data[place : place + max(sure, 1)]
            place += len(piece)
            if whole := decoder.feed(piece):
                frames += whole
                break
        return place


def stepper(layout: FrameLayout, least: int, *, sender: Sender | None = None) -> FrameStepper:
    """Return what cuts single frames of a layout.

    :param least: every frame has at least so many bytes
    """
    if type(layout) is Framing:
        # The codec for fields of fixed width cuts as many as there are.
        return VariedDecoder(layout.plan)
    decoder = layout.decoder(sender=sender)
    return decoder if isinstance(decoder, FrameStepper) else _Fed(decoder, least)
