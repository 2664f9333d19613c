"""A base for decoders in pure Python: all but the cutting.

A subclass says in :meth:`BufferedDecoder._split` how bytes become messages; here are the
buffers that are exported to event loops, the diagnosis of the first bytes, and what happens
after a fault.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from operator import index
from typing import TYPE_CHECKING, Final, NoReturn

from ..errors import FramingError
from . import refusals as refuse
from .scratch import readable, spare, take_scratch

if TYPE_CHECKING:
    from typing import SupportsIndex

    from typing_extensions import Buffer

    from .codec_types import Control

__all__ = ["BufferedDecoder", "SteppingDecoder"]

_PREFIX: Final = 8


class BufferedDecoder(ABC):
    """A :class:`~sealframe.framing.FrameDecoder` that lacks only :meth:`_split`.

    :ivar pending: bytes of the unfinished frame that have arrived; 0 between frames
    :ivar frame_size: bytes the unfinished frame has in all; 0 while that is not known
    :ivar prefix: the first bytes of the whole stream, at most 8, for a diagnosis
    :ivar saw_control: False: these layouts have no control frames
    """

    __slots__ = ("_count", "_exported", "_fault", "_view", "frame_size", "pending", "prefix")

    saw_control: Final = False

    def __init__(self) -> None:
        self._fault: tuple[type[FramingError], str] | None = None
        self._exported: bytearray | None = None
        self._view: memoryview | None = None
        self._count = 0
        self.pending = 0
        self.frame_size = 0
        self.prefix = b""

    @abstractmethod
    def _split(self, data: bytes, frames: list[bytes | Control]) -> None:
        """Take the next bytes of the stream, and append the messages that are now whole.

        It keeps ``pending`` and ``frame_size`` true, and looks at each byte but a few times
        however the stream is split. It raises a :exc:`~sealframe.errors.FramingError` as soon
        as the bytes cannot be a frame; it is not called again then.
        """

    @abstractmethod
    def _clear(self) -> None:
        """Let go of the bytes that are kept: the decoder is dead."""

    def __reduce__(self) -> NoReturn:
        raise refuse.no_pickle(self)

    def feed(self, data: Buffer, /) -> list[bytes | Control]:
        """Take the next bytes of the stream; return the messages that are now whole.

        The stream may be split anywhere. Raises :exc:`TypeError` for what is not
        bytes-like, :exc:`BufferError` for a view with gaps, and
        :exc:`RuntimeError` while a buffer is exported.
        """
        self._check_fault()
        if self._exported is not None:
            raise refuse.buffer_exported()
        return self._parse(data if type(data) is bytes else readable(data).tobytes())

    def get_buffer(self) -> memoryview:
        """Export the memory that the next bytes of the stream are to be written to: 256 KiB.

        Until :meth:`buffer_updated` the same memory is exported.
        """
        self._check_fault()
        if self._exported is None:
            self._exported = take_scratch()
        elif self._view is not None:
            with suppress(ValueError):  # the borrower released it and comes back for another
                len(self._view)
                return self._view
        self._view = memoryview(self._exported)
        return self._view

    def buffer_updated(self, nbytes: SupportsIndex, /) -> list[bytes | Control]:
        """Take the first ``nbytes`` bytes of the exported buffer, like :meth:`feed`.

        This ends the export: the view is released, and memory that is viewed
        otherwise must not be written to any more. Raises :exc:`ValueError` without
        an export or for a number the buffer does not have; the export goes on then.
        """
        count = index(nbytes)
        self._check_fault()
        scratch = self._exported
        if scratch is None:
            raise refuse.nothing_exported()
        if not 0 <= count <= len(scratch):
            raise refuse.bad_count(nbytes, len(scratch))
        self._exported = None
        if self._view is not None:
            with suppress(BufferError):  # uvloop lets go of it only after this call
                self._view.release()
            self._view = None
        with memoryview(scratch) as view:
            data = view[:count].tobytes()
        spare.append(scratch)
        return self._parse(data)

    def finish(self) -> None:
        """Say that the stream has ended.

        :raises IncompleteFrameError: it ends inside a frame
        """
        self._check_fault()
        if self.pending:
            raise refuse.incomplete(self.pending, self.frame_size, number=self._count + 1)

    def _check_fault(self) -> None:
        if self._fault is not None:
            kind, text = self._fault
            raise kind(text)

    def _parse(self, data: bytes) -> list[bytes | Control]:
        if len(self.prefix) < _PREFIX:
            self.prefix += data[: _PREFIX - len(self.prefix)]
        frames: list[bytes | Control] = []
        try:
            self._split(data, frames)
        except FramingError as error:
            self._die(type(error), str(error))
            error.frames = frames
            raise
        except BaseException as error:
            # From a function that the program gave. Where the next frame starts is not known.
            self._die(FramingError, f"the decoder was left by {type(error).__name__}: {error}")
            raise
        self._count += len(frames)
        return frames

    def _die(self, kind: type[FramingError], text: str) -> None:
        self._fault = kind, text
        self._clear()
        self.pending = self.frame_size = 0


class SteppingDecoder(BufferedDecoder):
    """A decoder that lacks only :meth:`advance`, with which it can be asked for one frame at a
    time: a :class:`~sealframe.framing.stepping.FrameStepper`."""

    __slots__ = ()

    @abstractmethod
    def advance(self, data: bytes, place: int, frames: list[bytes | Control], /) -> int:
        """Take bytes from ``place`` on, and none behind the end of the frame.

        It looks at each byte but a few times, however the stream is split.
        """

    def _split(self, data: bytes, frames: list[bytes | Control]) -> None:
        place = 0
        while place < len(data):
            place = self.advance(data, place, frames)
