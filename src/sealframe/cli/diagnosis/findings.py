"""What the search for a layout found."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.text import Text

from ...framing.inference import Candidate, Diagnosis, diagnose
from ...framing.inference.expressions import literal
from ..captures.stream import Stream
from ..text import visible
from .answer import Status
from .dump import annotated, counted
from .streams import capture_of, introduced, listed

_OTHERS: Final = 4
"""Candidates that are named below the first."""
_STARTS: Final = 1000
"""Starts of frames in JSON, of each stream."""
_PREAMBLE: Final = 64
"""A preamble up to this many bytes is written as a part of the layout; more may be anything."""
_TRIED: Final = 8
"""Streams that are looked at together, those with most bytes."""


@dataclass(frozen=True)
class Findings:
    """An answer to streams: for each group of them that was looked at together a diagnosis."""

    groups: tuple[tuple[tuple[Stream, ...], Diagnosis], ...]

    @classmethod
    def of(cls, streams: Sequence[Stream]) -> Findings:
        """Look for the layout of streams.

        All of them are taken for one protocol. Where that is not sure, and both directions of
        connections are among them, each direction is looked at for itself.
        """
        largest = sorted(streams, key=lambda stream: -len(stream.data))[:_TRIED]
        chosen = tuple(stream for stream in streams if stream in largest)
        together = cls((_diagnosed(chosen),))
        senders = {stream.sender for stream in chosen}
        if together.status is Status.HIGH or len(senders) < 2:
            return together
        apart = cls(
            tuple(
                _diagnosed(tuple(stream for stream in chosen if stream.sender == sender))
                for sender in ("client", "server", None)
                if sender in senders
            )
        )
        if Status.HIGH not in map(_status, apart.groups):
            return together
        # A guess that cuts all streams says more than one direction alone.
        return together if apart.status is Status.NONE and _cuts_all(together) else apart

    @property
    def status(self) -> Status:
        """How sure it is: as the least sure group."""
        return max(map(_status, self.groups))

    def lines(self) -> Iterator[Text]:
        """Yield what a person reads."""
        for streams, diagnosis in self.groups:
            yield from introduced(streams)
            yield from _explained(streams, diagnosis)

    def fields(self) -> dict[str, Any]:
        """Return what a program reads."""
        return {
            "diagnoses": [
                {
                    "status": _status(group).name.lower(),
                    "verdict": group[1].verdict,
                    "streams": listed(group[0]),
                    "candidates": list(map(_candidate_as_json, group[1].candidates)),
                }
                for group in self.groups
            ]
        }


def _diagnosed(streams: tuple[Stream, ...]) -> tuple[tuple[Stream, ...], Diagnosis]:
    return streams, diagnose([capture_of(stream) for stream in streams])


def _status(group: tuple[tuple[Stream, ...], Diagnosis]) -> Status:
    candidates = group[1].candidates
    if not candidates:
        return Status.NONE
    return Status.HIGH if candidates[0].confidence == "high" else Status.GUESS


def _cuts_all(findings: Findings) -> bool:
    return all(
        diagnosis.candidates and all(diagnosis.candidates[0].evidence.starts)
        for _, diagnosis in findings.groups
    )


def _explained(streams: Sequence[Stream], diagnosis: Diagnosis) -> Iterator[Text]:
    if diagnosis.verdict:
        yield Text(visible(diagnosis.verdict), "bold")
    if not diagnosis.candidates:
        return
    first, *others = diagnosis.candidates
    yield Text()
    yield from _candidate(first, streams[0].sender)
    yield Text()
    for stream, starts in zip(streams, first.evidence.starts, strict=False):
        if len(streams) > 1:
            yield Text(visible(f"{stream.name}:"), "bold")
        yield from annotated(stream.data, starts, first.framing)
    if others:
        yield Text()
        yield Text("other candidates:", "bold")
    for other in others[:_OTHERS]:
        yield Text(f"  {visible(other.expression)}  ") + Text(_in_short(other), "dim")


def _candidate(candidate: Candidate, sender: str | None) -> Iterator[Text]:
    high = candidate.confidence == "high"
    yield Text(visible(candidate.expression), "bold green" if high else "bold yellow")
    if high:
        yield Text("  This is the layout.")
    else:
        yield Text("  This is a guess: worth a try, and no more.")
    if candidate.name:
        yield Text(f"  It is {candidate.name} of the catalogue: sealframe layouts {candidate.name}")
    if candidate.preamble:
        yield Text(
            f"  Before the first frame: {counted(len(candidate.preamble), 'byte')}, "
            f"{visible(repr(candidate.preamble[:32]))}"
        )
        if len(candidate.preamble) <= _PREAMBLE and not candidate.name:
            yield Text(f"  With it: {visible(_with_preamble(candidate, sender))}")
    evidence = candidate.evidence
    yield Text(
        f"  {counted(evidence.frames, 'whole frame')}, "
        f"{counted(evidence.left_over, 'byte')} left over. {chance(evidence.bits)}"
    )
    for note in evidence.notes:
        yield Text(f"  {visible(note)}")


def _with_preamble(candidate: Candidate, sender: str | None) -> str:
    """Return the layout with what stands before its first frame, to be pasted as well."""
    end = sender or "client"
    text = f"WithPreamble({candidate.expression}, {end}={literal(candidate.preamble)})"
    return text if sender else f"{text}, or server= if that end sent it"


def _in_short(candidate: Candidate) -> str:
    name = f"{candidate.name}, " if candidate.name else ""
    evidence = candidate.evidence
    left_over = counted(evidence.left_over, "byte")
    return f"{name}{counted(evidence.frames, 'frame')}, {left_over} left over"


def chance(bits: float) -> str:
    """Return in words how likely random bytes fit as well."""
    digits = int(bits * math.log10(2))
    if bits < 4:
        return "Random bytes fit as well, and often."
    if digits < 6:
        return f"Random bytes fit as well about once in {round(2**bits, 1 - digits):,.0f} times."
    return f"Random bytes fit as well once in 10^{digits} times."


def _candidate_as_json(candidate: Candidate) -> dict[str, Any]:
    evidence = candidate.evidence
    return {
        "expression": candidate.expression,
        "confidence": candidate.confidence,
        "name": candidate.name,
        "preamble": candidate.preamble.hex(),
        "frames": evidence.frames,
        "left_over": evidence.left_over,
        "bits": round(evidence.bits, 1),
        "margin": round(evidence.margin, 1),
        "starts": [list(starts[:_STARTS]) for starts in evidence.starts],
        "notes": list(evidence.notes),
    }
