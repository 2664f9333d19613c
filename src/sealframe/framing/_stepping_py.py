"""The decoders of frames that a function tells the size or the layout of, in pure Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from . import faults
from .buffered import SteppingDecoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from .base import FrameLayout
    from .codec_types import Control
    from .stepping import FrameStepper

__all__ = ["ChoiceDecoder", "SizedDecoder"]

_KEPT: Final = 64
"""So many layouts, and so many heads, are known at a time: a function that makes a new layout for
each frame is not to fill the memory with them."""
_REMEMBERED: Final = 16
"""Longer heads are not remembered: they are hardly ever the same."""


@final
class SizedDecoder(SteppingDecoder):
    """Cuts frames whose size a function tells.

    :param function: as :class:`~sealframe.framing.Sized` takes it
    :param least: bytes that it gets at first
    :param most: the most that it gets
    :param until: what ends the bytes that it gets, or nothing
    :param minimum: the smallest frame, in bytes
    :param maximum: the largest frame, in bytes
    """

    __slots__ = ("_function", "_held", "_least", "_maximum", "_minimum", "_most", "_until")

    def __init__(
        self,
        function: Callable[[bytes], int | None],
        least: int,
        most: int,
        until: bytes,
        minimum: int,
        maximum: int,
    ) -> None:
        super().__init__()
        self._function = function
        self._least, self._most = least, most
        self._until = until
        self._minimum, self._maximum = minimum, maximum
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
            told = self._function(bytes(held) + head if held else head)
            if told is not None:
                size = self._checked(told, self._least)
                if size < count:
                    self._check_told(size, bytes(held) + head)
                return size
            if count == limit:
                break
            count = min(2 * count, limit)
        if limit == self._most:
            raise faults.size_not_told(self._most)
        return 0

    def _check_told(self, size: int, head: bytes) -> None:
        """Refuse a frame that ends before the bytes that told its size.

        Bytes of the next frame would have told it, and cut elsewhere the stream would be another.
        """
        if size <= len(self._held) or self._function(head[:size]) != size:
            raise faults.told_too_late(size)

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
                    raise faults.without_end(most, until)
                return 0
        count = len(held) + found + len(until)
        if count > most:
            raise faults.without_end(most, until)
        stop = place + found + len(until)
        told = self._function(bytes(held) + data[place:stop])
        if told is None:
            raise faults.size_not_told(count)
        return self._checked(told, count)

    def _checked(self, told: int, least: int) -> int:
        if type(told) is not int or not max(least, self._minimum) <= told <= self._maximum:
            raise faults.wrong_told_size(told, least, self._minimum, self._maximum)
        return told


@final
class ChoiceDecoder(SteppingDecoder):
    """Cuts frames whose layout a function tells.

    :param next_layout: as :class:`~sealframe.framing.Choice` takes it
    :param new_part: makes what cuts frames of a layout
    :param head_size: bytes that ``next_layout`` gets
    :param minimum: the smallest message, in bytes
    """

    __slots__ = (
        "_chosen",
        "_current",
        "_head",
        "_minimum",
        "_new_part",
        "_next_layout",
        "_parts",
        "_size",
    )

    def __init__(
        self,
        next_layout: Callable[[bytes], FrameLayout | None],
        new_part: Callable[[FrameLayout], FrameStepper],
        head_size: int,
        minimum: int,
    ) -> None:
        super().__init__()
        self._next_layout = next_layout
        self._new_part = new_part
        self._size = head_size
        self._minimum = minimum
        self._chosen: dict[bytes, FrameStepper] = {}
        """What cuts frames that begin so."""
        # By the identity of a layout, which is kept beside: to hash one costs more than to cut
        # out a frame.
        self._parts: dict[int, tuple[FrameLayout, FrameStepper]] = {}
        self._clear()

    def _clear(self) -> None:
        self._head = b""
        """The first bytes of a frame that are too few to choose by."""
        self._current: FrameStepper | None = None
        """What cuts the frame that is under way."""

    def advance(self, data: bytes, place: int, frames: list[bytes | Control], /) -> int:
        """Take bytes from ``place`` on, and none behind the end of the frame."""
        before = len(frames)
        part = self._current
        first = -1
        if part is None:
            missing = self._size - len(self._head)
            head = self._head + data[place : place + missing]
            if len(head) < self._size:
                self._head = head
                self.pending = len(head)
                return len(data)
            part = self._chosen.get(head)
            if part is None:
                part = self._choose(head)
            if self._head:
                self._head = b""
                place += missing
                used = part.advance(head, 0, frames)
                if len(frames) > before:
                    self._end_chosen(used, frames)
                    return place
                if place == len(data):
                    self._note(part)
                    return place
            else:
                first = place
        stop = part.advance(data, place, frames)
        if not place < stop <= len(data):
            raise faults.wrong_stop(place, stop, len(data))
        if len(frames) > before:
            self._end_chosen(stop - first if first >= 0 else self._size, frames)
        else:
            self._note(part)
        return stop

    def _note(self, part: FrameStepper) -> None:
        self._current = part
        self.pending = part.pending
        self.frame_size = part.frame_size

    def _end_chosen(self, size: int, frames: list[bytes | Control]) -> None:
        """End a frame that was there with so many bytes, or more, since its layout was chosen."""
        self._current = None
        self.pending = self.frame_size = 0
        if size < self._size:
            # What was behind it in them would be lost, or not, as the stream is cut.
            frames.pop()
            raise faults.ends_in_its_head(size, self._size)
        if len(frames[-1]) < self._minimum:
            raise faults.below_minimum(len(frames.pop()), self._minimum)

    def _choose(self, head: bytes) -> FrameStepper:
        """Return what cuts a frame that begins so."""
        layout = self._next_layout(head)
        if layout is None:
            raise faults.no_layout(head)
        known = self._parts.get(id(layout))
        if known is None:
            if len(self._parts) >= _KEPT:
                self._parts.clear()
                self._chosen.clear()
            known = self._parts[id(layout)] = layout, self._new_part(layout)
        if self._size <= _REMEMBERED and len(self._chosen) < _KEPT:
            self._chosen[head] = known[1]
        return known[1]
