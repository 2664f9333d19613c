"""docs/guides/commands.md names every command, and leaves the options to the reference."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from sealframe.cli.commands import sealframe_command

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "commands.md").read_text("utf-8")


def parameters(command: click.Command) -> list[click.Parameter]:
    """Return those of a command and of the commands below it."""
    below = command.commands.values() if isinstance(command, click.Group) else ()
    return [*command.params, *(each for one in below for each in parameters(one))]


@pytest.mark.parametrize("name", sealframe_command.commands)
def test_a_command_is_on_the_page(name: str) -> None:
    """As somebody types it."""
    assert re.search(rf"\bsealframe (-v+ )?{name}\b", PAGE)


def test_the_page_names_nothing_else() -> None:
    known = {word for parameter in parameters(sealframe_command) for word in parameter.opts}
    known |= {"--help", "--from", "--spec"}
    assert set(re.findall(r"(?<![\w-])(--[a-z][-a-z]*)", PAGE)) <= known
    typed = re.findall(r"^sealframe (?:-v+ )?([-a-z]+)", PAGE, re.MULTILINE)
    assert set(typed) <= {*sealframe_command.commands}


def test_what_an_option_does_stands_in_the_reference_alone() -> None:
    """That is made of click's texts: here is no table that repeats one of them."""
    texts = [one.help for one in parameters(sealframe_command) if isinstance(one, click.Option)]
    first = {re.split(r"[.:;,(]", text)[0].lower() for text in texts if text}
    rows = re.findall(r"^\| `--?[^|]*\| (.*?) \|$", PAGE, re.MULTILINE)
    assert [row for row in rows if re.split(r"[.:;,(]", row)[0].lower() in first] == []
    assert len(PAGE.splitlines()) < 120
