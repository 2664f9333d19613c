"""A short run of what ``python -m kills`` runs for long, and the account that it is held to."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .readings import Note, Notes, Reading, check
from .run import Run, Scenario


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
async def test_both_programs_are_killed(tmp_path: Path) -> None:
    """Each reading that was accepted is stored once and in order, and no other."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    figures = await Run(Scenario(kills=6, mode="sealed"), tmp_path).run()
    assert figures.clean, str(figures)
    assert figures.kills == {"client": 3, "server": 3}
    assert 0 < figures.accepted <= figures.stored


@pytest.mark.parametrize(
    ("stored", "wrong"),
    [
        ([1, 2, 3], ""),
        ([1, 2, 3, 4], ""),
        ([1, 3], "it never arrived"),
        ([1, 2, 2, 3], "it arrived again"),
        ([1, 3, 2], "it arrived after what was sent later"),
        ([1, 2, 3, 5], "it arrived, though it was never accepted"),
    ],
)
def test_the_account(tmp_path: Path, stored: list[int], wrong: str) -> None:
    """The fourth reading was begun when the client was killed."""
    notes = Notes(tmp_path / "notes")
    notes.write(Note.BEGUN, 0, 1, 3)
    notes.write(Note.ACCEPTED, 0, 1, 3)
    notes.write(Note.BEGUN, 0, 4, 4)
    messages = [Reading(0, number).message() for number in stored]
    found = check(Notes.read(tmp_path / "notes"), messages)
    assert found == ([f"{Reading(0, _wrong(stored))}: {wrong}"] if wrong else [])


def test_a_damaged_reading_is_found(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "notes")
    notes.write(Note.BEGUN, 0, 1, 1)
    assert check(Notes.read(tmp_path / "notes"), [Reading(0, 1).message() + b"x"]) == [
        f"{Reading(0, 1).message()[:20]!r}: something else arrived"
    ]


def _wrong(stored: list[int]) -> int:
    return 5 if 5 in stored else 2
