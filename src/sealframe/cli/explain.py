"""``sealframe explain``: what an error means and what to do, without a network."""

from __future__ import annotations

import re
import shlex
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import click

from .errors import EXIT_CODES, CommandError
from .output import Output

_PAGE = "troubleshooting.md"
"""Beside this module; a copy of the page of that name in docs/."""


class Section(NamedTuple):
    """A part of the page, for one error or line of a log."""

    title: str
    text: str
    """Plain, without links."""

    def is_quoted_in(self, text: str) -> bool:
        """Whether a line that was seen, such as one of a log, has what is quoted here in it."""
        seen = _sentence(text)
        quoted = re.findall(r"^    (.+)$", self.text, re.MULTILINE)
        return any(_sentence(line) in seen for line in quoted)

    @property
    def name(self) -> str:
        """What a user may type: small, without spaces."""
        return _name(self.title)


@click.command(epilog=EXIT_CODES)
@click.argument("text", nargs=-1)
def explain(text: tuple[str, ...]) -> None:
    """Say what an error means and what to do.

    TEXT is the name of an error, as a traceback shows it, or words of its text or of a line
    of a log: "UnauthorizedError", "swapped byte order". All words have to be there, or
    TEXT is a whole line as it was seen.
    Without TEXT all names are listed.
    """
    output = Output()
    found = find(" ".join(text))
    if not found:
        raise CommandError(
            f"nothing is known of {' '.join(text)!r}: give the name of an error, or fewer words of "
            "its text; sealframe explain without a text lists all"
        )
    if len(found) > 1:
        if text:
            output.line("Several have that. Name one, as in: " + _command(found[0]))
        for section in found:
            output.line(section.title)
        return
    [section] = found
    output.line(section.title, "bold")
    for line in section.text.splitlines():
        output.line(line)


def find(text: str) -> list[Section]:
    """Return the sections that a text names, or that it quotes, or that have all of its words."""
    wanted = _name(text)
    for name in (wanted, f"{wanted}error"):
        if exact := [one for one in sections() if one.name == name]:
            return exact
    if quoted := [one for one in sections() if one.is_quoted_in(text)]:
        # Lines of a log stand first, and say more than the error that they are the text of.
        return quoted[:1]
    words = text.lower().split()
    return [one for one in sections() if all(word in f"{one}".lower() for word in words)]


@cache
def sections() -> list[Section]:
    """Return all of the page, in its order."""
    page = files(__package__).joinpath(_PAGE).read_text(encoding="utf-8")
    found = re.findall(r"^### ([^\n]+)\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
    return [Section(title, _plain(text)) for title, text in found]


def _plain(text: str) -> str:
    """Return Markdown as text for a terminal: what was seen is indented."""
    text = re.sub(r"^<!--.*-->\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^```\w*\n(.*?)^```\n", _indented, text, flags=re.MULTILINE | re.DOTALL)
    # A link at the end that is a sentence of its own leads on; any other is only words.
    text = re.sub(r"(?<=[.)][ \n])\[[^\]]+\]\(([^)]+)\)\s*\Z", r"More: docs/\1", text)
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)
    return text.replace("**", "").strip("\n")


def _indented(block: re.Match[str]) -> str:
    return re.sub(r"^", "    ", block[1].rstrip("\n"), flags=re.MULTILINE) + "\n"


def _sentence(text: str) -> str:
    """Return a text without what is another one each time it is seen."""
    return " ".join(re.findall(r"[^\W\d]+", text.lower()))


def _command(section: Section) -> str:
    return f"sealframe explain {shlex.quote(section.title)}"


def _name(text: str) -> str:
    return re.sub(r"\W", "", text).lower()
