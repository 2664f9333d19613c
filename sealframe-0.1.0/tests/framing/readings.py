"""What can be seen of a decoder, and what a plain reading of the layout finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sealframe.errors import FramingError
from sealframe.wire import CONTROL_BIT, LENGTH_MASK, Control, Layout

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


class Step(NamedTuple):
    """All that can be seen of one call."""

    frames: list[bytes | Control]
    kinds: list[type]
    fault: tuple[type[Exception], str] | None
    pending: int
    frame_size: int
    prefix: bytes
    saw_control: bool


def feed(decoder: Any, data: bytes) -> list[bytes | Control]:
    try:
        return checked(decoder, decoder.feed(data))
    except FramingError as error:
        checked(decoder, error.frames)
        raise


def pour(decoder: Any, data: bytes) -> list[bytes | Control]:
    """Write it to the buffers that are exported; the rest of a large message has one of its own."""
    frames: list[bytes | Control] = []
    while True:
        buffer = decoder.get_buffer()
        count = min(len(data), len(buffer))
        buffer[:count] = data[:count]
        try:
            frames += checked(decoder, decoder.buffer_updated(count))
        except FramingError as error:
            error.frames = frames + checked(decoder, error.frames)
            raise
        data = data[count:]
        if not data:
            return frames


def checked(decoder: Any, frames: list[bytes | Control]) -> list[bytes | Control]:
    """Return what a call gave, once the decoder says right whether there is control in it."""
    assert decoder.saw_control == has_control(frames)
    return frames


def has_control(frames: list[bytes | Control]) -> bool:
    return any(isinstance(frame, Control) for frame in frames)


def observe(
    backend: ModuleType,
    layout: Layout,
    pieces: list[bytes],
    take: Callable[[Any, bytes], list[bytes | Control]] = feed,
) -> list[Step]:
    decoder = backend.Decoder(layout)
    steps = []
    for piece in pieces:
        fault = None
        try:
            frames = take(decoder, piece)
        except FramingError as error:
            frames, fault = error.frames, (type(error), str(error))
        steps.append(
            Step(
                frames,
                [type(frame) for frame in frames],
                fault,
                decoder.pending,
                decoder.frame_size,
                decoder.prefix,
                has_control(frames),
            )
        )
    return steps


@dataclass
class Outcome:
    """What a stream comes to, however it was split."""

    frames: list[bytes | Control]
    fault: tuple[type[Exception], str] | None
    pending: int
    frame_size: int

    @classmethod
    def of(cls, steps: list[Step]) -> Outcome:
        last = steps[-1]
        faults = {step.fault for step in steps if step.fault}
        assert len(faults) <= 1
        assert (last.fault is not None) == bool(faults)
        frames = [frame for step in steps for frame in step.frames]
        return cls(frames, last.fault, last.pending, last.frame_size)


def read_plainly(layout: Layout, stream: bytes) -> tuple[list[bytes | Control], bytes, bool]:
    """Return the frames, the bytes that are left, and whether those are at fault."""
    frames: list[bytes | Control] = []
    while True:
        strip, extra = layout.strip, layout.extra
        if layout.width:
            field = stream[layout.offset : layout.offset + layout.width]
            if len(field) < layout.width:
                return frames, stream, False
            value = int.from_bytes(field, "big" if layout.big_endian else "little")
        else:
            ends = [place for place, byte in enumerate(stream[:10]) if byte < 0x80]
            if not ends:
                return frames, stream, len(stream) >= 10
            strip = extra = ends[0] + 1
            value = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(stream[:strip]))
        frame = stream[: value + extra]
        whole = len(stream) >= value + extra
        if layout.control and value & CONTROL_BIT:
            value &= LENGTH_MASK
            if not 1 <= value <= layout.max_control:
                return frames, stream, True
            frame = stream[4 : 4 + value]
            if len(frame) < value:
                return frames, stream, False
            body = frame[1:] if frame[0] in layout.known else frame[1:9]
            frames.append(Control(frame[0], body))
            stream = stream[4 + value :]
            continue
        least = max(layout.offset + layout.width, strip)
        size = value + extra - strip
        if value + extra < least or not layout.minimum <= size <= layout.maximum:
            return frames, stream, True
        if not whole:
            return frames, stream, False
        frames.append(frame[strip:])
        stream = stream[value + extra :]
