"""A number that was read as a length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from ...framing.inference import explain_number
from ..text import visible
from .answer import Status


@dataclass(frozen=True)
class Number:
    """An answer to a number.

    :ivar sentences: what it may be, the likeliest first
    """

    number: int
    sentences: tuple[str, ...]

    @classmethod
    def explained(cls, number: int) -> Number:
        """Return what a number may be."""
        return cls(number, tuple(explain_number(number)))

    @property
    def status(self) -> Status:
        """How sure it is: whether anything is known of it."""
        return Status.HIGH if self.sentences else Status.NONE

    def lines(self) -> Iterator[Text]:
        """Yield what a person reads."""
        yield Text(f"{self.number:,} is {self.number:#x}", "bold")
        for sentence in self.sentences:
            yield Text(visible(sentence))
        if not self.sentences:
            yield Text(
                "Nothing is known to begin with these bytes. Give the doctor the bytes themselves: "
                "a capture, or a dump on standard input."
            )

    def fields(self) -> dict[str, Any]:
        """Return what a program reads."""
        return {"number": self.number, "explanation": list(self.sentences)}
