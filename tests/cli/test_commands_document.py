"""docs/guides/commands.md names every command and every option."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from sealframe.cli.commands import sealframe_command


def parameters(command: click.Command) -> list[click.Parameter]:
    """Return those of a command and of the commands below it."""
    below = command.commands.values() if isinstance(command, click.Group) else ()
    return [*command.params, *(each for one in below for each in parameters(one))]


PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "commands.md").read_text()


@pytest.mark.parametrize("name", sealframe_command.commands)
def test_a_command_is_on_the_page_with_its_options(name: str) -> None:
    command = sealframe_command.commands[name]
    heading = re.search(rf"^## sealframe {name}( .*)?$", PAGE, re.MULTILINE)
    assert heading is not None
    options = [p for p in parameters(command) if isinstance(p, click.Option)]
    named = set(re.findall(r"`(-[-a-z]+)", PAGE))
    assert {word for option in options for word in option.opts} <= named


def test_the_page_names_nothing_else() -> None:
    known = {word for parameter in parameters(sealframe_command) for word in parameter.opts}
    assert set(re.findall(r"`(--[-a-z]+)", PAGE)) <= known
    headings = re.findall(r"^## sealframe ([-a-z]+)", PAGE, re.MULTILINE)
    assert sorted(headings) == sorted(sealframe_command.commands)
