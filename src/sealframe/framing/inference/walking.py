"""Walking a stream from frame to frame, as a hypothesis says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .hypotheses import Hypothesis

__all__ = ["Cutting", "walk"]


@dataclass(frozen=True)
class Cutting:
    """Where frames start, and where the last ends: beyond the data if it is cut off.

    :ivar ended: the walk came to the end of the data; else it was ended by its limit of frames
    """

    starts: tuple[int, ...]
    end: int
    ended: bool = True

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """The end of each frame."""
        return (*self.starts[1:], self.end)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The size of each frame; of the last what it would have."""
        return tuple(end - start for start, end in zip(self.starts, self.ends, strict=True))

    def whole(self, size: int) -> tuple[int, ...]:
        """Return the sizes of the frames that end within so many bytes."""
        return self.sizes if self.end <= size else self.sizes[:-1]


def walk(data: bytes, hypothesis: Hypothesis, start: int = 0, limit: int = 0) -> Cutting | None:
    """Return the frames from ``start`` on, or None where the walk breaks.

    A header that is cut off at the end of the data counts as the start of a frame. A frame that
    is cut off counts where two whole ones came before it.

    :param limit: so many frames suffice; 0 for all
    """
    starts: list[int] = []
    size = len(data)
    position = start
    frame_size = hypothesis.steps(data)
    while position < size:
        step = frame_size(position)
        if step is None:
            header_cut = position + hypothesis.header > size
            if starts and header_cut and size - position < hypothesis.header + 4:
                return Cutting((*starts, position), size + 1)
            return None
        starts.append(position)
        position += step
        if position > size and len(starts) < 3:
            return None
        if len(starts) == limit and position < size:
            return Cutting(tuple(starts), position, ended=False)
    return Cutting(tuple(starts), position)
