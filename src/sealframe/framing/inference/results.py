"""What is looked at, and what was found: the types that go in and come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ...errors import ConfigurationError

if TYPE_CHECKING:
    from ..base import FrameLayout, Sender

__all__ = ["Candidate", "Capture", "Diagnosis", "Evidence"]


@dataclass(frozen=True)
class Capture:
    """The bytes of one TCP stream, in one direction.

    :param data: the bytes, from the first that was captured
    :param boundaries: offsets in ``data`` at which a segment (or a read) began, ascending.
        Programs often write whole frames, so they say more than further bytes do.
    :param complete: the capture ends where the stream ended, or paused: between two frames
    :param sender: which end sent the bytes, where that is known
    :raises ConfigurationError: a boundary is outside ``data``, or they do not ascend
    """

    data: bytes
    boundaries: tuple[int, ...] = ()
    complete: bool = True
    sender: Sender | None = None

    def __post_init__(self) -> None:
        previous = 0
        for boundary in self.boundaries:
            if not previous <= boundary <= len(self.data):
                raise ConfigurationError(
                    f"boundaries must ascend from 0 to {len(self.data)}, the size of data; "
                    f"{boundary} comes after {previous}"
                )
            previous = boundary


@dataclass(frozen=True)
class Evidence:
    """What speaks for a candidate, in numbers and in sentences that a person can check.

    :param frames: whole frames that it cuts out of all captures together
    :param left_over: bytes behind the last of them, in all captures together
    :param bits: how much better it explains the bytes than chance: 10 bits are a match that
        happens once in 1,024 streams
    :param margin: bits above the best candidate that cuts the stream otherwise
    :param starts: for each capture, the offsets at which its frames start, of those in
        its first 64 KiB
    :param notes: sentences
    """

    frames: int
    left_over: int
    bits: float
    margin: float
    starts: tuple[tuple[int, ...], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A layout that fits the captures.

    :param framing: the layout, as it is handed to ``framing=``
    :param expression: Python that makes it
    :param preamble: bytes before the first frame of the first capture
    :param confidence: ``"high"``, or ``"guess"``: worth a try, and no more
    :param evidence: what speaks for it
    :param name: the layout's name in the catalogue, where its frames are typical of one
    """

    framing: FrameLayout
    expression: str
    preamble: bytes
    confidence: Literal["high", "guess"]
    evidence: Evidence
    name: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """The candidates, best first, and what the bytes are where no layout is sure.

    :param candidates: best first; empty where nothing fits
    :param verdict: a sentence where the bytes are of another kind (TLS, HTTP, text lines), or where
        they do not suffice; ``None`` where the first candidate is ``"high"``
    """

    candidates: tuple[Candidate, ...]
    verdict: str | None
