"""Readings: what they look like, which were accepted, and whether those were stored."""

from __future__ import annotations

import os
import zlib
from collections import defaultdict
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

from soak.books import Finding, filling

_SIZES: Final = (0, 40, 128, 128, 1000, 5000)


class Reading(NamedTuple):
    """One reading, by its lane and its number there, from 1. The readings of a lane are in
    order."""

    lane: int
    number: int

    def message(self) -> bytes:
        """Return it as it is sent."""
        size = _SIZES[zlib.crc32(b"%d %d" % self) % len(_SIZES)]
        return b"%d %d " % self + filling(self.number, size)

    @classmethod
    def parse(cls, message: bytes) -> Reading | None:
        """Return the reading of a message; None: it is damaged."""
        lane, number, _ = message.split(b" ", 2)
        reading = cls(int(lane), int(number))
        return reading if message == reading.message() else None


class Note(Enum):
    """What is known of readings."""

    BEGUN = "begun"
    ACCEPTED = "accepted"


class Notes:
    """The client's own account, kept with one write for each line: SIGKILL takes none back."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, note: Note, lane: int, first: int, last: int) -> None:
        """Add a line: what is known of some readings of a lane."""
        line = f"{note.value} {lane} {first} {last}\n".encode()
        assert os.write(self._file, line) == len(line)

    @staticmethod
    def read(path: Path) -> dict[Note, dict[int, list[int]]]:
        """Return the numbers that were begun, and accepted, in each lane."""
        found: dict[Note, dict[int, list[int]]] = {note: defaultdict(list) for note in Note}
        for line in path.read_text().splitlines() if path.exists() else ():
            note, lane, first, last = line.split()
            found[Note(note)][int(lane)] += range(int(first), int(last) + 1)
        return found


def check(notes: dict[Note, dict[int, list[int]]], stored: list[bytes]) -> list[str]:
    """Return what is wrong: what was accepted is there once and in order; so is what was begun
    when the client was killed, or it is not there at all."""
    findings: list[str] = []

    def report(finding: Finding, reading: object) -> None:
        findings.append(f"{reading}: {finding.value}")

    seen: set[Reading] = set()
    last: dict[int, int] = {}
    begun = {Reading(lane, n) for lane, all_ in notes[Note.BEGUN].items() for n in all_}
    accepted = {Reading(lane, n) for lane, all_ in notes[Note.ACCEPTED].items() for n in all_}
    for message in stored:
        reading = Reading.parse(message)
        if reading is None:
            report(Finding.DAMAGED, message[:20])
        elif reading in seen:
            report(Finding.DOUBLED, reading)
        elif reading not in begun:
            report(Finding.NOT_SENT, reading)
        else:
            seen.add(reading)
            if reading.number < last.get(reading.lane, 0):
                report(Finding.OUT_OF_ORDER, reading)
            last[reading.lane] = reading.number
    for reading in sorted(accepted - seen):
        report(Finding.LOST, reading)
    return findings
