"""Whether a given layout fits, and if not, why and what would."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.text import Text

from ... import FramingError
from ...framing import FrameLayout
from ...framing.inference import explain, run, sender_of
from ..captures.stream import Stream
from ..text import visible
from .answer import Status
from .dump import annotated, counted
from .streams import capture_of, introduced, listed

_SHOWN: Final = 16 * 1024
"""Bytes of a stream in which the starts of frames are looked for, to be shown."""


@dataclass(frozen=True)
class Check:
    """How a layout cuts one stream.

    :ivar frames: how many whole frames there are
    :ivar starts: where the first of them start, and the one that is not whole
    :ivar fault: why it was not cut to its end; empty where it was
    """

    stream: Stream
    frames: int
    starts: tuple[int, ...]
    fault: str
    sentences: tuple[str, ...]

    @classmethod
    def of(cls, stream: Stream, layout: FrameLayout) -> Check:
        """Cut a stream by a layout."""
        capture = capture_of(stream)
        done = run(capture, layout)
        fault = done.error or done.cut or ""
        return cls(
            stream, done.frames, _starts(stream, layout), fault, tuple(explain(capture, layout))
        )


@dataclass(frozen=True)
class Checks:
    """An answer to streams and a layout."""

    layout: FrameLayout
    checks: tuple[Check, ...]

    @classmethod
    def of(cls, streams: Sequence[Stream], layout: FrameLayout) -> Checks:
        """Cut streams by a layout."""
        return cls(layout, tuple(Check.of(stream, layout) for stream in streams))

    @property
    def status(self) -> Status:
        """Whether it fits; a guess where that is not one frame in all."""
        if any(check.fault for check in self.checks):
            return Status.NONE
        return Status.HIGH if any(check.frames for check in self.checks) else Status.GUESS

    def lines(self) -> Iterator[Text]:
        """Yield what a person reads."""
        for check in self.checks:
            yield from introduced([check.stream])
            style = "bold red" if check.fault else "bold green"
            verdict = "it does not fit" if check.fault else "it fits"
            whole = counted(check.frames, "whole frame")
            yield Text(f"{visible(repr(self.layout))}: {verdict}, {whole}", style)
            if check.fault:
                yield Text(f"  the decoder says: {visible(check.fault)}")
            for sentence in check.sentences:
                yield Text(f"  {visible(sentence)}")
            yield Text()
            yield from annotated(check.stream.data, check.starts, self.layout)

    def fields(self) -> dict[str, Any]:
        """Return what a program reads."""
        return {
            "framing": repr(self.layout),
            "checks": [
                {
                    "stream": listed([check.stream])[0],
                    "fits": not check.fault,
                    "frames": check.frames,
                    "fault": check.fault or None,
                    "explanation": list(check.sentences),
                }
                for check in self.checks
            ],
        }


def _starts(stream: Stream, layout: FrameLayout) -> tuple[int, ...]:
    """Return where frames start, as far as they are shown.

    Byte by byte, since a decoder says that a message is whole and not where it began.
    """
    sender = sender_of(capture_of(stream), layout)
    decoder = layout.decoder(sender=sender)
    starts = [len(layout.preamble(sender)) if sender else 0]
    data = memoryview(stream.data[:_SHOWN])
    with contextlib.suppress(FramingError):
        starts.extend(at + 1 for at in range(len(data)) if decoder.feed(data[at : at + 1]))
    return tuple(start for start in starts if start < len(stream.data))
