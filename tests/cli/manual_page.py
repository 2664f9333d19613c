"""Makes share/man/man1/sealframe.1 of what the commands say of themselves:

python tests/cli/manual_page.py
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click

import sealframe
from sealframe.cli.commands import sealframe_command
from sealframe.cli.errors import EXIT_CODES

PAGE = Path(__file__).parents[2] / "share" / "man" / "man1" / "sealframe.1"

DATED = "2026-11-30"
"""The day of a release, or before it of the last change that matters."""

_PREFORMATTED = "\b\n"
"""What click has before a paragraph whose lines stay as they are."""


def page() -> str:
    """Return the page, in the macros of man(7)."""
    summary, _, further = cleandoc(sealframe_command.help or "").partition("\n\n")
    name = summary.partition(",")[0]
    lines = [
        '.\\" Made by tests/cli/manual_page.py: change the help of the commands.',
        f'.TH SEALFRAME 1 {DATED} "sealframe {sealframe.__version__}" "User Commands"',
        ".SH NAME",
        f"sealframe \\- {escaped(name[0].lower() + name[1:])}",
        ".SH SYNOPSIS",
        ".B sealframe",
        r"[\fB\-v\fP] \fICOMMAND\fP [\fIOPTIONS\fP] [\fIARGUMENTS\fP]",
        ".SH DESCRIPTION",
        *paragraphs(f"{summary}\n\n{further}"),
        ".SH OPTIONS",
        *options(sealframe_command, click.Context(sealframe_command)),
        ".SH COMMANDS",
        *(line for one in commands(sealframe_command, "sealframe") for line in one),
        ".SH EXIT STATUS",
        *exit_codes(),
        ".SH SEE ALSO",
        "The guides, in docs/guides of the source, and",
        "docs/PROTOCOL.md, which says what is on the wire.",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Return text that stands for itself, wherever in a line."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("~", r"\(ti").replace("^", r"\(ha")
    text = text.replace("'", r"\(aq").replace("`", r"\(ga")
    return rf"\&{text}" if text.startswith(".") else text


def paragraphs(text: str) -> Iterator[str]:
    """Yield the lines of a help text."""
    for number, paragraph in enumerate(text.split("\n\n")):
        if not paragraph.strip():
            continue
        if number:
            yield ".PP"
        if paragraph.startswith(_PREFORMATTED):
            yield from (".nf", *map(escaped, paragraph.removeprefix(_PREFORMATTED).splitlines()))
            yield ".fi"
        else:
            yield from wrapped(paragraph)


def commands(group: click.Group, path: str) -> Iterator[list[str]]:
    """Yield the lines of each command in a group, and of those in groups below."""
    for name, command in sorted(group.commands.items()):
        full = f"{path} {name}"
        if isinstance(command, click.Group):
            yield from commands(command, full)
        else:
            yield described(command, full)


def described(command: click.Command, path: str) -> list[str]:
    """Return the lines of one command."""
    context = click.Context(command, info_name=path)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f'.SS "{escaped(path)} {escaped(usage)}"', *paragraphs(cleandoc(command.help or ""))]
    lines += options(command, context)
    for part in (command.epilog or "").replace(EXIT_CODES, "").split("\n\n"):
        if part:
            lines += [".PP", *paragraphs(part)]
    return lines


def options(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield the lines of a command's options."""
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record is not None:
            yield from (".TP", rf"\fB{escaped(record[0])}\fP", *wrapped(record[1]))


def wrapped(text: str) -> list[str]:
    """Return text as short lines: a difference of the page then shows what has changed."""
    lines = textwrap.wrap(text, 72, break_long_words=False, break_on_hyphens=False)
    return [escaped(line) for line in lines]


def exit_codes() -> Iterator[str]:
    """Yield what all commands but the doctor have in common."""
    for code, meaning in re.findall(r"^  (\d+) +((?:.|\n {7,})+)$", EXIT_CODES, re.MULTILINE):
        yield from (".TP", code, *wrapped(meaning))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
