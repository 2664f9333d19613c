"""A stream comes to the same, however it is split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st

from sealframe.errors import FramingError

from .readings import feed, pour

if TYPE_CHECKING:
    from collections.abc import Callable

    from sealframe.framing import FrameLayout, Sender


class Reading(NamedTuple):
    """What a stream comes to."""

    frames: list[Any]
    fault: tuple[type[Exception], str] | None
    pending: int
    frame_size: int


def read(
    layout: FrameLayout,
    pieces: list[bytes],
    take: Callable[[Any, bytes], list[Any]] = feed,
    *,
    sender: Sender | None = None,
) -> Reading:
    """Feed a new decoder with all the pieces, also after a fault."""
    decoder = layout.decoder(sender=sender)
    frames: list[Any] = []
    faults: list[tuple[type[Exception], str]] = []
    for piece in pieces:
        if faults and not piece:
            continue
        try:
            frames += take(decoder, piece)
        except FramingError as error:
            frames += error.frames
            faults.append((type(error), str(error)))
    assert len(set(faults)) <= 1
    fault = faults[0] if faults else None
    came = decoder.prefix
    assert b"".join(pieces).startswith(came)
    assert faults or len(came) == min(8, len(b"".join(pieces)))
    return Reading(frames, fault, decoder.pending, decoder.frame_size)


def read_at_every_split(
    layout: FrameLayout, stream: bytes, *, sender: Sender | None = None
) -> Reading:
    """Return what a stream comes to, after cutting it at every place, and everywhere at once."""
    whole = read(layout, [stream], sender=sender)
    single = [stream[place : place + 1] for place in range(len(stream))]
    for take in (feed, pour):
        assert read(layout, single, take, sender=sender) == whole
        for place in range(len(stream) + 1):
            pieces = [stream[:place], stream[place:]]
            assert read(layout, pieces, take, sender=sender) == whole
    return whole


@st.composite
def splits(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    """The pieces of a stream, some of them empty."""
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    return [
        stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)
    ]


class Touched:
    """Counts the bytes that a decoder in Python moves or looks at in the memory that it keeps.

    What it is given as ``bytearray`` in a module counts the bytes of each slice, each search and
    each copy.
    """

    def __init__(self) -> None:
        self.bytes = 0
        outer = self

        class Counted(bytearray):
            def __getitem__(self, key: Any) -> Any:
                found = super().__getitem__(key)
                outer.bytes += len(found) if isinstance(found, bytearray) else 1
                return found

            def __iadd__(self, other: Any) -> Any:  # type: ignore[misc]
                outer.bytes += len(other)
                return super().__iadd__(other)

            def __bytes__(self) -> bytes:
                outer.bytes += len(self)
                return bytes(memoryview(self))

            def find(self, *args: Any) -> int:
                outer.bytes += len(self)
                return super().find(*args)

        self.kind = Counted
