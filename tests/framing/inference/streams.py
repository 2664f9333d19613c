"""Streams of real packages and the truth about them: ``../shared/doctor`` beside the checkout."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sealframe.framing.inference import Capture

DIRECTORY = Path(__file__).parents[4] / "shared" / "doctor" / "streams"


@dataclass(frozen=True)
class Stream:
    """A stream, and where its frames start."""

    name: str
    file: str
    starts: tuple[int, ...]
    frames: int
    tags: frozenset[str]

    @cached_property
    def capture(self) -> Capture:
        """Its bytes."""
        return Capture((DIRECTORY / self.file).read_bytes(), complete="cut" not in self.tags)

    def cut_as(self, starts: tuple[int, ...]) -> bool:
        """Whether frames that start there are those of the stream, as far as it is known."""
        known = self.starts
        return bool(known) and starts[: len(known)] == known


def streams() -> list[Stream]:
    """Return all of them; none where they are not there."""
    truth = DIRECTORY / "truth.json"
    if not truth.exists():
        return []
    return [
        Stream(one["id"], one["file"], tuple(one["starts"]), one["frames"], frozenset(one["tags"]))
        for one in json.loads(truth.read_text())
    ]
