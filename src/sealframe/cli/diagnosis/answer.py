"""What the doctor answers: lines for people, one JSON object for programs, an exit status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Protocol

from rich.text import Text


class Status(IntEnum):
    """How sure an answer is: the exit code."""

    HIGH = 0
    GUESS = 1
    NONE = 2


class Answer(Protocol):
    """An answer."""

    @property
    def status(self) -> Status:
        """How sure it is."""

    def lines(self) -> Iterator[Text]:
        """Yield what a person reads."""

    def fields(self) -> dict[str, Any]:
        """Return what a program reads, besides the status."""


def as_json(answer: Answer) -> str:
    """Return an answer as one line of JSON, all of it ASCII."""
    return json.dumps({"status": answer.status.name.lower(), **answer.fields()})
